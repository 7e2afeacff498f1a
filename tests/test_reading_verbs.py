"""What the desk reads: the in-tray, threads, the sifted transcript, forms of address."""

from __future__ import annotations

from typing import Any

import pytest

from openline import searching, threads, verbs
from openline.addressing import ADDRESS_BYTES_MAX
from openline.core import receipts
from openline.core.events import Reference, Serial
from openline.core.precedence import Precedence
from openline.errors import LocalError
from openline.inputs import Receive, Release, SetAddress
from openline.searching import folded, words
from tests.pair import LinePair

FLASH, ROUTINE = Precedence.FLASH, Precedence.ROUTINE


def read(pair: LinePair, name: str, verb: str, **args: object) -> Any:
    return verbs.read(pair.stores[name], pair.posts[name], verb, args, pair.now)


def say(
    pair: LinePair,
    name: str,
    text: str,
    precedence: Precedence = ROUTINE,
    due_s: int | None = None,
    *refers: Reference,
) -> Serial:
    """Release a text; it arrives."""
    said = Release(1, "duty", precedence, "en", "", text, None, due_s, refers)
    serial = pair.do(name, said)
    assert isinstance(serial, Serial)
    pair.flow()
    return serial


def texts(found: list[dict[str, Any]]) -> list[str]:
    """What is listed: texts, and holes by their kind."""
    return [str(each.get("text", each["type"])) for each in found]


@pytest.fixture
def pair() -> LinePair:
    made = LinePair()
    made.flow()
    return made


def test_what_waits_comes_by_precedence_and_then_by_when_the_answer_is_due(pair: LinePair) -> None:
    soon_s = pair.now.wall_s + 600
    for text, precedence, due_s in (
        ("routine", ROUTINE, None),
        ("flash", FLASH, None),
        ("routine, soon", ROUTINE, soon_s),
        ("flash, later", FLASH, soon_s + 60),
        ("flash, soon", FLASH, soon_s),
    ):
        opened = say(pair, "a", text, precedence, due_s)
    found = read(pair, "b", "pending")
    ordered = ["flash, soon", "flash, later", "flash", "routine, soon", "routine"]
    assert texts(found["messages"]) == ordered
    assert (found["count"], found["complete"]) == (5, True)
    assert texts(read(pair, "b", "pending", limit=2)["messages"]) == ordered[:2]
    pair.do("b", Receive(1, "duty", receipts.OPENED, opened))
    first = read(pair, "b", "pending")["messages"][0]
    assert (first["text"], first["unopened"], first["awaited_s"]) == ("flash, soon", False, soon_s)
    say(pair, "b", "answer", ROUTINE, None, Reference(False, opened))
    assert texts(read(pair, "b", "pending")["messages"]) == ordered[1:]


def test_a_thread_goes_back_by_references_and_forward_to_every_answer(pair: LinePair) -> None:
    first = say(pair, "a", "first")
    say(pair, "a", "beside")
    second = say(pair, "b", "second", ROUTINE, None, Reference(False, first))
    third = say(pair, "a", "third", ROUTINE, None, Reference(False, second))
    say(pair, "a", "fourth", ROUTINE, None, Reference(True, third))
    found = read(pair, "a", "thread", line="other", side="theirs", number=second.number)
    assert texts(found["before"]) == ["first"]
    assert texts(found["after"]) == ["third", "fourth"]
    assert found["answer"]["text"] == "third"
    assert found["complete"]
    alone = read(pair, "a", "thread", line="other", side="ours", number=first.number + 1)
    assert (alone["before"], alone["after"], alone["answer"]) == ([], [], None)
    with pytest.raises(LocalError, match=r"message\.unknown"):
        read(pair, "a", "thread", line="other", number=999)


def test_a_thread_says_when_it_did_not_look_through_all(
    pair: LinePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = say(pair, "a", "first")
    for number in range(3):
        say(pair, "b", f"{number}", ROUTINE, None, Reference(False, first))
    monkeypatch.setattr(threads, "LOOKED_MAX", 2)
    found = read(pair, "b", "thread", line="other", number=first.number)
    assert (texts(found["after"]), found["complete"]) == (["0", "1"], False)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("act", "Act here."),
        ("ACT here", "We act here"),
        ("straße", "STRASSE 7"),
        ("café", "the cafe\u0301 in question"),
        ("москва", "МОСКВА слушает"),
        ("ﬁle", "file 7"),
        ("停火", "立即停火协议"),
        ("السلام", "والسلام عليكم"),
        ("42", "unit 42, north"),
        ("(42)", "unit (42)"),
    ],
)
def test_words_are_found_whatever_their_case_and_script(asked: str, said: str) -> None:
    assert all(word.search(folded(said)) for word in words(asked))


@pytest.mark.parametrize(
    ("asked", "said"),
    [("act", "the fact"), ("act", "actor"), ("42", "1425"), ("act here", "act there"), (".*", "x")],
)
def test_a_part_of_a_word_is_not_the_word(asked: str, said: str) -> None:
    assert not all(word.search(folded(said)) for word in words(asked))


