"""Answers that list stay within what a client takes, whatever the texts of the other side swell to,
and say of every missing number whether it will come.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from openline import listing, verbs
from openline.core import receipts
from openline.core.events import Serial
from openline.core.inbound import Begin
from openline.core.limits import BODY_BYTES_MAX
from openline.desk.asking import last_texts
from openline.errors import LocalError
from openline.listing import PAGE_BYTES, holes
from openline.store.base import THEIRS, Batch
from tests.command_line import Captured, answered, asked, said
from tests.hostile import Mutant, lane, settled
from tests.pair import LinePair, reworded
from tests.vectors.scribe import raw_record

COUNT = 256
SWOLLEN = "\udcff" * BODY_BYTES_MAX
"""No UTF-8: each byte is shown as an escape, whose backslash JSON doubles."""
ONE_BYTES_MAX = 600_000
"""The longest entry of such a text, with its bytes."""


@pytest.fixture(scope="module")
def swollen() -> LinePair:
    """a holds what took b some 23 kB to send."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("openline.lane._utf8", lambda text: text.encode("utf-8", "surrogateescape"))
        pair = settled()
        for _ in range(COUNT):
            pair.say("b", SWOLLEN)
            pair.flow()
    rows = pair.stores["a"].arrivals(1, 0, COUNT * 2, side=THEIRS, kinds=[receipts.TEXT])
    assert sum(len(row.record) for row in rows) < 30_000
    return pair


def read(pair: LinePair, verb: str, **args: object) -> Any:
    return verbs.read(pair.stores["a"], pair.posts["a"], verb, args, pair.now)


def paged(pair: LinePair, verb: str, place: dict[str, Any], **args: object) -> list[Any]:
    """All pages that a verb lists, each of them of bounded length."""
    pages = []
    following: dict[str, Any] | None = place
    while following is not None:
        page = read(pair, verb, **args, **following)
        assert len(json.dumps(page)) < PAGE_BYTES + ONE_BYTES_MAX
        pages.append(page["records"])
        found = page["next"]
        following = {"at": found} if isinstance(found, list) else found
    return pages


def texts(entries: list[Any]) -> int:
    """How many of the long texts are listed, each once."""
    return len({each["serial"] for each in entries if len(each.get("text", "")) > BODY_BYTES_MAX})


@pytest.mark.parametrize(
    ("verb", "place", "args", "count"),
    [
        ("transcript", {}, {"line": "other", "raw": True}, COUNT),
        ("inbox", {"limit": 250}, {}, 250),
        ("inbox", {"limit": 250}, {"line": "other", "all": True}, 250),
        ("search", {}, {"limit": 200}, COUNT),
    ],
)
def test_a_page_ends_by_its_length_and_the_next_goes_on(
    swollen: LinePair, verb: str, place: dict[str, Any], args: dict[str, Any], count: int
) -> None:
    pages = paged(swollen, verb, place, **args)
    entries = [each for page in pages for each in page if each["kind"] == "text"]
    found = [each for each in entries if len(each["text"]) > BODY_BYTES_MAX]
    assert texts(entries) == len(found) == count


def test_what_has_no_next_page_is_cut_short_and_says_so(swollen: LinePair) -> None:
    pending = read(swollen, "pending", limit=200)
    assert len(json.dumps(pending)) < PAGE_BYTES + ONE_BYTES_MAX
    assert 0 < len(pending["messages"]) < pending["count"]


