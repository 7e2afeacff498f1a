"""Three catalogues say the same things, and everything that is said is in them."""

from __future__ import annotations

import ast
import io
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from string import Formatter

import pytest
from babel.messages.pofile import read_po

import openline
from openline import i18n

SOURCE = Path(openline.__file__).parent
ERRORS = {"LocalError", "StoreError", "RemoteError", "BearerError", "InvariantError"}
TOLD = {"LocalError", "StoreError"}
"""Errors that reach a person as such: they say what to do next as well."""

CODE = re.compile(r"(?:bearer|store|wire|ack|begin|fork|receipt|seal|enrolment)\.[a-z_]+")
NOT_CODES = {"store.py", "bearer.up", "bearer.down", "store.locked"}
"""Events of the post, names of files, an example in a docstring."""

CATALOGUES = [i18n.catalogue(language) for language in i18n.LANGUAGES]
KEYS = CATALOGUES[0].keys()


@cache
def trees() -> list[tuple[Path, ast.Module]]:
    """Every module of openline as a syntax tree."""
    files = sorted(SOURCE.rglob("*.py"))
    return [(path, ast.parse(path.read_text(encoding="utf-8"))) for path in files]


def literals(node: ast.AST) -> Iterator[str]:
    """Texts that an expression may give: a constant, or either side of a choice."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from literals(node.body)
        yield from literals(node.orelse)


def called(node: ast.AST) -> str:
    """The last name of what a call calls."""
    if not isinstance(node, ast.Call):
        return ""
    return getattr(node.func, "attr", getattr(node.func, "id", ""))


@cache
def nodes() -> list[ast.AST]:
    """Everything in every module."""
    return [node for _, tree in trees() for node in ast.walk(tree)]


def codes(names: set[str]) -> set[str]:
    """Every code with which one of these errors is made."""
    calls = (node for node in nodes() if isinstance(node, ast.Call) and called(node) in names)
    return {code for call in calls if call.args for code in literals(call.args[0])}


def written_codes() -> set[str]:
    """Codes that stand in the source as plain texts, in tables and defaults."""
    texts = {text for node in nodes() for text in literals(node)}
    return {text for text in texts if CODE.fullmatch(text)} - NOT_CODES


def placeholders(wording: str) -> set[str]:
    """The names in a wording."""
    return {name for _, name, _, _ in Formatter().parse(wording) if name}


@pytest.mark.parametrize("words", CATALOGUES, ids=i18n.LANGUAGES)
def test_every_error_is_worded(words: i18n.Catalogue) -> None:
    assert sorted(code for code in codes(ERRORS) | written_codes() if not words.has(code)) == []


@pytest.mark.parametrize("words", CATALOGUES, ids=i18n.LANGUAGES)
def test_every_error_of_ours_says_what_to_do_next(words: i18n.Catalogue) -> None:
    without = {"control.fault", "control.refused"}
    said = codes(TOLD) - without
    assert sorted(code for code in said if not words.has(f"{code}.next")) == []


ASKED_BY_COMMANDS = {"draft.not_confirmed", "draft.not_dropped"}
"""What a question on a terminal is answered with."""


@pytest.mark.parametrize("words", CATALOGUES, ids=i18n.LANGUAGES)
def test_who_sits_at_the_desk_is_told_to_type_no_command(words: i18n.Catalogue) -> None:
    at_the_desk = [key.removesuffix(".desk") for key in KEYS if key.endswith(".desk")]
    assert [each for each in at_the_desk if "openline " in words.text(f"{each}.desk")] == []
    typed = re.compile("openline (draft|attachment|people link|show|lines|inbox)")
    told = [key.removesuffix(".next") for key in KEYS if key.endswith(".next")]
    concerned = [
        each
        for each in told
        if each.startswith(("draft.", "attachment.", "release.", "message.unknown", "line.unknown"))
        and typed.search(words.text(f"{each}.next"))
    ]
    assert sorted(set(concerned) - set(at_the_desk) - ASKED_BY_COMMANDS) == []


def test_the_catalogues_have_the_same_keys_in_the_same_order() -> None:
    first, *others = CATALOGUES
    for other in others:
        assert other.keys() == first.keys()


def test_placeholders_agree_across_languages() -> None:
    differing = []
    for key in KEYS:
        named = {frozenset(placeholders(f)) for words in CATALOGUES for f in words.forms(key)}
        if len(named) != 1:
            differing.append(key)
    assert differing == []


def test_counted_wordings_have_as_many_forms_as_the_language() -> None:
    for words, forms in zip(CATALOGUES, (2, 2, 3), strict=True):
        for key in KEYS:
            assert len(words.forms(key)) in (1, forms), (words.language, key)
            assert (len(words.forms(key)) > 1) == (len(CATALOGUES[0].forms(key)) > 1)


@pytest.mark.parametrize("language", i18n.LANGUAGES)
def test_babel_reads_the_file_as_we_do(language: str) -> None:
    data = (SOURCE / "locales" / language / "LC_MESSAGES" / "openline.po").read_bytes()
    theirs = read_po(io.BytesIO(data), locale=language, abort_invalid=True)
    expected = {}
    for message in theirs:
        if message.id:
            assert not message.fuzzy
            key = message.id if isinstance(message.id, str) else message.id[0]
            said = message.string
            expected[key] = [said] if isinstance(said, str) else [*(said or ())]
    assert i18n.read_po(data.decode()) == expected
    plural = theirs.num_plurals
    assert plural == {"en": 2, "fr": 2, "ru": 3}[language]


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0 минут назад"),
        (1, "1 минуту назад"),
        (2, "2 минуты назад"),
        (5, "5 минут назад"),
        (11, "11 минут назад"),
        (12, "12 минут назад"),
        (21, "21 минуту назад"),
        (22, "22 минуты назад"),
        (111, "111 минут назад"),
        (112, "112 минут назад"),
    ],
)
def test_russian_counts(count: int, said: str) -> None:
    assert i18n.catalogue("ru").count("age.minutes", count) == said


def test_french_counts_nothing_as_one() -> None:
    assert i18n.catalogue("fr").count("age.minutes", 0) == "il y a 0 minute"
    assert i18n.catalogue("en").count("age.minutes", 0) == "0 minutes ago"


def test_a_missing_wording_or_value_is_shown_not_raised() -> None:
    words = i18n.catalogue("en")
    assert words.text("no.such.key") == "no.such.key"
    assert "{path}" in words.text("local.exists")


def test_a_value_cannot_name_another_value() -> None:
    words = i18n.catalogue("en")
    assert words.text("local.exists", path="{code}").startswith("{code} exists")


@pytest.mark.parametrize(
    ("asked", "environ", "language"),
    [
        ("fr", {"LANG": "ru_RU.UTF-8"}, "fr"),
        (None, {"OPENLINE_LANG": "ru", "LANG": "fr_FR"}, "ru"),
        (None, {"LC_ALL": "fr_CA.UTF-8"}, "fr"),
        (None, {"LANG": "C.UTF-8"}, "en"),
        (None, {}, "en"),
        ("de", {"LANG": "ru_RU"}, "ru"),
    ],
)
def test_the_language_is_chosen_from_what_is_known(
    asked: str | None, environ: dict[str, str], language: str
) -> None:
    assert i18n.choose(asked, environ) == language


def speaks(path: Path) -> bool:
    """Whether a module is of a command line."""
    return path.parent.name == "commands" or path.name in ("cli.py", "usage.py", "app.py")


def wording_keys() -> Iterator[tuple[str, str]]:
    """(place, key) of every plain key that a command asks a wording for."""
    asking = {"say", "note", "text", "say_count", "count", "ask"}
    for path, tree in trees():
        if not (speaks(path) or path.name == "display.py"):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and called(node) in asking and node.args:
                for key in literals(node.args[0]):
                    yield f"{path.name}:{node.lineno}", key


def test_every_wording_that_is_asked_for_exists() -> None:
    words = i18n.catalogue("en")
    assert [(place, key) for place, key in wording_keys() if not words.has(key)] == []


def shown(node: ast.expr) -> Iterator[str]:
    """The literal text of what is printed, apart from what calls and values give."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    for part in getattr(
        node, "values", [getattr(node, "left", None), getattr(node, "right", None)]
    ):
        if isinstance(part, ast.expr):
            yield from shown(part)


