"""The outbox: records released and not yet held by the other machine.

Theory of operation: a record waits in the queue of its precedence until a bearer asks; what is on
the wire has a timer for each bearer it is on, and goes over that bearer again when the timer runs
out, the bearer reports its death, or an ACK names it missing (but never sooner than one round trip
after it was sent there: R27). FLASH, and whatever was lost once, goes over every bearer; of the
rest `choice` says which bearer takes it. Chunks of files are below all else: never over every
bearer at once, and never in the window that the rest needs. Only numbers and sizes live here; the
bytes are asked of the ledger when they are sent. Nothing here is durable: after a restart
everything above the acknowledged number is queued again. What an ACK may claim is bounded by what
was released (R25).
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from itertools import takewhile

from ..bearers.base import BearerProfile
from ..core import limits, receipts
from ..core.envelope import Ack, Refusal, varint
from ..core.events import Serial
from ..core.gaps import Range, RangeSet
from ..core.states import Event
from .assembly import Assembly, Piece
from .channel import BULK, Channel, Flight
from .choice import Verdict, order
from .entry import BEGIN, FLASH, OUTBOUND, Entry, Outbound

_PATIENCE_MS_MAX = 900_000
_ROUND_TRIP_MS_MIN = 10
_DOUBLINGS_MAX = 16
_BULK_MIN = 2
"""Chunks of files released while no bearer is up."""
_TEMPORARY = (Refusal.GAPS, Refusal.NO_ROOM, Refusal.PIECES)


class Outbox:
    """Chooses what to send next, and knows what became of it."""

    def __init__(self) -> None:
        self.entries: dict[int, Entry] = {}
        """By number, ascending."""
        self.channels: dict[str, Channel] = {}
        self.hearing: str | None = None
        """The bearer over which came what is being heard."""
        self.pieced = False
        """Whether there was a part in it of a record that is not whole yet."""
        self.unanswered = 0
        """Times that timers ran out since something of ours was last answered (R11)."""
        self._unanswered_ms: int | None = None
        """When the first that was sent since then was sent."""
        self._silent = False
        """Whether a timer has run out since the other side was last heard."""
        self._revived_ms = -_PATIENCE_MS_MAX
        self.refused: dict[int, int] = {}
        self.steps: list[tuple[Serial, str]] = []
        """Texts newly given to a bearer, or ("") named by an ACK, since somebody took note."""
        self._assembly = Assembly()
        self._held = RangeSet()
        self._queues: dict[int, list[int]] = {rank: [] for rank in range(BEGIN, BULK - 1, -1)}
        """Most urgent first; numbers in order, but of BEGINs the newest first (negated), for it
        leads to all others."""
        self._bulk: set[int] = set()
        """Numbers of the entries that are chunks of files."""
        self._timers: list[tuple[int, int, str]] = []
        self._sent: set[int] = set()
        """Numbers of the entries that are SENT."""
        self._unspread: dict[tuple[int, str], dict[int, None]] = {}
        """Of those that go over every bearer (FLASH, and what was lost once), and for a bag of all
        that are under way, those that are not on the bearer, in order."""

    def add(self, serial: Serial, data: bytes) -> None:
        """Take a released record."""
        at = 3 + len(varint(serial.number))
        kind = data[at + 1]
        rank = {receipts.BEGIN: BEGIN, receipts.CHUNK: BULK}.get(kind, data[at] >> 6)
        if rank == BULK:
            self._bulk.add(serial.number)
        self.entries[serial.number] = Entry(serial, rank, len(data), kind == receipts.TEXT)
        self._queue(self.entries[serial.number])

    def _queue(self, entry: Entry) -> None:
        number = entry.serial.number
        heappush(self._queues[entry.rank], -number if entry.rank == BEGIN else number)

    # -- bearers ------------------------------------------------------------------------------

    def bearer_up(self, bearer: str, profile: BearerProfile, now_ms: int, deaf: str = "") -> None:
        """A bearer can carry (`deaf`: one way): what its last connection lost is due again."""
        channel = self.channels.setdefault(bearer, Channel(bearer))
        if channel.up is not None and deaf != channel.code:
            channel.up, channel.code = profile, deaf
            return
        self.drop(bearer)
        channel.begin(profile, deaf, now_ms)
        for number in sorted(self._sent):
            entry = self.entries[number]
            due_ms = min((f.due_ms for f in entry.flights.values() if f.live), default=now_ms)
            # What went into a bag of days is not waited for when a wire comes back.
            slow = due_ms - now_ms > 4 * channel.timeout_ms()
            if slow and entry.bulk:
                self._recall(entry)
                self._lose(entry)
            else:
                entry.repeated = entry.repeated or slow
                self._note_spread(entry)

    def bearer_down(self, bearer: str, code: str, actor: str, now_ms: int) -> bool:
        """A bearer cannot carry: what was on it alone goes elsewhere at once. Whether that is
        news."""
        channel = self.channels.setdefault(bearer, Channel(bearer, since_ms=now_ms))
        was_up, carried = channel.up is not None, channel.by_hand
        if was_up:
            channel.since_ms = now_ms
        channel.up, channel.code, channel.actor = None, code, actor
        self.drop(bearer, carried=carried)
        return was_up

    def bearer_gone(self, bearer: str) -> None:
        """A bearer is there no more."""
        if bearer in self.channels:
            self.drop(bearer)
            del self.channels[bearer]
            for level in self._queues:
                self._unspread.pop((level, bearer), None)

    def drop(self, bearer: str, *, carried: bool = False) -> None:
        """Everything on a bearer is lost, and goes elsewhere or over it again at once; what was
        `carried` away by a person is not lost, but nothing waits for it."""
        channel = self.channels[bearer]
        for flight in sorted(channel.flights.values(), key=lambda each: each.number):
            channel.drop(flight)
            if not flight.held:
                self._lose(self.entries[flight.number], repeated=not carried)

    def adopt(self, channels: dict[str, Channel]) -> None:
        """Take over the bearers of an outbox that is thrown away: what it sent is sent anew."""
        self.channels = channels
        for channel in channels.values():
            for flight in list(channel.flights.values()):
                channel.drop(flight)

    def ranked(self, size: int, rank: int, now_ms: int) -> list[Verdict]:
        """The bearers that are up for a record of `size` bytes and this rank that goes over one of
        them, the best first."""
        up = [each for each in self.channels.values() if each.up is not None]
        return order([channel.standing(size, rank, now_ms) for channel in up], size)

    # -- sending ------------------------------------------------------------------------------

    def pick(self, channel: Channel, now_ms: int) -> Entry | None:
        """The next record for this bearer, or None.

        FLASH and what was lost once goes over every bearer, and all of it into a bag; the rest over
        the bearer ranked best. What is urgent waits for nothing; what has to wait for room lets
        nothing less urgent pass.
        """
        for level, queue in self._queues.items():
            entry = self._spread(channel.name, level)
            spread = entry is not None
            if entry is None:
                entry = self._first(queue)
            if entry is None:
                continue
            if level >= FLASH:
                return entry
            if not channel.admits(entry.size, bulk=entry.bulk):
                return None
            if spread or entry.everywhere or self._chosen(channel, entry, now_ms):
                return entry
        return None

    def _chosen(self, channel: Channel, entry: Entry, now_ms: int) -> bool:
        """Whether this bearer is the best for a record that goes over one."""
        if channel.by_hand or sum(each.up is not None for each in self.channels.values()) == 1:
            return True
        return self.ranked(entry.size, entry.rank, now_ms)[0].name == channel.name

    def _first(self, queue: list[int]) -> Entry | None:
        """The first entry of a queue that still waits; what no longer does is dropped."""
        while queue:
            entry = self.entries.get(abs(queue[0]))
            if entry is not None and entry.state is Outbound.QUEUED:
                return entry
            heappop(queue)
        return None

    def _spread(self, bearer: str, level: int) -> Entry | None:
        """A record that is on the wire elsewhere and should be on this bearer too."""
        number = next(iter(self._unspread.get((level, bearer), ())), None)
        return None if number is None else self.entries[number]

    def _note_spread(self, entry: Entry) -> None:
        """Note on which bearers a record has still to go: on every one, or into a bag."""
        for bearer, channel in self.channels.items():
            if entry.everywhere or channel.by_hand:
                unspread = self._unspread.setdefault((entry.rank, bearer), {})
                if entry.on(bearer):
                    unspread.pop(entry.serial.number, None)
                else:
                    unspread[entry.serial.number] = None

    def sent(self, entry: Entry, channel: Channel, now_ms: int) -> None:
        """The entry has been given to a bearer, or its first piece; its timer there starts."""
        number = entry.serial.number
        flight = entry.flights.get(channel.name)
        if flight is None:
            flight = entry.flights[channel.name] = Flight(number, entry.size, entry.rank)
            if entry.text:
                self.steps.append((entry.serial, channel.name))
        channel.depart(flight, now_ms)
        entry.forgotten = False
        if self._unanswered_ms is None:
            self._unanswered_ms = now_ms
        entry.state = OUTBOUND.next(entry.state, Event.SEND)
        self._sent.add(number)
        self._note_spread(entry)
        self.wait(entry, channel, now_ms)

    def wait(self, entry: Entry, channel: Channel, now_ms: int) -> None:
        """Start the timer of a flight, or start it anew: another piece of it was given to the
        bearer."""
        flight = entry.on(channel.name)
        if flight is None or channel.up is None:
            return
        flight.sent_ms = now_ms
        once_ms = channel.timeout_ms(entry.rank)
        wait_ms = once_ms << min(max(flight.tries - 1, channel.backoff), _DOUBLINGS_MAX)
        most_ms = max(once_ms, channel.up.retry_ms_max, self.patience_ms(now_ms))
        self._set(flight, channel, now_ms + min(wait_ms, most_ms))

    def _set(self, flight: Flight, channel: Channel, due_ms: int) -> None:
        flight.due_ms = due_ms
        heappush(self._timers, (due_ms, flight.number, channel.name))

    # -- timers -------------------------------------------------------------------------------

    def expire(self, now_ms: int) -> int:
        """Lose what has waited too long on a bearer; the count of records."""
        count = 0
        while self._timers and self._timers[0][0] <= now_ms:
            timer = heappop(self._timers)
            flight = self._timed(timer)
            if flight is not None:
                channel = self.channels[timer[2]]
                channel.backoff = max(channel.backoff, flight.tries)
                channel.lose(flight, now_ms)
                if not flight.held:
                    self._lose(self.entries[flight.number])
                    count += 1
        if count:
            self.unanswered += 1
            self._silent = True
        for channel in self.channels.values():
            at_ms = channel.stuck_ms()
            channel.stuck = channel.stuck or (at_ms is not None and at_ms <= now_ms)
        return count

    def _timed(self, timer: tuple[int, int, str]) -> Flight | None:
        """The flight that a timer is of, unless it has landed or waits anew."""
        due_ms, number, bearer = timer
        channel = self.channels.get(bearer)
        flight = channel.flights.get(number) if channel else None
        return flight if flight is not None and flight.due_ms == due_ms else None

    def deadline(self) -> int | None:
        """When the next timer runs out, or a bearer will be held for stuck while something waits;
        monotonic milliseconds."""
        while self._timers and self._timed(self._timers[0]) is None:
            heappop(self._timers)
        waits = [self._timers[0][0]] if self._timers else []
        if len(self.channels) > 1 and any(self._queues.values()):
            stuck = (channel.stuck_ms() for channel in self.channels.values())
            waits += [at_ms for at_ms in stuck if at_ms is not None]
        return min(waits, default=None)

    def patience_ms(self, now_ms: int) -> int:
        """How long to wait between tries when what we send has long gone unanswered.

        An eighth of that time, at most a quarter of an hour: a peer that is away for weeks must
        not find ten thousand repeats in its mailbox.
        """
        since_ms = now_ms if self._unanswered_ms is None else self._unanswered_ms
        return min((now_ms - since_ms) // 8, _PATIENCE_MS_MAX)

    def revive(self, now_ms: int) -> None:
        """The other side is heard; after a silence, long timers are not waited for.

        Who is heard again and again and answers nothing is not hurried after: that would never
        slow down.
        """
        if not self._silent or now_ms - self._revived_ms < self.patience_ms(now_ms):
            return
        self._silent, self._revived_ms = False, now_ms
        for number in sorted(self._sent):
            entry = self.entries[number]
            if not entry.repeated:
                continue
            for bearer in entry.bearers():
                channel, flight = self.channels[bearer], entry.flights[bearer]
                flight.tries = 1
                if now_ms - flight.sent_ms >= channel.round_trip_ms():
                    flight.tries = 0
                    channel.drop(flight)
                    self._lose(entry)
                else:
                    once_ms = flight.sent_ms + channel.timeout_ms(entry.rank)
                    self._set(flight, channel, min(flight.due_ms, once_ms))

    # -- what became of them ------------------------------------------------------------------

    def _recall(self, entry: Entry) -> None:
        """Nothing is expected any more of the bearers it is on."""
        for bearer in entry.bearers():
            self.channels[bearer].drop(entry.flights[bearer])

    def _lose(self, entry: Entry, *, repeated: bool = True) -> None:
        """A flight of the entry has ended in vain: it is due again, everywhere if it is `repeated`
        and no chunk."""
        entry.repeated = entry.repeated or repeated
        if entry.bearers():
            self._note_spread(entry)
        elif entry.state is Outbound.SENT:
            self._unsend(entry)
            entry.state = OUTBOUND.next(entry.state, Event.LOSE)
            self._queue(entry)

    def _unsend(self, entry: Entry) -> None:
        """The entry is not under way any more."""
        self._sent.discard(entry.serial.number)
        for bearer in self.channels:
            self._unspread.get((entry.rank, bearer), {}).pop(entry.serial.number, None)

    def acknowledge(self, ack: Ack, end: int, now_ms: int) -> list[int]:
        """Take what the other machine holds, clipped to `end`; the numbers newly known to be held.

        Entries up to the contiguous number leave the outbox; held ones beyond stay, in case the
        other side loses them (R23).
        """
        news: list[int] = []
        contiguous = min(ack.contiguous, end)
        highest, named = contiguous, set[int]()
        for first, last in ack.held:
            if first <= end:
                highest = min(last, end)
                named.update(self._unnamed(first, highest))
                self._held.add(first, highest)
        for number in sorted(self._sent | named):
            entry = self.entries[number]
            if number <= contiguous or number in self._held:
                self._settle(entry, news, now_ms)
            elif number < highest:
                self._call_again(entry, now_ms)
        for number in list(takewhile(lambda n: n <= contiguous, self.entries)):
            left = self.entries.pop(number)
            self._bulk.discard(number)
            self.refused.pop(number, None)
            if left.state is not Outbound.HELD:
                self._settle(left, news, now_ms)
        self._held.take_following(contiguous)
        if (heard := self.channels.get(self.hearing or "")) is not None:
            heard.answer(now_ms)
        if news:
            self._answered()
        return news

    def _unnamed(self, first: int, last: int) -> Iterator[int]:
        """Those of these numbers that are on their way and that no ACK has named before: some may
        wait to be sent again."""
        first = max(first, next(iter(self.entries), last + 1))
        for low, high in [*self._held, (last + 1, last)]:
            for number in range(first, min(low, last + 1)):
                if self.entries[number].state is not Outbound.HELD:
                    yield number
            first = max(first, high + 1)

    def _answered(self) -> None:
        """The other side has read something in the run that we use: the run lives (R11)."""
        self.unanswered, self._unanswered_ms = 0, None

    def _settle(self, entry: Entry, news: list[int], now_ms: int) -> None:
        bearers = entry.bearers()
        for bearer in bearers:
            alone = len(bearers) == 1 and bearer != self.hearing
            self.channels[bearer].hold(entry.flights[bearer], now_ms, alone=alone)
        self._unsend(entry)
        entry.state = OUTBOUND.next(entry.state, Event.ACK)
        if entry.forgotten:
            return
        news.append(entry.serial.number)
        if entry.text:
            self.steps.append((entry.serial, ""))

    def _call_again(self, entry: Entry, now_ms: int) -> None:
        """An ACK calls for a record: longer after it was sent each time, so that false ACKs cannot
        drive us (R27)."""
        for bearer in entry.bearers():
            channel, flight = self.channels[bearer], entry.flights[bearer]
            wait_ms = max(channel.round_trip_ms(), _ROUND_TRIP_MS_MIN)
            wait_ms += channel.queue_ms(entry.rank)
            if now_ms - flight.sent_ms >= wait_ms << min(flight.tries - 1, 10):
                channel.lose(flight, now_ms)
                self._lose(entry)

    def refuse(self, serial: Serial, code: int) -> bool:
        """The other side did not take a record, for good or for now (R29); whether it was on its
        way."""
        entry = self.entries.get(serial.number)
        if entry is None or entry.serial != serial:
            return False
        if entry.state in (Outbound.HELD, Outbound.REFUSED):
            return False
        self.refused[serial.number] = code
        self._answered()
        if code not in _TEMPORARY and entry.rank != BEGIN:
            self._recall(entry)
            self._unsend(entry)
            entry.state = OUTBOUND.next(entry.state, Event.REFUSE)
        return True

    def forget(self) -> None:
        """The other side lost what it held beyond the acknowledged number: queue it again."""
        self._held = RangeSet()
        for entry in self.entries.values():
            if entry.state is Outbound.HELD:
                # Some bearer may have waited still for an answer of its own.
                self._recall(entry)
                entry.forgotten = True
                entry.state = OUTBOUND.next(entry.state, Event.FORGET)
                self._queue(entry)

    def piece(self, payload: bytes, now_ms: int) -> bytes | None:
        """A PIECE of a record of theirs; the record when it is whole. Raises RemoteError."""
        whole = self._assembly.take(Piece.decode(payload), now_ms)
        self.pieced = self.pieced or whole is None
        return whole

    # -- views --------------------------------------------------------------------------------

    def waiting(self) -> int:
        """How many records are on their way."""
        return len(self.entries)

    def bulk_room(self) -> int:
        """How many chunks of files may be released now: as many as keep the bearers busy, and no
        more, that what is written later does not stand in the chain behind a whole file."""
        wanted = sum(channel.bulk_records() for channel in self.channels.values())
        by_hand = any(channel.by_hand for channel in self.channels.values())
        most = wanted if by_hand else min(2 * wanted, limits.CHUNKS_WAITING_MAX)
        return max(most, _BULK_MIN) - len(self._bulk)

    def beyond(self) -> list[Range]:
        """What of ours the other machine holds beyond the acknowledged number."""
        return list(self._held)

    def next_size(self) -> int | None:
        """Bytes of the next record below FLASH that waits; None if none does."""
        firsts = (self._first(queue) for level, queue in self._queues.items() if level < FLASH)
        return next((entry.size for entry in firsts if entry is not None), None)

    def underway(self) -> dict[int, list[str]]:
        """The numbers on the wire, each with the bearers it is on."""
        return {number: self.entries[number].bearers() for number in sorted(self._sent)}
