"""How addresses of pages name records.

Theory of operation: a record stands in an address as "theirs/12.8858ae": whose it is, number and
incarnation. Nothing of what it says ever does. Numbers are bounded: what has more digits is the
address of nothing.
"""

from __future__ import annotations

from starlette.convertors import IntegerConvertor

from .. import display
from ..errors import LocalError, OpenlineError


class NumberConvertor(IntegerConvertor):
    """ "{line:number}" in a route. Starlette's own takes as many digits as there are, and fails."""

    regex = "[0-9]{1,9}"


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


def draft_of(error: OpenlineError) -> str:
    """The draft that an error is about, to be seen on its page; "" if there is none."""
    return "" if error.code == "draft.unknown" else str(error.details.get("draft", ""))
