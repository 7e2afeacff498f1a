"""The desk's way to its post: the control socket, as who is signed in.

Theory of operation: the desk is a process of its own that holds no key and decides nothing. What a
page asks, it asks over the control socket under the reader's own sign-in, so that the post checks
each right in the one place where it checks it for everybody, and its audit log names the person.
One connection carries all questions, matched by id; another carries the events. A post that is
away is told as such to who asks, and asked again at the next question.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from ..client import socket_of
from ..errors import LocalError

ANSWER_S = 30.0
LINE_BYTES_MAX = 64 << 20


class Asking:
    """Questions to the post in `directory`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._connecting = asyncio.Lock()

    async def call(self, verb: str, token: str = "", **args: object) -> Any:
        """Ask a verb as who is signed in under `token`. Raises LocalError: the post's own, or
        post.not_running, post.slow, post.went_away."""
        async with self._connecting:
            if self._writer is None or self._writer.is_closing():
                await self._connect()
        writer, number = self._writer, next(self._numbers)
        if writer is None:
            raise LocalError("post.went_away")
        request = {"id": number, "verb": verb, "args": args, **({"as": token} if token else {})}
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            writer.write(json.dumps(request).encode() + b"\n")
            async with asyncio.timeout(ANSWER_S):
                return await answer
        except TimeoutError:
            raise LocalError("post.slow", seconds=int(ANSWER_S)) from None
        finally:
            del self._waiting[number]

    async def events(self, token: str) -> AsyncIterator[dict[str, Any]]:
        """What happens at the post, until it goes away: LocalError("post.went_away")."""
        reader, writer = await self._open()
        try:
            request = {"id": 0, "verb": "watch", "args": {}, "as": token}
            writer.write(json.dumps(request).encode() + b"\n")
            while line := await reader.readline():
                said = json.loads(line)
                if fault := said.get("error"):
                    raise LocalError(str(fault["code"]), **fault.get("details", {}))
                if "event" in said:
                    yield said["event"]
            raise LocalError("post.went_away")
        finally:
            writer.close()

    async def close(self) -> None:
        """Hang up."""
        if self._writer is not None:
            self._writer.close()
        if self._reading is not None:
            self._reading.cancel()
            with suppress(asyncio.CancelledError):
                await self._reading

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        path = socket_of(self._directory)
        try:
            return await asyncio.open_unix_connection(path, limit=LINE_BYTES_MAX)
        except (FileNotFoundError, ConnectionRefusedError):
            raise LocalError("post.not_running", directory=str(self._directory)) from None
        except OSError as error:
            raise LocalError("post.unreachable", reason=error.strerror or str(error)) from None

    async def _connect(self) -> None:
        reader, self._writer = await self._open()
        self._reading = asyncio.create_task(self._read(reader, self._writer))

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hand answers to who waits for them; when the post goes, tell everybody."""
        try:
            with suppress(OSError, ValueError):
                while line := await reader.readline():
                    self._answered(json.loads(line))
        finally:
            writer.close()
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(LocalError("post.went_away"))

    def _answered(self, said: dict[str, Any]) -> None:
        waiting = self._waiting.get(said.get("id", 0))
        if waiting is None or waiting.done():
            return
        if fault := said.get("error"):
            error = LocalError(str(fault["code"]), **fault.get("details", {}))
            waiting.set_exception(error)
        else:
            waiting.set_result(said.get("ok"))
