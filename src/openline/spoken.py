"""The twelve words as people say and write them: Latin letters, and the same sounds in Cyrillic.

Theory of operation: a word is consonant, vowel, consonant, vowel (docs/protocol.md §2), each with
one Cyrillic letter, so the two spellings are one. Whatever is heard and typed comes back in Latin
letters, in which words are compared. Which words a card has, and whether they are right, is decided
in enrolment.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_LATIN = ("ch", "sh", *"bdfgklmnprstvzaiou")
_CYRILLIC = "чшбдфгклмнпрствзаиоу"
_TO_LATIN = dict(zip(_CYRILLIC, _LATIN, strict=True))
_TO_CYRILLIC = dict(zip(_LATIN, _CYRILLIC, strict=True))


def cyrillic(words: Sequence[str]) -> list[str]:
    """The words in Cyrillic letters."""
    return [re.sub("ch|sh|.", lambda m: _TO_CYRILLIC.get(m[0], m[0]), word) for word in words]


def heard(said: str) -> list[str]:
    """The words in what a person typed, in Latin letters; case, numbers, signs do not count."""
    words = re.findall(r"[^\W\d_]+", said.lower())
    return ["".join(_TO_LATIN.get(letter, letter) for letter in word) for word in words]


def rows(words: Sequence[str]) -> list[str]:
    """Three lines of four numbered words, to be read aloud."""
    numbered = [f"{at:2} {word:<6}" for at, word in enumerate(words, 1)]
    return ["  ".join(numbered[at : at + 4]).rstrip() for at in range(0, len(numbered), 4)]
