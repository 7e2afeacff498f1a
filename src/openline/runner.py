"""The post in an event loop: an input queue, one clock hand, and a port for each bearer. Nothing
decides here.

Theory of operation: one task takes everything that waits in the queue, gives it to `Post.step` as
one batch and resolves what each giver waits for. The step blocks the loop while it commits: that is
deliberate, for meanwhile inputs gather in sockets and the next batch is the bigger (group commit),
and nothing can be sent that is not on disk. After each step the timer is set to the post's next
deadline and every bearer that waits is woken to take what there is now. Events go to the log and to
whoever watches. A bearer that fails by a mistake of ours is started again and told as down, for one
bearer must not take the line with it; one inside a step costs the input that shows it (Post.step);
only one while lanes are made anew from the store ends the process, whose record is whole. Protocol,
disk and wording must not live here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import NamedTuple, Protocol, Self

from .bearers.base import Bearer, BearerProfile, Outgoing
from .clock import precise_s
from .core.events import Now
from .errors import InvariantError, LocalError, OpenlineError, StoreError
from .inputs import Arrived, BearerDown, BearerUp, Input, Tick
from .logs import TRAFFIC_S, EventLog, log
from .status import PostEvent

BATCH_INPUTS_MAX = 512
"""Inputs of one step, and so of one commit."""

INPUTS_WAITING_MAX = 16_384
"""Inputs in the queue; people's acts are refused beyond it ("post.busy"). Bearers wait for each
batch and cannot pile up.
"""

WATCH_EVENTS_MAX = 4_096
"""Events kept for a watcher that does not read."""

RESTART_S = 5.0
"""Wait before a bearer that failed by a mistake of ours runs again."""

STOPPING_S = 5.0
"""How long bearers may take to end."""

TAKE_RETRY_S = 1.0
"""Wait after the disk did not let anything be sent."""


class Stepping(Protocol):
    """What the runner needs of a post."""

    def step(self, inputs: Sequence[Input], now: Now) -> list[object]:
        """Take inputs with one commit; one result each: its value or an OpenlineError."""

    def take(self, line: int, bearer: str, now: Now, above: int | None = None) -> list[Outgoing]:
        """What a bearer of a line should send now (`above` a rank, only what goes before it);
        StoreError if the disk does not let it."""

    def deadline(self) -> int | None:
        """Monotonic milliseconds at which a Tick is due."""

    def events(self) -> list[PostEvent]:
        """What happened since the last call."""


class _Waiting(NamedTuple):
    """An input in the queue, and who waits for its result."""

    given: Input
    result: asyncio.Future[object] | None


class Watching:
    """One watcher's view of the events: `more()` gives what came, in order; `close()` when done."""

    def __init__(self, watchers: set[Watching]) -> None:
        self._watchers = watchers
        self._events: deque[PostEvent] = deque(maxlen=WATCH_EVENTS_MAX)
        self._missed = 0
        self._came = asyncio.Event()
        watchers.add(self)

    def tell(self, events: Sequence[PostEvent]) -> None:
        """Keep these for the watcher; the oldest make room and are counted as missed."""
        self._missed += max(0, len(self._events) + len(events) - WATCH_EVENTS_MAX)
        self._events.extend(events)
        self._came.set()

    async def more(self) -> list[PostEvent]:
        """Wait for events; the first is "missed" with a count if some were."""
        await self._came.wait()
        self._came.clear()
        events = list(self._events)
        self._events.clear()
        if self._missed:
            events.insert(0, PostEvent("missed", 0, {"count": self._missed}))
            self._missed = 0
        return events

    def close(self) -> None:
        """Watch no more."""
        self._watchers.discard(self)


