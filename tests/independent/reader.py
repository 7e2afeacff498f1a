"""The receiving half of Openline 1, from a card to an opened datagram (§2, §3, §4, §9, §10, §11).

Purpose: everything that touches a key. A `Line` is what two cards and a tape page make; a
`Receiver` holds the receiving state of one direction and opens datagrams. The reading is strict:
a datagram changes nothing unless its body opens. Frames, records and chains do not live here, nor
any sending, any clock or any disk.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import (
    MLKEM1024PrivateKey,
    MLKEM1024PublicKey,
)
from cryptography.hazmat.primitives.asymmetric.x25519 import (
    X25519PrivateKey,
    X25519PublicKey,
)
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV, AESSIV, ChaCha20Poly1305

from .wire import Cursor, RefusedError, expand, extract, label, mac, need, sha256

MAGIC = bytes.fromhex("4f4c01")
CARD_SIZE = 1635
CONSONANTS = (*"bdfgklmnprstvz", "ch", "sh")
VOWELS = "aiou"
ROOT0 = CARD_KEY = bytes(2)
HEADERS = ((0, 22), (1, 126), (2, 1694))
LEAST_AFTER_HEADER = 20
DATAGRAM_MAX = 4096
NOISE = b"Noise_Kpsk0_25519_ChaChaPoly_SHA256"


@dataclass(frozen=True)
class Card:
    """A card as read; `data` is its 1,635 bytes."""

    data: bytes
    identity: bytes
    kem: bytes
    disclosure: bytes

    @property
    def digest(self) -> bytes:
        """H(card), which orders the parties of a line."""
        return sha256(self.data)


def read_card(data: bytes) -> Card:
    """Read a card; refuses `card-length`, `card-magic`, `card-key`."""
    need(len(data) == CARD_SIZE, "card-length")
    at = Cursor(data)
    need(at.take(3) == MAGIC, "card-magic")
    card = Card(data, at.take(32), at.take(1568), at.take(32))
    try:
        MLKEM1024PublicKey.from_public_bytes(card.kem)
    except ValueError as broken:
        raise RefusedError("card-key") from broken
    return card


def words(card: bytes) -> list[str]:
    """Return the twelve words of a card."""
    bits = int.from_bytes(sha256(card)[:18], "big")
    groups = [bits >> shift & 0xFFF for shift in range(132, -1, -12)]
    return [
        CONSONANTS[g >> 8] + VOWELS[g >> 6 & 3] + CONSONANTS[g >> 2 & 15] + VOWELS[g & 3]
        for g in groups
    ]


def first_wrong_word(card: bytes, heard: Sequence[str]) -> int | None:
    """Return the position, from 1, of the first of twelve heard words that differs
    (letter case aside); None: same."""
    for position, word in enumerate(words(card), 1):
        if position > len(heard) or heard[position - 1].lower() != word:
            return position
    return None if len(heard) == 12 else 13


def agree(private: X25519PrivateKey, public: bytes, reason: str) -> bytes:
    """X25519; an all-zero result is refused with `reason`."""
    try:
        return private.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError as zero:
        raise RefusedError(reason) from zero


@dataclass(frozen=True)
class Line:
    """The permanent secrets of a line (§3), as its two parties both derive them."""

    kit: bytes
    own_direction: int

    @property
    def line_id(self) -> bytes:
        """The 16-byte line id."""
        return label(self.kit, "line", b"", 16)

    @property
    def root0(self) -> bytes:
        """The permanent root, root id 0000."""
        return label(self.kit, "root", b"", 32)

    @property
    def bearer_key(self) -> bytes:
        """The key bk of §10."""
        return label(self.kit, "bearer", b"", 32)

    def header_key(self, direction: int) -> bytes:
        """The 64-byte AES-256-SIV key of a direction."""
        return label(self.kit, "header", bytes([direction]), 64)

    def chain_start(self, direction: int) -> bytes:
        """head(0) of the chain whose records travel in a direction."""
        return label(self.kit, "chain", bytes([direction]), 32)

    def mailbox(self, direction: int, epoch: int) -> tuple[bytes, bytes, str]:
        """Return take, deposit and the name of a mailbox (§11)."""
        context = bytes([direction]) + epoch.to_bytes(4, "big")
        take, deposit = (label(self.kit, name, context, 32) for name in ("take", "deposit"))
        return take, deposit, mailbox_name(sha256(take), sha256(deposit))


def mailbox_name(take_hash: bytes, deposit_hash: bytes) -> str:
    """Return the name of a mailbox in hex, from the hashes of its two capabilities."""
    return sha256(b"openline/1 mailbox", take_hash, deposit_hash).hex()


def pair(identity: bytes, own: bytes, peer: bytes, page0: bytes = b"") -> Line:
    """Derive a line from the own X25519 private key, both cards and page 0 of the tape, if any."""
    need(len(page0) in (0, 32), "page-length")
    mine, theirs = read_card(own), read_card(peer)
    need(mine.data != theirs.data and mine.identity != theirs.identity, "card-own")
    dh = agree(X25519PrivateKey.from_private_bytes(identity), theirs.identity, "card-key")
    first, second = sorted((mine.digest, theirs.digest))
    return Line(extract(first + second, dh + page0), 1 if mine.digest == first else 2)


@dataclass(frozen=True)
class Opening:
    """The opening of a run, as it stands in a header; `ct` is empty if light."""

    version: int
    root_id: bytes
    key_id: bytes
    e: bytes
    sealed: bytes
    ct: bytes


@dataclass(frozen=True)
class Header:
    """A header that authenticated."""

    kind: int
    index: int
    run_id: bytes
    opening: Opening | None
    sent: bytes


def open_header(key: bytes, datagram: bytes) -> Header:
    """Find the header of a datagram (R3); refuses `foreign`, `kind-mismatch`."""
    siv = AESSIV(key)
    for kind, size in HEADERS:
        if not size + LEAST_AFTER_HEADER <= len(datagram) <= DATAGRAM_MAX:
            continue
        sent, salt = datagram[:size], datagram[size : size + 4]
        try:
            plain = siv.decrypt(sent, [salt])
        except InvalidTag:
            continue
        return _read_header(kind, sent, plain)
    raise RefusedError("foreign")


def _read_header(kind: int, sent: bytes, plain: bytes) -> Header:
    at = Cursor(plain)
    run_id, both = at.take(4), at.number(2)
    need(both >> 12 == kind, "kind-mismatch")
    opening = None
    if kind:
        opening = Opening(at.number(1), at.take(2), at.take(2), at.take(32), at.take(67), at.rest())
    return Header(kind, both & 0xFFF, run_id, opening, sent)


class Noise:
    """The symmetric state of a Noise handshake with 25519, ChaChaPoly and SHA256."""

    def __init__(self, prologue: bytes) -> None:
        """Begin with the protocol's name, longer than 32 bytes and so hashed, and a prologue."""
        self.h = self.ck = sha256(NOISE)
        self.key = b""
        self.mix_hash(prologue)

    def mix_hash(self, data: bytes) -> None:
        """MixHash."""
        self.h = sha256(self.h, data)

    def _next(self, ikm: bytes, count: int) -> list[bytes]:
        out = expand(extract(self.ck, ikm), b"", 32 * count)
        return [out[i : i + 32] for i in range(0, len(out), 32)]

    def mix_key(self, ikm: bytes) -> None:
        """MixKey."""
        self.ck, self.key = self._next(ikm, 2)

    def mix_key_and_hash(self, psk: bytes) -> None:
        """MixKeyAndHash."""
        self.ck, extra, self.key = self._next(psk, 3)
        self.mix_hash(extra)

    def decrypt(self, sealed: bytes) -> bytes:
        """DecryptAndHash under nonce 0: each key of this handshake seals at most once."""
        try:
            plain = ChaCha20Poly1305(self.key).decrypt(bytes(12), sealed, self.h)
        except InvalidTag as wrong:
            raise RefusedError("bad-opening") from wrong
        self.mix_hash(sealed)
        return plain

    def split(self) -> bytes:
        """Return the first key of Split(), initiator to responder."""
        return self._next(b"", 2)[0]


