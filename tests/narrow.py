"""Two posts joined by a narrow wire, in time that jumps: hours at 300 bit/s take moments.

Theory of operation: the posts, the runner and the bearer are those of production. The wire takes a
fragment at once, as a modem does, sends its bytes at a rate, and delivers them a latency later. The
event loop believes that time passes when all wait, so a scene is the same on every machine. Wires
of real devices are for tests/bearers/test_serial.py.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable
from dataclasses import replace
from random import Random
from typing import Any

from openline.bearers.base import BearerProfile
from openline.bearers.fragments import Stuffing
from openline.bearers.framing import LineKey
from openline.bearers.narrow import FragmentWire, NarrowBearer
from openline.bearers.serial import profile_of
from openline.core.events import Now, Serial
from openline.core.precedence import Precedence
from openline.enrolment import new_tape, words
from openline.inputs import Initialise, Pair, Release
from openline.post import Post
from openline.runner import Runner
from openline.sim.disk import MemoryStore
from openline.store.base import Row

LINE = 1
NAME = "serial"


class _Jumping(selectors.SelectSelector):
    """A selector that waits for nothing: it says how long it would have."""

    def __init__(self) -> None:
        super().__init__()
        self.passed_s = 0.0

    def select(self, timeout: float | None = None) -> Any:
        """What is ready, and time passes."""
        ready = super().select(0)
        if not ready and timeout:
            self.passed_s += timeout
        return ready


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only while everybody waits."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Seconds since the scene began."""
        return self._jumping.passed_s


class Way:
    """One direction of the wire."""

    def __init__(self, rate_bit_s: float, latency_s: float) -> None:
        self.rate_bit_s = rate_bit_s
        self.latency_s = latency_s
        self.up = True
        self.damages: Callable[[bytes], bytes | None] = lambda data: data
        """What becomes of the bytes of a fragment; None: nothing arrives."""
        self.sent_bytes = 0
        self.free_s = 0.0
        self.arrived: asyncio.Queue[bytes] = asyncio.Queue()

    def send(self, data: bytes) -> None:
        """Take bytes, as many as one likes."""
        loop = asyncio.get_running_loop()
        self.sent_bytes += len(data)
        self.free_s = max(self.free_s, loop.time()) + 8 * len(data) / self.rate_bit_s
        found = self.damages(data) if self.up else None
        if found is not None:
            loop.call_at(self.free_s + self.latency_s, self.arrived.put_nowait, found)


class _Modem:
    """One end of the wire."""

    def __init__(self, out: Way, back: Way) -> None:
        self._out, self._back = out, back
        self._stuffing = Stuffing()

    async def send(self, fragment: bytes) -> int:
        """Give the modem a fragment."""
        stuffed = Stuffing.encode(fragment)
        self._out.send(stuffed)
        return len(stuffed)

    async def receive(self) -> list[bytes]:
        """What it has heard."""
        return self._stuffing.feed(await self._back.arrived.get())

    def close(self) -> None:
        """Nothing to let go."""


class _Bearer(NarrowBearer):
    """The bearer of production on that wire."""

    def __init__(self, key: LineKey, profile: BearerProfile, out: Way, back: Way) -> None:
        super().__init__(key, profile)
        self._ways = out, back

    async def open(self) -> FragmentWire:
        """It is there."""
        return _Modem(*self._ways)


class Scene:
    """Two posts, "a" and "b", and the wire between them."""

    def __init__(
        self, *, tape: bool = True, bit_s: int = 300, latency_s: float = 2.0, seed: int = 1
    ) -> None:
        self.random = Random(seed)
        self.ways = {name: Way(bit_s, latency_s) for name in "ab"}
        """By sender."""
        self.stores = {name: MemoryStore() for name in "ab"}
        self.posts = {name: self._post(name) for name in "ab"}
        self.runners: dict[str, Runner] = {}
        self._rate = {"rate_bytes_s": bit_s // 8, "latency_ms": int(1000 * latency_s)}
        for name in "ab":
            self.posts[name].step([Initialise("test")], self.now())
        pages = new_tape(8, self.random.randbytes) if tape else None
        for name, other in ("ab", "ba"):
            card = self.posts[other].card() or b""
            self.posts[name].step([Pair("other", "test", card, pages, words(card))], self.now())

    def _post(self, name: str) -> Post:
        return Post(self.stores[name], self.random.randbytes, self.now())

    def now(self) -> Now:
        """The instant in the scene."""
        try:
            s = asyncio.get_running_loop().time()
        except RuntimeError:
            s = 0.0
        return Now(1_000_000 + int(1000 * s), 1_700_000_000 + int(s))

    async def open(self, name: str, **said: Any) -> None:
        """Run a post with its bearer."""
        profile = profile_of(9600, **self._rate)
        profile = replace(profile, **said)
        runner = Runner(self.posts[name], self.now)
        await runner.__aenter__()
        self.runners[name] = runner
        channel = self.posts[name].channel(LINE)
        other = "b" if name == "a" else "a"
        key = LineKey(LINE, channel.bk, channel.direction)
        bearer = _Bearer(key, profile, self.ways[name], self.ways[other])
        runner.start(LINE, NAME, bearer, profile)

    async def close(self) -> None:
        """End what runs."""
        for runner in self.runners.values():
            await runner.__aexit__(None, None, None)

    def release(self, name: str, text: str, precedence: Precedence = Precedence.ROUTINE) -> Serial:
        """Release a text at a post that carries nothing yet."""
        said = Release(LINE, "test", precedence, "en", "", text)
        [serial] = self.posts[name].step([said], self.now())
        assert isinstance(serial, Serial)
        return serial

    async def say(
        self, name: str, text: str, precedence: Precedence = Precedence.ROUTINE
    ) -> Serial:
        """Release a text."""
        said = Release(LINE, "test", precedence, "en", "", text)
        serial = await self.runners[name].give(said)
        assert isinstance(serial, Serial)
        return serial

    def texts(self, name: str) -> list[Row]:
        """What a post holds of the other side's texts."""
        return self.stores[name].arrivals(LINE, 0, 100_000, side=1, kinds=[1])

    async def until(self, true: Callable[[], bool], patience_s: float = 7_200.0) -> float:
        """Wait until something holds; the time in the scene, TimeoutError if it never does."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + patience_s
        while not true():
            if loop.time() > end_s:
                raise TimeoutError("the posts do not do what is awaited")
            await asyncio.sleep(0.01)
        return loop.time()

    async def arrival(self, name: str, serial: Serial) -> float:
        """When a text of the other side is on a post's disk; seconds in the scene."""
        store = self.stores[name]
        return await self.until(
            lambda: store.row(LINE, 1, serial.number, serial.incarnation) is not None
        )

    async def quiet(self, name: str = "a", other: str = "b") -> float:
        """Wait until nothing is on its way and nothing more is said for a while."""
        before = -1
        loop = asyncio.get_running_loop()
        while True:
            now = self.ways[name].sent_bytes + self.ways[other].sent_bytes
            if now == before:
                return loop.time()
            before = now
            await asyncio.sleep(60)


def play(scene: Scene, act: Callable[[Scene], Awaitable[None]], *, both: bool = True) -> None:
    """Act a scene; both posts are opened first unless it wants to do that itself."""

    async def whole() -> None:
        if both:
            await scene.open("a")
            await scene.open("b")
        try:
            await act(scene)
        finally:
            await scene.close()

    with asyncio.Runner(loop_factory=JumpingLoop) as running:
        running.run(whole())
