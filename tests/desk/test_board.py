"""The board shows the gravest first, and counts what waits."""

from __future__ import annotations

from typing import Any

import pytest

from openline.desk.board import STANDINGS, tiles
from openline.desk.rendering import SHAPES
from openline.i18n import LANGUAGES, catalogue

CALM: dict[str, Any] = {
    "line": 1, "label": "moscow", "state": "open", "alarm": False, "forks": 0, "differs_at": None,
    "comparison": None, "lost": [], "gaps": [], "flood": False, "outbox": 0, "heard_age_s": 3,
    "full": False,
    "bearers": [{"name": "tcp", "up": True, "code": "", "paused_by": None, "age_s": 60}],
}  # fmt: skip


def message(line: int, number: int, precedence: str, due_s: int | None = None) -> dict[str, Any]:
    serial = f"{number}.00000a"
    due = {"due_s": due_s, "due_group": None if due_s is None else "010000ZJAN26"}
    return {"line": line, "serial": serial, "precedence": precedence, **due}


def count(line: int, precedence: str, number: int) -> dict[str, Any]:
    return {"line": line, "precedence": precedence, "count": number}


def test_a_calm_line_is_calm() -> None:
    (tile,) = tiles([CALM], {}, 0)
    assert tile.standings == ("calm",)
    assert tile.waits_for_us == ()


def test_a_bearer_that_hears_nothing_says_so_and_the_line_is_not_silent() -> None:
    [bearer] = CALM["bearers"]
    deaf = {**CALM, "bearers": [{**bearer, "code": "bearer.refused"}]}
    (tile,) = tiles([deaf], {}, 0)
    assert tile.standings == ("calm",)
    assert [(lamp.state, lamp.deaf) for lamp in tile.lamps] == [("up", "bearer.refused")]
    (tile,) = tiles([CALM], {}, 0)
    assert [lamp.deaf for lamp in tile.lamps] == [""]


@pytest.mark.parametrize(
    ("wrong", "standing"),
    [
        ({"alarm": True, "lost": [[3, 4]]}, "alarm"),
        ({"forks": 1}, "fork"),
        ({"differs_at": 7}, "differs"),
        ({"comparison": {"agree": False}}, "differs"),
        ({"bearers": []}, "silent"),
        ({"lost": [[3, 4]], "gaps": [[8, 8]]}, "lost"),
        ({"gaps": [[8, 8]]}, "gap"),
        ({"flood": True}, "flood"),
        ({"full": True}, "full"),
        ({"state": "opening"}, "opening"),
        ({"state": "retired", "alarm": True}, "ended"),
    ],
)
def test_the_gravest_thing_that_is_true_is_shown(wrong: dict[str, Any], standing: str) -> None:
    (tile,) = tiles([CALM | wrong], {}, 0)
    assert tile.standing == standing


def test_grave_lines_come_first_and_before_them_those_where_a_flash_waits() -> None:
    lines = [
        CALM | {"line": 1, "label": "a"},
        CALM | {"line": 2, "label": "b", "alarm": True},
        CALM | {"line": 3, "label": "c"},
        CALM | {"line": 4, "label": "d"},
    ]
    waiting = {
        "flashes": [message(4, 9, "FLASH")],
        "counts": [count(4, "FLASH", 1), count(3, "PRIORITY", 1)],
    }
    assert [tile.label for tile in tiles(lines, waiting, 0)] == ["d", "b", "c", "a"]


def test_what_waits_is_counted_by_precedence() -> None:
    waiting = {
        "flashes": [message(1, 5, "FLASH"), message(2, 7, "FLASH")],
        "counts": [count(2, "FLASH", 1), count(1, "ROUTINE", 2), count(1, "FLASH", 1)],
    }
    (tile,) = tiles([CALM], waiting, 200)
    assert tile.waits_for_us == (("FLASH", 1), ("ROUTINE", 2))
    assert tile.flashes == ("5.00000a",)


def test_a_tile_has_the_clocks_of_its_line_on_both_sides_and_its_drafts_in_review() -> None:
    replies = [
        {**message(1, 5, "FLASH", 100), "side": "theirs"},
        {**message(2, 5, "FLASH", 150), "side": "theirs"},
        {**message(1, 4, "ROUTINE", 500), "side": "ours"},
    ]
    drafts = [{"line": 1, "precedence": "FLASH", "count": 2}]
    (tile,) = tiles([CALM], {"replies": replies, "drafts": drafts}, 200)
    assert [(due.side, due.left_s) for due in tile.dues] == [("theirs", -120), ("ours", 300)]
    assert tile.review == (("FLASH", 2),)


def test_every_standing_has_a_shape_of_its_own_and_words_in_every_language() -> None:
    assert len({SHAPES[name] for name in STANDINGS}) == len(STANDINGS)
    for language in LANGUAGES:
        for name in STANDINGS:
            assert catalogue(language).has(f"desk.standing.{name}")
