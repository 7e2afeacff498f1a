"""A pair of posts in memory, joined by a wire that tests can bend: the smallest world there is."""

from __future__ import annotations

import random
from collections.abc import Sequence

from openline.bearers.base import BearerProfile
from openline.core.envelope import decode_record, encode_record
from openline.core.events import Now, Serial
from openline.core.precedence import Precedence
from openline.enrolment import new_tape, words
from openline.inputs import Arrived, BearerUp, Initialise, Input, Pair, Release, Tick
from openline.post import Post
from openline.sim.disk import MemoryStore, Snapshot


def reworded(record: bytes, text: str) -> bytes:
    """The same record with another text, as its author could have released it."""
    return encode_record(decode_record(record)._replace(body=text.encode()))


class LinePair:
    """Two posts, "a" and "b", paired on line 1; datagrams cross when `flow` is called."""

    def __init__(self, *, tape: bool = True, seed: int = 1, padded: bool = False) -> None:
        self.random = random.Random(seed)
        self.now = Now(1_000_000, 1_700_000_000)
        self.stores = {name: MemoryStore() for name in "ab"}
        self.padded = padded
        self.wire: dict[str, list[bytes]] = {"a": [], "b": []}
        """Datagrams on their way to a post."""
        self.posts = {name: self._post(name) for name in "ab"}
        for name in "ab":
            self.do(name, Initialise("test"))
        pages = new_tape(8, self.random.randbytes) if tape else None
        self.page0 = pages[:32] if pages else b""
        for name, other in ("ab", "ba"):
            card = self.posts[other].card() or b""
            self.do(name, Pair("other", "test", card, pages, words(card)))
        for name in "ab":
            self.up(name)

    def _post(self, name: str) -> Post:
        return Post(self.stores[name], self.random.randbytes, self.now)

    def up(self, name: str, bearer: str = "tcp", *, mtu_bytes: int = 4096, cost: int = 1) -> None:
        """The bearer of a post comes up."""
        profile = BearerProfile(bearer, 5, mtu_bytes, 200, 30_000, cost, self.padded)
        self.do(name, BearerUp(1, bearer, profile))

    def restart(self, name: str) -> None:
        """The process ends and another opens the same disk."""
        self.stores[name] = self.stores[name].reopen()
        self.posts[name] = self._post(name)
        self.wire[name] = []
        self.up(name)

    def restore(self, name: str, saved: Snapshot) -> None:
        """An old disk is put back under a new process."""
        self.stores[name].restore(saved)
        self.restart(name)

    def do(self, name: str, *inputs: Input) -> object:
        """One step; the last result, raised if it is an error."""
        results = self.posts[name].step(inputs, self.now)
        if isinstance(results[-1], Exception):
            raise results[-1]
        return results[-1]

    def say(self, name: str, text: str, precedence: Precedence = Precedence.ROUTINE) -> Serial:
        """Release a text."""
        serial = self.do(name, Release(1, "test", precedence, "en", "", text))
        assert isinstance(serial, Serial)
        return serial

    def take(self, name: str, bearer: str = "tcp") -> list[bytes]:
        """What a post would send now."""
        return [out.data for out in self.posts[name].take(1, bearer, self.now)]

    def give(self, name: str, datagrams: Sequence[bytes], bearer: str = "tcp") -> None:
        """Hand datagrams to a post."""
        self.do(name, Arrived(1, bearer, list(datagrams)))

    def flow(self, rounds: int = 20) -> None:
        """Let everything cross until both are silent."""
        for _ in range(rounds):
            crossing = {name: self.take(name) for name in "ab"}
            if not any(crossing.values()):
                return
            for name, other in ("ab", "ba"):
                if crossing[name]:
                    self.give(other, crossing[name])

    def wait(self, seconds: float) -> None:
        """Let time pass on both sides."""
        ms = int(seconds * 1000)
        self.now = Now(self.now.mono_ms + ms, self.now.wall_s + ms // 1000)
        for name in "ab":
            self.do(name, Tick())

    def settle(self, rounds: int = 12) -> None:
        """Let time pass and everything cross."""
        for _ in range(rounds):
            self.flow(200)
            self.wait(20)
        self.flow(200)

    def texts(self, name: str) -> list[str]:
        """The texts of the other side as a post holds them, in the order they came."""
        rows = self.stores[name].arrivals(1, 0, 1000, side=1, kinds=[1])
        return [decode_record(row.record).text for row in rows]

    def digests(self) -> tuple[str, str]:
        """The digests of both records."""
        return (
            self.posts["a"].status(1, self.now).digest,
            self.posts["b"].status(1, self.now).digest,
        )
