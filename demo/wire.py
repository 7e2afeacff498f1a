"""Wires that can be cut: TCP proxies in a process of their own, told what to do on standard input.

Theory of operation: the demonstration puts this process between a post and what it dials. Every
order is one line of JSON, {"do", "wire", …}, and so is every answer and every report; the end of
standard input ends the process, so that it never outlives who started it. A cut wire refuses
callers until it is mended. `cut_inside` waits until enough has passed towards the far end and
then cuts in the middle of one frame (docs/protocol.md §10), so that the other post is left with
half of it: the lengths of frames are all this process reads. Every report says when, as "mono_ms".
It runs alone so that drawing on the terminal does not slow what is measured. Standard library
only.

    {"do": "open", "wire": "direct", "to": ["127.0.0.1", 7100]}   → {"wire", "did": "open", "port"}
    {"do": "cut", "wire": "direct"}                               → {"wire", "did": "cut"}
    {"do": "mend", "wire": "direct"}                              → {"wire", "did": "mend"}
    {"do": "cut_inside", "wire": "direct", "after_bytes": 20000}  → {"wire", "did": "cut_inside"},
        later {"wire", "did": "was_cut_inside", "at_byte", "frame_bytes", "frame_bytes_passed"}
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any, NamedTuple

HANDSHAKE_BYTES = 48
"""What a caller sends before its first frame: hello and confirmation."""

CUT_FRAME_BYTES_MIN = 256
"""A frame shorter than this is not worth cutting: keep-alives and acks pass."""

CHUNK_BYTES = 16 * 1024


class Cut(NamedTuple):
    """Where a stream is to be cut: `chunk_bytes` of the chunk in hand still pass. All in bytes."""

    chunk_bytes: int
    at_byte: int
    frame_bytes: int
    frame_bytes_passed: int


class FrameCursor:
    """Where in a caller's stream of frames we are, and where to cut it once armed."""

    def __init__(self) -> None:
        self.armed: int | None = None
        """How many bytes must still pass before the next frame is cut; None: nothing is cut."""
        self._at_byte = 0
        self._length = b""
        self._frame_bytes = 0
        self._left = HANDSHAKE_BYTES

    def take(self, chunk: bytes) -> Cut | None:
        """Follow one chunk; the place of the cut if it lies in it."""
        at = 0
        while at < len(chunk):
            if not self._left:
                self._length += chunk[at : at + 1]
                at += 1
                if len(self._length) == 2:
                    self._frame_bytes = self._left = int.from_bytes(self._length, "big")
                    self._length = b""
                continue
            step = min(self._left, len(chunk) - at)
            if (cut := self._cut(at, step)) is not None:
                return cut
            at += step
            self._left -= step
            if self.armed is not None:
                self.armed -= step
        self._at_byte += len(chunk)
        return None

    def _cut(self, at: int, step: int) -> Cut | None:
        """The cut if the middle of a frame that may be cut lies in the next `step` bytes."""
        if self.armed is None or self.armed > 0 or self._frame_bytes < CUT_FRAME_BYTES_MIN:
            return None
        passed = self._frame_bytes - self._left
        half = self._frame_bytes // 2
        if not passed <= half < passed + step:
            return None
        chunk_bytes = at + half - passed
        return Cut(chunk_bytes, self._at_byte + chunk_bytes, self._frame_bytes, half)


class Wire:
    """One proxy: a port on this machine whose callers are joined to `to`."""

    def __init__(self, name: str, to: tuple[str, int]) -> None:
        self.name = name
        self.port = 0
        self.cut_after: int | None = None
        """Armed: bytes to let pass towards the far end before a frame is cut."""
        self._to = to
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._cursors: set[FrameCursor] = set()

    async def mend(self) -> None:
        """Listen, on the same port as before if there was one."""
        if self._server is None:
            self._server = await asyncio.start_server(
                self._join, "127.0.0.1", self.port, limit=CHUNK_BYTES
            )
            self.port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """End every connection at once and refuse new ones."""
        self.cut_after = None
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._open:
            writer.transport.abort()

    def arm(self, after_bytes: int) -> None:
        """Cut inside a frame once so many bytes have passed towards the far end."""
        self.cut_after = after_bytes
        for cursor in self._cursors:
            cursor.armed = after_bytes

    async def _join(self, near_in: asyncio.StreamReader, near_out: asyncio.StreamWriter) -> None:
        """Carry between one caller and the far end until either is gone."""
        self._open.add(near_out)
        try:
            far_in, far_out = await asyncio.open_connection(*self._to, limit=CHUNK_BYTES)
        except OSError:
            near_out.transport.abort()
            self._open.discard(near_out)
            return
        self._open.add(far_out)
        cursor = FrameCursor()
        cursor.armed = self.cut_after
        self._cursors.add(cursor)
        halves = {
            asyncio.create_task(self._carry(near_in, far_out, cursor)),
            asyncio.create_task(self._carry(far_in, near_out, None)),
        }
        try:
            await asyncio.wait(halves, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._cursors.discard(cursor)
            for half in halves:
                half.cancel()
            await asyncio.wait(halves)
            for writer in (near_out, far_out):
                # Not aborted: what was let through reaches the other end before the end does.
                writer.close()
                self._open.discard(writer)

    async def _carry(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, cursor: FrameCursor | None
    ) -> None:
        try:
            while chunk := await source.read(CHUNK_BYTES):
                cut = cursor.take(chunk) if cursor else None
                if cut is not None:
                    sink.write(chunk[: cut.chunk_bytes])
                    await self._cut_inside(sink, cut)
                    return
                sink.write(chunk)
                await sink.drain()
        except OSError:
            return

    async def _cut_inside(self, sink: asyncio.StreamWriter, cut: Cut) -> None:
        """The far end gets half a frame and then the end of the stream; all others, nothing."""
        await sink.drain()
        self._open.discard(sink)
        sink.close()
        self.cut()
        where = {name: value for name, value in cut._asdict().items() if name != "chunk_bytes"}
        report(self.name, "was_cut_inside", **where)


def report(wire: str, did: str, **values: object) -> None:
    """One line of JSON on standard output, with the machine's monotonic clock."""
    mono_ms = time.monotonic_ns() // 1_000_000
    print(json.dumps({"wire": wire, "did": did, "mono_ms": mono_ms, **values}), flush=True)


async def obey(wires: dict[str, Wire], order: dict[str, Any]) -> None:
    """Do what one order says and report it."""
    name, do = str(order["wire"]), str(order["do"])
    if do == "open":
        host, port = order["to"]
        wires[name] = Wire(name, (host, port))
    wire = wires[name]
    if do in ("open", "mend"):
        await wire.mend()
    elif do == "cut":
        wire.cut()
    elif do == "cut_inside":
        wire.arm(int(order["after_bytes"]))
    report(name, do, port=wire.port)


async def main() -> None:
    """Obey orders until standard input ends."""
    orders = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    wires: dict[str, Wire] = {}
    while order := await orders.readline():
        await obey(wires, json.loads(order))
    for wire in wires.values():
        wire.cut()


if __name__ == "__main__":
    asyncio.run(main())
