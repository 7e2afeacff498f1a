"""The bearer over two real controllers and real sound at 1200 baud (tests/air.py)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from openline.bearers.ax25 import Stations
from openline.bearers.framing import LineKey
from openline.bearers.kiss import Airtime, KissBearer, profile_of
from tests.air import CALLS, Air, missing, on_the_air

from .contract import End

LINES = {"near": LineKey(1, bytes(range(32)), 1), "far": LineKey(1, bytes(range(32)), 2)}
OTHER = {"near": "far", "far": "near"}


@pytest.fixture(autouse=True)
def _program() -> None:
    if (lacking := missing()) is not None:
        pytest.skip(lacking)


def bearer(air: Air, name: str) -> KissBearer:
    """The bearer of a station."""
    return KissBearer(
        ("127.0.0.1", air.stations[name].port),
        Stations(CALLS[name], CALLS[OTHER[name]]),
        LINES[name],
        profile_of(Airtime()),
        airtime=Airtime(),
    )


def play(air: Air, scene: Callable[[End, End], Awaitable[None]]) -> None:
    """Run a scene with a bearer at each station."""

    async def whole() -> None:
        near, far = End(bearer(air, "near")), End(bearer(air, "far"))
        try:
            near.start()
            far.start()
            await near.port.until(lambda: near.port.is_up)
            await far.port.until(lambda: far.port.is_up)
            await scene(near, far)
        finally:
            await near.stop()
            await far.stop()

    asyncio.run(whole())


def test_a_datagram_and_its_answer_cross_the_air(tmp_path: Path) -> None:
    text, ack = bytes(range(256)), b"it is held \xc0\xdb"

    async def scene(near: End, far: End) -> None:
        near.port.send(text)
        await far.port.until(lambda: far.port.arrived == [text])
        far.port.send(ack)
        await near.port.until(lambda: near.port.arrived == [ack])

    with on_the_air(tmp_path) as air:
        play(air, scene)
        # Two fragments and one; a controller may send those that wait together.
        assert air.stations["near"].keyed in (1, 2)
        assert air.stations["far"].keyed == 1
        seen = air.stations["far"].log.read_text("utf-8", "replace")
        assert "N0CALL-1>N0CALL-2" in seen


def test_a_controller_that_was_ended_is_called_until_it_is_back(tmp_path: Path) -> None:
    with on_the_air(tmp_path) as air:

        async def scene(near: End, far: End) -> None:
            station = air.stations["near"]
            await asyncio.to_thread(station.stop)
            await near.port.until(lambda: "bearer.no_controller" in near.port.states)
            assert near.port.states == ["up", "bearer.controller_gone", "bearer.no_controller"]
            station.start()
            await near.port.until(lambda: near.port.is_up)
            near.port.send(b"back again")
            await far.port.until(lambda: far.port.arrived == [b"back again"])

        play(air, scene)
