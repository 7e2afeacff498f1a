"""Runs worlds: one seed from its plan to its judgement, many seeds on all cores.

Theory of operation: a run goes through the span of faults, heals, and must be settled within
`SETTLE_MS_MAX` of virtual time; then a fresh FLASH each way, a comparison asked by both sides, and
the checker's judgement. Seeds are independent, so they are spread over processes; an outcome is
small and carries what coverage needs. The primitives that seal are watched from outside, in the
module that uses them: production code is not touched.
"""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from traceback import format_exc
from unittest.mock import patch

from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV, ChaCha20Poly1305

from ..core import states
from ..core.precedence import Precedence
from ..core.transcript import THEIRS
from ..inputs import Compare
from ..sealing import noise, seal
from .checker import Checker, Violation
from .faults import Faults
from .mutant import forging
from .people import People
from .plan import MINUTE_MS, draw
from .sabotage import SABOTAGES
from .world import LINE, NAMES, World

SETTLE_MS_MAX = 15 * MINUTE_MS
FLASH_MS_MAX = 2 * MINUTE_MS
_LOOK_MS = 2_000
_ASK_MS = 20_000


@dataclass
class Outcome:
    """What became of one seed."""

    seed: int
    failure: str = ""
    trace: list[str] = field(default_factory=list)
    fingerprint: str = ""
    faults: Counter[str] = field(default_factory=Counter)
    messages: int = 0
    settled_ms: int = 0
    """Virtual time from the last fault to agreement."""
    acts: int = 0
    hostile: bool = False
    rows: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """(machine, state, event) → how often the transition was taken."""


def _watched(cipher: type, checker: Checker, *, bodies: bool) -> type:
    class Watched:
        """A cipher whose sealing is seen by the checker."""

        def __init__(self, key: bytes) -> None:
            self.key = key
            self.cipher = cipher(key)

        def encrypt(self, nonce: bytes, data: bytes, associated: bytes | None) -> bytes:
            """Seal, seen."""
            checker.sealed(self.key, data if bodies else None)
            sealed: bytes = self.cipher.encrypt(nonce, data, associated)
            return sealed

        def decrypt(self, nonce: bytes, data: bytes, associated: bytes | None) -> bytes:
            """Open."""
            opened: bytes = self.cipher.decrypt(nonce, data, associated)
            return opened

    return Watched


@contextmanager
def watching(checker: Checker) -> Iterator[None]:
    """While this lasts, the checker sees every use of a sealing key."""
    with ExitStack() as stack:
        body = _watched(AESGCMSIV, checker, bodies=True)
        opening = _watched(ChaCha20Poly1305, checker, bodies=False)
        stack.enter_context(patch.object(seal, "AESGCMSIV", body))
        stack.enter_context(patch.object(noise, "ChaCha20Poly1305", opening))
        yield


def run(seed: int) -> Outcome:
    """Run the world of one seed."""
    outcome = Outcome(seed)
    plan = draw(seed)
    outcome.hostile = bool(plan.hostile)
    for machine in states.MACHINES:
        machine.hits.clear()
    checker = Checker(hostile=plan.hostile)
    with ExitStack() as stack:
        stack.enter_context(watching(checker))
        world = World(plan, checker)
        if plan.hostile:
            stack.enter_context(forging(world))
        people = People(world)
        try:
            faults = Faults(world)
            world.run_until(plan.end_ms)
            faults.heal()
            outcome.settled_ms = _settle(world, people)
            _judge(world, people)
        except Violation as violation:
            outcome.failure = str(violation)
        except Exception as error:  # whatever a world raises is its finding, not the swarm's end
            outcome.failure = f"{type(error).__name__}: {error}"
            world.trace.extend(format_exc().splitlines())
    outcome.trace = list(world.trace)
    outcome.fingerprint, outcome.faults = world.fingerprint, world.faults
    outcome.messages, outcome.acts = people.released, world.acts
    for machine in states.MACHINES:
        for (state, event), count in machine.hits.items():
            outcome.rows[machine.name, state.value, event.value] = count
    return outcome


