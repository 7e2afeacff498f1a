"""Recomputing a record from its bytes: both hash chains and the digest, trusting nothing but the
bytes.

Theory of operation: records are taken one by one, each side in serial order, with the head that is
claimed after each; a head that does not follow from the bytes is where the record is broken. Where
numbers are lost (docs/protocol.md R21) the chain goes on from the head that a later BEGIN gives,
and is believed only when that BEGIN has come. Anyone with an exported transcript can do the same
from docs/protocol.md §7. Nothing here reads a store or asks the other side.
"""

from __future__ import annotations

from typing import NamedTuple

from .comparison import digest
from .core import receipts
from .core.envelope import decode_record, peek_serial
from .core.events import Serial
from .core.inbound import Begin
from .core.transcript import next_head
from .errors import OpenlineError


class Anchors(NamedTuple):
    """What both chains of a line start from; `genesis` is head(0) of ours and of theirs."""

    line_id: bytes
    first: bool
    """Whether our side is the first party, whose head comes first in the digest."""
    genesis: tuple[bytes, bytes]


class ChainCheck:
    """One author's chain, taken record by record in serial order."""

    def __init__(self, genesis: bytes | None) -> None:
        """`genesis` is head(0); without it (a revoked line) the first head is taken as given."""
        self.head = genesis
        self.serial = Serial(0, 0)
        self.records = 0
        self.broken: int | None = None
        """The first number whose head does not follow from the bytes."""
        self._given: dict[int, tuple[bytes, bytes]] = {}

    def take(self, serial: Serial, record: bytes, head: bytes | None) -> None:
        """Take the next record; `head` None means that it waits behind a gap and is not on the
        chain yet.
        """
        if self.broken is not None or head is None:
            return
        expected = self.serial.number + 1
        if serial.number == expected:
            sound = self.head is None or next_head(self.head, record) == head
        else:
            sound = serial.number > expected
            self._given[serial.number - 1] = (record, head)
        if not sound or not self._says(serial, record):
            self.broken = serial.number
            return
        self.head, self.serial = head, serial
        self.records += 1

    def _says(self, serial: Serial, record: bytes) -> bool:
        """Whether the bytes carry that serial; settles what a BEGIN gives."""
        try:
            if peek_serial(record) != serial:
                return False
            said = decode_record(record)
            if said.kind != receipts.BEGIN:
                return True
            begin = Begin.decode(said)
        except OpenlineError:
            return False
        waiting = self._given.pop(begin.floor, None)
        return waiting is None or next_head(begin.floor_head, waiting[0]) == waiting[1]

    def finish(self) -> int | None:
        """The number where the chain is broken, or None; call it after the last record."""
        if self.broken is None and self._given:
            self.broken = min(self._given) + 1
        return self.broken


class RecordCheck:
    """Both chains of a line."""

    def __init__(self, anchors: Anchors | None) -> None:
        self.anchors = anchors
        genesis = anchors.genesis if anchors else (None, None)
        self.chains = (ChainCheck(genesis[0]), ChainCheck(genesis[1]))

    def digest(self) -> bytes | None:
        """The digest at the last records taken, 32 bytes; None without anchors."""
        ours, theirs = (chain.head for chain in self.chains)
        if self.anchors is None or ours is None or theirs is None:
            return None
        heads = (ours, theirs) if self.anchors.first else (theirs, ours)
        return digest(self.anchors.line_id, *heads)
