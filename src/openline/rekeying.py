"""Rekeying one line: when to offer, when to answer, and what an answer belongs to (§9).

Theory of operation: the first party leads. Its OFFER and the other's ANSWER are records like any
other and pass through the chain; what they make of each other is sealing's. Here are only the
paces, which no restart and no replay may turn into a storm: one OFFER on its way at a time, one
ANSWER in a minute, and that to the newest OFFER, or the one that counts would be the one ignored.
"""

from __future__ import annotations

from hashlib import sha256

from .core import limits, receipts
from .core.envelope import Record, decode_record
from .core.events import Now, Reference
from .core.line import Line
from .core.transcript import OURS
from .sealing.openings import CARD_KEY
from .sealing.seal import Seal

_ANSWER_MS = 60_000


class Rekeying:
    """Offers and answers of one line."""

    def __init__(self, line: Line, seal: Seal, now: Now) -> None:
        self._line = line
        self._seal = seal
        self._offered = 0
        """The number of our latest OFFER: another waits until the other side holds it."""
        self._asked: Record | None = None
        """Their newest OFFER, until it is answered."""
        self._answered_ms = now.mono_ms - _ANSWER_MS

    def take(self, record: Record, now: Now) -> None:
        """An OFFER or ANSWER of the other side has come."""
        if record.kind == receipts.OFFER:
            self._asked = record
        elif self._awaited(record):
            self._seal.complete(record.body, now)

    def work(self, now: Now) -> None:
        """Offer and answer what is due."""
        if self._due(now):
            offer = Line.service(receipts.OFFER, self._seal.offer(now), now)
            self._offered = self._line.release(offer, now).number
        if self._asked is not None and now.mono_ms - self._answered_ms >= _ANSWER_MS:
            asked, self._asked = self._asked, None
            body = self._seal.answer(asked.body, now)
            if body is not None:
                self._answered_ms = now.mono_ms
                reference = [Reference(False, asked.serial)]
                self._line.release(Line.service(receipts.ANSWER, body, now, reference), now)

    def deadline(self) -> int | None:
        """When to call `work` next, monotonic milliseconds; None if nothing waits."""
        return self._answered_ms + _ANSWER_MS if self._asked else None

    def _due(self, now: Now) -> bool:
        """Whether we, as the first party, should offer a rekey now."""
        seal, roots = self._seal, self._seal.roots
        if not seal.kit.first or seal.confirmed is None:
            return False
        if seal.state.peer_key_id == CARD_KEY.hex() or self._offered > self._line.acked:
            return False
        running_s = seal.running_s(now)
        if roots.offer is not None and running_s - roots.offer.made_s < limits.REKEY_RETRY_S:
            return False
        made_s = roots.made_s
        return roots.usable is None or made_s is None or running_s - made_s >= limits.REKEY_S

    def _awaited(self, answer: Record) -> bool:
        """Whether an ANSWER refers to the OFFER that awaits one, not to one given up."""
        offer = self._seal.roots.offer
        if offer is None or len(answer.references) != 1 or answer.references[0].ours:
            return False
        data = self._line.ledger.get(OURS, answer.references[0].serial)
        return data is not None and sha256(decode_record(data).body).hexdigest() == offer.digest
