"""Direct TCP: the bearer that needs nobody else (docs/protocol.md §10).

Theory of operation: `TcpBearer` dials the other post for one line and redials for ever;
`TcpListener` holds one listening socket for all lines of a post and learns from the handshake which
one is calling. Until the handshake is done both read from the bare socket exactly the sizes it
names, so a stranger makes us hold 32 bytes for 5 s and no more. Then connection.py joins the stream
to the Port. TCP acknowledges bytes, not custody: what a cut swallowed is sent again by the line,
not here.

A wire that swallows packets and closes nothing is noticed by what stays unanswered: about a second
after a message, and after the next keep-alive where none was said. Both ends then say down. The
caller dials anew at once and keeps the doubtful connection beside that, for a wire may only have
been slow: whichever of the two carries first is used.

Lines, seals and retransmission must not live here.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from openline.errors import BearerError, reason

from .base import BearerProfile, Port
from .connection import LISTENING, Link, Timing
from .framing import (
    ANSWER_BYTES,
    CONFIRM_BYTES,
    HELLO_BYTES,
    NONCE_BYTES,
    Answerer,
    Caller,
    LineKey,
)
from .reach import Door, Reach, as_bearer_error, closed_on_failure, given_up

Entropy = Callable[[int], bytes]

STRANGERS_MAX = 32
"""Connections in the handshake at a time; one more puts out the oldest, so that a flood cannot hold
the door shut.
"""

BACKLOG = 64
ACCEPT_RETRY_S = 1.0
"""Wait after an accept that failed for want of file descriptors or memory."""

PROFILE = BearerProfile(
    name="tcp", latency_ms=50, mtu_bytes=4096, retry_ms_min=1000, retry_ms_max=15_000, cost=10
)
"""What direct TCP declares, from either end."""


class ListeningLine(NamedTuple):
    """A line that may call us, and where what it brings goes."""

    key: LineKey
    port: Port


class TcpBearer:
    """Dials one address for one line; knocks at the pace of reach.py for ever."""

    def __init__(
        self,
        address: tuple[str, int],
        own: LineKey,
        entropy: Entropy,
        *,
        profile: BearerProfile = PROFILE,
        timing: Timing | None = None,
    ) -> None:
        """`address` is host name or number, and port."""
        self.profile = profile
        self._address = address
        self._own = own
        self._entropy = entropy
        self._timing = timing or Timing()

    async def run(self, port: Port) -> None:
        """Carry datagrams until cancelled. Why it cannot is told to the port once, however often it
        tries.
        """
        loop = asyncio.get_running_loop()
        reach = Reach(*self._address, self.profile, pace_s=self._timing.pace)
        door = Door(port)
        wait_s = self._timing.redial_min
        while True:
            connection: socket.socket | None = await self._call(reach, door)
            while connection is not None:
                began_s = loop.time()
                connection = await self._carry_on(connection, reach, door)
                # Two ends that keep putting out each other's connections must not do it at full
                # speed.
                if loop.time() - began_s > self._timing.redial_max:
                    wait_s = self._timing.redial_min
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, self._timing.redial_max)

    async def _carry_on(
        self, connection: socket.socket, reach: Reach, door: Door
    ) -> socket.socket | None:
        """Carry until the connection ends, or has been silent and another came through: that
        one.
        """
        link = Link(connection, door, self._timing)
        carrying = asyncio.create_task(link.carry())
        calling: asyncio.Task[socket.socket] | None = None
        try:
            while True:
                turning = asyncio.create_task(link.turned.wait())
                waits: list[asyncio.Task[Any]] = [carrying, turning]
                waits += [] if calling is None else [calling]
                try:
                    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    turning.cancel()
                link.turned.clear()
                if calling is None and link.doubtful:
                    calling = asyncio.create_task(self._call(reach, door))
                elif calling is not None and not link.doubtful:
                    await given_up([calling])
                    calling = None
                if carrying.done():
                    # A mistake of ours is raised; what ended the connection is told already.
                    carrying.result()
                    if calling is None:
                        return None
                    await asyncio.wait([calling])
                if calling is not None and calling.done():
                    found, calling = calling.result(), None
                    return found
        finally:
            carrying.cancel()
            await asyncio.wait([carrying])
            await given_up([] if calling is None else [calling])

    async def _call(self, reach: Reach, door: Door) -> socket.socket:
        """A connection whose other end has proven that it is the line's, as soon as there is
        one.
        """
        wait_s = self._timing.redial_min
        while True:
            connection = await reach.connected(door.down)
            try:
                with closed_on_failure(connection):
                    await self._shake_hands(connection)
            except BearerError as error:
                door.down(error.code)
            else:
                return connection
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, self._timing.redial_max)

    async def _shake_hands(self, connection: socket.socket) -> None:
        """Prove ourselves and have the other end do it; else BearerError."""
        with as_bearer_error(late="bearer.no_answer"):
            async with asyncio.timeout(self._timing.handshake):
                loop = asyncio.get_running_loop()
                caller = Caller(self._own, self._entropy(NONCE_BYTES))
                await loop.sock_sendall(connection, caller.hello())
                confirm = caller.confirm(await _read_exactly(connection, ANSWER_BYTES))
                await loop.sock_sendall(connection, confirm)


class TcpListener:
    """One listening socket for all lines of a post. `open()`, then `run()` until cancelled."""

    def __init__(
        self,
        address: tuple[str, int],
        lines: Callable[[], Sequence[ListeningLine]],
        entropy: Entropy,
        *,
        timing: Timing | None = None,
    ) -> None:
        """`lines` gives the lines that may call at this moment; it is asked for every caller."""
        self._address = address
        self._lines = lines
        self._entropy = entropy
        self._timing = timing or LISTENING
        self._listening: socket.socket | None = None
        self._strangers: dict[asyncio.Task[None], None] = {}
        self._newest: dict[int, asyncio.Task[None]] = {}
        self._turns: dict[int, asyncio.Lock] = {}
        self._again: asyncio.TimerHandle | None = None

    def open(self) -> tuple[str, int]:
        """Bind and listen; the (host, port) bound. BearerError "bearer.listen" if the address
        cannot be had.
        """
        host, port = self._address
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self._listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
        except OSError as error:
            told = {"host": host, "port": port, "reason": reason(error)}
            raise BearerError("bearer.listen", retry=False, **told) from error
        self._listening.setblocking(False)
        bound = self._listening.getsockname()
        return str(bound[0]), int(bound[1])

    async def run(self) -> None:
        """Answer callers until cancelled; then every connection is closed with the socket."""
        loop = asyncio.get_running_loop()
        if self._listening is None:
            self.open()
        try:
            async with asyncio.TaskGroup() as group:
                self._answer_callers(loop, group)
                await loop.create_future()
        finally:
            if self._again is not None:
                self._again.cancel()
            if (listening := self._listening) is not None:
                loop.remove_reader(listening)
                listening.close()
                self._listening = None

    def drop(self, line: int) -> None:
        """End the connection of a line that may no longer call, if there is one."""
        if (task := self._newest.get(line)) is not None:
            task.cancel()

    def _answer_callers(self, loop: asyncio.AbstractEventLoop, group: asyncio.TaskGroup) -> None:
        """Have `_accept` called whenever somebody knocks."""
        if (listening := self._listening) is not None:
            loop.add_reader(listening, self._accept, listening, loop, group)

    def _accept(
        self, listening: socket.socket, loop: asyncio.AbstractEventLoop, group: asyncio.TaskGroup
    ) -> None:
        """Begin a task for one caller; whatever becomes of it, its socket is closed with it."""
        try:
            connection, _ = listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        except OSError:
            # Out of descriptors or memory: those who wait stay in the backlog, and we do not spin.
            loop.remove_reader(listening)
            self._again = loop.call_later(ACCEPT_RETRY_S, self._answer_callers, loop, group)
            return
        connection.setblocking(False)
        if len(self._strangers) >= STRANGERS_MAX:
            oldest = next(iter(self._strangers))
            del self._strangers[oldest]
            oldest.cancel()
        task = group.create_task(self._receive(connection))
        task.add_done_callback(lambda _: connection.close())
        self._strangers[task] = None

    async def _receive(self, connection: socket.socket) -> None:
        """From accept to close; whatever a caller does ends here."""
        me = asyncio.current_task()
        if me is None:
            return
        with suppress(BearerError):
            try:
                called = await self._answer(connection)
            finally:
                self._strangers.pop(me, None)
            line = called.key.line
            if (older := self._newest.get(line)) is not None:
                older.cancel()
            self._newest[line] = me
            try:
                # One at a time, so that the older one's "down" comes before the newer one's "up".
                async with self._turns.setdefault(line, asyncio.Lock()):
                    await Link(connection, Door(called.port), self._timing).carry()
            finally:
                if self._newest.get(line) is me:
                    del self._newest[line]

    async def _answer(self, connection: socket.socket) -> ListeningLine:
        loop = asyncio.get_running_loop()
        with as_bearer_error(late="bearer.no_answer"):
            async with asyncio.timeout(self._timing.handshake):
                hello = await _read_exactly(connection, HELLO_BYTES)
                lines = {each.key.line: each for each in self._lines()}
                keys = [each.key for each in lines.values()]
                answerer = Answerer(keys, self._entropy(NONCE_BYTES))
                await loop.sock_sendall(connection, answerer.answer(hello))
                own = answerer.accept(await _read_exactly(connection, CONFIRM_BYTES))
        return lines[own.line]


async def _read_exactly(connection: socket.socket, count: int) -> bytes:
    """`count` bytes and not one more; BearerError "bearer.closed" if the other end closes first."""
    loop = asyncio.get_running_loop()
    got = b""
    while len(got) < count:
        part = await loop.sock_recv(connection, count - len(got))
        if not part:
            raise BearerError("bearer.closed", retry=True)
        got += part
    return got
