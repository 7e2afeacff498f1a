"""Direct TCP over real sockets on the loopback interface."""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import pytest

from openline.bearers import tcp
from openline.bearers.base import Bearer, BearerProfile, Port
from openline.bearers.connection import Timing
from openline.bearers.framing import HELLO_BYTES, Caller, LineKey, encode_frames
from openline.bearers.tcp import (
    PROFILE,
    STRANGERS_MAX,
    ListeningLine,
    TcpBearer,
    TcpListener,
)
from openline.errors import BearerError, StoreError

from .contract import BearerContract, End
from .ports import PATIENCE_S, RecordingPort

NEAR = LineKey(1, b"k" * 32, 1)
FAR = LineKey(1, b"k" * 32, 2)
QUICK = Timing(pace=0.05, redial_min=0.02, redial_max=0.1)


class ListeningEnd:
    """A listener with one line, as a bearer."""

    profile: BearerProfile = PROFILE

    def __init__(self, address: tuple[str, int], own: LineKey, timing: Timing = QUICK) -> None:
        self.address = address
        self._own = own
        self._timing = timing

    async def run(self, port: Port) -> None:
        """Listen and carry until cancelled."""
        await TcpListener(
            self.address, lambda: [ListeningLine(self._own, port)], os.urandom, timing=self._timing
        ).run()


class TestTcp(BearerContract):
    """The contract of all bearers."""

    async def make(self) -> tuple[Bearer, Bearer]:
        """A caller and a listener on a port that was free a moment ago."""
        address = free_address()
        return TcpBearer(address, NEAR, os.urandom, timing=QUICK), ListeningEnd(address, FAR)