@pytest.mark.parametrize("marks", ["\u0344\u0323", "\uff9e\u0301", "\u0f73", "\u302e"])
def test_a_run_of_marks_is_not_put_in_order_beyond_what_is_shown(marks: str) -> None:
    assert len(folded("e" + marks * 16_384 + "x")) < 20
    assert folded("e\u0323\u0301" + marks * 16_384) == folded("e\u0301\u0323" + marks * 7)


@pytest.mark.parametrize("letter", ["\ufdfa", "м", "x"])
def test_a_question_looks_through_a_bounded_length_and_goes_on(
    pair: LinePair, letter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "LOOKED_BYTES_MAX", 20_000)
    for _ in range(12):
        say(pair, "a", letter * 2_000)
    say(pair, "a", "the last")
    looked, at = [], [0, 0, 0]
    while at is not None:
        page = read(pair, "b", "search", at=at, words="last")
        looked.append(page["looked"])
        at = page["next"]
    assert texts(page["records"]) == ["the last"]
    assert len(looked) >= {"\ufdfa": 12, "м": 3, "x": 2}[letter]


def test_a_search_finds_what_both_sides_said_and_can_be_narrowed(pair: LinePair) -> None:
    say(pair, "a", "The convoy waits")
    pair.wait(3600)
    serial = say(pair, "b", "Which CONVOY?", FLASH)
    pair.do("a", Receive(1, "duty", receipts.HOLDING, serial, 1_700_010_000, "about the convoy"))
    pair.flow()

    def found(**args: object) -> list[str]:
        return texts(read(pair, "a", "search", **args)["records"])

    both = ["The convoy waits", "Which CONVOY?"]
    assert found(words="convoy") == both
    assert found(words="convoy", line="other") == both
    assert found(words="convoy waits") == both[:1]
    assert found(words="nothing of the kind") == []
    assert found(side="theirs") == both[1:]
    assert found(precedence="FLASH") == both[1:]
    assert found(until_s=1_700_003_000) == both[:1]
    assert found(from_s=1_700_003_000) == both[1:]
    assert found(latest=True, limit=1, line="other") == both[1:]


def test_reading_goes_on_where_it_ended_and_misses_nothing(
    pair: LinePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = [f"text {number}" for number in range(7)]
    for number, text in enumerate(said):
        say(pair, "ab"[number % 2], text)
    monkeypatch.setattr(searching, "LOOKED_MAX", 5)
    for limit in (1, 3, 50):
        seen: list[str] = []
        at: list[int] | None = [0, 0, 0]
        while at is not None:
            page = read(pair, "a", "search", at=at, limit=limit)
            assert page["looked"] <= 5
            seen, at = seen + texts(page["records"]), page["next"]
        assert seen == said


def test_what_is_missing_stands_where_it_is_missing(pair: LinePair) -> None:
    say(pair, "a", "before")
    pair.do("a", Release(1, "duty", ROUTINE, "en", "", "lost on the way"))
    lost = pair.take("a")
    assert lost
    pair.do("a", Release(1, "duty", FLASH, "en", "", "after"))
    pair.give("b", pair.take("a"))
    shown = texts(read(pair, "b", "search", line="other")["records"])
    assert shown == ["before", "gap", "after"]
    assert texts(read(pair, "b", "search", words="after")["records"]) == ["after"]


@pytest.mark.parametrize(
    "args",
    [
        {"at": [1, 2]},
        {"at": [1, 2, -1]},
        {"at": [True, 0, 0]},
        {"side": "left"},
        {"precedence": "URGENT"},
        {"words": "x" * 201},
        {"words": 7},
        {"line": "nowhere"},
        {"from_s": "yesterday"},
    ],
)
def test_a_question_that_says_nonsense_is_refused(pair: LinePair, args: dict[str, object]) -> None:
    with pytest.raises(LocalError):
        read(pair, "a", "search", **args)


def test_forms_of_address_belong_to_the_name_of_the_line_and_are_never_sent(
    pair: LinePair,
) -> None:
    assert read(pair, "a", "address", line="other") == {"text": ""}
    act = verbs.act(
        *(pair.stores["a"], pair.posts["a"], "administrator", "address_set"),
        {"line": "other", "text": " The Chairman; never by name \n"},
    )
    pair.do("a", act)
    pair.flow()
    kept = {"text": "The Chairman; never by name"}
    assert read(pair, "a", "address", line="other") == kept
    pair.restart("a")
    assert read(pair, "a", "address", line="other") == kept
    assert read(pair, "b", "address", line="other") == {"text": ""}
    assert "address_set" in [entry.entry.act for entry in pair.stores["a"].audit()]
    long = SetAddress(1, "administrator", "x" * (ADDRESS_BYTES_MAX + 1))
    with pytest.raises(LocalError, match=r"address\.too_long"):
        pair.do("a", long)
    pair.do("a", SetAddress(1, "administrator", ""))
    assert read(pair, "a", "address", line="other") == {"text": ""}
