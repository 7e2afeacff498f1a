"""A draft as a value: its revisions, comments and state, what may become of it, how it is kept.

Theory of operation: every bound of drafts and `TRANSITIONS`, the whole truth about their states,
stand here. The latter is no `core.states.Machine`, because a pair that is not in it is a person's
mistake and not a fault of ours. A draft is frozen: each act makes another value (`drafts`). Of one
that has ended the text is erased; for what was released it is in the record.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from enum import Enum
from hashlib import sha256
from typing import Any

from .attached import Attached, checked_count
from .core import receipts
from .core.envelope import Record, encode_record
from .core.events import Now, Reference, Serial
from .core.limits import OFFSET_S_MAX
from .core.precedence import Precedence
from .errors import LocalError
from .inputs import Content

DRAFTS_MAX = 100
"""Drafts under way on one line."""
REVISIONS_MAX = 100
"""Revisions kept of one draft; what autosaving replaces is not kept."""
COMMENTS_MAX = 200
"""Comments on one draft."""
COMMENT_BYTES_MAX = 4096
"""Longest comment."""
ADDRESSEES_MAX = 32
"""Action addressees of one draft, and information addressees."""
ADDRESSEE_CHARS_MAX = 64
"""Longest name of an addressee."""
DRAFT_BYTES_MAX = 512 * 1024
"""One draft with all its revisions and comments, as kept."""
ENDED_MAX = 1000
"""Ended drafts remembered of one line: so long does a repeated release find its Serial."""


class State(Enum):
    """Where a draft is."""

    DRAFT = "draft"
    REVIEW = "review"
    RELEASED = "released"
    DROPPED = "dropped"


TRANSITIONS = {
    (State.DRAFT, "save"): State.DRAFT,
    (State.DRAFT, "comment"): State.DRAFT,
    (State.DRAFT, "hand"): State.REVIEW,
    (State.DRAFT, "drop"): State.DROPPED,
    (State.REVIEW, "save"): State.REVIEW,
    (State.REVIEW, "comment"): State.REVIEW,
    (State.REVIEW, "return"): State.DRAFT,
    (State.REVIEW, "release"): State.RELEASED,
    (State.REVIEW, "drop"): State.DROPPED,
}
"""(state, act) → state; what is not here cannot be done."""

REFUSALS = {
    State.DRAFT: "draft.not_handed",
    State.REVIEW: "draft.in_review",
    State.RELEASED: "draft.released",
    State.DROPPED: "draft.dropped",
}
"""Why an act cannot be done, by the state that does not know it."""


@dataclass(frozen=True)
class Revision:
    """One text of a draft. `base` is the revision it was made from; `aside` says that another was
    there before it, so that it was never current."""

    number: int
    writer: str
    at_s: int
    base: int
    aside: bool
    content: Content


@dataclass(frozen=True)
class Comment:
    """What somebody said of a revision."""

    by: str
    at_s: int
    revision: int
    text: str


@dataclass(frozen=True)
class Step:
    """Who handed, returned, released or dropped a draft, and when; `revision` was current."""

    act: str
    by: str
    at_s: int
    revision: int


@dataclass(frozen=True)
class Draft:
    """A draft as it stands. `revisions` are in the order they came, the current one among them."""

    id: str
    line: int
    author: str
    state: State
    current: int
    revisions: tuple[Revision, ...]
    comments: tuple[Comment, ...] = ()
    steps: tuple[Step, ...] = ()
    serial: Serial | None = None
    digest: str = ""
    """Of what was released."""

    @property
    def latest(self) -> Revision:
        """The current revision; of a draft that has ended, without its text."""
        return next(each for each in self.revisions if each.number == self.current)

    @property
    def last_number(self) -> int:
        """The highest number a revision has had."""
        return max(each.number for each in self.revisions)

    @property
    def ended(self) -> bool:
        """Whether it is frozen for good."""
        return self.state in (State.RELEASED, State.DROPPED)

    @property
    def changed_s(self) -> int:
        """When something was done with it last, unix seconds."""
        dated: tuple[Revision | Comment | Step, ...] = self.revisions + self.comments + self.steps
        return max(each.at_s for each in dated)

    def revision(self, number: int) -> Revision:
        """A revision that is kept. Raises LocalError("draft.revision_unknown")."""
        found = [each for each in self.revisions if each.number == number]
        if not found:
            raise LocalError("draft.revision_unknown", draft=self.id, revision=number)
        return found[0]

    def after(self, act: str) -> State:
        """The state after an act. Raises LocalError for one that cannot be done now."""
        state = TRANSITIONS.get((self.state, act))
        if state is None:
            serial = str(self.serial or "")
            raise LocalError(REFUSALS[self.state], draft=self.id, serial=serial)
        return state

    def writers(self) -> tuple[str, ...]:
        """Whose texts the current one stands on, the first writer first."""
        by_number = {each.number: each for each in self.revisions}
        chain, at = [self.latest], self.latest.base
        while at in by_number:
            chain.append(by_number[at])
            at = by_number[at].base
        return tuple(dict.fromkeys(each.writer for each in reversed(chain)))

    def without_text(self) -> Draft:
        """What is left of a draft that has ended."""
        latest = self.latest
        bare = replace(latest, content=latest.content._replace(subject="", body="", files=()))
        return replace(self, revisions=(bare,), comments=())

    def encode(self) -> bytes:
        """For the store."""
        return json.dumps(
            {
                **self.__dict__,
                "state": self.state.value,
                "revisions": [[*vars(each).values()] for each in self.revisions],
                "comments": [[*vars(each).values()] for each in self.comments],
                "steps": [[*vars(each).values()] for each in self.steps],
            },
            ensure_ascii=False,
            separators=(",", ":"),
        ).encode()

    @classmethod
    def decode(cls, saved: bytes) -> Draft:
        """The reverse of `encode`."""
        values = json.loads(saved)
        values["state"] = State(values["state"])
        values["revisions"] = tuple(
            Revision(*[*each[:-1], _content(each[-1])]) for each in values["revisions"]
        )
        values["comments"] = tuple(Comment(*each) for each in values["comments"])
        values["steps"] = tuple(Step(*each) for each in values["steps"])
        values["serial"] = Serial(*values["serial"]) if values["serial"] else None
        return cls(**values)


def _content(saved: list[Any]) -> Content:
    precedence, language, subject, body, dtg_s, due_s, references, action, information = saved[:9]
    files = (Attached(*each) for each in (saved[9:] or [[]])[0])
    named = tuple(Reference(ours, Serial(*serial)) for ours, serial in references)
    return Content(
        Precedence(precedence),
        *(language, subject, body, dtg_s, due_s),
        *(named, tuple(action), tuple(information), tuple(files)),
    )


def digest(to: str, content: Content) -> str:
    """SHA-256 in hex of all that a release puts its name to: to whom (the label of the line), and
    the whole content, with name, length and SHA-256 of each file if there are any, as a JSON array
    in UTF-8 without spaces."""
    said: list[object] = ["openline draft 1", to, content.precedence.name, *content[1:-1]]
    if content.files:
        said.append([each[1:] for each in content.files])
    return sha256(json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()


def record(content: Content, now: Now) -> Record:
    """The record that a content would be if it were released now."""
    dtg_s = now.wall_s if content.dtg_s is None else content.dtg_s
    fields = (content.precedence, receipts.TEXT, content.language, now.wall_s, dtg_s)
    spoken = (content.due_s, tuple(content.references), content.subject, content.body.encode())
    return Record(1, 1, *fields, *spoken)


def check(content: Content, now: Now) -> None:
    """A content may be unfinished, but must be text and of a size to be sent; else LocalError.

    Whether a reply is due in the past is judged when it is handed over and released.
    """
    checked_count(content.files)
    for text in (content.subject, content.body, *content.action, *content.information):
        characters(text)
    for names in (content.action, content.information):
        if len(names) > ADDRESSEES_MAX:
            raise LocalError("draft.addressees", most=ADDRESSEES_MAX)
        for name in names:
            if not name.strip() or len(name) > ADDRESSEE_CHARS_MAX or not name.isprintable():
                raise LocalError("draft.addressee", most=ADDRESSEE_CHARS_MAX)
    encode_record(record(content._replace(due_s=None), now))
    if content.due_s is not None and abs(content.due_s - now.wall_s) > OFFSET_S_MAX:
        raise LocalError("message.time", seconds_max=OFFSET_S_MAX)


def characters(text: str) -> str:
    """The text itself; raises LocalError for what is no character (a lone surrogate)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise LocalError("message.not_text") from None
    return text
