"""Writing, review and release on pages.

Theory of operation: a page shows a draft as the post gave it and sends back with each act the
revision it showed, so that the post refuses what was made from something older, and loses neither
text. Release is three deliberate steps: a page with everything that is about to be said, a page
that says in one sentence what will happen, and the passphrase of who releases, tried anew; what is
released is named by its hash. A second click, or a second releaser, finds the message there.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from .. import clock, dtg
from ..core.precedence import Precedence
from ..errors import LocalError
from ..signins import COST, SALT_BYTES, digest, stretched
from ..store.keys import Cost

if TYPE_CHECKING:
    from .app import Desk, Reader

PASSPHRASE_CHARACTERS_MIN = 12
ACTS = ("hand", "comment", "return", "drop")


class Writing:
    """The pages of one desk on which texts are made."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._call = desk.asking.call

    async def drafts(self, request: Request, reader: Reader) -> Response:
        """All drafts under way, and the lines one may write on."""
        found = await self._call("drafts", reader.token)
        lines = await self._call("lines", reader.token)
        values = {"drafts": found[::-1], "lines": [each for each in lines if _open(each)]}
        return self._desk.page(request, reader, "drafts.html", values)

    async def write(self, request: Request, reader: Reader) -> Response:
        """An empty form, or what was written on it made a draft."""
        label = await self._desk.label(request, reader)
        if request.method == "GET":
            values = {"label": label, "d": _EMPTY, "draft": "", "action": request.url.path}
            return self._desk.page(request, reader, "write.html", values)
        content = _content(await self._desk.form(request))
        made = await self._call("draft_save", reader.token, line=label, **content)
        return RedirectResponse(f"/draft/{made['draft']}", 303)

    async def draft(self, request: Request, reader: Reader) -> Response:
        """One draft: its text, what changed in it, what was said of it."""
        found = await self._draft(request, reader)
        return self._desk.page(request, reader, "draft.html", {"d": found})

    async def edit(self, request: Request, reader: Reader) -> Response:
        """The form with the current text, or its next revision."""
        found = await self._draft(request, reader)
        if request.method == "GET":
            values = {"label": found["label"], "d": found, "draft": found["draft"]}
            return self._desk.page(
                request, reader, "write.html", {**values, "action": request.url.path}
            )
        form = await self._desk.form(request)
        # What the form has no field for stays as it is.
        said = {**_kept(found), **_content(form), "revision": _revision(form)}
        await self._call("draft_save", reader.token, draft=found["draft"], **said)
        return RedirectResponse(f"/draft/{found['draft']}", 303)

    async def act(self, request: Request, reader: Reader) -> Response:
        """Hand over, comment, return or drop."""
        form = await self._desk.form(request)
        act, draft = form.get("act", ""), request.path_params["draft"]
        if act not in ACTS:
            raise LocalError("desk.form")
        args: dict[str, object] = {"draft": draft}
        if act == "hand":
            args["revision"] = _revision(form)
        elif act in ("comment", "return"):
            args["text"] = _text(form, "text")
        elif "release" in reader.rights:
            args["others"] = True
        await self._call(f"draft_{act}", reader.token, **args)
        return RedirectResponse("/drafts" if act == "drop" else f"/draft/{draft}", 303)

    async def check(self, request: Request, reader: Reader) -> Response:
        """Everything that is about to be said, and to whom."""
        found = await self._draft(request, reader)
        return self._desk.page(request, reader, "check.html", {"d": found})

    async def release(self, request: Request, reader: Reader) -> Response:
        """What will happen, in one sentence; and, with the passphrase, that it happens."""
        draft = request.path_params["draft"]
        if request.method == "GET":
            found = await self._draft(request, reader)
            return self._desk.page(request, reader, "release.html", {"d": found})
        form = await self._desk.form(request)
        token = await self.proven(reader.name, form.get("passphrase", ""))
        try:
            done = await self._call(
                "draft_release",
                token,
                draft=draft,
                revision=_revision(form),
                hash=form.get("hash", ""),
            )
        finally:
            await self._call("sign_out_own", token, sign_in=digest(token))
        found = await self._call("draft_show", reader.token, draft=draft)
        serial = f"{done['serial']['number']}.{done['serial']['incarnation']:06x}"
        return RedirectResponse(f"/line/{found['line']}/ours/{serial}", 303)

    async def passphrase(self, request: Request, reader: Reader) -> Response:
        """A person sets their passphrase; all their sign-ins end with that."""
        if request.method == "GET":
            return self._desk.page(request, reader, "passphrase.html", {})
        form = await self._desk.form(request)
        said = form.get("passphrase", "")
        if len(said) < PASSPHRASE_CHARACTERS_MIN:
            least = PASSPHRASE_CHARACTERS_MIN
            raise LocalError("init.short_passphrase", characters_min=least)
        if said != form.get("again", ""):
            raise LocalError("init.passphrases_differ")
        salt = clock.entropy(SALT_BYTES)
        key = await asyncio.to_thread(stretched, said, salt, COST)
        args = {"salt": salt.hex(), "cost": list(COST), "key": key.hex()}
        await self._call("passphrase", reader.token, **args)
        return RedirectResponse("/sign-in", 303)

    async def proven(self, name: str, passphrase: str) -> str:
        """A sign-in of a person who gives the passphrase now. Raises LocalError."""
        asked = await self._call("sign_in_salt", name=name)
        cost, salt = Cost(*asked["cost"]), bytes.fromhex(asked["salt"])
        key = await asyncio.to_thread(stretched, passphrase, salt, cost)
        found = await self._call("sign_in", name=name, key=key.hex())
        return str(found["token"])

    async def _draft(self, request: Request, reader: Reader) -> dict[str, Any]:
        draft = request.path_params["draft"]
        found: dict[str, Any] = await self._call("draft_show", reader.token, draft=draft)
        return found


_EMPTY = {
    "precedence": "ROUTINE", "language": "", "subject": "", "text": "", "due": None,
    "due_group": "", "dtg": None, "dtg_group": "", "revision": 0,
}  # fmt: skip


def _kept(found: dict[str, Any]) -> dict[str, object]:
    """What a draft says that the form does not ask for, as arguments of draft_save."""
    references = [
        {
            "ours": each["side"] == "ours",
            "number": each["number"],
            "incarnation": each["incarnation"],
        }
        for each in found["references"]
    ]
    kept = {name: found[name] for name in ("action", "information")}
    if found["dtg"]:
        kept["dtg_s"] = dtg.parse(found["dtg"], 0)
    return {**kept, "references": references}


def _open(line: dict[str, Any]) -> bool:
    return line["state"] in ("new", "opening", "open")


def _text(form: dict[str, str], name: str) -> str:
    """A field as typed; browsers send line ends as CR LF."""
    return form.get(name, "").replace("\r\n", "\n")


def _revision(form: dict[str, str]) -> int:
    said = form.get("revision", "")
    if not said.isascii() or not said.isdigit() or len(said) > 9:
        raise LocalError("desk.form")
    return int(said)


def _content(form: dict[str, str]) -> dict[str, object]:
    """What a form says, as arguments of draft_save. Raises LocalError."""
    if form.get("precedence") not in Precedence.__members__:
        raise LocalError("desk.form")
    now_s = clock.now().wall_s
    times = {
        name: dtg.parse(form[field], now_s)
        for name, field in (("dtg_s", "dtg"), ("due_s", "due"))
        if form.get(field, "").strip()
    }
    return {
        "precedence": form["precedence"],
        "language": form.get("language", "").strip().lower(),
        "subject": _text(form, "subject").strip(),
        "text": _text(form, "text"),
        **times,
    }
