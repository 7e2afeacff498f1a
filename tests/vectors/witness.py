"""The product's own reading of a vector, in the shape of docs/vectors.md.

Purpose: `reading` does with production code what tests/independent does with a reader of its own.
The maker of the vectors takes its results for expectations, and a test holds them against the files
afterwards. A refusal has one precise name in a vector; the product tells a stranger less, so
`REFUSALS` says which of its outcomes each name stands for. Nothing is made here.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM1024PrivateKey

from openline import enrolment
from openline.bearers.base import Mailbox
from openline.bearers.framing import Answerer, Caller, FrameDecoder, LineKey
from openline.comparison import digest
from openline.core import receipts
from openline.core.envelope import (
    DEFLATED,
    HAS_SUBJECT,
    Ack,
    Frame,
    FrameType,
    decode_frames,
    decode_record,
    malformed,
)
from openline.core.envelope import Reader as Cursor
from openline.core.events import Now
from openline.core.inbound import Begin, Reception, Refused
from openline.core.transcript import THEIRS
from openline.delivery.assembly import Assembly, Piece
from openline.errors import LocalError, OpenlineError, RemoteError, SealError
from openline.ledger import LineLedger
from openline.relay.interface import mailbox_name
from openline.sealing.keys import Card, Identity, Kit, label
from openline.sealing.openings import Opening
from openline.sealing.roots import PERMANENT, Offer, Root, Roots
from openline.sealing.seal import Seal, Unreadable
from openline.sim.disk import MemoryStore
from openline.store.base import ABANDONED, Batch

from . import carried_witness
from .files import files_of_chain

Json = Any
NOW = Now(1_000_000, 1_790_000_000)

_LAYOUT = ("truncated", "surplus", "varint-not-shortest", "malformed", "time-out-of-range")
_SPOILED = ("foreign", "kind-mismatch", "wrong-run-id", "bad-payload", "bad-tag")
_UNREADABLE = (
    *("unknown-run", "unknown-version", "unknown-root", "unknown-key"),
    *("bad-opening", "light-without-tape"),
)
REFUSALS = {
    **{key: {"wire.malformed", "refused.malformed"} for key in _LAYOUT},
    **{key: {"seal.unreadable"} for key in _SPOILED},
    **{key: {"reopen"} for key in _UNREADABLE},
    **{key: {"ignored"} for key in ("used-index", "dropped-run")},
    "too-long": {"wire.malformed", "refused.malformed", "refused.too_long"},
    "unknown-dictionary": {"wire.malformed", "refused.malformed"},
    "deflate-broken": {"wire.malformed", "refused.malformed"},
    "pieces-differ": {"wire.malformed"},
    "serial-jump": {"refused.serial_jump"},
    "gaps": {"refused.gaps"},
    "card-length": {"enrolment.truncated_card"},
    "card-magic": {"enrolment.not_a_card"},
    "card-key": {"enrolment.damaged_card"},
    "card-own": {"enrolment.own_card"},
    "words-differ": {"enrolment.wrong_word"},
    "tcp-length": {"bearer.frame_length"},
    "wrong-seed": {"another root"},
    "wrong-base": {"no root"},
    "wrong-page": {"no root"},
    **carried_witness.REFUSALS,
}
"""What the product says where a vector names a refusal."""


def same_refusal(name: str, found: str) -> bool:
    """Whether an outcome of the product is what a vector calls `name`."""
    return found in REFUSALS[name]


def _read(given: Json, *names: str) -> list[bytes]:
    return [bytes.fromhex(given[name]) for name in names]


# -- single readings --------------------------------------------------------------------------


def _varint(given: Json) -> Json:
    cases = []
    for data, said in given["cases"]:
        reader = Cursor(bytes.fromhex(data))
        try:
            value: int | str = reader.varint()
            value = "surplus" if reader.more() else value
        except RemoteError as error:
            value = said if isinstance(said, str) and same_refusal(said, error.code) else error.code
        cases.append([data, value])
    return None if cases == given["cases"] else cases


def _card(given: Json) -> Json:
    card = Card.decode(bytes.fromhex(given["card"]))
    wrong = None
    if given["heard"] is not None:
        try:
            enrolment.check_words(card.data, given["heard"])
        except LocalError as error:
            wrong = error.details["position"]
    return {
        "digest": sha256(card.data).hexdigest(),
        "words": list(enrolment.words(card.data)),
        "first_wrong": wrong,
    }


def kit(given: Json) -> Kit:
    """The kit of a `line` vector or of a reader; a card made elsewhere stands for one's own."""
    identity_key, own, peer, page0 = _read(given, "identity", "own_card", "peer_card", "page0")
    seed = bytes.fromhex(given.get("kem_seed", "00" * 64))
    identity = Identity(identity_key, seed, b"", b"")
    identity.__dict__["card"] = own
    return Kit.make(identity, Card.decode(peer), page0)


