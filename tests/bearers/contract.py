"""What every bearer must do: one suite, run over each bearer by subclassing.

Theory of operation: a subclass named Test… says in `make` how to build the two bearers of one line,
and in `cut` and `mend` how to take away and give back what the near bearer talks to (by default the
far bearer itself is stopped and started again). Each test runs its own event loop, and at its end
no task may be left over. A bearer that holds custody of datagrams for the other (a relay does, a
socket does not) subclasses CustodyContract. A bearer may lose and repeat datagrams while it is cut:
the line above mends that, so the tests send again, as the line would.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from openline.bearers.base import Bearer

from .ports import PATIENCE_S, RecordingPort

RESEND_S = 0.5
"""Seconds after which a test, playing the line, sends again what did not arrive."""


class End:
    """One side of the line: a bearer, its port, and the task that runs it."""

    def __init__(self, bearer: Bearer) -> None:
        self.bearer = bearer
        self.port = RecordingPort()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Run the bearer until `stop`."""
        self._task = asyncio.create_task(self.bearer.run(self.port))

    @property
    def running(self) -> bool:
        """Whether the bearer was started and has not ended."""
        return self._task is not None and not self._task.done()

    async def stop(self) -> None:
        """Cancel the bearer and wait for its end; raises what it raised if it ended by itself."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        async with asyncio.timeout(PATIENCE_S):
            with suppress(asyncio.CancelledError):
                await task


class BearerContract:
    """The tests every bearer passes. Override `make`, and `cut`, `mend`, `unmake` where needed."""

    near: End
    far: End

    async def make(self) -> tuple[Bearer, Bearer]:
        """Build (near, far), not yet running; called in the event loop of the test."""
        raise NotImplementedError

    async def unmake(self) -> None:
        """Undo `make`, after both bearers have stopped."""

    async def cut(self) -> None:
        """Take away what the near bearer talks to; it must report down."""
        await self.far.stop()

    async def mend(self) -> None:
        """Give it back."""
        self.far.start()

    def test_datagrams_of_every_size_cross_in_both_directions_intact(self) -> None:
        """Bytes arrive as they were, none added."""

        async def scene() -> None:
            pattern = bytes(range(256)) * 16
            datagrams = [pattern[:size] for size in (1, 50, 64, 255, 256, 1280, 4095, 4096)]
            answers = [pattern[::-1][:size] for size in (2, 51, 96, 4096)]
            self.near.port.send(*datagrams)
            self.far.port.send(*answers)
            await self.far.port.until(lambda: len(self.far.port.arrived) >= len(datagrams))
            await self.near.port.until(lambda: len(self.near.port.arrived) >= len(answers))
            assert sorted(self.far.port.arrived) == sorted(datagrams)
            assert sorted(self.near.port.arrived) == sorted(answers)

        self._play(scene)

    def test_hundreds_of_datagrams_cross_both_ways_at_once(self) -> None:
        """Load in one direction does not stop the other."""

        async def scene() -> None:
            there = [b"there %04d" % n for n in range(250)]
            back = [b"back %04d" % n for n in range(250)]
            self.near.port.send(*there)
            self.far.port.send(*back)
            await self.far.port.until(lambda: set(self.far.port.arrived) == set(there))
            await self.near.port.until(lambda: set(self.near.port.arrived) == set(back))

        self._play(scene)

    def test_recovery_datagrams_arrive_too(self) -> None:
        """What is marked for recovery reaches the same port."""

        async def scene() -> None:
            self.near.port.send(b"opened on the permanent root", recovery=True)
            await self.far.port.until(lambda: len(self.far.port.arrived) == 1)
            assert self.far.port.arrived == [b"opened on the permanent root"]

        self._play(scene)

    def test_up_is_reported_when_it_can_carry(self) -> None:
        """Both ends say up, once for each time they were down."""

        async def scene() -> None:
            for end in (self.near, self.far):
                assert end.port.is_up
                assert end.port.states.count("up") == 1

        self._play(scene)

    def test_down_is_reported_with_a_code_and_up_again_after(self) -> None:
        """A cut is told at once, its mending too."""

        async def scene() -> None:
            await self.cut()
            await self.near.port.until(lambda: not self.near.port.is_up)
            assert self.near.port.states[-1].startswith("bearer.")
            await self.mend()
            await self.near.port.until(lambda: self.near.port.is_up)

        self._play(scene)

    def test_datagrams_cross_after_the_far_end_restarted(self) -> None:
        """Three cuts in a row, traffic both ways after each."""

        async def scene() -> None:
            for round_number in range(3):
                await self.cut()
                await self.near.port.until(lambda: not self.near.port.is_up)
                await self.mend()
                await self._insist(self.near, self.far, b"there %d" % round_number)
                await self._insist(self.far, self.near, b"back %d" % round_number)

        self._play(scene)

    def test_a_slow_post_is_not_handed_a_second_batch(self) -> None:
        """While `received` waits for the disk, this bearer waits for it."""

        async def scene() -> None:
            port = self.far.port
            port.hold()
            self.near.port.send(*[b"%d" % n for n in range(20)])
            await port.until(lambda: port.waiting == 1)
            port.let_go()
            await port.until(lambda: len(port.arrived) == 20)
            assert port.waiting_max == 1

        self._play(scene)

    def test_cancelling_while_the_post_is_slow_ends_cleanly(self) -> None:
        """Cancellation inside `received` leaves no task behind (checked after every test)."""

        async def scene() -> None:
            self.far.port.hold()
            self.near.port.send(b"x" * 100)
            await self.far.port.until(lambda: self.far.port.waiting == 1)
            await self.far.stop()
            assert self.far.port.waiting == 0
            assert self.far.port.arrived == []

        self._play(scene)

    async def _insist(self, sender: End, receiver: End, datagram: bytes) -> None:
        """Send until it arrives, as the line would."""
        async with asyncio.timeout(PATIENCE_S):
            while datagram not in receiver.port.arrived:
                sender.port.send(datagram)
                with suppress(TimeoutError):
                    await receiver.port.until(
                        lambda: datagram in receiver.port.arrived, patience_s=RESEND_S
                    )

    def _play(self, scene: Callable[[], Awaitable[None]]) -> None:
        asyncio.run(self._whole(scene))

    async def _whole(self, scene: Callable[[], Awaitable[None]]) -> None:
        near, far = await self.make()
        self.near, self.far = End(near), End(far)
        try:
            self.far.start()
            self.near.start()
            await self.near.port.until(lambda: self.near.port.is_up)
            await self.far.port.until(lambda: self.far.port.is_up)
            await scene()
        finally:
            try:
                await self.near.stop()
            finally:
                await self.far.stop()
                await self.unmake()
        for _ in range(100):
            # A library may need a turn of the loop more to let a device go.
            if asyncio.all_tasks() == {asyncio.current_task()}:
                break
            await asyncio.sleep(0.01)
        assert asyncio.all_tasks() == {asyncio.current_task()}


class CustodyContract(BearerContract):
    """The tests of a bearer that keeps datagrams until the receiving post holds them durably."""

    def test_what_the_post_did_not_commit_is_handed_in_again(self) -> None:
        """A post killed before its commit gets the datagram again."""

        async def scene() -> None:
            self.far.port.hold()
            self.near.port.send(b"kept until it is on disk")
            await self.far.port.until(lambda: self.far.port.waiting == 1)
            await self.far.stop()
            assert self.far.port.arrived == []
            self.far.port.let_go()
            self.far.start()
            await self.far.port.until(lambda: len(self.far.port.arrived) == 1)
            assert self.far.port.arrived == [b"kept until it is on disk"]

        self._play(scene)

    def test_what_the_post_committed_is_not_handed_in_again(self) -> None:
        """Custody ends when `received` has returned and the acknowledgement has passed."""

        async def scene() -> None:
            self.near.port.send(b"first")
            await self.far.port.until(lambda: self.far.port.arrived == [b"first"])
            await self.settled()
            await self.far.stop()
            self.far.start()
            self.near.port.send(b"second")
            await self.far.port.until(lambda: b"second" in self.far.port.arrived)
            assert self.far.port.arrived == [b"first", b"second"]

        self._play(scene)

    def test_datagrams_wait_for_a_far_end_that_is_away(self) -> None:
        """The sender may be done before the receiver is there."""

        async def scene() -> None:
            await self.far.stop()
            waiting = [b"waiting %d" % n for n in range(50)]
            self.near.port.send(*waiting)
            await self.near.port.until(lambda: self.near.port.taken == 50)
            self.far.start()
            await self.far.port.until(lambda: sorted(self.far.port.arrived) == sorted(waiting))

        self._play(scene)

    async def settled(self) -> None:
        """Wait until the holder of custody has let go of everything acknowledged."""
        raise NotImplementedError
