"""Make the vectors anew: `python -m tests.vectors.make` writes tests/vectors/*.json, and with names
behind it these alone.

Theory of operation: production code does everything, with entropy from seeded generators, and its
own reading of the result is what a vector expects. What is made can be made again, but not byte for
byte: ML-KEM encapsulation draws its randomness inside the library, so openings without tape, OFFER
and ANSWER and all that depends on them differ each time. The committed files are one making; tests
hold production and the independent reader against them, never against a new making.
"""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from openline import enrolment
from openline.core import receipts
from openline.core.compression import DICTIONARIES
from openline.core.envelope import Frame, encode_frames, svarint, varint
from openline.core.events import Serial
from openline.core.precedence import Precedence
from openline.sealing.roots import PERMANENT, Roots

from .carried import CARRIED
from .files import given_chains
from .scribe import ATTACKER, NOW, PAGE0, A, B, Party, Scribe, raw_record, receipt_fields
from .talks import TALKS
from .witness import Json, same_refusal, single

FOLDER = Path(__file__).parent
CENTURY_S = 3_162_240_000


def vector(name: str, what: str, about: str, given: Json, refused: str | None = None) -> Json:
    """A vector that is no conversation, with what production reads in it."""
    made = {"name": name, "what": what, "about": about, "given": given}
    found = single(made)
    if refused is None:
        if isinstance(found, dict) and "refused" in found:
            raise AssertionError(f"{name}: {found}")
        return made if found is None else made | {"expected": found}
    if not same_refusal(refused, found.pop("refused", "none")):
        raise AssertionError(f"{name}: {refused} expected, not {found}")
    return made | {"refused": refused} | ({"expected": found} if found else {})


def varints() -> Json:
    """Both sides of every border, and forms that are not the shortest."""
    values = [0, 1, 63, 64, 16383, 16384, 2**30 - 1, 2**30, 2**60, 2**62 - 1]
    cases: list[list[Any]] = [[varint(value).hex(), value] for value in values]
    longer = ["4000", "403f", "80000040", "80003fff", "c000000000004000", "c00000003fffffff"]
    cases += [[data, "varint-not-shortest"] for data in longer]
    cases += [[data, "truncated"] for data in ("", "40", "800000", "c0000000000000")]
    cases.append(["2525", "surplus"])
    what = "Varints in their shortest form are read, longer forms are refused."
    return vector("varint", what, "varint", {"cases": cases})


def cards() -> list[Json]:
    """Cards that are good, cards that are none, words that differ."""
    card, words = A.card, list(enrolment.words(A.card))
    upper = [word.upper() for word in words]
    wrong = [*words[:6], "baba", *words[7:]]
    told = [
        ("card", "A card and its twelve words, heard in capitals.", card, upper, None),
        ("card-other", "Another card, whose words nobody has said yet.", B.card, None, None),
        ("card-length", "A card cut short.", card[:-1], None, "card-length"),
        ("card-magic", "A card of another version.", b"OL\x02" + card[3:], None, "card-magic"),
        (
            *("card-kem", "A card whose ML-KEM key fails the check of its modulus."),
            *(card[:35] + b"\xff" * 1568 + card[1603:], None, "card-key"),
        ),
        ("card-wrong-word", "The seventh word heard is another.", card, wrong, "words-differ"),
        (
            *("card-man-in-the-middle", "The attacker's card; the words heard are the true ones."),
            *(ATTACKER.card, list(enrolment.words(B.card)), "words-differ"),
        ),
    ]
    return [
        vector(name, what, "card", {"card": data.hex(), "heard": heard}, refused)
        for name, what, data, heard, refused in told
    ]


def lines() -> list[Json]:
    """Both parties of a line, by tape and by cards; cards that make none."""

    def given(own: Party, peer: bytes, page0: bytes) -> Json:
        return {
            "identity": own.identity.agreement.hex(),
            "own_card": own.card.hex(),
            "peer_card": peer.hex(),
            "page0": page0.hex(),
            "epochs": [0, 1, 2**32 - 1],
        }

    low = B.card[:3] + bytes(32) + B.card[35:]
    ours = A.card[:35] + B.card[35:]
    told = [
        ("line-tape-a", "The line of A with B by tape, from A's side.", (A, B.card, PAGE0), None),
        ("line-tape-b", "The line of A with B by tape, from B's side.", (B, A.card, PAGE0), None),
        ("line-cards-a", "By cards alone, from A's side.", (A, B.card, b""), None),
        ("line-cards-b", "By cards alone, from B's side.", (B, A.card, b""), None),
        ("line-own-card", "One's own card.", (A, A.card, PAGE0), "card-own"),
        ("line-own-identity", "A card with one's own identity.", (A, ours, PAGE0), "card-own"),
        ("line-low-order", "A card whose X25519 key is zero.", (A, low, PAGE0), "card-key"),
    ]
    return [vector(name, what, "line", given(*of), refused) for name, what, of, refused in told]


