"""A line as it stands, for people and for the layers that show it.

Theory of operation: values read off a lane at one instant; nothing is kept, nothing changes. What
the values are called, and what they mean, is in status.py; wording lives with the commands.
"""

from __future__ import annotations

from .core.events import Now
from .delivery.explain import statuses
from .lane import Lane
from .status import LineStatus, missing


def standing_of(lane: Lane, now: Now) -> LineStatus:
    """The line of a lane as it stands."""
    line, seal, peer = lane.line, lane.seal, lane.line.reception
    own_at, peer_at = lane.held()
    digest = lane.comparer.digest_at(own_at, peer_at)
    opening = "opening" if seal.candidates or seal.runs else "new"
    return LineStatus(
        line=lane.number,
        label=lane.label,
        state="open" if seal.confirmed is not None else opening,
        tape=lane.kit.tape,
        own_number=line.number,
        acked_number=line.acked,
        outbox=lane.outbox.waiting(),
        peer_number=peer.contiguous,
        peer_highest=peer.highest,
        gaps=list(missing(peer.waiting, peer.contiguous)),
        lost=list(peer.lost),
        bearers=statuses(lane.outbox, now.mono_ms),
        underway=lane.outbox.underway(),
        heard_s=lane.heard_s,
        alarm=seal.state.alarm,
        flood=lane.quota.flooded(now.mono_ms),
        faults=dict(line.faults),
        forks=peer.forks + lane.disputed,
        differs_at=peer.differs_at,
        refused=[(lane.outbox.entries[n].serial, code) for n, code in lane.outbox.refused.items()],
        comparison=lane.comparer.latest,
        healing=lane.healing.status(),
        files=lane.attachments.progress(line.acked),
        beyond=lane.outbox.beyond(),
        missed=lane.healing.giver.missed(),
        own_serial=own_at,
        peer_serial=peer_at,
        digest=digest.hex() if digest else "",
        peer_version=lane.peer_version,
        journey=lane.journey,
    )
