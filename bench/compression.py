"""How much of a text is left after deflating, on texts that the dictionaries' author did not write.

Theory of operation: bench/texts has a file per language, messages separated by lines of `%%`. Each
message is put into a record as a release would, and what the body takes in it is held against its
UTF-8. Nothing is sealed here: bench/wire.py counts what sealing adds.
"""

from __future__ import annotations

from pathlib import Path
from statistics import median
from time import process_time
from typing import NamedTuple

from openline.core import compression, receipts
from openline.core.envelope import Record, encode_record
from openline.core.precedence import Precedence

FOLDER = Path(__file__).with_name("texts")
LANGUAGES = ("en", "fr", "ru")
_ROUNDS = 5


class Ratios(NamedTuple):
    """Body as sent to UTF-8, over the messages of a language; sizes are medians, in bytes."""

    messages: int
    plain_bytes: float
    sent_bytes: float
    ratio: float
    """Median of the messages' ratios."""
    worst: float
    without: float
    """Median ratio of the same messages deflated with no dictionary."""
    deflate_us: float
    """Processor time to deflate one, median."""


def messages(language: str) -> list[bytes]:
    """The messages of a language's file, without surrounding blank lines."""
    text = (FOLDER / f"{language}.txt").read_text(encoding="utf-8")
    return [each.strip().encode() for each in f"\n{text}\n".split("\n%%\n") if each.strip()]


def sent(body: bytes, language: str) -> int:
    """Bytes of a body in the record that is released."""
    plain = Record(1, 1, Precedence.ROUTINE, receipts.TEXT, language, 0, 0, None, (), "", body)
    return len(encode_record(plain)) - len(encode_record(plain._replace(body=b"")))


def measure(language: str) -> Ratios:
    """Deflate every message of a language."""
    bodies = messages(language)
    sizes = [sent(body, language) for body in bodies]
    ratios = [size / len(body) for size, body in zip(sizes, bodies, strict=True)]
    without = [sent(body, "") / len(body) for body in bodies]
    times = [min(_time_us(body, language) for _ in range(_ROUNDS)) for body in bodies]
    return Ratios(
        len(bodies),
        median(map(len, bodies)),
        median(sizes),
        median(ratios),
        max(ratios),
        median(without),
        median(times),
    )


def _time_us(body: bytes, language: str, times: int = 20) -> float:
    began_s = process_time()
    for _ in range(times):
        compression.deflate(body, language)
    return (process_time() - began_s) / times * 1e6


def values() -> dict[str, float]:
    """All measures under their stable names."""
    found: dict[str, float] = {}
    for language in LANGUAGES:
        ratios = measure(language)
        found |= {
            f"text_ratio_{language}": ratios.ratio,
            f"text_ratio_worst_{language}": ratios.worst,
            f"text_ratio_without_{language}": ratios.without,
            f"text_bytes_{language}": ratios.plain_bytes,
            f"text_bytes_sent_{language}": ratios.sent_bytes,
            f"text_messages_{language}": ratios.messages,
            f"deflate_us_{language}": ratios.deflate_us,
        }
    return found
