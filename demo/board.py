"""What happened and when: every message of the run with its stages, and what was done to the wires.

Theory of operation: events of the posts and acts of the demonstration come in, in any order; the
first time of each stage is kept. A message is found by its author and number, which go on across
incarnations. Times are monotonic milliseconds, made relative to the start of the run only when
the result is written. Waiting for a stage is waiting for the next event. Nothing is drawn here.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from openline import clock
from openline.errors import LocalError
from openline.link import Event

from .script import Said

STAGES = ("released", "sent", "held", "arrived", "delivered", "opened", "shown", "holding")
"""What can happen to a message, in the words of the posts: "held" is acknowledged by the other
machine, from "delivered" on people did it.
"""

PATIENCE_S = 30.0
"""How long the demonstration waits for anything before it gives up."""


@dataclass(frozen=True)
class Message:
    """One released text: who released it, as which serial, and what is known of its way."""

    author: str
    number: int
    incarnation: int
    said: Said
    asked_ms: int
    """When its releaser asked the post to take it."""
    times: dict[str, int]
    """Stage → monotonic ms."""
    bearers: list[str] = field(default_factory=list)
    """The bearers it was put on, in order."""

    @property
    def serial(self) -> str:
        """The serial as people write it: 17.3fa21b."""
        return f"{self.number}.{self.incarnation:06x}"

    def after_ms(self, stage: str) -> int | None:
        """Milliseconds from release to a stage; None if it was not reached."""
        if stage not in self.times or "released" not in self.times:
            return None
        return self.times[stage] - self.times["released"]

    def took_ms(self) -> int | None:
        """Milliseconds from being asked to being on disk."""
        return self.times["released"] - self.asked_ms if "released" in self.times else None


@dataclass(frozen=True)
class Happening:
    """Something that was done or happened to a wire or a post; `values` are for the wording."""

    at_ms: int
    name: str
    values: dict[str, Any]


class Board:
    """Everything that happened between two posts, told by `hear` and `note`."""

    def __init__(self, posts: tuple[str, str]) -> None:
        self.posts = posts
        self.start_ms = clock.now().mono_ms
        self.messages: list[Message] = []
        self.happenings: list[Happening] = []
        self.arrivals: dict[str, list[int]] = {post: [] for post in posts}
        """Numbers of the other side's records in order of arrival, by the post they arrived at."""
        self.bearers: dict[str, dict[str, bool]] = {post: {} for post in posts}
        """Whether each bearer can carry, by post."""
        self.changed: Callable[[], None] = lambda: None
        """Called after every change, to draw."""
        self.failure: LocalError | None = None
        self._times: defaultdict[tuple[str, int], dict[str, int]] = defaultdict(dict)
        self._put_on: defaultdict[tuple[str, int], list[str]] = defaultdict(list)
        self._news = asyncio.Event()

    def other(self, post: str) -> str:
        """The post at the other end."""
        return self.posts[1 - self.posts.index(post)]

    # -- what is told -------------------------------------------------------------------------

    def hear(self, post: str, event: Event) -> None:
        """Take one event of a post."""
        name, values, at_ms = event["name"], event["values"], event["mono_ms"]
        if name in ("released", "sent", "held"):
            key = (post, values["number"])
            self._times[key].setdefault(name, at_ms)
            if name == "sent" and values["bearer"] not in self._put_on[key][-1:]:
                self._put_on[key].append(values["bearer"])
        elif name == "arrived":
            self._times[self.other(post), values["number"]].setdefault(name, at_ms)
            self.arrivals[post].append(values["number"])
        elif name == "receipt" and values["side"] == 0:
            self._times[post, values["number"]].setdefault(values["kind"], at_ms)
        elif name in ("bearer.up", "bearer.down"):
            up = name == "bearer.up"
            self.bearers[post][values["bearer"]] = up
            self.note(name, at_ms, post=post, bearer=values["bearer"])
        self.tell()

    def note(self, name: str, at_ms: int | None = None, **values: object) -> Happening:
        """Take note of something that was done now, or at a monotonic time."""
        happening = Happening(clock.now().mono_ms if at_ms is None else at_ms, name, values)
        self.happenings.append(happening)
        self.tell()
        return happening

    def released(self, author: str, said: Said, serial: dict[str, int], asked_ms: int) -> Message:
        """A post took a text; the message with whatever is known of its way already."""
        number, incarnation = serial["number"], serial["incarnation"]
        key = (author, number)
        times, put_on = self._times[key], self._put_on[key]
        message = Message(author, number, incarnation, said, asked_ms, times, put_on)
        self.messages.append(message)
        self.tell()
        return message

    def fail(self, error: LocalError) -> None:
        """Nothing more is to be waited for: whoever waits gets this error."""
        self.failure = self.failure or error
        self.tell()

    def tell(self) -> None:
        """Something changed."""
        self._news.set()
        self.changed()

    # -- waiting ------------------------------------------------------------------------------

    async def until(self, reached: Callable[[], bool], what: str) -> None:
        """Wait until `reached()`; LocalError("demo.late") names `what` if it takes too long."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not reached():
                    if self.failure is not None:
                        raise self.failure
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise LocalError("demo.late", what=what, seconds=int(PATIENCE_S)) from None

    async def news(self, seconds_max: float) -> None:
        """Wait for the next change, so many seconds at most; raises what failed meanwhile."""
        if self.failure is not None:
            raise self.failure
        self._news.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds_max):
                await self._news.wait()

    async def stage(self, message: Message, stage: str) -> None:
        """Wait until a message has reached a stage."""
        await self.until(lambda: stage in message.times, f"{stage} {message.serial}")

    # -- the result ---------------------------------------------------------------------------

    def since_ms(self, at_ms: int | None) -> int | None:
        """A monotonic time as milliseconds since the start."""
        return None if at_ms is None else at_ms - self.start_ms

    def view(self, message: Message) -> dict[str, Any]:
        """A message for machines; times in ms since the start, null if not reached."""
        return {
            "serial": message.serial,
            "number": message.number,
            "incarnation": message.incarnation,
            "from": message.author,
            "precedence": message.said.precedence,
            "kind": "text",
            "language": message.said.language,
            "subject": message.said.subject,
            "bytes": len(message.said.body.encode()),
            "bearers": list(message.bearers),
            "times": {
                "asked_ms": self.since_ms(message.asked_ms),
                **{f"{stage}_ms": self.since_ms(message.times.get(stage)) for stage in STAGES},
            },
        }

    def views(self) -> dict[str, Any]:
        """The part of the result that tells what happened."""
        return {
            "messages": [self.view(message) for message in self.messages],
            "events": [
                {"at_ms": self.since_ms(each.at_ms), "name": each.name, **each.values}
                for each in sorted(self.happenings, key=lambda each: each.at_ms)
            ],
        }