def inners() -> list[Json]:
    """Frames one by one: what ends the reading, and what does not."""
    run = Frame(4, b"abcd")
    piece = b"\0\0\7\3" + varint(100) + bytes(4) + varint(90) + b"0123456789"
    broken = {
        "truncated": (b"\x04\x09abc", "truncated"),
        "no-length": (b"\x04", "truncated"),
        "surplus": (b"\x04\x05abcde", "surplus"),
        "length-not-shortest": (b"\x04\x40\x04abcd", "varint-not-shortest"),
        "ack-of-nothing": (b"\x83\0\0\7\x09\0\1", "malformed"),
        "ack-of-too-much": (b"\x83\0\0\7\x09" + b"\1\1" * 513, "malformed"),
        "piece-beyond-its-end": (b"\x82" + piece + b"!", "malformed"),
        "piece-of-nothing": (b"\x82\0\0\7\3\x05" + bytes(4) + b"\5", "malformed"),
        "piece-too-long": (b"\x82\0\0\7\3" + varint(66_305) + bytes(5) + b"x", "malformed"),
    }
    made = []
    for name, (data, fault) in broken.items():
        inner = encode_frames([run, run])[:6] + data
        what = f"A frame that is broken ({fault}) ends the reading; the one before it stands."
        found = vector("frames-" + name, what, "frames", {"inner": inner.hex()})
        assert same_refusal(fault, found["expected"]["fault"])
        found["expected"]["fault"] = fault
        made.append(found)
    several = [
        ("frames-none", "Padding alone holds no frame.", bytes(9)),
        ("frames-empty", "An empty inner holds no frame.", b""),
        (
            *("frames-padded", "Padding, then frames, an unknown one among them."),
            bytes(5) + encode_frames([run, Frame(126, b""), Frame(2, piece), Frame(127, b"new")]),
        ),
    ]
    return made + [
        vector(name, what, "frames", {"inner": data.hex()}) for name, what, data in several
    ]


def deflate(data: bytes, number: int = 0) -> bytes:
    """The number of a dictionary and raw DEFLATE with it, one stream."""
    machine = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=DICTIONARIES[number])
    return bytes((number,)) + machine.compress(data) + machine.flush()


SPOKEN = {
    "en": "Please confirm receipt of this message. Our vessels hold their positions.",
    "fr": "Veuillez accuser réception de ce message. Nos navires restent sur leurs positions.",
    "ru": "Просим подтвердить получение этого сообщения. Наши суда остаются на своих позициях.",
}
"""A text for each dictionary, in the order of their numbers."""


def good_records() -> list[Json]:
    """Records of each kind and field."""
    scribe, whose = Scribe(A, B), Serial(0x0A0B0C, 70)
    at = NOW.wall_s
    everything: Json = {
        "precedence": Precedence.FLASH,
        "dtg_s": at - 3600,
        "due_s": at + 86_400,
        "subject": "Tonight",
        "language": "fr",
        "references": receipt_fields(17, whose)["references"] * 2,
        "filed_s": at,
    }
    offer, answer = _exchange()[:2]
    service: Json = {"precedence": Precedence.FLASH, "language": ""}
    told = {
        "plain": ("A text.", scribe.record(7, 2, "Grüß Gott, мир.".encode())),
        "every-field": ("Every field.", scribe.record(7, 3, b"Text.", **everything)),
        "oldest-dtg": ("A DTG a century back.", raw_record(flags=0x20, optional=_dtg(-CENTURY_S))),
        "highest-number": ("The highest number.", raw_record(0xFFFFFF, 2**62 - 1)),
        "longest-body": (
            "A body of 65,536 bytes.",
            raw_record(body=deflate(bytes(65_536)), flags=2),
        ),
        "deflated": ("A deflated body.", raw_record(body=deflate(b"text " * 40), flags=2)),
        **{
            f"dictionary-{number}": (
                f"A text deflated with dictionary {number}.",
                scribe.record(7, 2, text.encode(), language=language),
            )
            for number, (language, text) in enumerate(SPOKEN.items(), 1)
        },
        "note": (
            "A receipt whose note is deflated.",
            scribe.record(
                7,
                4,
                SPOKEN["en"].encode(),
                **(receipt_fields(20, whose, at + 3600) | {"language": "en"}),
            ),
        ),
        "empty": ("No body, no language.", raw_record(language=0, body=b"")),
        "not-utf-8": ("Text that is none is no fault.", raw_record(body=b"\xff\xfe\0\x1b[2J")),
        "unknown-kind": ("A kind of a later version.", raw_record(kind=200)),
        "opened": ("A receipt.", scribe.record(7, 4, b" ", **receipt_fields(17, whose))),
        "begin": ("A BEGIN.", scribe.begin(8, 5, [(7, 1)], 4, head=PAGE0, holds=whose)),
        "fork": ("A FORK.", scribe.record(7, 5, bytes(64), kind=receipts.FORK, **service)),
        "offer": ("An OFFER.", scribe.record(7, 6, offer, kind=receipts.OFFER, **service)),
        "answer": ("An ANSWER.", scribe.record(7, 7, answer, kind=receipts.ANSWER, **service)),
    }
    return [
        vector("record-" + name, what, "record", {"record": data.hex()})
        for name, (what, data) in told.items()
    ]


