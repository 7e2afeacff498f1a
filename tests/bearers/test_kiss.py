"""The bearer over a KISS controller: the contract over a pair of them, its codings, its own ways.

Theory of operation: `Controllers` are two, joined by a wire in place of the air: what is written to
one comes out of the other. Switching one off ends its connections and refuses new ones. The real
program and real audio are for test_direwolf.py.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openline.bearers.ax25 import INFORMATION_BYTES_MAX, Stations, Unframing, framed
from openline.bearers.base import Bearer
from openline.bearers.fragments import FRAGMENT_BYTES_MIN
from openline.bearers.framing import LineKey
from openline.bearers.kiss import Airtime, KissBearer, profile_of
from openline.bearers.narrow import FRAGMENT_S, FragmentWire
from tests.narrow import JumpingLoop

from .contract import BearerContract, End
from .ports import RecordingPort

NEAR = LineKey(1, bytes(range(32)), 1)
FAR = NEAR._replace(direction=2)
CALLS = {"near": ("N0CALL-1", "N0CALL-2"), "far": ("N0CALL-2", "N0CALL-1")}
STATIONS = {name: Stations(*calls) for name, calls in CALLS.items()}
FAST = Airtime(4_000_000, 0, 0, 0)
"""A radio that is as fast as wires are."""

APRS = framed(
    bytes.fromhex(
        "82a0b4606062e0 9c60868298 9860e2 ae92888a62 4062 ae92888a64 4065".replace(" ", "")
    )
    + b"\x03\xf0!4903.50N/07201.75W-somebody else"
)
"""A packet of another station, by two repeaters."""


class _Controller(asyncio.Protocol):
    """One connection to one controller."""

    def __init__(self, pair: Controllers, name: str) -> None:
        self.pair, self.name = pair, name
        self.transport: asyncio.Transport | None = None
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody calls."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.pair.calls[self.name].append(self)

    def data_received(self, data: bytes) -> None:
        """What it is to send."""
        self.pair.taken[self.name] += data
        self.pair.hear("far" if self.name == "near" else "near", data)

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller has gone."""
        self.pair.calls[self.name].remove(self)
        self.lost.set()


class Controllers:
    """Two of them, "near" and "far"."""

    def __init__(self) -> None:
        self.calls: dict[str, list[_Controller]] = {"near": [], "far": []}
        self.taken = {"near": bytearray(), "far": bytearray()}
        self.ports: dict[str, int] = {}
        self._servers: dict[str, asyncio.Server] = {}

    async def on(self, name: str) -> None:
        """Switch one on."""
        self._servers[name] = await asyncio.get_running_loop().create_server(
            lambda: _Controller(self, name), "127.0.0.1", self.ports.get(name, 0)
        )
        self.ports[name] = self._servers[name].sockets[0].getsockname()[1]

    async def off(self, name: str) -> None:
        """Switch it off."""
        if (server := self._servers.pop(name, None)) is None:
            return
        server.close()
        for call in self.calls[name]:
            assert call.transport is not None
            call.transport.abort()
        await asyncio.gather(*(call.lost.wait() for call in self.calls[name]))
        await server.wait_closed()

    def hear(self, name: str, data: bytes) -> None:
        """Have one give this to those who call it."""
        for call in self.calls[name]:
            assert call.transport is not None
            call.transport.write(data)

    def bearer(
        self, name: str, airtime: Airtime = FAST, *, tells_delay: bool = False
    ) -> KissBearer:
        """The bearer of a station."""
        return KissBearer(
            ("127.0.0.1", self.ports[name]),
            STATIONS[name],
            NEAR if name == "near" else FAR,
            profile_of(airtime),
            airtime=airtime,
            tells_delay=tells_delay,
        )


class TestKiss(BearerContract):
    """Two posts and their controllers; a cut switches the near one off."""

    async def make(self) -> tuple[Bearer, Bearer]:
        """One at each controller."""
        self.pair = Controllers()
        await self.pair.on("near")
        await self.pair.on("far")
        return self.pair.bearer("near"), self.pair.bearer("far")

    async def unmake(self) -> None:
        """Switch both off."""
        await self.pair.off("near")
        await self.pair.off("far")

    async def cut(self) -> None:
        """Switch it off."""
        await self.pair.off("near")

    async def mend(self) -> None:
        """Switch it on."""
        await self.pair.on("near")


