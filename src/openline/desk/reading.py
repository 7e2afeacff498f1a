"""Reading on pages: the in-tray, a line, a message with what became of it, the transcript, search
and print.

Theory of operation: each page is made of one or two answers of the post. Opening a page says
nothing to the other side but what a list says: that a message stands before the watch; all else is
an act of its own. Which part of a record a page shows stands in its address; what is searched for
does not, since words of a search are content: it comes in the body of a form. Long records are read
page by page, and a print in as many pages of the post.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from .. import clock, display, dtg
from ..core.precedence import Precedence
from ..errors import LocalError
from ..views import IN_CHARGE
from .asking import last_texts
from .board import tiles
from .filing import values as filed
from .ladder import ladder

if TYPE_CHECKING:
    from .app import Desk, Reader

LISTED = 50
"""Messages on one page."""
PRINTED = 1_000
"""Messages on one print; what is longer is printed in parts."""
PRINTED_LETTERS = 8 << 20
"""The same in letters of their texts."""
PRINTED_AT_ONCE = 100
"""Asked of the post at a time, so that it does other work meanwhile."""

RECEIPTS = ("opened", "shown", "declined", "holding")
"""What a person may say of a message, each a deliberate act."""

AGAIN = {"holding"}
"""What may be said again, with another time."""

SIDES = ("ours", "theirs")
_FIELDS = ("side", "precedence", "from", "until")
"""By what a transcript is sifted, in an address."""


class Reading:
    """The pages of one desk on which messages are read."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._call = desk.asking.call

    async def inbox(self, request: Request, reader: Reader) -> Response:
        """What waits for us on all lines, most urgent first."""
        seen = "receive" in reader.rights
        found = await self._call("pending", reader.token, seen=seen)
        values = {**found, "now_s": clock.now().wall_s}
        return self._desk.page(request, reader, "inbox.html", values)

    async def line(self, request: Request, reader: Reader) -> Response:
        """The last messages of a line, the newest first."""
        line = await self._desk.line(request, reader)
        label = line["label"]
        # What a duty officer has listed stands before the watch, and the other side is told so.
        seen = "receive" in reader.rights
        found = await last_texts(self._call, reader.token, label, LISTED, seen=seen)
        values = {**_place(request), "label": label, "messages": found[::-1]}
        values["tile"] = tiles([line], {}, clock.now().wall_s)[0]
        return self._desk.page(request, reader, "line.html", values)

    async def message(self, request: Request, reader: Reader) -> Response:
        """One message: its text, what became of it, its thread, and what may be said of it."""
        asked = await self._desk.message(request, reader)
        found = await self._call("thread", reader.token, **asked)
        message = found["message"]
        said = {mark["kind"] for mark in message["marks"]}
        allowed = [kind for kind in RECEIPTS if _right(kind) in reader.rights]
        spoken = message["kind"] == "text" and not message["service"]
        values = {
            **_place(request),
            **filed(request, message),
            "m": message,
            "steps": ladder(message, found["answer"]),
            "before": found["before"],
            "after": found["after"],
            "complete": found["complete"],
            "acts": [kind for kind in allowed if kind not in said - AGAIN] if spoken else [],
        }
        return self._desk.page(request, reader, "message.html", values)

    async def receipt(self, request: Request, reader: Reader) -> Response:
        """Say one thing of a message of theirs."""
        args = await self._desk.message(request, reader)
        if args.pop("side") != "theirs":
            raise LocalError("desk.form")
        form = await self._desk.form(request)
        kind = form.get("kind", "")
        if kind not in RECEIPTS or _right(kind) not in reader.rights:
            raise LocalError("desk.no_right")
        if kind == "holding":
            args["due_s"] = dtg.parse(form.get("due", ""), clock.now().wall_s)
        await self._call("receipt", reader.token, kind=kind, **args)
        return RedirectResponse(request.url.path, 303)

    # -- the record -----------------------------------------------------------------------------

    async def transcript(self, request: Request, reader: Reader) -> Response:
        """A page of the record of a line, in its order."""
        label = await self._desk.label(request, reader)
        fields = _fields(request.query_params)
        found = await self._call(
            "search", reader.token, line=label, limit=LISTED, **_sieve(fields), **_at(request)
        )
        values = {**_place(request), **self._read_on(found, fields), "label": label}
        return self._desk.page(request, reader, "transcript.html", values)

    async def printed(self, request: Request, reader: Reader) -> Response:
        """The record of a line, or the part asked for, as it is printed."""
        label = await self._desk.label(request, reader)
        fields, at = _fields(request.query_params), _at(request)
        records: list[dict[str, Any]] = []
        while True:
            found = await self._call(
                *("search", reader.token),
                **{"line": label, "limit": PRINTED_AT_ONCE, **_sieve(fields), **at},
            )
            records += found["records"]
            at = {"at": found["next"]}
            length = sum(len(each.get("text", "")) for each in records)
            if found["next"] is None or len(records) >= PRINTED or length >= PRINTED_LETTERS:
                break
        whole = {**found, "records": records}
        values = {**_place(request), **self._read_on(whole, fields), "label": label}
        now_s = clock.now().wall_s
        values |= {"printed": display.moment(now_s), "printed_group": dtg.group(now_s)}
        return self._desk.page(request, reader, "print.html", values)

    async def page_style(self, request: Request, reader: Reader) -> Response:
        """What stands on every page of a print: the line, and which page of how many it is.

        A stylesheet of its own, because what a page may style in place is nothing.
        """
        label = await self._desk.label(request, reader)
        boxes = f'@top-left {{ content: "Openline \\b7  {quoted(label)}" }}'
        pages = '@top-right { content: counter(page) " / " counter(pages) }'
        return Response(f"@page {{ margin: 20mm 15mm; {boxes} {pages} }}\n", media_type="text/css")

    async def search(self, request: Request, reader: Reader) -> Response:
        """What was said on one line or all, by its words, which come in a form."""
        lines = sorted({line["label"] for line in await self._call("lines", reader.token)})
        form = await self._desk.form(request) if request.method == "POST" else {}
        fields = {**_fields(form), "words": form.get("words", ""), "line": form.get("line", "")}
        values: dict[str, Any] = {"lines": lines, "found": None, "fields": fields, "next": ""}
        if fields["words"].strip():
            args = {**_sieve(fields), "words": fields["words"], "line": fields["line"] or None}
            if said := form.get("at"):
                args["at"] = _cursor(said)
            found = await self._call("search", reader.token, limit=LISTED, **args)
            values |= {"found": found["records"], "next": _dotted(found["next"])}
        return self._desk.page(request, reader, "search.html", values)

    async def addresses(self, request: Request, reader: Reader) -> Response:
        """The lines for which forms of address can be set."""
        lines = await self._call("lines", reader.token)
        values = {"lines": [line for line in lines if line["state"] in IN_CHARGE]}
        return self._desk.page(request, reader, "addresses.html", values)

    async def address(self, request: Request, reader: Reader) -> Response:
        """Forms of address of a line: an administrator sets what those who write are shown."""
        label = await self._desk.label(request, reader)
        if request.method == "POST":
            text = (await self._desk.form(request)).get("text", "").replace("\r\n", "\n")
            await self._call("address_set", reader.token, line=label, text=text)
            return RedirectResponse(request.url.path, 303)
        found = await self._call("address", reader.token, line=label)
        values = {**_place(request), "label": label, "address": found["text"]}
        return self._desk.page(request, reader, "address.html", values)

    async def keys(self, request: Request, reader: Reader) -> Response:
        """Which keys do what."""
        return self._desk.page(request, reader, "keys.html", {})

    def _read_on(self, found: Mapping[str, Any], fields: dict[str, str]) -> dict[str, Any]:
        """A part of a record, how it was sifted, and the address of what follows."""
        kept = {name: said for name, said in fields.items() if said}
        more = found["next"] and urlencode({**kept, "at": _dotted(found["next"])})
        return {
            "records": found["records"],
            "fields": fields,
            "sifted": urlencode(kept),
            "next": more or "",
        }


