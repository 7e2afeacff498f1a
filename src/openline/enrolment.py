"""What people carry and say when two posts are paired: twelve words, and the tape (docs/protocol.md
§2, §3).

Theory of operation: each side reads the *other's* twelve words aloud, so that a substituted card
shows; the words are syllables that any language can speak. A tape is random pages that both sides
hold on paper or stick. Nothing here derives keys.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256

from .errors import LocalError

WORDS = 12
PAGE_BYTES = 32
PAGES_MIN, PAGES_MAX = 2, 10_000
"""Pages of a tape: page 0 and the reserve at least (docs/protocol.md §3)."""
CONSONANTS = ("b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "ch", "sh")
VOWELS = ("a", "i", "o", "u")


def words(card: bytes) -> tuple[str, ...]:
    """The twelve words of a card: 144 bits of its SHA-256, speakable in any language."""
    bits = int.from_bytes(sha256(card).digest()[:18], "big")
    groups = [bits >> (12 * (WORDS - 1 - i)) & 0xFFF for i in range(WORDS)]
    return tuple(
        CONSONANTS[g >> 8] + VOWELS[g >> 6 & 3] + CONSONANTS[g >> 2 & 15] + VOWELS[g & 3]
        for g in groups
    )


def check_words(card: bytes, said: Sequence[str]) -> None:
    """Compare the words heard; raises LocalError with the first wrong position."""
    if len(said) != WORDS:
        raise LocalError("enrolment.word_count", count=len(said), count_right=WORDS)
    for position, (right, heard) in enumerate(zip(words(card), said, strict=True), 1):
        if right != heard.strip().lower():
            raise LocalError("enrolment.wrong_word", position=position)


def new_tape(pages: int, entropy: Callable[[int], bytes]) -> bytes:
    """A tape of random pages. Raises LocalError."""
    _check_count(pages)
    return b"".join(entropy(PAGE_BYTES) for _ in range(pages))


def tape_pages(tape: bytes) -> list[bytes]:
    """The pages of a tape; raises LocalError for a damaged one, or one with too many."""
    pages, rest = divmod(len(tape), PAGE_BYTES)
    if rest or pages < PAGES_MIN:
        raise LocalError("enrolment.damaged_tape")
    _check_count(pages)
    return [tape[i * PAGE_BYTES : (i + 1) * PAGE_BYTES] for i in range(pages)]


def _check_count(pages: int) -> None:
    if not PAGES_MIN <= pages <= PAGES_MAX:
        raise LocalError("enrolment.tape_pages", pages_min=PAGES_MIN, pages_max=PAGES_MAX)
