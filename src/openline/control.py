"""The control socket: how our own people's programs ask the running post.

Theory of operation: a local Unix socket whose mode lets in its owner (and one group, if
configured). For each request `_Conversation._ask` finds out who asks (whose sign-in is shown in
"as", else which Unix user the kernel names at the other end) and checks, there and nowhere else,
that they may. One JSON object per line each way, many requests under way at a time, answers matched
by id:

    {"id": 7, "verb": "send", "args": {...}}    and, if somebody is signed in, "as": token, and
                                                "proof": what `prove` gave, where rights.py asks it
    {"id": 7, "ok": {...}}    or    {"id": 7, "error": {"code": "line.unknown", "details": {...}}}

`watch` answers {"id": 7, "ok": {}} and from then on {"id": 7, "event": {"name", "line", "label",
"mono_ms", "values"}}, `mono_ms` being the machine's monotonic clock when it was on disk. A
connection watches once: another `watch` on it takes the events over. What verbs of the record mean
is in verbs.py; here are only those that need a running post:

    caller -      (who asks, and what they may)
    ping -        bearer_add line kind (address | url [tokens] …) [cost] …
    bearers -     bearer_change line name [address …] [cost] [latency_ms] …
    watch -       bearer_pause | bearer_resume | bearer_remove line name
    stop -        bearer_test line name [wait_s]
                  inbox | pending | search … seen: true  (marks what is listed as delivered)
                  show … open: true     (marks it as opened)
"""

from __future__ import annotations

import asyncio
import grp
import json
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from . import carrying, config, verbs, views
from .arguments import REQUEST_BYTES_MAX, Args
from .clock import Now
from .core import receipts
from .core.events import Serial
from .errors import LocalError, OpenlineError, reason, unforeseen
from .inputs import Operate, Receive, TryBearer
from .logs import log
from .people import Caller
from .post import Post
from .rights import RIGHTS, needed
from .runner import Runner, Watching
from .store.base import Store
from .switchboard import Switchboard

SOCKET_FILE = "control.sock"
"""Where a client looks for the socket in the post's directory."""

CHUNK_BYTES = 64 * 1024

CONVERSATIONS_MAX = 64
"""Connections at a time; one more is closed at once. A desk takes two, whatever its boards."""

OUTSTANDING_MAX = 512
"""Requests of one connection not yet answered; beyond it nothing more is read."""

TEST_S = 10
"""How long the answer to a test of a bearer is waited for, unless asked otherwise."""

TEST_S_MAX = 25
"""Longest such wait: a client waits no longer than half a minute for any answer."""

_LISTINGS = {"inbox": "records", "pending": "messages", "search": "records"}
"""Readings that list messages, and under which key their answer does."""

_PEER = struct.Struct("3i")

Answer = dict[str, Any]

_encode = json.JSONEncoder(default=str).encode


@dataclass(frozen=True)
class Running:
    """A post that runs, as the control socket acts on it."""

    store: Store
    post: Post
    runner: Runner
    switchboard: Switchboard
    now: Callable[[], Now]
    stop: Callable[[], None]


class ControlSocket:
    """Listens while in its block: `async with ControlSocket(running) as control: …`.

    If the configuration puts the socket elsewhere, a link in the post's directory leads to it.
    """

    def __init__(self, running: Running) -> None:
        board = running.switchboard
        self.path = board.directory / board.config.control
        self._link = board.directory / SOCKET_FILE
        self._running = running
        self._server: asyncio.Server | None = None
        self._conversations: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> ControlSocket:
        listening = _bound(self.path, self._running.switchboard.config.control_group)
        if self._link != self.path:
            self._link.unlink(missing_ok=True)
            self._link.symlink_to(self.path)
        self._server = await asyncio.start_unix_server(self._accept, sock=listening)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for path in (self.path, self._link):
            path.unlink(missing_ok=True)
        for task in self._conversations:
            task.cancel()
        if self._conversations:
            await asyncio.wait(self._conversations)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._conversations) >= CONVERSATIONS_MAX:
            writer.close()
            return
        task = asyncio.create_task(_Conversation(self._running, writer).run(reader))
        self._conversations.add(task)
        task.add_done_callback(self._conversations.discard)
        task.add_done_callback(lambda _: writer.close())


