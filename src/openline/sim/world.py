"""One simulated world: two posts of production code over disks and wires that fail.

Theory of operation: a queue of acts ordered by virtual milliseconds; an act may put further acts
into it. `Station` is the place of one post: its disk outlives its processes; a process begins with
`begin`, ends with `end` at any instant (inside a commit too, by `Crash`), has a monotonic clock
that begins anywhere and a wall clock that may be put to anything. A station drives its post as the
runner does: a step per input, a tick at each deadline, `take` whenever a bearer can carry more.
What the two posts do is watched by the checker; this module judges nothing.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import sha256
from heapq import heappop, heappush

from ..bearers.base import Mailbox
from ..bearers.relay import PROFILE as RELAY
from ..bearers.tcp import PROFILE as TCP
from ..core.events import Now, Serial
from ..enrolment import new_tape, words
from ..errors import OpenlineError, StoreError
from ..inputs import Arrived, BearerDown, BearerUp, Initialise, Input, Pair, Tick
from ..post import Post
from .chance import stream
from .checker import Checker
from .disk import MemoryStore, Snapshot
from .network import Direct, End, Stored, Weather, Wire
from .plan import Plan

LINE = 1
NAMES = ("a", "b")
EPOCH_S = 1_700_000_000
TRACE_LINES = 40
ACTS_MAX = 400_000
"""More acts than this mean that something runs hot."""


class Crash(BaseException):
    """The process ends here; nothing in it may go on, so nothing may catch this as an error."""


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
        self._boot_ms = 0
        self._up: set[str] = set()
        self._busy: dict[str, int] = {}
        self._tick_ms: int | None = None
        self._taking = False
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
        awaited, self.awaited = self.awaited, []
        for act in awaited:
            self.world.after(1_000, act)

    def end(self, why: str, *, rest_ms: int | None = None) -> None:
        """The process ends; all it had in memory is gone. Another begins after `rest_ms`."""
        self.world.note(f"{self.name} ends: {why}")
        self.world.checker.ended(self.name)
        self.post, self.armed, self.cause, self._boxes = None, None, "", None
        self.world.direct_cut("bearer.closed")
        self.world.relay_forget(self.name)
        rest_ms, self.rest_ms = rest_ms or self.rest_ms, None
        if rest_ms is None:
            rest_ms = self.chance.choice((100, 2_000, 30_000, 200_000))
        self.world.after(rest_ms, self.begin)

    def restore(self, snapshot: Snapshot) -> None:
        """While no process runs: put back an old state of the disk."""
        self.store.restore(snapshot)
        self.world.checker.restored(self.name, self.store)

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
            self._pump(bearer)
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
        plan = self.world.plan
        profile = replace(
            self.world.wires[bearer].profile, cost=plan.costs[bearer], padded=plan.padded
        )
        self.world.note(f"{self.name} {bearer} up")
        self.step(BearerUp(LINE, bearer, profile))

    def down(self, bearer: str, code: str) -> None:
        """A bearer cannot carry."""
        self._up.discard(bearer)
        if self.post is not None:
            self.world.note(f"{self.name} {bearer} down")
            self.step(BearerDown(LINE, bearer, code))

    def deliver(self, bearer: str, datagrams: Sequence[bytes]) -> bool:
        """Datagrams arrive; whether what they brought is on the disk."""
        self.world.note(f"{self.name} {bearer} gets {[len(d) for d in datagrams]}")
        results = self.step(Arrived(LINE, bearer, list(datagrams)))
        return bool(results) and not isinstance(results[0], StoreError)

    def mailboxes(self) -> tuple[Sequence[Mailbox], Mailbox, Mailbox]:
        """(polled, deposit, recovery) as the process sees them."""
        if self.post is None:
            raise Crash
        if self._boxes is None:
            boxes = self.post.mailboxes(LINE)
            self._boxes = boxes.take, boxes.deposit, boxes.recovery
        return self._boxes

    # -- what the post sends ------------------------------------------------------------------

    def _pump(self, bearer: str) -> None:
        """Let a bearer carry what it can now."""
        if self.post is None or bearer not in self._up:
            return
        if self._busy.get(bearer, 0) > self.world.ms:
            return
        self._taking = True
        self.world.checker.sending = self.name, self.store
        try:
            outgoing = self.post.take(LINE, bearer, self.now())
        except StoreError:
            outgoing = []
            self._again(bearer, 1_000)
        except Crash:
            self.end("crash in take")
            return
        finally:
            self._taking = False
            self.world.checker.sending = None
        self._react()
        self._wind()
        if outgoing:
            wire = self.world.wires[bearer]
            self.world.note(f"{self.name} {bearer} sends {[len(out.data) for out in outgoing]}")
            wire.send(self.name, outgoing)
            self._again(bearer, wire.busy_ms(outgoing))

    def _again(self, bearer: str, delay_ms: int) -> None:
        self._busy[bearer] = self.world.ms + delay_ms
        post = self.post

        def resume() -> None:
            if self.post is post:
                self._pump(bearer)

        self.world.after(delay_ms, resume)


class World:
    """Two stations, the wires between them, and time. Implements network.Clockwork."""

    def __init__(self, plan: Plan, checker: Checker) -> None:
        self.plan = plan
        self.checker = checker
        self.ms = 0
        self.weather = Weather()
        self.faults: Counter[str] = Counter()
        self.trace: deque[str] = deque(maxlen=TRACE_LINES)
        self.listeners: list[Callable[[str, str, dict[str, object]], None]] = []
        self.acts = 0
        self.newest: dict[str, list[Serial]] = {name: [] for name in NAMES}
        """What was released to show that a line lives."""
        self._fingerprint = sha256()
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._order = 0
        self.wires: dict[str, Wire] = {}
        self.stations = {name: Station(self, name) for name in NAMES}
        self._pair()
        for bearer in plan.bearers:
            kind, profile = (Direct, TCP) if bearer == "tcp" else (Stored, RELAY)
            chance = stream(plan.seed, f"network {bearer}")
            ends: dict[str, End] = dict(self.stations)
            wire = kind(self, ends, self.weather, chance, profile, bearer)
            self.wires[bearer] = wire
            wire.reach()

    def _pair(self) -> None:
        tape = None
        if self.plan.tape_pages:
            tape = new_tape(self.plan.tape_pages, stream(self.plan.seed, "tape").randbytes)
        for station in self.stations.values():
            station.begin()
            self._expect(station.step(Initialise("sim")), bytes)
        cards = {name: self.post(name).card() or b"" for name in NAMES}
        for name, other in zip(NAMES, reversed(NAMES), strict=True):
            card = cards[other]
            paired = self.stations[name].step(Pair(other, "sim", card, tape, words(card)))
            self._expect(paired, int)

    @staticmethod
    def _expect(results: list[object], kind: type) -> None:
        if not isinstance(results[0], kind):
            raise RuntimeError(f"the world cannot begin: {results[0]}")

    # -- time ---------------------------------------------------------------------------------

    def after(self, delay_ms: int, act: Callable[[], None]) -> None:
        """Do something `delay_ms` from now."""
        self._order += 1
        heappush(self._queue, (self.ms + delay_ms, self._order, act))

    def run_until(self, end_ms: int) -> None:
        """Let virtual time pass."""
        while self._queue and self._queue[0][0] <= end_ms:
            self.ms, _, act = heappop(self._queue)
            self.acts += 1
            if self.acts > ACTS_MAX:
                self.checker.fail(f"more than {ACTS_MAX} acts: something runs hot")
            act()
        self.ms = end_ms

    # -- what others need ---------------------------------------------------------------------

    def post(self, name: str) -> Post:
        """The running post of a station."""
        post = self.stations[name].post
        if post is None:
            raise RuntimeError(f"post {name} is not running")
        return post

    def struck(self, fault: str) -> None:
        """A fault of this kind has done something."""
        self.faults[fault] += 1
        self.note(f"fault: {fault}")

    def note(self, text: str) -> None:
        """A line for the trace."""
        line = f"{self.ms:>12} {text}"
        self.trace.append(line)
        self._fingerprint.update(line.encode())

    @property
    def fingerprint(self) -> str:
        """Hash of the whole trace: equal for equal seeds."""
        return self._fingerprint.hexdigest()

    def told(self, name: str, event: str, values: dict[str, object]) -> None:
        """A post tells what happened."""
        self.note(f"{name} {event} {values}")
        self.checker.told(name, event, values)
        for listener in self.listeners:
            listener(name, event, values)

    def direct_cut(self, code: str, *, slow: bool = True) -> None:
        """Cut the connection, if there is such a bearer."""
        for wire in self.wires.values():
            if isinstance(wire, Direct):
                wire.cut(code, slow=slow)

    def relay_forget(self, name: str) -> None:
        """A station's process has ended."""
        for wire in self.wires.values():
            if isinstance(wire, Stored):
                wire.forget(name)


def serial_of(result: object) -> Serial | None:
    """The serial an act was given; None if it was refused or its process ended."""
    if result is None or isinstance(result, OpenlineError):
        return None
    return result if isinstance(result, Serial) else None
