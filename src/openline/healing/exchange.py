"""The healing of one line, both ways: what its lane asks of it, and what people see of it.

Theory of operation: `take` gets every HEAL and COPY of theirs, `work` goes on a little in each
step at the pace of pace.py, and what changed is state of the line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..core import receipts
from ..core.envelope import Record
from ..core.events import Now, Serial
from ..core.gaps import Range
from ..core.line import Line
from ..errors import RemoteError
from ..ledger import LineLedger
from ..pace import Pace
from .giving import Giver, Say
from .taking import Taker


@dataclass(frozen=True)
class Asked:
    """What one side asked of the other, and how far it is answered; `theirs` and `ours` count
    records as we name them."""

    serial: Serial
    """Of the HEAL."""
    asked_s: int
    wanted: int
    """How many records of the giver's chain are asked for; for our own question, numbers that were
    lost when we asked."""
    theirs: int
    ours: int
    complete: bool
    agreed: bool = False
    """Whether our people let them have it."""
    paused: str = ""
    """The code of what keeps us from giving more now."""
    unproven: tuple[Range, ...] = ()
    """Ranges that came and did not fit the chain."""


@dataclass(frozen=True)
class HealingStatus:
    """Both directions: what we asked, and what they asked; None: nothing."""

    ours: Asked | None
    theirs: Asked | None


class Healing:
    """Both sides of healing for one line."""

    def __init__(
        self,
        line: Line,
        ledger: LineLedger,
        say: Say,
        waiting: Callable[[], int],
        doubted: Callable[[], bool],
        saved: Mapping[str, bytes],
    ) -> None:
        self._line = line
        self.giver = Giver(line, ledger, say, waiting, doubted, saved.get("heal/give"))
        self.taker = Taker(line, ledger, say, doubted, saved.get("heal/take"))
        self._pace = Pace()

    def take(self, record: Record, now: Now) -> None:
        """A HEAL or COPY of theirs that is new."""
        try:
            if record.kind == receipts.HEAL:
                self.giver.hear(record, now)
            elif record.kind == receipts.COPY:
                self.taker.hear(record)
        except RemoteError as error:
            self._line.fault(error)

    def work(self, now: Now) -> list[Record]:
        """Go on a little; receipts and parts of files of theirs that have joined the chain."""
        if not self._pace.begin(now):
            return []
        joined, more = self.taker.work()
        if self.giver.work(now) or more:
            self._pace.more(now)
        return joined

    def changes(self, now: Now) -> dict[str, bytes]:
        """Named blobs to commit, since the last call."""
        changed = {}
        for name, side in (("heal/give", self.giver), ("heal/take", self.taker)):
            if side.dirty:
                changed[name] = side.save()
                self._pace.changed(now)
        return changed

    def resume(self, before: Healing) -> None:
        """Take over after a failed commit."""
        self._pace.resume(before._pace)

    def deadline(self) -> int | None:
        """When to go on, monotonic milliseconds; None if nothing waits."""
        return self._pace.due_ms

    def status(self) -> HealingStatus | None:
        """What people see; None if neither side ever asked."""
        question, request = self.taker.question, self.giver.request
        ours = theirs = None
        if question.asked.number:
            ours = Asked(
                question.asked,
                question.asked_s,
                sum(last - first + 1 for first, last in question.ranges),
                question.theirs,
                question.ours,
                question.complete,
                unproven=tuple(question.unproven),
            )
        if request.asked.number:
            theirs = Asked(
                request.asked,
                request.asked_s,
                request.wanted(),
                request.theirs,
                request.ours,
                request.done,
                bool(request.actor),
                self.giver.paused,
            )
        return HealingStatus(ours, theirs) if ours or theirs else None
