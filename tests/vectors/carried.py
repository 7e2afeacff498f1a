"""The vectors of what carries datagrams by hand and over narrow wires (§13, §15).

Purpose: parcels and fragments, true ones made by production code and spoiled ones that differ from
a true one in the one thing their sentence says. What each must bring is written here by hand, and
make.py demands that production agrees. Nothing in them is drawn by chance, so that they can be
made again byte for byte.
"""

from __future__ import annotations

import random
from hashlib import sha256

from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from openline.bearers import parcel
from openline.bearers.fragments import ADDED_BYTES, FRAGMENT_BYTES_MAX, Fragmenter, Stuffing, _tag
from openline.bearers.fragments import _key as _fragment_key
from openline.bearers.framing import LineKey, encode_frames

from .carried_witness import Json

FIRST = LineKey(1, sha256(b"bk").digest(), 1)
SECOND = FIRST._replace(direction=2)
OTHER = LineKey(2, sha256(b"bk of another line").digest(), 1)
PART = 87


def some(size: int, seed: int = 0) -> bytes:
    """Bytes that stand for a datagram, or for eight random ones."""
    return random.Random(size * 100 + seed).randbytes(size)


def sealed(line: LineKey, frames: bytes, salt: bytes) -> tuple[str, bytes]:
    """A parcel of whatever bytes, from one who holds the line's key."""
    name, _ = parcel.pack(line, [], salt)
    sealing = AESGCMSIV(parcel._key(line, line.direction, b"content"))
    return name, sealing.encrypt(salt + bytes(4), frames, bytes.fromhex(name))


def _case(what: str, direction: int, of: tuple[str, bytes], **brought: Json) -> Json:
    name, content = of
    case = {"what": what, "direction": direction, "name": name, "content": content.hex()}
    return case | brought


def parcels() -> Json:
    """`given` of the parcels that are read."""
    short, plain, longest, block = some(42), some(100), some(4096), some(4094)
    told: list[tuple[str, LineKey, list[bytes]]] = [
        ("One datagram from the first party.", FIRST, [plain]),
        ("The same from the second party.", SECOND, [plain]),
        ("Several, the longest among them, in their order.", FIRST, [plain, longest, short, plain]),
        ("An odd number of bytes 00 behind the frames.", SECOND, [some(101)]),
        ("Frames that fill a block need no padding.", FIRST, [block]),
        ("Two bytes 00 are one frame of length 0.", FIRST, [some(4092)]),
        ("A single byte 00 is left for the end.", FIRST, [some(4093)]),
        ("As full as a parcel may be.", SECOND, [block] * 16),
    ]
    cases = [
        _case(
            *(what, line.direction, parcel.pack(line, datagrams, some(8, nth))),
            datagrams=[each.hex() for each in datagrams],
            made=True,
        )
        for nth, (what, line, datagrams) in enumerate(told)
    ]
    one, two = encode_frames([short]), encode_frames([plain])
    for nth, (what, frames) in enumerate(
        [
            (
                "Frames of length 0 in front and between; no padding.",
                bytes(2) + one + bytes(4) + two,
            ),
            ("A single byte 00 at the end, and no multiple of anything.", one + two + b"\0"),
        ]
    ):
        of = sealed(FIRST, frames, some(8, 20 + nth))
        cases.append(_case(what, 1, of, datagrams=[short.hex(), plain.hex()], made=False))
    return {"bk": FIRST.key.hex(), "cases": cases}


