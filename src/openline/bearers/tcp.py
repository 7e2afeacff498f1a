"""Direct TCP: the bearer that needs nobody else (docs/protocol.md §10).

Theory of operation: `TcpBearer` dials the other post for one line and redials for ever;
`TcpListener` holds one listening socket for all lines of a post and learns from the handshake which
one is calling. Until the handshake is done both read from the bare socket exactly the sizes it
names, so a stranger makes us hold 32 bytes for 5 s and no more. Then `_carry` joins the stream to
the Port: a chunk read is one batch handed in, and the next is read when the post has it on disk,
which is the backpressure; only a little is given to the kernel ahead of the wire, so that a FLASH
overtakes the rest. TCP acknowledges bytes, not custody: what a cut swallowed is sent again by the
line, not here. Lines, seals and retransmission must not live here.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import NamedTuple

from openline.errors import BearerError, RemoteError, StoreError

from .base import BearerProfile, Port
from .framing import (
    ANSWER_BYTES,
    CONFIRM_BYTES,
    HELLO_BYTES,
    KEEP_ALIVE,
    NONCE_BYTES,
    Answerer,
    Caller,
    FrameDecoder,
    LineKey,
    encode_frames,
)

Entropy = Callable[[int], bytes]

STRANGERS_MAX = 32
"""Connections in the handshake at a time; one more puts out the oldest, so that a flood cannot hold
the door shut.
"""

BACKLOG = 64
CHUNK_BYTES = 64 * 1024
"""Most that is read, and handed in as one batch, at a time."""
UNSENT_BYTES_MAX = 16 * 1024
"""What the kernel may hold of ours that is not yet on the wire, where it can be told."""
SEND_BUFFER_BYTES = 128 * 1024
"""The kernel's send buffer: what may be on the wire unacknowledged by the other machine's TCP."""
ACCEPT_RETRY_S = 1.0
"""Wait after an accept that failed for want of file descriptors or memory."""

PROFILE = BearerProfile(
    name="tcp", latency_ms=50, mtu_bytes=4096, retry_ms_min=1000, retry_ms_max=15_000, cost=10
)
"""What direct TCP declares, from either end."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Every wait of this bearer, in seconds."""

    redial_min: float = 0.2
    redial_max: float = 5.0
    dial: float = 10.0
    handshake: float = 5.0
    keep_alive: float = 15.0
    silence: float = 45.0
    """Hearing nothing, or bringing nothing out, for this long ends a connection."""


class ListeningLine(NamedTuple):
    """A line that may call us, and where what it brings goes."""

    key: LineKey
    port: Port


class TcpBearer:
    """Dials one address for one line; redials with waits from 0.2 s doubling to 5 s."""

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
        wait_s = self._timing.redial_min
        told = ""
        while True:
            began_s = loop.time()
            try:
                told = await _carry(await self._call(), port, self._timing)
            except BearerError as error:
                if error.code != told:
                    told = error.code
                    port.down(told)
            else:
                # Two ends that keep putting out each other's connections must not do it at full
                # speed.
                if loop.time() - began_s > self._timing.redial_max:
                    wait_s = self._timing.redial_min
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, self._timing.redial_max)

    async def _call(self) -> socket.socket:
        """A connection whose other end has proven that it is the line's; else BearerError."""
        with _as_bearer_error(late="bearer.no_answer", lost="bearer.unreachable"):
            async with asyncio.timeout(self._timing.dial):
                connection = await _connect(*self._address)
        with _closed_on_failure(connection), _as_bearer_error(late="bearer.no_answer"):
            async with asyncio.timeout(self._timing.handshake):
                loop = asyncio.get_running_loop()
                caller = Caller(self._own, self._entropy(NONCE_BYTES))
                await loop.sock_sendall(connection, caller.hello())
                confirm = caller.confirm(await _read_exactly(connection, ANSWER_BYTES))
                await loop.sock_sendall(connection, confirm)
        return connection


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
        self._timing = timing or Timing()
        self._listening: socket.socket | None = None
        self._strangers: dict[asyncio.Task[None], None] = {}
        self._newest: dict[int, asyncio.Task[None]] = {}
        self._turns: dict[int, asyncio.Lock] = {}

    def open(self) -> tuple[str, int]:
        """Bind and listen; the (host, port) bound. BearerError "bearer.listen" if the address
        cannot be had.
        """
        host, port = self._address
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            self._listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
        except OSError as error:
            raise BearerError(
                "bearer.listen", retry=False, host=host, port=port, errno=error.errno
            ) from error
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
            loop.call_later(ACCEPT_RETRY_S, self._answer_callers, loop, group)
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
                    await _carry(connection, called.port, self._timing)
            finally:
                if self._newest.get(line) is me:
                    del self._newest[line]

    async def _answer(self, connection: socket.socket) -> ListeningLine:
        loop = asyncio.get_running_loop()
        with _as_bearer_error(late="bearer.no_answer"):
            async with asyncio.timeout(self._timing.handshake):
                hello = await _read_exactly(connection, HELLO_BYTES)
                lines = {each.key.line: each for each in self._lines()}
                keys = [each.key for each in lines.values()]
                answerer = Answerer(keys, self._entropy(NONCE_BYTES))
                await loop.sock_sendall(connection, answerer.answer(hello))
                own = answerer.accept(await _read_exactly(connection, CONFIRM_BYTES))
        return lines[own.line]