def _place(request: Request) -> dict[str, Any]:
    return {"line": request.path_params["line"]}


def _right(kind: str) -> str:
    return "show" if kind == "shown" else "receive"


def _fields(said: Mapping[str, str]) -> dict[str, str]:
    return {name: said.get(name, "").strip()[:40] for name in _FIELDS}


def _sieve(fields: Mapping[str, str]) -> dict[str, object]:
    """Arguments of the verb search. Raises LocalError: desk.form, time.unreadable."""
    side, precedence = fields["side"], fields["precedence"]
    if side not in ("", *SIDES) or precedence not in ("", *Precedence.__members__):
        raise LocalError("desk.form")
    now_s = clock.now().wall_s
    return {
        "side": side or None,
        "precedence": precedence or None,
        **{
            f"{name}_s": dtg.parse(fields[name], now_s)
            for name in ("from", "until")
            if fields[name]
        },
    }


def _at(request: Request) -> dict[str, object]:
    """Where to read on, from an address: "2.17.30", or "latest"."""
    said = request.query_params.get("at", "")
    if said == "latest":
        return {"latest": True}
    return {"at": _cursor(said)} if said else {}


def _cursor(said: str) -> list[int]:
    parts = said.split(".")
    if len(parts) != 3 or not all(p.isascii() and p.isdigit() and len(p) < 19 for p in parts):
        raise LocalError("desk.form")
    return [int(part) for part in parts]


def _dotted(at: list[int] | None) -> str:
    return ".".join(map(str, at)) if at else ""


def quoted(text: str) -> str:
    """A text inside a string of a stylesheet: whatever is no plain letter by its number."""
    return "".join(
        letter if letter.isascii() and letter.isalnum() else f"\\{ord(letter):x} "
        for letter in display.safe(text)
    )
