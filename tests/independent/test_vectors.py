"""Facts: every vector reads, with the reader that knows the document alone, as it says it does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .frames import read_record
from .replay import SINGLE, Reader, plain, shared_digest
from .wire import RefusedError

FOLDER = Path(__file__).resolve().parent.parent / "vectors"
FILES = sorted(FOLDER.glob("*.json"))
ABOUTS = {*SINGLE, "conversation"}


def load(file: Path) -> Any:
    """Return a vector, its form checked (docs/vectors.md §1)."""
    vector = json.loads(file.read_text("utf-8"))
    extra = set(vector) - {"name", "what", "about", "given", "expected", "refused"}
    assert not extra, extra
    assert vector["name"] == file.stem
    assert vector["what"].strip()
    assert vector["about"] in ABOUTS
    return vector


def check_frames(found: list[Any], expected: list[Any]) -> None:
    """Compare frames; a RECORD may hold `decoded`."""
    bare = [{n: v for n, v in frame.items() if n != "decoded"} for frame in expected]
    assert found == bare
    for frame in expected:
        if "decoded" in frame:
            assert plain(read_record(bytes.fromhex(frame["record"]))) == frame["decoded"]


def check_single(vector: Any) -> None:
    """Check any vector but a conversation."""
    about, given = vector["about"], vector["given"]
    refused = vector.get("refused")
    if about == "card" and refused == "words-differ":
        found = SINGLE["card"](given)
        assert found["first_wrong"] is not None
        assert found == vector.get("expected", found)
        return
    if refused is not None:
        with pytest.raises(RefusedError) as raised:
            SINGLE[about](given)
        assert raised.value.reason == refused
        return
    found, expected = SINGLE[about](given), vector.get("expected")
    if about == "frames":
        expected = dict(expected)
        check_frames(found.pop("frames"), expected.pop("frames"))
    assert found == expected


def check_step(readers: list[Reader], step: Any) -> None:
    """Check one step of a conversation."""
    reader = readers[step["to"]]
    if "refused" in step:
        with pytest.raises(RefusedError) as raised:
            reader.step(step)
        assert raised.value.reason == step["refused"]
        return
    found = reader.step(step)
    if "datagram" not in step:
        assert "expected" not in step
        return
    expected = dict(step["expected"])
    check_frames(found.pop("frames"), expected.pop("frames"))
    assert found == expected


def check_conversation(vector: Any) -> None:
    """Check a conversation step by step, and what stands at its end."""
    readers = [Reader(given) for given in vector["given"]["readers"]]
    for number, step in enumerate(vector["given"]["steps"]):
        try:
            check_step(readers, step)
        except RefusedError as refused:
            pytest.fail(f"step {number} refused: {refused.reason}")
        except AssertionError as differs:
            raise AssertionError(f"step {number}: {differs}") from differs
    expected = vector["expected"]
    assert set(expected) == {"chains", "digest"}
    for reader, chain in zip(readers, expected["chains"], strict=True):
        held, listed = reader.held(), [*chain["heads"]]
        assert {number for number, _ in listed} >= {0, chain["contiguous"]}
        assert [head for head in held.pop("heads") if head in listed] == listed
        assert held == {name: value for name, value in chain.items() if name != "heads"}
    assert shared_digest(readers, expected["digest"]) == expected["digest"]


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_vector_reads_as_it_says(file: Path) -> None:
    vector = load(file)
    if vector["about"] == "conversation":
        check_conversation(vector)
    else:
        check_single(vector)


def test_the_set_shows_every_kind_of_vector_and_the_man_in_the_middle() -> None:
    vectors = [load(file) for file in FILES]
    assert {vector["about"] for vector in vectors} == ABOUTS
    assert any(vector.get("refused") == "words-differ" for vector in vectors)
    steps = [
        step
        for vector in vectors
        if vector["about"] == "conversation"
        for step in vector["given"]["steps"]
    ]
    assert {"foreign", "bad-tag", "used-index"} <= {step.get("refused") for step in steps}