@contextmanager
def _as_bearer_error(*, late: str, lost: str = "bearer.closed") -> Iterator[None]:
    """Say what the operating system reports as one of four BearerErrors: its own reasons are many
    and help nobody.
    """
    try:
        yield
    except TimeoutError as error:
        raise BearerError(late, retry=True) from error
    except ConnectionRefusedError as error:
        raise BearerError("bearer.refused", retry=True) from error
    except socket.gaierror as error:
        raise BearerError("bearer.no_address", retry=True) from error
    except OSError as error:
        raise BearerError(lost, retry=True) from error


@contextmanager
def _closed_on_failure(connection: socket.socket) -> Iterator[None]:
    """Leave no socket of ours open behind an error or a cancellation."""
    try:
        yield
    except BaseException:
        connection.close()
        raise


async def _connect(host: str, port: int) -> socket.socket:
    """A connected socket to the first address of `host` that answers; OSError of the last one
    tried.
    """
    loop = asyncio.get_running_loop()
    failure = OSError("no address")
    for family, kind, protocol, _, address in await loop.getaddrinfo(
        host, port, type=socket.SOCK_STREAM
    ):
        connection = socket.socket(family, kind, protocol)
        with _closed_on_failure(connection):
            connection.setblocking(False)
            try:
                await loop.sock_connect(connection, address)
            except OSError as error:
                failure = error
                connection.close()
            else:
                return connection
    raise failure


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


def _tune(connection: socket.socket, silence_s: float) -> None:
    """Small messages at once, dead peers noticed, little held back in the kernel."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    for option, value in (
        ("TCP_USER_TIMEOUT", int(silence_s * 1000)),
        ("TCP_NOTSENT_LOWAT", UNSENT_BYTES_MAX),
    ):
        # Not every system knows these; our own keep-alive covers for them.
        with suppress(OSError):
            if (number := getattr(socket, option, None)) is not None:
                connection.setsockopt(socket.IPPROTO_TCP, number, value)


async def _carry(connection: socket.socket, port: Port, timing: Timing) -> str:
    """Join an authenticated connection to the port until it ends; the code that says why, already
    told to the port.

    BearerError if the connection was gone before it could carry; the port has then heard nothing.
    """
    with _closed_on_failure(connection), _as_bearer_error(late="bearer.closed"):
        _tune(connection, timing.silence)
        reader, writer = await asyncio.open_connection(sock=connection, limit=CHUNK_BYTES // 2)
    writer.transport.set_write_buffer_limits(high=0)
    halves = [
        asyncio.create_task(_bring_in(reader, port, timing)),
        asyncio.create_task(_bring_out(writer, port, timing)),
    ]
    code = "bearer.closed"
    port.up()
    try:
        # Not a task group: before Python 3.13 one that ends by an error forgets a cancellation that
        # comes in the same moment (cpython issue 116720), and a bearer must not outlive its own.
        ended, _ = await asyncio.wait(halves, return_when=asyncio.FIRST_COMPLETED)
        code = _ending(ended)
    finally:
        # Nothing is flushed: the line will send again what the other post does not acknowledge.
        writer.transport.abort()
        for half in halves:
            half.cancel()
        try:
            await asyncio.wait(halves)
        finally:
            port.down(code)
    return code


def _ending(ended: Iterable[asyncio.Task[None]]) -> str:
    """The code of the BearerError that ended a half; any other error is our own mistake: raised."""
    code = "bearer.closed"
    for half in ended:
        error = None if half.cancelled() else half.exception()
        if isinstance(error, BearerError):
            code = error.code
        elif error is not None:
            raise error
    return code


async def _bring_in(reader: asyncio.StreamReader, port: Port, timing: Timing) -> None:
    """Hand in what arrives, a chunk at a time; ends with BearerError alone."""
    decoder = FrameDecoder()
    while True:
        with _as_bearer_error(late="bearer.silent"):
            async with asyncio.timeout(timing.silence):
                chunk = await reader.read(CHUNK_BYTES)
        if not chunk:
            raise BearerError("bearer.closed", retry=True)
        try:
            datagrams = decoder.feed(chunk)
        except RemoteError as error:
            raise BearerError(error.code, retry=True) from error
        if datagrams:
            # What the disk did not take was lost like any datagram: it is not acknowledged and
            # comes again.
            with suppress(StoreError):
                await port.received(datagrams)


async def _bring_out(writer: asyncio.StreamWriter, port: Port, timing: Timing) -> None:
    """Send what the port has, and a keep-alive when it has nothing; ends with BearerError alone."""
    while True:
        frames = KEEP_ALIVE
        with suppress(TimeoutError):
            async with asyncio.timeout(timing.keep_alive):
                frames = encode_frames([each.data for each in await port.outgoing()])
        with _as_bearer_error(late="bearer.stalled"):
            async with asyncio.timeout(timing.silence):
                writer.write(frames)
                await writer.drain()
