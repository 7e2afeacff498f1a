"""Admission tokens in a file: what is spent goes, what is refused stays."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from openline.tokens import FileTokens

TOKENS = [bytes([number]) * 32 for number in (0xA0, 0xB1, 0xC2)]


def written(path: Path) -> Path:
    """A file of tokens, and of what is none; one as a person may have written it."""
    rows = [TOKENS[0].hex(), TOKENS[1].hex().upper() + " ", TOKENS[2].hex(), "# embassy, café"]
    path.write_text("\n".join(rows))
    return path


def test_a_token_is_given_until_it_is_spent_and_never_again(tmp_path: Path) -> None:
    path = written(tmp_path / "relay.tokens")
    tokens = FileTokens(path)
    assert tokens.left() == tokens.left() == TOKENS
    tokens.spent(TOKENS[0])
    assert FileTokens(path).left() == TOKENS[1:]
    tokens.spent(TOKENS[2])
    tokens.spent(TOKENS[1])
    assert tokens.left() == []
    assert path.read_text() == "# embassy, café\n"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_refused_token_stays_behind_the_others(tmp_path: Path) -> None:
    path = written(tmp_path / "relay.tokens")
    tokens = FileTokens(path)
    tokens.refused(TOKENS[1])
    assert FileTokens(path).left() == [TOKENS[0], TOKENS[2], TOKENS[1]]
    tokens.spent(TOKENS[0])
    tokens.refused(TOKENS[0])
    assert tokens.left() == [TOKENS[2], TOKENS[1]]
    assert "# embassy, café" in path.read_text()


def test_a_file_without_tokens_is_told_from_one_whose_tokens_are_spent(tmp_path: Path) -> None:
    """No file, one that is none, one of rubbish; it counts as soon as a token is there."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "rubbish").write_bytes(b"\xff\n" + b"ab" * 31 + b"\n")
    for path in (None, tmp_path, *(tmp_path / name for name in ("absent", "pipe", "rubbish"))):
        with pytest.raises(FileNotFoundError):
            FileTokens(path).left()
    tokens = FileTokens(tmp_path / "rubbish")
    with (tmp_path / "rubbish").open("a") as file:
        file.write(TOKENS[0].hex())
    assert tokens.left() == [TOKENS[0]]
    tokens.spent(TOKENS[0])
    assert tokens.left() == []
