"""The board: every line at a glance, as frozen values that a page or a test can read.

Theory of operation: made of two answers of the post, what stands (`status`) and what waits for
people (`waiting`), and never kept. A tile shows the gravest thing that is true of its line, with
the rest beside it; the gravest lines come first. Colours, shapes and words live in the templates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.precedence import Precedence

Said = Mapping[str, Any]
"""A JSON object as the post gave it."""

_TESTS: dict[str, Callable[[Said], bool]] = {
    "alarm": lambda line: bool(line["alarm"]),
    "fork": lambda line: bool(line["forks"]),
    "differs": lambda line: (
        line["differs_at"] is not None or (line["comparison"] or {}).get("agree") is False
    ),
    "silent": lambda line: not any(bearer["up"] for bearer in line["bearers"]),
    "lost": lambda line: bool(line["lost"]),
    "gap": lambda line: bool(line["gaps"]),
    "flood": lambda line: bool(line["flood"]),
    "opening": lambda line: line["state"] != "open",
}
"""What may be wrong with a line, gravest first."""

STANDINGS = (*_TESTS, "calm", "ended")
"""What a tile may show."""

_ENDED = ("revoked", "retired")


@dataclass(frozen=True, slots=True)
class Lamp:
    """One bearer: `state` is "up", "down" or "paused"."""

    name: str
    state: str
    since_s: int | None


@dataclass(frozen=True, slots=True)
class Due:
    """A text that waits here and says by when it wants an answer."""

    line: int
    serial: str
    due_group: str
    left_s: int
    """Below zero: overdue."""


@dataclass(frozen=True, slots=True)
class Tile:
    """One line on the board."""

    line: int
    label: str
    standings: tuple[str, ...]
    """All of STANDINGS that are true, gravest first."""
    lamps: tuple[Lamp, ...]
    heard_age_s: int | None
    waits_for_us: tuple[tuple[str, int], ...]
    """(precedence, count) of texts that nobody here has opened, most urgent first."""
    waits_for_them: int
    """Records of ours that the other machine does not hold yet."""
    flashes: tuple[str, ...]
    """Serials of the FLASH among what waits for us: these sound."""
    dues: tuple[Due, ...]
    """Soonest first."""

    @property
    def standing(self) -> str:
        """The gravest."""
        return self.standings[0]


def tiles(status: Said, waiting: Iterable[Said], now_s: int) -> list[Tile]:
    """The tiles of all lines, gravest and most urgent first."""
    by_line: dict[int, list[Said]] = {}
    for message in waiting:
        by_line.setdefault(message["line"], []).append(message)
    made = [_tile(line, by_line.get(line["line"], []), now_s) for line in status["lines"]]
    return sorted(made, key=_gravity)


def _gravity(tile: Tile) -> tuple[int, int, int, str]:
    urgent = Precedence[tile.waits_for_us[0][0]] if tile.waits_for_us else -1
    return -len(tile.flashes), STANDINGS.index(tile.standing), -urgent, tile.label


def _tile(line: Said, waiting: Sequence[Said], now_s: int) -> Tile:
    counts = Counter(message["precedence"] for message in waiting)
    dues = [
        Due(line["line"], each["serial"], each["due_group"], each["due_s"] - now_s)
        for each in waiting
        if each["due_s"] is not None
    ]
    return Tile(
        line["line"],
        line["label"],
        _standings(line),
        tuple(_lamp(bearer) for bearer in line["bearers"]),
        line["heard_age_s"],
        tuple((each.name, counts[each.name]) for each in reversed(Precedence) if counts[each.name]),
        line["outbox"],
        tuple(each["serial"] for each in waiting if each["precedence"] == "FLASH"),
        tuple(sorted(dues, key=lambda due: due.left_s)),
    )


def _standings(line: Said) -> tuple[str, ...]:
    if line["state"] in _ENDED:
        return ("ended",)
    return tuple(name for name, true in _TESTS.items() if true(line)) or ("calm",)


def _lamp(bearer: Said) -> Lamp:
    state = "up" if bearer["up"] else "paused" if bearer["paused_by"] else "down"
    return Lamp(bearer["name"], state, bearer["age_s"])
