"""A device that keeps passkeys, made of pyca cryptography: the browser's side of WebAuthn in tests.

It does what a browser and an authenticator do together: checks that a page of that host may ask,
makes keys, signs, counts. What a hostile one would do is in its arguments.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40


def text(octets: bytes) -> str:
    """Bytes as WebAuthn writes them into JSON."""
    return urlsafe_b64encode(octets).rstrip(b"=").decode()


def octets(said: str) -> bytes:
    """The reverse of `text`."""
    return urlsafe_b64decode(said + "=" * (-len(said) % 4))


def cbor(value: object) -> bytes:
    """The little of CBOR (RFC 8949) that an attestation needs."""
    if isinstance(value, dict):
        pairs = b"".join(cbor(name) + cbor(each) for name, each in value.items())
        return _head(5, len(value)) + pairs
    if isinstance(value, str):
        return _head(3, len(value.encode())) + value.encode()
    if isinstance(value, bytes):
        return _head(2, len(value)) + value
    assert isinstance(value, int)
    return _head(0, value) if value >= 0 else _head(1, -1 - value)


def _head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes([major << 5 | number])
    if number < 256:
        return bytes([major << 5 | 24, number])
    return bytes([major << 5 | 25]) + number.to_bytes(2, "big")


@dataclass
class Device:
    """One device in the browser of pages at `origin`."""

    origin: str = "http://desk.localhost:8470"
    flags: int = PRESENT | VERIFIED
    counts: bool = True
    signed: int = 0
    keys: dict[bytes, ec.EllipticCurvePrivateKey] = field(default_factory=dict)

    def create(self, options: dict[str, Any], fmt: str = "none") -> str:
        """A new passkey, as JSON."""
        key = ec.generate_private_key(ec.SECP256R1())
        ident = sha256(str(key.private_numbers().private_value).encode()).digest()
        self.keys[ident] = key
        point = key.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1}
        public = cbor({**cose, -2: point.x.to_bytes(32, "big"), -3: point.y.to_bytes(32, "big")})
        held = bytes(16) + len(ident).to_bytes(2, "big") + ident + public
        data = self._data(options["rp"]["id"], ATTESTED) + held
        client = self._client("webauthn.create", options)
        attestation = cbor({"fmt": fmt, "attStmt": {}, "authData": data})
        response = {"clientDataJSON": text(client), "attestationObject": text(attestation)}
        return self._answer(ident, response)

    def get(self, options: dict[str, Any], ident: bytes | None = None) -> str:
        """A signature with one of the passkeys that are allowed, or with any, as JSON."""
        allowed = [octets(each["id"]) for each in options["allowCredentials"]] or [*self.keys]
        ident = ident or next(each for each in allowed if each in self.keys)
        self.signed += self.counts
        data = self._data(options["rpId"], 0)
        client = self._client("webauthn.get", options)
        signature = self.keys[ident].sign(data + sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        response = {
            "clientDataJSON": text(client),
            "authenticatorData": text(data),
            "signature": text(signature),
        }
        return self._answer(ident, response)

    def _data(self, at: str, more: int) -> bytes:
        assert at == urlsplit(self.origin).hostname
        flags = bytes([self.flags | more])
        return sha256(at.encode()).digest() + flags + self.signed.to_bytes(4, "big")

    def _client(self, kind: str, options: dict[str, Any]) -> bytes:
        told = {"type": kind, "challenge": options["challenge"], "origin": self.origin}
        return json.dumps({**told, "crossOrigin": False}).encode()

    def _answer(self, ident: bytes, response: dict[str, str]) -> str:
        name = text(ident)
        more = {"authenticatorAttachment": "platform", "clientExtensionResults": {}}
        return json.dumps(
            {"id": name, "rawId": name, "type": "public-key", "response": response, **more}
        )
