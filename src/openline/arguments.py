"""Arguments of verbs as they come out of JSON: read by name, checked, or refused.

Theory of operation: they come from a process of our own side, but are checked all the same, each
where it is read; a wrong one is LocalError("control.argument") with its name. What the arguments
mean does not live here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .errors import LocalError

Args = Mapping[str, Any]
"""Arguments of a verb, as read from JSON."""

REQUEST_BYTES_MAX = 1 << 20
"""Longest request: pairing with a tape of 10,000 pages, in hex, has some 640,000 bytes."""


def get(args: Args, name: str, kind: type, default: Any = ...) -> Any:
    """The argument of that name if it is of that kind; `default`, if there is one, for none."""
    value = args.get(name)
    if value is None and default is not ...:
        return default
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
        raise LocalError("control.argument", name=name)
    return value


def count(args: Args, name: str, default: int) -> int:
    """A whole number from 0 to 2**62."""
    value: int = get(args, name, int, default)
    if not 0 <= value <= 1 << 62:
        raise LocalError("control.argument", name=name)
    return value


def octets(args: Args, name: str, default: Any = ...) -> Any:
    """Bytes, which come in hex."""
    said = get(args, name, str, default)
    try:
        return bytes.fromhex(said) if isinstance(said, str) else said
    except ValueError:
        raise LocalError("control.argument", name=name) from None
