"""Which bearer takes what: a pure function of how the bearers stand.

Theory of operation: FLASH goes over every bearer at once, and so does what was lost once; that
needs no choice. All else goes over one bearer: the one that is expected to have it delivered first,
by its delay, what is on it already, its rate, and the repeats that its losses will cost. Times that
differ by less than a factor of two (or are all below a quarter of a second) count as equal, and
then the cheaper bearer is taken. What has no room, or was given something and did not come back
for more, comes last, so the next best carries what the best cannot take now. Integers only, ties
are broken by name: the same standings give the same choice, in the simulator as in production.
Nothing is measured or kept here.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

_EQUAL_MS = 250
_LOSS_PERMILLE_MAX = 950


class Why(Enum):
    """Why a bearer is or is not the one that the next record takes."""

    BEST = "best"
    DEARER = "dearer"
    SLOWER = "slower"
    EQUAL = "equal"
    FULL = "full"
    STUCK = "stuck"


class Standing(NamedTuple):
    """How a bearer that is up stands."""

    name: str
    cost: int
    delay_ms: int
    """One way, from wire to wire."""
    timeout_ms: int
    """What a loss costs: how long it takes to be noticed."""
    loss_permille: int
    rate_bytes_s: int | None
    queue_bytes: int
    """On the bearer, not yet acknowledged, and in the way of what is to be sent."""
    room: bool
    """Whether what is to be sent fits its window."""
    stuck: bool
    """Whether it was given something and has not come back for more in the time that takes."""


class Verdict(NamedTuple):
    """What was found of one bearer."""

    name: str
    expected_ms: int
    """From now until delivered."""
    why: Why


def expected_ms(at: Standing, size: int) -> int:
    """How long a record of `size` bytes is expected to take over a bearer."""
    wire_ms = 0 if at.rate_bytes_s is None else (at.queue_bytes + size) * 1000 // at.rate_bytes_s
    loss = min(at.loss_permille, _LOSS_PERMILLE_MAX)
    return at.delay_ms + wire_ms + at.timeout_ms * loss // (1000 - loss)


def order(standings: Sequence[Standing], size: int) -> list[Verdict]:
    """The bearers for a record of `size` bytes that goes over one of them, the best first."""
    found = {at.name: expected_ms(at, size) for at in standings}

    def key(at: Standing) -> tuple[bool, bool, int, int, int, str]:
        ms = found[at.name]
        return at.stuck, not at.room, (ms // _EQUAL_MS).bit_length(), at.cost, ms, at.name

    ranked = sorted(standings, key=key)
    best = ranked[:1]
    return [Verdict(at.name, found[at.name], _why(key(at), key(best[0]))) for at in ranked]


def _why(order: tuple[bool, bool, int, int, int, str], best: tuple[object, ...]) -> Why:
    """The first of the ordered reasons in which a bearer differs from the best."""
    reasons = (Why.STUCK, Why.FULL, Why.SLOWER, Why.DEARER, Why.SLOWER, Why.EQUAL)
    differing = (why for why, own, its in zip(reasons, order, best, strict=True) if own != its)
    return next(differing, Why.BEST)
