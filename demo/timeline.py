"""The run on a time axis: one row for each wire and post that was cut or killed, one for each
message.

Theory of operation: everything from the first release to the last stage is put on as many columns
as there is room for; of stages that fall into the same column the latest is drawn. Rows of wires
show when the bearer over them could carry as its post saw it. Where the terminal cannot show the
shapes, letters stand for them. Nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.text import Text

from openline import display

from .board import Board, Message
from .screen import STYLES, Screen
from .stage import BEARERS

MARKS = {
    "released": "○",
    "held": "●",
    "delivered": "◐",
    "opened": "◑",
    "holding": "◔",
    "shown": "◉",
}
PLAIN_MARKS = {
    "released": "r",
    "held": "a",
    "delivered": "d",
    "opened": "o",
    "holding": "h",
    "shown": "s",
}
"""The same where only ASCII can be shown."""

TICKS_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 60_000)
TICK_CELLS_MIN = 9


class Shapes(NamedTuple):
    """What things are drawn with."""

    marks: dict[str, str]
    waiting: str
    held: str
    up: str
    down: str
    cut: str
    tick: str


UNICODE = Shapes(MARKS, "┄", "─", "━", "┈", "╳", "┬")
ASCII = Shapes(PLAIN_MARKS, ".", "-", "=", " ", "X", "|")


class Axis(NamedTuple):
    """Monotonic ms on `cells` columns."""

    first_ms: int
    last_ms: int
    cells: int

    def cell(self, at_ms: int) -> int:
        """The column of an instant; those outside fall on the ends."""
        span_ms = max(1, self.last_ms - self.first_ms)
        at = (at_ms - self.first_ms) * (self.cells - 1) // span_ms
        return max(0, min(self.cells - 1, at))


def draw(screen: Screen, board: Board, *, wires: bool) -> list[Text]:
    """The rows of the timeline; `wires` puts those of the wires and posts above the messages."""
    if not board.messages:
        return []
    shapes = ASCII if screen.console.options.ascii_only else UNICODE
    labels = {id(m): _label(screen, m) for m in board.messages}
    names = [screen.text(f"demo.wire.{wire}") for wire in BEARERS] + list(board.posts)
    room = max(map(display.cells, [*labels.values(), *(names if wires else [])])) + 1
    ends = [at_ms for m in board.messages for at_ms in m.times.values()]
    axis = Axis(min(ends), max(ends), screen.console.width - room - 1)
    rows = [Text(" " * room + _ruler(screen, axis, shapes))]
    if wires:
        rows += [Text(_fit(name, room) + row) for name, row in _wires(screen, board, axis, shapes)]
    for message in board.messages:
        row = Text(_fit(labels[id(message)], room))
        row.append(_message(message, axis, shapes), STYLES[message.said.precedence])
        rows.append(row)
    shown = [name for name in shapes.marks if any(name in m.times for m in board.messages)]
    legend = [(shapes.marks[name], name) for name in shown] + [(shapes.cut, "cut")] * wires
    named = "  ".join(f"{mark} {screen.text(f'demo.stage.{name}')}" for mark, name in legend)
    return [*rows, Text(named, "dim")]


def _label(screen: Screen, message: Message) -> str:
    return f"{message.author} {message.number} {screen.precedence(message)}"


def _fit(text: str, cells: int) -> str:
    return text + " " * (cells - display.cells(text))


def _ruler(screen: Screen, axis: Axis, shapes: Shapes) -> str:
    """Ticks with their seconds since the first release."""
    span_ms = max(1, axis.last_ms - axis.first_ms)
    ticks_max = max(1, axis.cells // TICK_CELLS_MIN)
    tick_ms = next((t for t in TICKS_MS if span_ms / t <= ticks_max), span_ms)
    row = [" "] * (axis.cells + TICK_CELLS_MIN)
    for at_ms in range(0, span_ms + 1, tick_ms):
        cell = axis.cell(axis.first_ms + at_ms)
        seconds = screen.text("demo.seconds", seconds=f"{at_ms / 1000:g}")
        if cell + 1 + len(seconds) <= axis.cells:
            row[cell : cell + 1 + len(seconds)] = shapes.tick + seconds
    return "".join(row[: axis.cells]).rstrip()


def _message(message: Message, axis: Axis, shapes: Shapes) -> str:
    row = [" "] * axis.cells
    times = message.times
    released, held = times.get("released"), times.get("held")
    if released is None:
        return ""
    first, last = axis.cell(released), axis.cell(max(times.values()))
    safe = last if held is None else axis.cell(held)
    row[first:safe] = shapes.waiting * (safe - first)
    row[safe:last] = shapes.held * (last - safe)
    marked = [(times[name], mark) for name, mark in shapes.marks.items() if name in times]
    for at_ms, mark in sorted(marked, key=lambda each: each[0]):
        row[axis.cell(at_ms)] = mark
    return "".join(row).rstrip()


def _wires(screen: Screen, board: Board, axis: Axis, shapes: Shapes) -> list[tuple[str, str]]:
    rows = []
    post = board.posts[0]
    for wire, bearer in BEARERS.items():
        changes = [
            (each.at_ms, each.name == "bearer.up")
            for each in board.happenings
            if each.name in ("bearer.up", "bearer.down")
            and (each.values["post"], each.values["bearer"]) == (post, bearer)
        ]
        cuts = [
            each.at_ms
            for each in board.happenings
            if each.name == "wire.cut" and each.values["wire"] == wire
        ]
        row = _spans(changes, cuts, axis, shapes)
        rows.append((screen.text(f"demo.wire.{wire}"), row))
    lives = {"post.killed": False, "post.restarted": True}
    for name in board.posts:
        changes = [
            (each.at_ms, lives[each.name])
            for each in board.happenings
            if each.name in lives and each.values["post"] == name
        ]
        if changes:
            kills = [at_ms for at_ms, alive in changes if not alive]
            rows.append((name, _spans([(axis.first_ms, True), *changes], kills, axis, shapes)))
    return rows


def _spans(
    changes: Sequence[tuple[int, bool]], cuts: Sequence[int], axis: Axis, shapes: Shapes
) -> str:
    row = [shapes.down] * axis.cells
    for at, (at_ms, up) in enumerate(changes):
        until_ms = changes[at + 1][0] if at + 1 < len(changes) else axis.last_ms
        first, last = axis.cell(at_ms), axis.cell(until_ms)
        if up:
            row[first : last + 1] = shapes.up * (last + 1 - first)
    for at_ms in cuts:
        row[axis.cell(at_ms)] = shapes.cut
    return "".join(row)
