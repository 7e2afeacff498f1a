"""How often somebody may ask the desk: each person by themselves, and all strangers together.

Theory of operation: each has a number of requests to spend, which grows again by the second up to a
bound that no person reaches by hand. What people do is counted by name, after the post has said who
they are, so that nobody spends for another; what comes to the door is counted in one, for there
nobody is anybody yet. Memory is bounded by the number of names, and whoever has not asked for a
while is forgotten: they would have all to spend anyway. How long wrong passphrases wait is decided
by the post (signins.py).
"""

from __future__ import annotations

from ..core.events import Now
from ..errors import LocalError

NAMES_MAX = 1024


class Pace:
    """`burst` requests at once, and `per_s` each second from then on."""

    def __init__(self, burst: int, per_s: int) -> None:
        self._burst_ms = 1000 * burst // per_s
        self._cost_ms = 1000 // per_s
        self._full_ms: dict[str, int] = {}
        """Name → when they will have everything to spend again, by monotonic time."""

    def spend(self, name: str, now: Now) -> None:
        """One request. Raises LocalError("desk.too_many", seconds=…) if there is none to spend."""
        full_ms = max(now.mono_ms, self._full_ms.pop(name, 0)) + self._cost_ms
        over_ms = full_ms - now.mono_ms - self._burst_ms
        self._full_ms[name] = full_ms if over_ms <= 0 else full_ms - self._cost_ms
        if len(self._full_ms) > NAMES_MAX:
            del self._full_ms[next(iter(self._full_ms))]
        if over_ms > 0:
            raise LocalError("desk.too_many", seconds=-(-over_ms // 1000))
