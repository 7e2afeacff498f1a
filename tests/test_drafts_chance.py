"""Drafts under chance: random acts of several people, with crashes and full disks in between."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from openline import verbs
from openline.draft import State, digest
from openline.errors import InvariantError, LocalError, OpenlineError
from openline.inputs import (
    CommentDraft,
    DropDraft,
    HandDraft,
    Input,
    ReleaseDraft,
    ReturnDraft,
    SaveDraft,
    Tick,
)
from tests.drafting import Desk, content

PEOPLE = ("drafter", "desk-one", "desk-two")
ACTS = 150


class _Crash(BaseException):
    """The process ends."""


class Chance:
    """A desk where everything may happen; `told` are the serials that releases were answered."""

    def __init__(self, seed: int) -> None:
        self.desk = Desk()
        self.random = Random(seed)
        self.told: dict[str, set[object]] = {}

    def given(self) -> Input:
        """What somebody does next, with or without knowing how things stand."""
        known = self.desk.post.drafts.on(1)
        who, text = self.random.choice(PEOPLE), f"text {self.random.randrange(9)}"
        if not known or self.random.random() < 0.1:
            return SaveDraft(1, who, content(text))
        draft = self.random.choice(known)
        revision = self.random.choice([draft.current, draft.current, self.random.randrange(9)])
        autosave = self.random.random() < 0.5
        said = draft.digest or digest("other", draft.latest.content)
        acts: list[Input] = [
            SaveDraft(1, who, content(text), draft.id, revision, autosave),
            HandDraft(draft.id, who, revision),
            HandDraft(draft.id, who, draft.current),
            CommentDraft(draft.id, who, text),
            ReturnDraft(draft.id, who, self.random.choice(["", text])),
            ReleaseDraft(draft.id, who, revision, said),
            ReleaseDraft(draft.id, who, draft.current, said),
            DropDraft(draft.id, who, revision, others=self.random.random() < 0.1),
        ]
        return self.random.choice(acts)

    def act(self) -> None:
        """One step of some acts; sometimes the process ends in it, or the disk is full."""
        given = [self.given() for _ in range(self.random.choice([1, 1, 2, 3]))]
        store = self.desk.pair.stores["a"]
        instant = self.random.choice(["before", "after", "", "", "", ""])
        store.full = self.random.random() < 0.1

        def fault(at: str) -> None:
            if at == instant:
                raise _Crash

        store.fault = fault
        try:
            results = self.desk.post.step(given, self.desk.pair.now)
        except _Crash:
            results = []
        store.fault, store.full = lambda _: None, False
        for act, result in zip(given, results, strict=False):
            assert not isinstance(result, InvariantError), result
            if isinstance(act, ReleaseDraft) and not isinstance(result, OpenlineError):
                self.told.setdefault(act.draft, set()).add(result)
        if not results:
            self.desk.pair.restart("a")

    def check(self) -> None:
        """What must hold whatever happened."""
        drafts = {draft.id: draft for draft in self.desk.post.drafts.on(1)}
        released = {name for name, each in drafts.items() if each.state is State.RELEASED}
        assert len(self.desk.sent()) == len(released)
        for name, serials in self.told.items():
            assert serials == {drafts[name].serial}
        for draft in drafts.values():
            numbers = [each.number for each in draft.revisions]
            assert len(set(numbers)) == len(numbers)
            assert not draft.latest.aside
        self.desk.pair.restart("a")
        assert {draft.id: draft for draft in self.desk.post.drafts.on(1)} == drafts


@pytest.mark.parametrize("seed", range(6))
def test_what_was_released_is_one_message_and_nothing_else_is(seed: int) -> None:
    chance = Chance(seed)
    for _ in range(ACTS):
        chance.act()
    chance.check()
    assert chance.told


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("draft_save", {"line": "other"}),
    ("draft_save", {"line": 1, "text": "x"}),
    ("draft_save", {"line": "other", "text": "x", "precedence": "URGENT"}),
    ("draft_save", {"line": "other", "text": "x", "references": [1]}),
    ("draft_save", {"line": "other", "text": "x", "action": "duty"}),
    ("draft_save", {"line": "other", "text": "x", "information": [1]}),
    ("draft_save", {"line": "other", "text": "x", "due_s": "soon"}),
    ("draft_save", {"draft": 7, "text": "x"}),
    ("draft_hand", {"draft": "abcdef", "revision": -1}),
    ("draft_comment", {"draft": "abcdef"}),
    ("draft_return", {"draft": "abcdef", "text": 7}),
    ("draft_release", {"draft": "abcdef", "revision": 1}),
    ("draft_drop", {"draft": "abcdef", "revision": -1}),
    ("draft_drop", {"draft": "abcdef", "revision": 1, "others": "yes"}),
]


@pytest.mark.parametrize(("verb", "args"), WRONG)
def test_a_wrong_argument_is_refused(verb: str, args: dict[str, Any]) -> None:
    desk = Desk()
    with pytest.raises(LocalError, match=r"control\.argument"):
        verbs.act(desk.pair.stores["a"], desk.post, "test", verb, args)
    desk.do(Tick())
    assert desk.post.drafts.on(1) == []
