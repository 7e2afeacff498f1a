"""A lane: one line of the post with its sealing and its ledger, made from what the store holds.

Theory of operation: the line says frames, the seal makes datagrams of them; what sealing wants said (RUN, REOPEN), what rekeying asks (OFFER,
ANSWER) and what receipts mark passes between the two here. The lane never commits: it gathers its changes into the batch of the step, and after a failed
commit a new lane is made from the store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .bearers.base import Mailbox, Outgoing
from .core import receipts
from .comparison import Comparer
from .core.envelope import Frame, FrameType, Record, decode_record, encode_frames, malformed
from .core.events import Now, Reference, Serial
from .inputs import Receive, Release
from .core.inbound import Taken
from .core.line import Line
from .core.transcript import OURS, THEIRS
from .delivery.dispatch import Dispatch
from .delivery.outbox import Outbox
from .errors import LocalError, RemoteError, SealError
from .ledger import LineLedger
from .sealing.keys import Card, Entropy, Identity, Kit
from .sealing.seal import Seal, Unreadable
from .status import BearerStatus, Channel, LineStatus, Mailboxes, PostEvent
from .store.base import Batch, Mark, Store

_TAKE_BYTES = 32 * 1024
_RENEW_AFTER = 3
_ASIDE = ("abandoned", "fork")


class Lane:
    """One paired line."""

    def __init__(
        self, store: Store, number: int, identity: Identity, entropy: Entropy, now: Now
    ) -> None:
        saved = store.state(number)
        self.store = store
        self.number = number
        self.label = saved["label"].decode()
        kit = saved["kit"]
        self.kit = Kit(kit[1:], identity, Card.decode(saved["card"]), kit[0] == 1)
        self.ledger = LineLedger(store, number)
        self.seal = Seal(self.kit, saved, entropy, now)
        own = self.kit.direction
        self.outbox = Outbox()
        genesis = (self.kit.genesis(own), self.kit.genesis(3 - own))
        self.line = Line(self.ledger, self.outbox, genesis, entropy, saved.get("line"))
        self.dispatch = Dispatch(self.line, self.outbox)
        self.comparer = Comparer(self.ledger, self.kit.line_id, first=self.kit.first)
        self.line.used_bytes = store.bytes_used(number, OURS)
        self.line.reception.used_bytes = store.bytes_used(number, THEIRS)

    # -- the step -----------------------------------------------------------------------------

    def begin(self, batch: Batch, now: Now) -> None:
        """A step begins."""
        self.ledger.begin(batch, now.wall_s)

    def finish(self, batch: Batch, now: Now) -> None:
        """Let time pass and put what changed into the batch."""
        self.line.tick(now)
        self.outbox.expire(now.mono_ms)
        if self.outbox.unanswered >= _RENEW_AFTER:
            self.seal.renew(now)
        if self.seal.rekey_due(now):
            self.line.release(Line.service(receipts.OFFER, self.seal.offer(now), now), now)
        if self.line.dirty:
            batch.state[self.number, "line"] = self.line.save()
        self.save_seal(batch, now)

    def save_seal(self, batch: Batch, now: Now) -> None:
        """Put what sealing changed into a batch."""
        for name, value in self.seal.changes(now).items():
            batch.state[self.number, name] = value

    def deadline(self) -> int | None:
        """When something is due next, monotonic milliseconds; None if nothing waits."""
        waits = (self.line.deadline(), self.outbox.deadline())
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
            try:
                opened = self.seal.open(datagram, now)
            except Unreadable as unreadable:
                if self.seal.unreadable(now):
                    self.line.answer(Frame(FrameType.REOPEN, unreadable.run_id))
                continue
            except SealError as error:
                self.line.fault(RemoteError(error.code))
                continue
            if opened is None:
                continue
            if opened.confirm is not None:
                self.line.answer(Frame(FrameType.RUN, opened.confirm))
            for taken in self.line.hear(opened.inner, now):
                self._take(taken, now)
            for frame in self.line.asides:
                try:
                    self._aside(frame, now)
                except RemoteError as error:
                    self.line.fault(error)
            self.line.asides.clear()
            self.dispatch.heard(bearer, now)

    def _aside(self, frame: Frame, now: Now) -> None:
        """A frame that concerns sealing or comparing. Raises RemoteError."""
        if frame.type in (FrameType.RUN, FrameType.REOPEN):
            if len(frame.payload) != 4:
                raise malformed("run")
            if frame.type == FrameType.RUN:
                self.seal.confirm(frame.payload, now)
            elif self.seal.reopen(frame.payload, now):
                self.dispatch.requeue()
            return
        for answer in self.comparer.take(frame, now):
            self.line.answer(answer)
        latest = self.comparer.latest
        self.line.tell("compared", told=self.comparer.told, agree=latest.agree if latest else None)

    def compare(self, now: Now) -> None:
        """Ask the other side whether the records agree up to what both are known to hold. Raises LocalError."""
        frame = self.comparer.ask(*self.line.held_serials(), now)
        if frame is None:
            raise LocalError("compare.nothing")
        self.line.answer(frame)

    def resume(self, before: Lane) -> None:
        """Take over from the lane this one replaces in the same process, after a failed commit."""
        self.line.resume(before.line)
        self.outbox.channels = before.outbox.channels
        self.comparer.latest = before.comparer.latest
        peer, peer_before = self.line.reception, before.line.reception
        peer.quota_bytes, peer.reserve_bytes = peer_before.quota_bytes, peer_before.reserve_bytes

    def _take(self, taken: Taken, now: Now) -> None:
        """What a new record means beyond the chain."""
        record, place = taken
        if place in _ASIDE:
            return
        if record.kind in receipts.RECEIPTS:
            self._mark(record, OURS, now)
        elif record.kind == receipts.OFFER:
            body = self.seal.answer(record.body, now)
            if body is not None:
                reference = Reference(False, record.serial)
                self.line.release(Line.service(receipts.ANSWER, body, now, [reference]), now)
        elif record.kind == receipts.ANSWER:
            self.seal.complete(record.body, now)

    def _mark(self, record: Record, side: int, now: Now) -> None:
        """Note what people did with the one record that a receipt names."""
        if len(record.references) != 1 or record.references[0].ours:
            self.line.fault(RemoteError("receipt.reference"))
            return
        serial = record.references[0].serial
        if self.ledger.get(side, serial) is None:
            self.line.fault(RemoteError("receipt.unknown", number=serial.number))
            return
        self.ledger.batch.marks.append(
            Mark(
                self.number,
                side,
                serial.number,
                serial.incarnation,
                record.kind,
                now.wall_s,
                record.due_s,
                record.number,
                record.incarnation,
            )
        )
        name = receipts.NAMES[record.kind]
        values: dict[str, object] = {"number": serial.number, "kind": name, "side": side}
        self.line.events.append(("receipt", values))

    # -- our people ---------------------------------------------------------------------------

    def release(self, act: Release, now: Now) -> Serial:
        """Release a text. Raises LocalError."""
        if not act.body.strip():
            raise LocalError("message.empty")
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
            act.body.encode(),
        )
        return self.line.release(record, now)

    def receive(self, act: Receive, now: Now) -> Serial | None:
        """Release a receipt for a record of theirs, unless the same was said before. Raises LocalError."""
        data = self.ledger.get(THEIRS, act.serial)
        if data is None:
            raise LocalError("message.unknown", number=act.serial.number)
        if act.kind not in receipts.RECEIPTS:
            raise LocalError("receipt.kind")
        if (act.kind == receipts.HOLDING) != (act.due_s is not None):
            raise LocalError("receipt.due")
        record = decode_record(data)
        if record.kind != receipts.TEXT:
            raise LocalError("receipt.kind")
        if self._said(act):
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
            act.note.encode(),
        )
        serial = self.line.release(receipt, now)
        self._mark(
            replace(receipt, number=serial.number, incarnation=serial.incarnation), THEIRS, now
        )
        return serial

    def _said(self, act: Receive) -> bool:
        number, incarnation = act.serial.number, act.serial.incarnation
        marks = self.store.marks(self.number, THEIRS, number, incarnation) + [
            mark
            for mark in self.ledger.batch.marks
            if mark[:4] == (self.number, THEIRS, number, incarnation)
        ]
        return any(mark.kind == act.kind and mark.due_s == act.due_s for mark in marks)

    # -- sending ------------------------------------------------------------------------------

    def take(self, bearer: str, now: Now) -> list[Outgoing]:
        """Datagrams for a bearer to send now. Everything they rest on is durable, or StoreError is raised."""
        channel = self.outbox.channels.get(bearer)
        taken: list[Outgoing] = []
        size = 0
        while channel is not None and channel.up is not None and size < _TAKE_BYTES:
            run = self.seal.choose(now)
            if self.seal.dirty:
                batch = Batch()
                self.save_seal(batch, now)
                self.store.commit(batch)
            mtu_bytes = channel.up.mtu_bytes
            frames = self.dispatch.compose(bearer, self.seal.room(run, mtu_bytes), now)
            if not frames:
                break
            pad_to = mtu_bytes if channel.up.padded else 0
            data = self.seal.seal(run, encode_frames(frames), now, pad_to=pad_to)
            taken.append(Outgoing(data, recovery=run.to_card))
            size += len(data)
        return taken

    # -- views --------------------------------------------------------------------------------

    def channel(self) -> Channel:
        """What connection-oriented bearers authenticate with."""
        return Channel(self.kit.bearer_key, self.kit.direction)

    def mailboxes(self) -> Mailboxes:
        """Where a relay bearer takes and deposits now (§11)."""
        own, peer, epoch = self.kit.direction, 3 - self.kit.direction, self.seal.epoch_own
        take = [Mailbox(*self.kit.mailbox(peer, n)) for n in sorted({0, epoch - 1, epoch})]
        deposit = Mailbox(*self.kit.mailbox(own, self.seal.epoch_peer))
        return Mailboxes(take, deposit, Mailbox(*self.kit.mailbox(own, 0)))

    def status(self, now: Now) -> LineStatus:
        """The line as it stands."""
        line, seal, peer = self.line, self.seal, self.line.reception
        own_at, peer_at = line.held_serials()
        digest = self.comparer.digest_at(own_at, peer_at)
        bearers = {
            name: BearerStatus(c.up is not None, c.code, c.rtt_ms, c.heard_ms)
            for name, c in self.outbox.channels.items()
        }
        opening = "opening" if seal.candidates or seal.runs else "new"
        return LineStatus(
            line=self.number,
            label=self.label,
            state="open" if seal.confirmed is not None else opening,
            tape=self.kit.tape,
            own_number=line.number,
            acked_number=line.acked,
            outbox=self.outbox.waiting(),
            peer_number=peer.contiguous,
            peer_highest=peer.highest,
            gaps=list(peer.waiting.missing(peer.contiguous)),
            lost=list(peer.lost),
            bearers=bearers,
            heard_s=seal.heard_s,
            alarm=seal.alarm,
            flood=peer.flooded(now.mono_ms),
            faults=dict(line.faults),
            forks=peer.forks,
            differs_at=peer.differs_at,
            refused=[
                (self.outbox.entries[n].serial, code) for n, code in self.outbox.refused.items()
            ],
            comparison=self.comparer.latest,
            own_serial=own_at,
            peer_serial=peer_at,
            digest=digest.hex() if digest else "",
        )
