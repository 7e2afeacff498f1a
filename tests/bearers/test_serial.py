"""The serial bearer over a pair of real terminal devices: the contract, and its own ways.

Theory of operation: two pseudo-terminals and a thread that passes bytes between them
(bench/modem.py); pulling a plug closes the near one, as a device that is taken away.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from bench.modem import Modems
from openline.bearers.base import Bearer, BearerProfile
from openline.bearers.framing import LineKey
from openline.bearers.serial import SerialBearer, profile_of

from .contract import BearerContract, End

NEAR = LineKey(1, bytes(range(32)), 1)
FAR = NEAR._replace(direction=2)
BAUD = 4_000_000


def bearer(device: Path, line: LineKey, profile: BearerProfile | None = None) -> SerialBearer:
    """One on a device that is as fast as devices are."""
    return SerialBearer(device, line, profile or profile_of(BAUD), baud=BAUD)


class TestSerial(BearerContract):
    """Two posts and a cable; a cut pulls the near plug."""

    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.place = tmp_path

    async def make(self) -> tuple[Bearer, Bearer]:
        """One at each end."""
        self.cable = Modems(self.place)
        self.cable.__enter__()
        devices = self.cable.devices
        return bearer(devices["near"], NEAR), bearer(devices["far"], FAR)

    async def unmake(self) -> None:
        """Put the cable away."""
        await asyncio.to_thread(self.cable.__exit__, None, None, None)

    async def cut(self) -> None:
        """Pull the plug."""
        self.cable.pull("near")

    async def mend(self) -> None:
        """Plug it in."""
        self.cable.plug("near")


def play(place: Path, scene: Callable[[Modems, End, End], Awaitable[None]]) -> None:
    """Run a scene with a bearer at each end of a cable."""

    async def whole() -> None:
        with Modems(place) as cable:
            near, far = (
                End(bearer(cable.devices[name], line))
                for name, line in (("near", NEAR), ("far", FAR))
            )
            try:
                near.start()
                far.start()
                await near.port.until(lambda: near.port.is_up)
                await far.port.until(lambda: far.port.is_up)
                await scene(cable, near, far)
            finally:
                await near.stop()
                await far.stop()

    asyncio.run(whole())


@pytest.mark.parametrize(
    ("device", "code"),
    [
        ("nothing", "bearer.no_device"),
        ("file", "bearer.not_serial"),
        (".", "bearer.not_serial"),
        ("/dev/null", "bearer.not_serial"),
    ],
)
def test_a_device_that_is_not_there_or_no_serial_one_is_told_with_its_own_code(
    tmp_path: Path, device: str, code: str
) -> None:
    (tmp_path / "file").touch()

    async def scene() -> None:
        end = End(bearer(tmp_path / device, NEAR))
        end.start()
        await end.port.until(lambda: end.port.states == [code])
        await end.stop()

    asyncio.run(scene())


def test_noise_on_the_wire_costs_a_datagram_and_no_more(tmp_path: Path) -> None:
    async def scene(cable: Modems, near: End, far: End) -> None:
        cable.noise("far", os.urandom(300))
        near.port.send(b"perhaps taken for the end of the noise")
        near.port.send(b"after the noise")
        await far.port.until(lambda: b"after the noise" in far.port.arrived)
        assert set(far.port.arrived) <= {
            b"perhaps taken for the end of the noise",
            b"after the noise",
        }

    play(tmp_path, scene)


def test_the_profile_follows_from_device_and_wire() -> None:
    device = profile_of(9600)
    assert (device.rate_bytes_s, device.padded, device.narrow) == (960, False, True)
    slow = profile_of(9600, rate_bytes_s=37, latency_ms=2000, name="radio")
    assert (slow.name, slow.rate_bytes_s, slow.fragment_bytes, slow.grain_bytes) == (
        *("radio", 37),
        *(99, 594),
    )
    assert profile_of(300, rate_bytes_s=5000).rate_bytes_s == 30
