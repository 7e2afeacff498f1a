"""The people of a simulated world: they write, read, compare records and answer alarms.

Theory of operation: what each will do is drawn when the world begins; an act whose post is down or
whose disk is full is tried again, as a person would. Every text is unlike every other, so that one
which appears twice can be told.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ..core import receipts
from ..core.events import Serial
from ..core.precedence import Precedence
from ..core.transcript import THEIRS
from ..errors import LocalError
from ..inputs import ClearAlarm, Compare, Receive, Release
from .chance import noise, stream
from .plan import BRIEF_BYTES
from .station import LINE
from .world import NAMES, World, serial_of

_TRY_AGAIN_MS = 5_000
_SIZES = (12, 40, 200, 200, 900, 3_900, 4_200)
_LONG_SIZES = (9_000, 20_000, 60_000)
_BURSTS = (1, 1, 1, 1, 2, 5, 10)
_MANY = 300
_LONG_BURSTS = (1, 20, 100, 300)
"""Texts released at once, in worlds of up to so many and in those of more."""


class People:
    """Everyone at both desks."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.chance = stream(world.plan.seed, "people")
        self._words = stream(world.plan.seed, "words")
        self.released = 0
        self._written = 0
        self._waiting = 0
        self._plan()
        world.listeners.append(self._hear)

    def _plan(self) -> None:
        world, chance, plan = self.world, self.chance, self.world.plan
        left = plan.messages
        bursts = _LONG_BURSTS if left > _MANY else _BURSTS
        while left:
            name = chance.choice(NAMES)
            at_ms = plan.place(chance.randint(1_000, plan.span_ms))
            if plan.outage_ms[1] and chance.random() < 0.1:
                at_ms = plan.outage_ms[0] + chance.randrange(plan.outage_ms[1])
            burst = min(left, chance.choice(bursts))
            left -= burst
            for _ in range(burst):
                world.after(at_ms - world.ms, partial(self.write, name))
        for _ in range(chance.randint(0, 3)):
            at_ms = plan.place(chance.randint(1_000, plan.span_ms))
            name = chance.choice(NAMES)
            world.after(at_ms - world.ms, partial(self.compare, name))

    def write(self, name: str, precedence: Precedence | None = None) -> None:
        """Somebody releases a text; tries again until it is released."""
        chance = self.chance
        if precedence is None:
            precedence = Precedence(chance.choice((0, 0, 0, 1, 2, 3)))
        size = chance.choice(_LONG_SIZES) if chance.random() < 0.03 else chance.choice(_SIZES)
        if self.world.plan.brief:
            size = min(size, BRIEF_BYTES)
        self._written += 1
        body = f"text {self._written} of {name} " + noise(self._words, size)
        self._waiting += 1
        self._release(name, precedence, body)

    @property
    def idle(self) -> bool:
        """Whether everything that was written has been released."""
        return not self._waiting

    def _release(self, name: str, precedence: Precedence, body: str) -> None:
        subject = "subject" if len(body) % 3 == 0 else ""
        act = Release(LINE, "officer", precedence, "en", subject, body)
        results = self.world.stations[name].step(act)
        if (results and serial_of(results[0]) is not None) or (
            not results and self._on_disk(name, body)
        ):
            self.released += 1
            self._waiting -= 1
        else:
            self._later(name, lambda: self._release(name, precedence, body))

    def _later(self, name: str, act: Callable[[], None]) -> None:
        """Try again: soon if the post runs, else when it runs again."""
        station = self.world.stations[name]
        if station.alive:
            self.world.after(_TRY_AGAIN_MS * self.world.plan.pace, act)
        else:
            station.awaited.append(act)

    def _on_disk(self, name: str, body: str) -> bool:
        """After a crash, a person looks whether the text was released before writing it again."""
        return self.world.checker.wrote(name, body.encode())

    def compare(self, name: str) -> None:
        """Somebody asks whether the records agree."""
        self.world.stations[name].step(Compare(LINE, "officer"))

    def _hear(self, name: str, event: str, values: dict[str, object]) -> None:
        chance = self.chance
        if event == "arrived" and chance.random() < 0.4:
            self.world.after(chance.randint(100, 40_000), lambda: self._receipt(name))
        if event == "alarm":
            self.world.after(60_000, lambda: self._clear(name))

    def _clear(self, name: str) -> None:
        self.world.stations[name].step(ClearAlarm(LINE, "officer"))

    def _receipt(self, name: str) -> None:
        station = self.world.stations[name]
        if not station.alive:
            return
        rows = station.store.arrivals(LINE, 0, 6, side=THEIRS, kinds=[receipts.TEXT], newest=True)
        rows = [row for row in rows if not row.variant]
        if not rows:
            return
        row = self.chance.choice(rows)
        kind = self.chance.choice(sorted(receipts.RECEIPTS))
        due_s = station.now().wall_s + 3_600 if kind == receipts.HOLDING else None
        serial = Serial(row.incarnation, row.number)
        results = station.step(Receive(LINE, "officer", kind, serial, due_s))
        if results and isinstance(results[0], LocalError):
            self.world.checker.fail(f"{name} cannot say {kind} of {serial}: {results[0]}")
