"""An author that seals true datagrams with production code, and spoils them as vectors ask.

Purpose: everything a vector conversation needs on the sending side: parties made from a seed, runs
opened as the product opens them, records and frames. A spoiled datagram differs from a true one in
the one thing its name says. What a reader makes of it is not known here.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from openline.core import receipts
from openline.core.envelope import Frame, FrameType, Record, encode_frames, encode_record, varint
from openline.core.events import Now, Reference, Serial
from openline.core.inbound import Begin
from openline.core.precedence import Precedence
from openline.core.transcript import Segment, next_head
from openline.delivery.assembly import Piece
from openline.sealing.keys import Card, Identity, Kit
from openline.sealing.openings import run_id_of
from openline.sealing.runs import SendingRun
from openline.sealing.seal import FULL, PLAIN, Seal

Json = Any
NOW = Now(1_000_000, 1_790_000_000)
PAGE0 = bytes(range(32))


class Party:
    """Identity and card of a party, made from a number."""

    def __init__(self, seed: int) -> None:
        """Draw the keys."""
        self.identity = Identity.new(random.Random(seed).randbytes)
        self.card = self.identity.card

    def reader(self, peer: Party, page0: bytes = PAGE0) -> Json:
        """This party as a member of `readers`."""
        return {
            "identity": self.identity.agreement.hex(),
            "kem_seed": self.identity.kem.hex(),
            "own_card": self.card.hex(),
            "peer_card": peer.card.hex(),
            "page0": page0.hex(),
            "keys": {},
            "roots": [],
            "confirmed": [],
        }


A, B, ATTACKER = Party(1), Party(2), Party(3)


class Scribe:
    """One author on a line to `peer`: its seal, and a chain of records made as they come."""

    def __init__(self, own: Party, peer: Party, page0: bytes = PAGE0, seed: int = 7) -> None:
        """Make the line anew; two scribes of one party are two processes of it."""
        self.entropy = random.Random(seed).randbytes
        self.kit = Kit.make(own.identity, Card.decode(peer.card), page0)
        self.seal = Seal(self.kit, {}, self.entropy, NOW)
        self.heads = {0: self.kit.genesis(self.kit.direction)}
        self.number = 0

    # -- records ------------------------------------------------------------------------------

    def record(self, incarnation: int, number: int, body: bytes = b"", **fields: Any) -> bytes:
        """A record; `fields` as in core.envelope.Record, a text in English if none is given."""
        at = NOW.wall_s + number
        plain = Record(
            incarnation,
            number,
            Precedence.ROUTINE,
            receipts.TEXT,
            "en",
            at,
            at,
            None,
            (),
            "",
            body or b"text %d" % number,
        )
        data = encode_record(plain._replace(**fields))
        if number - 1 in self.heads:
            self.heads[number] = next_head(self.heads[number - 1], data)
        return data

    def begin(
        self,
        incarnation: int,
        number: int,
        path: Sequence[tuple[int, int]],
        floor: int,
        *,
        head: bytes | None = None,
        holds: Serial | None = None,
    ) -> bytes:
        """A BEGIN after the incarnations of `path`, each with its first number; `holds` is what its
        author says it holds of the other side's chain."""
        given = head or self.heads.get(floor, bytes(32))
        told = tuple(Segment(*pair) for pair in path)
        body = Begin(floor, given, *(holds or (0, 0)), told).encode()
        flash, begin = Precedence.FLASH, receipts.BEGIN
        return self.record(incarnation, number, body, kind=begin, precedence=flash, language="")

    @staticmethod
    def pieces(data: bytes, size: int) -> list[Frame]:
        """A record as PIECE frames of `size` bytes each."""
        serial = Serial(int.from_bytes(data[:3], "big"), data[3])
        return [
            Frame(FrameType.PIECE, Piece.cut(serial, data, at, at + size).encode())
            for at in range(0, len(data), size)
        ]

    # -- datagrams ----------------------------------------------------------------------------

    def open_run(self, *, to_card: bool = False) -> SendingRun:
        """Open a run, confirmed by nobody."""
        self.seal._open_run(NOW, to_card=to_card)
        return self.seal.candidates[-1]

    def datagram(
        self, run: SendingRun, *frames: Frame | bytes, pad_to: int = 0, bare: bool = False
    ) -> bytes:
        """The next datagram of a run; bytes among `frames` are records. `bare` leaves the opening
        out."""
        framed = [Frame(FrameType.RECORD, f) if isinstance(f, bytes) else f for f in frames]
        inner = encode_frames(framed) if framed else b""
        if not bare:
            return self.seal.seal(run, inner, NOW, pad_to=pad_to)
        spoken = run.kind, run.opening
        run.kind, run.opening = PLAIN, b""
        sealed = self.seal.seal(run, inner, NOW, pad_to=pad_to)
        run.kind, run.opening = spoken
        return sealed

    def spoiled(self, how: str, run: SendingRun, inner: bytes = b"") -> bytes:
        """The next datagram of a copy of a run, with one thing wrong in its header."""
        bad = replace(run, index=run.index + 40)
        opening = bytearray(run.opening)
        if how == "wrong-run-id":
            bad.run_id = b"\xff\xff\xff\xff"
        elif how == "unknown-version":
            opening[0] = 2
        elif how == "unknown-root":
            opening[1:3] = b"\x77\x77"
        elif how == "unknown-key":
            opening[3:5] = b"\x77\x77"
        elif how == "bad-opening":
            opening[103] ^= 1
        elif how == "low-order":
            opening[5:37] = bytes(32)
            bad.run_id = run_id_of(bytes(32))
        elif how == "kind-mismatch":
            bad.kind = PLAIN if run.kind == FULL else FULL
        elif how == "kind-three":
            bad.kind = 3
        bad.opening = bytes(opening)
        index, key = bad.step()
        return self._sealed(bad, index, key, inner)

    def _sealed(self, run: SendingRun, index: int, key: bytes, inner: bytes) -> bytes:
        salt = self.entropy(4)
        selector = run.run_id + (run.kind << 12 | index).to_bytes(2, "big")
        header = self.seal._own_header.encrypt(selector + run.opening, [salt])
        return header + salt + AESGCMSIV(key).encrypt(salt + bytes(8), inner, header)


def raw_record(
    incarnation: int = 7,
    number: int = 3,
    *,
    flags: int = 0,
    kind: int = 1,
    language: int = 149,
    optional: bytes = b"",
    body: bytes = b"text",
) -> bytes:
    """A record laid out by hand, so that it may break a rule."""
    head = incarnation.to_bytes(3, "big") + varint(number) + bytes((flags, kind))
    return head + language.to_bytes(2, "big") + NOW.wall_s.to_bytes(4, "big") + optional + body


def receipt_fields(kind: int, serial: Serial, due_s: int | None = None) -> Json:
    """The fields of a receipt for a record of the other side."""
    references = (Reference(False, serial),)
    return {"kind": kind, "references": references, "due_s": due_s, "language": ""}
