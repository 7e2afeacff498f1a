"""Facts: production code still reads every committed vector, refuses what is to be refused, and the
set shows all that docs/vectors.md §6 demands."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.vectors.witness import (
    NOW,
    REFUSALS,
    SINGLE,
    Witness,
    record,
    same_refusal,
    shared_digest,
    single,
)

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "tests" / "vectors").glob("*.json"))
VECTORS: dict[str, Any] = {file.stem: json.loads(file.read_text("utf-8")) for file in FILES}
TALKS = [vector for vector in VECTORS.values() if vector["about"] == "conversation"]
OTHERS = [vector for vector in VECTORS.values() if vector["about"] != "conversation"]
ASKED_ONLY = {"not-held"}
"""What is met only by one who asks for a head he does not have, never by what arrives."""


def names(vectors: list[Any]) -> list[str]:
    return [vector["name"] for vector in vectors]


def bare(frames: list[Any]) -> list[Any]:
    return [{key: value for key, value in f.items() if key != "decoded"} for f in frames]


def agree(expected: str | None, found: str | None) -> bool:
    """Whether a precise name and an outcome of the product are the same."""
    if expected is None or found is None or expected == found:
        return expected == found
    return same_refusal(expected, found)


@pytest.mark.parametrize("vector", OTHERS, ids=names(OTHERS))
def test_production_reads_the_vector_as_it_says(vector: Any) -> None:
    found = single(vector)
    if "refused" in vector:
        assert same_refusal(vector["refused"], found.pop("refused"))
        assert found == vector.get("expected", {})
    elif vector["about"] == "frames":
        assert found["frames"] == bare(vector["expected"]["frames"])
        assert agree(vector["expected"]["fault"], found["fault"])
    else:
        assert found == vector.get("expected")


def check_step(witness: Witness, step: Any) -> None:
    found = witness.step(step)
    if "datagram" not in step:
        return
    if "refused" in step:
        assert same_refusal(step["refused"], found["refused"])
        return
    expected = dict(step["expected"])
    for frame in expected["frames"]:
        if "decoded" in frame:
            assert record(bytes.fromhex(frame["record"])) == frame["decoded"]
    expected["frames"] = bare(expected["frames"])
    pairs = [(expected.pop("fault"), found.pop("fault"))]
    pairs += zip(expected.pop("outcomes"), found.pop("outcomes"), strict=True)
    assert all(agree(*pair) for pair in pairs), pairs
    assert found == expected


@pytest.mark.parametrize("vector", TALKS, ids=names(TALKS))
def test_production_follows_the_conversation(vector: Any) -> None:
    witnesses = [Witness(given) for given in vector["given"]["readers"]]
    for step in vector["given"]["steps"]:
        check_step(witnesses[step["to"]], step)
    assert [witness.held() for witness in witnesses] == vector["expected"]["chains"]
    digest = vector["expected"]["digest"]
    if digest is not None:
        assert shared_digest(witnesses, digest["first"], digest["second"]) == digest


@pytest.mark.parametrize("vector", TALKS, ids=names(TALKS))
def test_a_refused_datagram_changes_nothing_of_the_seal(vector: Any) -> None:
    witnesses = [Witness(given) for given in vector["given"]["readers"]]
    for step in vector["given"]["steps"]:
        seal = witnesses[step["to"]].seal
        seal.changes(NOW)
        witnesses[step["to"]].step(step)
        if "refused" in step:
            assert not seal.dirty


def refusals_met() -> set[str]:
    """Every refusal that the committed set shows."""
    met = {vector.get("refused") for vector in VECTORS.values()}
    for vector in OTHERS:
        if vector["about"] == "frames":
            met.add(vector["expected"]["fault"])
        elif vector["about"] == "varint":
            met |= {said for _, said in vector["given"]["cases"] if isinstance(said, str)}
        else:
            met |= {case.get("refused") for case in carried(vector["given"])}
    for step in steps():
        met.add(step.get("refused"))
        if "expected" in step:
            met |= {step["expected"]["fault"], *step["expected"]["outcomes"]}
    return {name for name in met if name}


def carried(given: Any) -> list[Any]:
    """The parcels, fragments and stuffed bytes of a vector that holds such cases."""
    wires = [step for wire in given.get("wires", []) for step in wire["steps"]]
    return [*given.get("cases", []), *wires, *given.get("stuffed", [])]


def steps() -> list[Any]:
    return [step for vector in TALKS for step in vector["given"]["steps"]]


def opened() -> list[Any]:
    return [step["expected"] for step in steps() if "expected" in step]


def test_every_refusal_of_the_document_is_in_the_set() -> None:
    text = (ROOT / "docs" / "vectors.md").read_text("utf-8")
    section = text[text.index("## 2.") : text.index("## 3.")]
    rows = [line for line in section.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`([a-z-]+)`", row.split("|")[1])}
    named |= {"wrong-seed", "wrong-base", "wrong-page"}
    assert named - ASKED_ONLY == set(REFUSALS)
    assert named - ASKED_ONLY <= refusals_met()


def test_every_outcome_frame_type_and_kind_of_vector_is_in_the_set() -> None:
    outcomes = {outcome for each in opened() for outcome in each["outcomes"]}
    wanted = {"taken", "held", "late", "duplicate", "fork", "abandoned", "not-taken"}
    assert wanted <= outcomes
    types = {frame["type"] for each in opened() for frame in each["frames"]}
    assert types >= set(range(1, 10))
    assert types - set(range(1, 10))
    assert {vector["about"] for vector in VECTORS.values()} == {*SINGLE, "conversation"}


def test_openings_roots_keys_and_both_directions_are_in_the_set() -> None:
    said = [each["announcement"] for each in opened() if each["announcement"]]
    assert {each["kind"] for each in opened()} == {0, 1, 2}
    assert any(each["root_id"] != "0000" for each in said)
    assert any(each["key_id"] != "0000" for each in said)
    assert {each["alarm"] for each in opened()} == {True, False}
    assert any(each["announcement"] and each["index"] for each in opened())
    digests = [v for v in TALKS if v["expected"]["digest"]]
    assert len(digests) >= 2
    assert {step["to"] for vector in digests for step in vector["given"]["steps"]} == {0, 1}
    assert {bool(v["given"]["readers"][0]["page0"]) for v in digests} == {True, False}


def test_records_lost_abandoned_referring_and_deflated_are_in_the_set() -> None:
    chains = [chain for vector in TALKS for chain in vector["expected"]["chains"]]
    for name in ("lost", "abandoned", "differs"):
        assert any(chain[name] for chain in chains)
    records = [v["expected"] for v in OTHERS if v["about"] == "record" and "expected" in v]
    assert any(each["deflated"] for each in records)
    assert any(each["references"] for each in records)
    decoded = [f["decoded"] for each in opened() for f in each["frames"] if "decoded" in f]
    assert {each["kind"] for each in decoded} >= {1, 17, 20, 32, 34, 35}


def test_the_man_in_the_middle_is_seen_in_his_words_and_opens_nothing() -> None:
    assert VECTORS["card-man-in-the-middle"]["refused"] == "words-differ"
    talk = VECTORS["man-in-the-middle"]
    attacker = talk["given"]["readers"][2]["own_card"]
    assert attacker == VECTORS["card-man-in-the-middle"]["given"]["card"]
    assert talk["given"]["readers"][0]["peer_card"] == attacker
    between = [step for step in talk["given"]["steps"] if step["to"] < 2]
    assert {step["refused"] for step in between} == {"foreign"}
    lines = {Witness(reader).kit.line_id for reader in talk["given"]["readers"][:2]}
    assert len(lines) == 2