class House:
    """A listener for some lines, and who called."""

    def __init__(self, lines: Sequence[LineKey] = (FAR,), timing: Timing = QUICK) -> None:
        self.ports = {own.line: RecordingPort() for own in lines}
        self.listening = [ListeningLine(own, self.ports[own.line]) for own in lines]
        self.listener = TcpListener(
            ("127.0.0.1", 0), lambda: self.listening, os.urandom, timing=timing
        )
        self.address = ("", 0)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> House:
        self.address = self.listener.open()
        self._task = asyncio.create_task(self.listener.run())
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def knock(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A bare connection."""
        return await asyncio.open_connection(*self.address)

    async def enter(
        self, own: LineKey, calling: socket.socket | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection that has shaken hands as the line's other side would."""
        reader, writer = (
            await asyncio.open_connection(sock=calling) if calling else await self.knock()
        )
        caller = Caller(own, os.urandom(16))
        writer.write(caller.hello())
        writer.write(caller.confirm(await reader.readexactly(HELLO_BYTES)))
        return reader, writer


def play(scene: Callable[[], Awaitable[None]]) -> None:
    """Run a scene in a loop of its own; no task may be left over."""

    async def whole() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await scene()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(whole())


def free_address() -> tuple[str, int]:
    """An address on loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return "127.0.0.1", int(free.getsockname()[1])


async def ended(reader: asyncio.StreamReader) -> bytes:
    """All bytes that come until the other end closes."""
    got = b""
    with suppress(ConnectionError):
        while part := await reader.read(4096):
            got += part
    return got


def test_two_lines_share_one_listening_socket() -> None:
    async def scene() -> None:
        lines = [LineKey(number, bytes([number]) * 32, 1 + number % 2) for number in (1, 2)]
        async with House(lines) as house:
            ends = [
                End(TcpBearer(house.address, own._replace(direction=3 - own.direction), os.urandom))
                for own in lines
            ]
            for end, own in zip(ends, lines, strict=True):
                end.start()
                end.port.send(b"from %d" % own.line)
            for line, port in house.ports.items():
                await port.until(lambda port=port: bool(port.arrived))  # type: ignore[misc]
                assert port.arrived == [b"from %d" % line]
            for end in ends:
                await end.stop()

    play(scene)


@pytest.mark.parametrize(
    "words",
    [
        b"GET / HTTP/1.1\r\nHost: somewhere\r\n\r\n",
        bytes(HELLO_BYTES),
        Caller(LineKey(1, b"x" * 32, 1), b"n" * 16).hello(),
        Caller(FAR, b"n" * 16).hello(),
        b"short",
    ],
)
def test_a_stranger_is_closed_without_a_byte_in_answer(words: bytes) -> None:
    async def scene() -> None:
        async with House(timing=Timing(handshake=0.2)) as house:
            reader, writer = await house.knock()
            writer.write(words)
            assert await ended(reader) == b""
            writer.close()
            assert house.ports[1].states == []

    play(scene)


def test_a_hello_replayed_gets_no_further_than_an_answer() -> None:
    async def scene() -> None:
        async with House(timing=Timing(handshake=0.2)) as house:
            hello = Caller(NEAR, b"n" * 16).hello()
            reader, writer = await house.knock()
            writer.write(hello + bytes(16) + encode_frames([b"forged"]))
            assert len(await ended(reader)) == HELLO_BYTES
            writer.close()
            assert house.ports[1].states == []
            assert house.ports[1].offered == []

    play(scene)


def test_a_flood_of_strangers_does_not_hold_the_door_shut() -> None:
    async def scene() -> None:
        async with House(timing=Timing(handshake=PATIENCE_S)) as house:
            flood = [await house.knock() for _ in range(STRANGERS_MAX + 8)]
            _, writer = await house.enter(NEAR)
            writer.write(encode_frames([b"through"]))
            await house.ports[1].until(lambda: house.ports[1].arrived == [b"through"])
            assert await ended(flood[0][0]) == b""
            for _, each in flood:
                each.close()
            writer.close()

    play(scene)


def test_want_of_descriptors_delays_callers_and_loses_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tcp, "ACCEPT_RETRY_S", 0.05)

    async def scene() -> None:
        async with House() as house:
            calling = socket.socket()
            calling.setblocking(False)
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            next_free = os.dup(0)
            os.close(next_free)
            resource.setrlimit(resource.RLIMIT_NOFILE, (next_free, hard))
            try:
                await asyncio.get_running_loop().sock_connect(calling, house.address)
                await asyncio.sleep(0.02)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            _, writer = await house.enter(NEAR, calling)
            await house.ports[1].until(lambda: house.ports[1].is_up)
            writer.close()

    play(scene)


def test_a_newer_connection_of_a_line_takes_over() -> None:
    async def scene() -> None:
        async with House() as house:
            port = house.ports[1]
            older_reader, older = await house.enter(NEAR)
            await port.until(lambda: port.is_up)
            _, newer = await house.enter(NEAR)
            assert await ended(older_reader) == b""
            newer.write(encode_frames([b"on the newer"]))
            await port.until(lambda: port.arrived == [b"on the newer"])
            assert port.states == ["up", "bearer.closed", "up"]
            older.close()
            newer.close()

    play(scene)


def test_many_newer_connections_at_once_leave_one_up() -> None:
    async def scene() -> None:
        async with House() as house:
            port = house.ports[1]
            ends = await asyncio.gather(*[house.enter(NEAR) for _ in range(10)])
            alive = asyncio.gather(*[ended(reader) for reader, _ in ends], return_exceptions=True)
            await port.until(lambda: port.is_up)
            for _, writer in ends:
                writer.close()
            await alive
            await port.until(lambda: not port.is_up)
            assert port.states[::2] == ["up"] * (len(port.states) // 2)

    play(scene)


def test_a_dropped_line_is_closed_and_may_not_call_again() -> None:
    async def scene() -> None:
        async with House(timing=Timing(handshake=0.2)) as house:
            port = house.ports[1]
            reader, writer = await house.enter(NEAR)
            await port.until(lambda: port.is_up)
            house.listening = []
            house.listener.drop(1)
            assert await ended(reader) == b""
            writer.close()
            again, writer = await house.knock()
            writer.write(Caller(NEAR, b"n" * 16).hello())
            assert await ended(again) == b""
            writer.close()

    play(scene)


def test_two_posts_that_dial_each_other_carry_on_both_connections() -> None:
    async def scene() -> None:
        async with House([NEAR]) as near, House([FAR]) as far:
            from_near = End(TcpBearer(far.address, NEAR, os.urandom))
            from_far = End(TcpBearer(near.address, FAR, os.urandom))
            from_near.start()
            from_far.start()
            from_near.port.send(b"one way")
            from_far.port.send(b"other way")
            await far.ports[1].until(lambda: far.ports[1].arrived == [b"one way"])
            await near.ports[1].until(lambda: near.ports[1].arrived == [b"other way"])
            assert from_near.port.is_up
            assert from_far.port.is_up
            await from_near.stop()
            await from_far.stop()

    play(scene)


def test_keep_alives_hold_a_quiet_connection() -> None:
    async def scene() -> None:
        quiet = Timing(keep_alive=0.05, silence=0.4)
        async with House(timing=quiet) as house:
            end = End(TcpBearer(house.address, NEAR, os.urandom, timing=quiet))
            end.start()
            await end.port.until(lambda: end.port.is_up)
            with pytest.raises(TimeoutError):
                await end.port.until(lambda: not end.port.is_up, patience_s=1.2)
            assert house.ports[1].states == ["up"]
            await end.stop()

    play(scene)


def test_silence_ends_a_connection() -> None:
    async def scene() -> None:
        async with House(timing=Timing(silence=0.2)) as house:
            reader, writer = await house.enter(NEAR)
            await ended(reader)
            writer.close()
            assert house.ports[1].states == ["up", "bearer.silent"]

    play(scene)


def test_a_frame_beyond_the_limit_ends_a_connection() -> None:
    async def scene() -> None:
        async with House() as house:
            reader, writer = await house.enter(NEAR)
            writer.write(encode_frames([b"before"]))
            await house.ports[1].until(lambda: house.ports[1].arrived == [b"before"])
            writer.write(b"\xff\xff")
            await ended(reader)
            writer.close()
            assert house.ports[1].states == ["up", "bearer.frame_length"]

    play(scene)


def test_a_dead_address_is_told_once_with_its_code() -> None:
    async def scene() -> None:
        end = End(TcpBearer(free_address(), NEAR, os.urandom, timing=QUICK))
        end.start()
        await end.port.until(lambda: bool(end.port.states))
        with pytest.raises(TimeoutError):
            await end.port.until(lambda: len(end.port.states) > 1, patience_s=0.5)
        assert end.port.states == ["bearer.refused"]
        await end.stop()

    play(scene)


def test_an_impostor_at_the_address_is_told_as_a_stranger() -> None:
    async def scene() -> None:
        gone = asyncio.Event()

        async def impostor(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readexactly(HELLO_BYTES)
            writer.write(bytes(HELLO_BYTES))
            await ended(reader)
            writer.close()
            gone.set()

        server = await asyncio.start_server(impostor, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        end = End(TcpBearer(address, NEAR, os.urandom, timing=QUICK))
        end.start()
        await end.port.until(lambda: end.port.states == ["bearer.stranger"])
        await end.stop()
        server.close()
        await gone.wait()

    play(scene)


def test_a_taken_address_is_a_clear_error() -> None:
    async def scene() -> None:
        async with House() as house:
            with pytest.raises(BearerError) as caught:
                TcpListener(house.address, list, os.urandom).open()
            assert caught.value.code == "bearer.listen"
            assert not caught.value.retry

    play(scene)


def test_little_is_taken_from_the_post_while_the_other_side_does_not_read() -> None:
    async def scene() -> None:
        async with House() as house:
            port = house.ports[1]
            _, writer = await house.enter(NEAR)
            await port.until(lambda: port.is_up)
            port.send(*[bytes(4096)] * 2500)
            before = -1
            while port.taken != before:
                before = port.taken
                with suppress(TimeoutError):
                    await port.until(lambda: False, patience_s=0.3)
            assert port.taken < 2000, "ten megabytes wait in the post, where a FLASH overtakes them"
            writer.close()

    play(scene)


class FullDisk(RecordingPort):
    """A port whose post cannot write at first."""

    full = True

    async def received(self, datagrams: Sequence[bytes]) -> None:
        """Refuse once."""
        if self.full:
            self.full = False
            self._note()
            raise StoreError("store.full")
        await super().received(datagrams)


def test_a_full_disk_loses_the_datagrams_and_keeps_the_connection() -> None:
    async def scene() -> None:
        async with House() as house:
            port = FullDisk()
            house.listening = [ListeningLine(FAR, port)]
            _, writer = await house.enter(NEAR)
            writer.write(encode_frames([b"lost"]))
            await port.until(lambda: not port.full)
            writer.write(encode_frames([b"kept"]))
            await port.until(lambda: port.arrived == [b"kept"])
            assert port.states == ["up"]
            writer.close()

    play(scene)
