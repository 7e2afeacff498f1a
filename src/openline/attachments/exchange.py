"""The files of one line, both ways: what its lane asks of them, and what people see of them.

Theory of operation: `take` gets every FILE and CHUNK of theirs, `work` goes on a little in each
step, and what changed is state of the line. After a failed commit that files had a part in, they
rest for a minute, so that a full disk refuses files before it refuses what is said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ..attached import Attached
from ..core.envelope import Record
from ..core.events import Now, Serial
from ..core.line import Line
from ..core.transcript import OURS, THEIRS
from ..ledger import LineLedger
from ..store.base import Store
from .sending import Contents, Say, Sender
from .taking import Taker

_REST_MS = 60_000
_STATES = ("files/send", "files/take")


class Attachments:
    """Both sides of files for one line."""

    def __init__(
        self,
        line: Line,
        ledger: LineLedger,
        say: Say,
        room: Callable[[], int],
        kept: tuple[Store, int],
        saved: Mapping[str, bytes],
    ) -> None:
        send, take = (saved.get(name) for name in _STATES)
        self.sender = Sender(line, ledger, say, room, send)
        self.taker = Taker(line, ledger, *kept, take)
        self._due_ms: int | None = None
        """When to go on; None: when something happens."""
        self._worked_ms: int | None = None
        """When this step changed something here."""
        self._rest_until_ms = 0

    def supply(self, contents: Contents) -> None:
        """Where the content of our files waits."""
        self.sender.contents = contents

    def attach(self, text: Serial, level: int, files: Sequence[Attached], now: Now) -> None:
        """Files go with a text just released. Raises LocalError."""
        for each in files:
            self.sender.attach(text, level, each, now)

    def take(self, record: Record) -> None:
        """A FILE or CHUNK of theirs is new in the chain, or waits before a gap."""
        self.taker.hear(record)

    def work(self, now: Now) -> None:
        """Go on a little."""
        self._due_ms = self._worked_ms = None
        if now.mono_ms < self._rest_until_ms:
            self._due_ms = self._rest_until_ms if self.sender.queue else None
            return
        more = self.taker.work()
        if self.sender.work(now) or more:
            self._due_ms = now.mono_ms

    def conclude(self) -> None:
        """The line ends with this step: say of each file what became of it."""
        while self.taker.work():
            pass
        self.sender.settle()

    def changes(self, now: Now) -> dict[str, bytes]:
        """Named blobs to commit, since the last call."""
        changed = {}
        if self.sender.dirty:
            changed[_STATES[0]] = self.sender.save()
        if self.taker.dirty:
            changed[_STATES[1]] = self.taker.save()
        if changed:
            self._worked_ms = now.mono_ms
        return changed

    def resume(self, before: Attachments) -> None:
        """Take over after a failed commit."""
        self._rest_until_ms = before._rest_until_ms
        if before._worked_ms is not None:
            self._rest_until_ms = before._worked_ms + _REST_MS

    def deadline(self) -> int | None:
        """When to go on, monotonic milliseconds; None if nothing waits."""
        return self._due_ms

    def contents(self) -> list[str]:
        """The ids of the files of ours that are not all in the record."""
        return [each.content for each in self.sender.queue]

    def progress(self, acked: int) -> Mapping[tuple[int, Serial], int]:
        """(side, serial of the FILE) → chunks held by the other machine, or here, of each file that
        is on its way."""
        ours = {(OURS, each.file): each.held(acked) for each in self.sender.queue}
        return ours | {(THEIRS, file): count for file, count in self.taker.counts().items()}
