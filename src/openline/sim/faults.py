"""The faults of a simulated world: when each kind that its plan has will strike.

Theory of operation: everything is drawn and put into the world's queue before it begins; `heal`
ends all of it at once. A fault counts (`World.struck`) only when it has done something. Nothing
here knows records or keys: faults befall wires, disks, clocks and processes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from .chance import stream
from .disk import Snapshot
from .network import Direct, Stored, Wire
from .plan import DAY_MS, MINUTE_MS
from .world import NAMES, Station, World

_YEARS_S = 5 * 366 * 86_400


class Faults:
    """All that goes wrong in one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.plan = world.plan
        self.chance = stream(world.plan.seed, "faults")
        self.healed = False
        self._snapshots: dict[str, list[Snapshot]] = {name: [] for name in NAMES}
        self._weather()
        for kind, strike, most in (
            ("partition", self._partition, 4),
            ("blackhole", self._blackhole, 3),
            ("crash", self._crash, 4),
            ("crash before commit", lambda: self._arm("before"), 5),
            ("crash after commit", lambda: self._arm("after"), 5),
            ("crash in take", lambda: self._arm("", in_take=True), 6),
            ("power cut", self._power_cut, 3),
            ("disk full", self._disk_full, 3),
            ("clock forward", lambda: self._clock(1), 3),
            ("clock back", lambda: self._clock(-1), 3),
            ("restore", self._restore, 3),
        ):
            if kind in self.plan.kinds:
                for _ in range(self.chance.randint(1, most)):
                    self._at(self.chance.randint(5_000, self.plan.span_ms), strike)
        if "restore" in self.plan.kinds:
            for _ in range(6):
                self._at(self.chance.randint(0, self.plan.span_ms * 3 // 4), self._snapshot)
        if self.plan.outage_ms[1]:
            begin_ms, length_ms = self.plan.outage_ms
            self._later(begin_ms, lambda: self._outage(length_ms))

    def _at(self, span_ms: int, act: Callable[[], None]) -> None:
        self._later(self.plan.place(span_ms), act)

    def _later(self, at_ms: int, act: Callable[[], None]) -> None:
        def unless_healed() -> None:
            if not self.healed:
                act()

        self.world.after(at_ms - self.world.ms, unless_healed)

    def _station(self) -> Station:
        return self.world.stations[self.chance.choice(NAMES)]

    def _weather(self) -> None:
        chance, weather, kinds = self.chance, self.world.weather, self.plan.kinds
        weather.latency_ms = chance.choice((1, 20, 80, 300, 700))
        weather.relay_delay_ms = chance.choice((20, 200, 1_000, 8_000))
        weather.bytes_per_ms = chance.choice((2, 20, 500))
        for kind, name, most in (
            ("loss", "loss", 0.5),
            ("duplication", "duplicate", 0.5),
            ("reordering", "reorder", 0.6),
            ("corruption", "corrupt", 0.15),
            ("replay", "replay", 0.2),
        ):
            if kind in kinds:
                setattr(weather, name, chance.uniform(most / 5, most))

    # -- wires --------------------------------------------------------------------------------

    def _partition(self) -> None:
        chance = self.chance
        names = chance.choice((("a",), ("b",), NAMES))
        wires = [
            w
            for w in self.world.wires.values()
            if len(self.world.wires) == 1 or chance.random() < 0.8
        ]
        length_ms = chance.choice((500, 5_000, MINUTE_MS, 4 * MINUTE_MS))
        self._shut(wires, names, length_ms)

    def _shut(self, wires: list[Wire], names: tuple[str, ...], length_ms: int) -> None:
        for wire in wires:
            self.world.struck("partition")
            if isinstance(wire, Direct):
                for name in names:
                    wire.shut[name] = True
                wire.cut("bearer.unreachable")
            elif isinstance(wire, Stored):
                for name in names:
                    wire.refuse(name, "bearer.unreachable")

            def open_again(wire: Wire = wire) -> None:
                for name in names:
                    wire.shut[name] = False
                wire.reach()

            self._later(self.world.ms + length_ms, open_again)

    def _blackhole(self) -> None:
        chance = self.chance
        for wire in self.world.wires.values():
            if chance.random() < 0.8:
                self.world.struck("blackhole")
                wire.silent = True
                length_ms = chance.choice((3_000, 30_000, 3 * MINUTE_MS))
                self._later(self.world.ms + length_ms, partial(self._speak, wire))

    def _speak(self, wire: Wire) -> None:
        wire.silent = False
        if isinstance(wire, Direct) and self.chance.random() < 0.5:
            wire.cut("bearer.timeout")
        wire.reach()
        self._poll(wire)

    @staticmethod
    def _poll(wire: Wire) -> None:
        for name in NAMES:
            wire.poll(name)

    # -- processes ----------------------------------------------------------------------------

    def _crash(self) -> None:
        station = self._station()
        if station.alive:
            self.world.struck("crash")
            station.end("killed")

    def _arm(self, instant: str, *, in_take: bool = False) -> None:
        station = self._station()
        station.armed = instant or self.chance.choice(("before", "after"))
        station.armed_in_take = in_take
        station.rest_ms = None

    def _power_cut(self) -> None:
        station = self._station()
        if station.alive:
            station.armed, station.armed_in_take = self.chance.choice(("before", "after")), False
            station.rest_ms = self.chance.choice((30_000, 5 * MINUTE_MS))
            station.cause = "power cut"

    # -- disks and clocks ---------------------------------------------------------------------

    def _disk_full(self) -> None:
        station = self._station()
        station.fill(True)
        length_ms = self.chance.choice((2_000, 15_000, MINUTE_MS))
        self._later(self.world.ms + length_ms, lambda: station.fill(False))

    def _clock(self, sign: int) -> None:
        station = self._station()
        self.world.struck("clock forward" if sign > 0 else "clock back")
        station.skew_s += sign * self.chance.choice((1, 60, 3_600, 86_400, _YEARS_S))

    def _snapshot(self) -> None:
        for name in NAMES:
            self._snapshots[name].append(self.world.stations[name].store.snapshot())

    def _restore(self) -> None:
        station = self._station()
        kept = self._snapshots[station.name]
        if kept:
            self.world.struck("restore")
            if station.alive:
                station.end("its disk is lost", rest_ms=self.chance.choice((1_000, MINUTE_MS)))
            station.restore(self.chance.choice(kept))

    # -- weeks --------------------------------------------------------------------------------

    def _outage(self, length_ms: int) -> None:
        self.world.struck("long outage")
        way = self.chance.choice(("dark", "off", "calm", "asleep"))
        self.world.note(f"outage of {length_ms / DAY_MS:.1f} days: {way}")
        weather = self.world.weather
        before = (weather.loss, weather.corrupt, weather.replay)
        if way == "dark":
            self._shut(list(self.world.wires.values()), NAMES, length_ms - MINUTE_MS)
        elif way == "off":
            station = self._station()
            if station.alive:
                station.end("switched off", rest_ms=length_ms - MINUTE_MS)
            wires = list(self.world.wires.values())
            dark_ms = length_ms - DAY_MS // 2 - 2 * MINUTE_MS
            self._later(self.world.ms + DAY_MS // 2, lambda: self._shut(wires, NAMES, dark_ms))
        elif way == "asleep":
            most_ms = length_ms if len(self.world.wires) > 1 else DAY_MS // 4
            for wire in self.world.wires.values():
                if isinstance(wire, Stored):
                    self._sleep(wire, min(length_ms, most_ms))
        weather.loss = weather.corrupt = weather.replay = 0.0

        def resume() -> None:
            weather.loss, weather.corrupt, weather.replay = before

        self._later(self.world.ms + length_ms, resume)

    def _sleep(self, wire: Stored, length_ms: int) -> None:
        name = self.chance.choice(NAMES)
        wire.asleep[name] = True

        def wake() -> None:
            wire.asleep[name] = False
            self._poll(wire)

        self._later(self.world.ms + length_ms, wake)

    # -- the end ------------------------------------------------------------------------------

    def heal(self) -> None:
        """No more faults: wires carry, disks take, processes run."""
        self.healed = True
        world = self.world
        world.note("healed")
        world.weather.calm()
        for wire in world.wires.values():
            wire.silent = False
            wire.shut = dict.fromkeys(NAMES, False)
            if isinstance(wire, Stored):
                wire.asleep = dict.fromkeys(NAMES, False)
        for station in world.stations.values():
            station.armed = None
            station.fill(False)
            station.begin()
        for wire in world.wires.values():
            wire.reach()
            self._poll(wire)