def _line(given: Json) -> Json:
    made = kit(given)
    boxes = []
    for epoch in given["epochs"]:
        for direction in (1, 2):
            context = bytes((direction,)) + epoch.to_bytes(4, "big")
            box = Mailbox(*(label(made.secret, name, context) for name in ("take", "deposit")))
            boxes.append(
                {
                    "direction": direction,
                    "epoch": epoch,
                    "take": box.take.hex(),
                    "deposit": box.deposit.hex(),
                    "name": mailbox_name(*(sha256(secret).digest() for secret in box)).hex(),
                }
            )
    return {
        "direction": made.direction,
        "line_id": made.line_id.hex(),
        "kit": made.secret.hex(),
        "root0": made.root.hex(),
        "bk": label(made.secret, "bearer").hex(),
        "hk": [made.header_key(d).hex() for d in (1, 2)],
        "heads": [made.genesis(d).hex() for d in (1, 2)],
        "mailboxes": boxes,
    }


def _claim(reader: Cursor) -> Json:
    return {
        "ask": reader.uint(1),
        "own_incarnation": reader.uint(3),
        "own_number": reader.varint(),
        "other_incarnation": reader.uint(3),
        "other_number": reader.varint(),
        "digest": reader.take(16).hex(),
    }


def _ack(payload: bytes) -> Json:
    ack, pairs = Ack.decode(payload), []
    before = ack.contiguous
    for first, last in ack.held:
        pairs.append([first - before - 1, last - first + 1])
        before = last
    return {"incarnation": ack.incarnation, "contiguous": ack.contiguous, "pairs": pairs}


def _fields(frame: Frame) -> Json:
    """The fields of a frame; the layouts that lane.py and comparison.py read bit by bit are read
    here with the same `Reader`."""
    kind, reader = frame.type, Cursor(frame.payload)
    if kind == FrameType.ACK:
        return _ack(frame.payload)
    if kind == FrameType.PIECE:
        piece = Piece.decode(frame.payload)
        return {
            "incarnation": piece.serial.incarnation,
            "number": piece.serial.number,
            "total": piece.total,
            "check": piece.check.hex(),
            "offset": piece.offset,
            "bytes": piece.data.hex(),
        }
    if kind in (FrameType.RUN, FrameType.REOPEN):
        fields: Json = {"run": reader.take(4).hex()}
    elif kind == FrameType.REFUSE:
        fields = {
            "incarnation": reader.uint(3),
            "number": reader.varint(),
            "code": reader.uint(1),
        }
    elif kind == FrameType.CLAIM:
        fields = _claim(reader)
    elif kind in (FrameType.LOOK, FrameType.HEADS):
        fields, found = {"whose": reader.uint(1)}, []
        while reader.more():
            number = reader.varint()
            found.append(number if kind == FrameType.LOOK else [number, reader.take(16).hex()])
        fields["numbers" if kind == FrameType.LOOK else "heads"] = found
    else:
        return {"record" if kind == FrameType.RECORD else "payload": frame.payload.hex()}
    if reader.more():
        raise malformed("surplus")
    return fields


def _inner(inner: bytes) -> tuple[list[tuple[Frame, Json]], str | None]:
    found: list[tuple[Frame, Json]] = []
    try:
        for frame in decode_frames(inner):
            found.append((frame, {"type": frame.type} | _fields(frame)))
    except RemoteError as error:
        return found, error.code
    return found, None


def _frames(given: Json) -> Json:
    found, fault = _inner(bytes.fromhex(given["inner"]))
    return {"frames": [shown for _, shown in found], "fault": fault}


