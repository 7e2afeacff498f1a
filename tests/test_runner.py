"""The event loop around a post: batches, results, timers, ports, watchers, bearers that fail."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from openline import clock, runner
from openline.bearers.base import BearerProfile, Outgoing, Port
from openline.core.events import Now
from openline.errors import InvariantError, LocalError, StoreError
from openline.inputs import Arrived, BearerDown, BearerUp, Compare, Input, Tick
from openline.runner import WATCH_EVENTS_MAX, Runner
from openline.status import PostEvent

PATIENCE_S = 20.0
PROFILE = BearerProfile("tcp", 5, 4096, 200, 30_000, 1)


class FakePost:
    """A post that only remembers: results, datagrams and deadlines are set by the test."""

    def __init__(self) -> None:
        self.steps: list[list[Input]] = []
        self.answer: Callable[[Input], object] = lambda given: None
        self.outbox: list[Outgoing] = []
        self.take_fails = 0
        self.deadline_ms: int | None = None
        self.told: list[PostEvent] = []
        self.stepped = asyncio.Event()

    def step(self, inputs: Sequence[Input], now: Now) -> list[object]:
        """Remember the batch."""
        self.steps.append(list(inputs))
        self.stepped.set()
        return [self.answer(given) for given in inputs]

    def take(self, line: int, bearer: str, now: Now, above: int | None = None) -> list[Outgoing]:
        """Everything in the outbox."""
        if self.take_fails:
            self.take_fails -= 1
            raise StoreError("store.disk_full")
        taken, self.outbox = self.outbox, []
        return taken

    def deadline(self) -> int | None:
        """As the test set it."""
        return self.deadline_ms

    def events(self) -> list[PostEvent]:
        """What the test wants told."""
        told, self.told = self.told, []
        return told

    @property
    def inputs(self) -> list[Input]:
        """Of all steps."""
        return [given for step in self.steps for given in step]

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait for steps until something holds."""
        while not true():
            self.stepped.clear()
            await self.stepped.wait()


def play(scene: Callable[[FakePost, Runner], Awaitable[None]]) -> FakePost:
    """Run a scene with a runner around a fake post; no task may be left over."""

    async def whole() -> FakePost:
        post = FakePost()
        async with asyncio.timeout(PATIENCE_S), Runner(post, clock.now) as running:
            await scene(post, running)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return post

    return asyncio.run(whole())


def test_what_waits_together_is_one_step_and_each_giver_gets_its_own_result() -> None:
    async def scene(post: FakePost, running: Runner) -> None:
        post.answer = lambda given: given.line if isinstance(given, Compare) else None
        given = [running.give(Compare(line, "test")) for line in range(50)]
        assert await asyncio.gather(*given) == list(range(50))

    assert [len(step) for step in play(scene).steps] == [50]


def test_a_batch_is_bounded() -> None:
    async def scene(post: FakePost, running: Runner) -> None:
        await asyncio.gather(*[running.give(Compare(line, "test")) for line in range(1200)])

    assert [len(step) for step in play(scene).steps] == [512, 512, 176]


def test_an_error_reaches_its_giver_alone() -> None:
    async def scene(post: FakePost, running: Runner) -> None:
        post.answer = lambda given: (
            LocalError("line.unknown") if given == Compare(2, "test") else None
        )
        good, bad = running.give(Compare(1, "test")), running.give(Compare(2, "test"))
        await good
        with pytest.raises(LocalError, match=r"line\.unknown"):
            await bad

    play(scene)


def test_a_giver_that_went_away_harms_nobody() -> None:
    async def scene(post: FakePost, running: Runner) -> None:
        gone, stayed = running.give(Compare(1, "test")), running.give(Compare(2, "test"))
        gone.cancel()
        await stayed

    play(scene)


def test_too_many_waiting_acts_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "INPUTS_WAITING_MAX", 3)

    async def scene(post: FakePost, running: Runner) -> None:
        given = [running.give(Compare(line, "test")) for line in range(3)]
        with pytest.raises(LocalError, match=r"post\.busy"):
            running.give(Compare(4, "test"))
        await asyncio.gather(*given)

    play(scene)


def test_received_returns_when_the_step_is_done_and_raises_what_the_disk_said() -> None:
    async def scene(post: FakePost, running: Runner) -> None:
        port = running.port(1, "tcp", PROFILE)
        await port.received([b"one", b"two"])
        assert post.inputs == [Arrived(1, "tcp", [b"one", b"two"])]
        post.answer = lambda given: StoreError("store.disk_full")
        with pytest.raises(StoreError):
            await port.received([b"three"])
        post.answer = lambda given: LocalError("line.revoked")
        await port.received([b"four"])

    play(scene)


