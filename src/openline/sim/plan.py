"""The plan of a world: which faults, wires and parties a seed brings together.

Theory of operation: swarm testing. Not every fault in every world: each seed draws a mix, because
some errors show only where a certain fault is absent. A plan also fixes the stretch of virtual
time in which faults may strike, and a long outage inside it: what is planned after the outage
moves behind it. A plan is drawn from the seed alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from .chance import stream

KINDS = (
    "loss",
    "duplication",
    "reordering",
    "partition",
    "blackhole",
    "corruption",
    "replay",
    "crash",
    "crash before commit",
    "crash after commit",
    "crash in take",
    "power cut",
    "disk full",
    "clock forward",
    "clock back",
    "restore",
    "long outage",
)
"""Every kind of fault; each must strike in at least a fifth of all seeds."""

_SHARES = {"restore": 0.3, "long outage": 0.3, "crash in take": 0.55, "partition": 0.45}
_SHARE = 0.42
_HOSTILE_SHARE = 0.12
MINUTE_MS = 60_000
DAY_MS = 86_400_000


@dataclass(frozen=True)
class Plan:
    """One seed's world before it begins."""

    seed: int
    kinds: frozenset[str]
    hostile: str
    """The station whose post is driven by a mutant, or ""."""
    tape_pages: int
    """0: paired by cards alone."""
    bearers: tuple[str, ...]
    costs: dict[str, int]
    padded: bool
    messages: int
    span_ms: int
    """Virtual time in which people write and faults strike, the long outage apart."""
    outage_ms: tuple[int, int]
    """(begin, length) of the long outage; length 0 if there is none."""

    def place(self, ms: int) -> int:
        """When something planned for an instant of the span happens, the long outage included."""
        begin, length = self.outage_ms
        return ms + length if ms >= begin else ms

    @property
    def end_ms(self) -> int:
        """When the faults end."""
        return self.place(self.span_ms)


def draw(seed: int) -> Plan:
    """The plan of a seed."""
    chance = stream(seed, "plan")
    kinds = frozenset(kind for kind in KINDS if chance.random() < _SHARES.get(kind, _SHARE))
    span_ms = chance.randint(2 * MINUTE_MS, 8 * MINUTE_MS)
    hostile = chance.choice("ab") if chance.random() < _HOSTILE_SHARE else ""
    if hostile:
        kinds -= {"restore"}
    outage = (0, 0)
    if "long outage" in kinds:
        outage = (chance.randint(span_ms // 4, span_ms * 3 // 4), chance.randint(2, 24) * DAY_MS)
    bearers: tuple[str, ...] = chance.choice(
        (("tcp",), ("relay",), ("tcp", "relay"), ("tcp", "relay"))
    )
    relayed = kinds & {"loss", "duplication", "reordering"}
    if relayed and "relay" not in bearers:
        bearers = ("tcp", "relay")
    return Plan(
        seed=seed,
        kinds=kinds,
        hostile=hostile,
        tape_pages=chance.choice((0, 2, 3, 8)),
        bearers=bearers,
        costs={"tcp": 10, "relay": chance.choice((5, 10, 20, 20))},
        padded=chance.random() < 0.7,
        messages=chance.randint(52, 80),
        span_ms=span_ms,
        outage_ms=outage,
    )