def _dtg(seconds: int) -> bytes:
    return svarint(seconds)


def bad_records() -> list[Json]:
    """Records that break a rule each."""
    scribe, text = Scribe(A, B), deflate(SPOKEN["en"].encode(), 1)
    told = {
        "incarnation-zero": ("malformed", raw_record(0)),
        "number-zero": ("malformed", raw_record(7, 0)),
        "bit-zero": ("malformed", raw_record(flags=1)),
        "language-zero-digit": ("malformed", raw_record(language=27)),
        "language-four-letters": ("malformed", raw_record(language=27**3 + 1)),
        "dtg-zero": ("malformed", raw_record(flags=0x20, optional=b"\0")),
        "no-references": ("malformed", raw_record(flags=8, optional=b"\0")),
        "seventeen-references": (
            "malformed",
            raw_record(flags=8, optional=b"\x11" + b"\5\0\0\7" * 17),
        ),
        "subject-empty": ("malformed", raw_record(flags=4, optional=b"\0")),
        "begin-floor": ("malformed", scribe.begin(7, 5, [(6, 1)], 5)),
        "begin-no-path": ("malformed", scribe.begin(7, 5, [], 4)),
        "begin-path-of-the-first": ("malformed", scribe.begin(7, 1, [(6, 1)], 0)),
        "begin-path-not-rising": ("malformed", scribe.begin(7, 5, [(5, 2), (6, 2)], 4)),
        "begin-path-beyond": ("malformed", scribe.begin(7, 5, [(6, 5)], 4)),
        "begin-path-above-floor": ("malformed", scribe.begin(7, 5, [(6, 4)], 2)),
        "begin-path-twice": ("malformed", scribe.begin(7, 5, [(6, 1), (6, 3)], 4)),
        "begin-path-own": ("malformed", scribe.begin(7, 5, [(7, 1)], 4)),
        "begin-path-zero": ("malformed", scribe.begin(7, 5, [(0, 1)], 4)),
        "begin-path-from-zero": ("malformed", scribe.begin(7, 5, [(6, 0)], 4)),
        "begin-short": ("truncated", scribe.begin(7, 5, [(6, 1)], 4)[:-1]),
        "short": ("truncated", raw_record()[:9]),
        "subject-short": ("truncated", raw_record(flags=4, optional=b"\x09", body=b"eight...")),
        "number-not-shortest": ("varint-not-shortest", b"\0\0\7\x40\x05" + raw_record()[4:]),
        "dtg-too-late": ("time-out-of-range", raw_record(flags=0x20, optional=_dtg(CENTURY_S + 1))),
        "dtg-too-early": (
            "time-out-of-range",
            raw_record(flags=0x20, optional=_dtg(-CENTURY_S - 1)),
        ),
        "due-too-late": (
            "time-out-of-range",
            raw_record(flags=0x10, optional=varint(CENTURY_S + 1)),
        ),
        "subject-too-long": ("too-long", raw_record(flags=4, optional=varint(513) + bytes(513))),
        "bomb": ("too-long", raw_record(flags=2, body=deflate(bytes(10_000_000)))),
        "deflate-cut": ("deflate-broken", raw_record(flags=2, body=deflate(b"text " * 40)[:-2])),
        "deflate-and-more": ("deflate-broken", raw_record(flags=2, body=deflate(b"text") + b"x")),
        "deflate-none": ("deflate-broken", raw_record(flags=2, body=b"\0\xff\xff\xff")),
        "dictionary-unknown": ("unknown-dictionary", raw_record(flags=2, body=b"\4" + text[1:])),
        "dictionary-bomb": (
            "too-long",
            raw_record(flags=2, body=deflate(DICTIONARIES[3] * 500, 3)),
        ),
        "dictionary-cut": ("deflate-broken", raw_record(flags=2, body=text[:-1])),
        "dictionary-and-more": ("deflate-broken", raw_record(flags=2, body=text + b"x")),
        "dictionary-missing": ("truncated", raw_record(flags=2, body=b"")),
    }
    return [
        vector(
            "bad-record-" + name, f"Refused: {refused}.", "record", {"record": data.hex()}, refused
        )
        for name, (refused, data) in told.items()
    ]


