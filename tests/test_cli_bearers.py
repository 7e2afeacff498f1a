"""Bearers at the command line of a post that does not run: written down, changed, listed, named."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from openline import cli, i18n
from openline.commands.opened import actor
from tests.test_cli import Captured, Party, openline, ours, surroundings, tape, theirs

__all__ = ["ours", "surroundings", "tape", "theirs"]


def test_bearers_are_written_down_and_taken_away(
    ours: Party, theirs: Party, tape: Path, capsys: Captured
) -> None:
    ours("pair", theirs.card, "--name", "moscow", "--tape", tape, "--words", theirs.words)
    assert ours("bearer", "add", "moscow", "--tcp", "192.0.2.1:7100") == 0
    assert ours("bearer", "add", "moscow", "--relay", "https://relay.example") == 0
    capsys.readouterr()
    assert ours("bearer", "list", "moscow", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(each["name"], each["kind"]) for each in listed] == [("tcp", "tcp"), ("relay", "relay")]
    assert ours("bearer", "change", "moscow", "tcp", "--cost", "3", "--rate", "150") == 0
    assert ours("bearer", "pause", "moscow", "tcp") == 0
    capsys.readouterr()
    assert ours("bearer", "list", "--json") == 0
    shown = json.loads(capsys.readouterr().out)[0]
    assert (shown["cost"], shown["rate_bytes_s"], shown["paused_by"]) == (3, 150, actor())
    assert ours("bearer", "list") == 0
    assert actor() in capsys.readouterr().out
    assert ours("bearer", "resume", "moscow", "tcp") == 0
    assert ours("bearer", "change", "moscow", "tcp") == cli.EXIT_USAGE
    assert ours("bearer", "test", "moscow", "tcp") == cli.EXIT_NO_POST
    assert ours("bearer", "remove", "moscow", "tcp") == 0
    capsys.readouterr()
    assert ours("bearer", "list") == 0
    assert "192.0.2.1" not in capsys.readouterr().out
    assert ours("bearer", "add", "nowhere", "--tcp", "192.0.2.1:7100") == cli.EXIT_LOCAL
    assert ours("bearer", "add", "moscow") == cli.EXIT_USAGE


def test_a_radio_is_written_down_with_both_call_signs(
    ours: Party, theirs: Party, tape: Path, capsys: Captured
) -> None:
    ours("pair", theirs.card, "--name", "moscow", "--tape", tape, "--words", theirs.words)
    radio = ("bearer", "add", "moscow", "--kiss", "localhost:8001", "--callsign", "n0call-1")
    assert ours(*radio) == cli.EXIT_USAGE
    assert "--to" in capsys.readouterr().err
    assert ours(*radio, "--to", "N0CALL-16") == cli.EXIT_USAGE
    assert "--to N0CALL-16: not a call sign" in capsys.readouterr().err
    assert ours(*radio, "--to", "N0CALL-2", "--tx-delay", "250") == 0
    assert ours("bearer", "change", "moscow", "kiss", "--kiss", "radio:8001", "--rate", "37") == 0
    tcp = ("bearer", "add", "moscow", "--tcp", "192.0.2.1:7100")
    assert ours(*tcp, "--tx-delay", "250") == cli.EXIT_USAGE
    capsys.readouterr()
    assert ours("bearer", "list", "--json") == 0
    [shown] = json.loads(capsys.readouterr().out)
    wanted = {
        "kind": "kiss",
        "name": "kiss",
        "address": "radio:8001",
        "callsign": "N0CALL-1",
        "to": "N0CALL-2",
        "tx_delay_ms": 250,
        "rate_bytes_s": 37,
    }
    assert wanted.items() <= shown.items()


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (("add", "moscow", "--tcp", "foo"), "--tcp foo: not host:port."),
        (("add", "moscow", "--relay", "relay"), "--relay relay: not an address of a relay."),
        (("add", "moscow", "--tcp", "a:1", "--name", "T P"), "--name T P: not a name of a bearer."),
        (("change", "moscow", "tcp", "--tcp", "foo"), "--tcp foo: not host:port."),
    ],
)
def test_a_wrong_option_is_named_and_not_the_file_it_would_stand_in(
    ours: Party, said: tuple[str, ...], told: str, capsys: Captured
) -> None:
    (ours.directory / "post.toml").write_text("# a person's own\n")
    assert ours("bearer", *said) == cli.EXIT_USAGE
    assert told in capsys.readouterr().err
    assert (ours.directory / "post.toml").read_text() == "# a person's own\n"


@pytest.mark.parametrize("language", i18n.LANGUAGES)
def test_bearers_are_listed_with_their_whole_names_and_addresses(
    ours: Party, language: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    (ours.directory / "post.toml").write_text("")
    names = [f"embassy-in-the-old-town-{at}" for at in range(8)]
    where = [f"post-{at}.department.ministry.example:7411" for at in range(8)]
    text = "".join(
        f'[[bearer]]\nline = "new paris"\nkind = "tcp"\nname = "{name}"\naddress = "{at}"\n'
        for name, at in zip(names, where, strict=True)
    )
    (ours.directory / "post.toml").write_text(text)
    key = ("--dir", ours.directory, "--key-file", ours.key)
    assert openline("--lang", language, *key, "bearer", "list") == 0
    rows = capsys.readouterr().out.splitlines()
    assert [row for row in rows if not row.startswith(" ")] == [
        f"new paris  {name}  {at}" for name, at in zip(names, where, strict=True)
    ]
    assert max(map(len, rows)) <= 80


def test_the_last_bearer_of_a_line_goes_only_when_its_name_is_typed(
    ours: Party, theirs: Party, tape: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours("pair", theirs.card, "--name", "moscow", "--tape", tape, "--words", theirs.words)
    assert ours("bearer", "add", "moscow", "--tcp", "192.0.2.1:7100", "--name", "cable") == 0
    assert ours("bearer", "add", "moscow", "--folder", "shared", "--name", "embassy") == 0
    monkeypatch.setattr(sys, "stdin", io.StringIO("moscow\n"))
    assert ours("bearer", "remove", "moscow", "cable") == 0
    capsys.readouterr()
    assert ours("bearer", "remove", "moscow", "embassy") == cli.EXIT_LOCAL
    asked = capsys.readouterr().err
    assert "embassy is the last bearer of moscow" in asked
    assert "the bearer stays" in asked
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert ours("bearer", "remove", "moscow", "embassy") == cli.EXIT_USAGE
    monkeypatch.setattr(sys, "stdin", io.StringIO("embassy\n"))
    assert ours("bearer", "remove", "moscow", "embassy") == 0
    assert ours("bearer", "add", "moscow", "--tcp", "192.0.2.1:7100") == 0
    capsys.readouterr()
    assert ours("bearer", "remove", "moscow", "tcp", "--yes") == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("verb", "option"),
    [
        *(("add", option) for option in ("--tcp", "--relay", "--folder", "--serial", "--name")),
        *(("change", option) for option in ("--tcp", "--folder")),
    ],
)
def test_what_is_not_text_is_named_and_changes_nothing(
    ours: Party, theirs: Party, tape: Path, capsys: Captured, verb: str, option: str
) -> None:
    ours("pair", theirs.card, "--name", "moscow", "--tape", tape, "--words", theirs.words)
    ours("bearer", "add", "moscow", "--tcp", "192.0.2.1:7100")
    before = (ours.directory / "post.toml").read_bytes()
    name = () if verb == "add" else ("tcp",)
    where = ("--tcp", "192.0.2.2:7100") if option == "--name" else ()
    capsys.readouterr()
    assert ours("bearer", verb, "moscow", *name, *where, option, "h\udcff:1") == cli.EXIT_USAGE
    first, _ = capsys.readouterr().err.splitlines()
    assert first.startswith(option)
    assert first.endswith("h⟨U+DCFF⟩:1: not text in UTF-8.")
    assert (ours.directory / "post.toml").read_bytes() == before


def test_a_line_that_is_not_there_is_told_as_that(
    ours: Party, theirs: Party, tape: Path, capsys: Captured
) -> None:
    ours("pair", theirs.card, "--name", "moscow", "--tape", tape, "--words", theirs.words)
    verbs = (("list",), ("remove", "tcp"), ("pause", "tcp"), ("change", "tcp", "--cost", "1"))
    for verb, *rest in verbs:
        capsys.readouterr()
        assert ours("bearer", verb, "nosuch", *rest) == cli.EXIT_LOCAL
        assert "There is no line of that name." in capsys.readouterr().err
    assert ours("bearer", "list", "moscow") == 0
    assert "No bearer yet" in capsys.readouterr().out


def test_without_a_post_that_runs_no_bearer_is_called_down(
    ours: Party, theirs: Party, tape: Path, capsys: Captured
) -> None:
    ours("pair", theirs.card, "--name", "moscow", "--tape", tape, "--words", theirs.words)
    ours("bearer", "add", "moscow", "--tcp", "192.0.2.1:7100")
    capsys.readouterr()
    assert ours("bearer", "list") == 0
    listed = capsys.readouterr().out
    assert "The post is not running." in listed
    assert "down" not in listed
