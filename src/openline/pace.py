"""The pace of work that goes on a little in each step: history given back, files.

Theory of operation: what changes in a step is noted, and after a failed commit that it had a part
in, the work rests for a minute: a full disk refuses it before it refuses what is said.
"""

from __future__ import annotations

from .core.events import Now

REST_MS = 60_000


class Pace:
    """When one kind of work of one line goes on."""

    def __init__(self) -> None:
        self.due_ms: int | None = None
        """When to go on, monotonic milliseconds; None: when something happens."""
        self._changed_ms: int | None = None
        """When this step changed something."""
        self._rest_until_ms = 0

    def begin(self, now: Now) -> bool:
        """A step begins; whether there may be work in it."""
        self._changed_ms = None
        resting = now.mono_ms < self._rest_until_ms
        self.due_ms = self._rest_until_ms if resting else None
        return not resting

    def more(self, now: Now) -> None:
        """There is more to do at once."""
        self.due_ms = now.mono_ms

    def changed(self, now: Now) -> None:
        """This step changes what the work is about."""
        self._changed_ms = now.mono_ms

    def resume(self, before: Pace) -> None:
        """Take over after a failed commit."""
        self._rest_until_ms = before._rest_until_ms
        if before._changed_ms is not None:
            self._rest_until_ms = before._changed_ms + REST_MS
