"""Identities, cards and the kit: what is made once (docs/protocol.md §2, §3).

Theory of operation: an identity is a party's private keys; its card is what the other side is
given; two cards, one Diffie–Hellman and page 0 of a tape make the kit, from which every permanent
secret of the line is derived under its own label. Nothing here seals.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import (
    MLKEM1024PrivateKey,
    MLKEM1024PublicKey,
)
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from ..errors import LocalError, SealError
from .noise import exchange, mac

MAGIC = b"OL\x01"
CARD_BYTES = 3 + 32 + 1568 + 32
Entropy = Callable[[int], bytes]


def extract(salt: bytes, material: bytes) -> bytes:
    """HKDF-Extract with SHA-256 (RFC 5869)."""
    return mac(salt, material)


def label(key: bytes, name: str, context: bytes = b"", count: int = 32) -> bytes:
    """LABEL of the protocol: HKDF-Expand under a name of ours; `count` ≤ 64 bytes."""
    info = b"openline/1 " + name.encode() + b"\0" + context
    first = mac(key, info + b"\x01")
    return (first + mac(key, first + info + b"\x02") if count > 32 else first)[:count]


@dataclass(frozen=True)
class Identity:
    """A party's private keys: X25519, ML-KEM-1024 seed, and the disclosure keys (Ed25519, ML-DSA-65
    seed)."""

    agreement: bytes
    kem: bytes
    ed25519: bytes
    mldsa: bytes

    @classmethod
    def new(cls, entropy: Entropy) -> Identity:
        """Fresh keys."""
        return cls(entropy(32), entropy(64), entropy(32), entropy(32))

    def encode(self) -> bytes:
        """160 bytes, secret."""
        return self.agreement + self.kem + self.ed25519 + self.mldsa

    @classmethod
    def decode(cls, data: bytes) -> Identity:
        """The reverse of `encode`."""
        return cls(data[:32], data[32:96], data[96:128], data[128:160])

    @cached_property
    def agreement_key(self) -> X25519PrivateKey:
        """The X25519 key."""
        return X25519PrivateKey.from_private_bytes(self.agreement)

    @cached_property
    def kem_key(self) -> MLKEM1024PrivateKey:
        """The ML-KEM-1024 key."""
        return MLKEM1024PrivateKey.from_seed_bytes(self.kem)

    @cached_property
    def card(self) -> bytes:
        """The card: 1,635 bytes, public."""
        ed25519 = Ed25519PrivateKey.from_private_bytes(self.ed25519).public_key()
        mldsa = MLDSA65PrivateKey.from_seed_bytes(self.mldsa).public_key()
        disclosure = sha256(ed25519.public_bytes_raw() + mldsa.public_bytes_raw()).digest()
        agreement = self.agreement_key.public_key().public_bytes_raw()
        return MAGIC + agreement + self.kem_key.public_key().public_bytes_raw() + disclosure


class Card(NamedTuple):
    """The other side's card, read."""

    identity: bytes
    kem: bytes
    data: bytes

    @classmethod
    def decode(cls, data: bytes) -> Card:
        """Read a card; raises LocalError (R2)."""
        if data[:3] != MAGIC:
            raise LocalError("enrolment.not_a_card")
        if len(data) != CARD_BYTES:
            raise LocalError("enrolment.truncated_card", bytes=len(data), bytes_right=CARD_BYTES)
        try:
            MLKEM1024PublicKey.from_public_bytes(data[35:1603])
        except ValueError:
            raise LocalError("enrolment.damaged_card") from None
        return cls(data[3:35], data[35:1603], data)


@dataclass(frozen=True)
class Kit:
    """The permanent secrets of a line from one side's point of view; the only thing ever backed up
    of a line."""

    secret: bytes
    identity: Identity
    peer: Card
    tape: bool
    """Whether page 0 of a tape went in; if not, openings on the permanent root carry ML-KEM."""

    @classmethod
    def make(cls, identity: Identity, peer: Card, page0: bytes) -> Kit:
        """Derive the kit; raises LocalError for our own card or a card of low order."""
        if peer.data == identity.card or peer.identity == identity.card[3:35]:
            raise LocalError("enrolment.own_card")
        try:
            shared = exchange(identity.agreement_key, peer.identity)
        except SealError:
            raise LocalError("enrolment.damaged_card") from None
        hashes = sorted(sha256(card).digest() for card in (identity.card, peer.data))
        return cls(extract(b"".join(hashes), shared + page0), identity, peer, bool(page0))

    @cached_property
    def first(self) -> bool:
        """Whether we are the first party."""
        return sha256(self.identity.card).digest() < sha256(self.peer.data).digest()

    @property
    def direction(self) -> int:
        """The direction we send in: 1 or 2."""
        return 1 if self.first else 2

    @cached_property
    def line_id(self) -> bytes:
        """16 bytes that both sides share and no one else knows."""
        return label(self.secret, "line", count=16)

    @cached_property
    def root(self) -> bytes:
        """The permanent root, root0."""
        return label(self.secret, "root")

    def header_key(self, direction: int) -> bytes:
        """AES-256-SIV key of a direction; 64 bytes."""
        return label(self.secret, "header", bytes((direction,)), 64)

    def genesis(self, direction: int) -> bytes:
        """head(0) of the chain of records that travel in a direction."""
        return label(self.secret, "chain", bytes((direction,)))
