"""What a world must show once its faults have ended: it settles, lives, agrees, and keeps quiet.

Theory of operation: within what `patience_of` says all that was said so far must be held, and
nothing at all be on its way any more: a line that lives by bags rekeys so often that this needs a
lucky moment, for which it is given longer. Then a fresh FLASH goes each way and both sides ask
whether the records agree. Where a relay floods, old
datagrams come again a hundredfold and must hardly be answered. What was withheld for a week or
travels with a courier then arrives, and all of it must hold once more. Last, the checker judges.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from ..core.precedence import Precedence
from ..core.transcript import OURS, THEIRS
from ..inputs import Compare
from .bags import PAUSE_MS, TRAVEL_MS, Bags
from .carriers import Stored
from .checker import ALL
from .narrow import Narrow
from .network import Wire
from .people import People
from .plan import DAY_MS, MINUTE_MS, kind_of
from .station import LINE
from .world import NAMES, World

SETTLE_MS_MAX = 15 * MINUTE_MS
FLASH_MS_MAX = 2 * MINUTE_MS
QUIET_DATAGRAMS = 4
"""Old datagrams that are repeated to each side a hundred times when all is quiet."""
EXTRA_TRAFFIC_MAX = 0.01
"""Of what a relay repeats, how much may be answered."""
_CALM_MS = 3 * MINUTE_MS
"""How long what is still on slow wires, and receipts that people have in mind, may take."""
_QUIET_MS = 30_000
_QUIET_ROUNDS_MAX = 60
"""Rounds in which something from a stick or a folder came in the middle. That may go on for half an
hour: a late parcel that nobody can read is answered, and the answers cross slowly too."""
_OPENINGS_BYTES = 4 * 1_714
"""Two openings by cards alone each way, and as much for what rekeying says."""
_RECORD_EXTRA_BYTES = 100
"""What a record costs on a wire beside itself."""
_FLASH_BYTES_MAX = 1_000
_WIRE_SHARE = 3
"""How often what waits may take its time on a narrow wire: once on its way when the faults end,
once for what was lost with it, once for answers."""
_LEGS = 8
"""Bags one after another until all that was said is held, by hand."""
_CALM_LEGS = 24
"""And until, once, neither OFFER nor ANSWER is on its way nor what acknowledges them."""
_ASK_LEGS = 3
_FOLDER_MS = 10 * MINUTE_MS
"""What five trips through the slowest folder take, and the looks between them."""
_HOUR_MS = 60 * MINUTE_MS


class Patience(NamedTuple):
    """How long what must happen may take; virtual milliseconds."""

    settle_ms: int = SETTLE_MS_MAX
    flash_ms: int = FLASH_MS_MAX
    calm_ms: int = 0
    """How much longer until nothing is on its way."""
    look_ms: int = 2_000
    """How often the trial looks."""
    ask_ms: int = 20_000
    """How often people ask whether the records agree, until they are told."""


def patience_of(world: World) -> Patience:
    """The bounds that hold where these bearers carry (docs/simulator.md)."""
    kinds = {kind_of(name) for name in world.wires}
    if not kinds <= {"narrow", "stick", "folder"}:
        # A backlog of thousands has to cross, by the fastest wire that brings answers.
        bytes_per_ms = max(_bytes_per_ms(wire) for wire in world.wires.values())
        waiting = max(_waiting_bytes(world, name) for name in NAMES)
        return Patience(SETTLE_MS_MAX + int(_WIRE_SHARE * waiting / bytes_per_ms))
    if "folder" in kinds:
        return Patience(SETTLE_MS_MAX + _FOLDER_MS, _FOLDER_MS)
    if "narrow" not in kinds:
        leg_ms = TRAVEL_MS[1] + PAUSE_MS[1]
        said_ms = _LEGS * leg_ms
        return Patience(said_ms, said_ms, _CALM_LEGS * leg_ms, _HOUR_MS, _ASK_LEGS * leg_ms)
    rate = min(wire.rate_bytes_s for wire in world.wires.values() if isinstance(wire, Narrow))
    waiting = max(_waiting_bytes(world, name) for name in NAMES)
    settle_ms = _WIRE_SHARE * (waiting + _OPENINGS_BYTES) * 1_000 // rate
    flash_ms = _WIRE_SHARE * (_FLASH_BYTES_MAX + _OPENINGS_BYTES) * 1_000 // rate
    return Patience(SETTLE_MS_MAX + settle_ms, FLASH_MS_MAX + flash_ms, ask_ms=60_000)


def _bytes_per_ms(wire: Wire) -> float:
    """How fast a wire carries what is answered over it; 0 for a bag, which is not waited for."""
    said = wire.profile
    if said.human_ms or not said.two_way:
        return 0
    declared = (said.rate_bytes_s or math.inf) / 1_000
    return min(declared, wire.weather.bytes_per_ms)


def _waiting_bytes(world: World, name: str) -> int:
    """What this side has to say yet, with what each record costs on the wire."""
    rows = world.stations[name].store.arrivals(LINE, 0, ALL, side=OURS)
    acked = world.status(name).acked_number
    return sum(len(row.record) + _RECORD_EXTRA_BYTES for row in rows if row.number > acked)


def stand(world: World, people: People) -> int:
    """Let a healed world stand trial; the virtual time it took to settle. Raises Violation."""
    patience = patience_of(world)
    settled_ms = _settle(world, people, "not settled", patience.settle_ms, patience)
    _live(world, people, patience)
    _keep_quiet(world)
    late_ms = max(
        (wire.due_ms for wire in world.wires.values() if isinstance(wire, Stored | Bags)),
        default=0,
    )
    if late_ms > world.ms and not world.plan.hostile:
        world.run_until(late_ms + DAY_MS // 4)
        later = patience_of(world)
        _settle(world, people, "not settled days later", later.settle_ms, later)
        _live(world, people, patience)
    digests = {name: world.status(name).digest for name in NAMES}
    world.checker.judge({name: world.stations[name].store for name in NAMES}, digests)
    return settled_ms


def _settle(world: World, people: People, what: str, most_ms: int, patience: Patience) -> int:
    """Let all that was said be held, and the line be calm; the virtual time it took."""
    look_ms = patience.look_ms
    taken_ms = _wait(world, what, _held_so_far(world, people), most_ms, look_ms)
    left_ms = most_ms - taken_ms + patience.calm_ms
    return taken_ms + _wait(world, what, lambda: _settled(world, people), left_ms, look_ms)


def _wait(world: World, what: str, done: Callable[[], bool], most_ms: int, look_ms: int) -> int:
    """Let time pass until `done`; the virtual time it took. Raises Violation."""
    begin_ms = world.ms
    while not done():
        if world.ms - begin_ms >= most_ms:
            world.checker.fail(
                f"{what} within {most_ms // 1000} s of virtual time: {_state(world)}"
            )
        world.run_until(world.ms + look_ms)
    return world.ms - begin_ms


def _state(world: World) -> str:
    shown = []
    for name in NAMES:
        s = world.status(name)
        shown.append(
            f"{name}: {s.state} own {s.own_number} acked {s.acked_number} outbox {s.outbox}"
            f" peer {s.peer_number}/{s.peer_highest} gaps {s.gaps} lost {s.lost} faults {s.faults}"
        )
    return "; ".join(shown)


def _held_so_far(world: World, people: People) -> Callable[[], bool]:
    """What says whether all that was said until now is held, and known to be."""
    said = {name: world.status(name).own_number for name in NAMES}

    def held() -> bool:
        if _settled(world, people):
            return True
        if not people.idle or world.plan.hostile:
            return False
        own = {name: world.status(name) for name in NAMES}
        known = all(own[name].acked_number >= said[name] for name in NAMES)
        return known and all(
            own[world.checker.other(name)].peer_number >= said[name] for name in NAMES
        )

    return held


def _settled(world: World, people: People) -> bool:
    if not people.idle or not all(station.alive for station in world.stations.values()):
        return False
    if world.plan.hostile:
        return _newest_arrived(world)
    for name in NAMES:
        own, other = world.status(name), world.status(world.checker.other(name))
        # One who was put back, and has had nothing to say since, knows neither what it has said
        # nor what it has held; nor does the other side know.
        unaware = world.checker.unaware
        behind = own.own_number < other.peer_number and name in unaware
        behind |= own.own_number > other.peer_number and world.checker.other(name) in unaware
        level = own.own_number == other.peer_number == other.peer_highest
        if own.outbox or own.gaps or not (level or behind):
            return False
    return True


def _newest_arrived(world: World) -> bool:
    """Against a hostile peer: whether what each released last is on the other's disk."""
    for name in NAMES:
        store = world.stations[world.checker.other(name)].store
        for number, incarnation in ((s.number, s.incarnation) for s in world.newest[name]):
            if store.row(LINE, THEIRS, number, incarnation) is None:
                return False
    return True


