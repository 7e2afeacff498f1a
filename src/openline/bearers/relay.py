"""The relay bearer: datagrams of one line through an untrusted store-and-forward relay (§11).

Theory of operation: three things run side by side. *Lanes* take: one per mailbox taken, each a
WebSocket stream of its own (a long poll where a proxy does not let WebSockets through); what
arrived goes to the port, and only when the port says it is durable do its ids go back, at which the
relay lets go. The *depositor* asks the port for datagrams and posts them, a few at a time. The
*health* task finds out whether the relay can be reached and tells the port up or down; lanes and
depositor raise its doubt when something fails. A datagram that was not accepted is dropped: the
line above sends it again, here or elsewhere, because the port was told.

All this is one *passage*, which lives while the relay can be reached. When a wire swallows what is
sent, or nobody is there, the passage is given up with all its connections, and the relay's address
is knocked at (reach.py) until somebody opens: then a new passage begins. What waits for a reader
who was away is so fetched, and what waits here is sent, within a knock and some round trips.

Every mailbox has connections of its own, so that no byte of the protocol links two mailboxes
(addresses and timing still do). Redirects are not followed, proxies are not taken from the
environment, what the relay sends is bounded before it is kept. The relay may be the attacker: it
can lose, repeat and delay, and nothing else.

What must not live here: what a datagram means; when to send again; logs of names, secrets or tokens
(nothing is logged here at all).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Protocol

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from openline.errors import BearerError, StoreError

from .admission import Admission, Tokens
from .base import BearerProfile, Mailbox, Outgoing, Port
from .mailbox import (
    REQUEST_S,
    REQUESTS_MAX,
    Box,
    Entry,
    NoStreamError,
    NotOpenError,
    Relay,
    entries_of,
    packed_ids,
)
from .reach import ROUND_TRIPS, Door, Reach, reset_at_close, swallowed

PROFILE = BearerProfile(
    name="relay",
    latency_ms=200,
    mtu_bytes=4096,
    retry_ms_min=1500,
    retry_ms_max=60_000,
    cost=20,
)
"""A relay somewhere on the internet; dearer than a direct connection. Nothing is repeated before a
wire that swallowed it would be noticed."""

BACKOFF_S_MIN = 0.25
BACKOFF_S_MAX = 5.0
"""Seconds before trying again: the first wait, doubled up to the last."""

REVIEW_S = 1.0
"""Seconds between looks at which mailboxes are to be taken."""

SILENT_S = 0.7
"""Seconds after the first repeat of something unanswered at which its connection is given up:
together about one second; longer where the round trip asks for it."""

WITHOUT_TLS = {"bearer.tls", "bearer.no_tls"}
"""What somebody answers with whom there is no TLS: that takes no time at all."""

GONE = {"bearer.stalled", "bearer.unreachable"} | WITHOUT_TLS
"""What ends a passage: the next one reads anew which authority is trusted."""

WAITING_ENTRIES_MAX = 256
"""Entries of one lane read from the wire and not yet handed to the port."""


class Mailboxes(Protocol):
    """The mailboxes of a line as they are now."""

    @property
    def take(self) -> Sequence[Mailbox]:
        """Those we receive in."""

    @property
    def deposit(self) -> Mailbox:
        """The one we write to."""

    @property
    def recovery(self) -> Mailbox:
        """The one that needs no agreement (epoch 0 of the other side)."""


class RelayBearer:
    """The bearer of one line over one relay. `mailboxes` is asked again at least each second."""

    def __init__(
        self,
        relay: Relay,
        mailboxes: Callable[[], Mailboxes],
        tokens: Tokens,
        profile: BearerProfile = PROFILE,
    ) -> None:
        relay.check()
        self.profile = profile
        self._relay = relay
        self._mailboxes = mailboxes
        self._tokens = tokens

    async def run(self, port: Port) -> None:
        """Carry datagrams until cancelled. LocalError if the CA file cannot be read."""
        loop = asyncio.get_running_loop()
        door, silent_s, backoff_s = Door(port), SILENT_S, BACKOFF_S_MIN
        reach = Reach(*self._relay.first_hop, self.profile)
        passage: _Passage | None = None
        try:
            while True:
                lost_s = loop.time()
                with closing(await reach.connected(door.down)) as probe:
                    reset_at_close(probe)
                if passage is not None:
                    await passage.close()
                # A wire that lets us in at once is slow, not dead.
                slow = (
                    passage is not None
                    and passage.lost_by not in WITHOUT_TLS
                    and loop.time() - lost_s < SILENT_S
                )
                silent_s = min(2 * silent_s, REQUEST_S) if slow else SILENT_S
                silent_s = max(silent_s, ROUND_TRIPS * reach.rtt_s)
                passage = _Passage(self._relay, self._mailboxes, self._tokens, door, silent_s)
                began_s = loop.time()
                await passage.carry()
                if loop.time() - began_s > BACKOFF_S_MAX:
                    backoff_s = BACKOFF_S_MIN
                else:
                    await asyncio.sleep(backoff_s)
                    backoff_s = min(2 * backoff_s, BACKOFF_S_MAX)
        finally:
            if passage is not None:
                await passage.close()


class _Passage:
    """The bearer while the relay can be reached: its boxes, its lanes, and whether they work."""

    def __init__(
        self,
        relay: Relay,
        mailboxes: Callable[[], Mailboxes],
        tokens: Tokens,
        door: Door,
        silent_s: float,
    ) -> None:
        self._relay = relay
        self._tls = relay.tls()
        self._mailboxes = mailboxes
        self._admission = Admission(tokens)
        self._door = door
        self._port = door.port
        self._silent_s = silent_s
        self.lost_by = ""
        """The last code that was told."""
        self._up = False
        self._gone = asyncio.Event()
        self._doubt = asyncio.Event()
        self._backoff_s = BACKOFF_S_MIN
        self._opening = asyncio.Lock()
        self._handing_in = asyncio.Lock()
        self._outboxes: dict[Mailbox, Box] = {}
        self._users: Counter[Mailbox] = Counter()

    async def carry(self) -> None:
        """Carry until the relay cannot be reached any more; the port is told."""
        parts = [
            asyncio.create_task(self.watch_health()),
            asyncio.create_task(self.deposit_all()),
            asyncio.create_task(self.keep_lanes()),
        ]
        gone = asyncio.create_task(self._gone.wait())
        try:
            await asyncio.wait([gone, *parts], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in (gone, *parts):
                each.cancel()
            await asyncio.gather(gone, *parts, return_exceptions=True)
        for part in parts:
            # A part ends by a mistake of ours alone.
            if not part.cancelled():
                part.result()

    async def close(self) -> None:
        """Close what depositing had opened: not before the wire is back, for each would say
        good-bye.
        """
        for box in self._outboxes.values():
            await box.close()

    # Health

    async def watch_health(self) -> None:
        """Keep the port told whether datagrams can go; runs until cancelled."""
        while True:
            try:
                with self._outbox(self._mailboxes().deposit) as box:
                    await self._open(box)
            except BearerError as failure:
                self._lose(failure.code)
                await self._pause()
                continue
            self._up = True
            self._door.up()
            await self._doubt.wait()
            self._doubt.clear()
            if not self._up:
                await self._pause()

    def _lose(self, code: str) -> None:
        self._up = False
        self.lost_by = code
        self._door.down(code)
        self._doubt.set()
        if code in GONE:
            self._gone.set()

    async def _pause(self) -> None:
        self._doubt.clear()
        wait_s, self._backoff_s = self._backoff_s, min(2 * self._backoff_s, BACKOFF_S_MAX)
        await asyncio.sleep(wait_s)

    async def _open(self, box: Box) -> None:
        # One at a time, so that two parts do not spend two tokens on one mailbox.
        async with self._opening:
            await box.open(self._admission)

    # Depositing

    async def deposit_all(self) -> None:
        """Post what the port gives, up to REQUESTS_MAX at a time; runs until cancelled."""
        places = asyncio.Semaphore(REQUESTS_MAX)
        async with asyncio.TaskGroup() as posts:
            while True:
                for item in await self._port.outgoing():
                    await places.acquire()
                    posts.create_task(self._deposit(item, places))

    async def _deposit(self, item: Outgoing, places: asyncio.Semaphore) -> None:
        try:
            if not self._up:
                # Its batch has failed already; what is needed will be asked for again.
                return
            mailboxes = self._mailboxes()
            with self._outbox(mailboxes.recovery if item.recovery else mailboxes.deposit) as box:
                try:
                    await box.deposit(item.data)
                except NotOpenError:
                    await self._open(box)
                    await box.deposit(item.data)
            self._backoff_s = BACKOFF_S_MIN
        except BearerError as failure:
            self._lose(failure.code)
        except NotOpenError:
            # It says that the mailbox is open, and that it is not.
            self._lose("bearer.relay_fault")
        finally:
            places.release()

    @contextmanager
    def _outbox(self, mailbox: Mailbox) -> Iterator[Box]:
        """The box of a mailbox written to, which is not closed while it is used."""
        if mailbox not in self._outboxes:
            self._outboxes[mailbox] = self._box(mailbox, take=False)
        self._users[mailbox] += 1
        try:
            yield self._outboxes[mailbox]
        finally:
            self._users[mailbox] -= 1

    def _box(self, mailbox: Mailbox, *, take: bool) -> Box:
        return Box(self._relay, self._tls, mailbox, take=take, silent_s=self._silent_s)

    async def _close_unused(self) -> None:
        """Close the boxes of epochs that are over."""
        mailboxes = self._mailboxes()
        for mailbox in set(self._outboxes) - {mailboxes.deposit, mailboxes.recovery}:
            if not self._users[mailbox]:
                del self._users[mailbox]
                await self._outboxes.pop(mailbox).close()

    # Taking

    async def keep_lanes(self) -> None:
        """Keep one lane per mailbox to be taken, and no outbox out of use; runs until cancelled."""
        lanes: dict[Mailbox, asyncio.Task[None]] = {}
        async with asyncio.TaskGroup() as group:
            while True:
                mailboxes = self._mailboxes()
                for mailbox in set(lanes) - set(mailboxes.take):
                    lanes.pop(mailbox).cancel()
                for mailbox in mailboxes.take:
                    if mailbox not in lanes:
                        lanes[mailbox] = group.create_task(self._lane(mailbox))
                await asyncio.sleep(REVIEW_S)
                await self._close_unused()

    async def _lane(self, mailbox: Mailbox) -> None:
        """Take from one mailbox; runs until cancelled."""
        box = self._box(mailbox, take=True)
        streams = self._relay.streams
        backoff_s = BACKOFF_S_MIN
        try:
            while True:
                try:
                    await (self._follow(box, mailbox) if streams else self._poll(box))
                    backoff_s = BACKOFF_S_MIN
                    continue
                except NoStreamError:
                    streams = False
                    continue
                except NotOpenError:
                    if await self._opened(box):
                        continue
                except BearerError as failure:
                    if failure.code == "bearer.stalled":
                        self._lose(failure.code)
                    streams = self._relay.streams
                self._doubt.set()
                await asyncio.sleep(backoff_s)
                backoff_s = min(2 * backoff_s, BACKOFF_S_MAX)
        finally:
            await box.close()

    async def _opened(self, box: Box) -> bool:
        """Whether the mailbox of a lane could be opened."""
        with suppress(BearerError):
            await self._open(box)
            return True
        return False

    async def _poll(self, box: Box) -> None:
        """Take once by a long poll."""
        loop = asyncio.get_running_loop()
        asked_s = loop.time()
        entries = await box.poll()
        if entries:
            await self._hand_in(entries, box)
        elif loop.time() < asked_s + BACKOFF_S_MIN:
            # A relay that does not wait shall not make us run in a circle.
            await asyncio.sleep(BACKOFF_S_MIN)

    async def _follow(self, box: Box, mailbox: Mailbox) -> None:
        """Take over a stream until it ends."""
        # One of all lanes has the pulse: they share the wire.
        socket = await box.stream(pulse=mailbox == self._mailboxes().take[-1])
        waiting: asyncio.Queue[Entry | None] = asyncio.Queue(WAITING_ENTRIES_MAX)
        reader = asyncio.create_task(_read(socket, waiting))
        ended = False
        try:
            while not ended:
                batch = [await waiting.get()]
                while not waiting.empty():
                    batch.append(waiting.get_nowait())
                ended = batch[-1] is None
                await self._hand_in([entry for entry in batch if entry is not None], socket)
            await reader
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
            if self._gone.is_set():
                socket.transport.abort()
            await socket.close()
        self._doubt.set()
        await asyncio.sleep(BACKOFF_S_MIN)

    async def _hand_in(self, entries: Sequence[Entry], whence: Box | ClientConnection) -> None:
        """Give entries to the port and, when they are durable there, let the relay delete them."""
        if not entries:
            return
        async with self._handing_in:
            try:
                await self._port.received([entry.data for entry in entries])
            except StoreError as error:
                # What our own disk does not take stays at the relay, and is taken again.
                raise BearerError(error.code, retry=True) from None
        ids = [entry.id for entry in entries]
        if isinstance(whence, Box):
            await whence.acknowledge(ids)
        else:
            with suppress(ConnectionClosed):
                await whence.send(packed_ids(ids))


async def _read(socket: ClientConnection, waiting: asyncio.Queue[Entry | None]) -> None:
    """Queue the entries a stream brings, then None at its end, which a malformed message is too;
    BearerError "bearer.stalled" if the wire swallowed what was said.
    """
    stalled = False
    try:
        async for message in socket:
            if isinstance(message, str):
                break
            for entry in entries_of(message):
                await waiting.put(entry)
    except ConnectionClosed as end:
        stalled = swallowed(end)
    except BearerError:
        stalled = False
    await waiting.put(None)
    if stalled:
        raise BearerError("bearer.stalled", retry=True)
