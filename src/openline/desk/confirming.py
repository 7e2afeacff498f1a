"""Acts that a sign-in alone does not open, confirmed on a page by passkey or passphrase.

Theory of operation: a form that does such an act names its verb in the field "act". Before a form
goes, the script of a page may ask here what the person's device shall sign, with the same fields,
and puts what it signed into "answer"; without the script the passphrase stands in "confirm". Either
way the post is asked for a proof for this verb with these very arguments (`about`), and then for
the act with the proof. The desk checks nothing of it: what a device signed goes through to the post
and is kept nowhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ..errors import LocalError
from ..rights import ROLES
from ..signins import stretched
from ..store.keys import Cost

if TYPE_CHECKING:
    from .app import Desk, Reader

Form = dict[str, str]

STRETCHING_MAX = 2
"""Passphrases stretched at a time, 64 MiB each."""


def whole_number(form: Mapping[str, str], name: str) -> int:
    """A field that the page itself filled in. Raises LocalError("desk.form")."""
    said = form.get(name, "")
    if not said.isascii() or not said.isdigit() or len(said) > 9:
        raise LocalError("desk.form")
    return int(said)


def _draft_release(form: Form) -> dict[str, object]:
    revision, said = whole_number(form, "revision"), form.get("hash", "")
    return {"draft": form.get("draft", ""), "revision": revision, "hash": said}


def _named(form: Form) -> dict[str, object]:
    return {"name": form.get("name", "").strip()}


def _with_roles(form: Form) -> dict[str, object]:
    return {**_named(form), "roles": [role for role in ROLES if f"role.{role}" in form]}


ABOUT: dict[str, Callable[[Form], dict[str, object]]] = {
    "draft_release": _draft_release,
    "person_add": _with_roles,
    "person_change": _with_roles,
    "person_link": _named,
    "passphrase": lambda _: {},
    "passkey_add": lambda _: {},
}
"""Verb → its arguments as a form says them; those of a new way in are no part of what is confirmed.
"""


class Confirming:
    """What is confirmed at one desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._call = desk.asking.call
        self._room = asyncio.Semaphore(STRETCHING_MAX)

    async def ask(self, request: Request, reader: Reader) -> Response:
        """What a device shall sign, for the script of a page; an error in words."""
        form = await self._desk.form(request)
        said: dict[str, object] = {"what": form.get("what", ""), "origin": self._desk.origin}
        if said["what"] == "act":
            said |= {"act": form.get("act", ""), "about": _about(form)}
        try:
            found = await self._call("passkey_ask", reader.token, **said)
        except LocalError as error:
            return JSONResponse({"said": " ".join(self._desk.told(request, error))}, 400)
        return JSONResponse(found["options"])

    async def do(self, reader: Reader, form: Form, **more: object) -> Any:
        """Do what a form says, with `more` that it does not say. Raises LocalError."""
        about, proof = _about(form), ""
        said = {"act": form["act"], "about": about}
        if form.get("answer"):
            found = await self._call("prove", reader.token, answer=form["answer"], **said)
            proof = found["token"]
        elif form.get("confirm"):
            key = await self.key(reader.name, form["confirm"])
            proof = (await self._call("prove", reader.token, key=key, **said))["token"]
        return await self._desk.asking.confirmed(form["act"], reader.token, proof, **about, **more)

    async def own(self, reader: Reader) -> dict[str, Any]:
        """Who is signed in, with their ways to confirm. Raises LocalError("people.nobody")."""
        people = await self._call("people", reader.token)
        found = next((each for each in people if each["name"] == reader.name), None)
        if found is None:
            raise LocalError("people.nobody")
        return dict(found)

    async def key(self, name: str, passphrase: str) -> str:
        """What the passphrase of a person gives, in hex. Raises LocalError."""
        asked = await self._call("sign_in_salt", name=name)
        cost, salt = Cost(*asked["cost"]), bytes.fromhex(asked["salt"])
        return (await self.stretched(passphrase, salt, cost)).hex()

    async def stretched(self, passphrase: str, salt: bytes, cost: Cost) -> bytes:
        """signins.stretched, beside the loop and few at a time: each takes its memory."""
        async with self._room:
            return await asyncio.to_thread(stretched, passphrase, salt, cost)


def _about(form: Form) -> dict[str, object]:
    made = ABOUT.get(form.get("act", ""))
    if made is None:
        raise LocalError("desk.form")
    return made(form)
