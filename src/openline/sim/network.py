"""The network of a simulated world: wires of a line, and all that may befall bytes on them.

Theory of operation: a `Direct` wire is like TCP: in order, nothing lost while it lasts, all that
is in flight lost when it is cut, each end told of its own accord and late. A `Radio` is slow,
narrow and lossy and knows no connection. Those that keep what they carry are in carriers.py. Every
wire can be partitioned (and say so) or swallow everything in silence; all damage bytes and repeat
what went over them long ago, as an attacker on the wire may. Each has its own `Weather`, which says
how bad it is; `calm` ends all of it. Nothing here knows what a datagram means.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from ..bearers.base import BearerProfile, Mailbox, Outgoing
from ..bearers.framing import LineKey
from ..inputs import Input
from ..post import Post
from .chance import Chance
from .checker import Checker

OLD_DATAGRAMS_KEPT = 200
DELIVERY_DATAGRAMS_MAX = 8


@dataclass
class Weather:
    """Chances, each between 0 and 1, of what befalls a datagram; and how slow the wire is."""

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    corrupt: float = 0.0
    replay: float = 0.0
    withhold: float = 0.0
    mix: float = 0.0
    noise: float = 0.0
    half: float = 0.0
    late: float = 0.0
    latency_ms: int = 40
    bytes_per_ms: float = 500

    def calm(self) -> None:
        """No more faults; the wire stays as slow as it is."""
        self.loss = self.duplicate = self.reorder = self.corrupt = self.replay = 0.0
        self.withhold = self.mix = self.noise = self.half = self.late = 0.0


class End(Protocol):
    """One end of a wire: a post's process, if it is running."""

    name: str

    @property
    def alive(self) -> bool:
        """Whether the process is running."""

    def up(self, bearer: str) -> None:
        """Tell the process that a bearer can carry."""

    def down(self, bearer: str, code: str) -> None:
        """Tell the process that a bearer cannot carry."""

    def deliver(self, bearer: str, datagrams: Sequence[bytes]) -> bool:
        """Hand in datagrams; whether they are on the disk now."""

    def mailboxes(self) -> tuple[Sequence[Mailbox], Mailbox, Mailbox]:
        """(polled, deposit, recovery) of the line as the process sees them."""

    def running(self) -> Post:
        """The post, while the process is running."""

    def step(self, *inputs: Input) -> list[object]:
        """One step of the post; [] if the process ended in it."""

    def line_key(self) -> LineKey:
        """What bearers know of the line."""

    def pump(self, bearer: str) -> None:
        """Have a bearer carry what it can now."""

    def take(self, bearer: str, above: int | None = None) -> list[Outgoing]:
        """What a bearer should send now; `above` a rank, only what goes before that."""


class Clockwork(Protocol):
    """What a network needs of its world."""

    ms: int
    checker: Checker
    strangers: Sequence[bytes]
    """Datagrams of another line."""

    def after(self, delay_ms: int, act: Callable[[], None]) -> None:
        """Do something later."""

    def struck(self, fault: str) -> None:
        """A fault of this kind has done something."""

    def note(self, text: str) -> None:
        """A line for the trace."""


def _both() -> dict[str, bool]:
    return {"a": False, "b": False}


