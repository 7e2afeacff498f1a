"""Runs one vector of docs/vectors.md with the reader alone and returns what it finds.

Purpose: turn `given` into the shape of `expected`. Bytes become hex, tuples become lists, so that
a result and an expectation compare as JSON. No rule of the protocol lives here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM1024PrivateKey

from . import carried, reader
from .attachments import read_files
from .chain import Chain, digest
from .frames import Assembly, Frame, Record, Type, read_exchange, read_inner, read_record
from .wire import Cursor, RefusedError, need

Json = Any


def plain(value: object) -> Json:
    """Return a value as JSON would hold it: hex for bytes, lists for tuples."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if is_dataclass(value) and not isinstance(value, type):
        named = [f.name for f in fields(value)]
        if isinstance(value, Record):
            return {n: plain(getattr(value, n)) for n in named}
        return [plain(getattr(value, n)) for n in named]
    return value


def frame(found: Frame) -> Json:
    """Return a frame as §4 of docs/vectors.md writes it."""
    return {"type": found.type} | {name: plain(value) for name, value in found.fields.items()}


def varint(given: Json) -> Json:
    """Read each case whole as one varint and return the cases as read."""
    cases = []
    for data, _ in given["cases"]:
        at = Cursor(bytes.fromhex(data))
        try:
            value: int | str = at.varint()
            at.end()
        except RefusedError as refused:
            value = refused.reason
        cases.append([data, value])
    need(cases == given["cases"], f"cases-read-as {cases}")
    return None


def card(given: Json) -> Json:
    """Read a card and compare the heard words."""
    read = reader.read_card(bytes.fromhex(given["card"]))
    wrong = None
    if given["heard"] is not None:
        wrong = reader.first_wrong_word(read.data, given["heard"])
    return {"digest": read.digest.hex(), "words": reader.words(read.data), "first_wrong": wrong}


def _line(given: Json) -> reader.Line:
    return reader.pair(*(bytes.fromhex(given[n]) for n in _PAIR))


_PAIR = ("identity", "own_card", "peer_card", "page0")


def line(given: Json) -> Json:
    """Derive a line and its mailboxes."""
    made = _line(given)
    boxes = []
    for epoch in given["epochs"]:
        for direction in (1, 2):
            take, deposit, name = made.mailbox(direction, epoch)
            boxes.append(
                {
                    "direction": direction,
                    "epoch": epoch,
                    "take": take.hex(),
                    "deposit": deposit.hex(),
                    "name": name,
                }
            )
    return {
        "direction": made.own_direction,
        "line_id": made.line_id.hex(),
        "kit": made.kit.hex(),
        "root0": made.root0.hex(),
        "bk": made.bearer_key.hex(),
        "hk": [made.header_key(d).hex() for d in (1, 2)],
        "heads": [made.chain_start(d).hex() for d in (1, 2)],
        "mailboxes": boxes,
    }


def frames(given: Json) -> Json:
    """Read an inner."""
    inner = read_inner(bytes.fromhex(given["inner"]))
    return {"frames": [frame(f) for f in inner.frames], "fault": inner.fault}


def record(given: Json) -> Json:
    """Read a record."""
    return plain(read_record(bytes.fromhex(given["record"])))


def files(given: Json) -> Json:
    """Read the files of a chain."""
    found, faults = read_files([bytes.fromhex(each) for each in given["records"]])
    shown = [
        {
            "number": each.number,
            "text": each.text,
            "size": each.size,
            "name": each.name.hex(),
            "state": each.state,
            "content": sha256(each.content).hexdigest() if each.state == "whole" else None,
        }
        for each in found
    ]
    return {"files": shown, "faults": faults}


def rekey(given: Json) -> Json:
    """Finish a rekey as the party that made the OFFER."""
    base, seed, offer, answer, page = (
        bytes.fromhex(given[n]) for n in ("base", "seed", "offer", "answer", "page")
    )
    private = MLKEM1024PrivateKey.from_seed_bytes(seed)
    offered, answered = read_exchange(offer), read_exchange(answer)
    need(offered.value == private.public_key().public_bytes_raw(), "wrong-seed")
    need(offered.base == answered.base, "wrong-base")
    need(answered.page in (0, offered.page) and bool(answered.page) == bool(page), "wrong-page")
    root = reader.rekey(base, private.decapsulate(answered.value), page, offer, answer)
    return {"root": root.hex(), "root_id": reader.root_id_of(root).hex()}


