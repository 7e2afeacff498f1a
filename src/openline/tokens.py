"""Admission tokens of a relay in a file, one in hex per line, as its operator gave them.

Theory of operation: the file is read anew each time, so that new tokens count at once. A token that
the relay took leaves the file. One that it refused stays, behind the others: it may have been spent
when we crashed, or be another relay's, and only a person can tell. Lines that are no tokens stay as
they are. How often a relay is asked does not live here.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from . import files

_TOKEN_BYTES = 32


class FileTokens:
    """The tokens in one file; None is a file that is not there."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._held = False

    def left(self) -> list[bytes]:
        """Those not spent, in the order in which to try them. OSError if the file cannot be read,
        or none has been in it since the start.
        """
        found = [] if self._path is None else tokens_in(self._path)
        self._held = self._held or bool(found)
        if not self._held:
            raise FileNotFoundError
        return found

    def spent(self, token: bytes) -> None:
        """Take a token out of the file, for good. OSError."""
        self._move(token, behind=False)

    def refused(self, token: bytes) -> None:
        """Put a token behind the others. OSError."""
        self._move(token, behind=True)

    def _move(self, token: bytes, *, behind: bool) -> None:
        rows = [] if self._path is None else _rows(self._path)
        others = [row for row in rows if _token(row) != token]
        # Another bearer that has the same file may have spent it meanwhile.
        if self._path is not None and len(others) < len(rows):
            others += [token.hex().encode()] if behind else []
            files.replace(self._path, b"".join(row + b"\n" for row in others))


def tokens_in(path: Path) -> list[bytes]:
    """The tokens in a file, in its order. OSError if it is none, or cannot be read."""
    return [token for token in map(_token, _rows(path)) if token is not None]


def _rows(path: Path) -> list[bytes]:
    if not path.is_file():
        # A pipe would keep us waiting.
        raise FileNotFoundError
    return path.read_bytes().splitlines()


def _token(row: bytes) -> bytes | None:
    with suppress(ValueError):
        token = bytes.fromhex(row.decode("ascii"))
        return token if len(token) == _TOKEN_BYTES else None
    return None