@dataclass
class Wire(ABC):
    """What all wires have in common: two ends, the weather, and memory of what passed."""

    world: Clockwork
    ends: dict[str, End]
    chance: Chance
    profile: BearerProfile
    weather: Weather = field(default_factory=Weather)
    shut: dict[str, bool] = field(default_factory=_both)
    """Ends that cannot reach the network now, and know it sooner or later."""
    silent: bool = False
    """Everything vanishes, and nobody is told."""
    old: dict[str, list[bytes]] = field(default_factory=lambda: {"a": [], "b": []})
    """By sender: datagrams an attacker has kept."""
    lossy = False
    """Whether single datagrams may be lost."""

    @property
    def name(self) -> str:
        """The bearer's name."""
        return self.profile.name

    @abstractmethod
    def reach(self) -> None:
        """Let the ends use this wire as far as they can; called whenever that may have changed."""

    @abstractmethod
    def send(self, sender: str, outgoing: Sequence[Outgoing]) -> None:
        """Carry datagrams, or lose them."""

    @abstractmethod
    def part(self, names: Sequence[str], code: str) -> None:
        """These ends lose their way to the network, and notice in their own time."""

    @abstractmethod
    def ended(self, name: str) -> None:
        """The process at this end is gone, and with it what it knew of the wire."""

    @abstractmethod
    def rolled_back(self, name: str, *, up: bool) -> None:
        """The process at this end was put back to an instant at which it took the wire for `up`."""

    @abstractmethod
    def poll(self, reader: str) -> None:
        """Let this end take what waits for it, if anything can wait on this wire."""

    @staticmethod
    def other(name: str) -> str:
        """The end across."""
        return "b" if name == "a" else "a"

    def busy_ms(self, outgoing: Sequence[Outgoing]) -> int:
        """How long the wire takes to accept these."""
        return 1 + int(sum(len(out.data) for out in outgoing) / self.weather.bytes_per_ms)

    def befall(self, sender: str, data: bytes) -> list[bytes]:
        """What an attacker on the wire makes of one datagram: usually itself alone."""
        chance, weather = self.chance, self.weather
        kept = self.old[sender]
        result = [data]
        if weather.corrupt and chance.random() < weather.corrupt:
            self.world.struck("corruption")
            at = chance.randrange(len(data))
            damaged = data[:at] + bytes((data[at] ^ (1 << chance.randrange(8)),)) + data[at + 1 :]
            result = [damaged[: chance.randrange(1, len(data))] if at % 5 == 0 else damaged]
        if weather.replay and kept and chance.random() < weather.replay:
            self.world.struck("replay")
            result += [chance.choice(kept) for _ in range(chance.randint(1, 3))]
        if weather.mix and chance.random() < weather.mix:
            self.world.struck("mixed lines")
            reflected = self.old[self.other(sender)]
            if reflected and chance.random() < 0.3:
                result.append(chance.choice(reflected))
            else:
                result += [chance.choice(self.world.strangers) for _ in range(2)]
        if len(kept) < OLD_DATAGRAMS_KEPT:
            kept.append(data)
        else:
            kept[chance.randrange(len(kept))] = data
        return result

    def _vanish(self, sender: str, outgoing: Sequence[Outgoing]) -> None:
        self.world.note(f"{self.name} {sender}: {len(outgoing)} into nothing")


@dataclass
class Direct(Wire):
    """A connection: in order and whole until it is cut."""

    connected: bool = False
    _number: int = 0
    _last_ms: dict[str, int] = field(default_factory=lambda: {"a": 0, "b": 0})

    def poll(self, reader: str) -> None:
        """Nothing waits on this wire: what is on it comes of itself."""

    def reach(self) -> None:
        """Connect if both ends can; called whenever that may have changed."""
        if self.connected or self.silent or any(self.shut.values()):
            return
        if all(end.alive for end in self.ends.values()):
            self.connected = True
            self._number += 1
            self.world.note(f"{self.name} connects")
            self._last_ms = dict.fromkeys(self.ends, self.world.ms)
            for end in self.ends.values():
                self._tell(end, self._number, self.chance.randint(0, 200))

    def _tell(self, end: End, number: int, delay_ms: int) -> None:
        def told() -> None:
            if self.connected and self._number == number:
                end.up(self.name)

        self.world.after(delay_ms, told)

    def part(self, names: Sequence[str], code: str) -> None:
        """These ends lose their way to the network: the connection ends for both."""
        for name in names:
            self.shut[name] = True
        self.cut(code)

    def ended(self, name: str) -> None:
        """A process that ends takes its connections with it."""
        self.cut("bearer.closed")

    def rolled_back(self, name: str, *, up: bool) -> None:
        """The connection does not survive: the other side's bytes fit nothing any more."""
        if self.connected:
            self.cut("bearer.closed")
        elif up:
            self._lost(self.ends[name], "bearer.closed", self._number)

    def cut(self, code: str) -> None:
        """Lose the connection and all in flight; each end hears of it in its own time."""
        if not self.connected:
            return
        self.connected = False
        self._number += 1
        self.world.note(f"{self.name} cut: {code}")
        for end in self.ends.values():
            self._lost(end, code, self._number)
        self.world.after(self.chance.randint(100, 25_000), self.reach)

    def _lost(self, end: End, code: str, number: int) -> None:
        def told() -> None:
            if self._number == number:
                end.down(self.name, code)

        self.world.after(self.chance.choice((0, 5, 1_000, 20_000)), told)

    def send(self, sender: str, outgoing: Sequence[Outgoing]) -> None:
        """Carry datagrams, or lose them if there is no connection any more."""
        if not self.connected or self.silent:
            self._vanish(sender, outgoing)
            return
        datagrams = [d for out in outgoing for d in self.befall(sender, out.data)]
        while datagrams:
            count = self.chance.randint(1, DELIVERY_DATAGRAMS_MAX)
            self._carry(sender, datagrams[:count])
            del datagrams[:count]

    def _carry(self, sender: str, datagrams: list[bytes]) -> None:
        number = self._number
        delay_ms = self.weather.latency_ms + self.chance.randint(0, 20)
        at_ms = max(self._last_ms[sender], self.world.ms + delay_ms)
        self._last_ms[sender] = at_ms
        to = self.ends[self.other(sender)]

        def arrive() -> None:
            if self.connected and self._number == number and to.alive and not self.silent:
                to.deliver(self.name, datagrams)

        self.world.after(at_ms - self.world.ms, arrive)


