"""The faults of a simulated world: when each kind that its plan has will strike.

Theory of operation: everything is drawn and put into the world's queue before it begins; `heal`
ends all of it at once. A fault counts (`World.struck`) only when it has done something. Different
wires suffer different faults at the same time. Nothing here knows records or keys: faults befall
wires, disks, memories, clocks and processes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from .bags import Courier, Folder, Stick
from .carriers import Stored
from .chance import stream
from .disk import Snapshot
from .narrow import Narrow
from .network import Direct, Radio, Wire
from .plan import DAY_MS, MINUTE_MS
from .station import LINE, Frozen, Station
from .world import NAMES, World

_YEARS_S = 5 * 366 * 86_400
_WEATHERS = (
    ("loss", "loss", 0.5),
    ("duplication", "duplicate", 0.5),
    ("reordering", "reorder", 0.6),
    ("corruption", "corrupt", 0.15),
    ("replay", "replay", 0.2),
    ("withholding", "withhold", 0.1),
    ("mixed lines", "mix", 0.2),
)
"""(kind of fault, name in Weather, greatest chance)."""
_NARROW_WEATHERS = (
    ("fragment lost", "loss", 0.2),
    ("bit flipped", "corrupt", 0.2),
    ("noise", "noise", 0.2),
    ("fragment replayed", "replay", 0.2),
    ("foreign fragment", "mix", 0.2),
)
_FOLDER_WEATHERS = (
    ("bag lost", "loss", 0.3),
    ("bag twice", "duplicate", 0.4),
    ("parcel damaged", "corrupt", 0.3),
    ("half a file", "half", 0.6),
    ("foreign file", "mix", 0.5),
)
_STICK_WEATHERS = (
    ("bag lost", "loss", 0.5),
    ("bag twice", "duplicate", 0.6),
    ("old bag", "late", 0.7),
    ("parcel damaged", "corrupt", 0.4),
    ("half a file", "half", 0.6),
    ("foreign file", "mix", 0.8),
)
_OF_THEIR_OWN = {Narrow: _NARROW_WEATHERS, Folder: _FOLDER_WEATHERS, Stick: _STICK_WEATHERS}
"""What wires suffer that carry fragments or parcels."""
_FLOODED_DATAGRAMS_MAX = 5


class Faults:
    """All that goes wrong in one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.plan = world.plan
        self.chance = stream(world.plan.seed, "faults")
        self.healed = False
        self._snapshots: dict[str, list[Snapshot]] = {name: [] for name in NAMES}
        self._frozen: dict[str, list[Frozen]] = {name: [] for name in NAMES}
        self._shut_ms: dict[tuple[str, str], int] = {}
        """(wire, end) → when the last partition that shut it ends."""
        for wire in world.wires.values():
            self._weather(wire)
        for kind, strike, most in (
            ("partition", self._partition, 4),
            ("blackhole", self._blackhole, 3),
            ("hundredfold replay", self._flood, 2),
            ("crash", self._crash, 4),
            ("crash before commit", lambda: self._arm("before"), 5),
            ("crash after commit", lambda: self._arm("after"), 5),
            ("crash in take", lambda: self._arm("", in_take=True), 6),
            ("power cut", self._power_cut, 3),
            ("disk full", self._disk_full, 2),
            ("clock forward", lambda: self._clock(1), 3),
            ("clock back", lambda: self._clock(-1), 3),
            ("restore", self._restore, 3),
            ("rollback", self._roll_back, 3),
            ("both sides", self._both_sides, 2),
            ("tape burned", self._burn, 2),
            ("fragment cut", self._pull_out, 4),
        ):
            if kind in self.plan.kinds:
                for _ in range(self.chance.randint(1, most)):
                    self._at(self.chance.randint(5_000, self.plan.span_ms), strike)
        self._keep_states()
        if self.plan.outage_ms[1]:
            begin_ms, length_ms = self.plan.outage_ms
            self._later(begin_ms, lambda: self._outage(length_ms))

    def _keep_states(self) -> None:
        """Copies of disks, and of running machines, for those who will put them back."""
        for kinds, keep in (
            ({"restore", "both sides"}, self._snapshot),
            ({"rollback", "both sides"}, self._freeze),
        ):
            if kinds & self.plan.kinds:
                self._at(self.chance.randint(100, 5_000), keep)
                for _ in range(3):
                    self._at(self.chance.randint(5_000, self.plan.span_ms * 3 // 4), keep)

    def _at(self, span_ms: int, act: Callable[[], None]) -> None:
        self._later(self.plan.place(span_ms), act)

    def _later(self, at_ms: int, act: Callable[[], None]) -> None:
        def unless_healed() -> None:
            if not self.healed:
                act()

        self.world.after(at_ms - self.world.ms, unless_healed)

    def _station(self) -> Station:
        return self.world.stations[self.chance.choice(NAMES)]

    # -- wires --------------------------------------------------------------------------------

    def _weather(self, wire: Wire) -> None:
        chance, weather = self.chance, wire.weather
        weather.bytes_per_ms = chance.choice((2, 20, 500))
        weather.latency_ms = chance.choice((1, 20, 80, 300, 700))
        if isinstance(wire, Stored):
            weather.latency_ms = chance.choice((20, 200, 1_000, 8_000))
        elif isinstance(wire, Radio):
            weather.latency_ms = chance.choice((500, 2_000))
            weather.bytes_per_ms = chance.choice((1, 2))
        elif isinstance(wire, Courier):
            wire.pause_ms = chance.choice((MINUTE_MS, 10 * MINUTE_MS, 60 * MINUTE_MS))
        elif isinstance(wire, Folder):
            weather.latency_ms = chance.choice((1_000, 10_000, 50_000))
        elif isinstance(wire, Narrow):
            weather.latency_ms = chance.choice((20, wire.profile.latency_ms))
        own = _OF_THEIR_OWN.get(type(wire))
        for kind, name, most in own or ():
            if kind in self.plan.kinds:
                setattr(weather, name, chance.uniform(most / 3, most))
        if own:
            return
        alone = len(self.world.wires) == 1
        for kind, name, most in _WEATHERS:
            suffers = kind in self.plan.kinds and (alone or chance.random() < 0.75)
            if suffers and (wire.lossy or name not in ("loss", "duplicate", "reorder")):
                setattr(weather, name, chance.uniform(most / 5, most))

    def _some(self) -> list[Wire]:
        """One wire at least, most of them most often."""
        wires = list(self.world.wires.values())
        some = [wire for wire in wires if self.chance.random() < 0.75]
        return some or [self.chance.choice(wires)]

    def _partition(self) -> None:
        names = self.chance.choice((("a",), ("b",), NAMES))
        length_ms = self.plan.pace * self.chance.choice((500, 5_000, MINUTE_MS, 4 * MINUTE_MS))
        self._shut(self._some(), names, length_ms)

    def _shut(
        self, wires: list[Wire], names: tuple[str, ...], length_ms: int, fault: str = "partition"
    ) -> None:
        for wire in wires:
            self.world.struck(fault)
            wire.part(names, "bearer.unreachable")
            for name in names:
                until_ms = max(self.world.ms + length_ms, self._shut_ms.get((wire.name, name), 0))
                self._shut_ms[wire.name, name] = until_ms

            def open_again(wire: Wire = wire) -> None:
                for name in names:
                    wire.shut[name] = self.world.ms < self._shut_ms[wire.name, name]
                wire.reach()

            self._later(self.world.ms + length_ms, open_again)

    def _pull_out(self, tries: int = 1) -> None:
        """The device of a narrow wire is pulled out in the middle of a fragment, once there is one;
        it is looked for ever more seldom."""
        wires = [wire for wire in self.world.wires.values() if isinstance(wire, Narrow)]
        leaving = [(wire, name) for wire in wires for name in NAMES if wire.leaves(name)]
        if leaving:
            wire, name = self.chance.choice(leaving)
            self._shut([wire], (name,), self.chance.choice((2_000, 30_000)), "fragment cut")
        else:
            wait_ms = max(300 * self.plan.pace, min(3 * tries**2, MINUTE_MS))
            self._later(self.world.ms + wait_ms, partial(self._pull_out, tries + 1))

    def _blackhole(self) -> None:
        for wire in self._some():
            self.world.struck("blackhole")
            wire.silent = True
            length_ms = self.plan.pace * self.chance.choice((3_000, 30_000, 3 * MINUTE_MS))
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

    def _flood(self) -> None:
        wires = [wire for wire in self.world.wires.values() if isinstance(wire, Stored)]
        wire = self.chance.choice(wires)
        reader = self.chance.choice(NAMES)
        old = wire.old[wire.other(reader)]
        some = self.chance.randint(1, _FLOODED_DATAGRAMS_MAX)
        if wire.flood(reader, self.chance.sample(old, min(some, len(old)))):
            self.world.struck("hundredfold replay")

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
        length_ms = self.plan.pace * self.chance.choice((2_000, 6_000, 30_000))
        self._later(self.world.ms + length_ms, lambda: station.fill(False))

    def _clock(self, sign: int) -> None:
        station = self._station()
        self.world.struck("clock forward" if sign > 0 else "clock back")
        station.skew_s += sign * self.chance.choice((1, 60, 3_600, 86_400, _YEARS_S))

    def _snapshot(self) -> None:
        for name in NAMES:
            self._snapshots[name].append(self.world.stations[name].store.snapshot())

    def _freeze(self) -> None:
        for name in NAMES:
            frozen = self.world.stations[name].freeze()
            if frozen is not None:
                self._frozen[name].append(frozen)

    def _restore(self, station: Station | None = None) -> None:
        station = station or self._station()
        kept = self._snapshots[station.name]
        if kept:
            self.world.struck("restore")
            if station.alive:
                station.end("its disk is lost", rest_ms=self.chance.choice((1_000, MINUTE_MS)))
            station.restore(self.chance.choice(kept))

    def _roll_back(self, station: Station | None = None) -> None:
        station = station or self._station()
        kept = self._frozen[station.name]
        if kept:
            self.world.struck("rollback")
            station.thaw(self.chance.choice(kept))

    def _both_sides(self) -> None:
        kinds = ("restore", "rollback")
        ways = [kind for kind in kinds if kind in self.plan.kinds] or kinds[:1]
        if all(self._snapshots[name] for name in NAMES):
            self.world.struck("both sides")
            for station in self.world.stations.values():
                back = self._restore if self.chance.choice(ways) == "restore" else self._roll_back
                back(station)

    def _burn(self) -> None:
        """One side's next page of tape is gone: its disk was touched while nothing ran."""
        station = self._station()
        pages = sorted(name for name in station.store.state(LINE) if name.startswith("tape/"))
        if pages:
            self.world.struck("tape burned")
            if station.alive:
                station.end("its tape burns", rest_ms=1_000)
            station.store.erase(LINE, pages[: self.chance.randint(1, len(pages))])

    # -- weeks --------------------------------------------------------------------------------

    def _outage(self, length_ms: int) -> None:
        self.world.struck("long outage")
        way = self.chance.choice(("dark", "off", "calm", "asleep"))
        self.world.note(f"outage of {length_ms / DAY_MS:.1f} days: {way}")
        weathers = [wire.weather for wire in self.world.wires.values()]
        before = [dict(vars(weather)) for weather in weathers]
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
            most_ms = 7 * DAY_MS if len(self.world.wires) > 1 else DAY_MS // 4
            for wire in self.world.wires.values():
                if isinstance(wire, Stored):
                    self._sleep(wire, min(length_ms, most_ms))
        for weather in weathers:
            weather.calm()

        def resume() -> None:
            for weather, was in zip(weathers, before, strict=True):
                vars(weather).update(was)

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
        for wire in world.wires.values():
            wire.weather.calm()
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
