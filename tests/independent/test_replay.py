"""Facts: the checker of vectors accepts a true conversation and rejects one that lies."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from .replay import SINGLE
from .test_layouts import begin, record, varint
from .test_reader import PAGE, A, B, M, Party, Sender, sha
from .test_vectors import FOLDER, check_conversation, check_single, load
from .wire import RefusedError


def _reader(own: Party, peer: Party) -> dict[str, Any]:
    return {
        "identity": own.identity.hex(),
        "kem_seed": own.kem_seed.hex(),
        "own_card": own.card.hex(),
        "peer_card": peer.card.hex(),
        "page0": PAGE.hex(),
        "keys": {},
        "roots": [],
        "confirmed": [],
    }


def _conversation() -> dict[str, Any]:
    """A's BEGIN and one text reach B; a reader who holds the attacker's card reads nothing."""
    sender = Sender()
    start = bytes.fromhex(
        SINGLE["line"](_reader(B, A) | {"epochs": []})["heads"][sender.direction - 1]
    )
    records = [begin(7, 1, [], 0, start), record(7, 2)]
    framed = b"\x01" + varint(len(records[0])) + records[0] + b"\x81" + records[1]
    inner = bytes(9) + framed
    datagram = sender.seal(3, inner)
    spoiled = datagram[:-1] + bytes([datagram[-1] ^ 1])
    heads = [start, sha(start + records[0]), sha(sha(start + records[0]) + records[1])]
    said = {
        "root_id": "0000",
        "key_id": "0000",
        "top_version": 1,
        "time": 1_790_000_000,
        "continuity": "00" * 8,
        "epoch": 0,
        "new_key_id": "1234",
        "new_key": M.card[3:35].hex(),
    }
    brought = {
        "kind": 1,
        "index": 3,
        "run_id": sender.run_id.hex(),
        "announcement": said,
        "alarm": False,
        "frames": [{"type": 1, "record": r.hex()} for r in records],
        "fault": None,
        "outcomes": ["taken", "taken"],
    }
    steps = [
        {"to": 0, "datagram": spoiled.hex(), "refused": "bad-tag"},
        {"to": 0, "datagram": datagram.hex(), "expected": brought},
        {"to": 0, "datagram": datagram.hex(), "refused": "used-index"},
        {"to": 1, "datagram": datagram.hex(), "refused": "foreign"},
    ]
    attacked = SINGLE["line"](_reader(B, M) | {"epochs": []})
    empty = {"contiguous": 0, "lost": [], "abandoned": [], "differs": False}
    chains = [
        empty | {"contiguous": 2, "heads": [[n, h.hex()] for n, h in enumerate(heads)]},
        empty | {"heads": [[0, attacked["heads"][2 - attacked["direction"]]]]},
    ]
    return {
        "given": {"readers": [_reader(B, A), _reader(B, M)], "steps": steps},
        "expected": {"chains": chains, "digest": None},
    }


def test_true_conversation_is_accepted() -> None:
    check_conversation(json.loads(json.dumps(_conversation())))


def test_conversation_that_lies_is_rejected() -> None:
    true = _conversation()
    chain, steps = true["expected"]["chains"][0], true["given"]["steps"]
    spots: list[tuple[dict[str, Any], str, object]] = [
        (chain, "contiguous", 1),
        (chain, "lost", [[1, 1]]),
        (steps[0], "refused", "foreign"),
        (steps[1]["expected"], "outcomes", ["taken"]),
        (steps[1]["expected"]["announcement"], "time", 0),
    ]
    for place, name, wrong in spots:
        right, place[name] = place[name], wrong
        lie = copy.deepcopy(true)
        place[name] = right
        with pytest.raises(AssertionError):
            check_conversation(lie)
    check_conversation(true)


def test_card_with_other_words_is_shown_as_such() -> None:
    said_by_a, said_by_m = (
        SINGLE["card"]({"card": party.card.hex(), "heard": None})["words"] for party in (A, M)
    )
    given = {"card": M.card.hex(), "heard": said_by_a}
    check_single({"about": "card", "given": given, "refused": "words-differ"})
    given["heard"] = said_by_m
    with pytest.raises(AssertionError):
        check_single({"about": "card", "given": given, "refused": "words-differ"})


CARRIED = ("parcel", "parcel-refused", "fragments", "fragments-refused")


@pytest.mark.parametrize("name", CARRIED)
def test_a_vector_of_parcels_or_fragments_that_lies_is_rejected(name: str) -> None:
    vector = load(FOLDER / f"{name}.json")
    check_single(vector)
    given = vector["given"]
    told = [*given.get("cases", []), *given.get("stuffed", [])]
    told += [step for wire in given.get("wires", []) for step in wire["steps"]]
    assert told
    for case in told[:: len(told) // 5]:
        was = dict(case)
        case["refused"] = "tcp-length"
        with pytest.raises(RefusedError):
            check_single(vector)
        case.clear()
        case.update(was)
    check_single(vector)
