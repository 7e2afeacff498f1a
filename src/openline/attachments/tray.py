"""The tray: files that people have laid in, until they are in the record.

Theory of operation: a file is laid in portion by portion, each committed, and counts once all of it
is there; then drafts and lines may name it, and it stays for as long as one does. What nobody has
named for an hour, or for some minutes when there is no room, and what was not finished, is erased,
a few portions in each step. A line that sends a file takes its portions from here and erases them
as they come into its chain. After a failed commit `undo` brings back what stood before the step.
Whose text a file goes with does not live here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..attached import (
    PORTION_BYTES,
    Attached,
    BeginFile,
    Laid,
    LayIn,
    checked_count,
    checked_name,
    checked_size,
)
from ..core.events import Now
from ..errors import LocalError
from ..sealing.keys import Entropy
from ..store.base import Batch, Store

UNFINISHED_MAX = 16
"""Files that are being laid in at a time."""
TRAY_BYTES_MAX = 256 << 20
"""All that is laid in and not in the record yet."""
UNNAMED_MS_MAX = 3_600_000
"""How long a file is kept that nothing names."""
LEFT_MS_MIN = 300_000
"""After which it makes room where there is none; and how long one is kept that is not whole."""

_PREFIX = "content/"
_ID_BYTES = 8
_ERASED_PORTIONS = 32
_SWEEP_MS = 60_000


@dataclass(frozen=True)
class _File:
    """One file in the tray."""

    name: str
    size: int
    digest: str
    """Hex; "" while it is not whole, and when it is being erased."""
    held: int
    made: Any
    """The hash of what is held, while it is not whole."""
    touched_ms: int
    erased: int | None = None
    """Portions erased so far, once it is being erased."""

    def encode(self) -> bytes:
        """For the store."""
        return json.dumps([self.name, self.size, self.digest]).encode()


class Tray:
    """The files laid in at a post. `named` gives the ids of those that something names."""

    def __init__(
        self, store: Store, entropy: Entropy, named: Callable[[], Iterable[str]], now: Now
    ) -> None:
        self._store = store
        self._entropy = entropy
        self._named = named
        self._batch = Batch()
        self.grew = False
        """Whether this step writes what is not released: no use for the disk reserve."""
        self._before: dict[str, _File | None] = {}
        self._swept_ms = now.mono_ms
        self._of: dict[str, _File] = {}
        for key, saved in store.state(0).items():
            if key.startswith(_PREFIX):
                name, size, digest = json.loads(saved)
                erased = None if digest else 0
                file = _File(name, size, digest, size, None, now.mono_ms, erased)
                self._of[key.removeprefix(_PREFIX)] = file
        self.takers: Mapping[type, Callable[[Any, Now], object]] = {
            BeginFile: self._begin_file,
            LayIn: self._lay_in,
        }
        """Input → what takes it."""

    def begin(self, batch: Batch) -> None:
        """A step begins."""
        self._batch, self.grew = batch, False
        self._before.clear()

    def undo(self) -> None:
        """The step came to nothing."""
        for content, file in self._before.items():
            if file is None:
                del self._of[content]
            else:
                self._of[content] = file
        self.begin(Batch())

    def _put(self, content: str, file: _File | None) -> None:
        self._before.setdefault(content, self._of.get(content))
        if file is None:
            del self._of[content]
        else:
            self._of[content] = file

    # -- laying in ----------------------------------------------------------------------------

    def _begin_file(self, given: BeginFile, now: Now) -> Laid:
        name = checked_name(given.name)
        size = checked_size(name, given.size)
        unfinished = sum(not file.digest and file.erased is None for file in self._of.values())
        if unfinished >= UNFINISHED_MAX or not self._room(size, now):
            raise LocalError("attachment.no_room", bytes_max=TRAY_BYTES_MAX)
        content = self._entropy(_ID_BYTES).hex()
        self._put(content, _File(name, size, "", 0, hashlib.sha256(), now.mono_ms))
        self._batch.state[0, _PREFIX + content] = self._of[content].encode()
        self.grew = True
        return Laid(content, 0, "")

    def _lay_in(self, given: LayIn, now: Now) -> Laid:
        file = self._of.get(given.content)
        if file is None or file.erased is not None:
            raise LocalError("attachment.unknown")
        expected = min(PORTION_BYTES, file.size - given.at)
        if given.at % PORTION_BYTES or len(given.data) != expected or given.at > file.held:
            raise LocalError("attachment.portion")
        if given.at < file.held or file.digest:
            # Asked again because the answer was lost.
            return Laid(given.content, file.held, file.digest)
        made, held = file.made.copy(), given.at + len(given.data)
        made.update(given.data)
        digest = made.hexdigest() if held == file.size else ""
        self._put(
            given.content,
            replace(file, held=held, digest=digest, made=made, touched_ms=now.mono_ms),
        )
        self._batch.contents[given.content, given.at // PORTION_BYTES] = given.data
        if digest:
            self._batch.state[0, _PREFIX + given.content] = self._of[given.content].encode()
        self.grew = True
        return Laid(given.content, held, digest)

    def _room(self, size: int, now: Now) -> bool:
        """Whether there is room for so many bytes; what was laid in for a text that was not saved,
        and has lain there for a while, makes room, the oldest first."""
        free = TRAY_BYTES_MAX - sum(f.size for f in self._of.values() if f.erased is None)
        named, left = set(self._named()) if free < size else set[str](), list[str]()
        for content, file in sorted(self._of.items(), key=lambda each: each[1].touched_ms):
            idle = file.erased is None and now.mono_ms - file.touched_ms >= LEFT_MS_MIN
            if free < size and idle and content not in named:
                free += file.size
                left.append(content)
        for content in left if free >= size else ():
            self.drop(content, now)
        return free >= size

    # -- naming and taking --------------------------------------------------------------------

    def check(self, files: Sequence[Attached]) -> None:
        """Whether these files are here and are what is said of them. Raises LocalError."""
        checked_count(files)
        for said in files:
            file = self._of.get(said.content)
            if file is None or not file.digest:
                raise LocalError("attachment.unknown")
            if (file.name, file.size, file.digest) != said[1:]:
                raise LocalError("attachment.differs")

    def portion(self, content: str, number: int) -> bytes:
        """A portion of a file. Raises LocalError("attachment.unknown")."""
        found = self._batch.contents.get((content, number)) or self._store.content(content, number)
        if found is None:
            raise LocalError("attachment.unknown")
        return found

    def spend(self, content: str, number: int) -> None:
        """A portion is in the record; after the last one the file is gone from here."""
        self._batch.contents[content, number] = None
        file = self._of.get(content)
        if file is not None and (number + 1) * PORTION_BYTES >= file.size:
            self._batch.state[0, _PREFIX + content] = None
            self._put(content, None)

    def drop(self, content: str, now: Now) -> None:
        """A file is wanted no more."""
        file = self._of.get(content)
        if file is not None and file.erased is None:
            self._put(
                content, replace(file, digest="", made=None, erased=0, touched_ms=now.mono_ms)
            )
            self._batch.state[0, _PREFIX + content] = self._of[content].encode()

    # -- erasing ------------------------------------------------------------------------------

    def finish(self, now: Now) -> None:
        """Erase a little of what nothing names."""
        if self._of and now.mono_ms - self._swept_ms >= _SWEEP_MS:
            self._swept_ms = now.mono_ms
            named = set(self._named())
            for content, file in list(self._of.items()):
                most_ms = UNNAMED_MS_MAX if file.digest else LEFT_MS_MIN
                old = now.mono_ms - file.touched_ms >= most_ms
                if old and content not in named:
                    self.drop(content, now)
        left = _ERASED_PORTIONS
        for content, file in list(self._of.items()):
            if file.erased is None or not left:
                continue
            portions = -(-file.size // PORTION_BYTES)
            end = min(portions, file.erased + left)
            for number in range(file.erased, end):
                self._batch.contents[content, number] = None
            left -= end - file.erased
            self._put(content, replace(file, erased=end))
            if end == portions:
                self._batch.state[0, _PREFIX + content] = None
                self._put(content, None)

    def deadline(self) -> int | None:
        """When to go on with erasing, monotonic milliseconds; None if nothing waits."""
        if any(file.erased is not None for file in self._of.values()):
            return 0
        return self._swept_ms + _SWEEP_MS if self._of else None
