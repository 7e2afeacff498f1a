"""Two parties in memory whose posts change while they talk: several lines, losses, crashes.

Theory of operation: every open line of a post has one bearer; what a post sends on a line reaches
the line of the other post that has the same kit, or nobody, as a bearer that authenticates would
have it. A crash ends the process inside a commit; the next one opens the same disk. People try
again what a crash kept them from knowing. Nothing here judges.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable

from openline.bearers.base import BearerProfile
from openline.core.envelope import decode_record
from openline.core.events import Now
from openline.core.precedence import Precedence
from openline.enrolment import new_tape, words
from openline.errors import OpenlineError
from openline.inputs import Arrived, BearerUp, Initialise, Input, Pair, Release, Tick
from openline.post import Post
from openline.sim.disk import MemoryStore

LABEL = "other"
PROFILE = BearerProfile(
    name="tcp", mtu_bytes=4096, latency_ms=5, retry_ms_min=200, retry_ms_max=30_000, cost=1
)


class Crash(BaseException):
    """The process ends here."""


class Party:
    """One side: a disk, and the process that is on it now."""

    def __init__(self, parties: Parties) -> None:
        self.parties = parties
        self.store = MemoryStore()
        self.crash_in: int | None = None
        """Ends the process at that many instants of a commit from now."""
        self.crashes = 0
        self.store.fault = self._instant
        self.start()
        self.do(Initialise("test"))

    def _instant(self, _instant: str) -> None:
        if self.crash_in is not None:
            self.crash_in -= 1
            if self.crash_in < 0:
                self.crash_in = None
                raise Crash

    def start(self) -> None:
        """A process opens the disk; again if it is ended while it does."""
        while True:
            self.store = self.store.reopen()
            self._up: set[int] = set()
            try:
                self.post = Post(self.store, self.parties.random.randbytes, self.parties.now)
                return
            except Crash:
                self.crashes += 1

    def step(self, given: Input) -> object:
        """One step; its result, or None if the process ended in it."""
        try:
            self._raise_bearers()
            return self.post.step([given], self.parties.now)[0]
        except Crash:
            self.crashes += 1
            self.start()
            return None

    def _raise_bearers(self) -> None:
        for line in self.post.open_lines():
            if line not in self._up:
                self._up.add(line)
                self.post.step([BearerUp(line, "tcp", PROFILE)], self.parties.now)

    def do(self, given: Input) -> object:
        """One step that must succeed."""
        result = self.step(given)
        if isinstance(result, OpenlineError):
            raise result
        return result

    def take(self, line: int) -> list[bytes]:
        """What the post would send on a line."""
        try:
            self._raise_bearers()
            return [out.data for out in self.post.take(line, "tcp", self.parties.now)]
        except Crash:
            self.crashes += 1
            self.start()
            return []

    @property
    def line(self) -> int:
        """The line in charge of the label."""
        return self.post.named(LABEL)[-1]

    def say(self, text: str) -> None:
        """Release a text; tried again if the process ends and has not got it on disk."""
        while text not in self.said():
            result = self.step(Release(self.line, "test", Precedence.ROUTINE, "en", "", text))
            if isinstance(result, OpenlineError):
                raise result

    def _texts(self, side: int) -> list[str]:
        rows = self.store.arrivals(None, 0, 100_000, side=side, kinds=[1])
        return [decode_record(row.record).text for row in rows]

    def said(self) -> list[str]:
        """Our texts on every line."""
        return self._texts(0)

    def heard(self) -> list[str]:
        """Their texts on every line, in order of arrival."""
        return self._texts(1)

    def states(self) -> dict[int, str]:
        """Line → how it stands."""
        now = self.parties.now
        return {line: self.post.status(line, now).state for line in self.post.lines()}


class Parties:
    """Two parties "a" and "b", paired on line 1."""

    def __init__(self, *, seed: int = 1, tape: bool = True) -> None:
        self.random = random.Random(seed)
        self.now = Now(1_000_000, 1_700_000_000)
        self.loss = 0.0
        self.parties = {name: Party(self) for name in "ab"}
        self.a, self.b = self.parties["a"], self.parties["b"]
        pages = self.new_tape() if tape else None
        self.pair("a", pages)
        self.pair("b", pages)

    def new_tape(self) -> bytes:
        """A tape of eight pages."""
        return new_tape(8, self.random.randbytes)

    def pair(self, name: str, tape: bytes | None, replaces: int | None = None) -> object:
        """Pair one side with the card the other has now; the result of the step."""
        other = self.parties["b" if name == "a" else "a"]
        card = other.post.card() or b""
        given = Pair(LABEL, "test", card, tape, words(card), replaces)
        return self.parties[name].step(given)

    @staticmethod
    def _line_id(party: Party, line: int) -> str:
        return str(json.loads(party.store.state(line)["anchors"])["line_id"])

    def cross(self) -> bool:
        """Let one round of datagrams cross; whether there were any."""
        crossing: list[tuple[Party, str, list[bytes]]] = []
        for sender, other in ((self.a, self.b), (self.b, self.a)):
            for line in sender.post.open_lines():
                datagrams = sender.take(line)
                crossing += [(other, self._line_id(sender, line), datagrams)] * bool(datagrams)
        for party, line_id, datagrams in crossing:
            kept = [each for each in datagrams if self.random.random() >= self.loss]
            for line in party.post.open_lines():
                if kept and self._line_id(party, line) == line_id:
                    party.step(Arrived(line, "tcp", kept))
        return bool(crossing)

    def flow(self, rounds: int = 30) -> None:
        """Let everything cross until both are silent."""
        while rounds and self.cross():
            rounds -= 1

    def wait(self, seconds: float) -> None:
        """Let time pass on both sides."""
        ms = int(seconds * 1000)
        self.now = Now(self.now.mono_ms + ms, self.now.wall_s + ms // 1000)
        for party in (self.a, self.b):
            party.step(Tick())

    def settle(self, done: Callable[[], bool], *, minutes: int = 240) -> bool:
        """Let time pass until something holds; whether it came."""
        for _ in range(minutes * 4):
            self.flow()
            if done():
                return True
            self.wait(15)
        return False
