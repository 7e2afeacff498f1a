"""The board: every line at a glance, as frozen values that a page or a test can read.

Theory of operation: made of two answers of the post, what stands (`status`) and what waits for
people (`waiting`), and never kept. A tile shows the gravest thing that is true of its line, with
the rest beside it; the gravest lines come first. Colours, shapes and words live in the templates.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
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
    "full": lambda line: bool(line["full"]),
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
    deaf: str = ""
    """Of one that is up: the code that says why nothing is heard over it."""


@dataclass(frozen=True, slots=True)
class Due:
    """A text that wants an answer by some time and has none."""

    line: int
    side: str
    """Whose text it is: an answer to "theirs" is due by us, one to "ours" by them."""
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
    """Answers due by us or by them, soonest first."""
    review: tuple[tuple[str, int], ...]
    """(precedence, count) of drafts that wait for a releaser, most urgent first."""

    @property
    def standing(self) -> str:
        """The gravest."""
        return self.standings[0]


def tiles(lines: Iterable[Said], waiting: Said, now_s: int) -> list[Tile]:
    """The tiles of these lines, gravest and most urgent first."""
    flashes, counts, replies, drafts = (
        _by_line(waiting.get(name, ())) for name in ("flashes", "counts", "replies", "drafts")
    )
    made = []
    for line in lines:
        number = line["line"]
        dues = tuple(_due(each, now_s) for each in replies[number])
        serials = tuple(each["serial"] for each in flashes[number])
        waits = _counted(counts[number]), _counted(drafts[number])
        made.append(_tile(line, serials, *waits, dues))
    return sorted(made, key=_gravity)


def _by_line(found: Iterable[Said]) -> dict[int, list[Said]]:
    by_line: dict[int, list[Said]] = defaultdict(list)
    for each in found:
        by_line[each["line"]].append(each)
    return by_line


def _counted(counts: Iterable[Said]) -> tuple[tuple[str, int], ...]:
    """(precedence, count), most urgent first."""
    found = [(str(each["precedence"]), int(each["count"])) for each in counts]
    return tuple(sorted(found, key=lambda each: -Precedence[each[0]]))


def _due(said: Said, now_s: int) -> Due:
    # Whole minutes: a tile is the same for as long as it looks the same.
    left_s = (said["due_s"] - now_s) // 60 * 60
    return Due(said["line"], said["side"], said["serial"], said["due_group"], left_s)


def _gravity(tile: Tile) -> tuple[int, int, int, str]:
    urgent = Precedence[tile.waits_for_us[0][0]] if tile.waits_for_us else -1
    return -len(tile.flashes), STANDINGS.index(tile.standing), -urgent, tile.label


def _tile(
    line: Said,
    flashes: tuple[str, ...],
    waits: tuple[tuple[str, int], ...],
    review: tuple[tuple[str, int], ...],
    dues: tuple[Due, ...],
) -> Tile:
    return Tile(
        line["line"],
        line["label"],
        _standings(line),
        tuple(_lamp(bearer) for bearer in line["bearers"]),
        line["heard_age_s"],
        waits,
        line["outbox"],
        flashes,
        dues,
        review,
    )


def _standings(line: Said) -> tuple[str, ...]:
    if line["state"] in _ENDED:
        return ("ended",)
    return tuple(name for name, true in _TESTS.items() if true(line)) or ("calm",)


def _lamp(bearer: Said) -> Lamp:
    state = "up" if bearer["up"] else "paused" if bearer["paused_by"] else "down"
    deaf = bearer["code"] if bearer["up"] else ""
    return Lamp(bearer["name"], state, bearer["age_s"], deaf)
