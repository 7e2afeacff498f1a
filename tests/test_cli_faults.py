"""What cannot be done is said in two lines, in the reader's language: what, and what to do next."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from openline import cli, i18n
from openline.commands.shell import Shell
from openline.errors import reason
from tests.command_line import type_in
from tests.test_cli import Captured, Party, openline, ours, surroundings

__all__ = ["ours", "surroundings"]


def two_lines(capsys: Captured) -> tuple[str, str]:
    """What stands on standard error: what happened, what to do next."""
    what, then = capsys.readouterr().err.splitlines()
    return what, then


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "{path}: no such file or directory."),
        ("fr", "{path}\u00a0: fichier ou répertoire introuvable."),
        ("ru", "{path}: нет такого файла или каталога."),
    ],
)
def test_why_the_system_refused_is_said_in_the_readers_language(
    tmp_path: Path, capsys: Captured, language: str, said: str
) -> None:
    path = tmp_path / "nofile"
    assert openline("--lang", language, "backup", "--check", path) == cli.EXIT_LOCAL
    what, _ = two_lines(capsys)
    assert what == said.format(path=path)


def test_only_errors_of_the_system_are_put_into_our_words() -> None:
    words = i18n.catalogue("fr")

    def told(error: OSError) -> str:
        return words.text("local.io", path="x", reason=reason(error))

    assert told(OSError(errno.EACCES, os.strerror(errno.EACCES))) == "x\u00a0: accès refusé."
    # What we have no words for, the system says; what a library says stays as it is.
    assert (
        told(OSError(errno.EXDEV, os.strerror(errno.EXDEV)))
        == f"x\u00a0: {os.strerror(errno.EXDEV)}."
    )
    assert told(ssl.SSLError(1, "certificate unknown")) == "x\u00a0: certificate unknown."
    assert told(socket.gaierror(8, "Name not known")) == "x\u00a0: Name not known."
    assert told(OSError("AF_UNIX path too long")) == "x\u00a0: AF_UNIX path too long."
    assert told(TimeoutError()) == "x\u00a0: TimeoutError."
    assert words.text("local.io", path="x", reason="errno.NONE") == "x\u00a0: errno.NONE."


def test_every_error_that_is_worded_is_one_of_the_system() -> None:
    keys = i18n.catalogue("en").keys()
    named = [key for key in keys if key.startswith("errno.")]
    assert "errno.EADDRINUSE" in named
    assert [key for key in named if not hasattr(errno, key.removeprefix("errno."))] == []


@pytest.fixture
def fresh_log() -> Iterator[None]:
    """A post that ran in this process logged to what is captured; the next test has another."""
    yield
    structlog.reset_defaults()


@pytest.mark.usefixtures("fresh_log")
def test_a_post_that_cannot_listen_says_why_and_what_to_do(ours: Party, capsys: Captured) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        (ours.directory / "post.toml").write_text(f'listen = "{address}"\n')
        capsys.readouterr()
        assert ours("serve") == cli.EXIT_LOCAL
    *_, what, then = capsys.readouterr().err.splitlines()
    assert what == f"Cannot listen at {address}: the address is already in use."
    assert "post.toml" in then


def test_a_bearer_without_an_answer_says_what_to_look_at(
    ours: Party, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(*_: object, **__: object) -> Any:
        return {"answered": False, "took_ms": None}

    monkeypatch.setattr(Shell, "call", silent)
    capsys.readouterr()
    assert ours("bearer", "test", "moscow", "tcp") == cli.EXIT_LOCAL
    what, then = two_lines(capsys)
    assert what == "No answer over tcp of moscow in 10 s."
    assert "openline bearer list" in then
    assert ours("bearer", "test", "moscow", "tcp", "--json") == cli.EXIT_LOCAL
    assert capsys.readouterr().err == ""


def test_where_nobody_can_be_asked_a_terminal_is_named(
    ours: Party, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    for command in (("backup", tmp_path / "kit"), ("card", "--rotate")):
        type_in(monkeypatch, b"")
        capsys.readouterr()
        assert ours(*command) == cli.EXIT_USAGE
        said = capsys.readouterr().err.splitlines()
        assert said[-1].startswith("Run the command on a terminal")


def test_what_reads_a_backup_asks_for_the_file(
    ours: Party, tmp_path: Path, capsys: Captured
) -> None:
    for command in (("backup", "--check"), ("--dir", tmp_path / "new", "restore")):
        capsys.readouterr()
        assert openline(*command) == cli.EXIT_USAGE
        assert two_lines(capsys)[0] == "FILE is missing."


@pytest.mark.parametrize("said", ["0", "0-3"])
def test_the_page_that_made_the_line_is_not_burned_and_that_is_said(
    ours: Party, capsys: Captured, said: str
) -> None:
    capsys.readouterr()
    assert ours("tape", "burn", "moscow", said) == cli.EXIT_USAGE
    what, then = two_lines(capsys)
    assert what == "Page 0 cannot be burned: it made the line."
    assert "openline card --rotate" in then