@dataclass(frozen=True)
class Announcement:
    """The payload of an opening: what the sender says of itself."""

    top_version: int
    time: int
    continuity: bytes
    epoch: int
    key_id: bytes
    key: bytes


def read_announcement(payload: bytes) -> Announcement:
    """Read the 51 bytes of a payload; refuses `bad-payload`."""
    at = Cursor(payload)
    said = Announcement(
        at.number(1), at.number(4), at.take(8), at.number(4), at.take(2), at.take(32)
    )
    at.end()
    need(said.key_id != CARD_KEY and said.top_version >= 1, "bad-payload")
    return said


def continuity(root: bytes, e: bytes) -> bytes:
    """Return the 8 bytes that prove a root in an opening (§4)."""
    return mac(label(root, "continuity", b"", 32), e)[:8]


def run_id_of(e: bytes) -> bytes:
    """Return the 4-byte run id of an opening's ephemeral key (R5)."""
    return sha256(b"openline/1 run", e)[:4]


@dataclass
class Run:
    """The receiving state of one run (R8): the next chain key, and keys of indexes skipped."""

    chain: bytes
    next_index: int = 0
    skipped: dict[int, bytes] = field(default_factory=dict)

    def key(self, index: int) -> tuple[bytes, Run]:
        """Return mk(index) and the run as it stands once used; refuses `used-index`."""
        after = Run(self.chain, self.next_index, dict(self.skipped))
        while after.next_index <= index:
            after.skipped[after.next_index] = mac(after.chain, b"\x01")
            after.chain = mac(after.chain, b"\x02")
            after.next_index += 1
        need(index in after.skipped, "used-index")
        return after.skipped.pop(index), after