def record(data: bytes) -> Json:
    """A record as docs/vectors.md §5 writes it. Raises RemoteError."""
    read = decode_record(data)
    if read.kind == receipts.BEGIN:
        Begin.decode(read)
    at = 3 + (1 << (data[3] >> 6))
    flags = data[at]
    return {
        "incarnation": read.incarnation,
        "number": read.number,
        "precedence": int(read.precedence),
        "kind": read.kind,
        "language": "" if not read.language else read.language,
        "filed": read.filed_s,
        "dtg": read.dtg_s - read.filed_s or None,
        "due": None if read.due_s is None else read.due_s - read.filed_s,
        "references": [
            [reference.serial.number, int(not reference.ours), reference.serial.incarnation]
            for reference in read.references
        ],
        "subject": read.subject.encode().hex() if flags & HAS_SUBJECT else None,
        "body": read.body.hex(),
        "deflated": bool(flags & DEFLATED),
    }


def _rekey(given: Json) -> Json:
    base, seed, offer, answer, page = _read(given, "base", "seed", "offer", "answer", "page")
    number = int.from_bytes(offer[2:4], "big")
    roots = Roots(offer=Offer(seed.hex(), offer[:2].hex(), number, sha256(offer).hexdigest(), 0))
    if offer[:2] != PERMANENT:
        roots.later.append(Root(offer[:2].hex(), base.hex(), usable=True))
    pages = {number: page} if page else {}
    if bool(page) != bool(answer[2:4] != b"\0\0") or not roots.complete(answer, base, pages, 0):
        raise RemoteError("no root")
    if MLKEM1024PrivateKey.from_seed_bytes(seed).public_key().public_bytes_raw() != offer[4:]:
        raise RemoteError("another root")
    return {"root": roots.later[0].key, "root_id": roots.later[0].id}


def _tcp(given: Json) -> Json:
    key, nonce, own, stream = _read(given, "bk", "nonce", "answer_nonce", "stream")
    caller = Caller(LineKey(1, key, given["direction"]), nonce)
    answerer = Answerer([LineKey(1, key, 3 - given["direction"])], own)
    call = caller.hello()
    answer = answerer.answer(call)
    confirm = caller.confirm(answer)
    answerer.accept(confirm)
    return {
        "call": call.hex(),
        "answer": answer.hex(),
        "confirm": confirm.hex(),
        "datagrams": [datagram.hex() for datagram in FrameDecoder().feed(stream)],
    }


SINGLE = {
    "varint": _varint,
    "card": _card,
    "line": _line,
    "frames": _frames,
    "record": lambda given: record(bytes.fromhex(given["record"])),
    "rekey": _rekey,
    "tcp": _tcp,
    "parcel": carried_witness.read_parcels,
    "fragments": carried_witness.read_fragments,
    "files": files_of_chain,
}


# -- conversations ----------------------------------------------------------------------------


