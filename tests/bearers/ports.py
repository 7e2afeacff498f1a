"""A fake Port: the post as a bearer sees it, recorded.

Theory of operation: a test puts datagrams into `send` and waits with `until` for what it expects.
`hold` keeps every call of `received` waiting, as a slow disk would, until `let_go`; a call that is
cancelled while it waits brought nothing, as a post killed before its commit. Nothing of any one
bearer must live here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from openline.bearers.base import Outgoing
from openline.errors import StoreError

PATIENCE_S = 60.0
"""Seconds a test waits for what must happen, before it fails."""

BATCH_BYTES = 32 * 1024
"""Bytes handed to the bearer at one call of outgoing, as the post does."""


class RecordingPort:
    """A Port that keeps what a bearer did: `arrived` is durable, `offered` was handed in, `states`
    says up and down codes.
    """

    def __init__(self) -> None:
        self.arrived: list[bytes] = []
        self.offered: list[bytes] = []
        self.batches: list[int] = []
        self.states: list[str] = []
        self.sends = False
        """Whether the bearer can carry, be it deaf."""
        self.waiting = 0
        self.waiting_max = 0
        self.taken = 0
        self.refusals = 0
        """How many calls of `received` a full disk refuses from now on."""
        self._queue: list[Outgoing] = []
        self._open = asyncio.Event()
        self._open.set()
        self._changed = asyncio.Event()

    async def received(self, datagrams: Sequence[bytes]) -> None:
        """Record a batch; returns at once, or after `let_go` when held. StoreError if refused."""
        if self.refusals:
            self.refusals -= 1
            raise StoreError("store.full")
        self.offered += datagrams
        self.batches.append(len(datagrams))
        self.waiting += 1
        self.waiting_max = max(self.waiting_max, self.waiting)
        self._note()
        try:
            await self._open.wait()
            self.arrived += datagrams
        finally:
            self.waiting -= 1
            self._note()

    async def outgoing(self) -> list[Outgoing]:
        """Wait for datagrams put in by `send` and take up to 32 KiB of them."""
        await self.until(lambda: bool(self._queue), patience_s=None)
        batch: list[Outgoing] = []
        size = 0
        while self._queue and (not batch or size + len(self._queue[0].data) <= BATCH_BYTES):
            batch.append(self._queue.pop(0))
            size += len(batch[-1].data)
        self.taken += len(batch)
        self._note()
        return batch

    def urgent(self, rank: int) -> list[Outgoing]:
        """Take what was sent with a higher rank."""
        taken = [each for each in self._queue if each.rank > rank]
        self._queue = [each for each in self._queue if each.rank <= rank]
        self.taken += len(taken)
        return taken

    def up(self, deaf: str = "") -> None:
        """Record "up", or why nothing is heard."""
        self.states.append(deaf or "up")
        self.sends = True
        self._note()

    def down(self, code: str) -> None:
        """Record the code."""
        self.states.append(code)
        self.sends = False
        self._note()

    @property
    def is_up(self) -> bool:
        """Whether the bearer last said up."""
        return bool(self.states) and self.states[-1] == "up"

    async def until_up(self, times: int = 1) -> None:
        """Wait until the bearer is up and has said so that often."""
        await self.until(lambda: self.is_up and self.states.count("up") >= times)

    def send(self, *datagrams: bytes, recovery: bool = False, rank: int = 0) -> None:
        """Queue datagrams for the bearer to take."""
        self._queue += [Outgoing(data, recovery, rank) for data in datagrams]
        self._note()

    def hold(self) -> None:
        """From now on `received` does not return."""
        self._open.clear()

    def let_go(self) -> None:
        """Let every held call of `received` return."""
        self._open.set()

    async def until(self, true: Callable[[], bool], patience_s: float | None = PATIENCE_S) -> None:
        """Wait until `true()` holds; TimeoutError after `patience_s` seconds (None: for ever)."""
        async with asyncio.timeout(patience_s):
            while not true():
                self._changed.clear()
                await self._changed.wait()

    def _note(self) -> None:
        self._changed.set()