@dataclass(frozen=True)
class Opened:
    """A datagram that opened: where it stood, what its opening announced if new, what it says."""

    header: Header
    announcement: Announcement | None
    alarm: bool
    inner: bytes


class Receiver:
    """The receiving side of one line: private keys, roots by root id, and runs by run id."""

    def __init__(self, line: Line, identity: bytes, kem_seed: bytes, peer: bytes, taped: bool):
        """Take the line, the own X25519 private key, the own 64-byte ML-KEM seed (d ‖ z), the
        peer's card, and whether the kit holds a page of tape."""
        self.line = line
        self.direction = 3 - line.own_direction
        self.kem = MLKEM1024PrivateKey.from_seed_bytes(kem_seed)
        self.peer = read_card(peer)
        self.taped = taped
        self.keys = {CARD_KEY: X25519PrivateKey.from_private_bytes(identity)}
        self.roots = {ROOT0: line.root0}
        self.confirmed: set[bytes] = set()
        self.announced: set[bytes] = set()
        self.runs: dict[bytes, Run] = {}
        self.dropped: set[bytes] = set()

    def add_key(self, key_id: bytes, private: bytes) -> None:
        """Hold a receive key that an own opening announced."""
        self.keys[key_id] = X25519PrivateKey.from_private_bytes(private)

    def add_root(self, root: bytes) -> bytes:
        """Hold a later root; return its root id."""
        self.roots[root_id_of(root)] = root
        return root_id_of(root)

    def drop(self, run_id: bytes) -> None:
        """Forget a run, but not its run id (R9)."""
        del self.runs[run_id]
        self.dropped.add(run_id)

    def open(self, datagram: bytes) -> Opened:
        """Open a datagram; nothing changes unless its body opens. Raises RefusedError."""
        header = open_header(self.line.header_key(self.direction), datagram)
        need(header.run_id not in self.dropped, "dropped-run")
        run, said = self.runs.get(header.run_id), None
        if run is None:
            need(header.opening is not None, "unknown-run")
            run, said = self._accept(header)
        key, after = run.key(header.index)
        salt, body = datagram[len(header.sent) :][:4], datagram[len(header.sent) + 4 :]
        try:
            inner = AESGCMSIV(key).decrypt(salt + bytes(8), body, header.sent)
        except InvalidTag as wrong:
            raise RefusedError("bad-tag") from wrong
        self.runs[header.run_id] = after
        alarm = said is not None and self._note(header, said)
        return Opened(header, said, alarm, inner)

    def _accept(self, header: Header) -> tuple[Run, Announcement]:
        """The responder's side of Noise Kpsk0 over an opening."""
        op = header.opening
        if op is None:
            raise RefusedError("unknown-run")
        need(header.run_id == run_id_of(op.e), "wrong-run-id")
        need(op.version == 1, "unknown-version")
        root, static = self.roots.get(op.root_id), self.keys.get(op.key_id)
        if root is None:
            raise RefusedError("unknown-root")
        if static is None:
            raise RefusedError("unknown-key")
        need(bool(op.ct) or op.root_id != ROOT0 or self.taped, "light-without-tape")
        shared = self.kem.decapsulate(op.ct) if op.ct else b""
        noise = Noise(
            b"openline/1"
            + self.line.line_id
            + bytes([self.direction, op.version])
            + op.root_id
            + op.key_id
            + op.ct
        )
        noise.mix_hash(self.peer.identity)
        noise.mix_hash(static.public_key().public_bytes_raw())
        noise.mix_key_and_hash(label(extract(root, shared), "psk", b"", 32))
        noise.mix_hash(op.e)
        noise.mix_key(op.e)
        noise.mix_key(agree(static, op.e, "bad-opening"))
        noise.mix_key(agree(static, self.peer.identity, "bad-opening"))
        said = read_announcement(noise.decrypt(op.sealed))
        agree(static, said.key, "bad-opening")
        return Run(noise.split()), said

    def _note(self, header: Header, said: Announcement) -> bool:
        """Note key and root that the peer showed; return whether R14 raises the alarm."""
        op, new = header.opening, said.key not in self.announced
        self.announced.add(said.key)
        if op is None or op.root_id != ROOT0:
            if op is not None:
                self.confirmed.add(op.root_id)
            return False
        later = [root for root_id, root in self.roots.items() if root_id != ROOT0]
        fits = any(hmac.compare_digest(continuity(r, op.e), said.continuity) for r in later)
        return bool(self.confirmed) and not fits and new


