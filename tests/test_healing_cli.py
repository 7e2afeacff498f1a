"""Healing at the command line: asked, refused, agreed to, and shown in three languages."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from openline import cli, i18n
from openline.inputs import ClearAlarm, HealAsk
from tests.answering import Answering
from tests.command_line import Captured, answered
from tests.healing import clear, give, lose_all, status, talk
from tests.pair import LinePair


@pytest.fixture
def pair() -> LinePair:
    """Two posts that have talked."""
    pair = LinePair()
    pair.flow()
    talk(pair, 4)
    return pair


@pytest.fixture(autouse=True)
def running(pair: LinePair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Answering]:
    """Post "a" answers to commands."""
    with answered(pair, tmp_path, monkeypatch) as answering:
        yield answering


def openline(capsys: Captured, *arguments: object) -> tuple[int, str]:
    """Run one command line: its exit code and all it says."""
    capsys.readouterr()
    code = cli.run([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return code, said.out + said.err


def asked_by_b(pair: LinePair) -> None:
    """b has lost its disk and asks; a's alarm stands."""
    lose_all(pair, "b")
    pair.do("b", ClearAlarm(1, "duty"))
    pair.do("b", HealAsk(1, "uid:7"))
    pair.settle(2)


@pytest.mark.parametrize("language", i18n.LANGUAGES)
def test_what_came_back_is_shown_as_such_everywhere(
    pair: LinePair, language: str, capsys: Captured, tmp_path: Path
) -> None:
    words = i18n.catalogue(language)
    lose_all(pair, "a")
    clear(pair)
    code, said = openline(capsys, "--lang", language, "heal", "ask", "other")
    assert code == 0
    assert "other" in said
    pair.settle(2)
    give(pair, "b")
    pair.settle()
    restored, aside = words.text("standing.restored"), words.text("standing.restored_aside")
    _, inbox = openline(capsys, "--lang", language, "inbox")
    assert inbox.count(f"[{restored}]") == 4
    entry = json.loads(openline(capsys, "inbox", "--json")[1])[0]
    _, page = openline(capsys, "--lang", language, "show", "other", entry["serial"])
    assert restored in page.replace("\n", " ")
    _, paper = openline(capsys, "--lang", language, "transcript", "other")
    assert paper.count(f"\n{restored}\n") == 4
    assert paper.count(f"\n{aside}\n") == 4
    _, shown = openline(capsys, "--lang", language, "heal", "status", "other")
    assert words.text("field.healing_ours") in shown
    out = tmp_path / "record.jsonl"
    assert openline(capsys, "transcript", "other", "--export", "jsonl", "--out", out)[0] == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert sum(bool(line.get("restored")) for line in lines if line.get("kind") == "text") == 4


@pytest.mark.parametrize("language", i18n.LANGUAGES)
def test_giving_is_refused_until_somebody_has_listened(
    pair: LinePair, language: str, capsys: Captured
) -> None:
    words = i18n.catalogue(language)
    code, said = openline(capsys, "--lang", language, "heal", "give", "other", "--yes")
    assert code == cli.EXIT_LOCAL
    assert words.text("heal.nothing_asked") in said
    asked_by_b(pair)
    _, glance = openline(capsys, "--lang", language, "status")
    assert words.text("status.asking", line="other") in glance
    code, said = openline(capsys, "--lang", language, "heal", "give", "other", "--yes")
    assert code == cli.EXIT_LOCAL
    assert "openline clear-alarm" in said
    assert status(pair, "b").lost


def test_the_name_is_typed_before_a_history_is_given_away(
    pair: LinePair, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_by_b(pair)
    assert openline(capsys, "clear-alarm", "other")[0] == 0
    for typed, expected in (("othre\n", cli.EXIT_LOCAL), ("other\n", 0)):
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        code, said = openline(capsys, "heal", "give", "other")
        assert code == expected, said
    pair.settle()
    assert status(pair, "b").lost == []
    found = json.loads(openline(capsys, "heal", "status", "other", "--json")[1])
    assert found["theirs"]["complete"] is True
    assert found["theirs"]["agreed"] is True
    assert openline(capsys, "heal", "give", "other", "--yes")[0] == cli.EXIT_LOCAL


def test_waiting_shows_how_far_it_is(pair: LinePair, capsys: Captured) -> None:
    asked_by_b(pair)
    assert openline(capsys, "clear-alarm", "other")[0] == 0
    code, said = openline(capsys, "heal", "give", "other", "--yes", "--wait")
    assert code == 0
    assert "100%" in said


def test_where_nothing_is_lost_nothing_is_asked_unless_that_is_meant(
    pair: LinePair, capsys: Captured
) -> None:
    before = len([*pair.stores["a"].audit()])
    code, said = openline(capsys, "heal", "ask", "other")
    assert code == cli.EXIT_LOCAL
    assert "Nothing is lost here on other" in said
    assert len([*pair.stores["a"].audit()]) == before
    assert openline(capsys, "heal", "ask", "other", "--yes")[0] == 0


def test_an_alarm_that_does_not_stand_is_not_cleared(pair: LinePair, capsys: Captured) -> None:
    before = len([*pair.stores["a"].audit()])
    code, said = openline(capsys, "clear-alarm", "other")
    assert code == 0
    assert "No alarm stands on other" in said
    assert len([*pair.stores["a"].audit()]) == before


def test_nothing_asked_is_said_plainly(capsys: Captured) -> None:
    assert "Neither side" in openline(capsys, "heal", "status", "other")[1]
