"""One connection between two posts, joined to the port until it ends, and watched meanwhile.

Theory of operation: a chunk read is one batch handed in, and the next is read when the post has it
on disk, which is the backpressure; only a little is given to the kernel ahead of the wire, so that
a FLASH overtakes the rest. Beside that a watch looks at what stays unanswered: a connection that
has been silent for too long is *doubtful*, the port is told down, and up again should it turn out
to live. After `grace` seconds of doubt it ends, because its kernel's repeats cost more than
knocking does. Dialing, listening and the handshake must not live here.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from openline.errors import BearerError, RemoteError, StoreError

from .framing import KEEP_ALIVE, FrameDecoder, encode_frames
from .reach import (
    PACE_S,
    Door,
    Silence,
    as_bearer_error,
    closed_on_failure,
    reset_at_close,
    standing,
)

CHUNK_BYTES = 64 * 1024
"""Most that is read, and handed in as one batch, at a time."""
UNSENT_BYTES_MAX = 16 * 1024
"""What the kernel may hold of ours that is not yet on the wire, where it can be told."""
SEND_BUFFER_BYTES = 128 * 1024
"""The kernel's send buffer: what may be on the wire unacknowledged by the other machine's TCP."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Every wait of this bearer, in seconds."""

    pace: float = PACE_S
    """Between two attempts to connect."""
    redial_min: float = 0.2
    redial_max: float = 5.0
    """Before dialing again who answered and did not let us in, or whose connection ended."""
    handshake: float = 5.0
    keep_alive: float = 5.0
    """Between keep-alives: how soon a dead wire is noticed when nothing is said."""
    look: float = 0.25
    """Between looks at a connection on which something is unanswered."""
    grace: float = 2.5
    """A connection gone silent is kept so long beside dialing."""
    silence: float = 45.0
    """Hearing nothing, or bringing nothing out, for this long ends a connection."""


LISTENING = Timing(keep_alive=15.0)
"""Of the end that cannot dial: the caller's keep-alives find out for both."""


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


class Link:
    """One authenticated connection, joined to the port by `carry` until it ends."""

    def __init__(self, connection: socket.socket, door: Door, timing: Timing) -> None:
        self._connection = connection
        self._door = door
        self._timing = timing
        self._wrote = asyncio.Event()
        self.doubtful = False
        """What was sent stays unanswered: the port has been told down."""
        self.turned = asyncio.Event()
        """Set when it has become doubtful, or is so no more."""

    async def carry(self) -> None:
        """Join connection and port; why it ended is told to the port."""
        connection = self._connection
        try:
            with closed_on_failure(connection), as_bearer_error(late="bearer.closed"):
                _tune(connection, self._timing.silence)
                reader, writer = await asyncio.open_connection(
                    sock=connection, limit=CHUNK_BYTES // 2
                )
        except BearerError as error:
            self._door.down(error.code)
            return
        writer.transport.set_write_buffer_limits(high=0)
        parts = [
            asyncio.create_task(self._bring_in(reader)),
            asyncio.create_task(self._bring_out(writer)),
            asyncio.create_task(self._watch()),
        ]
        code = "bearer.closed"
        self._door.up()
        try:
            # Not a task group: before Python 3.13 one that ends by an error forgets a cancellation
            # that comes in the same moment (cpython issue 116720), and a bearer must not outlive
            # its own.
            ended, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            code = _ending(ended)
        finally:
            # Nothing is flushed: the line will send again what the other post does not acknowledge.
            if self.doubtful:
                reset_at_close(connection)
            writer.transport.abort()
            for part in parts:
                part.cancel()
            try:
                await asyncio.wait(parts)
            finally:
                if not self.doubtful:
                    self._door.down(code)

    async def _bring_in(self, reader: asyncio.StreamReader) -> None:
        """Hand in what arrives, a chunk at a time; ends with BearerError alone."""
        decoder = FrameDecoder()
        while True:
            with as_bearer_error(late="bearer.silent"):
                async with asyncio.timeout(self._timing.silence):
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
                    await self._door.port.received(datagrams)

    async def _bring_out(self, writer: asyncio.StreamWriter) -> None:
        """Send what the port has, and a keep-alive when it has nothing; ends with BearerError
        alone.
        """
        while True:
            frames = KEEP_ALIVE
            with suppress(TimeoutError):
                async with asyncio.timeout(self._timing.keep_alive):
                    frames = encode_frames([each.data for each in await self._door.port.outgoing()])
            if self.doubtful and frames == KEEP_ALIVE:
                continue
            with as_bearer_error(late="bearer.stalled"):
                async with asyncio.timeout(self._timing.silence):
                    writer.write(frames)
                    self._wrote.set()
                    await writer.drain()

    async def _watch(self) -> None:
        """Look at the connection while anything is unanswered; ends with BearerError "stalled"."""
        loop = asyncio.get_running_loop()
        silence, doubted_s = Silence(), 0.0
        while True:
            await self._wrote.wait()
            self._wrote.clear()
            while (at := standing(self._connection)) and (at.unanswered or self.doubtful):
                if not silence.look(at, loop.time()):
                    if self.doubtful:
                        self._turn(False)
                        self._door.up()
                elif not self.doubtful:
                    doubted_s = loop.time()
                    self._turn(True)
                    self._door.down("bearer.stalled")
                elif loop.time() - doubted_s >= self._timing.grace:
                    raise BearerError("bearer.stalled", retry=True)
                await asyncio.sleep(self._timing.look)

    def _turn(self, doubtful: bool) -> None:
        self.doubtful = doubtful
        self.turned.set()


def _ending(ended: Iterable[asyncio.Task[None]]) -> str:
    """The code of the BearerError that ended a part; any other error is our own mistake: raised."""
    code = "bearer.closed"
    for part in ended:
        error = None if part.cancelled() else part.exception()
        if isinstance(error, BearerError):
            code = error.code
        elif error is not None:
            raise error
    return code
