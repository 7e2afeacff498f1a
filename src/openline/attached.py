"""Files that go with a text, as values: what is laid in, what a release names.

Theory of operation: the content of a file is laid in first, in portions, and gets an id; whoever
drafts or releases a text then names it with its name, length and hash, so that what is released is
what was seen. Names are bounded here, for both directions. Nothing is kept here.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from .core import limits
from .core.events import Serial
from .errors import LocalError


class Attached(NamedTuple):
    """One file of a text: the id under which it was laid in, its name, length in bytes, and SHA-256
    in hex."""

    content: str
    name: str
    size: int
    digest: str

    @property
    def records(self) -> int:
        """How many records it takes: the FILE and its chunks."""
        return 1 + -(-self.size // limits.CHUNK_BYTES)


class BeginFile(NamedTuple):
    """Somebody begins to lay in a file of `size` bytes. Result: Laid."""

    actor: str
    name: str
    size: int


class LayIn(NamedTuple):
    """The portion of a file that begins at byte `at`: PORTION_BYTES of it, the last what is left.
    Result: Laid. One that is there already is no mistake."""

    actor: str
    content: str
    at: int
    data: bytes


class Laid(NamedTuple):
    """How much of a file is there; its SHA-256 in hex once it is all."""

    content: str
    held: int
    digest: str


class StopFile(NamedTuple):
    """No more of a file of ours goes out; `serial` is that of its FILE. Result: None."""

    line: int
    actor: str
    serial: Serial


PORTION_BYTES = 16 * limits.CHUNK_BYTES
"""How much of a file is laid in, and read out, at a time."""


def checked_name(name: str) -> str:
    """A name for a file: its last part in NFC, each kind of space as a plain one, if that is a
    name. Raises LocalError."""
    name = name.replace("\\", "/").rpartition("/")[2]
    # Composing shortens a name, not to a third, and takes the square of a run of marks.
    if len(name) > 3 * limits.FILE_NAME_BYTES_MAX:
        raise LocalError("attachment.name")
    name = unicodedata.normalize("NFC", name)
    # Programs put spaces that do not break into names of their own accord.
    name = "".join(" " if unicodedata.category(sign) == "Zs" else sign for sign in name)
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise LocalError("attachment.name") from None
    if not name.isprintable() or name in ("", ".", "..") or size > limits.FILE_NAME_BYTES_MAX:
        raise LocalError("attachment.name")
    return name


def checked_size(name: str, size: int) -> int:
    """A length the file of this name may have. Raises LocalError."""
    if size == 0:
        raise LocalError("attachment.empty", name=name)
    if not 0 < size <= limits.FILE_BYTES_MAX:
        raise LocalError("attachment.size", bytes_max=limits.FILE_BYTES_MAX)
    return size


def checked_count(files: Sequence[Attached]) -> None:
    """No more files than one text may have, each once. Raises LocalError."""
    if len(files) > limits.FILES_MAX:
        raise LocalError("attachment.too_many", most=limits.FILES_MAX)
    if len({each.content for each in files}) < len(files):
        raise LocalError("attachment.twice")
