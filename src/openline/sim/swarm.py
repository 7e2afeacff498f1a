"""Runs worlds: one seed from its plan to its judgement, many seeds on all cores.

Theory of operation: a run goes through the span of faults, heals, and stands trial (trial.py).
Seeds are independent, so they are spread over processes; an outcome is small and carries what
coverage needs. The primitives that seal are watched from outside, in the module that uses them:
production code is not touched.
"""

from __future__ import annotations

import multiprocessing
import resource
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from traceback import format_exc
from unittest.mock import patch

from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV, ChaCha20Poly1305

from ..core import states
from ..sealing import noise, seal
from .checker import Checker, Violation
from .faults import Faults
from .memo import remembered
from .mutant import forging
from .people import People
from .plan import Plan, draw
from .sabotage import SABOTAGES
from .trial import stand
from .world import World

MEMORY_BYTES_MAX = 8 << 30
"""What one process that runs worlds may take."""


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
    virtual_ms: int = 0
    """How long the world lasted."""
    hostile: bool = False
    pace: int = 1
    """How much longer things took than where machines carry (`Plan.pace`)."""
    overtakings: int = 0
    """How often a FLASH passed what was leaving on a narrow wire."""
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
            checker.sealed(self.key, nonce, data, associated)
            if bodies:
                checker.spoken(data)
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


def run(seed: int, draw: Callable[[int], Plan] = draw) -> Outcome:
    """Run the world of one seed; `draw` makes its plan."""
    outcome = Outcome(seed)
    plan = draw(seed)
    outcome.hostile, outcome.pace = bool(plan.hostile), plan.pace
    for machine in states.MACHINES:
        machine.hits.clear()
    checker = Checker(hostile=plan.hostile)
    with ExitStack() as stack:
        stack.enter_context(remembered())
        stack.enter_context(watching(checker))
        world = World(plan, checker)
        if plan.hostile:
            stack.enter_context(forging(world))
        people = People(world)
        try:
            faults = Faults(world)
            world.run_until(plan.end_ms)
            faults.heal()
            outcome.settled_ms = stand(world, people)
        except Violation as violation:
            outcome.failure = str(violation)
        except Exception as error:  # whatever a world raises is its finding, not the swarm's end
            outcome.failure = f"{type(error).__name__}: {error}"
            world.trace.extend(format_exc().splitlines())
    outcome.trace = list(world.trace)
    outcome.fingerprint, outcome.faults = world.fingerprint, world.faults
    outcome.messages, outcome.acts = people.released, world.acts
    outcome.virtual_ms, outcome.overtakings = world.ms, checker.overtakings
    for machine in states.MACHINES:
        for (state, event), count in machine.hits.items():
            outcome.rows[machine.name, state.value, event.value] = count
    return outcome


def run_sabotaged(name: str, seed: int) -> Outcome:
    """Run the world of one seed under a sabotage."""
    with SABOTAGES[name]():
        return run(seed)


def _bounded() -> None:
    """A world that eats memory fails; killed by the kernel it would be waited for for ever."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))


def run_many(seeds: Sequence[int], jobs: int, sabotage: str = "") -> Iterator[Outcome]:
    """Run seeds on `jobs` processes, under a sabotage if one is named; outcomes as they come."""
    act = partial(run_sabotaged, sabotage) if sabotage else run
    if jobs <= 1:
        yield from map(act, seeds)
        return
    with multiprocessing.get_context("spawn").Pool(jobs, _bounded) as pool:
        yield from pool.imap_unordered(act, seeds, chunksize=1 if sabotage else 8)
