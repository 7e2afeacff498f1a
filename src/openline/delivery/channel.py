"""What a line knows of one bearer: what it declares, what it was seen to do, what is on it now.

Theory of operation: each record given to a bearer is a flight with its own timer. An ACK that comes
over the same bearer answers the oldest flight it covers, which gives the round trip (never from a
record sent twice over this bearer: Karn's rule) and from it the timer: smoothed round trip plus
four times its variation (RFC 6298), in whole microseconds. A flight whose timer runs out counts as
a loss; one whose record came to be known as held by way of another bearer waits here for the answer
of its own, so that a bearer which swallows everything is seen to do so. What was learnt of losses
fades to what is declared, by half each minute. Which record goes where is not decided here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ..bearers.base import BearerProfile
from ..core import limits
from .choice import Standing

_GRANULARITY_MS = 10
_LOSS_WEIGHT = 8
_LOSS_HALVES_MS = 60_000
_RTT_FRESH_MS = 600_000
"""How long a measured round trip decides about choice; older ones still set the timer."""
_AHEAD_MS = 2_000
"""How much a bearer of limited rate is given ahead of its answers."""
_STUCK_MS = 250
_BATCH_BYTES_MAX = 32 * 1024
_BULK_AT_FIRST, _BULK_MIN = 4, 2
_BULK_LATE_MS = 500
"""How much later than twice the best an answer to bulk may come, before there is less of it."""
_STREAM_MS_MAX = 5_000
"""Latency from which a bearer carries parcels, in which nothing waits behind another thing."""
BULK = -1
"""The rank of a part of a file."""
BAG_BYTES_MAX = 8 << 20
"""What a bag carried by hand takes of one line at a time."""


@dataclass(slots=True)
class Flight:
    """One record on its way over one bearer."""

    number: int
    size: int
    rank: int = 0
    """Of its record (outbox.Entry)."""
    sent_ms: int = -1
    """When it, or its latest piece, was given to the bearer."""
    due_ms: int = 0
    tries: int = 0
    """How often its timer was started without an answer; the timer doubles with it."""
    once: bool = True
    """Whether it went over this bearer once only, so that an answer can be measured."""
    live: bool = False
    """Whether it is on the bearer: neither answered nor given up."""
    held: bool = False
    """Whether the record is known to be held, and the flight only waits for its own answer."""

    @property
    def bulk(self) -> bool:
        """Whether it is part of a file: all else goes first, and does not count what these take."""
        return self.rank <= BULK


@dataclass(slots=True)
class Channel:
    """One bearer of a line."""

    name: str
    up: BearerProfile | None = None
    """What it declares while it can carry; None while it cannot."""
    code: str = ""
    """Why it cannot; while it is up, why nothing is heard over it."""
    actor: str = ""
    """Who paused it."""
    since_ms: int = 0
    """Since when it is up or down."""
    heard_ms: int | None = None
    acked_ms: int | None = None
    """When an ACK last came over it."""
    sent_bytes: int = 0
    heard_bytes: int = 0
    flights: dict[int, Flight] = field(default_factory=dict)
    """By number of the record, in the order they were sent."""
    rank_bytes: dict[int, int] = field(default_factory=dict)
    """What is on it and not yet answered, by rank."""
    bulk_flights: int = 0
    """How many of these are bulk."""
    stuck: bool = False
    backoff: int = 0
    """How often the timer is doubled for what is sent now: as deep as timers ran out since an
    answer could last be measured, for without one they say that the round trip has grown."""
    _busy_ms: int | None = None
    """When it was last given something and has not asked again since; None while it waits."""
    _rtt_us: int | None = None
    _variation_us: int = 0
    _rtt_at_ms: int = 0
    _loss: int | None = None
    _loss_at_ms: int = 0
    _bulk: int = _BULK_AT_FIRST
    """How many flights of bulk may be on it: more while answers come soon, fewer when they do not,
    so that what is written meanwhile does not stand behind them in buffers that nobody sees."""
    _least_ms: int | None = None
    """The best round trip seen."""

    @property
    def flight_bytes(self) -> int:
        """What is on it and not yet answered."""
        return sum(self.rank_bytes.values())

    @property
    def bulk_bytes(self) -> int:
        """What of these is bulk."""
        return self.rank_bytes.get(BULK, 0)

    @property
    def by_hand(self) -> bool:
        """Whether it is a bag that is being packed: all goes into it, and nothing is answered on
        the way."""
        return self.up is not None and self.up.human_ms > 0

    def begin(self, profile: BearerProfile, deaf: str, now_ms: int) -> None:
        """It can carry now, `deaf` or "" as bearers.base.Port.up says. How long its answers took
        before says little of the way it goes now."""
        self.up, self.code, self.actor, self.since_ms = profile, deaf, "", now_ms
        self.backoff, self._bulk, self._least_ms = 0, _BULK_AT_FIRST, None
        self.asked(now_ms, given=True)

    # -- what was learnt ----------------------------------------------------------------------

    @property
    def rtt_ms(self) -> int | None:
        """The smoothed round trip measured; None if there is none."""
        return None if self._rtt_us is None else self._rtt_us // 1000

    @property
    def variation_ms(self) -> int:
        """The variation of the round trip."""
        return self._variation_us // 1000

    def declared_ms(self) -> int:
        """The round trip that the profile lets expect."""
        return 2 * (self.up.latency_ms + self.up.human_ms) if self.up else 0

    def round_trip_ms(self) -> int:
        """Measured, else declared."""
        return self.declared_ms() if self._rtt_us is None else self._rtt_us // 1000

    def timeout_ms(self, rank: int = BULK) -> int:
        """How long to wait for an answer before a record of this rank is sent again."""
        if self._rtt_us is None:
            wait_ms = 2 * self.declared_ms()
        else:
            wait_ms = (self._rtt_us + 4 * self._variation_us) // 1000
        wait_ms = max(wait_ms, self.round_trip_ms() + _GRANULARITY_MS) + self.queue_ms(rank)
        return max(wait_ms, self.up.retry_ms_min if self.up else 0)

    def loss_permille(self, now_ms: int) -> int:
        """Records in a thousand that go unanswered, as far as is known now."""
        declared = self.up.loss_permille if self.up else 0
        if self._loss is None:
            return declared
        fading = (now_ms - self._loss_at_ms) // _LOSS_HALVES_MS
        return declared + ((self._loss - declared) >> fading)

    def _note_loss(self, permille: int, now_ms: int) -> None:
        known = self.loss_permille(now_ms)
        self._loss = known + (permille - known) // _LOSS_WEIGHT
        self._loss_at_ms = now_ms

    def _note_round_trip(self, taken_ms: int, now_ms: int) -> None:
        taken_us, known_us = 1000 * taken_ms, self._rtt_us
        self.backoff = 0
        self._rtt_at_ms = now_ms
        if known_us is None:
            self._rtt_us, self._variation_us = taken_us, taken_us // 2
        else:
            self._variation_us = (3 * self._variation_us + abs(known_us - taken_us)) // 4
            self._rtt_us = (7 * known_us + taken_us) // 8

    # -- what is on it ------------------------------------------------------------------------

    def window_bytes(self) -> int:
        """What may be on it unacknowledged: by its rate, enough to keep it busy until answers
        come."""
        if self.up is None:
            return 0
        if self.by_hand:
            return BAG_BYTES_MAX
        if self.up.rate_bytes_s is None:
            return limits.WINDOW_BYTES_MAX
        pipe = self.up.rate_bytes_s * (self.declared_ms() + _AHEAD_MS) // 1000
        return min(max(pipe, self.up.mtu_bytes), limits.WINDOW_BYTES_MAX)

    def batch_bytes(self) -> int:
        """What it is given at a time: what leaves it in a second, so that the rest can still be
        overtaken."""
        rate = self.up.rate_bytes_s if self.up else None
        return _BATCH_BYTES_MAX if rate is None else min(rate, _BATCH_BYTES_MAX)

    def fits(self, size: int, *, bulk: bool = False) -> bool:
        """Whether its window has room for so many bytes more. Bulk leaves half of it free; all else
        has the window to itself."""
        if bulk and self.by_hand:
            return self.bulk_bytes + size <= BAG_BYTES_MAX
        if bulk:
            some = self.bulk_flights < self.bulk_records()
            return some and self.flight_bytes + size <= self.window_bytes() // 2
        some = self.by_hand or len(self.flights) - self.bulk_flights < limits.WINDOW_RECORDS_MAX
        return some and self.flight_bytes - self.bulk_bytes + size <= self.window_bytes()

    def admits(self, size: int, *, bulk: bool = False) -> bool:
        """Whether it may be given so many bytes more; an idle one takes what is too long for its
        window too."""
        idle = len(self.flights) == (0 if bulk else self.bulk_flights)
        return idle or self.fits(size, bulk=bulk)

    def bulk_records(self) -> int:
        """How many chunks of files it could do with at a time."""
        if self.up is None:
            return 0
        if self.by_hand:
            return BAG_BYTES_MAX // limits.CHUNK_BYTES
        half = max(1, self.window_bytes() // 2 // limits.CHUNK_BYTES)
        return half if self.up.latency_ms > _STREAM_MS_MAX else min(self._bulk, half)

    def queue_ms(self, rank: int = BULK) -> int:
        """How long what is on it takes to leave, as far as a record of this rank waits for it."""
        rate = self.up.rate_bytes_s if self.up else None
        return 0 if rate is None else self._before(rank) * 1000 // rate

    def _before(self, rank: int) -> int:
        """What is on it and not yet answered and no less urgent than this rank."""
        return sum(size for of, size in self.rank_bytes.items() if of >= rank)

    def standing(self, size: int, rank: int, now_ms: int) -> Standing:
        """How it stands for a record of `size` bytes and this rank; only while it is up."""
        fresh = now_ms - self._rtt_at_ms < _RTT_FRESH_MS
        round_trip_ms = self.round_trip_ms() if fresh else self.declared_ms()
        return Standing(
            self.name,
            self.up.cost if self.up else 0,
            round_trip_ms // 2,
            self.timeout_ms(rank),
            self.loss_permille(now_ms),
            self.up.rate_bytes_s if self.up else None,
            self._before(rank),
            self.fits(size),
            self.stuck,
        )

    def depart(self, flight: Flight, now_ms: int) -> None:
        """A record is given to the bearer."""
        if flight.live:
            self._land(flight)
        flight.once = flight.once and flight.sent_ms < 0
        flight.live, flight.held, flight.sent_ms = True, False, now_ms
        flight.tries += 1
        self.flights[flight.number] = flight
        self._count(flight, 1)

    def _count(self, flight: Flight, sign: int) -> None:
        self.rank_bytes[flight.rank] = self.rank_bytes.get(flight.rank, 0) + sign * flight.size
        self.bulk_flights += sign * flight.bulk

    def _land(self, flight: Flight) -> None:
        flight.live = False
        if self.flights.pop(flight.number, None) is not None:
            self._count(flight, -1)

    def drop(self, flight: Flight) -> None:
        """A flight ends in a way that says nothing of the bearer."""
        self._land(flight)

    def lose(self, flight: Flight, now_ms: int) -> None:
        """A flight was given up: its timer ran out, or an ACK names it missing."""
        self._land(flight)
        if self.up is not None and self.up.two_way:
            self._note_loss(1000, now_ms)

    def hold(self, flight: Flight, now_ms: int, *, alone: bool) -> None:
        """The record of a flight is held by the other machine; `alone` if only this bearer had it
        and so must have carried it."""
        flight.held = True
        measured = self.up is not None and self.up.two_way
        if alone or not measured:
            self._land(flight)
        if alone and measured:
            self._note_loss(0, now_ms)

    def answer(self, now_ms: int) -> None:
        """An ACK came over this bearer: it answers every flight here whose record is held."""
        self.acked_ms = now_ms
        answered = [flight for flight in self.flights.values() if flight.held]
        for flight in answered:
            self._land(flight)
            self._note_loss(0, now_ms)
        sure = [flight.sent_ms for flight in answered if flight.once]
        if sure:
            self._note_round_trip(now_ms - min(sure), now_ms)
            self._note_bulk(now_ms - min(sure), sum(flight.bulk for flight in answered))

    def _note_bulk(self, taken_ms: int, answered: int) -> None:
        """Learn from answers how much bulk stands in nobody's way."""
        self._least_ms = taken_ms if self._least_ms is None else min(self._least_ms, taken_ms)
        if taken_ms <= 2 * self._least_ms + _BULK_LATE_MS:
            self._bulk = min(self._bulk + answered, limits.CHUNKS_WAITING_MAX)
        elif answered and self._bulk > _BULK_MIN:
            self._bulk = max(_BULK_MIN, self._bulk // 2)
        elif answered:
            # With so little of it nothing can stand in buffers: the way itself has become longer.
            self._least_ms += (taken_ms - self._least_ms) // 4

    # -- whether it takes what it could -------------------------------------------------------

    def asked(self, now_ms: int, *, given: bool) -> None:
        """It asked for something to send, and was given it or has to wait."""
        self.stuck = False
        self._busy_ms = now_ms if given else None

    def stuck_ms(self) -> int | None:
        """When it will be held for stuck, should it not ask again; None if it waits or is already.

        A wire that swallows bytes and closes nothing shows first in that nobody asks for more.
        """
        if self.up is None or self.stuck or self._busy_ms is None:
            return None
        return self._busy_ms + self.round_trip_ms() + self.queue_ms() + _STUCK_MS
