"""Writing, review and release on pages.

Theory of operation: a page shows a draft as the post gave it and sends back with each act the
revision it showed, so that the post refuses what was made from something older, and loses neither
text. Release is three deliberate steps: a page with everything that is about to be said, a page
that says in one sentence what will happen, and the passkey or the passphrase of who releases, which
the post wants anew (confirming.py); what is released is named by its hash. A second click, or a
second releaser, finds the message there.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from .. import clock, dtg
from ..core.precedence import Precedence
from ..errors import LocalError
from .composing import beside, chosen, kept, names, reference, references
from .confirming import whole_number
from .naming import draft_of
from .uploading import Form

if TYPE_CHECKING:
    from .app import Desk, Reader

ACTS = ("hand", "comment", "return", "drop")


class Writing:
    """The pages of one desk on which texts are made."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._call = desk.asking.call
        self._releasing: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """Drafts that are being released here: one by one, for a double click is two requests."""

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
            values = await self._blank(request, reader, label)
            return self._desk.page(request, reader, "write.html", values)
        form = await self._form(request, reader)
        try:
            said = _said(form)
            made = await self._call("draft_save", reader.token, line=label, **said)
        except LocalError as error:
            return await self._refused(request, reader, label, form, error)
        return RedirectResponse(f"/draft/{made['draft']}", 303)

    async def draft(self, request: Request, reader: Reader) -> Response:
        """One draft: its text, or that of one revision; what changed in it, what was said of it."""
        said = request.query_params
        number = {} if "revision" not in said else {"revision": whole_number(said, "revision")}
        found = await self._call(
            "draft_show", reader.token, draft=request.path_params["draft"], **number
        )
        return self._desk.page(request, reader, "draft.html", {"d": found})

    async def edit(self, request: Request, reader: Reader) -> Response:
        """The form with the current text, or its next revision."""
        found = await self._draft(request, reader)
        if request.method == "GET":
            values = {"label": found["label"], "d": found, "draft": found["draft"]}
            values.update(await beside(self._call, reader.token, found["label"], found))
            return self._desk.page(
                request, reader, "write.html", {**values, "action": request.url.path}
            )
        form = await self._form(request, reader)
        try:
            # What the form has no field for stays as it is.
            said = {**_kept(found), **_said(form)}
            said["revision"] = whole_number(form.fields, "revision")
            await self._call("draft_save", reader.token, draft=found["draft"], **said)
        except LocalError as error:
            return await self._refused(request, reader, found["label"], form, error)
        return RedirectResponse(f"/draft/{found['draft']}", 303)

    async def _form(self, request: Request, reader: Reader) -> Form:
        """What was written, and the files laid in with it."""
        if request.headers.get("content-type", "").startswith("multipart/"):
            return await self._desk.uploading.form(request, reader.token)
        return Form(await self._desk.form(request))

    async def autosave(self, request: Request, reader: Reader) -> Response:
        """Keep what is on the form by now; says to the script of the page, in words and as JSON,
        when and as what, or why not. It takes the place of what the same person saved before, as
        long as nobody has seen that; what is on the page stays there either way.
        """
        try:
            form = await self._desk.form(request)
            said = {**_content(form), "autosave": True}
            if "draft" in request.path_params:
                found = await self._draft(request, reader)
                said |= {**_kept(found), "draft": found["draft"]}
                said["revision"] = whole_number(form, "revision")
            else:
                said["line"] = await self._desk.label(request, reader)
            made = await self._call("draft_save", reader.token, **said)
        except LocalError as error:
            return JSONResponse({"said": " ".join(self._desk.told(request, error))})
        now = datetime.fromtimestamp(clock.now().wall_s, UTC)
        return JSONResponse(
            {**made, "said": self._desk.text(request, "desk.saved_at", at=f"{now:%H:%MZ}")}
        )

    async def act(self, request: Request, reader: Reader) -> Response:
        """Hand over, comment, return or drop; the latter comes from a page that asks first."""
        form = await self._desk.form(request)
        act, draft = form.get("act", ""), request.path_params["draft"]
        if act not in ACTS:
            raise LocalError("desk.form")
        args: dict[str, object] = {"draft": draft}
        if act in ("hand", "drop"):
            args["revision"] = whole_number(form, "revision")
        if act in ("comment", "return"):
            args["text"] = _text(form, "text")
        if act == "drop" and "release" in reader.rights:
            args["others"] = True
        await self._call(f"draft_{act}", reader.token, **args)
        return RedirectResponse("/drafts" if act == "drop" else f"/draft/{draft}", 303)

    async def drop(self, request: Request, reader: Reader) -> Response:
        """What would be erased, before it is."""
        found = await self._draft(request, reader)
        return self._desk.page(request, reader, "drop.html", {"d": found})

    async def check(self, request: Request, reader: Reader) -> Response:
        """Everything that is about to be said, and to whom."""
        found = await self._draft(request, reader)
        return self._desk.page(request, reader, "check.html", {"d": found})

    async def release(self, request: Request, reader: Reader) -> Response:
        """What will happen, in one sentence; and, with the passphrase, that it happens."""
        draft = request.path_params["draft"]
        found = await self._draft(request, reader)
        if request.method == "GET":
            own = await self._desk.confirming.own(reader)
            return self._desk.page(request, reader, "release.html", {"d": found, "own": own})
        form = {**await self._desk.form(request), "act": "draft_release", "draft": draft}
        async with self._releasing.setdefault(draft, asyncio.Lock()):
            # Who asks again, or comes second, is answered by what is there by now.
            found = await self._draft(request, reader)
            if found["state"] != "released" or form.get("hash") != found["hash"]:
                await self._desk.confirming.do(reader, form)
                found = await self._draft(request, reader)
        return RedirectResponse(f"/line/{found['line']}/ours/{found['serial']}", 303)

    async def _blank(self, request: Request, reader: Reader, label: str) -> dict[str, Any]:
        """An empty form, or a reply: then it refers to what it answers, and is as urgent."""
        blank: dict[str, Any] = {**_EMPTY, "references": [], "language": self._desk.tongue(request)}
        if said := request.query_params.get("reply"):
            blank["references"] = [reference(said)]
        values = await beside(self._call, reader.token, label, blank)
        for each in values["recent"]:
            if each["checked"]:
                blank["precedence"] = each.get("precedence", "ROUTINE")
        return {**values, "label": label, "d": blank, "draft": "", "action": request.url.path}

    async def _refused(
        self,
        request: Request,
        reader: Reader,
        label: str,
        form: Form,
        error: LocalError,
    ) -> Response:
        """The form as it was sent, and what is wrong with it: nobody types a text or adds a file
        twice. What the form cannot mend is raised."""
        if error.code.startswith(("desk.", "people.", "post.", "line.")):
            raise error
        said = form.fields
        typed = {name: _text(said, name) for name in _EMPTY if name in said}
        listed = {name: names(said.get(name, "")) for name in ("action", "information")}
        more = {"references": chosen(said), "files": [*kept(said), *form.files]}
        draft = {**_EMPTY, **typed, **listed, **more}
        values = await beside(self._call, reader.token, label, draft)
        values |= {"label": label, "d": draft, "draft": "", "action": request.url.path}
        values |= {"wrong": self._desk.told(request, error), "see": draft_of(error)}
        return self._desk.page(request, reader, "write.html", values, 400)

    async def _draft(self, request: Request, reader: Reader) -> dict[str, Any]:
        draft = request.path_params["draft"]
        found: dict[str, Any] = await self._call("draft_show", reader.token, draft=draft)
        return found


_EMPTY: dict[str, Any] = {
    "precedence": "ROUTINE", "language": "", "subject": "", "text": "", "due": None,
    "due_group": "", "dtg": None, "dtg_group": "", "revision": 0, "action": [], "information": [],
    "files": [],
}  # fmt: skip


def _kept(found: dict[str, Any]) -> dict[str, object]:
    """What a draft says that the form does not ask for, as arguments of draft_save."""
    dated = {"dtg_s": dtg.parse(found["dtg"], 0)} if found["dtg"] else {}
    return {**dated, "files": found["files"]}


def _open(line: dict[str, Any]) -> bool:
    return line["state"] in ("new", "opening", "open")


def _text(form: dict[str, str], name: str) -> str:
    """A field as typed; browsers send line ends as CR LF."""
    return form.get(name, "").replace("\r\n", "\n")


def _said(form: Form) -> dict[str, object]:
    """What a form says with its files, as arguments of draft_save. Raises LocalError."""
    if form.wrong is not None:
        raise form.wrong
    return {**_content(form.fields), "files": [*kept(form.fields), *form.files]}


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
        "references": references(form),
        "action": names(form.get("action", "")),
        "information": names(form.get("information", "")),
        **times,
    }
