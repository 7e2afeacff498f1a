"""What the demonstration shows: at every width, in every language, and in ASCII alone."""

from __future__ import annotations

import ast
import io
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import pytest
from babel.messages.pofile import read_po
from rich.console import Console

from demo import script, timeline
from demo.board import Board
from demo.screen import Screen, grouped, spaced
from demo.words import catalogue
from openline import display, i18n

DEMO = Path(timeline.__file__).parent


def board() -> Board:
    """A board with a message each way, one of them still waiting, and a wire that was cut."""
    made = Board(("washington", "moscow"))
    start = made.start_ms
    for at_ms, name in ((start, "bearer.up"), (start + 900, "bearer.down")):
        values = {"bearer": "tcp"}
        made.hear("washington", {"name": name, "values": values, "mono_ms": at_ms})
    made.note("wire.cut", start + 900, wire="direct")
    made.note("post.killed", start + 1500, post="washington")
    made.note("post.restarted", start + 2500, post="washington")
    for author, said, at_ms in (
        ("washington", script.WARNING, start + 100),
        ("moscow", script.WARNING_ANSWER, start + 800),
        ("washington", script.LAUNCH, start + 3000),
    ):
        number = len(made.messages) + 1
        serial = {"number": number, "incarnation": 0xABCDEF}
        message = made.released(author, said, serial, at_ms - 3)
        made.hear(author, {"name": "released", "values": {"number": number}, "mono_ms": at_ms})
        if said is script.LAUNCH:
            continue
        made.hear(author, {"name": "held", "values": {"number": number}, "mono_ms": at_ms + 9})
        for kind, later in (("delivered", 400), ("opened", 700)):
            mark = {"number": number, "kind": kind, "side": 0}
            made.hear(author, {"name": "receipt", "values": mark, "mono_ms": at_ms + later})
        assert message.after_ms("opened") == 700
    return made


def screen(language: str, width: int, encoding: str = "utf-8") -> tuple[Screen, io.BytesIO]:
    """A screen that is no terminal, and what it prints."""
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, errors="replace", write_through=True)
    console = Console(file=file, width=width, markup=False, highlight=False, emoji=False)
    return Screen(catalogue(language), console), raw


@pytest.mark.parametrize("language", i18n.LANGUAGES)
@pytest.mark.parametrize("width", [80, 100, 120])
def test_everything_fits_the_terminal(language: str, width: int) -> None:
    shown, raw = screen(language, width)
    made = board()
    shown.show(shown.messages(made, made.messages))
    shown.show(*timeline.draw(shown, made, wires=True))
    shown.show(shown.pairs([("washington", grouped("0123456789abcdef" * 4))]))
    rows = raw.getvalue().decode().splitlines()
    assert max(map(display.cells, rows)) <= width
    text = "\n".join(rows)
    for expected in ("washington", "400", "700", "╳", "○", "◑"):
        assert expected in text
    headings = [shown.text(f"demo.column.{name}") for name in ("committed", "held", "opened")]
    assert all(heading in text for heading in headings)


def test_stages_stand_in_order_on_the_axis() -> None:
    shown, _ = screen("en", 80)
    rows = [row.plain for row in timeline.draw(shown, board(), wires=True)]
    [warning] = [row for row in rows if row.startswith("washington 1 ")]
    assert warning.index("◐") < warning.index("◑")
    [answer] = [row for row in rows if row.startswith("moscow 2 ")]
    assert warning.index("◐") < answer.index("◐")
    direct, post = rows[1], rows[3]
    assert direct.startswith("direct wire")
    assert "━╳┈" in direct
    assert post.startswith("washington")
    assert "╳┈" in post
    assert post.endswith("━")


def test_a_terminal_without_unicode_gets_letters() -> None:
    shown, raw = screen("en", 80, "ascii")
    shown.show(*timeline.draw(shown, board(), wires=True))
    text = raw.getvalue().decode()
    assert text.isascii()
    assert "X" in text
    assert "r released" in text


