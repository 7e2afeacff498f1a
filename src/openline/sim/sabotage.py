"""Deliberate bugs: each a patch of production classes in this process, for the checker to catch.

Theory of operation: a simulator that finds nothing proves nothing unless it is shown to find what
is there. Each sabotage is a context manager that makes one well-known mistake of such systems
while it lasts. `./dev sim --sabotage NAME` runs seeds under it until one fails, and it is a
failure of the simulator if none does. Production code knows nothing of this module.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from ..bearers import fragments, parcel
from ..bearers.base import Outgoing
from ..bearers.framing import LineKey
from ..core.envelope import Ack
from ..core.events import Now, Serial
from ..core.inbound import Reception
from ..core.line import Line
from ..core.states import Event
from ..core.transcript import CHAINED, THEIRS
from ..delivery.dispatch import Dispatch
from ..delivery.outbox import Outbox
from ..errors import BearerError, SealError
from ..inputs import Arrived, Input, Release
from ..ledger import LineLedger
from ..post import Post
from ..sealing.seal import Opened, Seal, Unreadable
from ..store.base import Batch

Sabotage = Callable[[], Any]


class _Held:
    """A store whose commits are kept back."""

    def __init__(self, store: Any, kept: list[Batch]) -> None:
        self._store = store
        self._kept = kept

    def commit(self, batch: Batch) -> None:
        self._kept.append(batch)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@contextmanager
def _late_commit(kind: type) -> Iterator[None]:
    """Steps with an input of this kind are committed only at the next step."""
    step, commit = Post.step, Post._commit
    kept: dict[int, list[Batch]] = {}
    now_late: set[int] = set()

    def late_step(self: Post, inputs: Sequence[Input], now: Now) -> list[object]:
        if any(isinstance(given, kind) for given in inputs):
            now_late.add(id(self))
        else:
            now_late.discard(id(self))
        return step(self, inputs, now)

    def late_commit(self: Post, now: Now) -> None:
        store, batches = self.store, kept.setdefault(id(self), [])
        for batch in batches:
            store.commit(batch)
        batches.clear()
        if id(self) in now_late:
            self.store = _Held(store, batches)
        try:
            commit(self, now)
        finally:
            self.store = store

    with patch.object(Post, "step", late_step), patch.object(Post, "_commit", late_commit):
        yield


def ack_before_commit() -> Any:
    """What arrived is acknowledged first and committed later."""
    return _late_commit(Arrived)


def send_before_commit() -> Any:
    """What people release is sent first and committed later."""
    return _late_commit(Release)


@contextmanager
def duplicates_forgotten() -> Iterator[None]:
    """A record that is held already is taken again."""
    get = LineLedger.get

    def forgetful(self: LineLedger, side: int, serial: Serial) -> bytes | None:
        return None if side == THEIRS else get(self, side, serial)

    with patch.object(LineLedger, "get", forgetful):
        yield


@contextmanager
def serial_reused() -> Iterator[None]:
    """A process that starts goes on under the incarnation on its disk."""
    start = Line.start

    def go_on(self: Line, now: Now) -> None:
        if self.branch:
            self.begun = True
        else:
            start(self, now)

    with patch.object(Line, "start", go_on):
        yield


@contextmanager
def run_restored() -> Iterator[None]:
    """A sending run is saved now and then, and taken up again after a restart."""
    init, changes = Seal.__init__, Seal.changes
    saved: dict[bytes, Any] = {}

    def restoring(self: Seal, *args: Any, **named: Any) -> None:
        init(self, *args, **named)
        self.confirmed = copy(saved.get(self.kit.identity.agreement))

    def saving(self: Seal, now: Now) -> dict[str, bytes | None]:
        if self.confirmed is not None:
            saved[self.kit.identity.agreement] = copy(self.confirmed)
        return changes(self, now)

    with patch.object(Seal, "__init__", restoring), patch.object(Seal, "changes", saving):
        yield


@contextmanager
def gap_never_mended() -> Iterator[None]:
    """What an ACK names missing is taken for held."""
    acknowledge = Outbox.acknowledge

    def generous(self: Outbox, ack: Ack, end: int, now_ms: int) -> list[int]:
        top = ack.held[-1][1] if ack.held else ack.contiguous
        return acknowledge(self, Ack(ack.incarnation, top), end, now_ms)

    with patch.object(Outbox, "acknowledge", generous):
        yield


@contextmanager
def head_not_extended() -> Iterator[None]:
    """When a gap closes, what waited behind it is chained without being hashed in."""

    def careless(self: Reception) -> None:
        until = self.waiting.take_following(self.contiguous)
        for serial, _ in list(self.ledger.following(THEIRS, self.contiguous)):
            if serial.number > until:
                break
            self.contiguous = serial.number
            self.ledger.rehead(THEIRS, serial, self.head, CHAINED)

    with patch.object(Reception, "_fill", careless):
        yield


@contextmanager
def failed_commit_ignored() -> Iterator[None]:
    """After a commit that failed the post goes on with what it has in memory."""
    with patch.object(Post, "_reload", lambda self, now: None):
        yield


@contextmanager
def foreign_branch_taken() -> Iterator[None]:
    """A record of an incarnation that was left is taken as if it were on the branch."""
    placing = Reception._placing

    def trusting(self: Reception, serial: Serial) -> Event:
        on_branch = self.branch.serial(serial.number)
        return placing(self, on_branch if serial.number > self.contiguous else serial)

    with patch.object(Reception, "_placing", trusting):
        yield


@contextmanager
def floor_too_high() -> Iterator[None]:
    """A BEGIN says that everything released is held by the other side."""
    begin = Line._begin

    def boasting(self: Line, now: Now) -> None:
        acked, self.acked = self.acked, self.number
        try:
            begin(self, now)
        finally:
            self.acked = acked

    with patch.object(Line, "_begin", boasting):
        yield


@contextmanager
def run_not_kept() -> Iterator[None]:
    """Receiving runs are confirmed and never saved."""
    changes = Seal.changes

    def lossy(self: Seal, now: Now) -> dict[str, bytes | None]:
        changed = changes(self, now)
        return {name: value for name, value in changed.items() if not name.startswith("run/")}

    with patch.object(Seal, "changes", lossy):
        yield


@contextmanager
def never_repeated() -> Iterator[None]:
    """No timer ever runs out."""
    with (
        patch.object(Outbox, "expire", lambda self, now_ms: 0),
        patch.object(Outbox, "deadline", lambda self: None),
    ):
        yield


@contextmanager
def restore_unnoticed() -> Iterator[None]:
    """A BEGIN that says the other side holds less than it acknowledged changes nothing."""

    def deaf(self: Line, *_: Any) -> None:
        return None

    with patch.object(Line, "_begun_there", deaf):
        yield


@contextmanager
def ahead_not_kept() -> Iterator[None]:
    """A record ahead of a gap is announced and not kept."""
    put = LineLedger.put

    def losing(
        self: LineLedger, side: int, record: Any, data: bytes, head: bytes | None, standing: int
    ) -> None:
        if side != THEIRS or head is not None or standing != CHAINED:
            put(self, side, record, data, head, standing)

    with patch.object(LineLedger, "put", losing):
        yield


@contextmanager
def replays_answered() -> Iterator[None]:
    """A datagram that was opened before is confirmed each time it comes."""
    open_new = Seal.open

    def polite(self: Seal, datagram: bytes, now: Now) -> Opened:
        opened = open_new(self, datagram, now)
        return opened or Opened(b"", self._header(datagram)[1][:4])

    with patch.object(Seal, "open", polite):
        yield


@contextmanager
def death_unreported() -> Iterator[None]:
    """A bearer's report of its own death goes unheard."""
    with patch.object(Dispatch, "bearer_down", lambda self, *_: None):
        yield


