"""Interface catalogues: what Openline says to its own people, in their language.

Theory of operation: one way for everything. The key of a wording (its msgid) is a stable code,
never English prose: "store.busy" for an error, "help.send" for a help text. English is a catalogue
like French and Russian, so no party's language is the source of the others'. Error codes are keys
as they stand; `<code>.next` says what to do, and `<code>.desk` what to do on a page where that
differs from what a command would. Catalogues are ordinary gettext .po files read at run
time (about 2 ms; Babel's reader gives the same and costs 90 ms to import, so it is the oracle of
the tests), plural rules are a table here, placeholders are named: {count}; {line:shell} is
quoted as a command line needs it, {reason:system} is what `errors.reason` gave, in words: ours, or
the system's where we have none. A wording that is
missing shows its key: an interface never fails for want of words.

PSEUDO is no language: English in letters that are written from right to left, made here, so that
tests and translators see what a right-to-left page would be, and what was never put into words.

Languages of *messages* do not live here but in display.language; the wire never depends on a
catalogue.
"""

from __future__ import annotations

import ast
import errno
import os
import shlex
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from string import Formatter, ascii_lowercase

LANGUAGES = ("en", "fr", "ru")
"""Interface languages, the first one is the fallback."""

PSEUDO = "ar-XB"
"""The pseudo-locale, by the name that browsers and tools know it by."""

_RIGHT_TO_LEFT = frozenset(("ar", "dv", "fa", "he", "ps", "sd", "ug", "ur", "yi"))


def _russian(count: int) -> int:
    if count % 10 == 1 and count % 100 != 11:
        return 0
    return 1 if 2 <= count % 10 <= 4 and not 12 <= count % 100 <= 14 else 2


PLURALS: dict[str, Callable[[int], int]] = {
    "en": lambda count: int(count != 1),
    "fr": lambda count: int(count > 1),
    "ru": _russian,
    PSEUDO: lambda count: int(count != 1),
}
"""Which form a count takes, by language; the headers of the files say the same, for other tools."""


class Catalogue:
    """The wordings of one interface language."""

    def __init__(self, language: str, wordings: dict[str, list[str]]) -> None:
        self.language = language
        self._wordings = wordings

    def has(self, key: str) -> bool:
        """Whether this catalogue words the key."""
        return key in self._wordings

    def keys(self) -> list[str]:
        """All keys, in the order of the file."""
        return list(self._wordings)

    def forms(self, key: str) -> list[str]:
        """The wordings of a key as written, one for each plural form; the key itself if it has
        none.
        """
        return self._wordings.get(key, [key])

    def text(self, key: str, **values: object) -> str:
        """The wording of a key with its placeholders filled; a value that is missing shows as
        {name}.
        """
        return self.forms(key)[0].format_map(_Values(self, values))

    def count(self, key: str, count: int, **values: object) -> str:
        """The wording of a key in the plural form of `count`, which fills {count}."""
        forms = self.forms(key)
        form = forms[min(PLURALS[self.language](count), len(forms) - 1)]
        return form.format_map(_Values(self, {**values, "count": count}))

    def system(self, said: str) -> str:
        """Why the system refused something, as `errors.reason` gave it, in words."""
        number = getattr(errno, said.removeprefix("errno."), None)
        if not said.startswith("errno.") or number is None:
            return said
        return self.text(said) if self.has(said) else os.strerror(number)


class _Said(str):
    """A text in a wording; {line:shell} has it as one word of a command line, {reason:system} as
    the words of the catalogue."""

    words: Catalogue

    def __format__(self, form: str) -> str:
        if form == "shell":
            return shlex.quote(self)
        return self.words.system(str(self)) if form == "system" else format(str(self), form)


class _Values(dict[str, object]):
    def __init__(self, words: Catalogue, values: dict[str, object]) -> None:
        super().__init__(values)
        self._words = words

    def __getitem__(self, key: str) -> object:
        value = super().__getitem__(key)
        if not isinstance(value, str):
            return value
        said = _Said(value)
        said.words = self._words
        return said

    def __missing__(self, key: str) -> str:
        return "{" + key + "}"


def read_po(text: str) -> dict[str, list[str]]:
    """The wordings of a .po file: forms by msgid. Untranslated entries are left out; contexts are
    not used here.
    """
    entries: list[dict[str, str]] = []
    field = ""
    for raw in text.splitlines():
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if not line.startswith('"'):
            field, _, line = line.partition(" ")
            if field == "msgid":
                entries.append({})
        entry = entries[-1]
        entry[field] = entry.get(field, "") + str(ast.literal_eval(line))
    wordings: dict[str, list[str]] = {}
    for entry in entries:
        forms = [entry[name] for name in sorted(entry) if name.startswith("msgstr")]
        if entry["msgid"] and all(forms):
            wordings[entry["msgid"]] = forms
    return wordings


def direction(language: str) -> str:
    """In which direction a language is written: "ltr" or "rtl"."""
    return "rtl" if language.partition("-")[0] in _RIGHT_TO_LEFT else "ltr"


_MIRRORED = str.maketrans(
    {letter: chr(ord("\N{HEBREW LETTER ALEF}") + at) for at, letter in enumerate(ascii_lowercase)}
)


def _pseudo(wording: str) -> str:
    """A wording in Hebrew letters, one for each; its placeholders as they were."""
    parts = Formatter().parse(wording)
    return "".join(
        text.lower().translate(_MIRRORED)
        + ("" if name is None else "{" + ":".join(filter(None, (name, form))) + "}")
        for text, name, form, _ in parts
    )


@lru_cache(maxsize=len(LANGUAGES) + 1)
def catalogue(language: str) -> Catalogue:
    """The catalogue of one of LANGUAGES, or PSEUDO; any other gives the first of them."""
    if language == PSEUDO:
        english = catalogue(LANGUAGES[0])
        keys = english.keys()
        return Catalogue(PSEUDO, {key: [*map(_pseudo, english.forms(key))] for key in keys})
    chosen = language if language in LANGUAGES else LANGUAGES[0]
    path = Path(__file__).parent / "locales" / chosen / "LC_MESSAGES" / "openline.po"
    return Catalogue(chosen, read_po(path.read_text(encoding="utf-8")))


def choose(asked: str | None, environ: Mapping[str, str]) -> str:
    """The interface language: as asked, else OPENLINE_LANG, LC_ALL, LC_MESSAGES, LANG; else the
    first of LANGUAGES.
    """
    wishes = [asked, *(environ.get(n) for n in ("OPENLINE_LANG", "LC_ALL", "LC_MESSAGES", "LANG"))]
    for wish in wishes:
        if wish and wish[:2].lower() in LANGUAGES:
            return wish[:2].lower()
    return LANGUAGES[0]
