"""The desk's way to its post: the control socket, as who is signed in.

Theory of operation: the desk is a process of its own that holds no key and decides nothing. What a
page asks, it asks over the control socket under the reader's own sign-in, so that the post checks
each right in the one place where it checks it for everybody, and its audit log names the person.
A post has room for so many connections, so a desk takes two: one link carries all questions,
another tells all boards which line an event was of. That one stands under the sign-in of one of
those who watch; when it ends, every board is told that anything may have changed, and the first to
look opens it anew under its own. It tells a board no more than a number: what became of that line
each board asks for itself. A post that is away is told as such to who asks, and asked again at the
next question.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..link import Link

Hear = Callable[[int], None]
"""Takes the number of a line that an event was of; 0 if it may be any."""


class Asking:
    """Questions to the post in `directory`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._link = Link(directory)
        self._opening = asyncio.Lock()
        self._events = Link(directory)
        self._beginning = asyncio.Lock()
        self._telling: asyncio.Task[None] | None = None
        self._boards: set[Hear] = set()

    async def call(self, verb: str, token: str = "", /, **args: object) -> Any:
        """Ask a verb as who is signed in under `token`. Raises LocalError: the post's own, or
        post.not_running, post.slow, post.went_away.
        """
        return await self.confirmed(verb, token, "", **args)

    async def confirmed(self, verb: str, token: str, proof: str, /, **args: object) -> Any:
        """The same for an act that a sign-in alone does not open, with what `prove` gave."""
        async with self._opening:
            if not self._link.is_open:
                self._link = await Link(self._directory).open()
        return await self._link.call(verb, token, proof, **args)

    @contextmanager
    def told(self, hear: Hear) -> Iterator[None]:
        """While in this block, `hear` is called with each event for as long as anybody watches."""
        self._boards.add(hear)
        try:
            yield
        finally:
            self._boards.discard(hear)

    async def watch(self, token: str) -> None:
        """See to it that events are told, as who is signed in under `token` if nobody else watches.
        Raises LocalError.
        """
        async with self._beginning:
            if self._events.is_open:
                return
            events = Link(self._directory, lambda event: self._tell(event["line"]))
            try:
                await events.open()
                await events.call("watch", token)
            except BaseException:
                await events.close()
                raise
            self._events = events
            self._telling = asyncio.create_task(self._until_ended(events))

    async def _until_ended(self, events: Link) -> None:
        await events.ended()
        self._tell(0)

    def _tell(self, line: int) -> None:
        for hear in self._boards:
            hear(line)

    async def close(self) -> None:
        """Hang up."""
        await self._link.close()
        await self._events.close()


async def last_texts(
    call: Callable[..., Awaitable[Any]], token: str, label: str, count: int, *, seen: bool = False
) -> list[dict[str, Any]]:
    """The last `count` texts of a line in their order, with what is missing between them, in as
    many pages as that takes. Raises LocalError.
    """
    place: dict[str, object] = {"latest": True}
    records: list[dict[str, Any]] = []
    while True:
        found = await call("search", token, line=label, limit=count, seen=seen, **place)
        records = [*records, *found["records"]][-count:]
        if found["next"] is None:
            return records
        place = {"at": found["next"]}
