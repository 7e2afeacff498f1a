"""Facts: the reader opens what an encoder written here, apart from it, has sealed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.mlkem import (
    MLKEM1024PrivateKey,
    MLKEM1024PublicKey,
)
from cryptography.hazmat.primitives.asymmetric.x25519 import (
    X25519PrivateKey,
    X25519PublicKey,
)
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV, AESSIV, ChaCha20Poly1305
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from . import reader
from .wire import RefusedError

PAGE = bytes(range(32))
TIME = 1_790_000_000


def hkdf(salt: bytes, ikm: bytes, info: bytes, size: int) -> bytes:
    """HKDF by the library, both halves at once."""
    return HKDF(hashes.SHA256(), size, salt, info).derive(ikm)


def hmac256(key: bytes, data: bytes) -> bytes:
    """HMAC-SHA-256 by the library."""
    machine = HMAC(key, hashes.SHA256())
    machine.update(data)
    return machine.finalize()


def sha(data: bytes) -> bytes:
    """SHA-256."""
    return hashlib.sha256(data).digest()


@dataclass
class Party:
    """A party of the tests, its keys made from one byte."""

    seed: int
    identity: bytes = field(init=False)
    kem_seed: bytes = field(init=False)
    card: bytes = field(init=False)

    def __post_init__(self) -> None:
        """Make keys and card."""
        self.identity = sha(b"identity" + bytes([self.seed]))
        self.kem_seed = sha(b"d" + bytes([self.seed])) + sha(b"z" + bytes([self.seed]))
        kem = MLKEM1024PrivateKey.from_seed_bytes(self.kem_seed).public_key()
        public = X25519PrivateKey.from_private_bytes(self.identity).public_key()
        self.card = (
            b"OL\x01" + public.public_bytes_raw() + kem.public_bytes_raw() + sha(b"disclosure")
        )


A, B, M = Party(1), Party(2), Party(3)


def dh(private: bytes, public: bytes) -> bytes:
    """X25519."""
    return X25519PrivateKey.from_private_bytes(private).exchange(
        X25519PublicKey.from_public_bytes(public)
    )


class Sender:
    """One run from A to B, sealed step by step as §4 reads, by other means than the reader's."""

    def __init__(
        self,
        page0: bytes = PAGE,
        root: bytes | None = None,
        to_key: tuple[bytes, bytes] | None = None,
        full: bool = False,
        continuity: bytes = bytes(8),
        announces: bytes = M.card[3:35],
        spoil: str = "",
    ) -> None:
        """Make a run; `root` is a later root, `to_key` a receive key (id, public)."""
        hs = sorted([sha(A.card), sha(B.card)])
        self.direction = 1 if sha(A.card) == hs[0] else 2
        salt, ikm = hs[0] + hs[1], dh(A.identity, B.card[3:35]) + page0
        d = bytes([self.direction])
        self.hk = hkdf(salt, ikm, b"openline/1 header\0" + d, 64)
        line_id = hkdf(salt, ikm, b"openline/1 line\0", 16)
        used = root or hkdf(salt, ikm, b"openline/1 root\0", 32)
        root_id = bytes(2) if root is None else reader.root_id_of(root)
        key_id, static = to_key or (bytes(2), B.card[3:35])
        shared = self.ct = b""
        if full:
            shared, self.ct = MLKEM1024PublicKey.from_public_bytes(B.card[35:1603]).encapsulate()
        e = sha(b"ephemeral" + repr((page0, root, to_key, full, announces)).encode())
        e_public = X25519PrivateKey.from_private_bytes(e).public_key().public_bytes_raw()
        version = b"\x02" if spoil == "unknown-version" else b"\x01"
        h = sha(b"Noise_Kpsk0_25519_ChaChaPoly_SHA256")
        ck = h
        h = sha(h + b"openline/1" + line_id + d + version + root_id + key_id + self.ct)
        h = sha(sha(h + A.card[3:35]) + static)
        psk = hkdf(used, shared, b"openline/1 psk\0", 32)
        three = hkdf(ck, psk, b"", 96)
        ck, h = three[:32], sha(sha(h + three[32:64]) + e_public)
        ck = hkdf(ck, e_public, b"", 64)[:32]
        ck = hkdf(ck, dh(e, static), b"", 64)[:32]
        two = hkdf(ck, dh(A.identity, static), b"", 64)
        new_id = bytes(2) if spoil == "bad-payload" else b"\x12\x34"
        said = b"\x01" + TIME.to_bytes(4, "big") + continuity + bytes(4) + new_id + announces
        sealed = ChaCha20Poly1305(two[32:]).encrypt(bytes(12), said, h)
        self.chain = hkdf(two[:32], b"", b"", 64)[:32]
        self.run_id = sha(b"openline/1 run" + e_public)[:4]
        if spoil == "wrong-run-id":
            self.run_id = b"\xff\xff\xff\xff"
        self.e = e_public
        self.opening = version + root_id + key_id + e_public + sealed
        if spoil == "bad-opening":
            self.opening = self.opening[:-1] + bytes([self.opening[-1] ^ 1])

    def seal(
        self, index: int, inner: bytes, opening: bool = True, kind: int | None = None
    ) -> bytes:
        """Seal an inner under an index, with the opening or without."""
        chain = self.chain
        for _ in range(index):
            chain = hmac256(chain, b"\x02")
        rest = self.opening + self.ct if opening else b""
        if kind is None:
            kind = (2 if self.ct else 1) if opening else 0
        selector = self.run_id + (kind << 12 | index).to_bytes(2, "big")
        salt = sha(selector)[:4]
        header = AESSIV(self.hk).encrypt(selector + rest, [salt])
        body = AESGCMSIV(hmac256(chain, b"\x01")).encrypt(salt + bytes(8), inner, header)
        return header + salt + body