def play(scene: Callable[[Controllers, End, End], Awaitable[None]]) -> None:
    """Run a scene with a bearer at each controller."""

    async def whole() -> None:
        pair = Controllers()
        await pair.on("near")
        await pair.on("far")
        near, far = End(pair.bearer("near", tells_delay=True)), End(pair.bearer("far"))
        try:
            near.start()
            far.start()
            await near.port.until(lambda: near.port.is_up)
            await far.port.until(lambda: far.port.is_up)
            await scene(pair, near, far)
        finally:
            await near.stop()
            await far.stop()
            await pair.off("near")
            await pair.off("far")

    asyncio.run(whole())


# -- the bearer's own ways --------------------------------------------------------------------


def test_noise_packets_of_others_and_our_own_heard_back_are_nothing() -> None:
    async def scene(pair: Controllers, near: End, far: End) -> None:
        near.port.send(b"first")
        await far.port.until(lambda: far.port.arrived == [b"first"])
        for rubbish in (b"\xc0\xc0\xdb\xc0", bytes(range(256)) * 40, APRS, b"\xc0\x10port one\xc0"):
            pair.hear("far", rubbish + b"\xc0")
            pair.hear("near", bytes(pair.taken["near"]) + rubbish + b"\xc0")
        near.port.send(b"second")
        far.port.send(b"back")
        await far.port.until(lambda: far.port.arrived == [b"first", b"second"])
        await near.port.until(lambda: near.port.arrived == [b"back"])

    play(scene)


def test_a_station_that_takes_our_call_sign_is_refused_by_the_tag() -> None:
    async def scene(pair: Controllers, near: End, far: End) -> None:
        pair.hear("far", framed(STATIONS["near"].wrap(b"\xc0not of the line")))
        near.port.send(b"of the line")
        await far.port.until(lambda: far.port.arrived == [b"of the line"])

    play(scene)


def test_a_controller_without_end_of_frame_fills_no_memory() -> None:
    unframing = Unframing()
    for _ in range(1000):
        assert unframing.feed(b"\0" * 4096) == []
        assert len(unframing._rest) < 1000
    assert unframing.feed(b"\xc0" + framed(b"after it")) == [b"after it"]


def test_the_controller_is_set_to_the_keying_up_time_that_is_said() -> None:
    async def scene(pair: Controllers, near: End, far: End) -> None:
        near.port.send(b"x")
        await far.port.until(lambda: far.port.arrived == [b"x"])
        assert pair.taken["near"].startswith(b"\xc0\x01\x00\xc0\xc0\x00")

    play(scene)


def test_a_controller_that_is_not_there_is_told_and_called_ever_less_often() -> None:
    class Counting(KissBearer):
        calls = 0

        async def open(self) -> FragmentWire:
            """Count, and fail."""
            self.calls += 1
            return await super().open()

    async def scene() -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            address = free.getsockname()
        profile = profile_of(FAST)
        bearer = Counting(address, STATIONS["near"], NEAR, profile, airtime=FAST)
        port = RecordingPort()
        task = asyncio.create_task(bearer.run(port))
        await asyncio.sleep(3600)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert port.states == ["bearer.no_controller"]
        assert 3600 // 17 <= bearer.calls <= 3600 // 16 + 5

    with asyncio.Runner(loop_factory=JumpingLoop) as running:
        running.run(scene())


def test_a_controller_that_hangs_up_is_told_with_its_own_code() -> None:
    async def scene(pair: Controllers, near: End, far: End) -> None:
        await pair.off("far")
        await far.port.until(lambda: not far.port.is_up)
        assert far.port.states == ["up", "bearer.controller_gone"]
        await pair.on("far")
        await far.port.until(lambda: far.port.is_up)

    play(scene)


# -- how long frames take ---------------------------------------------------------------------


def test_all_that_is_around_a_fragment_on_the_air_is_counted() -> None:
    airtime = Airtime()
    # 220 bytes of 150 a second and a bit in 62; keying up, tail, and room for the other side.
    assert airtime.frame_s(200) == pytest.approx(220 / 150 * 63 / 62 + 0.3 + 0.1 + 0.5)
    bearer = KissBearer(("", 0), STATIONS["near"], NEAR, profile_of(airtime), airtime=airtime)
    counted_s = bearer.count(200) / (bearer.profile.rate_bytes_s or 1)
    assert counted_s == pytest.approx(airtime.frame_s(200), rel=0.01)