class Witness:
    """One reader of a conversation, made of the product's seal, reception and assembly."""

    def __init__(self, given: Json) -> None:
        """Take a member of `readers`."""
        self.kit = kit(given)
        keys = {name: [private, None] for name, private in given["keys"].items()}
        state = {"peer_key": self.kit.peer.identity.hex(), "receive_keys": keys}
        saved = json.dumps(state | {"roots": Roots().encode()}).encode()
        self.seal = Seal(self.kit, {"seal": saved}, bytes, NOW)
        for root in given["roots"]:
            self._root(bytes.fromhex(root))
        for root_id in given["confirmed"]:
            held = self.seal.roots.find(bytes.fromhex(root_id))
            if held is not None:
                held.shown = True
        self.store = MemoryStore()
        self.ledger = LineLedger(self.store, 1)
        genesis = self.kit.genesis(3 - self.kit.direction)
        self.reception = Reception(self.ledger, genesis, lambda *_: True)
        self.pieces = Assembly()

    def _root(self, key: bytes) -> None:
        found = label(key, "root id", count=2)
        root_id = found if found != PERMANENT else b"\0\1"
        self.seal.roots.later.insert(0, Root(root_id.hex(), key.hex(), usable=False))

    def step(self, step: Json) -> Json:
        """Do one step: what a datagram brought, or {"refused": code}."""
        if "key" in step:
            key_id, private = step["key"]
            self.seal.state.receive_keys[key_id] = (private, None)
        elif "root" in step:
            self._root(bytes.fromhex(step["root"]))
        elif "drop" in step:
            self.seal._retire(bytes.fromhex(step["drop"]))
        else:
            return self._datagram(bytes.fromhex(step["datagram"]))
        return None

    def _datagram(self, datagram: bytes) -> Json:
        runs, alarm = set(self.seal.runs), self.seal.state.alarm
        self.seal.state.alarm = False
        try:
            opened = self.seal.open(datagram, NOW)
        except Unreadable:
            return {"refused": "reopen"}
        except SealError as error:
            return {"refused": error.code}
        finally:
            raised, self.seal.state.alarm = self.seal.state.alarm, alarm
        if opened is None:
            return {"refused": "ignored"}
        kind, plain, _ = self.seal._header(datagram)
        found, fault = _inner(opened.inner)
        batch = Batch()
        self.ledger.begin(batch, NOW.wall_s)
        outcomes = [self._outcome(frame) for frame, _ in found]
        self.store.commit(batch)
        self.ledger.settle()
        return {
            "kind": kind,
            "index": int.from_bytes(plain[4:6], "big") & 0xFFF,
            "run_id": plain[:4].hex(),
            "announcement": self._announced(plain) if plain[:4] not in runs else None,
            "alarm": raised,
            "frames": [shown for _, shown in found],
            "fault": fault,
            "outcomes": [outcome for outcome in outcomes if outcome],
        }

    def _announced(self, plain: bytes) -> Json:
        opening = Opening.decode(plain[6:])
        payload, _ = self.seal._read(opening, plain[:4])
        return {
            "root_id": opening.root_id.hex(),
            "key_id": opening.key_id.hex(),
            "top_version": payload.top_version,
            "time": payload.time_s,
            "continuity": payload.continuity.hex(),
            "epoch": payload.epoch,
            "new_key_id": payload.key_id.hex(),
            "new_key": payload.key.hex(),
        }

    def _outcome(self, frame: Frame) -> str | None:
        try:
            if frame.type == FrameType.PIECE:
                whole = self.pieces.take(Piece.decode(frame.payload), 0)
            else:
                whole = frame.payload if frame.type == FrameType.RECORD else None
            return None if whole is None else self._arrive(whole)
        except (Refused, RemoteError) as error:
            return "not-taken" if error.code == "begin.missing" else error.code

    def _arrive(self, data: bytes) -> str:
        taken = tuple(self.reception.arrive(data, 0))
        if not taken:
            return "duplicate"
        record, place, _ = taken[0]
        if place == "waiting" and record.number <= self.reception.contiguous:
            place = "chained"
        if place == "abandoned" and record.number in self.reception.lost:
            return "late"
        return {"chained": "taken", "waiting": "held"}.get(place, place)

    def held(self) -> Json:
        """The peer's chain as docs/vectors.md §3 writes it."""
        reception = self.reception
        heads = {0: reception.genesis, reception.contiguous: reception.head}
        for number in range(1, reception.contiguous):
            head = self.ledger.head(THEIRS, number)
            if head is not None:
                heads[number] = head
        rows = self.store.arrivals(1, 0, 10_000, side=THEIRS, kinds=range(256))
        return {
            "contiguous": reception.contiguous,
            "heads": [[number, head.hex()] for number, head in sorted(heads.items())],
            "lost": [list(pair) for pair in reception.lost],
            "abandoned": sorted(
                [row.incarnation, row.number] for row in rows if row.standing == ABANDONED
            ),
            "differs": reception.differs_at is not None,
        }

    def head(self, number: int) -> bytes:
        """head(number) of the peer's chain."""
        held = {n: bytes.fromhex(head) for n, head in self.held()["heads"]}
        return held[number]


def shared_digest(readers: list[Witness], first: Json, second: Json) -> Json:
    """The digest of readers 0 and 1 at two serials."""
    heads = {
        3 - reader.kit.direction: reader.head((first, second)[2 - reader.kit.direction][1])
        for reader in readers[:2]
    }
    made = digest(readers[0].kit.line_id, heads[1], heads[2])
    return {"first": first, "second": second, "digest": made.hex()}


def single(vector: Json) -> Json:
    """Read any vector but a conversation: its results, or {"refused": code}."""
    try:
        found = SINGLE[vector["about"]](vector["given"])
    except OpenlineError as error:
        return {"refused": error.code}
    if vector["about"] == "card" and found["first_wrong"] is not None:
        return found | {"refused": "enrolment.wrong_word"}
    return found
