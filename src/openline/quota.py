"""What may use the last of the disk (docs/protocol.md R30): a reserve keeps the line open when it
has been filled.

Theory of operation: one quota per line, for each side apart. A record counts its bytes and what the
disk takes beside them, or short texts would take many times the quota. ROUTINE stops at the quota,
and files do whatever they call themselves; PRIORITY and IMMEDIATE may use half of the reserve,
FLASH, receipts and service records all of it; more FLASH than an hour can honestly bring counts as
ROUTINE. Acknowledgements need no room. Local policy: nothing here is told to the other side but "no
room now".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from .core import limits, receipts
from .core.envelope import Record
from .core.precedence import Precedence
from .errors import LocalError
from .store.base import OURS, OVERHEAD_BYTES, THEIRS

_HOUR_MS = 3_600_000


class Quota:
    """Room on disk for one line; `used` is what the ledger counts of either side."""

    def __init__(self, used: Mapping[int, int]) -> None:
        self._used = used
        self.quota_bytes = limits.QUOTA_BYTES
        self.reserve_bytes = limits.RESERVE_BYTES
        self._flash_ms: deque[int] = deque()

    @property
    def own_bytes(self) -> int:
        """What our records take."""
        return self._used[OURS]

    @property
    def peer_bytes(self) -> int:
        """What theirs take."""
        return self._used[THEIRS]

    def admit(self, record: Record, size: int, now_ms: int) -> bool:
        """Whether a record of theirs has room: if so it is kept."""
        flash = _precedence(record) is Precedence.FLASH and not receipts.is_machinery(record.kind)
        demoted = flash and self.flooded(now_ms)
        if self.peer_bytes + room(size) > self._ceiling(record, demoted=demoted):
            return False
        if flash and not demoted:
            self._flash_ms.append(now_ms)
        return True

    def _ceiling(self, record: Record, *, demoted: bool = False) -> int:
        precedence = Precedence.ROUTINE if demoted else _precedence(record)
        if receipts.is_machinery(record.kind) or precedence is Precedence.FLASH:
            share = self.reserve_bytes
        elif precedence is Precedence.ROUTINE:
            share = 0
        else:
            share = self.reserve_bytes // 2
        return self.quota_bytes + share

    def flooded(self, now_ms: int) -> bool:
        """Whether FLASH has come too often in the last hour."""
        while self._flash_ms and now_ms - self._flash_ms[0] > _HOUR_MS:
            self._flash_ms.popleft()
        return len(self._flash_ms) >= limits.FLASH_PER_HOUR_MAX

    def allow(self, record: Record, waiting: int, more: int = 0) -> None:
        """Whether a record of ours may be released, `waiting` being on their way, and what takes
        `more` bytes with it; else LocalError."""
        urgent = record.precedence is Precedence.FLASH or receipts.is_machinery(record.kind)
        if waiting >= limits.OUTBOX_RECORDS_MAX and not urgent:
            raise LocalError("outbox.full", records_max=limits.OUTBOX_RECORDS_MAX)
        if self.own_bytes + more > self.quota_bytes and more:
            raise LocalError("store.no_room", bytes_max=self.quota_bytes)
        ceiling = self._ceiling(record)
        if self.own_bytes + room(len(record.body)) > ceiling:
            raise LocalError("store.no_room", bytes_max=ceiling)


def room(size: int, records: int = 1) -> int:
    """What `size` bytes in so many records count."""
    return size + records * OVERHEAD_BYTES


def _precedence(record: Record) -> Precedence:
    """By what a record is measured here."""
    return Precedence.ROUTINE if record.kind in receipts.ATTACHED else record.precedence
