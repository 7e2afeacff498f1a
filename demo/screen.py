"""What the demonstration shows while it runs: commands, what is being done, and the messages.

Theory of operation: on a terminal a table of the messages stands at the bottom and is drawn anew
when something changed, at most ten times a second, while everything else scrolls above it.
Elsewhere each thing is one line when it happens, and nothing is drawn twice. Every word comes
from the catalogue, every text through `display`, so that nothing said on a line reaches the
terminal raw. The tables at the end are the same in both ways. What happened is in board.py; the
time axis is drawn in timeline.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from openline import display
from openline.i18n import Catalogue

from .board import Board, Message

DRAW_S = 0.1
"""Shortest time between two drawings."""

WIDE_CELLS = 100
"""From this width on there is room for when a message was released, and for its bearers."""

STYLES = {"FLASH": "bold red", "IMMEDIATE": "red", "PRIORITY": "bold", "ROUTINE": ""}

COLUMNS = ("committed", "held", "delivered", "opened")
"""Stages that have a column, in the order in which they come."""


class Terminal(Console):
    """Rich's console without markup, highlighting or emoji, whose reader may go away.

    Rich would then end the process on the spot, past everything that has to be cleared.
    """

    def __init__(self) -> None:
        super().__init__(markup=False, highlight=False, emoji=False)

    def on_broken_pipe(self) -> None:
        """Raise like anything else that went wrong; nothing more is printed."""
        self.quiet = True
        raise BrokenPipeError


class Screen:
    """Shows a run on a console; `draw` is called after every change of the board."""

    def __init__(self, words: Catalogue, console: Console) -> None:
        self.words = words
        self.console = console
        self._board: Board | None = None
        self._live: Live | None = None
        self._drawing: asyncio.TimerHandle | None = None
        self._printed: set[int] = set()
        self._opened: set[int] = set()
        self._progress: tuple[int, int, str] | None = None

    # -- while it runs ------------------------------------------------------------------------

    def follow(self, board: Board) -> None:
        """Show this board from now on, live on a terminal."""
        self._board = board
        board.changed = self._changed
        if self.console.is_terminal:
            self._live = Live(
                get_renderable=self._picture,
                console=self.console,
                auto_refresh=False,
                transient=True,
            )
            self._live.start(refresh=True)

    def leave(self) -> None:
        """Draw no more; what is printed stays."""
        if self._drawing is not None:
            self._drawing.cancel()
            self._drawing = None
        if self._live is not None:
            self._live.stop()
            self._live = None
        if self._board is not None:
            self._board.changed = lambda: None

    def command(self, shown: str) -> None:
        """A command that is about to run, on one line."""
        room = self.console.width - 2
        self.console.print(Text(f"$ {display.brief(shown, room)}", "dim"), no_wrap=True)

    def say(self, key: str, **values: object) -> None:
        """A wording of its own paragraph if it is a step, else a remark below it."""
        text = self.text(key, **values)
        if key.startswith("demo.step."):
            self.console.print()
            self.console.print(Text(text, "bold"))
        else:
            self.console.print(Padding(Text(text), (0, 0, 0, 2), expand=False))

    def progress(self, done: int, total: int, remark: str) -> None:
        """How far the run is; a bar on a terminal, nothing elsewhere."""
        self._progress = (done, total, remark)
        self._changed()

    def text(self, key: str, **values: object) -> str:
        """A wording; `count` among the values chooses the plural form, text is made safe."""
        safe = {n: display.safe(v) if isinstance(v, str) else v for n, v in values.items()}
        if isinstance(count := safe.pop("count", None), int):
            return self.words.count(key, count, **safe)
        return self.words.text(key, **safe)

    def show(self, *shown: RenderableType) -> None:
        """Print what rich renders."""
        for each in shown:
            self.console.print(each)

    def _changed(self) -> None:
        if self._live is None:
            self._print_news()
        elif self._drawing is None:
            self._drawing = asyncio.get_running_loop().call_later(DRAW_S, self._draw)

    def _draw(self) -> None:
        self._drawing = None
        if self._live is not None:
            self._live.refresh()

    def _picture(self) -> RenderableType:
        parts: list[RenderableType] = []
        if self._board is not None and self._board.messages:
            room = max(4, self.console.height - 8)
            parts.append(self.messages(self._board, self._board.messages[-room:]))
        if self._progress is not None:
            done, total, remark = self._progress
            bar = ProgressBar(total=max(1, total), completed=done, width=30)
            grid = Table.grid(padding=(0, 2))
            grid.add_row(bar, Text(f"{done}/{total}"), Text(remark))
            parts.append(grid)
        return Group(*parts)

    def _print_news(self) -> None:
        """One line for each message that was released, one for each that was opened."""
        board = self._board
        if board is None:
            return
        for at, message in enumerate(board.messages):
            if at not in self._printed and "released" in message.times:
                self._printed.add(at)
                self.console.print(self._released_row(board, message), no_wrap=True, crop=True)
            if at not in self._opened and "opened" in message.times:
                self._opened.add(at)
                self.console.print(self._opened_row(message), no_wrap=True, crop=True)

    def _released_row(self, board: Board, message: Message) -> Text:
        at_ms = message.times["released"] - board.start_ms
        at = self.text("demo.milliseconds", ms=f"{at_ms:>8}") + "  "
        head = f"{message.author}  {self.precedence(message)}  {message.number}  "
        room = self.console.width - len(at) - display.cells(head) - 1
        return Text(at + head + display.brief(summary(message), room))

    def _opened_row(self, message: Message) -> Text:
        stages = [(name, _column(message, name)) for name in COLUMNS]
        parts = [f"{self.text(f'demo.column.{n}')} {cell}" for n, cell in stages if cell]
        return Text(f"{'':11}  {message.author} {message.number}: " + ", ".join(parts))

    # -- the table ----------------------------------------------------------------------------

    def precedence(self, message: Message) -> str:
        """Shape and word of a precedence."""
        return display.precedence(message.said.precedence, self.words)

    def messages(self, board: Board, messages: Sequence[Message]) -> Table:
        """The messages with their times in ms."""
        wide = self.console.width >= WIDE_CELLS
        table = self.table()
        table.add_column(self.text("demo.column.number"), justify="right", no_wrap=True)
        for name in ("from", "precedence"):
            table.add_column(self.text(f"demo.column.{name}"), no_wrap=True)
        table.add_column(self.text("demo.column.text"), no_wrap=True, overflow="ellipsis", ratio=1)
        if wide:
            table.add_column(self.text("demo.column.at"), justify="right", no_wrap=True)
        for name in COLUMNS:
            heading = self.text(f"demo.column.{name}")
            table.add_column(heading, justify="right", no_wrap=True)
        if wide:
            table.add_column(self.text("demo.column.bearers"), no_wrap=True)
        for message in messages:
            released = board.since_ms(message.times.get("released"))
            style = STYLES[message.said.precedence] if "opened" not in message.times else ""
            at = ""
            if released is not None:
                at = self.text("demo.seconds", seconds=f"{released / 1000:.2f}")
            table.add_row(
                Text(str(message.number)),
                Text(message.author),
                Text(self.precedence(message), style),
                Text(display.brief(summary(message), 200), overflow="ellipsis"),
                *([Text(at)] if wide else []),
                *(Text(_column(message, name)) for name in COLUMNS),
                *([Text(" ".join(message.bearers))] if wide else []),
            )
        return table

    def table(self) -> Table:
        """An empty table as all of ours look."""
        return Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), expand=True)

    def pairs(self, rows: Iterable[tuple[str, str]]) -> Table:
        """Labelled values, one below the other."""
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(overflow="fold")
        for label, value in rows:
            grid.add_row(Text(label), Text(display.safe(value, lines=True)))
        return grid


def summary(message: Message) -> str:
    """Language, subject and text in one."""
    said = message.said
    start = said.body[:400].replace("\n", " ")
    return f"({said.language}) " + (f"{said.subject}: {start}" if said.subject else start)


def _column(message: Message, name: str) -> str:
    if name == "committed":
        took_ms = message.took_ms()
        return "" if took_ms is None else str(took_ms)
    after_ms = message.after_ms(name)
    return "" if after_ms is None else str(after_ms)


def spaced(number: float) -> str:
    """A number with its thousands apart; below ten with three digits."""
    if number < 10:
        return f"{number:.3g}"
    return f"{number:,.0f}".replace(",", "\u202f")


def grouped(digest: str) -> str:
    """A digest of 64 digits in groups of four on two lines, as people compare it."""
    groups = [digest[at : at + 4] for at in range(0, len(digest), 4)]
    return "\n".join(" ".join(part) for part in (groups[:8], groups[8:]))


Result = dict[str, Any]
"""What --json writes."""
