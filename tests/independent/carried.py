"""Runs the vectors of parcels and fragments (docs/vectors.md §3) with parcels.py and fragments.py.

Purpose: read every case, make again what a case says can be made, and refuse `cases-read-as` if
anything differs from what stands there. No rule of the protocol lives here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import fragments as narrow
from . import parcels
from .wire import RefusedError, need

Json = Any
Reading = Callable[[Json], Json]


def _read(cases: Json, asked: set[str], reading: Reading) -> Json:
    """Each case with what was asked, and what it brings, read anew."""
    found = []
    for case in cases:
        try:
            brought = reading(case)
        except RefusedError as refused:
            brought = {"refused": refused.reason}
        found.append({name: case[name] for name in asked} | brought)
    return found


def parcel(given: Json) -> None:
    """Read every parcel, and make it again."""
    bearer_key = bytes.fromhex(given["bk"])

    def reading(case: Json) -> Json:
        direction, name, content = case["direction"], case["name"], bytes.fromhex(case["content"])
        datagrams = parcels.read(bearer_key, direction, name, content)
        salt = bytes.fromhex(name)[: parcels.SALT_SIZE]
        made = parcels.make(bearer_key, direction, salt, datagrams)
        return {"datagrams": [each.hex() for each in datagrams], "made": made == (name, content)}

    found = _read(given["cases"], {"what", "direction", "name", "content"}, reading)
    need({"bk": given["bk"], "cases": found} == given, f"cases-read-as {found}")


def fragments(given: Json) -> None:
    """Cut what is to be cut, join what comes over each wire, undo the stuffing."""
    bearer_key = bytes.fromhex(given["bk"])
    found = {
        "bk": given["bk"],
        "cuts": [cut | {"fragments": _cut(bearer_key, cut)} for cut in given["cuts"]],
        "wires": [wire | {"steps": _joined(bearer_key, wire)} for wire in given["wires"]],
        "stuffed": _read(given["stuffed"], {"what", "wire"}, _unstuffed),
    }
    need(found == given, f"cases-read-as {found}")


def _cut(bearer_key: bytes, cut: Json) -> Json:
    made = []
    for later, datagram in enumerate(cut["datagrams"]):
        number = (cut["number"] + later) % narrow.NUMBERS
        data, size = bytes.fromhex(datagram), cut["size"]
        one = narrow.cut(bearer_key, cut["direction"], number, data, size)
        made.append([each.hex() for each in one])
    return made


def _joined(bearer_key: bytes, wire: Json) -> Json:
    joiner = narrow.Joiner(bearer_key, wire["direction"])

    def reading(step: Json) -> Json:
        joined = joiner.take(bytes.fromhex(step["fragment"]))
        return {"datagram": joined and joined.hex()}

    return _read(wire["steps"], {"fragment"}, reading)


def _unstuffed(case: Json) -> Json:
    wire = bytes.fromhex(case["wire"])
    data = narrow.unstuff(wire)
    return {"fragment": data.hex(), "made": narrow.stuff(data) == wire}
