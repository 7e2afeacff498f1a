"""The post: synchronous; every step is taken, committed, and only then may anything of it be sent.

Theory of operation: the runner or the simulator gives a batch of inputs and the time; all they
change goes into one transaction. If the commit fails, nothing happened: lines are made anew from
the store, and every input of the step has the error for its result. `take` gives a bearer its
datagrams afterwards. The post knows no sockets, no asyncio, no clock. What one line does is in
lane.py, what a record means in core, how it is sealed in sealing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

from . import addressing, backup, handover, journey, pairing, tapes
from .attached import Attached, StopFile
from .attachments.tray import Tray
from .authorship import STATE as ACTORS
from .authorship import Authorship, by_one
from .bearers.base import Outgoing
from .core.events import Now, Serial
from .core.precedence import Precedence
from .core.receipts import is_machinery
from .drafts import Drafts
from .enrolment import tape_pages
from .errors import InvariantError, LocalError, OpenlineError, StoreError, unforeseen
from .inputs import (
    AddTape,
    Arrived,
    BackUp,
    BearerDown,
    BearerGone,
    BearerUp,
    BurnPages,
    ClearAlarm,
    Compare,
    HealAsk,
    HealGive,
    Initialise,
    Input,
    Operate,
    Pages,
    Pair,
    Receive,
    Release,
    Revoke,
    Rotate,
    SetAddress,
    TryBearer,
)
from .lane import Lane
from .people import RULES, People, Rules
from .replies import Replies
from .sealing.keys import Entropy, Identity
from .standing import standing_of
from .status import Channel, LineStatus, Mailboxes, PostEvent, ended_line
from .store.base import Audit, Batch, Store
from .unopened import Unopened

_ENDED = {"revoked": "line.revoked", "retired": "line.retired"}
_ENDS = {"revoked": "revoked", "succeeded": "retired"}
"""State of a line in the store that says that it has ended → how people are told."""
_RETRY_MS = 1_000
_PASSED_ON = (handover.SUCCEEDS, handover.STATE, journey.STATE)
_KEPT = ("label", "card", "line", "anchors", "tapes", *_PASSED_ON)
"""What is kept of a line that has ended. All else is erased, its keys first of all."""


class Post:
    """One party's node: its lines over one store."""

    def __init__(self, store: Store, entropy: Entropy, now: Now, rules: Rules = RULES) -> None:
        self.store = store
        self.entropy = entropy
        saved = store.state(0).get("identity")
        self.identity = Identity.decode(saved) if saved else None
        self._lanes: dict[int, Lane] = {}
        self._events: list[PostEvent] = []
        self._batch = Batch()
        self._retry_ms = now.mono_ms
        """Not before this does a timer bring the next step: a full disk needs no hurry."""
        self._ended: dict[int, LineStatus] = {}
        """Lines revoked or retired."""
        self._passages = handover.Passages()
        self.two_persons = rules.two_persons
        self.people = People(entropy, rules.sign_in_idle_s)
        self.people.load(store.state(0), now)
        self.replies = Replies(store, self.label, self.named)
        self.unopened = Unopened(store)
        self.tray = Tray(store, entropy, lambda: self._named_files(""), now)
        for number in store.lines():
            self._load(number, store.state(number), now)
        self._follow()
        self._load_people()
        self._begin(now)
        for lane in self._lanes.values():
            lane.line.start(now)
        try:
            self._commit(now)
        except StoreError:
            self._reload(now)

    def _load(self, number: int, state: Mapping[str, bytes], now: Now) -> None:
        self._passages.load(number, state)
        ended = next((how for name, how in _ENDS.items() if name in state), None)
        if ended is not None:
            self._ended[number] = ended_line(number, state, ended)
        elif self.identity is not None:
            lane = Lane(self.store, number, state, self.identity, self.entropy, now)
            lane.attachments.supply(self.tray)
            self._lanes[number] = lane

    def _load_people(self) -> None:
        self.authorship = Authorship(self.store.state(0).get(ACTORS))
        asked = (self._speaking, self._release, self._audit, self._check_files)
        self.drafts = Drafts(self.store, self.entropy, *asked)

    def _follow(self) -> None:
        """Let each line name records of those before it."""
        for number, lane in self._lanes.items():
            lane.former = self._passages.former(number)

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
        except Exception as error:
            # Whatever went wrong costs the input that shows it, and never the line.
            known = error if isinstance(error, StoreError | InvariantError) else unforeseen(error)
            return self._failed(inputs, known, now)
        return results

    def _failed(self, inputs: Sequence[Input], error: OpenlineError, now: Now) -> list[object]:
        """Go back to what is on disk, and try inputs apart where one may have spoilt the rest."""
        self._reload(now)
        self._retry_ms = now.mono_ms + _RETRY_MS
        apart = error.code == "store.disk_full" or isinstance(error, InvariantError)
        if apart and len(inputs) > 1:
            return [result for given in inputs for result in self.step([given], now)]
        if apart and isinstance(inputs[0], Arrived) and len(inputs[0].datagrams) > 1:
            line, bearer, datagrams = inputs[0]
            single = [Arrived(line, bearer, [datagram]) for datagram in datagrams]
            results = self.step(single, now)
            return [next((r for r in results if r is not None), None)]
        return [error] * len(inputs)

    def _begin(self, now: Now) -> None:
        self._batch = Batch()
        self.people.begin(self._batch)
        self.drafts.begin(self._batch)
        self.tray.begin(self._batch)
        for lane in self._lanes.values():
            lane.begin(self._batch, now)

    def _commit(self, now: Now) -> None:
        for former in self._passages.hand_over(self._lanes, now):
            self._end(former, "succeeded", now)
        for lane in self._lanes.values():
            lane.finish(self._batch, now)
        self._passages.save(self._batch)
        self.people.finish(now)
        self.tray.finish(now)
        self._batch.urgent = not (self.drafts.grew or self.tray.grew) and all(
            row.precedence == Precedence.FLASH or is_machinery(row.kind) for row in self._batch.rows
        )
        if self._batch:
            for lane in self._lanes.values():
                lane.journey.write(self._batch)
            self.store.commit(self._batch)
            self.unopened.follow(self._batch)
        self._events += [PostEvent("draft", n, {"kind": act}) for n, act in self.drafts.done]
        for lane in self._lanes.values():
            lane.ledger.settle()
            lane.journey.settle()
            self._events += lane.events()

    def _reload(self, now: Now) -> None:
        """Nothing of the step is on disk: make every lane anew from what is."""
        before, self._lanes, self._ended = self._lanes, {}, {}
        self.tray.undo()
        self._passages = handover.Passages()
        state = self.store.state(0)
        self.identity = Identity.decode(state["identity"]) if "identity" in state else None
        self.people.load(state, now)
        for number in self.store.lines():
            self._load(number, self.store.state(number), now)
            if number in self._lanes and number in before:
                self._lanes[number].resume(before[number])
        self._follow()
        self._load_people()

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
            Rotate: self._rotate,
            BurnPages: self._burn_pages,
            AddTape: self._add_tape,
            SetAddress: self._set_address,
            StopFile: self._stop_file,
            **self.tray.takers,
            **self.people.takers,
            **self.drafts.takers,
        }
        taker = takers.get(type(given))
        return taker(given, now) if taker else None

    def _lane(self, number: int) -> Lane:
        lane = self._lanes.get(number)
        if lane is None:
            ended = self._ended.get(number)
            raise LocalError(_ENDED[ended.state] if ended else "line.unknown", line=number)
        return lane

    def _speaking(self, number: int) -> Lane:
        """The lane that carries what is released on a line. Raises LocalError."""
        return self._lane(self._passages.in_charge(number))

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

    def _release(self, given: Release, now: Now) -> Serial:
        if by_one(given) and given.precedence in self.two_persons:
            raise LocalError("release.two_persons", precedence=given.precedence.name)
        self._check_files(given.files, given.reviewed.draft if given.reviewed else "")
        lane = self._speaking(given.line)
        serial = lane.release(given, now)
        self.authorship.note(self._batch, lane.number, serial, given, now)
        told: dict[str, object] = {"line": lane.number, "number": serial.number}
        told.update(precedence=given.precedence.name, one_person=by_one(given))
        told.update({"files": len(given.files)} if given.files else {})
        if given.reviewed is not None:
            told.update(draft=given.reviewed.draft, revision=given.reviewed.revision)
        self._audit(now, given.actor, "release", **told)
        return serial

    def _named_files(self, draft: str) -> set[str]:
        """The ids of files that lines send, or that drafts name other than this one."""
        sent = {each for lane in self._lanes.values() for each in lane.attachments.contents()}
        return sent | self.drafts.files(but=draft)

    def _check_files(self, files: Sequence[Attached], draft: str) -> None:
        """Whether a text may have these files: laid in, as they are named, and nobody else's."""
        self.tray.check(files)
        if files and not self._named_files(draft).isdisjoint(each.content for each in files):
            raise LocalError("attachment.taken")

    def _stop_file(self, given: StopFile, now: Now) -> None:
        self._lane(given.line).attachments.sender.stop(given.serial, now)
        self._audit(now, given.actor, "file_stop", line=given.line, number=given.serial.number)

    def _receive(self, given: Receive, now: Now) -> object:
        serial = self._speaking(given.line).receive(given, now)
        if serial is not None:
            self.authorship.note_receipt(self._batch, given, now)
            told = {"line": given.line, "number": given.serial.number, "kind": given.kind}
            self._audit(now, given.actor, "receipt", **told)
        return serial

    def _compare(self, given: Compare, now: Now) -> None:
        self._lane(given.line).compare(now)
        self._audit(now, given.actor, "compare", line=given.line)

    def _clear_alarm(self, given: ClearAlarm, now: Now) -> None:
        seal = self._lane(given.line).seal
        if seal.state.alarm:
            seal.clear_alarm()
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

    def _rotate(self, given: Rotate, now: Now) -> None:
        """A new card for pairings to come; every line keeps the identity it was paired with."""
        if self.identity is None:
            raise LocalError("post.not_initialised")
        for number in self._lanes:
            self._batch.state[number, "identity"] = self._lanes[number].kit.identity.encode()
        former = self._batch.left(0, self.store.state(0)).get("former", b"")
        self._batch.state[0, "former"] = former + sha256(self.identity.card).digest()
        self.identity = Identity.new(self.entropy)
        self._batch.state[0, "identity"] = self.identity.encode()
        self._audit(now, given.actor, "rotate_card")

    def _pair(self, given: Pair, now: Now) -> int:
        if self.identity is None:
            raise LocalError("post.not_initialised")
        if given.replaces is not None:
            label = self._lane(given.replaces).label
            heir = self._passages.heir(given.replaces, self._lanes)
            if heir is not None or self._passages.beside(given.replaces, self._lanes):
                raise LocalError("enrolment.replaced_already", line=given.replaces)
        else:
            taken = {lane.label for lane in self._lanes.values()}
            label = pairing.check_label(given.line_label, taken)
        states = self._states()
        state, line = pairing.make(states, self.identity, given, label), max(states) + 1
        self._batch.state.update({(line, name): value for name, value in state.items()})
        told = {"line": line, "tape": given.tape is not None, "replaces": given.replaces}
        self._audit(now, given.actor, "pair", **told)
        self._load(line, state, now)
        self._follow()
        lane = self._lanes[line]
        lane.begin(self._batch, now)
        lane.line.start(now)
        return line

    def _states(self) -> dict[int, dict[str, bytes]]:
        """Line → its named state, 0 for the post itself, as this step has left them so far."""
        lines = {0, *self.store.lines(), *(line for line, _ in self._batch.state)}
        return {line: self._batch.left(line, self.store.state(line)) for line in lines}

    def _revoke(self, given: Revoke, now: Now) -> None:
        lane = self._lane(given.line)
        self._passages.revoke(lane, self._lanes, now)
        self._end(lane, "revoked", now)
        self._audit(now, given.actor, "revoke", line=given.line)

    def _end(self, lane: Lane, name: str, now: Now) -> None:
        """Erase the keys of a line; its record stays."""
        state = self.store.state(lane.number)
        self._batch.state.update({(lane.number, each): None for each in state if each not in _KEPT})
        lane.attachments.conclude()
        state["line"] = self._batch.state[lane.number, "line"] = lane.line.save()
        self._batch.state[lane.number, name] = str(now.wall_s).encode()
        lane.journey.write(self._batch)
        self.drafts.leave(lane.number, self._passages.after(lane.number, self._lanes))
        del self._lanes[lane.number]
        self._ended[lane.number] = ended_line(lane.number, state, _ENDS[name])

    def _set_address(self, given: SetAddress, now: Now) -> None:
        name = addressing.blob(self.label(given.line))
        self._batch.state[0, name] = addressing.encoded(given.text)
        self._audit(now, given.actor, "address_set", line=given.line)

    # -- tape ---------------------------------------------------------------------------------

    def _burn_pages(self, given: BurnPages, now: Now) -> Pages:
        burnt = tapes.take_burning(given, self._lane(given.line).seal, self.store, self._batch)
        pages, reserve = sorted(given.pages), given.reserve
        self._audit(now, given.actor, "burn_pages", line=given.line, pages=pages, reserve=reserve)
        return burnt

    def _add_tape(self, given: AddTape, now: Now) -> Pages:
        seal, pages = self._lane(given.line).seal, tape_pages(given.tape)
        pairing.check_tape(self._states(), given.tape)
        added = tapes.take_tape(given, pages, seal, self.store, self._batch)
        self._audit(now, given.actor, "add_tape", line=given.line, pages=added.number)
        return added

    def _back_up(self, given: BackUp, now: Now) -> bytes:
        made_s = backup.Wrapping.decode(given.wrapping).made_s
        kit = backup.collect(self.store, made_s, given.config)
        sealed = backup.seal(kit, given.wrapping, given.key)
        self._audit(now, given.actor, "backup", lines=len(kit.labels()), made_s=made_s)
        return sealed

    # -- what bearers and timers ask ----------------------------------------------------------

    def take(self, line: int, bearer: str, now: Now, above: int | None = None) -> list[Outgoing]:
        """Datagrams that a bearer of a line should send now: about 32 KiB at most, [] if there are
        none; `above` a rank, only what goes before it. After a StoreError nothing may be sent until
        the disk takes writes again: ask again later."""
        lane = self._lanes.get(line)
        if lane is None:
            return []
        try:
            taken = lane.take(bearer, now, above)
        except StoreError:
            self._reload(now)
            self._retry_ms = now.mono_ms + _RETRY_MS
            raise
        self._events += lane.events()
        return taken

    def deadline(self) -> int | None:
        """Monotonic milliseconds at which to call `step([Tick()])` next; None if nothing waits."""
        waits = [self.tray.deadline(), *(lane.deadline() for lane in self._lanes.values())]
        due = min((at for at in waits if at is not None), default=None)
        return None if due is None else max(due, self._retry_ms)

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
        """Numbers of all lines, ended ones too."""
        return sorted([*self._lanes, *self._ended])

    def open_lines(self) -> list[int]:
        """Numbers of the lines that have not ended."""
        return sorted(self._lanes)

    def named(self, label: str) -> list[int]:
        """The lines that bear a label, oldest first but the one in charge last."""
        lines = [number for number in self.lines() if self.label(number) == label]
        open_lines = [number for number in lines if number in self._lanes]
        charged = [n for n in open_lines if not self._passages.beside(n, self._lanes)]
        latest = (charged or open_lines or lines)[-1:]
        return [number for number in lines if number not in latest] + latest

    def label(self, line: int) -> str:
        """The local name of a line. Raises LocalError."""
        return self._ended[line].label if line in self._ended else self._lane(line).label

    def status(self, line: int, now: Now) -> LineStatus:
        """A line as it stands. Raises LocalError."""
        ended, passage = self._ended.get(line), self._passages[line]
        status = ended or standing_of(self._lane(line), now)
        beside = "" if ended else self._passages.beside(line, self._lanes)
        return replace(
            status,
            state=beside or status.state,
            full=not ended and self.store.full,
            succeeds=passage.succeeds,
            again=frozenset(passage.again),
            differs_at=passage.differs_at or status.differs_at,
        )

    def events(self) -> list[PostEvent]:
        """What happened since the last call, in order."""
        told, self._events = self._events, []
        return told
