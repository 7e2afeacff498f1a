"""The desk's way to its post: the control socket, as who is signed in.

Theory of operation: the desk is a process of its own that holds no key and decides nothing. What a
page asks, it asks over the control socket under the reader's own sign-in, so that the post checks
each right in the one place where it checks it for everybody, and its audit log names the person.
One link carries all questions; each board that is watched has another for its events. A post that
is away is told as such to who asks, and asked again at the next question.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from ..link import Event, Link


class Asking:
    """Questions to the post in `directory`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._link = Link(directory)
        self._opening = asyncio.Lock()

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

    @asynccontextmanager
    async def watching(self, token: str, hear: Callable[[Event], None]) -> AsyncIterator[Link]:
        """A link over which `hear` is told what happens at the post, from now on and for as long as
        who is signed in under `token` may know. Raises LocalError.
        """
        async with Link(self._directory, hear) as link:
            await link.call("watch", token)
            yield link

    async def close(self) -> None:
        """Hang up."""
        await self._link.close()
