"""Pages made of templates: all wording from the catalogue, all text of the other side made safe.

Theory of operation: Jinja escapes all that is put in; what comes from the other side passes through
`display.safe` besides, so that nothing it wrote can turn, hide or stack letters on our screen.
Times are shown as date-time groups in Zulu, with the machine's local time beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from .. import display
from ..i18n import Catalogue, catalogue, direction
from .board import Tile

HERE = Path(__file__).parent

TILES_KEPT = 4096
"""Tiles that are not made anew while nothing in them changes."""

SHAPES = {
    "alarm": "⚠", "fork": "⑂", "differs": "≠", "silent": "✕", "full": "▣", "lost": "◌",
    "gap": "…", "flood": "≋", "opening": "◐", "calm": "●", "ended": "■",
    "up": "●", "down": "✕", "paused": "‖", "done": "✓", "not_yet": "○", "not_known": "?",
    "FLASH": "▲▲", "IMMEDIATE": "▲", "PRIORITY": "●", "ROUTINE": "·",
}  # fmt: skip
"""A shape for each state, so that colour alone says nothing."""


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["shape"] = SHAPES.__getitem__
    made.filters["safe_text"] = lambda text: display.safe(text, lines=True)
    made.filters["local"] = _local
    made.filters["named"] = _named
    return made


def _local(moment: str | None) -> str:
    """The machine's local time of an ISO instant, with its zone."""
    return datetime.fromisoformat(moment).astimezone().strftime("%H:%M %Z") if moment else ""


def _named(actor: str, text: Callable[..., str]) -> str:
    """Who did something, in words where it was a user of the machine and no person of ours."""
    kind, _, uid = actor.partition(":")
    return text("desk.unix_user", uid=uid) if kind == "uid" else actor


def left(left_s: int, words: Catalogue) -> str:
    """How long until something is due, or since it was."""
    if left_s < 0:
        return words.text("desk.overdue", since=display.age(-left_s, words))
    hours, minutes = divmod(left_s // 60, 60)
    return words.text("desk.due_in", hours=hours, minutes=f"{minutes:02}")


@lru_cache(maxsize=TILES_KEPT)
def _tile(tile: Tile, language: str) -> str:
    """The markup of one tile, made once for as long as it looks the same."""
    return fragment("tile.html", language, {"tile": tile})


def fragment(name: str, language: str, values: Mapping[str, Any]) -> str:
    """A template filled in, in an interface language."""
    words = catalogue(language)
    return (
        _environment()
        .get_template(name)
        .render(
            {
                "t": words.text,
                "n": words.count,
                "size": lambda count: display.size(count, words),
                "ago": lambda age_s: display.age(age_s, words),
                "left": lambda left_s: left(left_s, words),
                "language_name": lambda code: display.language(code, words),
                "lang": words.language,
                "dir": direction(words.language),
                "shown": lambda tile: _tile(tile, words.language),
                **values,
            }
        )
    )


def page(name: str, language: str, values: Mapping[str, Any], status: int = 200) -> HTMLResponse:
    """A whole page."""
    return HTMLResponse(fragment(name, language, values), status)