def test_the_profile_says_what_fragments_get_of_the_air() -> None:
    usual = profile_of(Airtime())
    assert (usual.rate_bytes_s, usual.fragment_bytes, usual.grain_bytes, usual.latency_ms) == (
        *(90, 243),
        *(1458, 900),
    )
    assert (usual.padded, usual.narrow) == (False, True)
    fast = profile_of(Airtime(1200), latency_ms=50, name="uhf")
    assert (fast.name, fast.latency_ms, fast.fragment_bytes) == ("uhf", 50, INFORMATION_BYTES_MAX)
    slow = profile_of(Airtime(37, tx_delay_ms=2_550))
    assert (slow.rate_bytes_s, slow.fragment_bytes) == (6, FRAGMENT_BYTES_MIN)


@given(st.builds(Airtime, *[st.integers(1, 10_000)] * 4))
def test_a_frame_takes_no_longer_than_a_flash_may_wait_if_that_can_be(airtime: Airtime) -> None:
    fragment = airtime.fragment_bytes()
    assert FRAGMENT_BYTES_MIN <= fragment <= INFORMATION_BYTES_MAX
    assert fragment == FRAGMENT_BYTES_MIN or airtime.frame_s(fragment) <= FRAGMENT_S
    declared = profile_of(airtime).fragment_bytes
    # Its rate is declared in whole bytes.
    assert declared is not None
    assert fragment - 4 < declared <= fragment


# -- codings ----------------------------------------------------------------------------------


def test_frames_are_as_the_specifications_say() -> None:
    frame = STATIONS["near"].wrap(b"\xc0\xdb")
    header = "9c608682989 8e4 9c608682989 863 03f0".replace(" ", "")
    assert frame == bytes.fromhex(header) + b"\xc0\xdb"
    assert framed(frame) == b"\xc0\0" + frame[:-2] + b"\xdb\xdc\xdb\xdd\xc0"
    # As a controller shows it: N0CALL-1>N0CALL-2.
    assert bytes(byte >> 1 for byte in frame[7:13]) == b"N0CALL"


@given(
    st.lists(st.binary(min_size=1, max_size=INFORMATION_BYTES_MAX), max_size=5),
    st.lists(st.integers(0, 2000), max_size=8),
)
def test_frames_come_out_as_they_went_in_however_they_are_cut(
    fragments: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join(framed(STATIONS["near"].wrap(fragment)) for fragment in fragments)
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    unframing = Unframing()
    frames = [
        frame for start, end in pairwise(places) for frame in unframing.feed(stream[start:end])
    ]
    assert [STATIONS["far"].unwrap(frame) for frame in frames] == fragments
    assert [STATIONS["near"].unwrap(frame) for frame in frames] == [None] * len(frames)


@given(st.binary(max_size=1000))
def test_noise_raises_nothing_and_is_no_fragment(noise: bytes) -> None:
    assert STATIONS["near"].unwrap(noise) is None
    for frame in Unframing().feed(noise + b"\xc0" + noise):
        assert STATIONS["near"].unwrap(frame) is None


def test_only_frames_from_the_other_station_to_ours_without_layer_three_count() -> None:
    frame = STATIONS["far"].wrap(b"information")
    near = STATIONS["near"]
    assert near.unwrap(frame) == b"information"
    assert Stations("N0CALL", "N0CALL-2").unwrap(frame) is None
    assert Stations("N0CALL-1", "N0CALL-3").unwrap(frame) is None
    assert Stations("n0call-1", "n0call-2").unwrap(frame) == b"information"
    assert near.unwrap(frame[:14] + b"\x03\xcf" + frame[16:]) is None
    assert near.unwrap(frame[:14] + b"\x00\xf0" + frame[16:]) is None
    for length in range(17):
        assert near.unwrap(frame[:length]) is None


def test_a_frame_that_repeaters_passed_on_is_one() -> None:
    frame = STATIONS["far"].wrap(b"information")
    sender, rest = frame[:13] + bytes([frame[13] & 0xFE]), frame[14:]
    near = STATIONS["near"]
    repeater = b"\xa4\x8a\xa0\xa4\x40\x40"
    one, more = repeater + b"\xe3", repeater + b"\xe2"
    assert near.unwrap(sender + more + one + rest) == b"information"
    assert near.unwrap(sender + 8 * more + one + rest) is None
    assert near.unwrap(sender + 8 * more) is None
    assert near.unwrap(sender) is None


@pytest.mark.parametrize(
    "bad", [b"\xc0\0a\xdbb\xc0", b"\xc0\0a\xdb\xc0", b"\xc0\x01a\xc0", b"\xc0\0\xc0"]
)
def test_what_is_wrongly_escaped_or_no_data_is_no_frame(bad: bytes) -> None:
    assert Unframing().feed(bad) == []
    assert Unframing().feed(bad + framed(b"good")) == [b"good"]