def receiver(page0: bytes = PAGE, peer: Party = A) -> reader.Receiver:
    """B's receiving side, paired with the peer's card."""
    line = reader.pair(B.identity, B.card, peer.card, page0)
    return reader.Receiver(line, B.identity, B.kem_seed, peer.card, bool(page0))


def refusal(held: reader.Receiver, datagram: bytes) -> str:
    """The reason for which a receiver refuses a datagram."""
    with pytest.raises(RefusedError) as raised:
        held.open(datagram)
    return raised.value.reason


def test_words_spell_the_first_144_bits_of_the_card_hash() -> None:
    consonants = ["b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "ch", "sh"]
    bits = ""
    for word in reader.words(A.card):
        at = word
        for _ in range(2):
            c = next(c for c in reversed(consonants) if at.startswith(c))
            v = at[len(c)]
            bits += f"{consonants.index(c):04b}{'aiou'.index(v):02b}"
            at = at[len(c) + 1 :]
        assert at == ""
    assert int(bits, 2).to_bytes(18, "big") == sha(A.card)[:18]


def test_wrong_word_is_named_by_its_position() -> None:
    heard = reader.words(A.card)
    assert reader.first_wrong_word(A.card, [word.upper() for word in heard]) is None
    assert reader.first_wrong_word(A.card, [*heard[:6], "baba", *heard[7:]]) == 7
    assert reader.first_wrong_word(A.card, heard[:11]) == 12
    assert reader.first_wrong_word(A.card, [*heard, "baba"]) == 13


def test_new_root_binds_base_secret_page_and_both_bodies() -> None:
    made = reader.rekey(b"b" * 32, b"s" * 32, PAGE, b"offer", b"answer")
    info = b"openline/1 root\0" + sha(b"offer") + sha(b"answer")
    assert made == hkdf(b"b" * 32, b"s" * 32 + PAGE, info, 32)


def test_both_sides_derive_the_same_line() -> None:
    ours = reader.pair(A.identity, A.card, B.card, PAGE)
    theirs = reader.pair(B.identity, B.card, A.card, PAGE)
    assert ours.kit == theirs.kit
    assert {ours.own_direction, theirs.own_direction} == {1, 2}
    assert reader.pair(A.identity, A.card, B.card).kit != ours.kit


@pytest.mark.parametrize(
    ("card", "reason"),
    [
        (A.card[:-1], "card-length"),
        (b"OL\x02" + A.card[3:], "card-magic"),
        (A.card[:35] + b"\xff" * 1568 + A.card[1603:], "card-key"),
        (A.card[:3] + bytes(32) + A.card[35:], "card-key"),
        (B.card, "card-own"),
    ],
)
def test_bad_card_is_refused(card: bytes, reason: str) -> None:
    with pytest.raises(RefusedError) as raised:
        reader.pair(B.identity, B.card, card, PAGE)
    assert raised.value.reason == reason


def test_light_opening_with_a_tape_opens_and_announces() -> None:
    sender, held = Sender(), receiver()
    first = sender.seal(0, b"\0\0inner")
    assert len(first) == 126 + 4 + 7 + 16
    opened = held.open(first)
    assert opened.inner == b"\0\0inner"
    assert opened.header.kind == 1
    assert opened.announcement is not None
    assert (opened.announcement.time, opened.announcement.key_id) == (TIME, b"\x12\x34")
    plain = sender.seal(1, b"more", opening=False)
    assert len(plain) == 22 + 4 + 4 + 16
    assert held.open(plain).inner == b"more"


def test_full_opening_by_cards_alone_opens() -> None:
    sender, held = Sender(b"", full=True), receiver(b"")
    datagram = sender.seal(0, b"by cards")
    assert len(datagram) == 1694 + 4 + 8 + 16
    opened = held.open(datagram)
    assert (opened.header.kind, opened.inner) == (2, b"by cards")


def test_later_datagram_opens_the_run_and_earlier_ones_still_open_once() -> None:
    sender, held = Sender(), receiver()
    assert held.open(sender.seal(5, b"five")).inner == b"five"
    assert held.open(sender.seal(2, b"two", opening=False)).inner == b"two"
    assert refusal(held, sender.seal(2, b"two", opening=False)) == "used-index"
    assert refusal(held, sender.seal(5, b"five")) == "used-index"
    assert held.open(sender.seal(4095, b"last", opening=False)).inner == b"last"


def test_a_false_body_changes_nothing() -> None:
    sender, held = Sender(), receiver()
    good = sender.seal(9, b"nine")
    assert refusal(held, good[:-1] + bytes([good[-1] ^ 1])) == "bad-tag"
    assert held.runs == {}
    assert held.open(good).inner == b"nine"


def test_opening_to_a_receive_key_on_a_later_root_opens() -> None:
    private = sha(b"receive key")
    public = X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()
    root = reader.rekey(sha(b"base"), sha(b"shared"), PAGE, b"offer", b"answer")
    sender, held = Sender(root=root, to_key=(b"\x00\x07", public)), receiver()
    datagram = sender.seal(0, b"new root")
    assert refusal(held, datagram) == "unknown-root"
    held.add_root(root)
    assert refusal(held, datagram) == "unknown-key"
    held.add_key(b"\x00\x07", private)
    assert held.open(datagram).alarm is False
    assert held.open(Sender().seal(0, b"a key announced before")).alarm is False
    assert held.open(Sender(announces=B.card[3:35]).seal(0, b"another")).alarm is True


def test_continuity_of_a_held_root_raises_no_alarm() -> None:
    root = sha(b"later root")
    held = receiver()
    held.confirmed.add(held.add_root(root))
    proof = hmac256(hkdf_expand(root, b"openline/1 continuity\0"), Sender().e)[:8]
    assert held.open(Sender(continuity=proof).seal(0, b"")).alarm is False


def hkdf_expand(prk: bytes, info: bytes) -> bytes:
    """One block of HKDF-Expand."""
    return hmac256(prk, info + b"\x01")


@pytest.mark.parametrize("spoil", ["wrong-run-id", "unknown-version", "bad-opening", "bad-payload"])
def test_spoiled_opening_is_refused_by_name(spoil: str) -> None:
    held = receiver()
    assert refusal(held, Sender(spoil=spoil).seal(0, b"x")) == spoil
    assert held.runs == {}


def test_light_opening_without_a_tape_is_refused() -> None:
    assert refusal(receiver(b""), Sender(b"").seal(0, b"x")) == "light-without-tape"


def test_foreign_and_unreadable_datagrams_are_told_apart() -> None:
    sender, held = Sender(), receiver()
    good = sender.seal(0, b"x")
    assert refusal(held, good[:41]) == "foreign"
    assert refusal(held, good + bytes(4097 - len(good))) == "foreign"
    assert refusal(held, bytes([good[0] ^ 1]) + good[1:]) == "foreign"
    assert refusal(held, sender.seal(0, b"x", opening=False)) == "unknown-run"
    assert refusal(held, sender.seal(0, b"x", kind=2)) == "kind-mismatch"
    held.open(good)
    held.drop(sender.run_id)
    assert refusal(held, sender.seal(1, b"y")) == "dropped-run"


def test_man_in_the_middle_has_other_words_and_opens_nothing() -> None:
    assert reader.first_wrong_word(M.card, reader.words(A.card)) is not None
    between = receiver(peer=M)
    assert between.line.kit != receiver().line.kit
    assert refusal(between, Sender().seal(0, b"secret")) == "foreign"
    attacker = reader.Receiver(
        reader.pair(M.identity, M.card, A.card, PAGE), M.identity, M.kem_seed, A.card, True
    )
    assert refusal(attacker, Sender().seal(0, b"secret")) == "foreign"


def test_mailbox_and_handshake_are_what_the_document_says() -> None:
    line = reader.pair(A.identity, A.card, B.card, PAGE)
    take, deposit, name = line.mailbox(2, 7)
    context = b"\0\x02\0\0\0\x07"
    assert take == hkdf_expand(line.kit, b"openline/1 take" + context)
    assert deposit == hkdf_expand(line.kit, b"openline/1 deposit" + context)
    assert name == sha(b"openline/1 mailbox" + sha(take) + sha(deposit)).hex()
    ours, theirs = bytes(16), b"\1" * 16
    key = line.bearer_key
    assert reader.tcp_call(key, 2, ours) == ours + hmac256(key, b"c\x02" + ours)[:16]
    assert reader.tcp_answer(key, ours, theirs)[16:] == hmac256(key, b"s" + ours + theirs)[:16]
    assert reader.tcp_confirm(key, ours, theirs) == hmac256(key, b"k" + ours + theirs)[:16]
    assert reader.tcp_frames(b"\0\0\0\2ab\0\0") == [b"ab"]
    with pytest.raises(RefusedError, match="tcp-length"):
        reader.tcp_frames(b"\x10\x01")
