"""One post's place in a simulated world: its disk, its clocks, its process.

Theory of operation: a `Station`'s disk outlives its processes; a process begins with `begin`, ends
with `end` at any instant (inside a commit too, by `Crash`), has a monotonic clock that begins
anywhere and a wall clock that may be put to anything. `restore` puts back an old disk under a new
process; `freeze` and `thaw` put back an old disk and the memory of the process that had it, as the
snapshot of a virtual machine does: its monotonic clock goes on from there, fresh entropy is fresh.
A station drives its post as the runner does: a step per input, a tick at each deadline, `take`
whenever a bearer can carry more. This module judges nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..bearers.base import Mailbox, Outgoing
from ..bearers.framing import LineKey
from ..carrying import line_key
from ..core.events import Now
from ..errors import StoreError
from ..inputs import Arrived, BearerDown, BearerUp, Input, Tick
from ..post import Post
from .chance import stream
from .disk import MemoryStore, Snapshot
from .narrow import Narrow

if TYPE_CHECKING:
    from .world import World

LINE = 1
EPOCH_S = 1_700_000_000
_TAKEN_KEPT = 40


class Crash(BaseException):
    """The process ends here; nothing in it may go on, so nothing may catch this as an error."""


@dataclass(frozen=True)
class Frozen:
    """A running post at one instant: its memory, its disk, its clocks; opaque."""

    post: Post
    store: MemoryStore
    """The handle that `post` refers to."""
    snapshot: Snapshot
    mono_ms: int
    wall_s: int
    up: frozenset[str]


class Station:
    """The place of one post: disk, clocks, process. Implements network.End."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.chance = stream(world.plan.seed, f"station {name}")
        self.entropy = stream(world.plan.seed, f"entropy {name}").randbytes
        self.store = MemoryStore()
        self.store.fault = self._instant
        self.post: Post | None = None
        self.skew_s = 0
        self.armed: str | None = None
        """The instant of the next commit at which the process ends: "before" or "after"."""
        self.armed_in_take = False
        self.cause = ""
        self.rest_ms: int | None = None
        """What an armed end is counted as, and how long no process runs after it."""
        self.lives = 0
        self.awaited: list[Callable[[], None]] = []
        """What people will do as soon as a process runs."""
        self.taken: deque[bytes] = deque(maxlen=_TAKEN_KEPT)
        """The last datagrams it was handed and has dealt with."""
        self._boot_ms = 0
        self._up: set[str] = set()
        self._busy: dict[str, int] = {}
        self._tick_ms: int | None = None
        self._taking = False
        self._key: LineKey | None = None
        self._boxes: tuple[Sequence[Mailbox], Mailbox, Mailbox] | None = None
        """The mailboxes until the next step: they are dear to make."""

    # -- clocks and process -------------------------------------------------------------------

    @property
    def alive(self) -> bool:
        """Whether the process is running."""
        return self.post is not None

    def now(self) -> Now:
        """The instant as this process sees it."""
        wall_s = EPOCH_S + self.world.ms // 1000 + self.skew_s
        return Now(self.world.ms - self._boot_ms, wall_s)

    def begin(self) -> None:
        """A process opens the disk."""
        if self.post is not None:
            return
        self.lives += 1
        self._boot_ms = self.world.ms - self.chance.randint(0, 1_000_000_000)
        self._up.clear()
        self._busy.clear()
        self._tick_ms = None
        self.store = self.store.reopen()
        self.world.note(f"{self.name} begins, life {self.lives}")
        try:
            self.post = Post(self.store, self.entropy, self.now())
        except StoreError:
            self.world.note(f"{self.name} cannot open its disk")
            self.world.after(5_000, self.begin)
            return
        except Crash:
            self.end("crash")
            return
        self._wind()
        for wire in self.world.wires.values():
            wire.reach()
        self._resume_people()

    def _resume_people(self) -> None:
        awaited, self.awaited = self.awaited, []
        for act in awaited:
            self.world.after(1_000, act)

    def end(self, why: str, *, rest_ms: int | None = None) -> None:
        """The process ends; all it had in memory is gone. Another begins after `rest_ms`."""
        self.world.note(f"{self.name} ends: {why}")
        self.world.checker.ended(self.name)
        self.post, self.armed, self.cause, self._boxes = None, None, "", None
        for wire in self.world.wires.values():
            wire.ended(self.name)
        rest_ms, self.rest_ms = rest_ms or self.rest_ms, None
        if rest_ms is None:
            rest_ms = self.chance.choice((100, 2_000, 30_000, 200_000))
        self.world.after(rest_ms, self.begin)

    def restore(self, snapshot: Snapshot) -> None:
        """While no process runs: put back an old state of the disk."""
        self.store.restore(snapshot)
        self.world.checker.restored(self.name, self.store)

    def freeze(self) -> Frozen | None:
        """The running post as it is now; None if none runs."""
        if self.post is None:
            return None
        kept = deepcopy(self.post, _shared(self.post, self.store))
        now = self.now()
        return Frozen(
            kept,
            self.store,
            self.store.snapshot(),
            now.mono_ms,
            now.wall_s,
            frozenset(self._up),
        )

    def thaw(self, frozen: Frozen) -> None:
        """Put memory and disk back to what they were; the process knows nothing of it."""
        self.world.note(f"{self.name} is rolled back")
        self.world.checker.ended(self.name)
        self.armed, self.cause, self.rest_ms, self._boxes = None, "", None, None
        self.store = self.store.reopen()
        self.store.restore(frozen.snapshot)
        self.post = deepcopy(frozen.post, _shared(frozen.post, self.store, frozen.store))
        self._boot_ms = self.world.ms - frozen.mono_ms
        if self.chance.random() < 0.5:
            self.skew_s = frozen.wall_s - EPOCH_S - self.world.ms // 1000
        self._up = set(frozen.up)
        self._busy.clear()
        self._tick_ms = None
        self.world.checker.restored(self.name, self.store, live=True)
        for name, wire in self.world.wires.items():
            wire.rolled_back(self.name, up=name in self._up)
        self._wind()
        for name in sorted(self._up):
            self._again(name, 1)
        self._resume_people()

    def _instant(self, instant: str) -> None:
        if instant == "after":
            self.world.checker.durable(self.name, self.store)
        if self.armed == instant and (self._taking or not self.armed_in_take):
            self.armed = None
            cause = "crash in take" if self._taking else f"crash {instant} commit"
            self.world.struck(self.cause or cause)
            raise Crash

    def fill(self, full: bool) -> None:
        """The disk fills up, or has room again."""
        self.store.full = full

    # -- what the post is given ---------------------------------------------------------------

    def step(self, *inputs: Input) -> list[object]:
        """One step of the post; its results, or [] if there is no process or it ended in it."""
        if self.post is None:
            return []
        self._boxes = None
        try:
            results = self.post.step(inputs, self.now())
        except Crash:
            self.end("crash in a commit")
            return []
        if isinstance(results[0], StoreError):
            self.world.struck("disk full")
        self.world.checker.stepped(self.name, self.store, inputs, results)
        self._react()
        self._wind()
        for bearer in sorted(self._up):
            self.pump(bearer)
        return results

    def _react(self) -> None:
        if self.post is None:
            return
        for name, _, values in self.post.events():
            self.world.told(self.name, name, values)

    def _wind(self) -> None:
        """Have the next deadline kept."""
        if self.post is None:
            return
        deadline = self.post.deadline()
        if deadline is None:
            return
        at_ms = max(deadline + self._boot_ms, self.world.ms + 1)
        if self._tick_ms is not None and self.world.ms < self._tick_ms <= at_ms:
            return
        self._tick_ms = at_ms
        post = self.post

        def ring() -> None:
            if self.post is post and self._tick_ms == at_ms:
                self._tick_ms = None
                self.step(Tick())

        self.world.after(at_ms - self.world.ms, ring)

    def up(self, bearer: str) -> None:
        """A bearer can carry."""
        if self.post is None:
            return
        self._up.add(bearer)
        self.world.note(f"{self.name} {bearer} up")
        self.step(BearerUp(LINE, bearer, self.world.wires[bearer].profile))

    def down(self, bearer: str, code: str) -> None:
        """A bearer cannot carry."""
        self._up.discard(bearer)
        if self.post is None:
            return
        self.world.note(f"{self.name} {bearer} down")
        self.step(BearerDown(LINE, bearer, code))
        if self.alive and not self.store.full:
            shown = self.world.status(self.name).bearers.get(bearer)
            self.world.checker.shown_down(self.name, bearer, up=shown is not None and shown.up)

    def deliver(self, bearer: str, datagrams: Sequence[bytes]) -> bool:
        """Datagrams arrive; whether what they brought is on the disk."""
        self.world.note(f"{self.name} {bearer} gets {[len(d) for d in datagrams]}")
        results = self.step(Arrived(LINE, bearer, list(datagrams)))
        taken = bool(results) and not isinstance(results[0], StoreError)
        if taken:
            self.taken += datagrams
        return taken

    def mailboxes(self) -> tuple[Sequence[Mailbox], Mailbox, Mailbox]:
        """(polled, deposit, recovery) as the process sees them."""
        if self.post is None:
            raise Crash
        if self._boxes is None:
            boxes = self.post.mailboxes(LINE)
            self._boxes = boxes.take, boxes.deposit, boxes.recovery
        return self._boxes

    def running(self) -> Post:
        """The post, while its process is running."""
        if self.post is None:
            raise Crash
        return self.post

    def line_key(self) -> LineKey:
        """What bearers know of the line; it never changes."""
        if self._key is None:
            self._key = line_key(self.running(), LINE)
        return self._key

    # -- what the post sends ------------------------------------------------------------------

    def pump(self, bearer: str) -> None:
        """Let a bearer carry what it can now."""
        if self.post is None or bearer not in self._up:
            return
        if self._busy.get(bearer, 0) > self.world.ms:
            return
        wire = self.world.wires[bearer]
        if isinstance(wire, Narrow):
            wire.pull(self.name)
            return
        outgoing = self.take(bearer)
        if outgoing:
            self.world.note(f"{self.name} {bearer} sends {[len(out.data) for out in outgoing]}")
            wire.send(self.name, outgoing)
            self._again(bearer, wire.busy_ms(outgoing))

    def take(self, bearer: str, above: int | None = None) -> list[Outgoing]:
        """What a bearer should send now; `above` a rank, only what goes before that. [] if the disk
        does not let it, or if the process ends in it."""
        if self.post is None:
            return []
        self._taking = True
        self.world.checker.sends(self.name, self.store)
        outgoing: list[Outgoing] = []
        try:
            outgoing = self.post.take(LINE, bearer, self.now(), above)
        except StoreError:
            self.world.checker.hindered.add(self.name)
            self._again(bearer, 1_000)
        except Crash:
            self.end("crash in take")
            return []
        finally:
            self._taking = False
            self.world.checker.sending = None
        self._react()
        self._wind()
        return outgoing

    def _again(self, bearer: str, delay_ms: int) -> None:
        self._busy[bearer] = self.world.ms + delay_ms
        post = self.post

        def resume() -> None:
            if self.post is post:
                self.pump(bearer)

        self.world.after(delay_ms, resume)


def _shared(post: Post, store: MemoryStore, held: MemoryStore | None = None) -> dict[int, Any]:
    """For deepcopy: what a copy of a post shares with it (fresh entropy, keys that never change),
    and the store it has in place of the one it refers to."""
    shared: list[Any] = [post.entropy, post.identity]
    for lane in post._lanes.values():
        shared += [lane.kit, lane.seal._own_header, lane.seal._peer_header]
    memo: dict[int, Any] = {id(thing): thing for thing in shared}
    memo[id(held or store)] = store
    return memo
