"""The network of a simulated world: two bearers of a line, and all that may befall bytes.

Theory of operation: a `Direct` bearer is like TCP: in order, nothing lost while it lasts, all that
is in flight lost when it is cut, each end told of its own accord and late. A `Stored` bearer is
like a relay: it keeps datagrams in mailboxes until the taker's disk has them; it delays, loses,
repeats and reorders. Both can be partitioned (and say so) or swallow everything in silence; both
damage bytes and repeat what went over them long ago, as an attacker on the wire may. `Weather`
says how bad it is; `calm` ends all of it. Nothing here knows what a datagram means.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from ..bearers.base import BearerProfile, Mailbox, Outgoing
from .chance import Chance

_OLD_DATAGRAMS_KEPT = 400
_DELIVERY_DATAGRAMS_MAX = 8
_PAUSE_MS = 3_000


@dataclass
class Weather:
    """Chances, each between 0 and 1, of what befalls a datagram; and how slow the wires are."""

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    corrupt: float = 0.0
    replay: float = 0.0
    latency_ms: int = 40
    relay_delay_ms: int = 400
    bytes_per_ms: int = 500

    def calm(self) -> None:
        """No more faults; wires stay as slow as they are."""
        self.loss = self.duplicate = self.reorder = self.corrupt = self.replay = 0.0


class End(Protocol):
    """One end of a bearer: a post's process, if it is running."""

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


class Clockwork(Protocol):
    """What a network needs of its world."""

    ms: int

    def after(self, delay_ms: int, act: Callable[[], None]) -> None:
        """Do something later."""

    def struck(self, fault: str) -> None:
        """A fault of this kind has done something."""

    def note(self, text: str) -> None:
        """A line for the trace."""


@dataclass
class Wire:
    """What both bearers have in common: two ends, the weather, and memory of what passed."""

    world: Clockwork
    ends: dict[str, End]
    weather: Weather
    chance: Chance
    profile: BearerProfile
    name: str
    shut: dict[str, bool] = field(default_factory=lambda: {"a": False, "b": False})
    """Ends that cannot reach the network now, and know it sooner or later."""
    silent: bool = False
    """Everything vanishes, and nobody is told."""
    old: dict[str, list[bytes]] = field(default_factory=lambda: {"a": [], "b": []})
    """By sender: datagrams an attacker has kept."""

    def reach(self) -> None:
        """Let the ends use this wire as far as they can; called whenever that may have changed."""
        raise NotImplementedError

    def send(self, sender: str, outgoing: Sequence[Outgoing]) -> None:
        """Carry datagrams, or lose them."""
        raise NotImplementedError

    def poll(self, reader: str) -> None:
        """Let this end take what waits for it, if anything can wait on this wire."""

    def other(self, name: str) -> str:
        """The end across."""
        return "b" if name == "a" else "a"

    def busy_ms(self, outgoing: Sequence[Outgoing]) -> int:
        """How long the wire takes to accept these."""
        return 1 + sum(len(out.data) for out in outgoing) // self.weather.bytes_per_ms

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
        if len(kept) < _OLD_DATAGRAMS_KEPT:
            kept.append(data)
        else:
            kept[chance.randrange(len(kept))] = data
        return result


@dataclass
class Direct(Wire):
    """A connection: in order and whole until it is cut."""

    connected: bool = False
    _number: int = 0
    _last_ms: dict[str, int] = field(default_factory=lambda: {"a": 0, "b": 0})

    def reach(self) -> None:
        """Connect if both ends can; called whenever that may have changed."""
        if self.connected or self.silent or any(self.shut.values()):
            return
        if all(end.alive for end in self.ends.values()):
            self.connected = True
            self._number += 1
            self.world.note(f"{self.name} connects")
            self._last_ms = dict.fromkeys(self.ends, self.world.ms)
            for name, end in self.ends.items():
                self._tell(name, end, self._number, self.chance.randint(0, 200))

    def _tell(self, name: str, end: End, number: int, delay_ms: int) -> None:
        def told() -> None:
            if self.connected and self._number == number:
                end.up(self.name)

        self.world.after(delay_ms, told)

    def cut(self, code: str, *, slow: bool = True) -> None:
        """Lose the connection and all in flight; each end hears of it in its own time."""
        if not self.connected:
            return
        self.connected = False
        self._number += 1
        number = self._number
        self.world.note(f"{self.name} cut: {code}")
        for end in self.ends.values():
            delay_ms = self.chance.choice((0, 5, 1_000, 20_000)) if slow else 5

            def told(end: End = end) -> None:
                if self._number == number:
                    end.down(self.name, code)

            self.world.after(delay_ms, told)
        self.world.after(self.chance.randint(100, 25_000 if slow else 2_000), self.reach)

    def send(self, sender: str, outgoing: Sequence[Outgoing]) -> None:
        """Carry datagrams, or lose them if there is no connection any more."""
        if not self.connected or self.silent:
            self.world.note(f"{self.name} {sender}: {len(outgoing)} into nothing")
            return
        datagrams = [d for out in outgoing for d in self.befall(sender, out.data)]
        while datagrams:
            count = self.chance.randint(1, _DELIVERY_DATAGRAMS_MAX)
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
class Deposited:
    """One datagram in a mailbox of the relay."""

    mailbox: Mailbox
    data: bytes
    ready_ms: int


