"""A wire carries, is cut inside a frame, refuses callers, and carries again."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable

import pytest

from demo.wire import CUT_FRAME_BYTES_MIN, HANDSHAKE_BYTES, FrameCursor, Wire

HANDSHAKE = bytes(HANDSHAKE_BYTES)


def frame(count: int) -> bytes:
    """A frame of so many bytes with its length before it."""
    return count.to_bytes(2, "big") + b"x" * count


def cut_of(stream: bytes, armed: int | None, chunk_bytes: int) -> tuple[int, int, int] | None:
    """(bytes that pass, bytes of the frame, how many of those pass) when fed in chunks."""
    cursor = FrameCursor()
    cursor.armed = armed
    for at in range(0, len(stream), chunk_bytes):
        if (cut := cursor.take(stream[at : at + chunk_bytes])) is not None:
            assert cut.at_byte == at + cut.chunk_bytes
            return cut.at_byte, cut.frame_bytes, cut.frame_bytes_passed
    return None


@pytest.mark.parametrize("chunk_bytes", [1, 3, 50, 300, 4096, 1 << 20])
def test_the_cut_lies_in_the_middle_of_the_first_frame_after_so_many_bytes(
    chunk_bytes: int,
) -> None:
    stream = HANDSHAKE + frame(1000) + frame(0) + frame(4096) + frame(2000)
    assert cut_of(stream, None, chunk_bytes) is None
    # What passes is counted in bytes of handshake and frames; the lengths before frames are not.
    assert cut_of(stream, HANDSHAKE_BYTES + 1000, chunk_bytes) == (
        HANDSHAKE_BYTES + 1002 + 2 + 2 + 2048,
        4096,
        2048,
    )


def test_a_short_frame_is_not_cut() -> None:
    stream = HANDSHAKE + frame(CUT_FRAME_BYTES_MIN - 1) + frame(CUT_FRAME_BYTES_MIN)
    cut = cut_of(stream, 0, len(stream))
    assert cut is not None
    assert cut[1] == CUT_FRAME_BYTES_MIN


async def with_wire(act: Callable[[Wire, list[asyncio.Future[bytes]]], Awaitable[None]]) -> None:
    """Run `act` with a wire to a server that says back what it hears, and keeps it whole."""
    heard: list[asyncio.Future[bytes]] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        whole: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        heard.append(whole)
        got = b""
        try:
            while chunk := await reader.read(65_536):
                got += chunk
                writer.write(chunk)
                await writer.drain()
        except OSError:
            pass
        finally:
            whole.set_result(got)
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    wire = Wire("test", ("127.0.0.1", server.sockets[0].getsockname()[1]))
    await wire.mend()
    try:
        async with asyncio.timeout(20):
            await act(wire, heard)
    finally:
        wire.cut()
        server.close()


async def ends(reader: asyncio.StreamReader) -> bytes:
    """What still comes until the connection ends, in whatever way it does."""
    got = b""
    try:
        while chunk := await reader.read(65_536):
            got += chunk
    except OSError:
        pass
    return got


def test_a_wire_carries_both_ways_until_it_is_cut_and_again_when_mended() -> None:
    async def act(wire: Wire, heard: list[asyncio.Future[bytes]]) -> None:
        sent = os.urandom(200_000)
        for _ in range(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
            writer.write(sent)
            assert await reader.readexactly(len(sent)) == sent
            wire.cut()
            await ends(reader)
            writer.close()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", wire.port)
            await wire.mend()
        assert [await each for each in heard] == [sent, sent]

    asyncio.run(with_wire(act))


def test_the_far_end_of_a_cut_wire_is_left_with_half_a_frame(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def act(wire: Wire, heard: list[asyncio.Future[bytes]]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
        writer.write(HANDSHAKE + frame(500))
        await reader.readexactly(HANDSHAKE_BYTES + 502)
        wire.arm(0)
        writer.write(frame(3000))
        await ends(reader)
        writer.close()
        assert await heard[0] == HANDSHAKE + frame(500) + frame(3000)[: 2 + 1500]
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", wire.port)

    asyncio.run(with_wire(act))
    assert '"did": "was_cut_inside"' in capsys.readouterr().out
