"""Read models: what people may see of the record, as values ready for JSON.

Theory of operation: a view is built on demand from the store (what is on disk) and the post (what
is in motion), never kept. The command line, its `--json` listings and the desk read the same views;
their keys are documented in docs/operating/commands.md and do not change. Text in a view is raw, as
the other side wrote it: whoever shows it passes it through `display`. `message_view` is the one
place that decides what of a record a reader gets, so that a later need-to-know rule has one door to
guard. Nothing here changes anything, and nothing here words anything.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from . import display, dtg
from .attachments import shown as shown_files
from .authorship import Authorship
from .clock import Now
from .core import receipts
from .core.envelope import Refusal, decode_record
from .core.events import Serial
from .core.gaps import RangeSet
from .core.precedence import Precedence
from .delivery.explain import bearer_view
from .drafts import Drafts
from .errors import LocalError
from .healing import shown
from .journey import Journey
from .listing import Page, holes
from .people import People
from .reading import PAGE, reading_order
from .replies import Replies
from .sealing.openings import VERSION
from .status import KIND_NAMES, Comparison, LineStatus
from .store.base import CHAINED, FORKED, OURS, THEIRS, Mark, Row, Store
from .unopened import Unopened

View = dict[str, Any]
"""A JSON object."""

SIDES = ("ours", "theirs")
"""Names of store.base.OURS and THEIRS."""

ENDED = ("revoked", "retired")
"""States of a line whose keys are erased."""

IN_CHARGE = ("new", "opening", "open")
"""States of a line that carries what is released under its label."""

_HIDDEN = receipts.SERVICE | receipts.RECEIPTS | receipts.ATTACHED
_SPOKEN_KINDS = tuple(kind for kind in range(256) if kind not in _HIDDEN)
_LADDER = ("delivered", "opened", "shown", "holding", "declined")


class PostFace(Protocol):
    """What views ask of a post."""

    def lines(self) -> list[int]:
        """Numbers of its lines."""

    def label(self, line: int) -> str:
        """The local name of a line."""

    def named(self, label: str) -> list[int]:
        """The lines that bear a label, oldest first but the one in charge last."""

    def status(self, line: int, now: Now) -> LineStatus:
        """How a line stands."""

    def card(self) -> bytes | None:
        """Our card; None before the post has an identity."""

    two_persons: frozenset[Precedence]
    """What nobody may release who wrote it."""

    replies: Replies
    unopened: Unopened

    @property
    def drafts(self) -> Drafts:
        """What is under way."""

    @property
    def authorship(self) -> Authorship:
        """Who drafted and released what."""

    @property
    def people(self) -> People:
        """Its people."""


@dataclass(frozen=True, slots=True)
class _Context:
    """What is known of a line beyond its rows, read once for a whole listing."""

    line: int
    label: str
    acked: int | None
    """None once the line is revoked: what became of our last messages is no longer known."""
    refused: dict[Serial, str]
    underway: dict[int, list[str]]
    """Numbers of ours on the wire, with the bearers each is on."""
    again: frozenset[int]
    files: shown_files.Progress | None
    beyond: RangeSet
    missed: RangeSet
    authorship: Authorship
    journey: Journey | None

    @classmethod
    def of(cls, post: PostFace, line: int, now: Now) -> _Context:
        status = post.status(line, now)
        refused = {serial: _refusal(code) for serial, code in status.refused}
        acked = None if status.state == "revoked" else status.acked_number
        known = post.authorship, status.journey
        files = None if status.state in ENDED else status.files
        motion = (status.underway, status.again, files)
        there = RangeSet(status.beyond), RangeSet(status.missed)
        return cls(line, post.label(line), acked, refused, *motion, *there, *known)


def find_line(post: PostFace, label: str) -> int:
    """The number of the line a person names, of several the one in charge; raises
    LocalError("line.unknown").
    """
    lines = post.named(label)
    if not lines:
        raise LocalError("line.unknown", label=label)
    return lines[-1]


def kind_name(kind: int) -> str:
    """The stable name of a kind, or "unknown 37"."""
    return KIND_NAMES.get(kind, f"unknown {kind}")


def _moments(name: str, at_s: int | None) -> View:
    return {
        name: display.moment(at_s),
        f"{name}_group": None if at_s is None else dtg.group(at_s),
    }


def _serial(number: int, incarnation: int) -> View:
    serial = Serial(incarnation, number)
    return {"serial": str(serial), "number": number, "incarnation": incarnation}


def _mark(mark: Mark) -> View:
    return {
        "kind": kind_name(mark.kind),
        **_moments("at", mark.wall_s),
        **_moments("due", mark.due_s),
        "by": _serial(mark.by_number, mark.by_incarnation)["serial"],
    }


def _state(context: _Context, row: Row, marks: Sequence[View], *, restored: bool) -> str:
    said = {mark["kind"] for mark in marks}
    for step in reversed(_LADDER):
        if step in said:
            return step
    if restored:
        return "restored"
    return "arrived" if row.side == THEIRS else _reached(context, row)


def _reached(context: _Context, row: Row) -> str:
    """How far a record of ours has come between the machines."""
    if row.number in context.again:
        return "again"
    if context.acked is None:
        return "unknown"
    if row.number in context.missed:
        return "lost"
    if row.number <= context.acked or row.number in context.beyond:
        return "held"
    refusal = context.refused.get(Serial(row.incarnation, row.number))
    if refusal:
        return f"refused {refusal}"
    return "sent" if _bearers(context, row) else "queued"


def _bearers(context: _Context, row: Row) -> list[str]:
    """The bearers a record of ours is on now."""
    ours = row.side == OURS and row.standing == CHAINED
    return context.underway.get(row.number, []) if ours else []


def _refusal(code: int) -> str:
    """The stable name of a refusal (docs/protocol.md §8), or its number."""
    return {refusal.value: refusal.name.lower() for refusal in Refusal}.get(code, str(code))


def _standing(row: Row) -> str:
    if row.standing == FORKED or row.variant:
        return "fork"
    if row.standing != CHAINED:
        return "abandoned"
    return "chained" if row.head is not None else "waiting"


def message_view(
    context: _Context,
    row: Row,
    marks: Sequence[Mark],
    forks: int = 0,
    files: Sequence[View] = (),
) -> View:
    """One record for people: the one place where it is decided what a reader gets of it."""
    record = decode_record(row.record)
    seen = [
        {**_mark(mark), "actor": context.authorship.by_whom(marks, mark)}
        for mark in marks
        if mark.kind in receipts.RECEIPTS
    ]
    restored = shown.restored(marks)
    return {
        "type": "message",
        "line": context.line,
        "label": context.label,
        "side": SIDES[row.side],
        **_serial(row.number, row.incarnation),
        "variant": row.variant,
        "precedence": record.precedence.name,
        "kind": kind_name(record.kind),
        "service": record.kind in _HIDDEN,
        "language": record.language,
        "subject": record.subject,
        # Service records have none for people; an unknown kind is shown if it is text.
        "text": "" if record.kind in receipts.SERVICE | receipts.ATTACHED else record.text,
        **_moments("dtg", record.dtg_s),
        **_moments("filed", record.filed_s),
        **_moments("due", record.due_s),
        **_moments("arrived", row.wall_s),
        "references": [
            {"side": SIDES[row.side if ours else 1 - row.side], **_serial(serial[1], serial[0])}
            for ours, serial in record.references
        ],
        "state": _state(context, row, seen, restored=restored is not None),
        "bearers": _bearers(context, row),
        **(context.journey or Journey(row.line, None)).view(row, marks),
        "marks": seen,
        "authorship": context.authorship.view(marks),
        "standing": _standing(row),
        "restored": restored,
        "forks": forks,
        "doubts": display.doubts(record.filed_s, record.dtg_s, record.due_s, row.wall_s),
        "attachments": list(files),
        "bytes": len(row.record),
        "head": row.head.hex() if row.head else None,
    }


def _viewed(store: Store, context: _Context, row: Row) -> View:
    marks = store.marks(row.line, row.side, row.number, row.incarnation)
    forks = 0
    if context.line and row.variant == 0:
        same = store.variants(row.line, row.side, row.number)
        forks = sum(other.incarnation == row.incarnation for other in same) - 1
        forks += sum(mark.kind == receipts.FORK for mark in marks)
    files = shown_files.files_of(store, row, marks, context.files)
    return message_view(context, row, marks, forks, files)


def message(store: Store, post: PostFace, line: int, side: int, serial: Serial, now: Now) -> View:
    """One record with the other texts held for its serial under "other_texts"; raises
    LocalError("message.unknown").
    """
    context = _Context.of(post, line, now)
    rows = [
        row
        for row in store.variants(line, side, serial.number)
        if row.incarnation == serial.incarnation
    ]
    if not rows:
        raise LocalError("message.unknown", serial=str(serial), label=context.label)
    rows.sort(key=lambda row: row.variant)
    first = _viewed(store, context, rows[0])
    first["other_texts"] = [_viewed(store, context, row) for row in rows[1:]]
    return first


def resolve(store: Store, line: int, side: int, number: int, incarnation: int | None) -> Serial:
    """The serial a person means by a number, if it means one record only.

    Raises LocalError("message.unknown") or ("message.ambiguous", with the `choices`).
    """
    rows = [row for row in store.variants(line, side, number) if row.variant == 0]
    if incarnation is not None:
        rows = [row for row in rows if row.incarnation == incarnation]
    if not rows:
        raise LocalError("message.unknown", serial=str(number))
    if len(rows) > 1:
        choices = " ".join(str(Serial(row.incarnation, row.number)) for row in rows)
        raise LocalError("message.ambiguous", serial=str(number), choices=choices)
    return Serial(rows[0].incarnation, rows[0].number)


def inbox(
    store: Store,
    post: PostFace,
    line: int | None,
    now: Now,
    *,
    limit: int = 50,
    everything: bool = False,
    after: int | None = None,
    reached: Iterable[tuple[int, int]] = (),
) -> View:
    """The newest `limit` messages of the other sides in order of arrival, gaps marked where they
    are; of one line, those of all that bear its label: {"records": […], "next": {"after": n,
    "limit": n, "reached": [[line, number], …]} or None}. Pass what "next" has to read on.

    Messages have "type" "message"; numbers not here yet "gap"; numbers that will not come "lost".
    Service records and receipts are left out unless `everything`.
    """
    chosen = post.lines() if line is None else post.named(post.label(line))
    contexts = {number: _Context.of(post, number, now) for number in chosen}
    kinds, first = None if everything else _SPOKEN_KINDS, after is None
    found = [
        row
        for number in chosen
        for row in store.arrivals(number, after or 0, limit, side=THEIRS, kinds=kinds, newest=first)
    ]
    found.sort(key=lambda row: row.arrival)
    rows = found[-limit:] if first else found[:limit]
    highest = dict.fromkeys(chosen, 0) | dict(reached)
    missing = {number: _missing(post, number, highest[number], now) for number in chosen}
    page = Page()
    for at, row in enumerate(rows):
        if page.full:
            place = {"after": rows[at - 1].arrival, "limit": limit - at}
            return page.answer({**place, "reached": [list(each) for each in highest.items()]})
        while missing[row.line] and missing[row.line][0]["last"] < row.number:
            page.add(missing[row.line].popleft())
        page.add(_viewed(store, contexts[row.line], row))
        highest[row.line] = max(highest[row.line], row.number)
    for hole in (each for rest in missing.values() for each in rest if each["type"] == "gap"):
        page.add(hole)
    return page.answer()


def _missing(post: PostFace, line: int, reached: int, now: Now) -> deque[View]:
    """What is missing of the other side's numbers beyond `reached`, in order."""
    status, label = post.status(line, now), post.label(line)
    ranges = sorted(each for each in (*status.gaps, *status.lost) if each[1] > reached)
    return deque(hole for each in ranges for hole in holes(line, label, *each, status.lost))