def root_id_of(root: bytes) -> bytes:
    """Return the root id of a later root (§9)."""
    found = label(root, "root id", b"", 2)
    return found if found != ROOT0 else b"\0\1"


def rekey(base: bytes, shared: bytes, page: bytes, offer: bytes, answer: bytes) -> bytes:
    """Derive a new root from its base, the ML-KEM shared secret, the tape page or b"", and the
    bodies of OFFER and ANSWER (§9)."""
    return label(extract(base, shared + page), "root", sha256(offer) + sha256(answer), 32)


def tcp_call(bearer_key: bytes, direction: int, nonce: bytes) -> bytes:
    """Return the first 32 bytes of a caller; `direction` is the caller's own."""
    return nonce + mac(bearer_key, b"c", bytes([direction]), nonce)[:16]


def tcp_answer(bearer_key: bytes, nonce: bytes, own: bytes) -> bytes:
    """Return the 32 bytes that answer a call."""
    return own + mac(bearer_key, b"s", nonce, own)[:16]


def tcp_confirm(bearer_key: bytes, nonce: bytes, answered: bytes) -> bytes:
    """Return the last 16 bytes of a caller."""
    return mac(bearer_key, b"k", nonce, answered)[:16]


def tcp_frames(stream: bytes) -> list[bytes]:
    """Cut a stream into datagrams, keep-alives left out; refuses `tcp-length`, `truncated`."""
    at, found = Cursor(stream), []
    while at.left:
        size = at.number(2)
        need(size <= DATAGRAM_MAX, "tcp-length")
        if size:
            found.append(at.take(size))
    return found
