"""One simulated world: two posts of production code over disks and wires that fail.

Theory of operation: a queue of acts ordered by virtual milliseconds; an act may put further acts
into it. The two stations are in station.py, their wires in network.py, carriers.py, narrow.py and
bags.py. What the posts do is watched by the checker; this module judges nothing.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from hashlib import sha256
from heapq import heappop, heappush

from ..core.events import Serial
from ..enrolment import new_tape, words
from ..errors import OpenlineError
from ..inputs import Initialise, Pair
from ..post import Post
from ..status import LineStatus
from .bags import Courier, Folder, Stick
from .carriers import Stored
from .chance import stream
from .checker import Checker
from .narrow import Narrow
from .network import Direct, End, Radio, Wire
from .plan import DAY_MS, Plan, kind_of
from .station import LINE, Station
from .strangers import datagrams

NAMES = ("a", "b")
TRACE_LINES = 40
ACTS_MAX, ACTS_A_DAY = 400_000, 20_000
"""More acts than this, and than so many more for each day, mean that something runs hot. (Whom a
hostile author leads astray says what it holds once an hour, over each bearer, for weeks: R22.)"""
_WIRES: dict[str, type[Wire]] = {
    "tcp": Direct,
    "relay": Stored,
    "radio": Radio,
    "courier": Courier,
    "narrow": Narrow,
    "stick": Stick,
    "folder": Folder,
}


class World:
    """Two stations, the wires between them, and time. Implements network.Clockwork."""

    def __init__(self, plan: Plan, checker: Checker) -> None:
        self.plan = plan
        self.checker = checker
        self.ms = 0
        self.faults: Counter[str] = Counter()
        self.trace: deque[str] = deque(maxlen=TRACE_LINES)
        self.listeners: list[Callable[[str, str, dict[str, object]], None]] = []
        self.acts = 0
        self.strangers: Sequence[bytes] = datagrams()
        self.newest: dict[str, list[Serial]] = {name: [] for name in NAMES}
        """What was released to show that a line lives."""
        self._fingerprint = sha256()
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._order = 0
        self.wires: dict[str, Wire] = {}
        self.stations = {name: Station(self, name) for name in NAMES}
        self._pair()
        for profile in plan.bearers:
            chance = stream(plan.seed, f"network {profile.name}")
            ends: dict[str, End] = dict(self.stations)
            wire = _WIRES[kind_of(profile.name)](self, ends, chance, profile)
            if isinstance(wire, Courier):
                wire.sender = plan.courier
            if isinstance(wire, Stick):
                wire.begin(plan)
            self.wires[profile.name] = wire
        for wire in self.wires.values():
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
            if self.acts > ACTS_MAX + ACTS_A_DAY * self.ms // DAY_MS:
                self.checker.fail(f"{self.acts} acts: something runs hot")
            act()
        self.ms = end_ms

    # -- what others need ---------------------------------------------------------------------

    def post(self, name: str) -> Post:
        """The running post of a station."""
        post = self.stations[name].post
        if post is None:
            raise RuntimeError(f"post {name} is not running")
        return post

    def status(self, name: str) -> LineStatus:
        """The line as a running post shows it."""
        return self.post(name).status(LINE, self.stations[name].now())

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


def serial_of(result: object) -> Serial | None:
    """The serial an act was given; None if it was refused or its process ended."""
    if result is None or isinstance(result, OpenlineError):
        return None
    return result if isinstance(result, Serial) else None
