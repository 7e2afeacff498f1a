"""The files of one line, both ways: what its lane asks of them, and what people see of them.

Theory of operation: `take` gets every FILE and CHUNK of theirs, `work` goes on a little in each
step at the pace of pace.py, and what changed is state of the line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ..attached import Attached
from ..core.envelope import Record
from ..core.events import Now, Serial
from ..core.line import Line
from ..core.transcript import OURS, THEIRS
from ..ledger import LineLedger
from ..pace import Pace
from ..store.base import Store
from .sending import Contents, Say, Sender
from .taking import Taker

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
        self._pace = Pace()

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
        if self._pace.begin(now):
            more = self.taker.work()
            if self.sender.work(now) or more:
                self._pace.more(now)

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
            self._pace.changed(now)
        return changed

    def resume(self, before: Attachments) -> None:
        """Take over after a failed commit."""
        self._pace.resume(before._pace)

    def deadline(self) -> int | None:
        """When to go on, monotonic milliseconds; None if nothing waits."""
        return self._pace.due_ms

    def contents(self) -> list[str]:
        """The ids of the files of ours that are not all in the record."""
        return [each.content for each in self.sender.queue]

    def progress(self, acked: int) -> Mapping[tuple[int, Serial], int]:
        """(side, serial of the FILE) → chunks held by the other machine, or here, of each file that
        is on its way."""
        ours = {(OURS, each.file): each.held(acked) for each in self.sender.queue}
        return ours | {(THEIRS, file): count for file, count in self.taker.counts().items()}