@dataclass
class Stored(Wire):
    """A relay: keeps, delays, loses, repeats and reorders; lets go when the taker has committed."""

    asleep: dict[str, bool] = field(default_factory=lambda: {"a": False, "b": False})
    """Ends whose taking is held up while their depositing goes on."""
    kept: dict[str, list[Deposited]] = field(default_factory=lambda: {"a": [], "b": []})
    """By taker."""
    _told: dict[str, bool] = field(default_factory=lambda: {"a": False, "b": False})
    _pause_ms: dict[str, int] = field(default_factory=lambda: {"a": 0, "b": 0})
    """Until when a taker whose disk did not take what it was given is left alone."""

    def reach(self) -> None:
        """Tell each end that can reach the relay, and let it take."""
        for name, end in self.ends.items():
            if end.alive and not self.shut[name]:
                if not self._told[name]:
                    self._told[name] = True
                    self.world.after(self.chance.randint(0, 500), partial(self._up, end, name))
                self.world.after(self.chance.randint(0, 500), partial(self.poll, name))

    def _up(self, end: End, name: str) -> None:
        if self._told[name] and not self.shut[name] and end.alive:
            end.up(self.name)

    def forget(self, name: str) -> None:
        """The process at this end has ended."""
        self._told[name] = False

    def refuse(self, name: str, code: str) -> None:
        """This end loses its way to the relay and notices before long."""
        self.shut[name] = True
        self._told[name] = False
        end = self.ends[name]

        def told() -> None:
            if not self._told[name] and end.alive:
                end.down(self.name, code)

        self.world.after(self.chance.choice((0, 500, 10_000)), told)

    def send(self, sender: str, outgoing: Sequence[Outgoing]) -> None:
        """Deposit datagrams."""
        if self.shut[sender] or self.silent:
            self.world.note(f"{self.name} {sender}: {len(outgoing)} into nothing")
            return
        chance, weather, reader = self.chance, self.weather, self.other(sender)
        _, deposit, recovery = self.ends[sender].mailboxes()
        for out in outgoing:
            mailbox = recovery if out.recovery else deposit
            for data in self.befall(sender, out.data):
                if weather.loss and chance.random() < weather.loss:
                    self.world.struck("loss")
                    continue
                copies = 1
                if weather.duplicate and chance.random() < weather.duplicate:
                    self.world.struck("duplication")
                    copies = chance.randint(2, 3)
                for _ in range(copies):
                    self._keep(reader, mailbox, data)

    def _keep(self, reader: str, mailbox: Mailbox, data: bytes) -> None:
        delay_ms = self.weather.relay_delay_ms + self.chance.randint(0, 100)
        if self.weather.reorder and self.chance.random() < self.weather.reorder:
            self.world.struck("reordering")
            delay_ms += self.chance.choice((300, 3_000, 30_000))
        self.kept[reader].append(Deposited(mailbox, data, self.world.ms + delay_ms))
        self.world.after(delay_ms, lambda: self.poll(reader))

    def poll(self, reader: str) -> None:
        """Give this end what waits for it in the mailboxes it takes from."""
        end = self.ends[reader]
        if not end.alive or self.shut[reader] or self.asleep[reader] or self.silent:
            return
        if not self.kept[reader] or self.world.ms < self._pause_ms[reader]:
            return
        waiting = [kept for kept in self.kept[reader] if kept.ready_ms <= self.world.ms]
        polled = set(end.mailboxes()[0]) if waiting else set()
        ready = [kept for kept in waiting if kept.mailbox in polled][: 4 * _DELIVERY_DATAGRAMS_MAX]
        if not ready:
            return
        if end.deliver(self.name, [kept.data for kept in ready]):
            taken = {id(kept) for kept in ready}
            self.kept[reader] = [k for k in self.kept[reader] if id(k) not in taken]
            self.world.after(1, lambda: self.poll(reader))
        else:
            self._pause_ms[reader] = self.world.ms + _PAUSE_MS
            self.world.after(_PAUSE_MS, lambda: self.poll(reader))