@dataclass
class Attached(Wire):
    """A wire without connection: each end has its own way to it, which it can lose."""

    _told: dict[str, bool] = field(default_factory=_both)
    """Ends that were told, or are being told, that it can carry."""

    def users(self) -> Sequence[str]:
        """The ends that send over it."""
        return ("a", "b")

    def poll(self, reader: str) -> None:
        """Nothing waits on this wire: what is on it comes of itself."""

    def reach(self) -> None:
        """Tell each end that can reach it, and let it take what waits."""
        for name, end in self.ends.items():
            if not end.alive or self.shut[name]:
                continue
            if name in self.users() and not self._told[name]:
                self._told[name] = True
                self.world.after(self.chance.randint(0, 500), partial(self._up, name))
            self.world.after(self.chance.randint(0, 500), partial(self.poll, name))

    def _up(self, name: str) -> None:
        end = self.ends[name]
        if self._told[name] and not self.shut[name] and end.alive:
            end.up(self.name)

    def part(self, names: Sequence[str], code: str) -> None:
        """These ends lose their way to it and notice before long."""
        for name in names:
            self.shut[name] = True
            self._told[name] = False
            self._lost(name, code)

    def _lost(self, name: str, code: str) -> None:
        end = self.ends[name]

        def told() -> None:
            if name in self.users() and not self._told[name] and end.alive:
                end.down(self.name, code)

        self.world.after(self.chance.choice((0, 500, 10_000)), told)

    def ended(self, name: str) -> None:
        """The process at this end has ended."""
        self._told[name] = False

    def rolled_back(self, name: str, *, up: bool) -> None:
        """The process at this end believes what it believed then, until it tries."""
        if up and not self._told[name]:
            self._lost(name, "bearer.closed")
        elif not up and self._told[name]:
            self.world.after(self.chance.randint(0, 500), lambda: self._up(name))


@dataclass
class Radio(Attached):
    """Slow, narrow, lossy: datagrams arrive late, seldom out of order, or never."""

    lossy = True

    def send(self, sender: str, outgoing: Sequence[Outgoing]) -> None:
        """Send datagrams one after another."""
        if self.shut[sender] or self.silent:
            self._vanish(sender, outgoing)
            return
        at_ms = self.weather.latency_ms
        for out in outgoing:
            at_ms += int(len(out.data) / self.weather.bytes_per_ms)
            for data in self.befall(sender, out.data):
                if self.weather.loss and self.chance.random() < self.weather.loss:
                    self.world.struck("loss")
                    continue
                late_ms = self.chance.choice((0, 0, 0, 3_000)) if self.weather.reorder else 0
                self.world.after(at_ms + late_ms, partial(self._arrive, sender, data))

    def _arrive(self, sender: str, data: bytes) -> None:
        reader = self.other(sender)
        if self.ends[reader].alive and not self.shut[reader] and not self.silent:
            self.ends[reader].deliver(self.name, [data])
