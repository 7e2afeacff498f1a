"""One command line run in this process, as a person would type it."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from openline import cli
from tests.answering import Answering
from tests.pair import LinePair

Captured = pytest.CaptureFixture[str]


@contextmanager
def answered(
    pair: LinePair, directory: Path, monkeypatch: pytest.MonkeyPatch, *, columns: int = 100
) -> Iterator[Answering]:
    """Post "a" answers in the directory that commands find; English, on so wide a terminal."""
    monkeypatch.setenv("OPENLINE_DIR", str(directory))
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("COLUMNS", str(columns))
    for name in ("OPENLINE_LANG", "OPENLINE_LANGUAGE", "OPENLINE_KEY_FILE", "LC_ALL"):
        monkeypatch.delenv(name, raising=False)
    with Answering(pair, "a", directory) as answering:
        yield answering


def openline(*arguments: object) -> int:
    """Run one command line; the exit code."""
    return cli.run([str(argument) for argument in arguments])


def said(capsys: Captured, *arguments: object) -> str:
    """What a command that succeeds prints."""
    capsys.readouterr()
    assert openline(*arguments) == 0
    return capsys.readouterr().out


def asked(capsys: Captured, *arguments: object) -> Any:
    """The JSON that a command prints."""
    return json.loads(said(capsys, *arguments, "--json"))


def type_in(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    """Give standard input."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))
