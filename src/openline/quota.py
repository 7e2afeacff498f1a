"""What may use the last of the disk (docs/protocol.md R30): a reserve keeps the line open when it
has been filled.

Theory of operation: one quota per line, counted in record bytes of each side apart. ROUTINE stops
at the quota, and files do whatever they call themselves; PRIORITY and IMMEDIATE may use half of the
reserve, FLASH, receipts and service records all of it; more FLASH than an hour can honestly bring
counts as ROUTINE. Acknowledgements need no room. Local policy: nothing here is told to the other
side but "no room now".
"""

from __future__ import annotations

from collections import deque

from .core import limits, receipts
from .core.envelope import Record
from .core.precedence import Precedence
from .errors import LocalError

_HOUR_MS = 3_600_000


class Quota:
    """Room on disk for one line; given the record bytes of either side in use at the start."""

    def __init__(self, own_bytes: int, peer_bytes: int) -> None:
        self.own_bytes = own_bytes
        self.peer_bytes = peer_bytes
        self.quota_bytes = limits.QUOTA_BYTES
        self.reserve_bytes = limits.RESERVE_BYTES
        self._flash_ms: deque[int] = deque()

    def admit(self, record: Record, size: int, now_ms: int) -> bool:
        """Whether a record of theirs has room; if so it is counted."""
        flash = _precedence(record) is Precedence.FLASH and not receipts.is_machinery(record.kind)
        demoted = flash and self.flooded(now_ms)
        if self.peer_bytes + size > self._ceiling(record, demoted=demoted):
            return False
        if flash and not demoted:
            self._flash_ms.append(now_ms)
        self.peer_bytes += size
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
        """Whether a record of ours may be released, `waiting` being on their way, and `more` bytes
        of files with it; else LocalError. It is not counted yet."""
        urgent = record.precedence is Precedence.FLASH or receipts.is_machinery(record.kind)
        if waiting >= limits.OUTBOX_RECORDS_MAX and not urgent:
            raise LocalError("outbox.full", records_max=limits.OUTBOX_RECORDS_MAX)
        if self.own_bytes + more > self.quota_bytes and more:
            raise LocalError("store.no_room", bytes_max=self.quota_bytes)
        ceiling = self._ceiling(record)
        if self.own_bytes + len(record.body) > ceiling:
            raise LocalError("store.no_room", bytes_max=ceiling)


def _precedence(record: Record) -> Precedence:
    """By what a record is measured here."""
    return Precedence.ROUTINE if record.kind in receipts.ATTACHED else record.precedence