def line_view(post: PostFace, line: int, now: Now) -> View:
    """Everything known of one line without its messages."""
    status = post.status(line, now)
    return {
        "line": line,
        "label": post.label(line),
        "state": status.state,
        "paired_by": None if status.state in ENDED else "tape" if status.tape else "card",
        "succeeds": status.succeeds,
        "peer_version": status.peer_version,
        "alarm": status.alarm,
        "own_number": status.own_number,
        "acked_number": status.acked_number,
        "outbox": status.outbox,
        "peer_number": status.peer_number,
        "peer_highest": status.peer_highest,
        "gaps": [list(gap) for gap in status.gaps],
        "lost": [list(gap) for gap in status.lost],
        "own_serial": str(status.own_serial) if status.own_serial else None,
        "peer_serial": str(status.peer_serial) if status.peer_serial else None,
        "digest": status.digest or None,
        "differs_at": status.differs_at,
        "heard": display.moment(status.heard_s),
        "heard_age_s": None if status.heard_s is None else max(0, now.wall_s - status.heard_s),
        "bearers": [
            bearer_view(name, b, now.mono_ms) for name, b in sorted(status.bearers.items())
        ],
        "flood": status.flood,
        "full": status.full,
        "faults": dict(status.faults),
        "forks": status.forks,
        "refused": [
            {**_serial(serial.number, serial.incarnation), "refusal": _refusal(code)}
            for serial, code in status.refused
        ],
        "comparison": None if status.comparison is None else _comparison(status.comparison),
        "healing": shown.healing(status.healing),
    }


