"""What the narrow bearers share: pacing, and letting what is urgent by.

Theory of operation: a modem takes bytes faster than it can send them and says nothing, so the
bearer counts what the wire carries in a second and gives it the next fragment just before the last
has left. Until then nothing is committed: between two fragments the port is asked whether anything
more urgent has come up, and that goes first, the rest of the other datagram after it. How fragments
travel is the affair of a `FragmentWire`: a serial line, a radio behind its controller. Fragments
themselves do not live here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple, Protocol

from openline.errors import BearerError, StoreError

from .base import BearerProfile, Outgoing, Port
from .fragments import FRAGMENT_BYTES_MAX, FRAGMENT_BYTES_MIN, Fragmenter, Joiner
from .framing import LineKey
from .reach import Door

FRAGMENT_S = 2.7
"""How long one fragment may take: so long a FLASH waits at most for what is on the wire."""

GRAIN_FRAGMENTS = 6
"""Fragments of a datagram that records are filled into."""

GRAIN_BYTES_MIN = 512

LEAD_S = 0.03
"""How long before a fragment has left the next one is given to the wire, lest it fall idle."""

AGAIN_S = 2.0
"""Wait before a wire that is gone is tried again."""


def narrowed(profile: BearerProfile, rate_bytes_s: int, most_bytes: int) -> BearerProfile:
    """A profile with all that follows from the rate of the wire: fragments of at most `most_bytes`,
    datagrams of a size where what a lost fragment costs and what sealing costs are about even, and
    a repeat no sooner than the other side can have come to answer."""
    fragment = max(FRAGMENT_BYTES_MIN, min(int(rate_bytes_s * FRAGMENT_S), most_bytes))
    grain = min(max(GRAIN_BYTES_MIN, GRAIN_FRAGMENTS * fragment), profile.mtu_bytes)
    retry_ms = min(max(profile.retry_ms_min, 1000 * grain // rate_bytes_s), profile.retry_ms_max)
    return replace(
        profile,
        rate_bytes_s=rate_bytes_s,
        fragment_bytes=fragment,
        grain_bytes=grain,
        retry_ms_min=retry_ms,
    )


class FragmentWire(Protocol):
    """Something that carries fragments both ways."""

    async def send(self, fragment: bytes) -> int:
        """Give it a fragment; the bytes that this takes on the wire. Raises BearerError."""

    async def receive(self) -> list[bytes]:
        """Wait for fragments. Raises BearerError when it is gone."""

    def close(self) -> None:
        """Let it go."""


class _Sending(NamedTuple):
    """A datagram on its way out."""

    rank: int
    fragments: Iterator[bytes]


class Leaving:
    """The datagrams of a line that leave over one wire, as fragments, the most urgent first.

    What nothing may pass goes in fragments as long as the wire takes them, `most_bytes`.
    """

    def __init__(
        self, fragmenter: Fragmenter, fragment_bytes: int, most_bytes: int = FRAGMENT_BYTES_MAX
    ) -> None:
        self._fragmenter = fragmenter
        self._fragment_bytes = fragment_bytes
        self._most_bytes = most_bytes
        self._waiting: list[_Sending] = []

    @property
    def rank(self) -> int | None:
        """How urgent the datagram is whose fragments leave now; None if there is none."""
        return self._waiting[0].rank if self._waiting else None

    def add(self, items: Iterable[Outgoing]) -> None:
        """Put datagrams where they belong: after all that is as urgent, before the rest."""
        for item in items:
            at = sum(each.rank >= item.rank for each in self._waiting)
            fragments = self._fragmenter.cut(item.data, self.fragment_bytes(item))
            self._waiting.insert(at, _Sending(item.rank, fragments))

    def fragment_bytes(self, item: Outgoing) -> int:
        """How long the fragments of a datagram may be."""
        return self._most_bytes if item.urgent else self._fragment_bytes

    def next(self) -> bytes | None:
        """The next fragment; None if none is left of the first datagram, which is let go."""
        fragment = next(self._waiting[0].fragments, None) if self._waiting else None
        if fragment is None:
            del self._waiting[:1]
        return fragment


class NarrowBearer:
    """The bearer of one line over a narrow wire; a subclass says how to `open` the wire."""

    most_bytes = FRAGMENT_BYTES_MAX
    """Longest fragment that the wire takes."""

    def __init__(self, line: LineKey, profile: BearerProfile) -> None:
        """`profile` says the rate and the length of fragments."""
        self.profile = profile
        self._line = line
        self._fragmenter = Fragmenter(line)
        self._free_s = 0.0

    async def open(self) -> FragmentWire:
        """The wire, ready to carry. Raises BearerError."""
        raise NotImplementedError

    async def run(self, port: Port) -> None:
        """Carry datagrams until cancelled; a wire that is gone is opened again."""
        door = Door(port)
        while True:
            try:
                wire = await self.open()
                try:
                    door.up()
                    await self._carry(wire, port)
                finally:
                    wire.close()
            except BearerError as error:
                door.down(error.code)
            await asyncio.sleep(AGAIN_S)

    async def _carry(self, wire: FragmentWire, port: Port) -> None:
        """Both ways, until one of them fails."""
        ways = [
            asyncio.create_task(self._send_all(wire, port)),
            asyncio.create_task(self._receive_all(wire, port)),
        ]
        try:
            done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in done:
                way.result()
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _receive_all(self, wire: FragmentWire, port: Port) -> None:
        joiner = Joiner(self._line)
        while True:
            joined = map(joiner.feed, await wire.receive())
            if datagrams := [datagram for datagram in joined if datagram is not None]:
                # What the disk does not take is not acknowledged, and so comes again.
                with suppress(StoreError):
                    await port.received(datagrams)

    async def _send_all(self, wire: FragmentWire, port: Port) -> None:
        size = self.profile.fragment_bytes or self.most_bytes
        leaving = Leaving(self._fragmenter, size, self.most_bytes)
        while True:
            rank = leaving.rank
            leaving.add(await port.outgoing() if rank is None else port.urgent(rank))
            fragment = leaving.next()
            if fragment is not None:
                await self._pace(await wire.send(fragment))

    async def _pace(self, count: int) -> None:
        """Wait until the wire has as good as sent so many bytes more."""
        loop = asyncio.get_running_loop()
        rate = self.profile.rate_bytes_s or 1
        self._free_s = max(self._free_s, loop.time()) + count / rate
        await asyncio.sleep(max(0.0, self._free_s - LEAD_S - loop.time()))