def _live(world: World, people: People, patience: Patience) -> None:
    """A fresh FLASH each way is held soon, and both are told whether the records agree."""

    for name in NAMES:
        people.write(name, Precedence.FLASH)
        world.newest[name] = world.checker.released[name][-1:]
    most_ms = patience.flash_ms
    _settle(world, people, "FLASH not held", most_ms, patience)
    if not world.plan.hostile:
        compared = _comparing(world, patience.ask_ms)
        _wait(world, "no answer to Compare", compared, most_ms, patience.look_ms)
        _settle(world, people, "not settled", most_ms, patience)


def _comparing(world: World, ask_ms: int) -> Callable[[], bool]:
    """Both ask until they are told, and are told the truth; what says whether both have been."""
    asked_ms: dict[str, int] = {}
    # Not by its time: a clock that was turned back makes what was asked long ago look new.
    before = {name: world.status(name).comparison for name in NAMES}

    def compared() -> bool:
        done = True
        for name in NAMES:
            said = world.status(name).comparison
            if said is None or said is before[name] or said.answered_s is None:
                done = False
                if world.ms - asked_ms.get(name, -ask_ms) >= ask_ms:
                    asked_ms[name] = world.ms
                    world.stations[name].step(Compare(LINE, "sim"))
            elif said.agree is not True and not world.checker.apart(stores):
                world.checker.fail(f"{name} finds that the records differ: {said}")
        return done

    stores = {name: world.stations[name].store for name in NAMES}
    return compared


def _keep_quiet(world: World) -> None:
    """Old datagrams and those of another line come again and again; nobody must mind."""
    relays = [wire for wire in world.wires.values() if isinstance(wire, Stored)]
    if world.plan.hostile or "hundredfold replay" not in world.plan.kinds:
        return
    world.run_until(world.ms + _CALM_MS)
    carriers = [wire for wire in world.wires.values() if isinstance(wire, Bags)]
    for _ in range(_QUIET_ROUNDS_MAX):
        # What was on its way for days or minutes and comes in the middle is answered, and rightly:
        # then once more.
        bags = sum(wire.arrived for wire in carriers)
        before, copies = world.checker.sealings, 0
        for name in NAMES:
            taken = list(dict.fromkeys(world.stations[name].taken))
            copies += relays[0].flood(name, taken[-QUIET_DATAGRAMS:])
            relays[0].hand(name, world.strangers)
            copies += len(world.strangers)
        world.run_until(world.ms + _QUIET_MS)
        answers = world.checker.sealings - before
        if bags == sum(wire.arrived for wire in carriers):
            break
    if answers > EXTRA_TRAFFIC_MAX * copies:
        world.checker.fail(f"{answers} datagrams in answer to {copies} old and foreign ones")
