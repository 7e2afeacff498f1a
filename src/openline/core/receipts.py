"""Kinds of records: what people say, what people did with what was said, and what machines must
record.

A receipt is an open ladder: kinds come in any order, add up, and new ones may be added; an unknown
kind is kept and shown as such (R19). An *ack* is not a receipt: it says that a machine holds a
record, a receipt that people did something.
"""

from __future__ import annotations

TEXT, FILE, CHUNK = 1, 2, 3
DELIVERED = 16
OPENED = 17
SHOWN = 18
DECLINED = 19
HOLDING = 20
BEGIN, FORK, OFFER, ANSWER, HEAL, COPY = range(32, 38)
CLOSE, SUCCEED = 40, 41

RECEIPTS = frozenset({DELIVERED, OPENED, SHOWN, DECLINED, HOLDING})
SPOKEN = RECEIPTS | {TEXT}
"""Kinds whose body is what people wrote, and is deflated where that is shorter (R18)."""
ATTACHED = frozenset({FILE, CHUNK})
SERVICE = frozenset({BEGIN, FORK, OFFER, ANSWER, HEAL, COPY, CLOSE, SUCCEED})


def is_machinery(kind: int) -> bool:
    """Whether records of this kind may use the disk reserve like FLASH (R30)."""
    return kind in RECEIPTS or (kind in SERVICE and kind != COPY)
