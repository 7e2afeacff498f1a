"""Files arrive whole and once, whatever happens on the way, and nobody's text waits for them."""

from __future__ import annotations

from openline.store.base import OURS
from tests.filing import lay_in, listed, read, send, states
from tests.pair import LinePair

MAP = "map of the crossing.png"


def test_a_file_arrives_with_its_text() -> None:
    pair = LinePair()
    data = pair.random.randbytes(100_000)
    serial = send(pair, "a", "See the map.", lay_in(pair, "a", MAP, data))
    pair.settle(3)
    assert pair.texts("b") == ["See the map."]
    [file] = listed(pair, "b", serial)
    assert (file["name"], file["bytes"], file["state"], file["percent"]) == (
        MAP,
        100_000,
        "whole",
        100,
    )
    assert read(pair.stores["b"], serial) == data
    assert states(pair, "a", serial, OURS) == ["whole"]
    assert read(pair.stores["a"], serial, side=OURS) == data
    one, other = pair.digests()
    assert one == other
    assert not pair.stores["a"]._disk.contents
    assert not any(name.startswith("content/") for name in pair.stores["a"].state(0))
    assert not pair.posts["b"].status(1, pair.now).faults