def test_each_message_is_a_line_when_released_and_one_when_opened() -> None:
    shown, raw = screen("en", 80)
    made = board()
    shown.follow(made)
    made.tell()
    made.tell()
    shown.leave()
    rows = raw.getvalue().decode().splitlines()
    assert len(rows) == 5
    assert rows[0].lstrip().startswith("100 ms  washington")
    assert rows[1].strip() == "washington 1: saved 3, acked 9, watch 400, opened 700"


def test_what_was_said_cannot_reach_the_terminal_raw() -> None:
    shown, raw = screen("en", 120)
    made = board()
    hostile = script.Said("ROUTINE", "en", "\x1b[2J\u202e", "[bold]x[/bold]\x07")
    made.released("moscow", hostile, {"number": 9, "incarnation": 1}, made.start_ms)
    made.hear("moscow", {"name": "released", "values": {"number": 9}, "mono_ms": made.start_ms})
    shown.show(shown.messages(made, made.messages))
    text = raw.getvalue().decode()
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\x07" not in text


@pytest.mark.parametrize(
    ("number", "said"), [(3.14159, "3.14"), (42.4, "42"), (120_000.0, "120\u202f000")]
)
def test_numbers_are_spaced(number: float, said: str) -> None:
    assert spaced(number) == said


# -- catalogues ---------------------------------------------------------------------------------


def own(language: str) -> dict[str, list[str]]:
    """The wordings that only the demonstration has."""
    return i18n.read_po((DEMO / "locales" / f"{language}.po").read_text(encoding="utf-8"))


def placeholders(forms: list[str]) -> set[str]:
    """The names in the forms of a wording."""
    return {name for form in forms for _, name, _, _ in Formatter().parse(form) if name}


def keys_asked() -> Iterator[str]:
    """Every text in the source that is a key of ours."""
    for path in DEMO.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


@pytest.mark.parametrize("language", i18n.LANGUAGES)
def test_the_catalogues_say_the_same_things(language: str) -> None:
    english, other = own("en"), own(language)
    assert list(other) == list(english)
    forms = {"en": 2, "fr": 2, "ru": 3}[language]
    for key, wordings in other.items():
        assert placeholders(wordings) == placeholders(english[key]), key
        assert len(wordings) in (1, forms), key
        assert (len(wordings) > 1) == (len(english[key]) > 1), key


@pytest.mark.parametrize("language", i18n.LANGUAGES)
def test_babel_reads_the_files_as_we_do(language: str) -> None:
    data = (DEMO / "locales" / f"{language}.po").read_bytes()
    theirs = read_po(io.BytesIO(data), locale=language, abort_invalid=True)
    assert theirs.num_plurals == {"en": 2, "fr": 2, "ru": 3}[language]
    read = {
        (message.id if isinstance(message.id, str) else message.id[0]): message.string
        for message in theirs
        if message.id
    }
    assert {
        key: forms[0] if len(forms) == 1 else tuple(forms) for key, forms in own(language).items()
    } == read


def test_no_wording_of_the_product_is_hidden() -> None:
    assert set(own("en")) & set(i18n.catalogue("en").keys()) == set()


def test_every_key_in_the_source_is_worded_and_says_what_to_do() -> None:
    words = catalogue("en")
    prefixes = ("demo.", "replay.", "usage.")
    keys = {text for text in keys_asked() if text.startswith(prefixes) and text[-1].isalnum()}
    assert sorted(key for key in keys if not words.has(key)) == []
    every = catalogue("en").keys()
    told = {key for key in every if key.endswith(".next")}
    assert [key for key in told & set(own("en")) if key.removesuffix(".next") not in every] == []
    errors = {key for key in keys if key.startswith(("replay.", "usage."))}
    assert sorted(key for key in errors if f"{key}.next" not in told) == []
