"""The verbs about drafts: their arguments, and the input or the answer that each means.

Theory of operation: as in verbs.py, whose tables take these in. A draft is named by its id alone.
Arguments, by verb:

    drafts          [line] [all]
    draft_show      draft [revision] [since]
    draft_save      line, or draft and revision (the one it was made from); text [precedence]
                    [language] [subject] [dtg_s] [due_s] [references] [action] [information]
                    (lists of names) [files] [autosave]: all of it each time, what is left out is
                    gone
    draft_hand      draft revision
    draft_comment   draft text
    draft_return    draft [text]
    draft_release   draft revision hash
    draft_drop      draft revision (the last there was, those kept aside among them) [others]

What the acts do lives in drafts.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import draft_views, inputs
from .arguments import Args, count, get
from .core.events import Now
from .errors import LocalError
from .naming import files_in, line_in, precedence_in, references_in
from .store.base import Store
from .views import PostFace, View


def _names(args: Args, name: str) -> tuple[str, ...]:
    said = get(args, name, list, [])
    if not all(isinstance(each, str) for each in said):
        raise LocalError("control.argument", name=name)
    return tuple(said)


def _save(store: Store, post: PostFace, actor: str, args: Args) -> inputs.Input:
    draft, line, revision = get(args, "draft", str, ""), 0, 0
    if draft:
        label = post.label(post.drafts.find(draft).line)
        revision = count(args, "revision", 0)
    else:
        line = line_in(post, args)
        label = post.label(line)
    content = inputs.Content(
        precedence_in(args),
        get(args, "language", str, ""),
        get(args, "subject", str, ""),
        get(args, "text", str),
        get(args, "dtg_s", int, None),
        get(args, "due_s", int, None),
        references_in(store, post, label, args),
        _names(args, "action"),
        _names(args, "information"),
        files_in(args),
    )
    autosave = get(args, "autosave", bool, False)
    return inputs.SaveDraft(line, actor, content, draft, revision, autosave)


def _hand(_store: Store, _post: PostFace, actor: str, args: Args) -> inputs.Input:
    return inputs.HandDraft(get(args, "draft", str), actor, count(args, "revision", 0))


def _comment(_store: Store, _post: PostFace, actor: str, args: Args) -> inputs.Input:
    return inputs.CommentDraft(get(args, "draft", str), actor, get(args, "text", str))


def _return(_store: Store, _post: PostFace, actor: str, args: Args) -> inputs.Input:
    return inputs.ReturnDraft(get(args, "draft", str), actor, get(args, "text", str, ""))


def _release(_store: Store, _post: PostFace, actor: str, args: Args) -> inputs.Input:
    revision, said = count(args, "revision", 0), get(args, "hash", str)
    return inputs.ReleaseDraft(get(args, "draft", str), actor, revision, said)


def _drop(_store: Store, _post: PostFace, actor: str, args: Args) -> inputs.Input:
    revision, others = count(args, "revision", 0), get(args, "others", bool, False)
    return inputs.DropDraft(get(args, "draft", str), actor, revision, others)


ACTS: dict[str, Callable[[Store, PostFace, str, Args], inputs.Input]] = {
    "draft_save": _save,
    "draft_hand": _hand,
    "draft_comment": _comment,
    "draft_return": _return,
    "draft_release": _release,
    "draft_drop": _drop,
}
"""Verbs that write, review, release and drop drafts."""


def acted(result: inputs.Written) -> View:
    """The answer to an act from the result of its step."""
    return {"draft": result.draft, "revision": result.revision}


def _drafts(_store: Store, post: PostFace, args: Args, _now: Now) -> Any:
    named = args.get("line") is not None
    lines = post.named(post.label(line_in(post, args))) if named else post.lines()
    return draft_views.listing(post, lines, everything=get(args, "all", bool, False))


def _show(_store: Store, post: PostFace, args: Args, _now: Now) -> Any:
    number, since = get(args, "revision", int, None), get(args, "since", int, None)
    return draft_views.draft_view(post, get(args, "draft", str), number, since)


READINGS: dict[str, Callable[[Store, PostFace, Args, Now], Any]] = {
    "drafts": _drafts,
    "draft_show": _show,
}
"""Verbs that only read."""
