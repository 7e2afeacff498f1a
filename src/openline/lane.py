"""A lane: one line of the post with its sealing and its ledger, made from what the store holds.

Theory of operation: the line says frames, the seal makes datagrams of them; what sealing wants said
(RUN, REOPEN), what rekeying asks (OFFER, ANSWER) and what receipts mark passes between the two
here. The lane never commits: it gathers its changes into the batch of the step, and after a failed
commit a new lane is made from the store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import sha256

from . import journey
from .attachments.exchange import Attachments
from .bearers.base import Mailbox, Outgoing
from .comparison import Comparer
from .core import limits, receipts
from .core.envelope import Frame, FrameType, Record, decode_record, encode_frames, malformed
from .core.events import Now, Reference, Serial
from .core.inbound import Taken
from .core.line import Line
from .core.precedence import Precedence
from .core.transcript import OURS, THEIRS
from .delivery.dispatch import Dispatch
from .delivery.outbox import Outbox
from .errors import LocalError, RemoteError, SealError
from .healing.exchange import Healing
from .inputs import Receive, Release
from .ledger import LineLedger
from .quota import Quota, room
from .rekeying import Rekeying
from .sealing.keys import Card, Entropy, Identity, Kit, label
from .sealing.seal import Seal, Unreadable
from .status import KIND_NAMES, Channel, Mailboxes, PostEvent
from .store.base import Batch, Store

_RENEW_AFTER = 3
_RENEW_MS = 30_000
_SHOW_MS_MAX = 900_000
_REOPEN_MS = 5_000
_REOPEN_MS_MAX = 300_000
_ASIDE = ("abandoned", "fork")


class Lane:
    """One paired line."""

    def __init__(
        self,
        store: Store,
        number: int,
        saved: Mapping[str, bytes],
        identity: Identity,
        entropy: Entropy,
        now: Now,
    ) -> None:
        """`saved` is the named state of the line, on disk or about to be."""
        self.store = store
        self.number = number
        self.label = saved["label"].decode()
        kit = saved["kit"]
        if "identity" in saved:
            identity = Identity.decode(saved["identity"])
        self.kit = Kit(kit[1:], identity, Card.decode(saved["card"]), kit[0] == 1)
        self.ledger = LineLedger(store, number)
        self.seal = Seal(self.kit, saved, entropy, now)
        own = self.kit.direction
        self.outbox = Outbox()
        self.quota = Quota(self.ledger.used)
        genesis = (self.kit.genesis(own), self.kit.genesis(3 - own))
        self._entropy = entropy
        self.line = Line(
            self.ledger, self.outbox, genesis, self._unspent, self.quota.admit, saved.get("line")
        )
        self.healing = Healing(
            self.line,
            self.ledger,
            self._say,
            self.outbox.waiting,
            lambda: self.seal.state.alarm,
            saved,
        )
        self.attachments = Attachments(
            self.line, self.ledger, self._say, self.outbox.bulk_room, (store, number), saved
        )
        self.dispatch = Dispatch(self.line, self.outbox)
        self.journey = journey.Journey(number, saved.get(journey.STATE))
        self.heard_s: int | None = None
        self._renewed_ms = now.mono_ms - _RENEW_MS
        self._reopened: tuple[int, int] | None = None
        """When REOPEN was last said, and how long to wait before saying it again (R10)."""
        self._obeyed_ms = now.mono_ms - _REOPEN_MS
        """When REOPEN was last obeyed (R11)."""
        self._rekeying = Rekeying(self.line, self.seal, now)
        self._shown: tuple[int, int] = (0, _RENEW_MS)
        """When a run that was read and not confirmed was shown again, and how long to wait then."""
        self.comparer = Comparer(self.ledger, self.kit.line_id, first=self.kit.first)
        self.peer_version = int(saved.get("peer_version", b"0")) or None
        self.disputed = int(saved.get("disputed", b"0"))
        """How often we were told that the other side holds another text of ours (R24)."""
        self.former: tuple[int, ...] = ()
        """Lines before this one, whose records may be named here (§9)."""
        self.passing: list[Record] = []
        """BEGIN, CLOSE and SUCCEED records that came, for the layer above (§9)."""

    def _unspent(self, count: int) -> bytes:
        """Entropy for incarnations: none of those that records we had lost were given in."""
        drawn = self._entropy(count)
        while drawn.hex() in self.healing.taker.spent:
            drawn = self._entropy(count)
        return drawn

    # -- the step -----------------------------------------------------------------------------

    def begin(self, batch: Batch, now: Now) -> None:
        """A step begins."""
        self.ledger.begin(batch, now.wall_s)

    def finish(self, batch: Batch, now: Now) -> None:
        """Let time pass and put what changed into the batch."""
        self.line.tick(now)
        self.outbox.expire(now.mono_ms)
        silent = self.outbox.unanswered >= _RENEW_AFTER
        pace_ms = max(_RENEW_MS, self.outbox.patience_ms(now.mono_ms))
        if silent and now.mono_ms - self._renewed_ms >= pace_ms:
            self._renewed_ms = now.mono_ms
            self.seal.renew(now)
        question = self.comparer.again(now)
        if question is not None:
            self.line.answer(question)
        self._rekeying.work(now)
        self._show_run(now)
        for record in self.healing.work(now):
            if record.kind in receipts.ATTACHED:
                self.attachments.take(record)
                continue
            with suppress(RemoteError):  # what it names may be lost here still
                self._mark(record, OURS)
        self.attachments.work(now)
        for part in (self.healing, self.attachments):
            for name, value in part.changes(now).items():
                batch.state[self.number, name] = value
        if self.line.dirty:
            batch.state[self.number, "line"] = self.line.save()
        for top in (values["top"] for name, values in self.seal.events if name == "run.opened"):
            if top != self.peer_version:
                self.peer_version = int(str(top))
                batch.state[self.number, "peer_version"] = str(top).encode()
        self.save_seal(batch, now)

    def _show_due_ms(self) -> int | None:
        """When to show a run again that awaits its RUN with nothing more to say in it: a RUN that
        was lost comes only when the opening comes again (R7)."""
        if self.seal.confirmed is not None or not self.seal.candidates or self.outbox.waiting():
            return None
        carried_ms = self.seal.candidates[-1].carried_ms
        return None if carried_ms is None else max(carried_ms, self._shown[0]) + self._shown[1]

    def _show_run(self, now: Now) -> None:
        due_ms = self._show_due_ms()
        if due_ms is None:
            self._shown = (0, _RENEW_MS)
        elif now.mono_ms >= due_ms:
            self._shown = (now.mono_ms, min(2 * self._shown[1], _SHOW_MS_MAX))
            self.line.owes_ack = True

    def _reopen(self, run_id: bytes, now: Now) -> None:
        """Answer what we cannot read with REOPEN, at a pace that replays cannot drive."""
        last_ms, wait_ms = self._reopened or (0, 0)
        if self._reopened is None or now.mono_ms - last_ms >= max(wait_ms, _REOPEN_MS):
            self._reopened = (now.mono_ms, min(max(2 * wait_ms, _REOPEN_MS), _REOPEN_MS_MAX))
            self.seal.show(now)
            self.line.answer(Frame(FrameType.REOPEN, run_id))

    def save_seal(self, batch: Batch, now: Now) -> None:
        """Put what sealing changed into a batch."""
        for name, value in self.seal.changes(now).items():
            batch.state[self.number, name] = value

    def deadline(self) -> int | None:
        """When something is due next, monotonic milliseconds; None if nothing waits."""
        slow = (self.comparer, self.healing, self.attachments, self._rekeying)
        waits = [part.deadline() for part in (self.line, self.outbox, *slow)]
        waits.append(self._show_due_ms())
        return min((at for at in waits if at is not None), default=None)

    def events(self) -> list[PostEvent]:
        """What happened since the last call."""
        told = [*self.line.events, *self.seal.events]
        self.line.events.clear()
        self.seal.events.clear()
        return [PostEvent(name, self.number, values) for name, values in told]

    # -- arriving -----------------------------------------------------------------------------

    def arrived(self, bearer: str, datagrams: Sequence[bytes], now: Now) -> None:
        """Take datagrams that a bearer handed in."""
        for datagram in datagrams:
            running = self.seal.confirmed or self.seal.candidates
            try:
                opened = self.seal.open(datagram, now)
            except Unreadable as unreadable:
                self._reopen(unreadable.run_id, now)
                continue
            except SealError as error:
                self.line.fault(RemoteError(error.code))
                continue
            if opened is None:
                continue
            if running and not (self.seal.confirmed or self.seal.candidates):
                # The alarm gave up our runs: what is on the wire was sealed to keys that are lost.
                self.dispatch.requeue()
            if self._reopened is not None:
                self._reopened = (self._reopened[0], 0)
            self.heard_s = now.wall_s
            if opened.confirm is not None:
                self.line.answer(Frame(FrameType.RUN, opened.confirm))
            self.dispatch.hearing(bearer, len(datagram))
            news = self.line.hear(opened.inner, now)
            for taken in news:
                try:
                    self._take(taken, now)
                except RemoteError as error:
                    self.line.fault(error)
            if self.line.impersonated and not self.seal.state.alarm:
                self.seal.raise_alarm()
            self.line.impersonated = False
            for frame in self.line.asides:
                try:
                    self._aside(frame, now)
                except RemoteError as error:
                    self.line.fault(error)
            self.line.asides.clear()
            flash = any(taken.record.precedence == Precedence.FLASH for taken in news)
            self.dispatch.heard(bearer, now, news=bool(news), flash=flash)
        self.journey.note(self.outbox.steps, now.wall_s)

    def _aside(self, frame: Frame, now: Now) -> None:
        """A frame that concerns sealing or comparing. Raises RemoteError."""
        if frame.type in (FrameType.RUN, FrameType.REOPEN):
            if len(frame.payload) != 4:
                raise malformed("run")
            if frame.type == FrameType.RUN:
                self.seal.confirm(frame.payload)
            elif now.mono_ms - self._obeyed_ms >= _REOPEN_MS and self.seal.reopen(
                frame.payload, now
            ):
                self._obeyed_ms = now.mono_ms
                self.dispatch.requeue()
            return
        for answer in self.comparer.take(frame, now):
            self.line.answer(answer)
        latest = self.comparer.latest
        self.line.tell("compared", told=self.comparer.told, agree=latest.agree if latest else None)

    def compare(self, now: Now) -> None:
        """Ask the other side whether the records agree up to what both are known to hold. Raises
        LocalError."""
        frame = self.comparer.ask(*self.held(), now)
        if frame is None:
            raise LocalError("compare.nothing")
        self.line.answer(frame)

    def held(self) -> tuple[Serial, Serial]:
        """Up to where both sides are known to hold everything: (ours, theirs)."""
        line, peer = self.line, self.line.reception
        return line.branch.serial(line.acked), peer.branch.serial(peer.contiguous)

    def resume(self, before: Lane) -> None:
        """Take over from the lane this one replaces in the same process, after a failed commit."""
        self.line.resume(before.line)
        # Runs live in memory and go on; one that has sent nothing may announce a key not on disk.
        self.seal.confirmed = before.seal.confirmed
        self.seal.candidates = [run for run in before.seal.candidates if run.index]
        self.outbox.adopt(before.outbox.channels)
        self.comparer.latest = before.comparer.latest
        self.healing.resume(before.healing)
        self.journey.resume(before.journey)
        self.attachments.resume(before.attachments)
        self.heard_s = before.heard_s
        self.quota.quota_bytes = before.quota.quota_bytes
        self.quota.reserve_bytes = before.quota.reserve_bytes

    def _take(self, taken: Taken, now: Now) -> None:
        """What a new record means beyond the chain. Raises RemoteError."""
        record, place, _ = taken
        if place == "fork":
            self._tell_fork(taken, now)
        if place in _ASIDE:
            return
        if record.kind in receipts.RECEIPTS:
            self._mark(record, OURS)
        elif record.kind == receipts.FORK:
            self._dispute(record)
        elif record.kind in (receipts.BEGIN, receipts.CLOSE, receipts.SUCCEED):
            self.passing.append(record)
        elif record.kind in receipts.ATTACHED:
            self.attachments.take(record)
        elif place == "rejoined":
            return
        elif record.kind in (receipts.HEAL, receipts.COPY):
            self.healing.take(record, now)
        elif record.kind in (receipts.OFFER, receipts.ANSWER):
            self._rekeying.take(record, now)

    def _tell_fork(self, taken: Taken, now: Now) -> None:
        """R24: tell the author, once for each differing text, what we hold."""
        serial = taken.record.serial
        held = self.ledger.get(THEIRS, serial) or b""
        body = sha256(held).digest() + sha256(taken.data).digest()
        self.line.tell("fork", number=serial.number)
        reference = Reference(False, serial)
        self.line.release(Line.service(receipts.FORK, body, now, [reference]), now)

    def _mark(self, record: Record, side: int) -> None:
        """R19: note what people did with the one text that a receipt names. Raises RemoteError."""
        line, serial, held = self._named(record, side)
        if decode_record(held).kind != receipts.TEXT:
            raise RemoteError("receipt.reference")
        self.ledger.mark(side, serial, record.kind, record.serial, record.due_s, line)
        name = KIND_NAMES[record.kind]
        self.line.tell("receipt", number=serial.number, kind=name, side=side)

    def _dispute(self, record: Record) -> None:
        """R24: note that the other side holds something else under a serial of ours. Raises
        RemoteError."""
        line, serial, _ = self._named(record, OURS)
        self.ledger.mark(OURS, serial, record.kind, record.serial, None, line)
        self.disputed += 1
        self.ledger.batch.state[self.number, "disputed"] = str(self.disputed).encode()
        self.line.tell("fork", number=serial.number)

    def _named(self, record: Record, side: int) -> tuple[int, Serial, bytes]:
        """The one record of a side that another names: its line, serial and bytes. Raises
        RemoteError."""
        if len(record.references) != 1 or record.references[0].ours:
            raise RemoteError("receipt.reference")
        serial = record.references[0].serial
        line, held = self._find(side, serial)
        if held is None:
            raise RemoteError("receipt.unknown", number=serial.number)
        return line, serial, held

    def _find(self, side: int, serial: Serial) -> tuple[int, bytes | None]:
        """The line a serial stands on, this one or one before it, and its bytes if it is held."""
        data = self.ledger.get(side, serial)
        for line in self.former if data is None else ():
            row = self.store.row(line, side, serial.number, serial.incarnation)
            if row is not None:
                return line, row.record
        return self.number, data

    # -- our people ---------------------------------------------------------------------------

    def release(self, act: Release, now: Now) -> Serial:
        """Release a text. Raises LocalError."""
        if not act.body.strip():
            raise LocalError("message.empty")
        _utf8(act.subject)
        record = Record(
            0,
            0,
            act.precedence,
            receipts.TEXT,
            act.language,
            now.wall_s,
            now.wall_s if act.dtg_s is None else act.dtg_s,
            act.due_s,
            tuple(act.references),
            act.subject,
            _utf8(act.body),
        )
        more = sum(room(len(each.name) + each.size, each.records) for each in act.files)
        serial = self._say(record, now, more)
        self.attachments.attach(serial, act.precedence, act.files, now)
        return serial

    def _say(self, record: Record, now: Now, more: int = 0) -> Serial:
        """Release what people say, if there is room for it and for `more` bytes to come."""
        self.quota.allow(record, self.outbox.waiting(), more)
        return self.line.release(record, now)

    def receive(self, act: Receive, now: Now) -> Serial | None:
        """Release a receipt for a record of theirs, unless the same was said before. Raises
        LocalError."""
        line, data = self._find(THEIRS, act.serial)
        if data is None:
            raise LocalError("message.unknown", number=act.serial.number)
        if act.kind not in receipts.RECEIPTS:
            raise LocalError("receipt.kind")
        if (act.kind == receipts.HOLDING) != (act.due_s is not None):
            raise LocalError("receipt.due")
        record = decode_record(data)
        if record.kind != receipts.TEXT:
            raise LocalError("receipt.kind")
        if self._said(line, act):
            return None
        receipt = Record(
            0,
            0,
            record.precedence,
            act.kind,
            "",
            now.wall_s,
            now.wall_s,
            act.due_s,
            (Reference(False, act.serial),),
            "",
            _utf8(act.note),
        )
        serial = self._say(receipt, now)
        self._mark(receipt._replace(number=serial.number, incarnation=serial.incarnation), THEIRS)
        return serial

    def _said(self, line: int, act: Receive) -> bool:
        number, incarnation = act.serial.number, act.serial.incarnation
        marks = self.store.marks(line, THEIRS, number, incarnation) + [
            mark
            for mark in self.ledger.batch.marks
            if mark[:4] == (line, THEIRS, number, incarnation)
        ]
        return any(mark.kind == act.kind and mark.due_s == act.due_s for mark in marks)

    # -- sending ------------------------------------------------------------------------------

    def take(self, bearer: str, now: Now, above: int | None = None) -> list[Outgoing]:
        """Datagrams for a bearer to send now; `above` a rank, only such as go before it. Everything
        they rest on is durable, or StoreError is raised."""
        channel = self.outbox.channels.get(bearer)
        taken: list[Outgoing] = []
        size = 0
        while channel is not None and channel.up is not None and size < channel.batch_bytes():
            narrow, grain_bytes = channel.up.narrow, channel.up.grain_bytes
            mtu_bytes = channel.up.mtu_bytes
            run = self.seal.choose(
                now,
                carry_ms=channel.timeout_ms() if narrow else 0,
                spare=narrow and self.dispatch.waits(channel, now),
            )
            if self.seal.dirty:
                batch = Batch(urgent=True)
                self.save_seal(batch, now)
                self.store.commit(batch)
            # A run to the card key beside a confirmed one only shows us; texts wait for better.
            better = self.seal.confirmed
            if better is not None and better.index >= limits.RUN_DATAGRAMS_MAX:
                better = None
            shows = run.to_card and better is not None
            if better is not None and shows and above is not None:
                # What is urgent is not kept waiting for that.
                run, shows = better, False
            room = self.seal.room(run, mtu_bytes, grain_bytes)
            frames, rank = self.dispatch.compose(bearer, room, now, records=not shows, above=above)
            if not frames and shows and better is not None:
                run = better
                room = self.seal.room(run, mtu_bytes, grain_bytes)
                frames, rank = self.dispatch.compose(bearer, room, now, above=above)
            if not frames:
                break
            pad_to = mtu_bytes if channel.up.padded else 0
            data = self.seal.seal(run, encode_frames(frames), now, pad_to=pad_to)
            silent = self.outbox.unanswered >= _RENEW_AFTER
            taken.append(Outgoing(data, recovery=run.to_card or silent, rank=rank))
            size += len(data)
            channel.sent_bytes += len(data)
        self.journey.note(self.outbox.steps, now.wall_s)
        return taken

    # -- views --------------------------------------------------------------------------------

    def channel(self) -> Channel:
        """What connection-oriented bearers authenticate with."""
        return Channel(label(self.kit.secret, "bearer"), self.kit.direction)

    def mailboxes(self) -> Mailboxes:
        """Where a relay bearer takes and deposits now (§11)."""
        own, peer, epoch = self.kit.direction, 3 - self.kit.direction, self.seal.state.epoch_own
        take = [self._mailbox(peer, n) for n in sorted({0, epoch - 1, epoch})]
        deposit = self._mailbox(own, self.seal.state.epoch_peer)
        return Mailboxes(take, deposit, self._mailbox(own, 0))

    def _mailbox(self, direction: int, epoch: int) -> Mailbox:
        context = bytes((direction,)) + epoch.to_bytes(4, "big")
        secrets = (label(self.kit.secret, name, context) for name in ("take", "deposit"))
        return Mailbox(*secrets)


def _utf8(text: str) -> bytes:
    """The bytes of a text; raises LocalError for what is no character (a lone surrogate)."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise LocalError("message.not_text") from None
