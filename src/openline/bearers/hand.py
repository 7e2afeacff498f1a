"""What was taken from the post and is not yet in a mail, and when the next mail goes.

Theory of operation: sans-IO. Datagrams wait together for a short while, so that few mails carry
much. What is urgent goes at once, before the rest and with it. So many mails leave within any hour
and no more; of these a part is for what is urgent alone. Times are seconds of the caller's clock,
which never goes back. Servers, and how a mail looks, do not live here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from . import parcel
from .base import Outgoing
from .framing import LENGTH_BYTES

LOAD_BYTES_MIN = 2 * parcel.BUCKET_BYTES
"""The shortest parcel that carries any datagram."""

URGENT_PARTS = 5
"""One part in so many of an hour's mails is kept for what is urgent."""

HOUR_S = 3600.0


class Hand:
    """The datagrams in hand, and the mails of the last hour."""

    def __init__(self, gather_s: float, mails_per_hour: int) -> None:
        self._gather_s = gather_s
        self._per_hour = mails_per_hour
        self._gone_s: deque[float] = deque()
        self._since_s = 0.0
        self._urgent = False
        self._datagrams: list[bytes] = []
        self.size = 0
        """Bytes of frames in hand."""
        self.load_bytes_max = parcel.PLAIN_BYTES_MAX
        """How long a load may be, as far as is known."""

    def take(self, items: Sequence[Outgoing], now_s: float) -> None:
        """What the post gave; what is urgent goes before all else."""
        if not self._datagrams:
            self._since_s = now_s
        new = [item.data for item in items]
        urgent = any(item.urgent for item in items)
        self._set([*new, *self._datagrams] if urgent else [*self._datagrams, *new])
        self._urgent = self._urgent or urgent

    def load(self) -> list[bytes]:
        """Take out what fills one parcel."""
        load = next(parcel.loads(self._datagrams, self.load_bytes_max), [])
        self._set(self._datagrams[len(load) :])
        self._urgent = False
        return load

    def back(self, load: list[bytes]) -> None:
        """Put a load back to the front."""
        self._set([*load, *self._datagrams])

    def drop(self) -> None:
        """Have nothing in hand: the post will give it again."""
        self._set([])
        self._urgent = False

    def _set(self, datagrams: list[bytes]) -> None:
        self._datagrams = datagrams
        self.size = sum(LENGTH_BYTES + len(each) for each in datagrams)

    def within(self, bytes_max: int) -> None:
        """A load may be no longer than that, as long as it can carry a datagram."""
        self.load_bytes_max = max(LOAD_BYTES_MIN, min(self.load_bytes_max, bytes_max))

    def shorter(self) -> bool:
        """Half as long a load as before, if that can be."""
        before, buckets = self.load_bytes_max, self.load_bytes_max // 2 // parcel.BUCKET_BYTES
        self.within(buckets * parcel.BUCKET_BYTES)
        return self.load_bytes_max < before

    def gone(self, now_s: float) -> None:
        """A mail was handed over, or tried to be."""
        self._gone_s.append(now_s)

    def left_s(self, now_s: float) -> float | None:
        """Seconds until the next mail goes, 0 or less if that is now; None if there is nothing."""
        if not self._datagrams:
            return None
        if self._urgent:
            return self._free_s(self._per_hour, now_s)
        full = self.size >= self.load_bytes_max
        gather_s = 0.0 if full else self._since_s + self._gather_s - now_s
        usual = self._per_hour - self._per_hour // URGENT_PARTS
        return max(gather_s, self._free_s(usual, now_s))

    def _free_s(self, most: int, now_s: float) -> float:
        """Seconds until one more mail keeps within so many an hour."""
        while self._gone_s and self._gone_s[0] <= now_s - HOUR_S:
            self._gone_s.popleft()
        if len(self._gone_s) < most:
            return 0.0
        return self._gone_s[len(self._gone_s) - most] + HOUR_S - now_s