def _exchange(page: int = 1) -> tuple[bytes, bytes, str, bytes]:
    """OFFER, ANSWER, the OFFER's seed and the tape page."""
    burned = sha256(b"page").digest()
    offering, answering = Roots(), Roots()
    offer = offering.make_offer(page, lambda count: sha256(b"seed").digest() * (count // 32), 0)
    answer = answering.answer(offer, PAGE0, {page: burned} if page else {}, 0)
    assert answer is not None
    assert offering.offer is not None
    return offer, answer, offering.offer.seed, burned if page else b""


def rekeys() -> list[Json]:
    """OFFER and ANSWER, with and without a page, and pairs that do not fit."""
    offer, answer, seed, page = _exchange()
    bare, bare_answer, _, _ = _exchange(0)
    other_base = b"\1\2" + answer[2:]
    other_page = answer[:2] + b"\0\2" + answer[4:]
    other_seed = sha256(b"other").hexdigest() * 2
    told = [
        ("rekey-page", "A rekey that burns a page.", (seed, offer, answer, page), None),
        ("rekey-bare", "A rekey without a page.", (seed, bare, bare_answer, b""), None),
        (
            "rekey-wrong-seed",
            "Not the OFFER's seed.",
            (other_seed, offer, answer, page),
            "wrong-seed",
        ),
        ("rekey-wrong-base", "Two bases.", (seed, offer, other_base, page), "wrong-base"),
        ("rekey-wrong-page", "Another page.", (seed, offer, other_page, page), "wrong-page"),
        ("rekey-no-page", "The page is not there.", (seed, offer, answer, b""), "wrong-page"),
    ]
    assert offer[:2] == PERMANENT
    return [
        vector(
            name,
            what,
            "rekey",
            {
                "base": PAGE0.hex(),
                "seed": of[0],
                "offer": of[1].hex(),
                "answer": of[2].hex(),
                "page": of[3].hex(),
            },
            refused,
        )
        for name, what, of, refused in told
    ]


def streams() -> list[Json]:
    """The handshake of direct TCP and the frames behind it."""
    given = {
        "bk": sha256(b"bk").hexdigest(),
        "direction": 2,
        "nonce": sha256(b"nonce").hexdigest()[:32],
        "answer_nonce": sha256(b"other").hexdigest()[:32],
    }
    stream = b"\0\0" + b"\0\3abc" + b"\0\0" + b"\x10\0" + bytes(4096)
    what = "A handshake; then keep-alives and two datagrams, one of them the longest."
    long = "A frame of 4,097 bytes ends the connection."
    return [
        vector("tcp", what, "tcp", given | {"stream": stream.hex()}),
        vector("tcp-too-long", long, "tcp", given | {"stream": "1001"}, "tcp-length"),
    ]


def carried() -> list[Json]:
    """What carries datagrams by hand and over narrow wires; every case says what it must bring."""
    made = [vector(name, what, about, given()) for name, what, about, given in CARRIED]
    for each in made:
        if "expected" in each:
            raise AssertionError(f"{each['name']}: {each['expected']}")
    return made


def everything() -> list[Json]:
    """The whole set."""
    made = [varints(), *cards(), *lines(), *inners(), *good_records(), *bad_records()]
    made += [
        vector(name, what, "files", {"records": [each.hex() for each in records]})
        for name, what, records in given_chains()
    ]
    return [*made, *rekeys(), *streams(), *carried(), *(talk() for talk in TALKS)]


def main(only: Sequence[str] = ()) -> None:
    """Write every file, and those of an earlier making go; or those of these names alone."""
    made = [each for each in everything() if not only or each["name"] in only]
    for old in () if only else FOLDER.glob("*.json"):
        old.unlink()
    for each in made:
        text = json.dumps(each, ensure_ascii=False, indent=1)
        (FOLDER / f"{each['name']}.json").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
