"""The desk's pages and what they do.

Theory of operation: server-rendered pages that work without JavaScript; one small script makes the
board live. A request passes, in this order: a bound on its size, the origin check for whatever
changes something, the sign-in behind its cookie, the table of access.ROUTES; then a handler asks
the post and fills a template. Every answer carries the same strict headers: nothing is loaded from
elsewhere, nothing runs that is not ours, nothing is kept. What an act means, and who may do it, is
decided by the post.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.applications import Starlette
from starlette.convertors import register_url_convertor
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .. import clock, display
from ..errors import LocalError, OpenlineError
from ..i18n import LANGUAGES, PSEUDO, catalogue
from .access import ANYBODY, ROUTES
from .asking import Asking
from .confirming import Confirming
from .door import Door
from .filing import Filing
from .live import Board
from .naming import NumberConvertor, draft_of, place_of
from .pace import Pace
from .reading import Reading
from .rendering import HERE, fragment, page
from .staffing import Staffing
from .uploading import Uploading, pieces
from .writing import Writing

COOKIE = "openline"
"""Name of the cookie that holds a sign-in."""

KNOWN = "openline.known"
"""What stands in the scope of a request once it is known to come from who is signed in."""

LANGUAGE_COOKIE = "language"

PERSON_BURST, PERSON_PER_S = 2_000, 200
"""Requests of one person at once, and per second: more than hands and our scripts make."""

DOOR_BURST, DOOR_PER_S = 200, 5
"""What is sent to the door by everybody together."""

FORM_BYTES_MAX = 256 * 1024
"""Room for the longest text, each of its bytes written as %XX."""

# Not "no-referrer" below: under that a browser says "Origin: null" of our own forms.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types openline"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cache-Control": "no-store",
}


@dataclass
class Reader:
    """Who looks at a page, as the post knows them."""

    token: str
    name: str
    rights: frozenset[str] = field(default_factory=frozenset)
    how: str = ""
    """By what they signed in: "passphrase", "passkey", "link"."""


class Headers:
    """Puts HEADERS on every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                # What is handed out to be saved has a policy of its own, a stricter one.
                policy = headers.get("Content-Security-Policy", HEADERS["Content-Security-Policy"])
                headers.update({**HEADERS, "Content-Security-Policy": policy})
            await send(message)

        await self.app(scope, receive, sent)


register_url_convertor("number", NumberConvertor())

Handler = Callable[[Request, Reader], Awaitable[Response]]


