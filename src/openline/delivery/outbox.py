"""The outbox: records released and not yet held by the other machine.

Theory of operation: a record waits in the queue of its precedence until a bearer asks; what is on
the wire has a timer, and goes back to its queue when the timer runs out, the bearer reports its
death, or an ACK names it missing (but never sooner than one round trip after it was sent: R27).
Only numbers and sizes live here; the bytes are asked of the ledger when they are sent. Nothing here
is durable: after a restart everything above the acknowledged number is queued again. What an ACK
may claim is bounded by what was released (R25).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from heapq import heappop, heappush
from itertools import takewhile

from ..core import limits, receipts
from ..core.envelope import Ack, Refusal, varint
from ..core.events import Serial
from ..core.gaps import RangeSet
from ..core.precedence import Precedence
from ..core.states import Event, Machine
from ..inputs import BearerUp
from .assembly import Assembly, Piece

_PATIENCE_MS_MAX = 900_000
_ROUND_TRIP_MS_MIN = 10
_FLASH = Precedence.FLASH.value
_BEGIN = _FLASH + 1
_TEMPORARY = (Refusal.GAPS, Refusal.NO_ROOM, Refusal.PIECES)


class Outbound(Enum):
    """A record of ours on its way to the other machine."""

    QUEUED = "queued"
    SENT = "sent"
    HELD = "held"
    REFUSED = "refused"


OUTBOUND = Machine(
    "outbound",
    {
        (Outbound.QUEUED, Event.SEND): Outbound.SENT,
        (Outbound.QUEUED, Event.ACK): Outbound.HELD,
        (Outbound.SENT, Event.SEND): Outbound.SENT,
        (Outbound.SENT, Event.LOSE): Outbound.QUEUED,
        (Outbound.SENT, Event.ACK): Outbound.HELD,
        (Outbound.SENT, Event.REFUSE): Outbound.REFUSED,
        (Outbound.QUEUED, Event.REFUSE): Outbound.REFUSED,
        (Outbound.REFUSED, Event.ACK): Outbound.HELD,
        (Outbound.HELD, Event.FORGET): Outbound.QUEUED,
    },
)
"""FORGET: the other side lost what it held. LOSE: a timer, a report of the bearer, or an ACK that
names it missing."""


@dataclass(slots=True)
class Entry:
    """One record on its way."""

    serial: Serial
    rank: int
    """Its precedence; one above FLASH for a BEGIN, before which nothing of its process is taken."""
    size: int
    state: Outbound = Outbound.QUEUED
    attempts: int = 0
    sent_ms: int = 0
    due_ms: int = 0
    bearers: set[str] = field(default_factory=set)
    """Bearers it is on now."""


@dataclass(slots=True)
class Channel:
    """What the line knows of one bearer."""

    up: BearerUp | None = None
    code: str = ""
    rtt_ms: int | None = None
    heard_ms: int | None = None

    def round_trip_ms(self) -> int:
        """Measured, else what the profile lets expect."""
        if self.rtt_ms is not None:
            return self.rtt_ms
        return 2 * self.up.profile.latency_ms if self.up else 0


class Outbox:
    """Chooses what to send next, and knows what became of it."""

    def __init__(self) -> None:
        self.entries: dict[int, Entry] = {}
        """By number, ascending."""
        self.channels: dict[str, Channel] = {}
        self._heard_ms: int | None = None
        """When the other side was last heard, or the first record of this process was sent."""
        self.unanswered = 0
        """Repeats by timer since the other side was last heard (R11)."""
        self.refused: dict[int, int] = {}
        self._assembly = Assembly()
        self._held = RangeSet()
        self._queues: dict[int, list[int]] = {rank: [] for rank in range(_BEGIN, -1, -1)}
        """Most urgent first; numbers in order, but of BEGINs the newest first (negated), for it
        leads to all others."""
        self._timers: list[tuple[int, int]] = []
        self._flights: set[int] = set()
        self._unspread: dict[tuple[int, str], dict[int, None]] = {}
        """Of the flights that go over every bearer (FLASH, and what is repeated) those that are not
        on the bearer, in order."""
        self._flight_bytes = 0

    def add(self, serial: Serial, data: bytes) -> None:
        """Take a released record."""
        at = 3 + len(varint(serial.number))
        rank = _BEGIN if data[at + 1] == receipts.BEGIN else data[at] >> 6
        self.entries[serial.number] = Entry(serial, rank, len(data))
        self._queue(self.entries[serial.number])

    def _queue(self, entry: Entry) -> None:
        number = entry.serial.number
        heappush(self._queues[entry.rank], -number if entry.rank == _BEGIN else number)

    def pick(self, bearer: str) -> Entry | None:
        """The next record for this bearer, or None.

        FLASH goes over every bearer; the rest over the cheapest that is up, and over every other
        once it is repeated: no bearer that delivers nothing can keep a record from the others.
        """
        preferred = self._preferred() == bearer
        for rank, queue in self._queues.items():
            spread = self._spread(bearer, rank)
            if spread is not None:
                return spread
            if rank < _FLASH and (
                len(self._flights) >= limits.WINDOW_RECORDS_MAX
                or self._flight_bytes >= limits.WINDOW_BYTES_MAX
            ):
                return None
            entry = self._first(queue)
            if entry is None:
                continue
            if preferred or entry.attempts or rank >= _FLASH:
                return entry
        return None

    def _first(self, queue: list[int]) -> Entry | None:
        """The first entry of a queue that still waits; what no longer does is dropped."""
        while queue:
            entry = self.entries.get(abs(queue[0]))
            if entry is not None and entry.state is Outbound.QUEUED:
                if entry.serial.number not in self._held:
                    return entry
                entry.state = OUTBOUND.next(entry.state, Event.ACK)
            heappop(queue)
        return None

    def _spread(self, bearer: str, rank: int) -> Entry | None:
        """A record that is on the wire elsewhere and should be on this bearer too."""
        number = next(iter(self._unspread.get((rank, bearer), ())), None)
        return None if number is None else self.entries[number]

    def _note_spread(self, entry: Entry) -> None:
        """Note on which bearers a flight has still to go, if it goes over every one."""
        if entry.rank >= _FLASH or entry.attempts > 1:
            for bearer in self.channels:
                unspread = self._unspread.setdefault((entry.rank, bearer), {})
                if bearer in entry.bearers:
                    unspread.pop(entry.serial.number, None)
                else:
                    unspread[entry.serial.number] = None

    def _preferred(self) -> str | None:
        up = [(c.up.profile.cost, name) for name, c in self.channels.items() if c.up]
        return min(up)[1] if up else None

    def sent(self, entry: Entry, channel: Channel, now_ms: int) -> None:
        """The entry has been given to a bearer, or its first piece; its timer starts."""
        up = channel.up
        if up is None:
            return
        if entry.state is Outbound.QUEUED:
            entry.attempts += 1
            entry.sent_ms = now_ms
            self._flights.add(entry.serial.number)
            self._flight_bytes += entry.size
        entry.state = OUTBOUND.next(entry.state, Event.SEND)
        entry.bearers.add(up.bearer)
        self._note_spread(entry)
        self.wait(entry, channel, now_ms)

    def wait(self, entry: Entry, channel: Channel, now_ms: int) -> None:
        """Start the timer of a flight, or start it anew: another piece of it was given to a
        bearer."""
        up = channel.up
        if up is None or entry.state is not Outbound.SENT:
            return
        wait = max(up.profile.retry_ms_min, 2 * channel.round_trip_ms()) << min(
            entry.attempts - 1, 16
        )
        entry.due_ms = now_ms + min(wait, max(up.profile.retry_ms_max, self.patience_ms(now_ms)))
        heappush(self._timers, (entry.due_ms, entry.serial.number))

    def expire(self, now_ms: int) -> int:
        """Queue again what has waited too long; the count."""
        count = 0
        while self._timers and self._timers[0][0] <= now_ms:
            due_ms, number = heappop(self._timers)
            entry = self.entries.get(number)
            if entry and entry.state is Outbound.SENT and entry.due_ms == due_ms:
                self._requeue(entry)
                count += 1
        self.unanswered += bool(count)
        return count

    def deadline(self) -> int | None:
        """When the next timer runs out, monotonic milliseconds."""
        while self._timers:
            due_ms, number = self._timers[0]
            entry = self.entries.get(number)
            if entry and entry.state is Outbound.SENT and entry.due_ms == due_ms:
                return due_ms
            heappop(self._timers)
        return None

    def bearer_down(self, bearer: str) -> None:
        """What is on a dead bearer alone goes elsewhere at once."""
        for number in sorted(self._flights):
            entry = self.entries[number]
            entry.bearers.discard(bearer)
            if entry.bearers:
                self._note_spread(entry)
            else:
                self._requeue(entry)

    def patience_ms(self, now_ms: int) -> int:
        """How long to wait between tries when the other side has long been silent.

        An eighth of the silence, at most a quarter of an hour: a peer that is away for weeks must
        not find ten thousand repeats in its mailbox.
        """
        if self._heard_ms is None:
            self._heard_ms = now_ms
        return min((now_ms - self._heard_ms) // 8, _PATIENCE_MS_MAX)

    def revive(self, now_ms: int) -> None:
        """The other side is heard; after a silence, long timers are not waited for."""
        self._heard_ms = now_ms
        if self.unanswered:
            self.unanswered = 0
            for number in sorted(self._flights):
                if self.entries[number].attempts > 1:
                    self._requeue(self.entries[number])
                    self.entries[number].attempts = 1

    def _requeue(self, entry: Entry) -> None:
        self._land(entry)
        entry.state = OUTBOUND.next(entry.state, Event.LOSE)
        self._queue(entry)

    def _land(self, entry: Entry) -> None:
        entry.bearers.clear()
        if entry.serial.number in self._flights:
            self._flights.remove(entry.serial.number)
            self._flight_bytes -= entry.size
            for bearer in self.channels:
                self._unspread.get((entry.rank, bearer), {}).pop(entry.serial.number, None)

    def acknowledge(self, ack: Ack, end: int, now_ms: int) -> list[int]:
        """Take what the other machine holds, clipped to `end`; the numbers newly known to be held.

        Entries up to the contiguous number leave the outbox; held ones beyond stay, in case the
        other side loses them (R23).
        """
        news: list[int] = []
        contiguous = min(ack.contiguous, end)
        highest = contiguous
        for first, last in ack.held:
            if first <= end:
                highest = min(last, end)
                self._held.add(first, highest)
        for number in sorted(self._flights):
            entry = self.entries[number]
            if number <= contiguous or number in self._held:
                self._measure(entry, now_ms)
                self._settle(entry, news)
            elif number < highest and now_ms - entry.sent_ms >= self._patience(entry):
                self._requeue(entry)
        for number in list(takewhile(lambda n: n <= contiguous, self.entries)):
            left = self.entries.pop(number)
            self.refused.pop(number, None)
            if left.state is not Outbound.HELD:
                self._settle(left, news)
        self._held.take_following(contiguous)
        return news

    def _settle(self, entry: Entry, news: list[int]) -> None:
        self._land(entry)
        entry.state = OUTBOUND.next(entry.state, Event.ACK)
        news.append(entry.serial.number)

    def _measure(self, entry: Entry, now_ms: int) -> None:
        """A round-trip time, from a record sent once and over one bearer (Karn's rule)."""
        if entry.attempts == 1 and len(entry.bearers) == 1:
            channel = self.channels.get(next(iter(entry.bearers)))
            if channel is not None:
                taken = now_ms - entry.sent_ms
                known = channel.rtt_ms
                channel.rtt_ms = taken if known is None else (7 * known + taken) // 8

    def _patience(self, entry: Entry) -> int:
        """How long after it was sent an ACK may call for a record again: longer each time, so that
        false ACKs cannot drive us (R27)."""
        known = (self.channels[b] for b in entry.bearers if b in self.channels)
        round_trip_ms = max((channel.round_trip_ms() for channel in known), default=0)
        return max(round_trip_ms, _ROUND_TRIP_MS_MIN) << min(entry.attempts - 1, 10)

    def refuse(self, serial: Serial, code: int) -> bool:
        """The other side did not take a record, for good or for now (R29); whether it was on its
        way."""
        entry = self.entries.get(serial.number)
        if entry is None or entry.serial != serial:
            return False
        if entry.state in (Outbound.HELD, Outbound.REFUSED):
            return False
        self.refused[serial.number] = code
        if code not in _TEMPORARY and entry.rank != _BEGIN:
            self._land(entry)
            entry.state = OUTBOUND.next(entry.state, Event.REFUSE)
        return True

    def forget(self) -> None:
        """The other side lost what it held beyond the acknowledged number: queue it again."""
        self._held = RangeSet()
        for entry in self.entries.values():
            if entry.state is Outbound.HELD:
                entry.state = OUTBOUND.next(entry.state, Event.FORGET)
                self._queue(entry)

    def piece(self, payload: bytes, now_ms: int) -> bytes | None:
        """A PIECE of a record of theirs; the record when it is whole. Raises RemoteError."""
        return self._assembly.take(Piece.decode(payload), now_ms)

    def waiting(self) -> int:
        """How many records are on their way."""
        return len(self.entries)
