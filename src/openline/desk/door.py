"""The way in and out of the desk: by link, passkey or passphrase; and one's own ways in.

Theory of operation: what somebody shows is handed to the post, which gives a sign-in for it or
refuses; the sign-in lives in a cookie that no script reads. Whoever came by a link is led to where
passkey and passphrase are set, since nothing is released without one of them. Setting either is an
act to be confirmed by one that is there already (confirming.py), but for who came by a link.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from .. import clock
from ..errors import LocalError
from ..signins import COST, SALT_BYTES, digest

if TYPE_CHECKING:
    from .app import Desk, Reader

PASSPHRASE_CHARACTERS_MIN = 12


class Door:
    """The way into one desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._call = desk.asking.call

    async def sign_in(self, request: Request, reader: Reader) -> Response:
        """The door; or, with a passkey or a name and its passphrase, in."""
        if request.method == "GET":
            return self._door(request, reader, None)
        form = await self._desk.form(request)
        try:
            if form.get("answer"):
                found = await self._call("sign_in", answer=form["answer"])
            else:
                name = form.get("name", "").strip()
                key = await self._desk.confirming.key(name, form.get("passphrase", ""))
                found = await self._call("sign_in", name=name, key=key)
        except LocalError as error:
            return self._door(request, reader, error)
        return self._desk.entered(found["token"], "/")

    async def enter(self, request: Request, reader: Reader) -> Response:
        """In with a link, once; then to the ways in to come."""
        if request.method == "GET":
            return self._door(request, reader, None, "enter.html")
        form = await self._desk.form(request)
        link = form.get("link", "").rpartition("#")[2].strip()
        try:
            found = await self._call("sign_in", link=link)
        except LocalError as error:
            return self._door(request, reader, error, "enter.html")
        return self._desk.entered(found["token"], "/passkeys")

    async def sign_out(self, _request: Request, reader: Reader) -> Response:
        """This sign-in ends."""
        await self._call("sign_out_own", reader.token, sign_in=digest(reader.token))
        raise LocalError("people.signed_out")

    async def passphrase(self, request: Request, reader: Reader) -> Response:
        """A person sets their passphrase; all their sign-ins end with that, but they go on here,
        signed in by what they have just typed."""
        if request.method == "GET":
            return self._desk.page(request, reader, "passphrase.html", await self._own(reader))
        form = await self._desk.form(request)
        said = form.get("passphrase", "")
        if len(said) < PASSPHRASE_CHARACTERS_MIN:
            least = PASSPHRASE_CHARACTERS_MIN
            raise LocalError("init.short_passphrase", characters_min=least)
        if said != form.get("again", ""):
            raise LocalError("init.passphrases_differ")
        confirming, salt = self._desk.confirming, clock.entropy(SALT_BYTES)
        key = (await confirming.stretched(said, salt, COST)).hex()
        given = {"salt": salt.hex(), "cost": list(COST), "key": key}
        await confirming.do(reader, {**form, "act": "passphrase"}, **given)
        try:
            found = await self._call("sign_in", name=reader.name, key=key)
        except LocalError:
            # Wrong answers of somebody else make the door slow: in a while, by hand.
            return RedirectResponse("/sign-in", 303)
        return self._desk.entered(found["token"], "/")

    async def passkeys(self, request: Request, reader: Reader) -> Response:
        """One's own passkeys: listed, one more, one less."""
        if request.method == "GET":
            return self._desk.page(request, reader, "passkeys.html", await self._own(reader))
        form = await self._desk.form(request)
        if form.get("act") == "passkey_add":
            given = {"answer": form.get("made", ""), "label": form.get("label", "")}
            await self._desk.confirming.do(reader, form, **given)
        elif form.get("act") == "passkey_remove_own":
            which = form.get("passkey", "")
            await self._call("passkey_remove_own", reader.token, passkey=which)
        else:
            raise LocalError("desk.form")
        return RedirectResponse("/passkeys", 303)

    async def _own(self, reader: Reader) -> dict[str, Any]:
        """What pages about one's own ways in show."""
        own = await self._desk.confirming.own(reader)
        return {"own": own, "confirmed": reader.how != "link"}

    def _door(
        self,
        request: Request,
        reader: Reader,
        error: LocalError | None,
        page: str = "sign_in.html",
    ) -> Response:
        values = {"what": "", "next": ""}
        if error is not None:
            values["what"], values["next"] = self._desk.told(request, error)
        return self._desk.page(request, reader, page, values, 400 if error else 200)