class LinePort:
    """The post as one bearer of one line sees it (bearers.base.Port)."""

    def __init__(self, runner: Runner, line: int, name: str, profile: BearerProfile) -> None:
        self._runner = runner
        self._line = line
        self._name = name
        self._profile = profile
        self._wake = asyncio.Event()

    async def received(self, datagrams: Sequence[bytes]) -> None:
        """Hand in datagrams; returns when what they brought is on disk, else StoreError."""
        try:
            await self._runner.give(Arrived(self._line, self._name, datagrams))
        except LocalError as error:
            if error.code == "post.busy":
                raise StoreError(error.code) from None
            # The line was revoked meanwhile: there is nothing to hand in to.
            return
        except InvariantError as error:
            # What the other side sent shows a fault of ours. It was tried alone and changed
            # nothing; the bearer, and every other line, must not fall with it.
            log().error("fault.own", code=error.code, line=self._line)

    async def outgoing(self) -> list[Outgoing]:
        """Wait until there is something to send here and take it."""
        # A bearer that always has room must not keep the loop from everybody else.
        await asyncio.sleep(0)
        while True:
            self._wake.clear()
            try:
                if taken := self._runner.take(self._line, self._name):
                    return taken
            except StoreError as error:
                log().error("take.failed", line=self._line, bearer=self._name, code=error.code)
                await asyncio.sleep(TAKE_RETRY_S)
                continue
            await self._wake.wait()

    def urgent(self, rank: int) -> list[Outgoing]:
        """Take what goes before a datagram of this rank; [] if nothing does."""
        try:
            return self._runner.take(self._line, self._name, rank)
        except StoreError:
            # What the bearer is sending goes on; what waits is asked for again by `outgoing`.
            return []

    def wake(self) -> None:
        """There may be something to send."""
        self._wake.set()

    def up(self, deaf: str = "") -> None:
        """The bearer can carry now; one way only, if it is deaf."""
        profile = replace(self._profile, two_way=False) if deaf else self._profile
        self._runner.put(BearerUp(self._line, self._name, profile, deaf))

    def down(self, code: str) -> None:
        """It cannot, for the reason `code`."""
        self._runner.put(BearerDown(self._line, self._name, code))


