"""Logs for machines: one JSON object per line on standard error, and nothing in it that people said
or are called.

Theory of operation: an entry has the name of an event and values that are numbers, truth or codes.
`_only_safe` is the last door: a value that is neither passes only under the few names known to hold
codes, and only if it looks like one, so that a careless caller cannot leak a text, a label or a
key. What happens to every message would drown the rest and slow the post, so `EventLog` writes the
rare events as they come and counts the others. What happened is told by the post (`PostEvent`);
nothing is decided here.
"""

from __future__ import annotations

import logging
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, MutableMapping
from contextlib import suppress
from typing import Any, TextIO, cast

import structlog

from . import clock
from .status import PostEvent

FREQUENT = frozenset({"released", "sent", "held", "arrived", "chained", "receipt"})
"""Events of every message: counted, not written one by one."""

TRAFFIC_S = 10.0
"""How often the counts are written."""

_CODES = frozenset(
    {"event", "level", "code", "bearer", "precedence", "verb", "right", "kind", "place"}
)
_CODE = re.compile(r"[A-Za-z0-9_.:-]{1,64}")

Log = structlog.typing.FilteringBoundLogger
"""What `log` gives."""


def _only_safe(_logger: object, _method: str, entry: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Let numbers, truth and codes through; of anything else, only that it was there."""
    return {name: _safe(name, value) for name, value in entry.items()}


def _safe(name: str, value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if name in _CODES and isinstance(value, str) and _CODE.fullmatch(value):
        return value
    return f"<{type(value).__name__}>"


def _stamped(
    _logger: object, _method: str, entry: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Put the wall clock first; it only labels."""
    return {"at": clock.now().wall_s, **entry}


class _Lossy:
    """A stream of which nobody depends on what is written: a full disk, or a reader that is gone,
    costs entries and never the post."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write it, if that can be."""
        with suppress(OSError, ValueError):
            self._stream.write(text)

    def flush(self) -> None:
        """Let it go, if that can be."""
        with suppress(OSError, ValueError):
            self._stream.flush()


def configure(stream: TextIO | None = None, *, level: int = logging.INFO) -> None:
    """Send what is logged from now on to `stream` (standard error), from `level` up."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            _stamped,
            _only_safe,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, _Lossy(stream or sys.stderr))),
        cache_logger_on_first_use=False,
    )


def log() -> Log:
    """The log as configured."""
    return cast(Log, structlog.get_logger())


class EventLog:
    """Writes events of the post; `flush` writes the counts of the frequent ones gathered since the
    last call.
    """

    def __init__(self) -> None:
        self._counts: dict[int, Counter[str]] = {}

    def take(self, events: Iterable[PostEvent]) -> None:
        """Write or count events."""
        for event in events:
            if event.name in FREQUENT:
                self._counts.setdefault(event.line, Counter())[event.name] += 1
            else:
                log().info(event.name, **{"line": event.line, **event.values})

    def flush(self) -> None:
        """Write one "traffic" entry for each line that had any."""
        counts, self._counts = self._counts, {}
        for line, counted in sorted(counts.items()):
            log().info("traffic", line=line, **counted)
