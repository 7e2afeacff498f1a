"""The post: synchronous; every step is taken, committed, and only then may anything of it be sent.

Theory of operation: the runner or the simulator gives a batch of inputs and the time; all they
change goes into one transaction. If the commit fails, nothing happened: lines are made anew from
the store, and every input of the step has the error for its result. `take` gives a bearer its
datagrams afterwards. The post knows no sockets, no asyncio, no clock. What one line does is in
lane.py, what a record means in core, how it is sealed in sealing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from . import backup
from .bearers.base import Outgoing
from .core.events import Now
from .core.precedence import Precedence
from .core.receipts import is_machinery
from .enrolment import check_words, tape_pages
from .errors import InvariantError, LocalError, StoreError
from .inputs import (
    Arrived,
    BackUp,
    BearerDown,
    BearerGone,
    BearerUp,
    ClearAlarm,
    Compare,
    HealAsk,
    HealGive,
    Initialise,
    Input,
    Operate,
    Pair,
    Receive,
    Release,
    Revoke,
    TryBearer,
)
from .lane import Lane
from .sealing.keys import Card, Entropy, Identity, Kit
from .status import Channel, LineStatus, Mailboxes, PostEvent
from .store.base import Audit, Batch, Store

_HOUSEKEEPING_MS = 3_600_000
_RETRY_MS = 1_000
_LABEL_CHARACTERS_MAX = 64


class Post:
    """One party's node: its lines over one store."""

    def __init__(self, store: Store, entropy: Entropy, now: Now) -> None:
        self.store = store
        self.entropy = entropy
        saved = store.state(0).get("identity")
        self.identity = Identity.decode(saved) if saved else None
        self._lanes: dict[int, Lane] = {}
        self._events: list[PostEvent] = []
        self._batch = Batch()
        self._housekeeping_ms = now.mono_ms + _HOUSEKEEPING_MS
        self._retry_ms = now.mono_ms
        """Not before this does a timer bring the next step: a full disk needs no hurry."""
        self._revoked: dict[int, str] = {}
        for number in store.lines():
            self._load(number, now)
        self._begin(now)
        for lane in self._lanes.values():
            lane.line.start(now)
        try:
            self._commit(now)
        except StoreError:
            self._reload(now)

    def _load(self, number: int, now: Now) -> None:
        state = self.store.state(number)
        if "revoked" in state:
            self._revoked[number] = state["label"].decode()
        elif self.identity is not None:
            self._lanes[number] = Lane(self.store, number, self.identity, self.entropy, now)

    # -- the step -----------------------------------------------------------------------------

    def step(self, inputs: Sequence[Input], now: Now) -> list[object]:
        """Take inputs with one commit; one result each: its value or an OpenlineError."""
        self._begin(now)
        results: list[object] = []
        try:
            for given in inputs:
                try:
                    results.append(self._take(given, now))
                except LocalError as error:
                    results.append(error)
            self._commit(now)
        except (StoreError, InvariantError) as error:
            self._reload(now)
            self._retry_ms = now.mono_ms + _RETRY_MS
            apart = error.code == "store.disk_full" or isinstance(error, InvariantError)
            if apart and len(inputs) > 1:
                # One input at a time, so that what is urgent or sound does not fall with the rest.
                return [result for given in inputs for result in self.step([given], now)]
            if apart and isinstance(inputs[0], Arrived) and len(inputs[0].datagrams) > 1:
                line, bearer, datagrams = inputs[0]
                single = [Arrived(line, bearer, [datagram]) for datagram in datagrams]
                results = self.step(single, now)
                return [next((r for r in results if r is not None), None)]
            return [error] * len(inputs)
        except BaseException:
            # A fault of ours that nobody foresaw: no lane may send what is not on disk.
            self._lanes = {}
            raise
        return results

    def _begin(self, now: Now) -> None:
        self._batch = Batch()
        for lane in self._lanes.values():
            lane.begin(self._batch, now)

    def _commit(self, now: Now) -> None:
        for lane in self._lanes.values():
            lane.finish(self._batch, now)
        self._batch.urgent = all(
            row.precedence == Precedence.FLASH or is_machinery(row.kind) for row in self._batch.rows
        )
        if self._batch:
            self.store.commit(self._batch)
        if now.mono_ms >= self._housekeeping_ms:
            self._housekeeping_ms = now.mono_ms + _HOUSEKEEPING_MS
        for lane in self._lanes.values():
            lane.ledger.settle()
            self._events += lane.events()

    def _reload(self, now: Now) -> None:
        """Nothing of the step is on disk: make every lane anew from what is."""
        before, self._lanes, self._revoked = self._lanes, {}, {}
        for number in self.store.lines():
            self._load(number, now)
            if number in self._lanes and number in before:
                self._lanes[number].resume(before[number])
        if "identity" not in self.store.state(0):
            self.identity = None

    def _take(self, given: Input, now: Now) -> object:
        takers: dict[type, Callable[[Any, Now], object]] = {
            Arrived: self._arrived,
            BearerUp: self._bearer,
            BearerDown: self._bearer,
            BearerGone: self._bearer,
            TryBearer: self._try_bearer,
            Operate: self._operate,
            Release: self._release,
            Receive: self._receive,
            Compare: self._compare,
            ClearAlarm: self._clear_alarm,
            HealAsk: self._heal_ask,
            HealGive: self._heal_give,
            Revoke: self._revoke,
            Initialise: self._initialise,
            Pair: self._pair,
            BackUp: self._back_up,
        }
        taker = takers.get(type(given))
        return taker(given, now) if taker else None

    def _lane(self, number: int) -> Lane:
        lane = self._lanes.get(number)
        if lane is None:
            code = "line.revoked" if number in self._revoked else "line.unknown"
            raise LocalError(code, line=number)
        return lane

    def _audit(self, now: Now, actor: str, act: str, **details: object) -> None:
        self._batch.audit.append(Audit(now.wall_s, actor, act, json.dumps(details)))

    # -- inputs -------------------------------------------------------------------------------

    def _arrived(self, given: Arrived, now: Now) -> None:
        self._lane(given.line).arrived(given.bearer, given.datagrams, now)

    def _bearer(self, given: BearerUp | BearerDown | BearerGone, now: Now) -> None:
        dispatch = self._lane(given.line).dispatch
        if isinstance(given, BearerUp):
            dispatch.bearer_up(given, now)
        elif isinstance(given, BearerDown):
            dispatch.bearer_down(given, now)
        else:
            dispatch.bearer_gone(given.bearer, now)

    def _try_bearer(self, given: TryBearer, now: Now) -> None:
        self._lane(given.line).dispatch.test(given.bearer)
        self._audit(now, given.actor, "bearer_test", line=given.line, name=given.bearer)

    def _operate(self, given: Operate, now: Now) -> None:
        self._audit(now, given.actor, given.act, **given.details)

    def _release(self, given: Release, now: Now) -> object:
        serial = self._lane(given.line).release(given, now)
        self._audit(
            now,
            given.actor,
            "release",
            line=given.line,
            number=serial.number,
            precedence=given.precedence.name,
        )
        return serial

    def _receive(self, given: Receive, now: Now) -> object:
        serial = self._lane(given.line).receive(given, now)
        if serial is not None:
            self._audit(
                now,
                given.actor,
                "receipt",
                line=given.line,
                number=given.serial.number,
                kind=given.kind,
            )
        return serial

    def _compare(self, given: Compare, now: Now) -> None:
        self._lane(given.line).compare(now)
        self._audit(now, given.actor, "compare", line=given.line)

    def _clear_alarm(self, given: ClearAlarm, now: Now) -> None:
        self._lane(given.line).seal.clear_alarm()
        self._audit(now, given.actor, "clear_alarm", line=given.line)

    def _heal_ask(self, given: HealAsk, now: Now) -> object:
        serial = self._lane(given.line).healing.taker.ask(given.actor, now)
        self._audit(now, given.actor, "heal_ask", line=given.line, number=serial.number)
        return serial

    def _heal_give(self, given: HealGive, now: Now) -> None:
        giver = self._lane(given.line).healing.giver
        giver.agree(given.actor)
        number = giver.request.asked.number
        self._audit(now, given.actor, "heal_give", line=given.line, number=number)

    def _initialise(self, given: Initialise, now: Now) -> bytes:
        if self.identity is not None:
            raise LocalError("post.initialised")
        identity = Identity.new(self.entropy)
        self._batch.state[0, "identity"] = identity.encode()
        self._audit(now, given.actor, "initialise")
        self.identity = identity
        return identity.card

    def _pair(self, given: Pair, now: Now) -> int:
        if self.identity is None:
            raise LocalError("post.not_initialised")
        label = given.line_label.strip()
        if not label or len(label) > _LABEL_CHARACTERS_MAX or not label.isprintable():
            raise LocalError("enrolment.label", characters_max=_LABEL_CHARACTERS_MAX)
        card = Card.decode(given.card)
        pages = tape_pages(given.tape) if given.tape is not None else []
        kit = Kit.make(self.identity, card, pages[0] if pages else b"")
        numbers = self.store.lines()
        for number in numbers:
            state = self.store.state(number)
            if state["label"].decode() == label:
                raise LocalError("enrolment.label_taken")
            if state["card"] == card.data:
                code = (
                    "enrolment.revoked_card" if "revoked" in state else "enrolment.paired_already"
                )
                raise LocalError(code, line=number)
        check_words(card.data, given.said)
        line = max([0, *numbers, *self._lanes]) + 1
        batch = Batch(
            state={
                (line, "label"): label.encode(),
                (line, "card"): card.data,
                (line, "kit"): bytes((kit.tape,)) + kit.secret,
                (line, "anchors"): _anchors(kit),
            }
        )
        for page_number, page in enumerate(pages[1:-1], 1):
            batch.state[line, f"tape/{page_number:04d}"] = page
        if pages:
            batch.state[line, "reserve"] = pages[-1]
        details = json.dumps({"line": line, "tape": bool(pages)})
        batch.audit.append(Audit(now.wall_s, given.actor, "pair", details))
        self.store.commit(batch)
        self._load(line, now)
        lane = self._lanes[line]
        lane.begin(self._batch, now)
        lane.line.start(now)
        return line

    def _revoke(self, given: Revoke, now: Now) -> None:
        lane = self._lane(given.line)
        kept = {"label", "card", "line", "anchors"}
        for name in self.store.state(given.line):
            if name not in kept:
                self._batch.state[given.line, name] = None
        self._batch.state[given.line, "revoked"] = str(now.wall_s).encode()
        self._audit(now, given.actor, "revoke", line=given.line)
        del self._lanes[given.line]
        self._revoked[given.line] = lane.label

    def _back_up(self, given: BackUp, now: Now) -> bytes:
        made_s = backup.Wrapping.decode(given.wrapping).made_s
        kit = backup.collect(self.store, made_s, given.config)
        sealed = backup.seal(kit, given.wrapping, given.key)
        self._audit(now, given.actor, "backup", lines=len(kit.labels()), made_s=made_s)
        return sealed

    # -- what bearers and timers ask ----------------------------------------------------------

    def take(self, line: int, bearer: str, now: Now) -> list[Outgoing]:
        """Datagrams that a bearer of a line should send now: about 32 KiB at most, [] if there are
        none.

        A StoreError here means that nothing may be sent until the disk takes writes again; the
        caller asks again later.
        """
        lane = self._lanes.get(line)
        if lane is None:
            return []
        try:
            taken = lane.take(bearer, now)
        except StoreError:
            self._reload(now)
            self._retry_ms = now.mono_ms + _RETRY_MS
            raise
        self._events += lane.events()
        return taken

    def deadline(self) -> int:
        """Monotonic milliseconds at which to call `step([Tick()])` next."""
        waits = (lane.deadline() for lane in self._lanes.values())
        due = min((at for at in waits if at is not None), default=self._housekeeping_ms)
        return max(due, self._retry_ms)

    def channel(self, line: int) -> Channel:
        """Key and direction for connection-oriented bearers. Raises LocalError."""
        return self._lane(line).channel()

    def mailboxes(self, line: int) -> Mailboxes:
        """The mailboxes of a line now. Raises LocalError."""
        return self._lane(line).mailboxes()

    # -- views --------------------------------------------------------------------------------

    def card(self) -> bytes | None:
        """Our card; None before `initialise`."""
        return self.identity.card if self.identity else None

    def lines(self) -> list[int]:
        """Numbers of all lines, revoked ones too."""
        return sorted([*self._lanes, *self._revoked])

    def open_lines(self) -> list[int]:
        """Numbers of the lines that are not revoked."""
        return sorted(self._lanes)

    def label(self, line: int) -> str:
        """The local name of a line. Raises LocalError."""
        return self._revoked[line] if line in self._revoked else self._lane(line).label

    def peer_card(self, line: int) -> bytes:
        """The other side's card."""
        return self.store.state(line)["card"]

    def status(self, line: int, now: Now) -> LineStatus:
        """A line as it stands. Raises LocalError."""
        if line in self._revoked:
            return LineStatus(line=line, label=self._revoked[line], state="revoked", tape=False)
        return self._lane(line).status(now)

    def events(self) -> list[PostEvent]:
        """What happened since the last call, in order."""
        told, self._events = self._events, []
        return told


def _anchors(kit: Kit) -> bytes:
    """What both chains start from, as JSON: not secret, and kept when the kit is erased."""
    own, peer = kit.genesis(kit.direction), kit.genesis(3 - kit.direction)
    genesis = {"ours": own.hex(), "theirs": peer.hex()}
    anchors = {"line_id": kit.line_id.hex(), "first": kit.first, "genesis": genesis}
    return json.dumps(anchors).encode()