def parcels_refused() -> Json:
    """`given` of the files that are left alone."""
    name, content = parcel.pack(FIRST, [some(100)], some(8, 40))
    other_name, _ = parcel.pack(FIRST, [some(100)], some(8, 41))
    spoilt = bytes([content[0] ^ 1]) + content[1:]
    untagged = content[:-1] + bytes([content[-1] ^ 0x80])
    full = encode_frames([some(4094)] * 16)
    by_name = [
        ("A digit of the proof is another.", (name[:-1] + f"{int(name[-1], 16) ^ 1:x}", content)),
        (
            "A digit of the random bytes is another.",
            (f"{int(name[0], 16) ^ 8:x}" + name[1:], content),
        ),
        ("The name in capitals.", (name.upper(), content)),
        ("The name with an ending.", (name + ".new", content)),
        ("The name cut short.", (name[:-1], content)),
        ("A parcel of another line.", parcel.pack(OTHER, [some(100)], some(8, 42))),
        ("A parcel of one's own direction.", parcel.pack(SECOND, [some(100)], some(8, 43))),
    ]
    by_content = [
        ("Cut off by half: it may still be being copied.", (name, content[:2056])),
        ("Cut off by the last byte.", (name, content[:-1])),
        ("A byte too many.", (name, content + b"\0")),
        ("Nothing in it yet.", (name, b"")),
        ("One bit of its first byte is another.", (name, spoilt)),
        ("One bit of its tag is another.", (name, untagged)),
        ("Under the name of another parcel of the same line.", (other_name, content)),
        ("The content goes the other way than the name says.", (name, _turned(name))),
        (
            "Longer than a parcel may be, though it would open.",
            sealed(FIRST, full + bytes(2), some(8, 44)),
        ),
        (
            "It opens, and a length in it is 4,097.",
            sealed(FIRST, b"\x10\x01" + bytes(4097), some(8, 45)),
        ),
        ("It opens, and its last frame is not whole.", sealed(FIRST, b"\0\1a\0\2b", some(8, 46))),
        (
            "It opens, and a single byte at its end is not 00.",
            sealed(FIRST, b"\0\1a\1", some(8, 47)),
        ),
    ]
    cases = [_case(what, 1, of, refused="parcel-name") for what, of in by_name]
    cases += [_case(what, 1, of, refused="parcel-content") for what, of in by_content]
    return {"bk": FIRST.key.hex(), "cases": cases}


def _turned(name: str) -> bytes:
    """A content sealed for the other direction under the nonce and name of this one."""
    raw, frames = bytes.fromhex(name), encode_frames([some(100)])
    return AESGCMSIV(parcel._key(FIRST, 2, b"content")).encrypt(raw[:8] + bytes(4), frames, raw)


# -- fragments --------------------------------------------------------------------------------

Step = tuple[bytes, bytes | str | None]


def fragment(line: LineKey, at: int, head: int, part: bytes) -> bytes:
    """One fragment, whatever its head says."""
    return bytes([head]) + part + _tag(_fragment_key(line, line.direction), at, head, part)


def cut(line: LineKey, number: int, *datagrams: bytes, size: int = PART) -> list[list[bytes]]:
    """The fragments of datagrams that go one after the other, the first under this number."""
    fragmenter = Fragmenter(line)
    fragmenter._number = number
    return [[*fragmenter.cut(datagram, size + ADDED_BYTES)] for datagram in datagrams]


def _cuts(what: str, line: LineKey, number: int, *datagrams: bytes, size: int = PART) -> Json:
    return {
        "what": what,
        "direction": line.direction,
        "number": number,
        "size": size,
        "datagrams": [each.hex() for each in datagrams],
        "fragments": [
            [each.hex() for each in one] for one in cut(line, number, *datagrams, size=size)
        ],
    }


def _wire(what: str, *steps: Step, direction: int = 1) -> Json:
    told: list[Json] = []
    for data, brought in steps:
        said = (
            {"refused": brought}
            if isinstance(brought, str)
            else {"datagram": brought and brought.hex()}
        )
        told.append({"fragment": data.hex()} | said)
    return {"what": what, "direction": direction, "steps": told}


def whole(fragments: list[bytes], datagram: bytes) -> list[Step]:
    """The steps in which a datagram comes whole."""
    return [*((each, None) for each in fragments[:-1]), (fragments[-1], datagram)]