def test_a_record_of_swollen_texts_is_verified(
    swollen: LinePair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    with answered(swollen, tmp_path, monkeypatch):
        assert "the same record" in said(capsys, "transcript", "other", "--verify")


def test_a_record_of_swollen_texts_is_listed_and_exported(
    swollen: LinePair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    out = tmp_path / "record.jsonl"
    with answered(swollen, tmp_path, monkeypatch):
        assert texts(asked(capsys, "inbox", "--limit", "250")) == 250
        said(capsys, "transcript", "other", "--export", "jsonl", "--out", out)
    with out.open() as lines:
        assert sum(len(line) > BODY_BYTES_MAX * 5 for line in lines) == COUNT


def test_the_desk_has_the_last_texts_of_a_line_in_as_many_pages_as_they_take(
    swollen: LinePair,
) -> None:
    async def call(verb: str, _token: str, /, *, seen: bool, **args: object) -> Any:
        assert seen
        return read(swollen, verb, **args)

    found = asyncio.run(last_texts(call, "", "other", 50, seen=True))
    newest = swollen.posts["a"].status(1, swollen.now).peer_number
    numbers = [each["number"] for each in found if each["kind"] == "text"]
    assert (numbers[-1], texts(found)) == (newest, 50)


@pytest.fixture
def gappy() -> LinePair:
    """Numbers of b's are missing at a."""
    pair = settled()
    mutant = Mutant(pair)
    for step in (2, 4, 5, 8, 3, 12):
        mutant.send(mutant.ahead(step, body=b"%d" % step))
    return pair


def test_an_inbox_of_many_pages_is_that_of_one(
    gappy: LinePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    [whole] = paged(gappy, "inbox", {})
    assert [each.get("text", each["type"]) for each in whole] == (
        ["one true text", "gap", "2", "4", "5", "gap", "8", "3", "gap", "12"]
    )
    for length in (1, 2_000, 4_000):
        monkeypatch.setattr(listing, "PAGE_BYTES", length)
        pages = paged(gappy, "inbox", {}, all=False)
        assert len(pages) > 1
        assert [each for page in pages for each in page] == whole
    assert read(gappy, "inbox", limit=0)["records"] == [each for each in whole if "count" in each]


@pytest.mark.parametrize("verb", ["transcript", "search"])
@pytest.mark.parametrize("limit", [1, 2, 3])
def test_what_is_missing_does_not_make_a_page_longer_than_asked(
    gappy: LinePair, verb: str, limit: int
) -> None:
    [whole] = paged(gappy, verb, {}, line="other")
    pages = paged(gappy, verb, {}, line="other", limit=limit)
    assert [each for page in pages for each in page] == whole
    assert max(map(len, pages)) <= limit + 1


@pytest.mark.parametrize(
    "reached", ["all", [1], [[1]], [[1, 2, 3]], [[1, "2"]], [[1, True]], [{"line": 1}]]
)
def test_a_place_in_an_inbox_that_is_none_is_refused(gappy: LinePair, reached: object) -> None:
    with pytest.raises(LocalError, match=r"control\.argument"):
        read(gappy, "inbox", reached=reached)


def test_texts_off_the_chain_come_in_pages_too(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = settled()
    store = pair.stores["a"]
    row = store.chain(1, THEIRS, 1, 100)[-1]
    others = [f"another {number}" for number in range(1, 5)]
    for number, other in enumerate(others, 1):
        fork = row._replace(record=reworded(row.record, other), head=None, variant=number)
        store.commit(Batch(rows=[fork._replace(standing=2)]))
    monkeypatch.setattr(listing, "PAGE_BYTES", 2_000)
    pages = paged(pair, "off_chain", {}, line="other")
    assert len(pages) > 1
    assert [each["text"] for page in pages for each in page] == others
    thread = read(pair, "thread", line="other", number=row.number)
    assert thread["complete"]


def test_a_thread_that_is_too_long_says_that_it_is_not_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pair = settled()
    first = pair.stores["a"].chain(1, THEIRS, 1, 100)[-1]
    refers = [{"ours": False, "number": first.number}]
    for _ in range(4):
        given = verbs.act(
            *(pair.stores["a"], pair.posts["a"], "test", "send"),
            {"line": "other", "text": "answer", "references": refers},
        )
        pair.do("a", given)
    assert len(read(pair, "thread", line="other", number=first.number)["after"]) == 4
    monkeypatch.setattr(listing, "PAGE_BYTES", 2_000)
    found = read(pair, "thread", line="other", number=first.number)
    assert 0 < len(found["after"]) < 4
    assert not found["complete"]
    assert found["answer"]


# -- what is missing ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lost", "expected"),
    [
        ([], [("gap", 3, 9)]),
        ([(1, 20)], [("lost", 3, 9)]),
        ([(1, 5)], [("lost", 3, 5), ("gap", 6, 9)]),
        ([(5, 20)], [("gap", 3, 4), ("lost", 5, 9)]),
        ([(1, 2), (4, 4), (6, 7), (10, 12)],
         [("gap", 3, 3), ("lost", 4, 4), ("gap", 5, 5), ("lost", 6, 7), ("gap", 8, 9)]),
    ],
)  # fmt: skip
def test_a_hole_is_told_as_lost_only_where_it_is(
    lost: list[tuple[int, int]], expected: list[tuple[str, int, int]]
) -> None:
    found = [*holes(1, "other", 3, 9, lost)]
    assert [(each["type"], each["first"], each["last"]) for each in found] == expected
    assert all(each["count"] == each["last"] - each["first"] + 1 for each in found)
    assert [*holes(1, "other", 4, 3, lost)] == []


def test_numbers_still_on_their_way_are_not_told_as_lost() -> None:
    pair = settled()
    mutant, number = Mutant(pair), Mutant(pair).last.number
    body = Begin(number + 14, bytes(32), 0, 0, tuple(lane(pair, "b").line.branch)).encode()
    begin = Serial(0x500000, number + 18)
    mutant.send(raw_record(*begin, kind=receipts.BEGIN, language=0, body=body))
    status = pair.posts["a"].status(1, pair.now)
    expected = [("lost", *status.lost[0]), ("gap", *status.gaps[0])]
    assert expected == [("lost", number + 1, number + 14), ("gap", number + 15, number + 17)]
    for verb in ("transcript", "search"):
        found = read(pair, verb, line="other")["records"]
        shown = [(each["type"], each["first"], each["last"]) for each in found if "count" in each]
        assert shown == expected
