"""The audit log for people: as in views.py, built on demand, nothing worded.

Theory of operation: entries as the store has them, with their details read out of JSON. What enters
the log does not live here.
"""

from __future__ import annotations

import json
from itertools import islice
from typing import Any

from . import display, dtg
from .store.base import AuditEntry, Store


def audit(store: Store, after: int = 0, limit: int = 100) -> list[dict[str, Any]]:
    """Up to `limit` entries of the audit log after a position."""
    return [_audited(entry) for entry in islice(store.audit(after), limit)]


def _audited(entry: AuditEntry) -> dict[str, Any]:
    return {
        "position": entry.position,
        "wall_s": entry.entry.wall_s,
        "at": display.moment(entry.entry.wall_s),
        "at_group": dtg.group(entry.entry.wall_s),
        "actor": entry.entry.actor,
        "act": entry.entry.act,
        "details": json.loads(entry.entry.details or "{}"),
        "details_text": entry.entry.details,
        "hash": entry.hash.hex(),
    }