def _comparison(found: Comparison) -> View:
    difference = found.first_difference
    return {
        "asked": display.moment(found.asked_s),
        "answered": display.moment(found.answered_s),
        "agree": found.agree,
        "own": str(found.own),
        "peer": str(found.peer),
        "digest": found.digest.hex(),
        "first_difference": difference and {"side": SIDES[difference[0]], "number": difference[1]},
    }


def healing(store: Store, post: PostFace, line: int, now: Now) -> View:
    """What either side asked to be given back, and how far it is; "aside" is how many records of
    theirs we hold off the chain.
    """
    found = shown.healing(post.status(line, now).healing)
    return {"line": line, "label": post.label(line), "aside": shown.aside(store, line), **found}


def lines(post: PostFace, now: Now, only: Container[int] | None = None) -> list[View]:
    """All lines or `only` these, as `line_view` shows them, in order of their labels."""
    numbers = [line for line in post.lines() if only is None or line in only]
    return sorted((line_view(post, line, now) for line in numbers), key=lambda v: v["label"])


def status(post: PostFace, now: Now, only: Container[int] | None = None) -> View:
    """The post, or `only` these lines, at a glance: what needs a person first, then its lines."""
    views = lines(post, now, only)
    return {
        "now": display.moment(now.wall_s),
        "alarms": [view["label"] for view in views if view["alarm"]],
        "forked": [view["label"] for view in views if view["forks"]],
        "differing": [view["label"] for view in views if _differs(view)],
        "flooded": [view["label"] for view in views if view["flood"]],
        "full": [view["label"] for view in views if view["full"]],
        "asking": [view["label"] for view in views if shown.awaits_us(view["healing"])],
        "silent": [
            view["label"]
            for view in views
            if view["state"] in IN_CHARGE and not any(b["up"] for b in view["bearers"])
        ],
        "other_version": [
            view["label"] for view in views if view["peer_version"] not in (None, VERSION)
        ],
        "lines": views,
    }


