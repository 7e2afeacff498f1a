"""One connection to a running post that stays open: many questions at a time, and its events.

Theory of operation: the control socket answers by id and, once asked to `watch`, tells every event
of the post on the same connection (control.py). A reader hands answers to whoever waits and events
to `hear`. When the connection is over, everybody who waits is told why, and `ended` says it. It is
not opened again by itself: whoever keeps a link decides that. What a verb or an event means does
not live here; commands ask once and wait, with client.py.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from .client import ANSWER_S, not_running, request, socket_of, unanswered
from .errors import LocalError, reason

LINE_BYTES_MAX = 64 << 20
"""Longest answer: a whole record, as the post shows it."""

Event = dict[str, Any]
"""{"name", "line", "label", "values", "mono_ms"} of one event. The clock is common to all processes
of a machine, so that times of two posts can be subtracted."""


class Link:
    """A connection to the post in `directory`; `hear` is called with each event once `watch` was
    asked. Close it when done, or use it as an asynchronous context.
    """

    def __init__(self, directory: Path, hear: Callable[[Event], None] = lambda _: None) -> None:
        self._directory = directory
        self._hear = hear
        self._asked = 0
        self._watch = 0
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._why = LocalError("post.went_away")

    async def open(self) -> Self:
        """Connect. Raises LocalError: post.not_running, post.not_yours, post.unreachable."""
        path = socket_of(self._directory)
        try:
            reader, writer = await asyncio.open_unix_connection(path, limit=LINE_BYTES_MAX)
        except (FileNotFoundError, ConnectionRefusedError):
            raise not_running(self._directory) from None
        except PermissionError:
            raise LocalError("post.not_yours", directory=str(self._directory)) from None
        except OSError as error:
            raise LocalError("post.unreachable", reason=reason(error)) from None
        self._writer = writer
        self._reading = asyncio.create_task(self._read(reader, writer))
        return self

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def is_open(self) -> bool:
        """Whether a question would reach the post, as far as is known here."""
        return self._reading is not None and not self._reading.done()

    async def call(self, verb: str, token: str = "", proof: str = "", /, **args: object) -> Any:
        """Ask a verb, as who is signed in under `token` if one is given, with the `proof` that it
        was confirmed. Raises LocalError: the post's own, or control.too_long, post.slow,
        post.went_away.
        """
        if self._writer is None or not self.is_open:
            raise self._why
        self._asked += 1
        number = self._asked
        if verb == "watch":
            self._watch = number
        signed_in = {"as": token, "proof": proof} if token else {}
        asked = request({"id": number, "verb": verb, "args": args, **signed_in})
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        self._writer.write(asked)
        try:
            async with asyncio.timeout(ANSWER_S):
                return await answer
        except TimeoutError:
            raise unanswered("post.slow", verb, seconds=int(ANSWER_S)) from None
        except LocalError as error:
            if error is self._why and error.code == "post.went_away":
                raise unanswered(error.code, verb) from None
            raise
        finally:
            self._waiting.pop(number, None)

    async def ended(self) -> LocalError:
        """Wait until the connection is over; why it is."""
        if self._reading is not None:
            await asyncio.wait([self._reading])
        return self._why

    async def close(self) -> None:
        """Hang up."""
        if self._writer is not None:
            self._writer.close()
        if self._reading is not None:
            self._reading.cancel()
            with suppress(asyncio.CancelledError):
                await self._reading

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            # A post that is killed resets the connection; for us that is its end like any other.
            with suppress(OSError, ValueError):
                while not writer.is_closing() and (line := await reader.readline()):
                    self._take(json.loads(line), writer)
        finally:
            writer.close()
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(self._why)
                    # Whoever waited may have been cancelled meanwhile: the error is then nobody's.
                    answer.exception()

    def _take(self, said: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        if (event := said.get("event")) is not None:
            self._hear(event)
            return
        fault = said.get("error")
        error = LocalError(str(fault["code"]), **fault.get("details", {})) if fault else None
        answer = self._waiting.get(said["id"])
        if answer is None or answer.done():
            if error is not None and said["id"] == self._watch:
                # Who watches may no longer know what happens: nothing more will be told here.
                self._why = error
                writer.close()
        elif error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(said.get("ok"))
