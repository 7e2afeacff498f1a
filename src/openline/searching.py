"""The transcript of lines, sifted: by words, side, precedence and time.

Theory of operation: records are read in the order of the transcript (`reading`) and each is kept or
passed over; one question reads a bounded number of them, and a bounded length, and says where to
read on. Nothing is indexed, so nothing of what was said stands anywhere but in the record. Words
are found as written but for case and for forms of one character that Unicode holds alike; in a
script that has upper and lower case, or among digits, a word is found only as a whole, because
there "act" is not "fact"; in others words are joined to particles, or run on without spaces, and
are found wherever they stand. What of a message a reader gets is decided in views.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from .core import receipts
from .core.envelope import decode_record
from .core.events import Now, Serial
from .display import MARKS_MAX
from .listing import Page, holes
from .reading import reading_order
from .store.base import OURS, THEIRS, Row, Store
from .views import PostFace, View, message

LOOKED_MAX = 2_000
"""Records read for one question."""
LOOKED_BYTES_MAX = 1 << 20
"""Bytes of their bodies, or letters of what those are compared as; the last record may exceed it.
"""
WORDS_CHARS_MAX = 200
"""Longest list of words."""


@dataclass(frozen=True, slots=True)
class Sieve:
    """What is kept: texts that hold all `words`, of one side, of one precedence, committed here
    from `from_s` on and before `until_s` (unix seconds); None lets everything pass."""

    words: tuple[re.Pattern[str], ...] = ()
    side: int | None = None
    precedence: int | None = None
    from_s: int | None = None
    until_s: int | None = None

    def keeps(self, row: Row) -> bool:
        """Whether a record passes."""
        return (
            row.kind not in receipts.RECEIPTS | receipts.SERVICE | receipts.ATTACHED
            and self.side in (None, row.side)
            and self.precedence in (None, row.precedence)
            and (self.from_s is None or row.wall_s >= self.from_s)
            and (self.until_s is None or row.wall_s < self.until_s)
        )

    def finds(self, text: str) -> bool:
        """Whether all words are in a folded text."""
        return all(word.search(text) for word in self.words)


def folded(text: str) -> str:
    """A text as it is compared: without case, one form for what Unicode holds alike, and no more
    marks on one letter than people are shown.
    """
    if text.isascii():
        return text.casefold()
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", _legible(text)).casefold())


def _legible(text: str) -> str:
    """Without marks beyond those shown: to put a run of them in order takes the square of it."""
    kept: list[str] = []
    marks = 0
    for letter in text:
        marks = marks + 1 if _is_mark(letter) else 0
        if marks <= MARKS_MAX:
            kept.append(letter)
    return "".join(kept)


@lru_cache(4096)
def _is_mark(letter: str) -> bool:
    """Whether a letter, as it is compared, joins the run of marks before it."""
    return unicodedata.combining(unicodedata.normalize("NFKD", letter)[0]) > 0


def words(said: str) -> tuple[re.Pattern[str], ...]:
    """The words of a question, each as what finds it in a folded text."""
    return tuple(
        re.compile(_edge(word[0]) + re.escape(word) + _edge(word[-1]))
        for word in folded(said).split()
    )


def _edge(letter: str) -> str:
    """Nothing may go on there, if a word of this letter's kind ends where letters end."""
    return r"\b" if letter.isdigit() or letter.upper() != letter.lower() else ""


def sift(
    store: Store,
    post: PostFace,
    lines: Sequence[int],
    sieve: Sieve,
    now: Now,
    *,
    at: tuple[int, int, int] = (0, 0, 0),
    limit: int = 50,
) -> View:
    """{"records": […], "next": [line, ours, theirs] or None, "looked": n}: of these lines, in
    order, the messages that pass, at most `limit`; `at` is the "next" of the answer before.

    If no words are asked for, numbers missing on a chain stand between them as "gap" or "lost".
    """
    page = Page(limit)
    looked, looked_bytes = 0, 0
    start, *reached = at
    for line in (each for each in lines if each >= start):
        if line != start:
            reached = [0, 0]
        lost = post.status(line, now).lost
        for row in reading_order(store, line, *reached):
            if page.full or looked >= LOOKED_MAX or looked_bytes >= LOOKED_BYTES_MAX:
                return {**page.answer([line, *reached]), "looked": looked}
            looked += 1
            if row.side == THEIRS and not sieve.words:
                missing = reached[THEIRS] + 1, row.number - 1
                for hole in holes(line, post.label(line), *missing, lost):
                    page.add(hole)
            reached[row.side] = row.number
            record = decode_record(row.record)
            looked_bytes += len(record.body)
            if not sieve.keeps(row):
                continue
            if sieve.words:
                text = folded(f"{record.subject}\n{record.text}")
                looked_bytes += max(0, len(text) - len(record.body))
                if not sieve.finds(text):
                    continue
            serial = Serial(row.incarnation, row.number)
            page.add(message(store, post, line, row.side, serial, now))
    return {**page.answer(), "looked": looked}


def latest(store: Store, post: PostFace, line: int, now: Now, limit: int) -> tuple[int, int, int]:
    """Where to begin to read the last `limit` texts of a line."""
    rows = store.arrivals(line, 0, limit, kinds=[receipts.TEXT], newest=True)
    status = post.status(line, now)
    ours = [status.own_number, *(row.number - 1 for row in rows if row.side == OURS)]
    theirs = [status.peer_highest, *(row.number - 1 for row in rows if row.side == THEIRS)]
    return line, min(ours), min(theirs)
