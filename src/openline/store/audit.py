"""The hash chain of the audit log, and its check.

Theory of operation: entry n is stored with `hash(n) = SHA-256(hash(n−1) ‖ entry bytes)`, hash(0)
being 32 zero bytes. Whoever changes, removes or inserts an entry must rewrite every hash after it,
so that a printed or otherwise remembered hash bears witness to all that went before. The chain
cannot show that entries were cut off its end: for that, compare the last hash with one noted
elsewhere. Stores use `link`; how entries are kept is theirs.
"""

from __future__ import annotations

import hashlib
import struct

from .base import Audit, Store

START = bytes(32)
"""The hash before the first entry."""

_SHAPE = struct.Struct(">qIII")


def entry_bytes(entry: Audit) -> bytes:
    """What is hashed: i64 wall_s, three u32 lengths, then actor, act and details in UTF-8."""
    actor, act = entry.actor.encode(), entry.act.encode()
    details = entry.details.encode()
    return b"".join(
        (_SHAPE.pack(entry.wall_s, len(actor), len(act), len(details)), actor, act, details)
    )


def link(previous: bytes, entry: Audit) -> bytes:
    """The 32-byte hash of `entry` after the entry whose hash is `previous`."""
    return hashlib.sha256(previous + entry_bytes(entry)).digest()


def verify(store: Store) -> int | None:
    """None if the whole audit log holds together, else the position of the first broken link."""
    previous, expected = START, 1
    for position, entry, kept in store.audit():
        previous = link(previous, entry)
        if position != expected or kept != previous:
            return expected
        expected += 1
    return None