@contextmanager
def salt_fixed() -> Iterator[None]:
    """The salt of a datagram is not random: a machine put back repeats key and nonce."""
    seal = Seal.seal

    def unsalted(self: Seal, *args: Any, **named: Any) -> bytes:
        entropy, self.entropy = self.entropy, bytes
        try:
            return seal(self, *args, **named)
        finally:
            self.entropy = entropy

    with patch.object(Seal, "seal", unsalted):
        yield


@contextmanager
def page_kept() -> Iterator[None]:
    """The page of the tape that went into a root stays on the disk."""
    with patch.object(Seal, "_renewed", lambda self, page: setattr(self, "_dirty", True)):
        yield


@contextmanager
def foreign_answered() -> Iterator[None]:
    """What authenticates under no key of ours is answered like a run that was lost."""
    header = Seal._header

    def trusting(self: Seal, datagram: bytes) -> tuple[int, bytes, int]:
        try:
            return header(self, datagram)
        except SealError:
            raise Unreadable(datagram[:4]) from None

    with patch.object(Seal, "_header", trusting):
        yield


@contextmanager
def tag_unchecked() -> Iterator[None]:
    """Fragments are joined whatever their tag says."""
    trusting = SimpleNamespace(digest=hmac.digest, compare_digest=lambda one, other: True)
    with patch.object(fragments, "hmac", trusting):
        yield