def _stuffed() -> list[Json]:
    told = {
        "No zero.": b"abc",
        "Zeros in front, between and behind.": b"\0a\0\0b\0",
        "Zeros alone.": bytes(6),
        "253 bytes that are not zero.": b"\1" * 253,
        "254 of them: what is left is nothing, and is counted.": b"\1" * 254,
        "255 of them.": b"\xff" * 255,
        "254 before a zero.": b"\2" * 254 + b"\0",
        "254 after a zero.": b"\0" + b"\2" * 254,
        "255 before and after a zero.": b"\3" * 255 + b"\0" + b"\4" * 255,
        "508 and a zero between 254 and 254.": b"\5" * 508
        + b"\0"
        + b"\6" * 254
        + b"\0"
        + b"\7" * 254,
    }
    made = [
        {"what": what, "wire": Stuffing.encode(data).hex(), "fragment": data.hex(), "made": True}
        for what, data in told.items()
    ]
    bare = b"\xff" + b"\1" * 254 + b"\0"
    what = (
        "A full count at the end reads without the nothing behind it, though nobody writes it so."
    )
    return [*made, {"what": what, "wire": bare.hex(), "fragment": bare[1:-1].hex(), "made": False}]


def fragments() -> Json:
    """`given` of the fragments that are joined."""
    short, third, long = some(60), some(PART * 3), some(500)
    [one], [exact], [slow] = cut(FIRST, 7, short), cut(FIRST, 8, third), cut(FIRST, 9, long)
    wrapped = cut(SECOND, 63, long, third)
    [urgent], [again] = cut(FIRST, 10, short), cut(FIRST, 9, third)
    longest = some(4096)
    [widest] = cut(FIRST, 0, longest, size=4096)
    eight = [cut(FIRST, number, some(100, number))[0] for number in range(8)]
    cuts = [
        _cuts("One fragment is first and last.", FIRST, 7, short),
        _cuts("Several; the last is shorter.", FIRST, 9, long),
        _cuts("Three full ones.", SECOND, 8, third),
        _cuts("After number 63 comes 0.", SECOND, 62, short, long, short),
        _cuts("The longest datagram in one.", FIRST, 0, longest, size=4096),
    ]
    wires = [
        _wire("One fragment is whole.", (one[0], short)),
        _wire("The longest datagram in one fragment.", (widest[0], longest)),
        _wire("Three fragments make a datagram.", *whole(exact, third)),
        _wire(
            "A more urgent one passes between two fragments.",
            (slow[0], None),
            (slow[1], None),
            (urgent[0], short),
            *whole(slow[2:], long),
        ),
        _wire(
            "Two datagrams, fragment by fragment in turn.",
            (slow[0], None),
            (exact[0], None),
            (slow[1], None),
            (exact[1], None),
            (exact[2], third),
            *whole(slow[2:], long),
        ),
        _wire(
            "The number goes round; the former datagram is complete.",
            *whole(wrapped[0], long),
            *whole(wrapped[1], third),
            direction=2,
        ),
        _wire(
            "The number comes again before the former datagram is complete, and replaces it.",
            (slow[0], None),
            (slow[1], None),
            *whole(again, third),
            (slow[2], "fragment-proof"),
        ),
        _wire(
            "A datagram begun again is not the two together.",
            (slow[0], None),
            (slow[1], None),
            *whole(slow, long),
        ),
        _wire(
            "A whole one under the number of one that is open takes its place.",
            (slow[0], None),
            (cut(FIRST, 9, short)[0][0], short),
            (slow[1], "fragment-proof"),
        ),
        _wire(
            "Eight are open and one is whole: none goes.",
            *((part[0], None) for part in eight),
            (cut(FIRST, 20, short)[0][0], short),
            *((part[1], some(100, number)) for number, part in enumerate(eight)),
        ),
    ]
    return {"bk": FIRST.key.hex(), "cuts": cuts, "wires": wires, "stuffed": _stuffed()}


def _spoiled(data: bytes, at: int) -> bytes:
    spoiled = bytearray(data)
    spoiled[at] ^= 1
    return bytes(spoiled)


def _crowded() -> list[Json]:
    """Nine that are begun, where eight may be open."""
    numbers = range(9)
    parts = [cut(FIRST, number, some(200, number))[0] for number in numbers]
    begun: list[Step] = [(part[0], None) for part in parts]
    rest = [whole(part[1:], some(200, number)) for number, part in enumerate(parts)]
    return [
        _wire(
            "The ninth takes the place of the first.",
            *begun,
            (parts[0][1], "fragment-proof"),
            *(step for number in numbers if number for step in rest[number]),
        ),
        _wire(
            "The first had another part since: the second goes, of which nothing came for longest.",
            *begun[:8],
            rest[0][0],
            begun[8],
            rest[0][1],
            (parts[1][1], "fragment-proof"),
            *(step for number in numbers if number > 1 for step in rest[number]),
        ),
    ]


