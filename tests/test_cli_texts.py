"""Where a text comes from at the command line, and what is refused before it goes out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from openline import cli
from openline.arguments import REQUEST_BYTES_MAX
from tests.command_line import Captured, openline, said, type_in
from tests.pair import LinePair
from tests.test_cli_online import pair, running

__all__ = ["pair", "running"]


def test_a_text_comes_from_a_file_or_from_standard_input(
    pair: LinePair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    path = tmp_path / "text"
    path.write_bytes("première\r\nligne e\u0301\r\n".encode())
    assert openline("send", "other", "--file", path) == 0
    for arguments in (("send", "other"), ("send", "other", "--file", "-"), ("send", "other", "-")):
        type_in(monkeypatch, "Ответ\n".encode())
        assert openline(*arguments) == 0
    assert pair.texts("b") == ["première\nligne é", "Ответ", "Ответ", "Ответ"]
    type_in(monkeypatch, b"a draft\n")
    draft = json.loads(said(capsys, "draft", "new", "other", "-", "--json"))["draft"]
    type_in(monkeypatch, b"a better one\n")
    assert openline("draft", "edit", draft, "-") == 0
    assert json.loads(said(capsys, "draft", "show", draft, "--json"))["text"] == "a better one"


@pytest.mark.parametrize("bytes_", [65_537, 10_000_000])
def test_a_text_that_is_too_long_is_told_the_length_of_a_text(
    bytes_: int, pair: LinePair, tmp_path: Path, capsys: Captured
) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"x" * 65_536 + b"\n")
    assert openline("send", "other", "--file", path) == 0
    path.write_bytes(b"x" * bytes_)
    assert openline("send", "other", "--file", path) == cli.EXIT_LOCAL
    assert "longer than 65536 bytes" in capsys.readouterr().err


def test_a_request_beyond_what_the_post_reads_is_told_as_that(capsys: Captured) -> None:
    assert openline("address", "other", "--set", "x" * REQUEST_BYTES_MAX) == cli.EXIT_LOCAL
    assert "longer than 1048576 bytes" in capsys.readouterr().err


def test_a_text_that_begins_like_an_option_is_told_how_to_be_said(
    pair: LinePair, capsys: Captured
) -> None:
    assert openline("send", "other", "-5 degrees") == cli.EXIT_USAGE
    assert "--." in capsys.readouterr().err
    assert openline("send", "other", "--", "-5 degrees") == 0
    assert pair.texts("b") == ["-5 degrees"]
    assert openline("send", "other", "--subjekt", "x") == cli.EXIT_USAGE
    assert "--." not in capsys.readouterr().err


def test_a_directory_is_no_file_to_attach(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert openline("send", "other", "x", "--attach", ".") == cli.EXIT_LOCAL
    assert ". cannot be read: it is a directory" in capsys.readouterr().err


def test_a_draft_that_is_not_handed_over_is_refused_before_anything_is_asked(
    capsys: Captured,
) -> None:
    draft = json.loads(said(capsys, "draft", "new", "other", "not ready", "--json"))["draft"]
    assert openline("draft", "release", draft) == cli.EXIT_LOCAL
    told = capsys.readouterr()
    assert "Hand it over" in told.err
    assert "not ready" not in told.out


@pytest.mark.parametrize("data", [b"", b" \n", b"\xff\xfe\x00"])
def test_no_text_and_no_utf8_are_refused(
    data: bytes, pair: LinePair, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    type_in(monkeypatch, data)
    assert openline("send", "other") == cli.EXIT_LOCAL
    assert "nothing was released" in capsys.readouterr().err
    assert pair.texts("b") == []