class _Conversation:
    """One connection: who it is, what it may ask, what it waits for."""

    def __init__(self, running: Running, writer: asyncio.StreamWriter) -> None:
        self._running = running
        self._writer = writer
        self._uid = _user_of(writer)
        self._outstanding = 0
        self._room = asyncio.Event()
        self._unwritten: list[str] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._watching: Watching | None = None
        self._watch_as: tuple[int | str, str] = (0, "")
        """By which request, and under which sign-in, events are told."""
        self._slow: dict[str, Callable[[Caller, Args], Awaitable[Any]]] = {
            "bearer_test": self._bearer_test,
            **{verb: partial(self._bearer_changed, verb) for verb in config.CHANGES},
            **{verb: partial(self._carried, carry) for verb, carry in carrying.VERBS.items()},
        }

    async def run(self, reader: asyncio.StreamReader) -> None:
        """Answer until the other end closes or breaks the rules."""
        rest = b""
        try:
            while chunk := await reader.read(CHUNK_BYTES):
                *lines, rest = (rest + chunk).split(b"\n")
                if max(map(len, [rest, *lines])) > REQUEST_BYTES_MAX:
                    self._fail(None, LocalError("control.too_long", bytes_max=REQUEST_BYTES_MAX))
                    break
                for line in lines:
                    await self._settled(OUTSTANDING_MAX - 1)
                    self._request(line)
                self._flush()
                await self._writer.drain()
            await self._settled(0)
        except OSError:
            # The other end is gone; what it asked is done, and nobody is left to tell.
            return
        finally:
            self._flush()
            for task in self._tasks:
                task.cancel()
            # Here, for a task that was cancelled before it began has closed nothing.
            self._no_more_watching()

    async def _settled(self, left: int) -> None:
        """Wait until no more than `left` requests are without an answer."""
        while self._outstanding > left:
            self._room.clear()
            await self._room.wait()

    def _answered(self) -> None:
        self._outstanding -= 1
        self._room.set()

    # -- one request --------------------------------------------------------------------------

    def _request(self, line: bytes) -> None:
        number: object = None
        try:
            try:
                request = json.loads(line)
            except (ValueError, RecursionError):
                raise LocalError("control.malformed") from None
            if not isinstance(request, dict):
                raise LocalError("control.malformed")
            number, verb, args = request.get("id"), request.get("verb"), request.get("args", {})
            if not isinstance(number, int | str) or not isinstance(args, dict):
                raise LocalError("control.malformed")
            self._ask(number, verb, args, request.get("as", ""), request.get("proof", ""))
        except Exception as error:  # the edge of one request: our mistake in it ends nothing else
            self._fail(number, error)

    def _ask(
        self, number: int | str, verb: object, args: Args, token: object, proof: object
    ) -> None:
        """Check the right, here and nowhere else, then do it."""
        if not isinstance(verb, str) or verb not in RIGHTS:
            raise LocalError("control.verb")
        if not isinstance(token, str) or not isinstance(proof, str):
            raise LocalError("control.malformed")
        running = self._running
        caller = self._caller(token)
        _need(caller, needed(verb, args), verb)
        running.post.people.confirm(caller, verb, args, proof, running.now())
        if verb in verbs.ACTS:
            act = verbs.act(running.store, running.post, caller.actor, verb, args)
            given = running.runner.give(act)
            # Not before: what a full queue refuses has its answer, and no other comes.
            self._outstanding += 1
            given.add_done_callback(partial(self._acted, number, verb))
        elif verb in verbs.READINGS:
            found = verbs.read(running.store, running.post, verb, args, running.now())
            marks = _marks(caller, verb, args, found)
            if marks:
                self._background(number, self._marked(found, marks))
            else:
                self._answer(number, found)
        elif verb == "watch":
            self._answer(number, {})
            self._watch_as = number, token
            if self._watching is None:
                self._watching = running.runner.watch()
                self._beside(self._watch(self._watching))
        elif verb in self._slow:
            self._background(number, self._slow[verb](caller, args))
        else:
            self._answer(number, self._at_once(verb, caller))

    def _caller(self, token: str, *, at_work: bool = True) -> Caller:
        """Who is at the other end now. Raises LocalError."""
        running = self._running
        people, own_uid = running.post.people, os.getuid()
        return people.caller(self._uid, own_uid, running.now(), token, at_work=at_work)

    def _acted(self, number: int | str, verb: str, future: asyncio.Future[object]) -> None:
        self._answered()
        if future.cancelled():
            return
        if (error := future.exception()) is not None:
            self._fail(number, error)
        elif verb in ("pair", "revoke"):
            self._background(number, self._lines_changed(future.result()))
        else:
            self._answer(number, verbs.acted(future.result()))

    def _at_once(self, verb: str, caller: Caller) -> Any:
        if verb == "caller":
            return caller.view()
        if verb == "stop":
            self._running.stop()
            return {}
        if verb == "bearers":
            return self._running.switchboard.view(self._running.now())
        return {"lines": len(self._running.post.lines())}

    # -- what takes longer --------------------------------------------------------------------

    def _beside(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it beside the other requests, until it ends or the connection does."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _background(self, number: int | str, work: Awaitable[Any]) -> None:
        self._outstanding += 1
        self._beside(self._finish(number, work))

    async def _finish(self, number: int | str, work: Awaitable[Any]) -> None:
        try:
            self._answer(number, await work)
        except Exception as error:  # the edge of one request, as in _request
            self._fail(number, error)
        finally:
            self._answered()

    async def _lines_changed(self, result: object) -> Any:
        await self._running.switchboard.apply()
        return verbs.acted(result)

    async def _bearer_changed(self, verb: str, caller: Caller, args: Args) -> Any:
        """Change the configuration: worked out, entered in the audit log, written, brought about,
        and no two at a time.
        """
        board = self._running.switchboard
        lines = {self._running.post.label(line): line for line in self._running.post.lines()}
        line = lines.get(str(args.get("line", "")), 0)
        async with board.changing:
            change = config.planned(board.directory, verb, args, caller.actor, lines)
            details = {"line": line, "kind": change.entry.kind, "name": change.entry.name}
            await self._running.runner.give(Operate(caller.actor, verb, details))
            await board.apply(change.make())
        return {"name": change.entry.name}

    async def _bearer_test(self, caller: Caller, args: Args) -> Any:
        """Send something over one bearer alone; how long its answer took, or that none came."""
        line = views.find_line(self._running.post, str(args.get("line", "")))
        name, wait_s = str(args.get("name", "")), args.get("wait_s", TEST_S)
        if not isinstance(wait_s, int) or not 1 <= wait_s <= TEST_S_MAX:
            raise LocalError("control.argument", name="wait_s")
        watching = self._running.runner.watch()
        try:
            await self._running.runner.give(TryBearer(line, caller.actor, name))
            async with asyncio.timeout(wait_s):
                while True:
                    for event, at, values in await watching.more():
                        if event == "tested" and at == line and values["bearer"] == name:
                            return {"answered": True, "took_ms": values["took_ms"]}
        except TimeoutError:
            return {"answered": False, "took_ms": None}
        finally:
            watching.close()

    async def _carried(self, carry: carrying.Carry, caller: Caller, args: Args) -> Any:
        return await carry(self._running.post, self._running.runner, caller.actor, args)

    async def _marked(self, found: Any, marks: list[Receive]) -> Any:
        """The reading, once its receipts are on disk; one that cannot be written does not hide the
        text.
        """
        await asyncio.gather(*map(self._given, marks))
        return found

    async def _given(self, mark: Receive) -> None:
        with suppress(OpenlineError):
            await self._running.runner.give(mark)

    async def _watch(self, watching: Watching) -> None:
        """Tell what happens for as long as who watches may know; watching is no work."""
        post = self._running.post
        try:
            while True:
                events = await watching.more()
                number, token = self._watch_as
                _need(self._caller(token, at_work=False), RIGHTS["watch"], "watch")
                mono_ms = self._running.now().mono_ms
                for name, line, values in events:
                    label = post.label(line) if line in post.lines() else ""
                    shown = {"name": name, "line": line, "label": label, "mono_ms": mono_ms}
                    self._write({"id": number, "event": {**shown, "values": values}})
                self._flush()
                await self._writer.drain()
        except LocalError as error:
            self._fail(self._watch_as[0], error)
            self._no_more_watching()

    def _no_more_watching(self) -> None:
        if self._watching is not None:
            self._watching.close()
            self._watching = None

    # -- answering ----------------------------------------------------------------------------

    def _answer(self, number: object, found: Any) -> None:
        self._write({"id": number, "ok": found})

    def _fail(self, number: object, error: BaseException) -> None:
        if not isinstance(error, OpenlineError):
            error = unforeseen(error)
            log().error("control.fault", **error.details)
        self._write({"id": number, "error": {"code": error.code, "details": error.details}})

    def _write(self, answer: Answer) -> None:
        """Write with all else that is answered in this turn of the loop: one step answers many."""
        if not self._unwritten:
            asyncio.get_running_loop().call_soon(self._flush)
        self._unwritten.append(_encode(answer))

    def _flush(self) -> None:
        if self._unwritten and not self._writer.is_closing():
            self._writer.write("\n".join([*self._unwritten, ""]).encode())
        self._unwritten.clear()


def _need(caller: Caller, right: str, verb: str) -> None:
    if right not in caller.rights:
        log().warning("control.refused", verb=verb, right=right)
        raise LocalError("control.no_right", verb=verb, right=right)


def _marks(caller: Caller, verb: str, args: Args, found: Any) -> list[Receive]:
    """The receipts that this reading is, if it says so: what a duty desk lists stands before a
    person on watch.
    """
    kind, states = receipts.DELIVERED, {"arrived"}
    if verb in _LISTINGS and args.get("seen") is True:
        listed = found[_LISTINGS[verb]]
    elif verb == "show" and args.get("open") is True:
        states = {"arrived", "delivered", "restored"}
        kind, listed = receipts.OPENED, [found]
    else:
        return []
    _need(caller, "receive", verb)
    return [
        Receive(view["line"], caller.actor, kind, Serial(view["incarnation"], view["number"]))
        for view in listed
        if view["type"] == "message" and view["side"] == "theirs" and not view["service"]
        if view["state"] in states and not view["variant"]
    ]


def _user_of(writer: asyncio.StreamWriter) -> int:
    """The Unix user at the other end, as the kernel knows it."""
    peer = writer.get_extra_info("socket")
    if not hasattr(socket, "SO_PEERCRED"):
        # Other systems: the mode of the socket has let in its owner and nobody else.
        return os.getuid()
    _, uid, _ = _PEER.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size))
    return int(uid)


def _bound(path: Path, group: str | None) -> socket.socket:
    """A listening socket at `path`, there with its rights set or not at all.

    Raises LocalError: control.in_use (a process answers there), control.group, control.path (too
    long, or no such directory).
    """
    if _answers(path):
        raise LocalError("control.in_use", path=str(path))
    new = path.with_name(path.name + ".new")
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        new.unlink(missing_ok=True)
        listening.bind(str(new))
        new.chmod(0o600)
        if group is not None:
            os.chown(new, -1, grp.getgrnam(group).gr_gid)
            new.chmod(0o660)
        listening.listen(CONVERSATIONS_MAX)
        listening.setblocking(False)
        os.replace(new, path)
    except OSError as error:
        listening.close()
        raise LocalError("control.path", path=str(path), reason=reason(error)) from error
    except KeyError:
        listening.close()
        raise LocalError("control.group") from None
    return listening


def _answers(path: Path) -> bool:
    """Whether a process listens at `path`; a socket without one is what a killed one left."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        try:
            asking.connect(str(path))
        except OSError:
            return False
        return True