def _differs(view: View) -> bool:
    compared = view["comparison"]
    return view["differs_at"] is not None or bool(compared and compared["agree"] is False)


def transcript(
    store: Store,
    post: PostFace,
    line: int,
    now: Now,
    *,
    ours: int = 0,
    theirs: int = 0,
    limit: int = PAGE,
    raw: bool = False,
) -> View:
    """A page of the transcript: {"records": [...], "next": {"ours": n, "theirs": m} or None}.

    Pass the numbers of "next" to read on. Numbers missing on a chain appear as "gap" or "lost"
    where they are. With `raw` each record also has its bytes in hex as "record", which is what the
    heads are made of.
    """
    context = _Context.of(post, line, now)
    lost = post.status(line, now).lost
    reached = [ours, theirs]
    page = Page(limit)
    for row in reading_order(store, line, ours, theirs):
        if page.full:
            return page.answer(dict(zip(SIDES, reached, strict=True)))
        if row.side == THEIRS:
            missing = reached[THEIRS] + 1, row.number - 1
            for hole in holes(line, context.label, *missing, lost):
                page.add(hole)
        reached[row.side] = row.number
        shown_row = _viewed(store, context, row)
        page.add({**shown_row, "record": row.record.hex()} if raw else shown_row)
    return page.answer()


def off_chain(store: Store, post: PostFace, line: int, now: Now, *, after: int = 0) -> View:
    """Records kept off the chain: abandoned ones and the differing texts of forks, in order of
    arrival: {"records": […], "next": {"after": n} or None}. Pass what "next" has to read on.
    """
    context = _Context.of(post, line, now)
    page = Page()
    while rows := store.arrivals(line, after, PAGE, aside=True):
        for row in rows:
            if page.full:
                return page.answer({"after": after})
            page.add(_viewed(store, context, row))
            after = row.arrival
    return page.answer()
