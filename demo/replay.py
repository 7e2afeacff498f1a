"""An exchange of the past run over two posts of today, its intervals scaled down.

Theory of operation: every act of the exchange (a message sent; its text sight-translated, which
here is a duty officer opening it; the principal shown it) has its time in the file; divided by
the factor it is when the act happens here. An act that must wait for another (nobody opens what
has not arrived) happens as soon as it can. Wire time then is received − sent; wire time now is
from being on disk at one post to being on disk at the other. The file is read by exchange.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from statistics import median
from typing import NamedTuple

from rich.text import Text

from openline import display, dtg

from .board import Message
from .exchange import Exchange, Sent
from .screen import Result, Screen, spaced
from .script import Said
from .stage import Stage

TAKES_S = 25.0
"""How long a replay takes if nothing else was asked."""


class Act(NamedTuple):
    """Something that is done at a time: `kind` is "send", "open" or "show"."""

    at_s: int
    order: int
    kind: str
    message: int


def acts(exchange: Exchange) -> list[Act]:
    """What is done in the order in which it is done; times are the file's, unix seconds."""
    found: list[Act] = []
    latest_s = next((m.dtg_s for m in exchange.messages if m.dtg_s is not None), 0)
    for at, message in enumerate(exchange.messages):
        latest_s = latest_s if message.dtg_s is None else message.dtg_s
        found.append(Act(latest_s, len(found), "send", at))
        for kind, at_s in (("open", message.opened_s), ("show", message.shown_s)):
            if at_s is not None:
                found.append(Act(max(at_s, latest_s), len(found), kind, at))
    return sorted(found)


def factor_for(plan: list[Act], asked: float | None, limit_s: float | None) -> float:
    """How many seconds of then are one of now: as asked, but so that the limit in seconds holds."""
    span_s = max(1, plan[-1].at_s - plan[0].at_s)
    least = span_s / (limit_s or TAKES_S) if asked is None or limit_s is not None else 0.0
    return max(asked or 0.0, least)


class Replay:
    """Runs an exchange on a stage; `progress` is told after every act."""

    def __init__(
        self,
        exchange: Exchange,
        stage: Stage,
        factor: float,
        progress: Callable[[int, int, str], None],
    ) -> None:
        self.exchange = exchange
        self.factor = factor
        self._messages: list[Message | None] = [None] * len(exchange.messages)
        self._stage = stage
        self._progress = progress
        self._posts = dict(zip(exchange.parties, stage.posts.values(), strict=True))

    async def run(self) -> None:
        """Every act at its time."""
        plan = acts(self.exchange)
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        for done, act in enumerate(plan):
            self._progress(done, len(plan), dtg.group(act.at_s))
            due_s = began_s + (act.at_s - plan[0].at_s) / self.factor
            await asyncio.sleep(max(0.0, due_s - loop.time()))
            await self._do(act)
        for message in self._messages:
            if message is not None:
                await self._stage.board.stage(message, "delivered")
        self._progress(len(plan), len(plan), "")

    def wires(self) -> list[Wire]:
        """The wire times of the messages that were sent."""
        return [
            Wire(sent, message, sent.wire_s, (message.after_ms("arrived") or 0) / 1000)
            for sent, message in zip(self.exchange.messages, self._messages, strict=True)
            if message is not None
        ]

    async def _do(self, act: Act) -> None:
        sent = self.exchange.messages[act.message]
        if act.kind == "send":
            said = Said("ROUTINE", sent.language, "", sent.text)
            author = self._posts[sent.author]
            self._messages[act.message] = await author.send(said, dtg_s=sent.dtg_s)
            return
        message = self._messages[act.message]
        if message is None:
            return
        reader = self._posts[sent.reader]
        if act.kind == "open":
            await reader.open(message)
        else:
            await reader.receipt(message, "shown")


class Wire(NamedTuple):
    """Wire times of one message in seconds; None if the file does not tell."""

    sent: Sent
    message: Message
    then_s: float | None
    now_s: float

    @property
    def ratio(self) -> float | None:
        """How many times faster now."""
        return None if self.then_s is None else self.then_s / max(self.now_s, 0.001)


def add_wire_times(result: Result, found: list[Wire], factor: float) -> None:
    """Put wire times into the result for machines."""
    by_serial = {(each.message.author, each.message.serial): each for each in found}
    for view in result["messages"]:
        wire = by_serial[view["from"], view["serial"]]
        view["wire_then_s"] = wire.then_s
        view["wire_now_s"] = wire.now_s
        view["dtg_s"] = wire.sent.dtg_s
    result["replay"] = {"factor": factor, **_medians(found)}


def _medians(found: list[Wire]) -> dict[str, float | None]:
    timed = [(each.then_s, each.now_s) for each in found if each.then_s is not None]
    ratios = [each.ratio for each in found if each.ratio is not None]
    return {
        "median_wire_then_s": median(then_s for then_s, _ in timed) if timed else None,
        "median_wire_now_s": median(now_s for _, now_s in timed) if timed else None,
        "median_ratio": median(ratios) if ratios else None,
    }


def show_wire_times(screen: Screen, played: Replay) -> None:
    """The table of wire times, with its median, and notes on what the file does not tell."""
    found = played.wires()
    table = screen.table()
    table.add_column(screen.text("demo.column.number"), justify="right", no_wrap=True)
    table.add_column(screen.text("demo.column.dtg"), no_wrap=True)
    table.add_column(screen.text("demo.column.from"), no_wrap=True)
    table.add_column(screen.text("demo.column.text"), no_wrap=True, ratio=1)
    for name in ("then", "now", "ratio"):
        heading = screen.text(f"demo.column.{name}")
        table.add_column(heading, justify="right", no_wrap=True)
    for at, each in enumerate(found, 1):
        summary = display.brief(f"({each.sent.language}) {each.sent.text}", 200)
        table.add_row(
            str(at),
            "—" if each.sent.dtg_s is None else dtg.group(each.sent.dtg_s),
            Text(display.safe(each.sent.author)),
            Text(summary, overflow="ellipsis"),
            *_times(screen, each.then_s, each.now_s, each.ratio),
        )
    medians = _medians(found)
    then_s, now_s = medians["median_wire_then_s"], medians["median_wire_now_s"]
    if now_s is not None:
        table.add_section()
        cells = _times(screen, then_s, now_s, medians["median_ratio"])
        table.add_row("", screen.text("demo.median"), "", "", *cells, style="bold")
    screen.show(table)
    _notes(screen, played.exchange, found)


def _times(screen: Screen, then_s: float | None, now_s: float, ratio: float | None) -> list[str]:
    return [
        "—" if then_s is None else _long(screen, then_s),
        screen.text("demo.milliseconds", ms=f"{now_s * 1000:.0f}"),
        "—" if ratio is None else f"× {spaced(ratio)}",
    ]


def _long(screen: Screen, seconds: float) -> str:
    if seconds < 60:
        return screen.text("demo.seconds", seconds=f"{seconds:g}")
    return screen.text("demo.minutes", minutes=f"{seconds / 60:.3g}")


def _notes(screen: Screen, exchange: Exchange, found: list[Wire]) -> None:
    untimed = [str(at) for at, each in enumerate(found, 1) if each.then_s is None]
    if untimed:
        screen.say("demo.replay.untimed", count=len(untimed), numbers=", ".join(untimed))
    translated = sum(message.translated for message in exchange.messages)
    if translated:
        screen.say("demo.replay.translated", count=translated)
