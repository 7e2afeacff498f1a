"""A radio behind a KISS controller (TNC) that is reached by TCP (docs/protocol.md §15).

Theory of operation: the controller keys the transmitter, waits for a free channel before that, and
tells nothing of it: what it is given, it queues. So the bearer counts how long each frame takes on
the air, all that is around the fragment included, and gives it the next one only then (narrow.py).
Both stations share one channel and only one can send: after each frame the count leaves `room_ms`,
in which the other may begin; the controllers see to it that neither begins while it hears the
other. What collides all the same is lost, and the line sends it again. How frames look is the
affair of ax25.py.
"""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from typing import Any, NamedTuple

from openline.errors import BearerError

from .ax25 import HEADER_BYTES, INFORMATION_BYTES_MAX, TX_DELAY, Stations, Unframing, framed
from .base import BearerProfile
from .fragments import FRAGMENT_BYTES_MIN
from .framing import LineKey
from .narrow import AGAIN_S, FRAGMENT_S, FragmentWire, NarrowBearer, narrowed
from .reach import options_of_silence

RATE_BYTES_S = 150
"""On the air, if nothing else is said: 1200 baud, as almost every radio of this kind sends."""

TX_DELAY_MS = 300
"""Keying-up time if nothing else is said: what controllers are set to."""

TAIL_MS = 100
"""How long a transmitter stays keyed behind a frame."""

ROOM_MS = 500
"""What is left after a frame: the controller's own random wait before the next one (0.4 s on
average, as controllers are set), in which the other station may begin instead."""

FRAME_BYTES = HEADER_BYTES + 4
"""What a frame adds to a fragment on the air: header, checksum, a flag at each end."""

BITS_STUFFED, BITS_SENT = 62, 63
"""Of bits that look like chance, after so many one is stuffed in (after each five ones)."""

ANSWER_S = 5.0
"""How long a controller may take to answer a call."""

SILENT_S = 15.0
"""How long a controller may take to acknowledge what it was sent, or that it is still there."""

EXTRA_S_MAX = 14.0
"""Most by which a call is put off, beside the wait after each failure."""

READ_BYTES = 4096

PROFILE = BearerProfile(
    name="kiss",
    latency_ms=0,
    mtu_bytes=4096,
    retry_ms_min=5_000,
    retry_ms_max=120_000,
    cost=30,
    padded=False,
)


class Airtime(NamedTuple):
    """How long frames take."""

    rate_bytes_s: int = RATE_BYTES_S
    """While a frame is being sent."""
    tx_delay_ms: int = TX_DELAY_MS
    tail_ms: int = TAIL_MS
    room_ms: int = ROOM_MS

    @property
    def around_s(self) -> float:
        """What a frame takes beside its bytes, in seconds."""
        return (self.tx_delay_ms + self.tail_ms + self.room_ms) / 1000

    def frame_s(self, fragment_bytes: int) -> float:
        """What the frame of a fragment takes in all, in seconds."""
        count = fragment_bytes + FRAME_BYTES
        return self.around_s + count * BITS_SENT / BITS_STUFFED / self.rate_bytes_s

    def fragment_bytes(self) -> int:
        """The longest fragment whose frame takes no more than FRAGMENT_S, within what frames can
        take and what is worth cutting."""
        left_s = max(0.0, FRAGMENT_S - self.around_s)
        most = int(left_s * self.rate_bytes_s * BITS_STUFFED / BITS_SENT) - FRAME_BYTES
        return min(max(most, FRAGMENT_BYTES_MIN), INFORMATION_BYTES_MAX)


def profile_of(airtime: Airtime, **said: Any) -> BearerProfile:
    """What the bearer declares, given how long frames take and what the operator says beside: as
    its rate, what fragments really get of the rate on the air."""
    said.setdefault("latency_ms", int(1000 * airtime.around_s))
    fragment = airtime.fragment_bytes()
    rate = max(1, int(fragment / airtime.frame_s(fragment)))
    return narrowed(replace(PROFILE, **said), rate, fragment)


class KissBearer(NarrowBearer):
    """The bearer of one line through one controller, to one other station."""

    most_bytes = INFORMATION_BYTES_MAX

    def __init__(
        self,
        address: tuple[str, int],
        stations: Stations,
        line: LineKey,
        profile: BearerProfile,
        *,
        airtime: Airtime,
        tells_delay: bool = False,
    ) -> None:
        """`address` is host and port of the controller, `profile` one that `profile_of` gave;
        `tells_delay`: set the controller to the keying-up time of `airtime`."""
        super().__init__(line, profile)
        self._address = address
        self._stations = stations
        self._airtime = airtime
        self._tells_delay = tells_delay
        self._extra_s = 0.0

    async def open(self) -> FragmentWire:
        """A connection to the controller; each failure in a row puts the next call off further."""
        await asyncio.sleep(self._extra_s)
        self._extra_s = min(2 * self._extra_s + AGAIN_S / 2, EXTRA_S_MAX)
        try:
            async with asyncio.timeout(ANSWER_S):
                reader, writer = await asyncio.open_connection(*self._address)
        except (OSError, UnicodeError) as error:
            raise BearerError("bearer.no_controller", retry=True) from error
        self._extra_s = 0.0
        wire = _KissWire(reader, writer, self)
        if self._tells_delay:
            wire.tell(framed(bytes([self._airtime.tx_delay_ms // 10]), TX_DELAY))
        return wire

    def frame(self, fragment: bytes) -> bytes:
        """A fragment as the controller takes it."""
        return framed(self._stations.wrap(fragment))

    def fragments(self, frames: list[bytes]) -> list[bytes]:
        """What the other station says to ours in these frames."""
        found = map(self._stations.unwrap, frames)
        return [fragment for fragment in found if fragment is not None]

    def count(self, fragment_bytes: int) -> int:
        """How much of the profile's rate the frame of a fragment takes, in bytes."""
        return round(self._airtime.frame_s(fragment_bytes) * (self.profile.rate_bytes_s or 1))


class _KissWire:
    """A connection to the controller."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, bearer: KissBearer
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._bearer = bearer
        self._unframing = Unframing()
        _watch(writer)

    def tell(self, command: bytes) -> None:
        """Write a command that is not a frame."""
        self._writer.write(command)

    async def send(self, fragment: bytes) -> int:
        """Give the controller a fragment."""
        try:
            self._writer.write(self._bearer.frame(fragment))
            async with asyncio.timeout(SILENT_S):
                await self._writer.drain()
        except OSError as error:
            raise BearerError("bearer.controller_gone", retry=True) from error
        return self._bearer.count(len(fragment))

    async def receive(self) -> list[bytes]:
        """The fragments to us that the next bytes complete."""
        try:
            chunk = await self._reader.read(READ_BYTES)
        except OSError as error:
            raise BearerError("bearer.controller_gone", retry=True) from error
        if not chunk:
            raise BearerError("bearer.controller_gone", retry=True)
        return self._bearer.fragments(self._unframing.feed(chunk))

    def close(self) -> None:
        """Drop what is unsent and hang up."""
        self._writer.transport.abort()


def _watch(writer: asyncio.StreamWriter) -> None:
    """Have the kernel end a connection whose other end is gone without a word."""
    connection: socket.socket = writer.get_extra_info("socket")
    keeping = {"TCP_KEEPIDLE": int(SILENT_S / 2), "TCP_KEEPINTVL": int(SILENT_S / 4)}
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in keeping.items():
        if (number := getattr(socket, name, None)) is not None:
            connection.setsockopt(socket.IPPROTO_TCP, number, value)
    for option in options_of_silence(SILENT_S):
        connection.setsockopt(*option)
