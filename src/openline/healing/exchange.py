"""The healing of one line, both ways: what its lane asks of it, and what people see of it.

Theory of operation: `take` gets every HEAL and COPY of theirs, `work` goes on a little in each
step, and what changed is state of the line. After a failed commit that healing had a part in, it
rests for a minute, so that a full disk refuses history before it refuses what is urgent.
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
from ..quota import Quota
from .giving import Giver, Say
from .taking import Taker

_REST_MS = 60_000


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
        quota: Quota,
        say: Say,
        waiting: Callable[[], int],
        doubted: Callable[[], bool],
        saved: Mapping[str, bytes],
    ) -> None:
        self._line = line
        self.giver = Giver(line, ledger, say, waiting, doubted, saved.get("heal/give"))
        self.taker = Taker(line, ledger, quota, say, doubted, saved.get("heal/take"))
        self._due_ms: int | None = None
        """When to go on; None: when something happens."""
        self._worked_ms: int | None = None
        """When this step changed something here."""
        self._rest_until_ms = 0

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
        self._due_ms = self._worked_ms = None
        if now.mono_ms < self._rest_until_ms:
            self._due_ms = self._rest_until_ms
            return []
        joined, more = self.taker.work()
        if self.giver.work(now) or more:
            self._due_ms = now.mono_ms
        return joined

    def changes(self, now: Now) -> dict[str, bytes]:
        """Named blobs to commit, since the last call."""
        changed = {}
        for name, side in (("heal/give", self.giver), ("heal/take", self.taker)):
            if side.dirty:
                changed[name] = side.save()
                self._worked_ms = now.mono_ms
        return changed

    def resume(self, before: Healing) -> None:
        """Take over after a failed commit."""
        self._rest_until_ms = before._rest_until_ms
        if before._worked_ms is not None:
            self._rest_until_ms = before._worked_ms + _REST_MS

    def deadline(self) -> int | None:
        """When to go on, monotonic milliseconds; None if nothing waits."""
        return self._due_ms

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
