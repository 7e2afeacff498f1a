"""All drafts of a post: texts on their way from those who write them to one who releases them.

Theory of operation: a draft is one named blob of its line, "draft/ID", and one value in memory
(`draft`). Each act makes a new value and puts its blob into the batch of the step, so that the act,
its entry in the audit log and its effect are one commit; after a failed commit all of it is made
anew from the store.

Nobody overwrites or erases what he has not seen: a save names the revision it was made from. If
another is current by then, the text is kept aside under a number of its own, and the writer is told
who was there before. A drop names the last revision that was seen, kept aside or not. A release
names the revision and the digest of all that was shown to the releaser; it
releases the text and ends the draft at once, and whoever asks for it again (a second releaser, a
double click, a connection lost before the answer) is told the same Serial. A line that is succeeded
leaves its drafts to its successor; one that is revoked takes them with it.

Which rights an act needs, how a record is made and when two persons are needed do not live here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from .attached import Attached
from .core.envelope import encode_record
from .core.events import Now, Serial
from .draft import (
    COMMENT_BYTES_MAX,
    COMMENTS_MAX,
    DRAFT_BYTES_MAX,
    DRAFTS_MAX,
    ENDED_MAX,
    REVISIONS_MAX,
    Comment,
    Draft,
    Revision,
    State,
    Step,
    characters,
    check,
    digest,
    record,
)
from .errors import LocalError
from .inputs import (
    CommentDraft,
    DropDraft,
    HandDraft,
    Release,
    ReleaseDraft,
    ReturnDraft,
    Reviewed,
    SaveDraft,
    Written,
)
from .sealing.keys import Entropy
from .store.base import Batch, Store

_PREFIX = "draft/"
_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"
"""Signs of an id: none that is taken for another when it is read aloud."""
_ID_CHARS = 6


class Speaking(Protocol):
    """A line on which something can be released."""

    number: int
    label: str


class Drafts:
    """The drafts of a post; of those that have ended, the latest."""

    def __init__(
        self,
        store: Store,
        entropy: Entropy,
        speaking: Callable[[int], Speaking],
        release: Callable[[Release, Now], Serial],
        audit: Callable[..., None],
        check_files: Callable[[Sequence[Attached], str], None],
    ) -> None:
        self._entropy = entropy
        self._speaking = speaking
        """The line that carries what is released on a line; raises LocalError if there is none."""
        self._release_text = release
        self._audit = audit
        """(now, actor, act, **details): an entry of the audit log."""
        self._check_files = check_files
        """(files, draft): whether this draft may name them; raises LocalError."""
        self._batch = Batch()
        self.grew = False
        """Whether this step writes what is not released: no use for the disk reserve."""
        self.done: list[tuple[int, str]] = []
        """What this step did, for those who watch: (line, act)."""
        self._of: dict[str, Draft] = {}
        for line in store.lines():
            for name, saved in store.state(line).items():
                if name.startswith(_PREFIX):
                    self._of[name.removeprefix(_PREFIX)] = Draft.decode(saved)
        self.takers: Mapping[type, Callable[[Any, Now], object]] = {
            SaveDraft: self._save,
            HandDraft: self._hand,
            CommentDraft: self._comment,
            ReturnDraft: self._return,
            ReleaseDraft: self._release,
            DropDraft: self._drop,
        }
        """Input → what takes it."""

    def begin(self, batch: Batch) -> None:
        """A step begins."""
        self._batch, self.grew, self.done = batch, False, []

    def leave(self, line: int, heir: int | None) -> None:
        """A line ends: its drafts go to the one that takes its place, or are erased with it."""
        for draft in self.on(line):
            self._remove(draft)
            if heir is not None:
                self._put(replace(draft, line=heir))

    # -- reading ------------------------------------------------------------------------------

    def find(self, draft_id: str) -> Draft:
        """A draft. Raises LocalError("draft.unknown")."""
        if draft_id not in self._of:
            raise LocalError("draft.unknown", draft=draft_id)
        return self._of[draft_id]

    def on(self, line: int) -> list[Draft]:
        """The drafts of a line, the one that changed last at the end."""
        found = (draft for draft in self._of.values() if draft.line == line)
        return sorted(found, key=lambda draft: draft.changed_s)

    def files(self, *, but: str) -> set[str]:
        """The ids of files that drafts under way name, all but one of them."""
        drafts = (draft for draft in self._of.values() if draft.id != but and not draft.ended)
        revisions = (each for draft in drafts for each in draft.revisions)
        return {file.content for each in revisions for file in each.content.files}

    def in_review(self) -> list[Draft]:
        """The drafts that wait for a releaser, on all lines."""
        return [draft for draft in self._of.values() if draft.state is State.REVIEW]

    # -- writing ------------------------------------------------------------------------------

    def _save(self, given: SaveDraft, now: Now) -> Written | LocalError:
        check(given.content, now)
        self._check_files(given.content.files, given.draft)
        if not given.draft:
            return self._new(given, now)
        draft = self.find(given.draft)
        draft.after("save")
        before = draft.latest
        if (before.writer, before.content) == (given.actor, given.content):
            # Nothing new, or asked again because the answer was lost.
            return Written(draft.id, draft.current)
        if not 0 < given.revision <= draft.last_number:
            raise LocalError("draft.revision_unknown", draft=draft.id, revision=given.revision)
        if given.revision != draft.current:
            return self._keep_aside(draft, given, now)
        number, kept = draft.last_number + 1, draft.revisions
        revision = Revision(number, given.actor, now.wall_s, draft.current, False, given.content)
        if given.autosave and _own_and_unseen(draft, given.actor):
            kept = tuple(each for each in kept if each is not before)
            revision = replace(revision, base=before.base)
        self._grow(replace(draft, current=number, revisions=(*kept, revision)))
        if not given.autosave:
            self._note(now, given.actor, "draft_save", draft, revision=number)
        return Written(draft.id, number)

    def _keep_aside(self, draft: Draft, given: SaveDraft, now: Now) -> LocalError:
        """Keep a text that was made from what is current no more, and say who was there before."""
        own = (True, given.actor, given.revision)
        alike = [each for each in draft.revisions if (each.aside, each.writer, each.base) == own]
        same = next((each for each in alike if each.content == given.content), None)
        number = same.number if same else draft.last_number + 1
        if same is None:
            # What is saved by itself again and again takes the place of what it saved before.
            kept = [each for each in draft.revisions if not (given.autosave and each in alike)]
            aside = Revision(number, given.actor, now.wall_s, given.revision, True, given.content)
            self._grow(replace(draft, revisions=(*kept, aside)))
            self._note(now, given.actor, "draft_aside", draft, revision=number)
        told = {"by": draft.latest.writer, "revision": draft.current, "kept": number}
        return LocalError("draft.kept_aside", draft=draft.id, **told)

    def _new(self, given: SaveDraft, now: Now) -> Written:
        line = self._speaking(given.line).number
        if sum(not draft.ended for draft in self.on(line)) >= DRAFTS_MAX:
            raise LocalError("draft.too_many", most=DRAFTS_MAX)
        first = Revision(1, given.actor, now.wall_s, 0, False, given.content)
        draft = Draft(self._new_id(), line, given.actor, State.DRAFT, 1, (first,))
        self._grow(draft)
        self._note(now, given.actor, "draft_save", draft, revision=1)
        return Written(draft.id, 1)

    def _new_id(self) -> str:
        drawn = ""
        while not drawn or drawn in self._of:
            signs = (_ALPHABET[octet % len(_ALPHABET)] for octet in self._entropy(_ID_CHARS))
            drawn = "".join(signs)
        return drawn

    def _drop(self, given: DropDraft, now: Now) -> None:
        draft = self.find(given.draft)
        draft.after("drop")
        if given.actor != draft.author and not given.others:
            raise LocalError("draft.not_yours", draft=draft.id, by=draft.author)
        # A text that was kept aside goes with the draft: whoever drops it has seen that one too.
        _seen(draft, draft.revisions[-1], given.revision)
        self._bring(draft, "drop", given.actor, now)

    # -- reviewing ----------------------------------------------------------------------------

    def _hand(self, given: HandDraft, now: Now) -> Written:
        draft = self.find(given.draft)
        if (draft.state, draft.current) != (State.REVIEW, given.revision):
            draft = self._as_seen(given, "hand")
            content = draft.latest.content
            if not content.body.strip():
                raise LocalError("message.empty")
            encode_record(record(content, now))
            self._bring(draft, "hand", given.actor, now)
        return Written(draft.id, draft.current)

    def _comment(self, given: CommentDraft, now: Now) -> Written:
        draft = self.find(given.draft)
        draft.after("comment")
        self._grow(_commented(draft, given.actor, given.text, now))
        self._note(now, given.actor, "draft_comment", draft, revision=draft.current)
        return Written(draft.id, draft.current)

    def _return(self, given: ReturnDraft, now: Now) -> Written:
        draft = self.find(given.draft)
        draft.after("return")
        if given.text:
            draft = _commented(draft, given.actor, given.text, now)
        self._bring(draft, "return", given.actor, now)
        return Written(draft.id, draft.current)

    def _release(self, given: ReleaseDraft, now: Now) -> Serial:
        draft = self.find(given.draft)
        if draft.serial and (given.revision, given.digest) == (draft.current, draft.digest):
            return draft.serial
        draft = self._as_seen(given, "release")
        line = self._speaking(draft.line)
        if given.digest != digest(line.label, draft.latest.content):
            raise LocalError("draft.hash", draft=draft.id)
        serial = self._release_text(_as_released(draft, line.number, given.actor), now)
        draft = replace(draft, serial=serial, digest=given.digest)
        self._bring(draft, "release", given.actor, now)
        return serial

    # -- what acts have in common -------------------------------------------------------------

    def _as_seen(self, given: HandDraft | ReleaseDraft, act: str) -> Draft:
        """The draft, if what the actor has seen of it is current. Raises LocalError."""
        draft = self.find(given.draft)
        draft.after(act)
        _seen(draft, draft.latest, given.revision)
        return draft

    def _bring(self, draft: Draft, act: str, actor: str, now: Now) -> None:
        """Bring a draft to another state, and say so in the audit log."""
        step = Step(act, actor, now.wall_s, draft.current)
        draft = replace(draft, state=draft.after(act), steps=(*draft.steps, step))
        if draft.ended:
            self._put(draft.without_text())
            ended = [each for each in self.on(draft.line) if each.ended]
            for each in ended[:-ENDED_MAX]:
                self._remove(each)
        else:
            self._grow(draft)
        self._note(now, actor, f"draft_{act}", draft, revision=draft.current)

    def _grow(self, draft: Draft) -> None:
        """Put a draft that holds more than before, if there is room for it."""
        if len(draft.revisions) > REVISIONS_MAX:
            raise LocalError("draft.revisions", draft=draft.id, most=REVISIONS_MAX)
        if len(draft.encode()) > DRAFT_BYTES_MAX:
            raise LocalError("draft.too_big", draft=draft.id, bytes_max=DRAFT_BYTES_MAX)
        self.grew = True
        self._put(draft)

    def _put(self, draft: Draft) -> None:
        self._of[draft.id] = draft
        self._batch.state[draft.line, _PREFIX + draft.id] = draft.encode()

    def _remove(self, draft: Draft) -> None:
        del self._of[draft.id]
        self._batch.state[draft.line, _PREFIX + draft.id] = None

    def _note(self, now: Now, actor: str, act: str, draft: Draft, *, revision: int) -> None:
        """Say in the audit log what was done, and to those who watch."""
        self.done.append((draft.line, act))
        if act != "draft_release":  # of which the entry is that of the message
            self._audit(now, actor, act, line=draft.line, draft=draft.id, revision=revision)


def _seen(draft: Draft, last: Revision, revision: int) -> None:
    """That the last revision is the one an actor has seen. Raises LocalError("draft.changed")."""
    if revision != last.number:
        told = {"by": last.writer, "revision": last.number}
        raise LocalError("draft.changed", draft=draft.id, **told)


def _own_and_unseen(draft: Draft, actor: str) -> bool:
    """Whether the current text is the actor's own, and nobody has handed it on, said anything of it
    or built upon it."""
    seen = {step.revision for step in draft.steps}
    seen |= {comment.revision for comment in draft.comments}
    seen |= {revision.base for revision in draft.revisions}
    return draft.latest.writer == actor and draft.current not in seen


def _as_released(draft: Draft, line: int, actor: str) -> Release:
    """The current revision as it goes on a line."""
    latest, said = draft.latest, draft.latest.content
    return Release(
        *(line, actor, said.precedence, said.language, said.subject, said.body),
        *(said.dtg_s, said.due_s, said.references),
        Reviewed(draft.id, latest.number, draft.writers(), latest.writer, latest.at_s),
        said.files,
    )


def _commented(draft: Draft, actor: str, text: str, now: Now) -> Draft:
    if not text.strip():
        raise LocalError("draft.no_comment")
    if len(characters(text).encode()) > COMMENT_BYTES_MAX:
        raise LocalError("draft.comment_too_long", bytes_max=COMMENT_BYTES_MAX)
    if len(draft.comments) >= COMMENTS_MAX:
        raise LocalError("draft.comments", most=COMMENTS_MAX)
    comment = Comment(actor, now.wall_s, draft.current, text)
    return replace(draft, comments=(*draft.comments, comment))
