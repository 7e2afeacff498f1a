"""Safe display of hostile text: what the other side wrote can mislead people, but not through the
screen.

Theory of operation: text is never refused or altered in the record (R17); it is made harmless at
the last moment, on its way to a terminal, a page or paper. What controls a terminal, turns the
direction of writing, or cannot be seen is shown as ⟨U+202E⟩, and so is ⟨ itself, so that nothing
shown can pass for an escape. Letters of every script stay as they are, with the joiners that Arabic
and Indic scripts need. Dates are judged, not corrected. Wording comes from the catalogue passed in.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from . import dtg
from .i18n import Catalogue

MARKS_MAX = 4
"""Combining marks shown on one letter; more are escaped, lest they bury neighbouring lines, and
passed over by a search.
"""

EARLY_S = 3600
"""A filing time this far ahead of arrival is doubtful: somebody's clock is wrong, or somebody lies.
"""
LATE_S = 60 * 86_400
"""A filing time this far before arrival is doubtful; weeks of delay are not."""
FAR_S = 366 * 86_400
"""An effective or due time this far from filing is doubtful."""

_OPEN = "\u27e8"
_INVISIBLE = frozenset(
    map(chr, (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0))
) | frozenset(map(chr, (*range(0x180B, 0x1810), *range(0xFE00, 0xFE10))))
"""Assigned characters that show nothing and are not in the format category (Cf)."""
_JOINERS = "\u200c\u200d"
_JOINING_SCRIPTS = (
    "ARABIC", "SYRIAC", "DEVANAGARI", "BENGALI", "GURMUKHI", "GUJARATI", "ORIYA", "TAMIL",
    "TELUGU", "KANNADA", "MALAYALAM", "SINHALA", "MYANMAR", "KHMER", "MONGOLIAN",
)  # fmt: skip


def safe(text: str, *, lines: bool = False) -> str:
    """`text` with everything that controls, turns or hides made visible; `lines` keeps line feeds.

    A carriage return before a line feed is dropped with `lines`; tabs become spaces. The result
    holds no character of the categories Cc (but line feed), Cf (but joiners in their scripts), Cs,
    Co, Cn, Zl, Zp.
    """
    if text.isascii() and text.isprintable():
        return text
    if lines:
        text = text.replace("\r\n", "\n")
    shown: list[str] = []
    before = ""
    marks = 0
    for letter in text:
        category = unicodedata.category(letter)
        marks = marks + 1 if category in ("Mn", "Me") else 0
        if letter == "\n" and lines:
            shown.append(letter)
        elif letter == "\t":
            shown.append("    ")
        elif _harmless(letter, category, before) and marks <= MARKS_MAX:
            shown.append(letter)
        else:
            shown.append(f"{_OPEN}U+{ord(letter):04X}\u27e9")
        before = letter
    return "".join(shown)


def _harmless(letter: str, category: str, before: str) -> bool:
    if letter in _JOINERS:
        return unicodedata.name(before, "").startswith(_JOINING_SCRIPTS) if before else False
    if category[0] == "C" or category in ("Zl", "Zp"):
        return False
    return (
        letter != _OPEN and letter not in _INVISIBLE and not "\U000e0100" <= letter <= "\U000e01ef"
    )


def cells(text: str) -> int:
    """Columns a safe text takes on a terminal."""
    return sum(map(_width, text))


def _width(letter: str) -> int:
    if unicodedata.combining(letter) or letter in _JOINERS:
        return 0
    return 2 if unicodedata.east_asian_width(letter) in ("W", "F") else 1


def _fitting(text: str, cells_max: int) -> str:
    """The longest beginning of a safe text that takes at most `cells_max` columns."""
    used = 0
    for at, letter in enumerate(text):
        used += _width(letter)
        if used > cells_max:
            return text[:at]
    return text


def brief(text: str, cells_max: int) -> str:
    """One safe line of at most `cells_max` columns, ended by … when cut; a line feed is a space."""
    line = safe(text.replace("\n", " "))
    if len(_fitting(line, cells_max)) == len(line):
        return line
    return _fitting(line, cells_max - 1).rstrip() + "…"


def wrap(text: str, cells_max: int) -> list[str]:
    """A safe text in lines of at most `cells_max` columns, broken after spaces if there are any."""
    return [
        line
        for paragraph in safe(text, lines=True).split("\n")
        for line in _folded(paragraph, cells_max)
    ]


def _folded(paragraph: str, cells_max: int) -> list[str]:
    lines: list[str] = []
    line, used = "", 0
    for word in re.split("(?<= )", paragraph):
        if line and used + cells(word.rstrip()) > cells_max:
            lines.append(line.rstrip())
            line, used = "", 0
        *full, rest = _pieces(word, cells_max)
        lines += full
        line, used = line + rest, used + cells(rest)
    return [*lines, line.rstrip()]


def _pieces(word: str, cells_max: int) -> Iterator[str]:
    """A word cut where it takes more than `cells_max` columns, spaces behind it apart."""
    start, used = 0, 0
    for at, letter in enumerate(word.rstrip()):
        used += _width(letter)
        if used > cells_max:
            yield word[start:at]
            start, used = at, _width(letter)
    yield word[start:]


def language(code: str, catalogue: Catalogue) -> str:
    """The name of a language for people: known, unknown with its code, or not stated."""
    if not code:
        return catalogue.text("language.none")
    key = f"language.{code}"
    if catalogue.has(key):
        return catalogue.text(key)
    return catalogue.text("language.unknown", code=safe(code))


def age(seconds: int | None, catalogue: Catalogue) -> str:
    """How long ago, in the largest unit that fits."""
    if seconds is None:
        return catalogue.text("age.never")
    for key, unit_s in (("age.days", 86_400), ("age.hours", 3600), ("age.minutes", 60)):
        if seconds >= 2 * unit_s:
            return catalogue.count(key, seconds // unit_s)
    return catalogue.count("age.seconds", seconds)


def size(count: int, catalogue: Catalogue) -> str:
    """A length in bytes, as people read it."""
    for unit, least, divisor in (("megabytes", 10_000_000, 1_000_000), ("kilobytes", 10_000, 1000)):
        if count >= least:
            return catalogue.text(f"file.{unit}", count=round(count / divisor))
    return catalogue.text("file.bytes", count=count)


def moment(at_s: int | None) -> str | None:
    """An instant for machines and people alike: ISO 8601 in Zulu; None stays None."""
    return None if at_s is None else dtg.iso(at_s)


def doubts(filed_s: int, dtg_s: int, due_s: int | None, arrived_s: int) -> list[str]:
    """Which of "filed", "dtg" and "due" people should not believe without asking.

    All in unix seconds; `arrived_s` is our own clock when the record came (or was released).
    """
    doubtful = []
    if not -LATE_S <= filed_s - arrived_s <= EARLY_S:
        doubtful.append("filed")
    if abs(dtg_s - filed_s) > FAR_S:
        doubtful.append("dtg")
    if due_s is not None and not 0 <= due_s - filed_s <= FAR_S:
        doubtful.append("due")
    return doubtful


PRECEDENCE_SHAPES = {"FLASH": "▲▲", "IMMEDIATE": "▲", "PRIORITY": "●", "ROUTINE": "·"}
"""One shape for each precedence, so that it can be told without colour and before reading."""


def precedence(name: str, catalogue: Catalogue) -> str:
    """Shape and word of a precedence, one of core.precedence's names."""
    return f"{PRECEDENCE_SHAPES.get(name, '?')} {catalogue.text(f'precedence.{name}')}"
