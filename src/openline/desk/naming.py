"""How addresses of pages name records.

Theory of operation: a record stands in an address as "theirs/12.8858ae": whose it is, number and
incarnation. Nothing of what it says ever does.
"""

from __future__ import annotations

from .. import display
from ..errors import LocalError


def place_of(said: str) -> tuple[int, int]:
    """(number, incarnation) of a serial in an address, "12.8858ae". Raises
    LocalError("message.unknown")."""
    number, _, incarnation = said.partition(".")
    try:
        if not (number.isascii() and number.isdigit() and len(number) <= 18):
            raise ValueError
        return int(number), int(incarnation[:16], 16)
    except ValueError:
        raise LocalError("message.unknown", serial=display.safe(said)[:40], label="") from None