def _too_long() -> list[Json]:
    """Datagrams beyond 4,096 bytes, and fragments of no length that there is."""
    half, rest, more = some(2048), some(2048, 1), some(2049)
    begun = fragment(FIRST, 0, 0x83, half)
    beyond = fragment(FIRST, 2048, 0x43, more)
    small = fragment(FIRST, 0, 0xC3, b"x")
    widest = fragment(FIRST, 0, 0xC3, some(4097))
    assert len(widest) == FRAGMENT_BYTES_MAX + 1
    return [
        _wire(
            "A datagram of 4,097 bytes is given up, so that nothing else goes on from there.",
            (begun, None),
            (beyond, "joined-too-long"),
            (fragment(FIRST, 2048, 0x43, rest), "fragment-proof"),
        ),
        _wire(
            "A fragment with a part of 4,097 bytes changes nothing.",
            (begun, None),
            (widest, "fragment-length"),
            (fragment(FIRST, 2048, 0x43, rest), half + rest),
        ),
        _wire(
            "A fragment without a part, one without a tag, and nothing.",
            (begun, None),
            (fragment(FIRST, 0, 0x83, b""), "fragment-length"),
            (small[:2], "fragment-length"),
            (b"", "fragment-length"),
            (small, b"x"),
        ),
    ]


def fragments_refused() -> Json:
    """`given` of the fragments that are dropped, and of bytes that are none."""
    long, short = some(500), some(60)
    [slow], [after] = cut(FIRST, 9, long), cut(FIRST, 10, short)
    lost = "fragment-proof"
    begun: list[Step] = [(slow[0], None), (slow[1], None)]
    damaged = [
        (name, _spoiled(slow[2], at)) for name, at in (("head", 0), ("part", 9), ("tag", -1))
    ]
    others = [("of the other direction", SECOND), ("of another line", OTHER)]
    wires = [
        *(
            _wire(
                f"One bit of its {name} is another; the true one goes on.",
                *begun,
                (data, lost),
                *whole(slow[2:], long),
            )
            for name, data in damaged
        ),
        _wire(
            "A damaged first fragment does not replace what is kept.",
            *begun,
            (_spoiled(slow[0], 5), lost),
            *whole(slow[2:], long),
        ),
        _wire(
            "One is lost in the middle: the rest proves nothing, the next datagram comes.",
            *begun,
            *((each, lost) for each in slow[3:]),
            (after[0], short),
        ),
        _wire(
            "The first is lost; sent again, the datagram comes.",
            *((each, lost) for each in slow[1:]),
            *whole(slow, long),
        ),
        _wire("Two change places.", *begun, (slow[3], lost), (slow[2], None), (slow[4], lost)),
        _wire("One comes twice.", *begun, (slow[1], lost), *whole(slow[2:], long)),
        _wire("The last comes twice.", *whole(slow, long), (slow[-1], lost)),
        *(
            _wire(
                f"Fragments {name}.",
                *((each, lost) for each in cut(line, 9, long)[0]),
                *whole(slow, long),
            )
            for name, line in others
        ),
        *_too_long(),
        *_crowded(),
    ]
    none = [
        ("A count beyond the end.", "0561626300"),
        ("A count of FF beyond the end.", "ff010100"),
        ("Nothing.", "00"),
    ]
    stuffed = [{"what": what, "wire": wire, "refused": "stuffing"} for what, wire in none]
    return {"bk": FIRST.key.hex(), "cuts": [], "wires": wires, "stuffed": stuffed}


CARRIED = [
    ("parcel", "Parcels of both directions are read, and made again.", "parcel", parcels),
    ("parcel-refused", "Files that are no parcels of the line.", "parcel", parcels_refused),
    ("fragments", "Datagrams are cut, stuffed and joined.", "fragments", fragments),
    ("fragments-refused", "What proves nothing is dropped.", "fragments", fragments_refused),
]
"""Name, sentence, `about` and what makes `given`, for each file."""
