"""Drafts for people: what is under way, and one draft with its revisions, changes and comments.

Theory of operation: as in views.py: built on demand, raw text, keys documented in
docs/operating/commands.md, nothing worded. `hash` is what a release has to name: the digest of all
that the view shows of the current revision.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher

from . import display, dtg
from .core.events import Reference
from .draft import Draft, Revision, digest
from .inputs import Content
from .views import SIDES, PostFace, View


def listing(post: PostFace, lines: list[int], *, everything: bool = False) -> list[View]:
    """The drafts of these lines, those that changed last at the end; with `everything` also those
    that have ended."""
    found = [draft for line in lines for draft in post.drafts.on(line)]
    found.sort(key=lambda draft: draft.changed_s)
    return [_summary(post, draft) for draft in found if everything or not draft.ended]


def draft_view(
    post: PostFace, draft_id: str, number: int | None = None, since: int | None = None
) -> View:
    """One draft with the text of the current revision, or of revision `number`, and what changed in
    it against `since`, or against the revision it was made from. Raises LocalError."""
    draft = post.drafts.find(draft_id)
    shown = draft.latest if number is None else draft.revision(number)
    label, said = post.label(draft.line), shown.content
    before = _compared(draft, shown, since)
    return {
        **_summary(post, draft),
        "shown": shown.number,
        "subject": said.subject,
        "text": said.body,
        **_fields(said),
        "hash": draft.digest or digest(label, draft.latest.content),
        "changes": None if before is None else _changes(before, shown),
        "revisions": [
            {
                "revision": each.number,
                "by": each.writer,
                **_moments("at", each.at_s),
                "base": each.base,
                "aside": each.aside,
            }
            for each in draft.revisions
        ],
        "comments": [
            {
                "by": each.by,
                **_moments("at", each.at_s),
                "revision": each.revision,
                "text": each.text,
            }
            for each in draft.comments
        ],
        "steps": [
            {
                "act": each.act,
                "by": each.by,
                **_moments("at", each.at_s),
                "revision": each.revision,
            }
            for each in draft.steps
        ],
    }


def _moments(name: str, at_s: int | None) -> View:
    group = None if at_s is None else dtg.group(at_s)
    return {name: display.moment(at_s), f"{name}_group": group}


def _summary(post: PostFace, draft: Draft) -> View:
    latest = draft.latest
    return {
        "draft": draft.id,
        "line": draft.line,
        "label": post.label(draft.line),
        "state": draft.state.value,
        "revision": draft.current,
        "author": draft.author,
        "writers": [*draft.writers()],
        "precedence": latest.content.precedence.name,
        "two_persons": latest.content.precedence in post.two_persons,
        "language": latest.content.language,
        "subject": latest.content.subject,
        "beginning": latest.content.body[:200],
        **_moments("changed", draft.changed_s),
        "aside": [each.number for each in draft.revisions if each.aside],
        "serial": None if draft.serial is None else str(draft.serial),
    }


def _fields(said: Content) -> View:
    """What a content says beside its text, ready for JSON."""
    return {
        "precedence": said.precedence.name,
        "language": said.language,
        "subject": said.subject,
        **_moments("dtg", said.dtg_s),
        **_moments("due", said.due_s),
        "references": [_reference(each) for each in said.references],
        "action": [*said.action],
        "information": [*said.information],
        "files": [
            {"file": each.content, "name": each.name, "bytes": each.size, "sha256": each.digest}
            for each in said.files
        ],
    }


def _reference(said: Reference) -> View:
    ours, serial = said
    where = {"side": SIDES[0 if ours else 1], "serial": str(serial)}
    return {**where, "number": serial.number, "incarnation": serial.incarnation}


def _compared(draft: Draft, shown: Revision, since: int | None) -> Revision | None:
    if since is not None:
        return draft.revision(since)
    return next((each for each in draft.revisions if each.number == shown.base), None)


def _changes(before: Revision, after: Revision) -> View:
    """The fields that differ, and the text line by line: "=" in both, "-" before, "+" after."""
    old, new = _fields(before.content), _fields(after.content)
    return {
        "since": before.number,
        "fields": [
            {"field": name, "before": old[name], "after": new[name]}
            for name in new
            if old[name] != new[name] and not name.endswith("_group")
        ],
        "lines": [[*each] for each in _lines(before.content.body, after.content.body)],
    }


def _lines(before: str, after: str) -> Iterator[tuple[str, str]]:
    old, new = before.split("\n"), after.split("\n")
    for tag, a, b, c, d in SequenceMatcher(None, old, new).get_opcodes():
        if tag == "equal":
            yield from (("=", line) for line in old[a:b])
        else:
            yield from (("-", line) for line in old[a:b])
            yield from (("+", line) for line in new[c:d])
