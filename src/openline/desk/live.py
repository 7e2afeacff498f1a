"""The board while somebody watches it: whole at each beat, in between only what changed.

Theory of operation: an event of the post names its line; the lines that events have named are asked
about anew, all else is as it was at the last beat, a few seconds ago. So an update costs the same
however many lines there are. The watch begins before each look, or something between the two would
be seen a beat late. A board keeps only which lines have changed, so one whose reader is slow holds
up no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from typing import Any

from .. import clock, display, dtg
from .asking import Asking
from .board import Said, tiles

BEAT_S = 4.0
"""A board goes out at least so often; the script takes a longer silence for a stale one."""

TOGETHER_S = 0.01
"""Events so close together make one look at the board."""


class Board:
    """The board of one post as who is signed in under `token` may see it."""

    def __init__(self, asking: Asking, token: str) -> None:
        self._asking = asking
        self._token = token
        self._lines: dict[int, Said] = {}
        self._changed: set[int] = set()
        self._news = asyncio.Event()

    async def values(self, only: Collection[int] = ()) -> dict[str, Any]:
        """What the templates of a board need; if lines are given, `only` those are asked about."""
        asked = {"lines": sorted(only)} if only else {}
        status, waiting = await asyncio.gather(
            self._asking.call("status", self._token, **asked),
            self._asking.call("waiting", self._token, limit=0),
        )
        self._lines = {} if not only else self._lines
        self._lines |= {line["line"]: line for line in status["lines"]}
        now_s = clock.now().wall_s
        return {
            "tiles": tiles(self._lines.values(), waiting, now_s),
            "complete": waiting["complete"],
            "now": display.moment(now_s),
            "now_group": dtg.group(now_s),
            "stamp": now_s,
        }

    async def updates(self) -> AsyncIterator[dict[str, Any]]:
        """The values whenever something happened, and at each beat. Raises LocalError when the
        post is away, or whoever watches is signed out.
        """
        changed = {0}
        with self._asking.told(self._hear):
            while True:
                await self._asking.watch(self._token)
                found = await self.values(() if 0 in changed else changed)
                yield found
                await self._pause(BEAT_S if found["complete"] else 0)
                changed = self._changed.copy()
                self._changed.clear()
                self._news.clear()

    def _hear(self, line: int) -> None:
        self._changed.add(line)
        self._news.set()

    async def _pause(self, beat_s: float) -> None:
        try:
            async with asyncio.timeout(beat_s):
                await self._news.wait()
        except TimeoutError:
            return
        await asyncio.sleep(TOGETHER_S)
