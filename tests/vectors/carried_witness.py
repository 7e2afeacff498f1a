"""The product's own reading of parcels and fragments, in the shape of docs/vectors.md.

Purpose: what witness.py does, for what carries datagrams by hand and over narrow wires. Each
reading returns None if every case reads as it says, and else the cases as they were read. Nothing
is made here but what a case says can be made again.
"""

from __future__ import annotations

from typing import Any

from openline.bearers import parcel
from openline.bearers.fragments import ADDED_BYTES, Fragmenter, Joiner, Stuffing
from openline.bearers.framing import LineKey
from openline.errors import BearerError

Json = Any

REFUSALS = {
    "parcel-name": {"not theirs"},
    "parcel-content": {"bearer.parcel_damaged"},
    **{key: {"dropped"} for key in ("fragment-length", "fragment-proof", "joined-too-long")},
    "stuffing": {"nothing"},
}
"""What the product says where a vector names a refusal."""

_SAID = ("datagrams", "made", "datagram", "fragment", "refused")


def _refused(said: str | None, found: str) -> Json:
    """A refusal under the name that the case has for it, if the product's outcome is that."""
    agreed = said is not None and found in REFUSALS.get(said, set())
    return {"refused": said if agreed else found}


def read_parcels(given: Json) -> Json:
    """Read every parcel, and make again those of which it is said."""
    bk = bytes.fromhex(given["bk"])
    found = [_asked(case) | _parcel(bk, case) for case in given["cases"]]
    return None if found == given["cases"] else found


def _asked(case: Json) -> Json:
    return {name: value for name, value in case.items() if name not in _SAID}


def _parcel(bk: bytes, case: Json) -> Json:
    reader = LineKey(1, bk, 3 - case["direction"])
    name, content = case["name"], bytes.fromhex(case["content"])
    if parcel.direction_of(reader, name) != case["direction"]:
        return _refused(case.get("refused"), "not theirs")
    try:
        datagrams = parcel.unpack(reader, name, content)
    except BearerError as error:
        return _refused(case.get("refused"), error.code)
    salt = bytes.fromhex(name)[: parcel.SALT_BYTES]
    made = parcel.pack(reader._replace(direction=case["direction"]), datagrams, salt)
    return {"datagrams": [each.hex() for each in datagrams], "made": made == (name, content)}


def read_fragments(given: Json) -> Json:
    """Cut what is to be cut, join what comes over each wire, undo the stuffing."""
    bk = bytes.fromhex(given["bk"])
    found = {
        "bk": given["bk"],
        "cuts": [cut | {"fragments": _cut(bk, cut)} for cut in given["cuts"]],
        "wires": [wire | {"steps": _joined(bk, wire)} for wire in given["wires"]],
        "stuffed": [_unstuffed(case) for case in given["stuffed"]],
    }
    return None if found == given else found


def _cut(bk: bytes, cut: Json) -> Json:
    fragmenter = Fragmenter(LineKey(1, bk, cut["direction"]))
    fragmenter._number = cut["number"]
    datagrams, size = map(bytes.fromhex, cut["datagrams"]), cut["size"] + ADDED_BYTES
    return [[each.hex() for each in fragmenter.cut(one, size)] for one in datagrams]


def _joined(bk: bytes, wire: Json) -> Json:
    joiner = Joiner(LineKey(1, bk, 3 - wire["direction"]))
    steps = []
    for step in wire["steps"]:
        before = joiner.refused
        joined = joiner.feed(bytes.fromhex(step["fragment"]))
        if joiner.refused > before:
            brought = _refused(step.get("refused"), "dropped")
        else:
            brought = {"datagram": joined and joined.hex()}
        steps.append({"fragment": step["fragment"]} | brought)
    return steps


def _unstuffed(case: Json) -> Json:
    wire = bytes.fromhex(case["wire"])
    found = Stuffing().feed(wire)
    if len(found) != 1:
        return _asked(case) | _refused(case.get("refused"), "several" if found else "nothing")
    again = Stuffing.encode(found[0]) == wire
    return _asked(case) | {"fragment": found[0].hex(), "made": again}