def _wait(world: World, what: str, done: Callable[[], bool], most_ms: int) -> int:
    """Let time pass until `done`; the virtual time it took. Raises Violation."""
    begin_ms = world.ms
    while not done():
        if world.ms - begin_ms >= most_ms:
            world.checker.fail(
                f"{what} within {most_ms // 1000} s of virtual time: {_state(world)}"
            )
        world.run_until(world.ms + _LOOK_MS)
    return world.ms - begin_ms


def _state(world: World) -> str:
    shown = []
    for name in NAMES:
        s = world.post(name).status(LINE, world.stations[name].now())
        shown.append(
            f"{name}: {s.state} own {s.own_number} acked {s.acked_number} outbox {s.outbox}"
            f" peer {s.peer_number}/{s.peer_highest} gaps {s.gaps} lost {s.lost} faults {s.faults}"
        )
    return "; ".join(shown)


def _settled(world: World, people: People) -> bool:
    if not all(station.alive for station in world.stations.values()):
        return False
    if world.plan.hostile:
        return people.idle and _newest_arrived(world)
    statuses = {n: world.post(n).status(LINE, world.stations[n].now()) for n in NAMES}
    return people.idle and all(
        own.outbox == 0
        and not own.gaps
        and own.own_number == other.peer_number == other.peer_highest
        for own, other in (
            (statuses["a"], statuses["b"]),
            (statuses["b"], statuses["a"]),
        )
    )


def _newest_arrived(world: World) -> bool:
    """Against a hostile peer: whether what each released last is on the other's disk."""
    for name in NAMES:
        store = world.stations[world.checker.other(name)].store
        for number, incarnation in ((s.number, s.incarnation) for s in world.newest[name]):
            if store.row(LINE, THEIRS, number, incarnation) is None:
                return False
    return True


def _settle(world: World, people: People) -> int:
    return _wait(world, "not settled", lambda: _settled(world, people), SETTLE_MS_MAX)


def _judge(world: World, people: People) -> None:
    for name in NAMES:
        people.write(name, Precedence.FLASH)
        world.newest[name] = world.checker.released[name][-1:]
    _wait(world, "FLASH not held", lambda: _settled(world, people), FLASH_MS_MAX)

    asked_ms: dict[str, int] = {}
    begun_s = {name: world.stations[name].now().wall_s for name in NAMES}

    def compared() -> bool:
        """Whether both were told that the records agree; who was not told asks again."""
        done = True
        for name in NAMES:
            said = world.post(name).status(LINE, world.stations[name].now()).comparison
            fresh = said is not None and said.asked_s >= begun_s[name]
            if said is None or not fresh or said.answered_s is None:
                done = False
                if world.ms - asked_ms.get(name, -_ASK_MS) >= _ASK_MS:
                    asked_ms[name] = world.ms
                    world.stations[name].step(Compare(LINE, "sim"))
            elif said.agree is not True:
                world.checker.fail(f"{name} finds that the records differ: {said}")
        return done

    if not world.plan.hostile:
        _wait(world, "no answer to Compare", compared, FLASH_MS_MAX)
        _wait(world, "not settled", lambda: _settled(world, people), FLASH_MS_MAX)
    digests = {
        name: world.post(name).status(LINE, world.stations[name].now()).digest for name in NAMES
    }
    world.checker.judge({name: world.stations[name].store for name in NAMES}, digests)


def run_sabotaged(name: str, seed: int) -> Outcome:
    """Run the world of one seed under a sabotage."""
    with SABOTAGES[name]():
        return run(seed)


def run_many(seeds: Sequence[int], jobs: int, sabotage: str = "") -> Iterator[Outcome]:
    """Run seeds on `jobs` processes, under a sabotage if one is named; outcomes as they come."""
    act = partial(run_sabotaged, sabotage) if sabotage else run
    if jobs <= 1:
        yield from map(act, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap_unordered(act, seeds, chunksize=1 if sabotage else 8)
