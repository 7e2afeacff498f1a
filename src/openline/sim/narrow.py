"""A narrow wire: 30 to 300 bytes in a second, over which datagrams go in fragments.

Theory of operation: what cuts, orders, joins and stuffs fragments is the code of production; here
are only the wire and the clock of the bearer, which gives the wire a fragment just before the last
has left and asks in between whether something more urgent has come up. Bytes are lost, flipped, put
in between, cut off where a device is pulled out or a process ends; an attacker repeats fragments
and puts in those of other lines and of the other direction. Whatever is joined must have been cut,
part for part at its place; and a FLASH that is released while something less urgent leaves must be
what leaves next. Nothing here knows what a datagram means.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from ..bearers.base import Outgoing
from ..bearers.fragments import ADDED_BYTES, FRAGMENT_BYTES_MAX, Fragmenter, Joiner, Stuffing
from ..bearers.framing import LineKey
from ..bearers.narrow import LEAD_S, Leaving
from .network import Attached

_FIRST, _NUMBERS = 0x80, 64
"""What the head of a fragment says (docs/protocol.md §15)."""
_KEPT = 200
"""Fragments that an attacker keeps of each direction."""
_RUN_MAX = 8
"""Fragments in a row that he repeats."""
_NOISE_BYTES_MAX = 40
_LEAD_MS = int(1000 * LEAD_S)


@dataclass
class _Going:
    """A fragment that is leaving."""

    stuffed: bytes
    begin_ms: int
    end_ms: int


@dataclass
class _Device:
    """What the bearer at one end has in memory while its device is open."""

    leaving: Leaving
    joiner: Joiner
    stuffing: Stuffing = field(default_factory=Stuffing)
    going: _Going | None = None
    free_ms: int = 0
    next_ms: int = 0
    """When it gives the wire the next fragment."""
    said: dict[bytes, set[int]] = field(default_factory=dict)
    """By the first part of each datagram that has not begun to leave: how urgent its records are.
    """
    numbers: dict[int, set[int]] = field(default_factory=dict)
    """The same by number, of those that have."""
    last: set[int] = field(default_factory=set)
    """How urgent what left last was; empty if nothing did, or if there were no records in it."""
    flashes: int = 0
    """How many FLASHes had been released when that left."""


@dataclass
class Narrow(Attached):
    """Fragments at the pace of the wire, in both directions at the same time."""

    cut: dict[str, set[tuple[int, bytes]]] = field(default_factory=lambda: {"a": set(), "b": set()})
    """By sender: every part of a datagram that was cut, with where it begins."""
    _devices: dict[str, _Device] = field(default_factory=dict)
    """By end: while its device is open."""
    _cutting: dict[str, Fragmenter] = field(default_factory=dict)
    _kept: dict[str, deque[bytes]] = field(
        default_factory=lambda: {"a": deque(maxlen=_KEPT), "b": deque(maxlen=_KEPT)}
    )

    @property
    def rate_bytes_s(self) -> int:
        """What it carries in a second."""
        return self.profile.rate_bytes_s or 1

    @property
    def fragment_bytes(self) -> int:
        """Longest fragment."""
        return self.profile.fragment_bytes or FRAGMENT_BYTES_MAX

    # -- devices ------------------------------------------------------------------------------

    def _up(self, name: str) -> None:
        end = self.ends[name]
        if self._told[name] and not self.shut[name] and end.alive:
            if name not in self._cutting:
                self._cutting[name] = Fragmenter(end.line_key())
            leaving = Leaving(self._cutting[name], self.fragment_bytes)
            self._devices[name] = _Device(leaving, Joiner(end.line_key()))
        super()._up(name)

    def part(self, names: Sequence[str], code: str) -> None:
        """The devices of these ends are pulled out."""
        for name in names:
            self._close(name)
        super().part(names, code)

    def ended(self, name: str) -> None:
        """The process at this end has ended, and let go of the device."""
        self._close(name)
        self._cutting.pop(name, None)
        super().ended(name)

    def rolled_back(self, name: str, *, up: bool) -> None:
        """The device was not put back with the machine."""
        self._close(name)
        self._told[name] = False
        super().rolled_back(name, up=up)
        self.reach()

    def _close(self, name: str) -> None:
        """What of a fragment has not left yet never will."""
        device = self._devices.pop(name, None)
        going = device.going if device else None
        if going is None or not going.begin_ms < self.world.ms < going.end_ms:
            return
        part = self.world.ms - going.begin_ms
        left = going.stuffed[: len(going.stuffed) * part // (going.end_ms - going.begin_ms)]
        if not self.silent:
            self.world.after(self.weather.latency_ms, lambda: self._arrive(name, left))

    def leaves(self, name: str) -> bool:
        """Whether a fragment is leaving this end just now."""
        device = self._devices.get(name)
        going = device.going if device else None
        return going is not None and going.begin_ms < self.world.ms < going.end_ms

    # -- sending ------------------------------------------------------------------------------

    def send(self, sender: str, outgoing: Sequence[Outgoing]) -> None:
        """Nobody pushes: the bearer pulls."""
        raise NotImplementedError

    def pull(self, name: str) -> None:
        """The bearer at this end looks for what to send, unless the wire has enough."""
        device, end = self._devices.get(name), self.ends[name]
        if device is None or self.shut[name] or self.world.ms < device.next_ms:
            return
        fragment = None
        while fragment is None:
            rank = device.leaving.rank
            items = end.take(self.name, rank)
            if self._devices.get(name) is not device:
                return
            self._note(name, device, items)
            device.leaving.add(items)
            if device.leaving.rank is None:
                device.last = set()
                device.flashes = len(self.world.checker.flashes[name])
                return
            fragment = device.leaving.next()
        self._judge(name, device, fragment)
        self._give(name, device, fragment)

    def _note(self, name: str, device: _Device, items: Sequence[Outgoing]) -> None:
        for item, ranks in zip(items, self.world.checker.carried, strict=False):
            step = device.leaving.fragment_bytes(item) - ADDED_BYTES
            self.world.note(f"{name} {self.name} cuts {len(item.data)}, rank {item.rank}")
            device.said[item.data[:step]] = ranks
            starts = range(0, len(item.data), step)
            self.cut[name] |= {(start, item.data[start : start + step]) for start in starts}

    def _judge(self, name: str, device: _Device, fragment: bytes) -> None:
        """Whether a FLASH that was released while something less urgent left is what leaves now."""
        number, first = fragment[0] % _NUMBERS, fragment[0] & _FIRST
        if first:
            device.numbers[number] = device.said.pop(fragment[1 : 1 - ADDED_BYTES])
        now = device.numbers[number]
        self.world.checker.overtakes(name, device.flashes, before=device.last, now=now)
        if now or not device.last:
            device.last, device.flashes = now, len(self.world.checker.flashes[name])

    def _give(self, name: str, device: _Device, fragment: bytes) -> None:
        """Have the wire carry a fragment, and come back just before it has left."""
        stuffed, now_ms = Stuffing.encode(fragment), self.world.ms
        begin_ms = max(device.free_ms, now_ms)
        # Not by its stuffing, which hangs on bytes that no two runs of a seed have in common.
        count = len(fragment) + len(fragment) // 254 + 2
        device.free_ms = begin_ms + max(1, count * 1000 // self.rate_bytes_s)
        device.next_ms = max(now_ms + 1, device.free_ms - _LEAD_MS)
        going = device.going = _Going(stuffed, begin_ms, device.free_ms)

        def left() -> None:
            if self._devices.get(name) is device and not self.silent:
                found = self._befallen(name, going.stuffed)
                self.world.after(self.weather.latency_ms, lambda: self._arrive(name, found))

        def resume() -> None:
            if self._devices.get(name) is device:
                self.ends[name].pump(self.name)

        self.world.after(device.next_ms - now_ms, resume)
        self.world.after(device.free_ms - now_ms, left)

    # -- what befalls it ----------------------------------------------------------------------

    def _place(self, count: int) -> int:
        """A number below `count`, drawn alike whatever that is."""
        return int(self.chance.random() * count)

    def _befallen(self, sender: str, stuffed: bytes) -> bytes:
        """What becomes of the bytes of a fragment on the wire."""
        chance, weather, kept = self.chance, self.weather, self._kept[sender]
        found = stuffed
        if weather.loss and chance.random() < weather.loss:
            self.world.struck("fragment lost")
            found = b""
        if found and weather.corrupt and chance.random() < weather.corrupt:
            self.world.struck("bit flipped")
            at = self._place(len(found))
            flipped = found[at] ^ (1 << chance.randrange(8))
            found = found[:at] + bytes((flipped,)) + found[at + 1 :]
        if weather.noise and chance.random() < weather.noise:
            self.world.struck("noise")
            at = self._place(len(found) + 1)
            noise = chance.randbytes(chance.randint(1, _NOISE_BYTES_MAX))
            found = found[:at] + noise + found[at:]
        if weather.replay and kept and chance.random() < weather.replay:
            self.world.struck("fragment replayed")
            at = chance.randrange(len(kept))
            again = b"".join(list(kept)[at : at + chance.randint(1, _RUN_MAX)])
            found = again + found if chance.random() < 0.5 else found + again
        if weather.mix and chance.random() < weather.mix:
            self.world.struck("foreign fragment")
            reflected = self._kept[self.other(sender)]
            own = reflected and chance.random() < 0.3
            found += chance.choice(reflected if own else self._foreign)
        kept.append(stuffed)
        return found

    @cached_property
    def _foreign(self) -> list[bytes]:
        """Fragments of another line."""
        cutting = Fragmenter(LineKey(1, bytes(32), 1))
        cut = [cutting.cut(data, self.fragment_bytes) for data in self.world.strangers]
        return [Stuffing.encode(fragment) for fragments in cut for fragment in fragments]

    # -- receiving ----------------------------------------------------------------------------

    def _arrive(self, sender: str, data: bytes) -> None:
        """Bytes come out of the wire, sometimes not all at once."""
        reader = self.other(sender)
        device, end = self._devices.get(reader), self.ends[reader]
        if device is None or self.silent or self.shut[reader] or not end.alive:
            return
        at = self._place(len(data) + 1)
        fragments = device.stuffing.feed(data[:at]) + device.stuffing.feed(data[at:])
        joined = [device.joiner.feed(fragment) for fragment in fragments]
        datagrams = [datagram for datagram in joined if datagram is not None]
        for datagram in datagrams:
            self._joined(sender, datagram)
        if datagrams:
            end.deliver(self.name, datagrams)

    def _joined(self, sender: str, datagram: bytes) -> None:
        """Each part of what was joined was cut, and began there."""
        step = self.fragment_bytes - ADDED_BYTES
        parts = {(at, datagram[at : at + step]) for at in range(0, len(datagram), step)}
        if (0, datagram) not in self.cut[sender] and not parts <= self.cut[sender]:
            self.world.checker.fail(f"{self.name} joins what {sender} never cut so")