def tcp(given: Json) -> Json:
    """Speak both sides of a handshake and cut the stream behind it."""
    key, nonce, own, stream = (
        bytes.fromhex(given[n]) for n in ("bk", "nonce", "answer_nonce", "stream")
    )
    return {
        "call": reader.tcp_call(key, given["direction"], nonce).hex(),
        "answer": reader.tcp_answer(key, nonce, own).hex(),
        "confirm": reader.tcp_confirm(key, nonce, own).hex(),
        "datagrams": plain(reader.tcp_frames(stream)),
    }


class Reader:
    """One reader of a conversation: its receiver, its copy of the peer's chain, open pieces."""

    def __init__(self, given: Json) -> None:
        """Take a member of `readers`."""
        self.line = _line(given)
        self.receiver = reader.Receiver(
            self.line,
            bytes.fromhex(given["identity"]),
            bytes.fromhex(given["kem_seed"]),
            bytes.fromhex(given["peer_card"]),
            bool(given["page0"]),
        )
        for key_id, private in given["keys"].items():
            self.receiver.add_key(bytes.fromhex(key_id), bytes.fromhex(private))
        for root in given["roots"]:
            self.receiver.add_root(bytes.fromhex(root))
        self.receiver.confirmed |= {bytes.fromhex(root_id) for root_id in given["confirmed"]}
        self.chain = Chain(self.line.chain_start(self.receiver.direction))
        self.pieces: dict[object, Assembly] = {}

    def step(self, step: Json) -> Json:
        """Do one step; return what a datagram brought."""
        match step:
            case {"datagram": datagram}:
                return self._datagram(bytes.fromhex(datagram))
            case {"key": [key_id, private]}:
                self.receiver.add_key(bytes.fromhex(key_id), bytes.fromhex(private))
            case {"root": root}:
                self.receiver.add_root(bytes.fromhex(root))
            case {"drop": run_id}:
                self.receiver.drop(bytes.fromhex(run_id))
            case _:
                raise ValueError("no such step")
        return None

    def _datagram(self, datagram: bytes) -> Json:
        opened = self.receiver.open(datagram)
        inner = read_inner(opened.inner)
        outcomes = [self._outcome(f) for f in inner.frames if f.type in (Type.RECORD, Type.PIECE)]
        return {
            "kind": opened.header.kind,
            "index": opened.header.index,
            "run_id": opened.header.run_id.hex(),
            "announcement": _announcement(opened),
            "alarm": opened.alarm,
            "frames": [frame(f) for f in inner.frames],
            "fault": inner.fault,
            "outcomes": [outcome for outcome in outcomes if outcome],
        }

    def _outcome(self, found: Frame) -> str | None:
        try:
            if found.type == Type.PIECE:
                of = tuple(found.fields[name] for name in ("incarnation", "number", "check"))
                whole = self.pieces.setdefault(of, Assembly()).add(found)
            else:
                whole = bytes.fromhex(plain(found.fields["record"]))
            return None if whole is None else self.chain.take(whole)
        except RefusedError as refused:
            return refused.reason

    def held(self) -> Json:
        """Return the peer's chain as §3 writes it."""
        return {
            "contiguous": self.chain.contiguous,
            "heads": sorted([n, head.hex()] for n, head in self.chain.heads.items()),
            "lost": plain(self.chain.lost),
            "abandoned": plain(self.chain.abandoned),
            "differs": self.chain.differs,
        }


def _announcement(opened: reader.Opened) -> Json:
    said, opening = opened.announcement, opened.header.opening
    if said is None or opening is None:
        return None
    return {
        "root_id": opening.root_id.hex(),
        "key_id": opening.key_id.hex(),
        "top_version": said.top_version,
        "time": said.time,
        "continuity": said.continuity.hex(),
        "epoch": said.epoch,
        "new_key_id": said.key_id.hex(),
        "new_key": said.key.hex(),
    }


def shared_digest(readers: list[Reader], wanted: Json) -> Json:
    """Compute the digest of readers 0 and 1 at the serials an expectation names."""
    if wanted is None:
        return None
    both = sorted(readers[:2], key=lambda r: r.receiver.direction)
    need([r.receiver.direction for r in both] == [1, 2], "one-line")
    need(both[0].line.line_id == both[1].line.line_id, "one-line")
    heads = [
        r.chain.head(*at) for r, at in zip(both, (wanted["first"], wanted["second"]), strict=True)
    ]
    return wanted | {"digest": digest(both[0].line.line_id, *heads).hex()}


SINGLE: dict[str, Callable[[Json], Json]] = {
    "varint": varint,
    "card": card,
    "line": line,
    "frames": frames,
    "record": record,
    "rekey": rekey,
    "tcp": tcp,
    "parcel": carried.parcel,
    "fragments": carried.fragments,
    "files": files,
}
