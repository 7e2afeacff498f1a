"""What many worlds have covered, and whether that is enough.

Theory of operation: outcomes are counted one by one; `wanting` names what a large run should have
reached and has not: each kind of fault in a fifth of the seeds, each pair of kinds together in one
seed at least, each row of each transition table.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from itertools import combinations

from rich.table import Table

from ..core.states import MACHINES
from .plan import KINDS
from .swarm import Outcome

FAULT_SHARE_MIN = 0.2
MESSAGES_MIN = 50
COVERAGE_SEEDS_MIN = 200
PAIRS_SEEDS_MIN = 2_000
"""A run of fewer seeds need not have every pair of kinds."""
_NAME_WIDTH = 24
_COUNT_WIDTH = 5
_YEAR_MS = 365.25 * 86_400_000


class Coverage:
    """What many worlds have covered."""

    def __init__(self) -> None:
        self.seeds = 0
        self.messages_min = sys.maxsize
        self.messages = 0
        self.faults: Counter[str] = Counter()
        """Fault kind → seeds in which it struck."""
        self.pairs: Counter[tuple[str, str]] = Counter()
        """Two kinds, in the order of KINDS → seeds in which both struck."""
        self.virtual_ms = 0
        self.rows: Counter[tuple[str, str, str]] = Counter()
        self.settled_ms_max = 0
        """Of worlds where nothing takes longer than it has to."""
        self.overtakings = 0

    def add(self, outcome: Outcome) -> None:
        """Count one world."""
        self.seeds += 1
        self.messages += outcome.messages
        self.messages_min = min(self.messages_min, outcome.messages)
        self.faults.update(set(outcome.faults))
        self.pairs.update(combinations((kind for kind in KINDS if outcome.faults[kind]), 2))
        self.virtual_ms += outcome.virtual_ms
        self.overtakings += outcome.overtakings
        self.rows.update(outcome.rows)
        if outcome.pace == 1:
            self.settled_ms_max = max(self.settled_ms_max, outcome.settled_ms)

    def wanting(self) -> list[str]:
        """What the run should have covered and has not; empty for a run too small to say."""
        wanting = []
        if self.messages_min < MESSAGES_MIN:
            wanting.append(f"a seed has only {self.messages_min} messages")
        if self.seeds < COVERAGE_SEEDS_MIN:
            return wanting
        for kind in KINDS:
            if self.faults[kind] < FAULT_SHARE_MIN * self.seeds:
                wanting.append(f"{kind} struck in {self.faults[kind]} of {self.seeds} seeds")
        if not self.overtakings:
            wanting.append("no FLASH had anything to pass on a narrow wire")
        if self.seeds >= PAIRS_SEEDS_MIN:
            never = (pair for pair in combinations(KINDS, 2) if not self.pairs[pair])
            wanting += [f"{first} and {second} never struck together" for first, second in never]
        for machine in MACHINES:
            for state, event in machine.table:
                if not self.rows[machine.name, state.value, event.value]:
                    wanting.append(f"{machine.name}: {state.value} + {event.value} never taken")
        return wanting

    @property
    def virtual_years(self) -> float:
        """How long all worlds lasted together."""
        return self.virtual_ms / _YEAR_MS

    def table(self) -> Iterable[Table]:
        """The coverage as tables for the terminal."""
        faults = Table("fault", "seeds", "share", title="Faults that struck")
        for kind in KINDS:
            count = self.faults[kind]
            faults.add_row(kind, str(count), f"{count / max(1, self.seeds):.0%}")
        yield faults
        rows = Table("machine", "state", "event", "taken", title="Transitions")
        for machine in MACHINES:
            for state, event in machine.table:
                count = self.rows[machine.name, state.value, event.value]
                rows.add_row(machine.name, state.value, event.value, str(count))
        yield rows

    def pairs_shown(self) -> Iterable[str]:
        """Lines for the terminal: each kind with each before it, and last with itself."""
        yield "Seeds in which both faults struck (the last of a line: in which this one did)"
        yield " " * _NAME_WIDTH + "".join(f"{n:>{_COUNT_WIDTH}}" for n in range(1, len(KINDS) + 1))
        for number, kind in enumerate(KINDS):
            counts = [self.pairs[other, kind] for other in KINDS[:number]] + [self.faults[kind]]
            shown = "".join(f"{count:>{_COUNT_WIDTH}}" for count in counts)
            yield f"{number + 1:>2} {kind}".ljust(_NAME_WIDTH) + shown
