"""Facts: our one Noise message is the pattern of the specification.

The numbers are those of the public cacophony vector for Noise_Kpsk0_25519_ChaChaPoly_SHA256.
"""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from openline.errors import SealError
from openline.sealing.noise import exchange, hkdf, mac, read, write

PROLOGUE = bytes.fromhex("4a6f686e2047616c74")
PSK = bytes.fromhex("54686973206973206d7920417573747269616e20706572737065637469766521")
SENDER = "e61ef9919cde45dd5f82166404bd08e38bceb5dfdfded0a34c8df7ed542214d1"
EPHEMERAL = "893e28b9dc6ca8d611ab664754b8ceb7bac5117349a4439a6b0569da977c464a"
RECIPIENT = "4a3acbfdb163dec651dfa3194dece676d437029c62a408b4c5ea9114246e4893"
RECIPIENT_PUBLIC = "31e0303fd6418d2f8c0e78b91f22e8caed0fbe48656dcf4767e4834f701b8f62"
SENDER_PUBLIC = "6bc3822a2aa7f4e6981d6538692b3cdf3e6df9eea6ed269eb41d93c22757b75a"
PAYLOAD = bytes.fromhex("4c756477696720766f6e204d69736573")
MESSAGE = (
    "ca35def5ae56cec33dc2036731ab14896bc4c75dbb07a61f879f8e3afa4c7944"
    "62220de7094395cf11c9932009e93db1b1a0748fd7470e3cc6337704c570a3bd"
)
TRANSPORT = [
    (
        "4d757272617920526f746862617264",
        "e58f970199cd1f1960db5b4e46366dd4f559dafc77527b5d54a84e13ab065f",
    ),
    ("462e20412e20486179656b", "c76f3ab18b33d2fa9399971645c64875f1ec914e27fed87642b8d0"),
    ("4361726c204d656e676572", "28e6ede0429bdb33b70c7269882966622fbf05bfd89a78b6f8357b"),
    (
        "4a65616e2d426170746973746520536179",
        "05544f46581ef97af509b7777cb3083f8436bb6750997a0576494738d804bf0c9d",
    ),
    (
        "457567656e2042f6686d20766f6e2042617765726b",
        "ae9dd40828710604050329b71b2d054d0b785c51c4eeeaf052edee0790a2987b58b5b2734a",
    ),
]


def private(data: str) -> X25519PrivateKey:
    return X25519PrivateKey.from_private_bytes(bytes.fromhex(data))


def written() -> tuple[bytes, bytes]:
    recipient = bytes.fromhex(RECIPIENT_PUBLIC)
    return write(PROLOGUE, PSK, private(SENDER), private(EPHEMERAL), recipient, PAYLOAD)


def test_the_sender_writes_the_vector() -> None:
    message, _ = written()
    assert message.hex() == MESSAGE


def test_the_recipient_reads_the_vector() -> None:
    sender = bytes.fromhex(SENDER_PUBLIC)
    payload, key = read(PROLOGUE, PSK, private(RECIPIENT), sender, bytes.fromhex(MESSAGE))
    assert payload == PAYLOAD
    assert key == written()[1]


def test_the_first_key_of_split_opens_the_transport_messages() -> None:
    cipher = ChaCha20Poly1305(written()[1])
    for number, (payload, sealed) in enumerate(TRANSPORT):
        nonce = bytes(4) + number.to_bytes(8, "little")
        assert cipher.decrypt(nonce, bytes.fromhex(sealed), b"").hex() == payload


@pytest.mark.parametrize("at", [0, 31, 32, 47, 63])
def test_no_byte_of_the_message_can_be_changed(at: int) -> None:
    spoiled = bytearray.fromhex(MESSAGE)
    spoiled[at] ^= 1
    with pytest.raises(SealError):
        read(PROLOGUE, PSK, private(RECIPIENT), bytes.fromhex(SENDER_PUBLIC), bytes(spoiled))


@pytest.mark.parametrize("what", ["prologue", "psk", "sender", "recipient"])
def test_what_is_mixed_in_must_be_the_same(what: str) -> None:
    with pytest.raises(SealError):
        read(
            PROLOGUE + b"!" if what == "prologue" else PROLOGUE,
            bytes(32) if what == "psk" else PSK,
            private(EPHEMERAL if what == "recipient" else RECIPIENT),
            bytes.fromhex(RECIPIENT_PUBLIC if what == "sender" else SENDER_PUBLIC),
            bytes.fromhex(MESSAGE),
        )


@pytest.mark.parametrize("public", [bytes(32), b"\1" + bytes(31), b"\xec" + b"\xff" * 30 + b"\x7f"])
def test_keys_of_low_order_are_refused(public: bytes) -> None:
    with pytest.raises(SealError):
        exchange(private(SENDER), public)


def test_hkdf_of_noise_is_that_of_rfc_5869() -> None:
    first, second = hkdf(b"salt", b"material", 2)
    prk = mac(b"salt", b"material")
    assert first == mac(prk, b"\x01")
    assert second == mac(prk, first + b"\x02")