@contextmanager
def place_unproven() -> Iterator[None]:
    """The tag of a fragment does not cover where in its datagram it begins."""
    tag = fragments._tag

    def placeless(key: bytes, start: int, head: int, part: bytes) -> bytes:
        return tag(key, 0, head, part)

    with patch.object(fragments, "_tag", placeless):
        yield


@contextmanager
def flash_waits() -> Iterator[None]:
    """Nothing passes a datagram whose fragments are leaving."""
    take = Post.take

    def patient(
        self: Post, line: int, bearer: str, now: Now, above: int | None = None
    ) -> list[Outgoing]:
        return [] if above is not None else take(self, line, bearer, now)

    with patch.object(Post, "take", patient):
        yield


@contextmanager
def bag_counted_sent() -> Iterator[None]:
    """What went into a bag counts as sent: nothing of it goes into the next, or over a wire."""
    bearer_down = Outbox.bearer_down

    def trusting(self: Outbox, bearer: str, code: str, actor: str, now_ms: int) -> bool:
        channel = self.channels.get(bearer)
        if channel is not None and code == "bearer.removed":
            for flight in list(channel.flights.values()):
                channel.drop(flight)
        return bearer_down(self, bearer, code, actor, now_ms)

    with patch.object(Outbox, "bearer_down", trusting):
        yield


@contextmanager
def half_taken() -> Iterator[None]:
    """A parcel that was copied by half, and does not open, is taken for an empty one."""
    unpack = parcel.unpack

    def lenient(line: LineKey, name: str, content: bytes) -> list[bytes]:
        try:
            return unpack(line, name, content)
        except BearerError:
            return []

    with patch.object(parcel, "unpack", lenient):
        yield


SABOTAGES: dict[str, Sabotage] = {
    "ack-before-commit": ack_before_commit,
    "send-before-commit": send_before_commit,
    "duplicates-forgotten": duplicates_forgotten,
    "serial-reused": serial_reused,
    "run-restored": run_restored,
    "gap-never-mended": gap_never_mended,
    "head-not-extended": head_not_extended,
    "failed-commit-ignored": failed_commit_ignored,
    "foreign-branch-taken": foreign_branch_taken,
    "floor-too-high": floor_too_high,
    "run-not-kept": run_not_kept,
    "never-repeated": never_repeated,
    "restore-unnoticed": restore_unnoticed,
    "ahead-not-kept": ahead_not_kept,
    "replays-answered": replays_answered,
    "death-unreported": death_unreported,
    "salt-fixed": salt_fixed,
    "page-kept": page_kept,
    "foreign-answered": foreign_answered,
    "tag-unchecked": tag_unchecked,
    "place-unproven": place_unproven,
    "flash-waits": flash_waits,
    "bag-counted-sent": bag_counted_sent,
    "half-taken": half_taken,
}
"""Every sabotage by the name `--sabotage` takes."""
