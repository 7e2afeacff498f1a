"""Bodies deflated: the number of a dictionary, then one stream that starts from it (R18).

Theory of operation: a short text repeats little of itself but much of its language, so a language
has a dictionary that both sides hold. A dictionary is a constant of the protocol for ever: a better
one gets a new number. They stand as text beside the code, where one can read them, and are loaded
with this module like the code itself: nothing is opened later. What is inflated is bounded before
it grows. Which bodies are deflated is not decided here.
"""

from __future__ import annotations

import zlib
from pathlib import Path

_NUMBERS = {"en": 1, "fr": 2, "ru": 3}
_FILES = [Path(__file__).with_name("dictionaries") / f"{language}.txt" for language in _NUMBERS]
DICTIONARIES = (b"", *(file.read_bytes().replace(b"\n", b" ") for file in _FILES))
"""By number; 0 is none. Each is its file with every line feed become a space."""


def deflate(body: bytes, language: str) -> bytes:
    """A body deflated with the dictionary of a language tag, in lower case; with none if that has
    none."""
    number = _NUMBERS.get(language, 0)
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=DICTIONARIES[number])
    return bytes((number,)) + deflater.compress(body) + deflater.flush()


def inflate(data: bytes, bytes_max: int) -> bytes | None:
    """The body of what was deflated; None if it has more than `bytes_max` bytes (inflation stops
    there), names a dictionary that is not known, or is not one whole stream to its very end."""
    if not data or data[0] >= len(DICTIONARIES):
        return None
    inflater = zlib.decompressobj(-15, zdict=DICTIONARIES[data[0]])
    try:
        body = inflater.decompress(data[1:], bytes_max + 1)
    except zlib.error:
        return None
    whole = inflater.eof and not inflater.unused_data
    return body if whole and len(body) <= bytes_max else None