def test_a_port_tells_up_with_its_profile_and_down_with_its_code() -> None:
    async def scene(post: FakePost, running: Runner) -> None:
        port = running.port(1, "tcp", PROFILE)
        port.up()
        port.down("bearer.closed")
        await post.until(lambda: len(post.inputs) == 2)

    assert play(scene).inputs == [
        BearerUp(1, "tcp", PROFILE),
        BearerDown(1, "tcp", "bearer.closed"),
    ]


def test_outgoing_waits_for_a_step_that_brings_something() -> None:
    async def scene(post: FakePost, running: Runner) -> None:
        port = running.port(1, "tcp", PROFILE)
        waiting = asyncio.create_task(port.outgoing())
        await running.give(Compare(1, "test"))
        assert not waiting.done()
        post.outbox = [Outgoing(b"sealed")]
        await running.give(Compare(1, "test"))
        assert await waiting == [Outgoing(b"sealed")]

    play(scene)


def test_outgoing_asks_again_when_the_disk_let_nothing_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "TAKE_RETRY_S", 0.01)

    async def scene(post: FakePost, running: Runner) -> None:
        post.take_fails, post.outbox = 2, [Outgoing(b"sealed")]
        assert await running.port(1, "tcp", PROFILE).outgoing() == [Outgoing(b"sealed")]

    play(scene)


def test_a_deadline_brings_a_tick() -> None:
    async def scene(post: FakePost, running: Runner) -> None:
        due_ms = clock.now().mono_ms + 30
        post.deadline_ms = due_ms
        await running.give(Compare(1, "test"))
        await post.until(lambda: Tick() in post.inputs)
        assert clock.now().mono_ms >= due_ms - 1
        post.deadline_ms = None

    play(scene)


def test_a_deadline_that_stays_in_the_past_does_not_spin() -> None:
    async def scene(post: FakePost, running: Runner) -> None:
        began_ms = clock.now().mono_ms
        post.deadline_ms = 0
        await running.give(Compare(1, "test"))
        await post.until(lambda: post.inputs.count(Tick()) >= 5)
        assert clock.now().mono_ms - began_ms >= 4
        post.deadline_ms = None

    play(scene)


def test_a_watcher_sees_events_in_order_and_how_many_it_missed() -> None:
    async def scene(post: FakePost, running: Runner) -> None:
        watching = running.watch()
        post.told = [PostEvent("fork", 1, {"number": 3})]
        await running.give(Compare(1, "test"))
        assert await watching.more() == [PostEvent("fork", 1, {"number": 3})]
        for number in range(WATCH_EVENTS_MAX + 10):
            post.told.append(PostEvent("arrived", 1, {"number": number}))
        await running.give(Compare(1, "test"))
        seen = await watching.more()
        assert seen[0] == PostEvent("missed", 0, {"count": 10})
        assert seen[1].values == {"number": 10}
        assert len(seen) == WATCH_EVENTS_MAX + 1
        watching.close()

    play(scene)


def test_the_last_step_takes_what_the_bearers_said_in_ending() -> None:
    class Ending:
        profile = PROFILE

        async def run(self, port: Port) -> None:
            """Say down when cancelled."""
            port.up()
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                port.down("bearer.closed")

    async def scene(post: FakePost, running: Runner) -> None:
        running.start(1, "tcp", Ending(), PROFILE)
        await post.until(lambda: bool(post.inputs))

    assert play(scene).inputs[-1] == BearerDown(1, "tcp", "bearer.closed")


def test_a_bearer_that_fails_is_told_down_and_started_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runner, "RESTART_S", 0.01)
    failures: list[Exception] = [ValueError("a mistake"), InvariantError("bearer.datagram_length")]

    class Failing:
        profile = PROFILE

        async def run(self, port: Port) -> None:
            """Fail twice, then carry."""
            if failures:
                raise failures.pop(0)
            port.up()
            await asyncio.get_running_loop().create_future()

    async def scene(post: FakePost, running: Runner) -> None:
        running.start(1, "tcp", Failing(), PROFILE)
        await post.until(lambda: any(isinstance(given, BearerUp) for given in post.inputs))
        await running.stop(1, "tcp", BearerDown(1, "tcp", "bearer.paused", "uid:7"))

    downs = [given for given in play(scene).inputs if isinstance(given, BearerDown)]
    codes = ["bearer.fault", "bearer.datagram_length", "bearer.paused"]
    assert [down.code for down in downs] == codes


def test_a_mistake_inside_the_post_ends_the_runner() -> None:
    async def scene(post: FakePost, running: Runner) -> None:
        def mistaken(given: Input) -> object:
            raise InvariantError("post.fault")

        post.answer = mistaken
        await running.give(Compare(1, "test"))

    with pytest.raises(ExceptionGroup) as caught:
        play(scene)
    assert caught.group_contains(InvariantError)
