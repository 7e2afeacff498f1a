"""The serial bearer over a pair of real terminal devices: the contract, and its own ways.

Theory of operation: a `Cable` is two pseudo-terminals and a thread that passes bytes between them;
pulling a plug closes the near one, as a device that is taken away.
"""

from __future__ import annotations

import asyncio
import os
import select
import threading
import tty
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from openline.bearers.base import Bearer, BearerProfile
from openline.bearers.framing import LineKey
from openline.bearers.serial import SerialBearer, profile_of

from .contract import BearerContract, End

NEAR = LineKey(1, bytes(range(32)), 1)
FAR = NEAR._replace(direction=2)
BAUD = 4_000_000
READ_BYTES = 4096


class Cable:
    """Two serial devices, "near" and "far", joined; links in `place` lead to them."""

    def __init__(self, place: Path) -> None:
        self.devices = {name: place / name for name in ("near", "far")}
        self._masters: dict[str, int] = {}
        self._slaves: dict[str, int] = {}
        self._wake, self._woken = os.pipe()
        self._lock = threading.Lock()
        self._ended = False
        for name in self.devices:
            self.plug(name)
        self._thread = threading.Thread(target=self._pass, daemon=True)
        self._thread.start()

    def plug(self, name: str) -> None:
        """Put a device there."""
        master, slave = os.openpty()
        tty.setraw(master)
        tty.setraw(slave)
        os.set_blocking(master, False)
        with self._lock:
            self._masters[name], self._slaves[name] = master, slave
        self.devices[name].unlink(missing_ok=True)
        self.devices[name].symlink_to(os.ttyname(slave))
        os.write(self._woken, b"x")

    def pull(self, name: str) -> None:
        """Take a device away."""
        self.devices[name].unlink()
        with self._lock:
            os.close(self._masters.pop(name))
            os.close(self._slaves.pop(name))

    def close(self) -> None:
        """Put the cable away."""
        self._ended = True
        os.write(self._woken, b"x")
        self._thread.join()
        for name in [*self._masters]:
            self.pull(name)
        os.close(self._wake)
        os.close(self._woken)

    def _pass(self) -> None:
        while not self._ended:
            with self._lock:
                ends = {master: name for name, master in self._masters.items()}
            ready, _, _ = select.select([*ends, self._wake], [], [], 0.05)
            for end in ready:
                if end == self._wake:
                    os.read(end, READ_BYTES)
                    continue
                with self._lock:
                    self._copy(end, ends[end])

    def _copy(self, end: int, name: str) -> None:
        other = self._masters.get("far" if name == "near" else "near")
        try:
            chunk = os.read(end, READ_BYTES) if self._masters.get(name) == end else b""
            while chunk and other is not None:
                select.select([], [other], [], 1)
                chunk = chunk[os.write(other, chunk) :]
        except OSError:
            return


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
        self.cable = Cable(self.place)
        devices = self.cable.devices
        return bearer(devices["near"], NEAR), bearer(devices["far"], FAR)

    async def unmake(self) -> None:
        """Put the cable away."""
        await asyncio.to_thread(self.cable.close)

    async def cut(self) -> None:
        """Pull the plug."""
        self.cable.pull("near")

    async def mend(self) -> None:
        """Plug it in."""
        self.cable.plug("near")


def play(place: Path, scene: Callable[[Cable, End, End], Awaitable[None]]) -> None:
    """Run a scene with a bearer at each end of a cable."""

    async def whole() -> None:
        cable = Cable(place)
        near, far = (
            End(bearer(cable.devices[name], line)) for name, line in (("near", NEAR), ("far", FAR))
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
            await asyncio.to_thread(cable.close)

    asyncio.run(whole())


def test_a_device_that_is_not_there_is_told_with_its_own_code(tmp_path: Path) -> None:
    async def scene() -> None:
        end = End(bearer(tmp_path / "nothing", NEAR))
        end.start()
        await end.port.until(lambda: end.port.states == ["bearer.no_device"])
        await end.stop()

    asyncio.run(scene())


def test_noise_on_the_wire_costs_a_datagram_and_no_more(tmp_path: Path) -> None:
    async def scene(cable: Cable, near: End, far: End) -> None:
        os.write(cable._masters["far"], os.urandom(300))
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
        *(92, 552),
    )
    assert profile_of(300, rate_bytes_s=5000).rate_bytes_s == 30
