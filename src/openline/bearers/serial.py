"""A serial line: a cable, or a pair of transparent radio modems (docs/protocol.md §15).

Theory of operation: the device is opened, and opened again when it was pulled out; an open device
is a bearer that is up, for nothing tells whether anybody listens at the other end. The rate of the
wire behind the device may be far below that of the device: the bearer keeps to the former
(narrow.py). Fragments travel stuffed between zeros, so that after noise the next zero is a new
beginning. Modems that want to be dialled are for the operator's own programs.
"""

from __future__ import annotations

import asyncio
import errno
from dataclasses import replace
from pathlib import Path
from typing import Any

import serialx

from openline.errors import BearerError

from .base import BearerProfile
from .fragments import FRAGMENT_BYTES_MAX, Stuffing
from .framing import LineKey
from .narrow import FragmentWire, NarrowBearer, narrowed

BAUD = 9600
"""What a device is set to if nothing else is said."""

BITS_PER_BYTE = 10
"""On the device: start, eight of data, stop."""

READ_BYTES = 4096

PROFILE = BearerProfile(
    name="serial",
    latency_ms=200,
    mtu_bytes=4096,
    retry_ms_min=5_000,
    retry_ms_max=60_000,
    cost=20,
    padded=False,
)


def profile_of(baud: int, **said: Any) -> BearerProfile:
    """What a serial line declares, given the speed of its device and what the operator says."""
    profile = replace(PROFILE, **said)
    device_bytes_s = baud // BITS_PER_BYTE
    rate = min(profile.rate_bytes_s or device_bytes_s, device_bytes_s)
    return narrowed(profile, rate, FRAGMENT_BYTES_MAX)


class SerialBearer(NarrowBearer):
    """The bearer of one line over one serial device."""

    def __init__(
        self, device: Path, line: LineKey, profile: BearerProfile, *, baud: int = BAUD
    ) -> None:
        """`profile` is one that `profile_of` gave."""
        super().__init__(line, profile)
        self._device = device
        self._baud = baud

    async def open(self) -> FragmentWire:
        """The device, set to our speed, without parity and flow control."""
        try:
            reader, writer = await serialx.open_serial_connection(
                url=str(self._device), baudrate=self._baud
            )
        except (OSError, serialx.SerialException) as error:
            is_other = isinstance(error, OSError) and error.errno in (errno.ENOTTY, errno.EISDIR)
            code = "bearer.not_serial" if is_other else "bearer.no_device"
            raise BearerError(code, retry=True) from error
        return _SerialWire(reader, writer)


class _SerialWire:
    """An open device."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._stuffing = Stuffing()
        # What the other side has of a fragment that was torn off must not swallow the next one.
        writer.write(b"\0")

    async def send(self, fragment: bytes) -> int:
        """Write a fragment."""
        stuffed = Stuffing.encode(fragment)
        try:
            self._writer.write(stuffed)
            await self._writer.drain()
        except (OSError, serialx.SerialException) as error:
            raise BearerError("bearer.device_gone", retry=True) from error
        return len(stuffed)

    async def receive(self) -> list[bytes]:
        """The fragments that the next bytes complete."""
        try:
            chunk = await self._reader.read(READ_BYTES)
        except (OSError, serialx.SerialException) as error:
            raise BearerError("bearer.device_gone", retry=True) from error
        if not chunk:
            raise BearerError("bearer.device_gone", retry=True)
        return self._stuffing.feed(chunk)

    def close(self) -> None:
        """Drop what is unsent and let the device go."""
        self._writer.transport.abort()
