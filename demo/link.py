"""One connection to a running post: its verbs, and everything that happens there as it happens.

Theory of operation: the control socket answers by id and, once asked to `watch`, tells every
event of the post on the same connection (control.py). A reader hands answers to whoever waits and
events to `hear`. An event carries the monotonic time at which it was on disk; that clock is
common to all processes of a machine, so times of two posts can be subtracted. What an event means
is in board.py.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from openline import clock
from openline.client import SOCKET
from openline.errors import LocalError

ANSWER_S = 30.0
"""How long a post may take to answer."""

LINE_BYTES_MAX = 64 << 20

Event = dict[str, Any]
"""{"name", "label", "values", "mono_ms"} of one event."""


class Link:
    """An open connection; `hear` is called with each event. Close it when done."""

    def __init__(self, hear: Callable[[Event], None]) -> None:
        self._hear = hear
        self._asked = 0
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None

    async def open(self, directory: Path) -> None:
        """Connect to the post in `directory` and watch it; no event after this is missed."""
        path = str(directory / SOCKET)
        reader, self._writer = await asyncio.open_unix_connection(path, limit=LINE_BYTES_MAX)
        self._reading = asyncio.create_task(self._read(reader))
        await self.call("watch")

    async def call(self, verb: str, **args: object) -> Any:
        """Ask a verb; raises LocalError with the post's code, or "post.went_away"."""
        if self._writer is None or self._reading is None or self._reading.done():
            raise LocalError("post.went_away")
        self._asked += 1
        answer = self._waiting[self._asked] = asyncio.get_running_loop().create_future()
        request = {"id": self._asked, "verb": verb, "args": args}
        self._writer.write(json.dumps(request).encode() + b"\n")
        try:
            async with asyncio.timeout(ANSWER_S):
                return await answer
        except TimeoutError:
            raise LocalError("post.slow", seconds=int(ANSWER_S)) from None

    async def close(self) -> None:
        """Hang up."""
        if self._writer is not None:
            self._writer.close()
        if self._reading is not None:
            self._reading.cancel()
            with suppress(asyncio.CancelledError):
                await self._reading

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            # A post that is killed resets the connection; for us that is its end like any other.
            with suppress(OSError):
                while line := await reader.readline():
                    self._take(json.loads(line))
        finally:
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(LocalError("post.went_away"))
                    # Whoever waited may have been cancelled meanwhile: the error is then nobody's.
                    answer.exception()

    def _take(self, said: dict[str, Any]) -> None:
        if (event := said.get("event")) is not None:
            event.setdefault("mono_ms", clock.now().mono_ms)
            self._hear(event)
            return
        answer = self._waiting.pop(said["id"], None)
        if answer is None or answer.done():
            return
        if error := said.get("error"):
            answer.set_exception(LocalError(str(error["code"]), **error.get("details", {})))
        else:
            answer.set_result(said.get("ok"))