class Desk:
    """The pages over one post. `origin` is what a browser calls this place: "http://host:port"."""

    def __init__(self, directory: Path, origin: str) -> None:
        self.asking = Asking(directory)
        self.origin = origin
        self._people_pace = Pace(PERSON_BURST, PERSON_PER_S)
        self._door_pace = Pace(DOOR_BURST, DOOR_PER_S)
        self.confirming = Confirming(self)
        self._door = Door(self)
        self._reading = Reading(self)
        self._writing = Writing(self)
        self._staffing = Staffing(self)
        self._filing = Filing(self)
        self.uploading = Uploading(self.asking.call, FORM_BYTES_MAX)
        self.app = Headers(self._starlette())

    def _starlette(self) -> Starlette:
        def route(path: str, name: str, handler: Handler, *methods: str) -> Route:
            return Route(path, self._guarded(name, handler), methods=list(methods), name=name)

        line, draft = "/line/{line:number}", "/draft/{draft}"
        serial = line + "/{side}/{serial}"
        door, reading, writing = self._door, self._reading, self._writing
        staffing = self._staffing
        return Starlette(
            routes=[
                route("/", "board", self._board, "GET"),
                route("/tiles", "tiles", self._tiles, "GET"),
                route("/live", "live", self._live, "GET"),
                route("/inbox", "inbox", reading.inbox, "GET"),
                route("/search", "search", reading.search, "GET", "POST"),
                route("/keys", "keys", reading.keys, "GET"),
                route(line, "line", reading.line, "GET"),
                route(line + "/transcript", "transcript", reading.transcript, "GET"),
                route(line + "/print", "print", reading.printed, "GET"),
                route(line + "/page.css", "page_style", reading.page_style, "GET"),
                route("/addresses", "addresses", reading.addresses, "GET"),
                route(line + "/address", "address", reading.address, "GET", "POST"),
                route(serial, "message", reading.message, "GET"),
                route(serial + "/files", "files", self._filing.files, "GET"),
                route(serial + "/file/{which:number}", "file", self._filing.file, "GET"),
                route(serial + "/picture/{which:number}", "picture", self._filing.picture, "GET"),
                route(serial, "receipt", reading.receipt, "POST"),
                route("/drafts", "drafts", writing.drafts, "GET"),
                route(line + "/write", "write", writing.write, "GET", "POST"),
                route(draft, "draft", writing.draft, "GET"),
                route(draft, "draft_act", writing.act, "POST"),
                route(draft + "/edit", "edit", writing.edit, "GET", "POST"),
                route(line + "/autosave", "autosave", writing.autosave, "POST"),
                route(draft + "/autosave", "autosave", writing.autosave, "POST"),
                route(draft + "/drop", "drop", writing.drop, "GET"),
                route(draft + "/check", "check", writing.check, "GET"),
                route(draft + "/release", "release", writing.release, "GET", "POST"),
                route("/passphrase", "passphrase", door.passphrase, "GET", "POST"),
                route("/passkeys", "passkeys", door.passkeys, "GET", "POST"),
                route("/passkey", "passkey", self.confirming.ask, "POST"),
                route("/sign-in/passkey", "door_passkey", self.confirming.ask, "POST"),
                route("/sign-in", "sign_in", door.sign_in, "GET", "POST"),
                route("/enter", "enter", door.enter, "GET", "POST"),
                route("/sign-out", "sign_out", door.sign_out, "POST"),
                route("/people", "people", staffing.people, "GET", "POST"),
                route("/people/{name}", "person", staffing.person, "GET", "POST"),
                route("/watch", "watch", staffing.watch, "GET", "POST"),
                route("/language", "language", self._language, "POST"),
                Mount("/static", StaticFiles(directory=HERE / "static")),
            ],
            exception_handlers={HTTPException: self._unfound},
        )

    # -- the way in -----------------------------------------------------------------------------

    def _guarded(self, name: str, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        """The handler behind the checks that every request passes."""

        async def handle(request: Request) -> Response:
            reader = Reader("", "")
            try:
                if request.method == "POST" and request.headers.get("origin") != self.origin:
                    raise LocalError("desk.origin")
                reader = await self._reader(request, name)
                return await handler(request, reader)
            except OpenlineError as error:
                return self._problem(request, reader, error)

        return handle

    async def _reader(self, request: Request, name: str) -> Reader:
        """Who asks. Raises LocalError: people.signed_out, desk.no_right."""
        token = request.cookies.get(COOKIE, "")
        if ROUTES[name] == ANYBODY:
            if request.method == "POST":
                self._door_pace.spend("", clock.now())
            return Reader("", "")
        if not token:
            raise LocalError("people.signed_out")
        said = await self.asking.call("caller", token)
        reader = Reader(token, said["name"], frozenset(said["rights"]), said["how"])
        request.scope[KNOWN] = True
        self._people_pace.spend(reader.name, clock.now())
        if ROUTES[name] not in reader.rights:
            raise LocalError("desk.no_right")
        return reader

    def _problem(self, request: Request, reader: Reader, error: OpenlineError) -> Response:
        if error.code == "people.signed_out":
            gone = RedirectResponse("/sign-in", 303)
            gone.delete_cookie(COOKIE)
            return gone
        what, then = self.told(request, error)
        values = {"what": what, "next": then, "back": self._came_from(request)}
        values["see"] = draft_of(error)
        return self.page(request, reader, "problem.html", values, _status(error.code))

    def tongue(self, request: Request) -> str:
        """In what language somebody who reads our pages so will most likely write."""
        spoken = _language(request)
        return spoken if spoken in LANGUAGES else LANGUAGES[0]

    def text(self, request: Request, key: str, **values: object) -> str:
        """A wording in the reader's language."""
        return catalogue(_language(request)).text(key, **values)

    def told(self, request: Request, error: OpenlineError) -> tuple[str, str]:
        """An error in words: what it is, and what to do now, at the desk if that differs from what
        a command would do."""
        words = catalogue(_language(request))
        details = _safe(error.details)
        what = words.text(error.code, **details)
        about = "post.in_doubt" if error.details.get("in_doubt") else error.code
        thens = (f"{about}.{where}" for where in ("desk", "next"))
        return what, next((words.text(key, **details) for key in thens if words.has(key)), "")

    async def _unfound(self, request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        words = catalogue(_language(request))
        values = {
            "person": "",
            "what": words.text("desk.unfound"),
            "next": "",
            "back": "/",
            "see": "",
        }
        return page("problem.html", words.language, values, status)

    async def form(self, request: Request) -> dict[str, str]:
        """The fields of a form. Raises LocalError("desk.form")."""
        body = b""
        try:
            async for piece in pieces(request):
                body += piece
                if len(body) > FORM_BYTES_MAX:
                    raise LocalError("desk.form")
            return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=64))
        except (ValueError, ClientDisconnect, TimeoutError):
            raise LocalError("desk.form") from None

    def page(
        self,
        request: Request,
        reader: Reader,
        name: str,
        values: dict[str, Any],
        status: int = 200,
    ) -> Response:
        """A page for who is signed in, or for nobody yet."""
        given = {"person": reader.name, "rights": reader.rights, **values}
        return page(name, _language(request), given, status)

    # -- the cookies ----------------------------------------------------------------------------

    def entered(self, token: str, then: str) -> Response:
        """Somebody has signed in, and is led on."""
        answer = RedirectResponse(then, 303)
        secure = self.origin.startswith("https:")
        answer.set_cookie(COOKIE, token, httponly=True, samesite="strict", secure=secure)
        return answer

    def _came_from(self, request: Request) -> str:
        """The page of ours that led here, "/" if the browser does not say."""
        said = request.headers.get("referer", "")
        path = said.removeprefix(self.origin)
        ours = said.startswith(f"{self.origin}/") and not path.startswith(("//", "/\\"))
        return path if ours else "/"

    async def _language(self, request: Request, _reader: Reader) -> Response:
        form = await self.form(request)
        answer = RedirectResponse(self._came_from(request), 303)
        if form.get("language") in (*LANGUAGES, PSEUDO):
            answer.set_cookie(LANGUAGE_COOKIE, form["language"], samesite="strict", httponly=True)
        return answer

    # -- the board ------------------------------------------------------------------------------

    async def _board(self, request: Request, reader: Reader) -> Response:
        values = await Board(self.asking, reader.token).values()
        return self.page(request, reader, "board.html", values)

    async def _tiles(self, request: Request, reader: Reader) -> Response:
        values = await Board(self.asking, reader.token).values()
        return self.page(request, reader, "tiles.html", values)

    async def _live(self, request: Request, reader: Reader) -> Response:
        language = _language(request)

        async def events() -> AsyncIterator[ServerSentEvent]:
            # Signed out, or the post is away: the stream ends, and the script says so.
            with suppress(LocalError):
                async for values in Board(self.asking, reader.token).updates():
                    html = fragment("tiles.html", language, values)
                    clock = fragment("clock.html", language, values)
                    said = json.dumps({"html": html, "clock": clock})
                    yield ServerSentEvent(said, event="tiles")

        return EventSourceResponse(events())

    # -- reading --------------------------------------------------------------------------------

    async def line(self, request: Request, reader: Reader) -> dict[str, Any]:
        """The line in the address, as it stands. Raises LocalError("line.unknown")."""
        number = request.path_params["line"]
        for line in await self.asking.call("lines", reader.token):
            if line["line"] == number:
                return dict(line)
        raise LocalError("line.unknown", label=str(number))

    async def label(self, request: Request, reader: Reader) -> str:
        """The label of the line in the address."""
        return str((await self.line(request, reader))["label"])

    async def message(self, request: Request, reader: Reader) -> dict[str, Any]:
        """The message in the address, as an argument of verbs: {"line", "side", "number",
        "incarnation"}. Raises LocalError: message.unknown, desk.form, line.unknown."""
        number, incarnation = place_of(request.path_params["serial"])
        side = request.path_params["side"]
        if side not in ("ours", "theirs"):
            raise LocalError("desk.form")
        label = await self.label(request, reader)
        return {"line": label, "side": side, "number": number, "incarnation": incarnation}


def _status(code: str) -> int:
    """The HTTP status that an error means."""
    if code.endswith((".no_right", ".origin")):
        return 403
    if code.endswith(".unknown"):
        return 404
    if code == "desk.too_many":
        return 429
    return 503 if code.startswith("post.") else 400


def _language(request: Request) -> str:
    """The reader's interface language: as chosen, else as the browser prefers."""
    chosen = request.cookies.get(LANGUAGE_COOKIE, "")
    if chosen == PSEUDO:
        return PSEUDO
    wishes = [chosen, *request.headers.get("accept-language", "").split(",")]
    return next((w.strip()[:2] for w in wishes if w.strip()[:2] in LANGUAGES), LANGUAGES[0])


def _safe(details: dict[str, Any]) -> dict[str, object]:
    """Details of an error for people, harmless whatever they hold."""
    return {name: display.safe(str(value)) for name, value in details.items()}