def test_commands_print_no_words_of_their_own() -> None:
    """Whatever has two letters in a row and goes to the terminal comes from the catalogue."""
    own = []
    for path, tree in trees():
        if speaks(path):
            for node in ast.walk(tree):
                if isinstance(node, ast.Call) and called(node) in ("echo", "print", "line"):
                    for text in (text for given in node.args for text in shown(given)):
                        if re.search(r"[^\W\d_]{2}", text):
                            own.append(f"{path.name}:{node.lineno}: {text}")
    assert own == []


def test_a_label_is_quoted_where_a_command_line_is_shown() -> None:
    for words in CATALOGUES:
        assert "openline clear-alarm 'new paris'" in words.text("voice.then", line="new paris")
        assert "openline clear-alarm moscow" in words.text("voice.then", line="moscow")
        # A value that was left out shows as such, and never fails.
        assert "'{line}'" in words.text("voice.then")
        for key in KEYS:
            for form in words.forms(key):
                assert not re.search(r"openline (?:[a-z-]+ )+\{(?:line|name)\}", form), key


def test_precedences_have_their_names_in_every_sentence() -> None:
    words = i18n.catalogue("ru")
    for key in ("why.flash", "why.flash_waits", "why.routine", "why.routine_waits"):
        level = "FLASH" if "flash" in key else "ROUTINE"
        assert words.text(key).startswith(words.text(f"precedence.{level}"))
