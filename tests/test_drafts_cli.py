"""Drafts from the command line: written, shown, edited, released after a look at all they say."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from openline import cli, i18n
from openline.commands.shell import Shell
from openline.core.precedence import Precedence
from openline.inputs import CommentDraft, SaveDraft, Written
from tests.answering import Answering
from tests.command_line import Captured, answered, asked, openline, said
from tests.drafting import content
from tests.pair import LinePair


@pytest.fixture
def pair() -> LinePair:
    """Two posts whose line is open and quiet."""
    pair = LinePair()
    pair.flow()
    return pair


@pytest.fixture(autouse=True)
def running(pair: LinePair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Answering]:
    """Post "a" answers to commands."""
    with answered(pair, tmp_path, monkeypatch) as answering:
        yield answering


def type_in(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Give standard input."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


def written(capsys: Captured, *options: object) -> str:
    """A draft under review; its id."""
    draft: str = asked(
        capsys, "draft", "new", "other", "Are you there?", "-l", "en", "--hand", *options
    )["draft"]
    return draft


def test_a_draft_goes_all_the_way_from_the_command_line(
    pair: LinePair, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = pair.say("b", "Are you standing by?")
    pair.flow()
    options = ("-p", "f", "-s", "Answer", "--ref", question.number, "--reply-by", "+1h")
    told = said(capsys, "draft", "new", "other", "We are.", *options, "--action", "duty")
    draft = told.split()[1].removesuffix(",")
    assert draft in said(capsys, "draft", "list")
    assert openline("draft", "comment", draft, "Say who we are.") == 0
    assert (
        openline("draft", "edit", draft, "The duty officer is.", "-p", "i", "--clear", "subject")
        == 0
    )
    assert openline("draft", "release", draft, "--yes", "--hash", "0" * 64) == cli.EXIT_LOCAL
    assert openline("draft", "hand", draft) == 0
    assert openline("draft", "return", draft, "One moment.") == 0
    assert openline("draft", "hand", draft, "--revision", 2) == 0
    page = said(capsys, "draft", "show", draft)
    for expected in ("under review", "IMMEDIATE", "duty", "- We are.", "+ The duty officer is."):
        assert expected in page
    assert "Precedence: FLASH → IMMEDIATE" in page
    assert "Say who we are." in page
    type_in(monkeypatch, "other\n")
    out = said(capsys, "draft", "release", draft)
    assert "The duty officer is." in out
    assert "Released as" in out
    assert pair.texts("b") == ["The duty officer is."]
    assert said(capsys, "draft", "list").strip() == "No draft is under way."
    (ended,) = asked(capsys, "draft", "list", "other", "--all")
    shown = said(capsys, "show", "other", f"ours:{ended['serial'].partition('.')[0]}")
    assert "test, by one person" in shown


def test_what_is_not_named_stays_and_what_is_cleared_goes(pair: LinePair, capsys: Captured) -> None:
    pair.say("b", "first")
    pair.flow()
    number = json.loads(said(capsys, "inbox", "--json"))[0]["number"]
    named = ("-s", "S", "--ref", number, "--dtg", "150000ZNOV23", "--reply-by", "2030-01-01T00:00Z")
    draft = written(capsys, *named, "--action", "duty", "--info", "desk-two", "--info", "desk-one")
    before = asked(capsys, "draft", "show", draft)
    assert openline("draft", "edit", draft, "Are you standing by?") == 0
    after = asked(capsys, "draft", "show", draft)
    kept = ("precedence", "language", "subject", "dtg", "due", "references", "action")
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert (after["information"], after["revision"]) == (["desk-two", "desk-one"], 2)
    assert after["changes"]["fields"] == []
    clear = [
        part
        for name in ("subject", "dtg", "reply-by", "refs", "action", "info")
        for part in ("--clear", name)
    ]
    assert openline("draft", "edit", draft, *clear) == 0
    bare = asked(capsys, "draft", "show", draft)
    assert [bare[name] for name in ("subject", "dtg", "due")] == ["", None, None]
    assert bare["references"] == bare["action"] == bare["information"] == []
    assert bare["text"] == "Are you standing by?"


def test_a_release_needs_the_name_of_the_line_or_the_hash(
    pair: LinePair, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = written(capsys)
    type_in(monkeypatch, "yes\n")
    assert openline("draft", "release", draft) == cli.EXIT_LOCAL
    assert "is not released" in capsys.readouterr().err
    assert openline("draft", "release", draft, "--yes") == cli.EXIT_USAGE
    assert openline("draft", "release", draft, "--yes", "--hash", "0" * 64) == cli.EXIT_LOCAL
    assert pair.texts("b") == []
    right = asked(capsys, "draft", "show", draft)["hash"]
    first = asked(capsys, "draft", "release", draft, "--yes", "--hash", right)
    assert asked(capsys, "draft", "release", draft, "--yes", "--hash", right) == first
    assert openline("draft", "release", draft) == 0
    assert pair.texts("b") == ["Are you there?"]


def test_who_was_faster_is_named_and_both_texts_are_kept(pair: LinePair, capsys: Captured) -> None:
    draft = written(capsys)
    pair.do("a", SaveDraft(1, "desk-two", content("Are you here?"), draft, 1))
    assert openline("draft", "edit", draft, "Who is there?", "--revision", 1) == cli.EXIT_LOCAL
    err = capsys.readouterr().err
    assert "desk-two" in err
    assert "revision 3" in err
    assert "Who is there?" in said(capsys, "draft", "show", draft, "--revision", 3)
    assert "Are you here?" in said(capsys, "draft", "show", draft)
    assert "- Are you there?" in said(capsys, "draft", "show", draft, "--since", 1)


def saved(pair: LinePair, given: SaveDraft) -> str:
    """Save a draft beside the command line; its id."""
    made = pair.do("a", given)
    assert isinstance(made, Written)
    return made.draft


def test_drafts_of_others_are_dropped_only_if_that_is_said(
    pair: LinePair, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = saved(pair, SaveDraft(1, "desk-two", content("x")))
    assert openline("draft", "drop", draft, "--yes") == cli.EXIT_LOCAL
    type_in(monkeypatch, "no\n")
    assert openline("draft", "drop", draft, "--others") == cli.EXIT_LOCAL
    type_in(monkeypatch, f"{draft}\n")
    assert openline("draft", "drop", draft, "--others") == 0
    assert asked(capsys, "draft", "show", draft)["state"] == "dropped"


def test_what_is_written_during_the_question_is_not_dropped(
    pair: LinePair, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = saved(pair, SaveDraft(1, "test", content("x")))

    def meanwhile(_shell: Shell, _key: str, **_said: object) -> str:
        saved(pair, SaveDraft(1, "desk-two", content("y"), draft, 1))
        return draft

    monkeypatch.setattr(Shell, "ask", meanwhile)
    assert openline("draft", "drop", draft, "--others") == cli.EXIT_LOCAL
    assert "desk-two changed draft" in capsys.readouterr().err
    assert asked(capsys, "draft", "show", draft)["text"] == "y"


def test_two_persons_are_asked_for_where_they_are_needed(pair: LinePair, capsys: Captured) -> None:
    pair.posts["a"].two_persons = frozenset({Precedence.FLASH})
    assert openline("send", "other", "x", "-p", "flash") == cli.EXIT_LOCAL
    draft = written(capsys, "-p", "flash")
    assert "does not release it" in said(capsys, "draft", "show", draft)
    right = asked(capsys, "draft", "show", draft)["hash"]
    assert openline("draft", "release", draft, "--yes", "--hash", right) == cli.EXIT_LOCAL
    assert "two persons" in capsys.readouterr().err
    assert pair.texts("b") == []


@pytest.mark.parametrize("language", i18n.LANGUAGES)
def test_nothing_a_text_says_controls_the_terminal(
    pair: LinePair, capsys: Captured, language: str
) -> None:
    name = saved(pair, SaveDraft(1, "desk-two", content("\x1b[2J\u202eon")))
    pair.do("a", CommentDraft(name, "desk-two", "\x1b[2J\u202ecomment"))
    pair.do("a", SaveDraft(1, "desk-two", content("\x1b[2J\u202etwo", subject="\x1b"), name, 1))
    for arguments in (("draft", "list"), ("draft", "show", name)):
        out = said(capsys, "--lang", language, *arguments)
        assert "\u202e" not in out
        assert "\x1b[2J" not in out


def test_the_draft_commands_answer_with_keys_that_are_documented(capsys: Captured) -> None:
    documented = (Path(cli.__file__).parents[2] / "docs/operating/commands.md").read_text()
    about = documented[documented.index("**A draft**") :].partition("\n\n")[0]
    draft = written(capsys)
    assert openline("draft", "edit", draft, "Are you standing by?") == 0
    view = asked(capsys, "draft", "show", draft)
    for name in (*view, *view["changes"], *view["revisions"][0], *view["steps"][0]):
        assert f"`{name.removesuffix('_group')}`" in about, name