class Runner:
    """Runs a post: `async with Runner(post, now) as runner`. Leaving the block stops bearers and
    takes the last step.
    """

    def __init__(self, post: Stepping, now: Callable[[], Now]) -> None:
        self._post = post
        self._now = now
        self._queue: deque[_Waiting] = deque()
        self._given = asyncio.Event()
        self._ports: dict[tuple[int, str], LinePort] = {}
        self._bearers: dict[tuple[int, str], asyncio.Task[None]] = {}
        self._watchers: set[Watching] = set()
        self._event_log = EventLog()
        self._armed_ms: int | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._group = asyncio.TaskGroup()
        self._own: list[asyncio.Task[None]] = []
        self.bag = asyncio.Lock()
        """Held while a bag is filled (carrying.py)."""

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._own = [
            self._group.create_task(self._work()),
            self._group.create_task(self._write_traffic()),
        ]
        self._after()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                await self._stop([*self._bearers])
                self._finish()
        finally:
            if self._timer is not None:
                self._timer.cancel()
            for task in [*self._own, *self._bearers.values()]:
                task.cancel()
            if isinstance(error, asyncio.CancelledError):
                await self._group.__aexit__(kind, error, at)
            else:
                # What the block itself raised goes on as it is, not in an exception group.
                await self._group.__aexit__(None, None, None)

    # -- what people and bearers give ---------------------------------------------------------

    def give(self, given: Input) -> asyncio.Future[object]:
        """Put an input into the next step; the future gets its result, or the OpenlineError it
        ended in.

        Raises LocalError("post.busy") if too many wait already.
        """
        if len(self._queue) >= INPUTS_WAITING_MAX:
            raise LocalError("post.busy", waiting=len(self._queue))
        result: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(given, result))
        self._given.set()
        return result

    def put(self, given: Input) -> None:
        """Put an input into the next step whose result nobody waits for."""
        self._queue.append(_Waiting(given, None))
        self._given.set()

    def take(self, line: int, bearer: str, above: int | None = None) -> list[Outgoing]:
        """What a bearer should send now (`above` a rank, only what goes before it); StoreError if
        the disk does not let it."""
        try:
            return self._post.take(line, bearer, self._now(), above)
        finally:
            self._tell()
            self._arm()

    def watch(self) -> Watching:
        """From now on, every event of the post."""
        return Watching(self._watchers)

    # -- bearers ------------------------------------------------------------------------------

    def port(self, line: int, name: str, profile: BearerProfile) -> LinePort:
        """The port of one bearer of one line, for a bearer that the runner does not run itself."""
        port = LinePort(self, line, name, profile)
        self._ports[line, name] = port
        return port

    def close_port(self, line: int, name: str) -> None:
        """Wake this port no more."""
        self._ports.pop((line, name), None)

    def start(self, line: int, name: str, bearer: Bearer, profile: BearerProfile) -> None:
        """Run a bearer for a line until `stop`."""
        port = self.port(line, name, profile)
        self._bearers[line, name] = self._group.create_task(
            self.guarded(lambda: bearer.run(port), port.down)
        )

    async def stop(self, line: int, name: str, told: Input) -> None:
        """End one bearer of a line; the post is then told what has become of it."""
        await self._stop([(line, name)])
        self.put(told)

    async def _stop(self, names: Iterable[tuple[int, str]]) -> None:
        tasks = [self._bearers.pop(name) for name in names]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=STOPPING_S)
        for name in names:
            self.close_port(*name)

    async def guarded(
        self, run: Callable[[], Awaitable[None]], down: Callable[[str], None] | None = None
    ) -> None:
        """Run something that carries for lines, again after a pause whenever it fails."""
        while True:
            code = "bearer.ended"
            try:
                await run()
            except OpenlineError as error:
                code = error.code
            except Exception as error:
                # The edge of one bearer: its mistake must not end the lines' other bearers. The
                # traceback could show what it carried, so only the kind of mistake is written.
                code = "bearer.fault"
                log().error("bearer.fault", kind=type(error).__name__)
            log().warning("bearer.restarts", code=code)
            if down is not None:
                down(code)
            await asyncio.sleep(RESTART_S)

    # -- the step -----------------------------------------------------------------------------

    async def _work(self) -> None:
        while True:
            await self._given.wait()
            self._given.clear()
            while self._queue:
                self._step()
                # One turn of the loop, so that what came during the commit is read from sockets.
                await asyncio.sleep(0)

    def _step(self) -> None:
        count = min(len(self._queue), BATCH_INPUTS_MAX)
        batch = [self._queue.popleft() for _ in range(count)]
        began_s = precise_s()
        results = self._post.step([waiting.given for waiting in batch], self._now())
        failed: OpenlineError | None = None
        for (given, future), result in zip(batch, results, strict=True):
            if isinstance(result, StoreError | InvariantError):
                failed = result
            if future is None:
                if isinstance(result, OpenlineError):
                    log().warning("input.refused", kind=type(given).__name__, code=result.code)
            elif not future.done():
                if isinstance(result, OpenlineError):
                    future.set_exception(result)
                else:
                    future.set_result(result)
        if failed is not None:
            took_ms = int((precise_s() - began_s) * 1000)
            where = failed.details if failed.code == "internal.fault" else {}
            log().error("step.failed", code=failed.code, inputs=count, took_ms=took_ms, **where)
        self._after()

    def _finish(self) -> None:
        """Everything still in the queue, when no more can come."""
        while self._queue:
            self._step()
        self._event_log.flush()

    def _after(self) -> None:
        self._tell()
        self._arm()
        for port in self._ports.values():
            port.wake()

    def _tell(self) -> None:
        if events := self._post.events():
            self._event_log.take(events)
            for watcher in self._watchers:
                watcher.tell(events)

    async def _write_traffic(self) -> None:
        while True:
            await asyncio.sleep(TRAFFIC_S)
            self._event_log.flush()

    # -- the clock hand -----------------------------------------------------------------------

    def _arm(self) -> None:
        deadline_ms = self._post.deadline()
        if deadline_ms == self._armed_ms:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._armed_ms = deadline_ms
        if deadline_ms is not None:
            # At least a millisecond, so that a deadline that stays in the past cannot spin.
            delay_s = max(1, deadline_ms - self._now().mono_ms) / 1000
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._tick)

    def _tick(self) -> None:
        self._armed_ms = None
        self.put(Tick())
