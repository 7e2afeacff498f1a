"""One message of Noise_Kpsk0_25519_ChaChaPoly_SHA256 (Noise revision 34), nothing more of it.

Theory of operation: K is the one-way pattern in which both static keys are known beforehand; psk0
mixes the root in first. Both parties compute the same symmetric state; the sender's message is its
ephemeral key and the sealed payload. Names follow the specification.
"""

from __future__ import annotations

import hmac
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from ..errors import SealError

PROTOCOL = b"Noise_Kpsk0_25519_ChaChaPoly_SHA256"
_FIRST_NONCE = bytes(12)


def mac(key: bytes, data: bytes) -> bytes:
    """HMAC-SHA-256."""
    return hmac.digest(key, data, "sha256")


def hkdf(chaining_key: bytes, material: bytes, outputs: int) -> list[bytes]:
    """HKDF as Noise defines it: `outputs` (2 or 3) blocks of 32 bytes."""
    temporary = mac(chaining_key, material)
    blocks: list[bytes] = []
    block = b""
    for count in range(1, outputs + 1):
        block = mac(temporary, block + bytes((count,)))
        blocks.append(block)
    return blocks


def exchange(private: X25519PrivateKey, public: bytes) -> bytes:
    """X25519; raises SealError for a public key of low order."""
    try:
        return private.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        raise SealError from None


class _Symmetric:
    """SymmetricState up to the one payload of the pattern."""

    def __init__(self, prologue: bytes, sender: bytes, recipient: bytes, psk: bytes) -> None:
        self.h = self.ck = sha256(PROTOCOL).digest()
        self.k = b""
        for part in (prologue, sender, recipient):
            self.mix_hash(part)
        self.ck, temporary, self.k = hkdf(self.ck, psk, 3)
        self.mix_hash(temporary)

    def mix_hash(self, data: bytes) -> None:
        self.h = sha256(self.h + data).digest()

    def mix_key(self, material: bytes) -> None:
        self.ck, self.k = hkdf(self.ck, material, 2)

    def mix_ephemeral(self, public: bytes) -> None:
        self.mix_hash(public)
        self.mix_key(public)

    def split(self) -> bytes:
        return hkdf(self.ck, b"", 2)[0]


def write(
    prologue: bytes,
    psk: bytes,
    own: X25519PrivateKey,
    ephemeral: X25519PrivateKey,
    peer: bytes,
    payload: bytes,
) -> tuple[bytes, bytes]:
    """The sender's side: (message = e ‖ sealed payload, first transport key)."""
    public = ephemeral.public_key().public_bytes_raw()
    state = _Symmetric(prologue, own.public_key().public_bytes_raw(), peer, psk)
    state.mix_ephemeral(public)
    state.mix_key(exchange(ephemeral, peer))
    state.mix_key(exchange(own, peer))
    sealed = ChaCha20Poly1305(state.k).encrypt(_FIRST_NONCE, payload, state.h)
    return public + sealed, state.split()


def read(
    prologue: bytes, psk: bytes, own: X25519PrivateKey, peer: bytes, message: bytes
) -> tuple[bytes, bytes]:
    """The recipient's side: (payload, first transport key); raises SealError."""
    public, sealed = message[:32], message[32:]
    state = _Symmetric(prologue, peer, own.public_key().public_bytes_raw(), psk)
    state.mix_ephemeral(public)
    state.mix_key(exchange(own, public))
    state.mix_key(exchange(own, peer))
    try:
        payload = ChaCha20Poly1305(state.k).decrypt(_FIRST_NONCE, sealed, state.h)
    except InvalidTag:
        raise SealError from None
    return payload, state.split()
