"""Forms of address: how those at the other end of a line are to be written to.

Theory of operation: one text for each name of a line, kept as a named blob of the post, because the
name outlives the lines that bear it. An administrator sets it; whoever writes on the line is shown
it. It is never sent and nothing is made of it: a wrong form of address was once read as mockery,
and that is for people to get right.
"""

from __future__ import annotations

from .draft import characters
from .errors import LocalError
from .store.base import Store

ADDRESS_BYTES_MAX = 4096
"""Longest text."""


def blob(label: str) -> str:
    """The name under which the state of line 0 holds the text for a label."""
    return f"address/{label}"


def address(store: Store, label: str) -> str:
    """The text for a label; "" if there is none."""
    return store.state(0).get(blob(label), b"").decode()


def encoded(text: str) -> bytes | None:
    """A text as it is kept, None for an empty one. Raises LocalError: address.too_long,
    message.not_text."""
    kept = characters(text.strip()).encode()
    if len(kept) > ADDRESS_BYTES_MAX:
        raise LocalError("address.too_long", bytes_max=ADDRESS_BYTES_MAX)
    return kept or None
