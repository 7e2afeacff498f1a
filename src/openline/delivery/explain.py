"""What people are told of the bearers of a line: how each stands and why it is or is not chosen.

Theory of operation: the same ranking that sends is asked for the next ROUTINE record, so what is
explained is what happens. Values only; wording lives with the commands.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..bearers.base import BearerProfile
from ..core.precedence import Precedence
from .channel import Channel
from .choice import Verdict
from .outbox import Outbox

_TYPICAL_BYTES = 300
_ROUTINE = Precedence.ROUTINE.value


@dataclass(frozen=True)
class BearerStatus:
    """One bearer of a line; times named _ms at their end are monotonic, others are spans."""

    up: bool
    code: str
    """Why it is down."""
    rtt_ms: int | None
    """Measured, smoothed."""
    heard_ms: int | None
    since_ms: int = 0
    """When it came up or went down."""
    actor: str = ""
    """Who paused it."""
    variation: int = 0
    """Of the round trip, in milliseconds."""
    loss_permille: int = 0
    sent_bytes: int = 0
    heard_bytes: int = 0
    records: int = 0
    """On it and not yet answered."""
    queue_bytes: int = 0
    window_bytes: int = 0
    repeat_ms: int | None = None
    """When the first of them is sent again if nothing is heard."""
    profile: BearerProfile | None = None
    """What it declares; None while it is down."""
    why: str = ""
    """A Why for the next ROUTINE record; "" while it is down."""
    expected: int | None = None
    """Milliseconds until that record is expected to be delivered."""
    room: bool = False
    """Whether it has room for that record now."""


def statuses(outbox: Outbox, now_ms: int) -> dict[str, BearerStatus]:
    """Every bearer of a line, by name."""
    size = outbox.next_size() or _TYPICAL_BYTES
    verdicts = {verdict.name: verdict for verdict in outbox.ranked(size, _ROUTINE, now_ms)}
    return {
        name: _status(channel, verdicts.get(name), size, now_ms)
        for name, channel in outbox.channels.items()
    }


def _status(channel: Channel, verdict: Verdict | None, size: int, now_ms: int) -> BearerStatus:
    return BearerStatus(
        channel.up is not None,
        channel.code,
        channel.rtt_ms,
        channel.heard_ms,
        channel.since_ms,
        channel.actor,
        channel.variation_ms,
        channel.loss_permille(now_ms),
        channel.sent_bytes,
        channel.heard_bytes,
        len(channel.flights),
        channel.flight_bytes,
        channel.window_bytes(),
        min((flight.due_ms for flight in channel.flights.values()), default=None),
        channel.up,
        verdict.why.value if verdict else "",
        verdict.expected_ms if verdict else None,
        channel.fits(size),
    )


def bearer_view(name: str, status: BearerStatus, now_ms: int) -> dict[str, Any]:
    """One bearer of a line as JSON (docs/operating/commands.md)."""

    def age_s(at_ms: int | None) -> int | None:
        return None if at_ms is None else max(0, now_ms - at_ms) // 1000

    repeat_ms = status.repeat_ms
    return {
        "name": name,
        "up": status.up,
        "code": status.code,
        "age_s": age_s(status.since_ms),
        "paused_by": status.actor or None,
        "rtt_ms": status.rtt_ms,
        "variation_ms": status.variation,
        "loss_permille": status.loss_permille,
        "heard_age_s": age_s(status.heard_ms),
        "sent_bytes": status.sent_bytes,
        "heard_bytes": status.heard_bytes,
        "records": status.records,
        "queue_bytes": status.queue_bytes,
        "window_bytes": status.window_bytes,
        "repeat_in_ms": None if repeat_ms is None else max(0, repeat_ms - now_ms),
        "declared": None if status.profile is None else declared(status.profile),
        "why": status.why,
        "expected_ms": status.expected,
        "room": status.room,
    }


def declared(profile: BearerProfile) -> dict[str, Any]:
    """What a bearer declares of itself, as JSON."""
    return {
        "latency_ms": profile.latency_ms,
        "human_ms": profile.human_ms,
        "rate_bytes_s": profile.rate_bytes_s,
        "mtu_bytes": profile.mtu_bytes,
        "loss_permille": profile.loss_permille,
        "cost": profile.cost,
        "two_way": profile.two_way,
    }
