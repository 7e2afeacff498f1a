"""Drafts: written, reviewed, changed by two at once, released once; each act is one commit."""

from __future__ import annotations

import json
from typing import Any

import pytest

from openline import i18n
from openline.authorship import DRAFTED, RELEASED
from openline.core.envelope import decode_record
from openline.core.events import Serial
from openline.core.precedence import Precedence
from openline.draft import (
    REFUSALS,
    TRANSITIONS,
    State,
    digest,
)
from openline.errors import LocalError, StoreError
from openline.inputs import (
    CommentDraft,
    DropDraft,
    HandDraft,
    Input,
    Release,
    ReleaseDraft,
    ReturnDraft,
    SaveDraft,
    Written,
)
from openline.store.base import OURS, Batch
from tests.drafting import Desk, content


@pytest.fixture
def desk() -> Desk:
    """A desk whose line is open."""
    return Desk()


# -- from writing to release --------------------------------------------------------------------


def test_a_draft_is_written_handed_commented_returned_changed_and_released(desk: Desk) -> None:
    draft = desk.write("Are you there?")
    desk.do(HandDraft(draft, "drafter", 1))
    desk.do(CommentDraft(draft, "desk-one", "Say it as in 1967."))
    desk.do(ReturnDraft(draft, "desk-one", "Once more, please."))
    assert desk.of(draft).state is State.DRAFT
    assert desk.save(draft, "Are you standing by?", 1, "drafter") == 2
    assert desk.do(HandDraft(draft, "drafter", 2)) == Written(draft, 2)
    kept = desk.of(draft)
    assert [each.content.body for each in kept.revisions] == [
        "Are you there?",
        "Are you standing by?",
    ]
    assert [(c.by, c.revision, c.text) for c in kept.comments] == [
        ("desk-one", 1, "Say it as in 1967."),
        ("desk-one", 1, "Once more, please."),
    ]
    serial = desk.do(desk.release(draft))
    assert desk.sent() == ["Are you standing by?"]
    ended = desk.of(draft)
    assert (ended.state, ended.serial) == (State.RELEASED, serial)
    assert [(step.act, step.by) for step in ended.steps] == [
        ("hand", "drafter"),
        ("return", "desk-one"),
        ("hand", "drafter"),
        ("release", "desk-one"),
    ]
    assert desk.acts()[-6:] == [
        *("draft_hand", "draft_comment", "draft_return"),
        *("draft_save", "draft_hand", "release"),
    ]
    desk.pair.flow()
    assert desk.pair.texts("b") == ["Are you standing by?"]
    told = [event for event in desk.post.events() if event.name == "draft"]
    assert [event.values["kind"] for event in told] == [
        *("draft_save", "draft_hand", "draft_comment", "draft_return"),
        *("draft_save", "draft_hand", "draft_release"),
    ]


def test_what_is_released_is_all_that_the_draft_says(desk: Desk) -> None:
    question = desk.pair.say("b", "Are you standing by?")
    desk.pair.flow()
    now_s = desk.pair.now.wall_s
    said: dict[str, Any] = {
        "subject": "Answer",
        "dtg_s": now_s - 60,
        "due_s": now_s + 3600,
        "references": ((False, question),),
        "action": ("desk-two",),
        "information": ("duty",),
    }
    draft = desk.handed("We are.", precedence=Precedence.FLASH, **said)
    serial = desk.do(desk.release(draft))
    row = desk.pair.stores["a"].row(1, OURS, serial.number, serial.incarnation)
    assert row is not None
    record = decode_record(row.record)
    assert (record.precedence, record.language, record.subject) == (3, "en", "Answer")
    assert (record.text, record.dtg_s, record.due_s) == ("We are.", now_s - 60, now_s + 3600)
    assert [tuple(each) for each in record.references] == [(False, question)]
    assert desk.of(draft).latest.content.action == ("desk-two",)


def test_of_a_draft_that_has_ended_no_text_is_left_on_disk(desk: Desk) -> None:
    for text in ("UNMISTAKABLE one", "UNMISTAKABLE two"):
        draft = desk.handed(text, subject="UNMISTAKABLE")
        desk.do(CommentDraft(draft, "desk-one", "UNMISTAKABLE"))
        if text.endswith("one"):
            desk.do(desk.release(draft))
        else:
            desk.do(DropDraft(draft, "drafter", 1))
        saved = desk.pair.stores["a"].state(1)[f"draft/{draft}"]
        assert b"UNMISTAKABLE" not in saved
    assert b"UNMISTAKABLE" not in b"".join(desk.pair.stores["a"].state(0).values())


@pytest.mark.parametrize("again", ["hand", "return", "drop", "save", "comment", "release"])
@pytest.mark.parametrize("state", list(State))
def test_only_what_the_table_knows_can_be_done(desk: Desk, state: State, again: str) -> None:
    draft = desk.write()
    if state in (State.REVIEW, State.RELEASED):
        desk.do(HandDraft(draft, "drafter", 1))
    if state is State.RELEASED:
        desk.do(desk.release(draft))
    if state is State.DROPPED:
        desk.do(DropDraft(draft, "drafter", 1))
    # Revision 9 is not what is current: repeated acts that change nothing are another matter.
    acts: dict[str, Input] = {
        "hand": HandDraft(draft, "drafter", 9 if state is State.REVIEW else 1),
        "return": ReturnDraft(draft, "desk-one"),
        "drop": DropDraft(draft, "drafter", 1),
        "save": SaveDraft(1, "drafter", content("x"), draft, 1),
        "comment": CommentDraft(draft, "desk-one", "x"),
        "release": ReleaseDraft(draft, "desk-one", 1, desk.release(draft).digest[::-1])
        if state is State.RELEASED
        else desk.release(draft),
    }
    if (state, again) in TRANSITIONS:
        desk.do(acts[again])
        assert desk.of(draft).state is TRANSITIONS[state, again]
    else:
        before = desk.of(draft)
        with pytest.raises(LocalError) as caught:
            desk.do(acts[again])
        assert caught.value.code == REFUSALS[state]
        assert desk.of(draft) == before


@pytest.mark.parametrize("language", i18n.LANGUAGES)
def test_every_refusal_is_worded(language: str) -> None:
    words = i18n.catalogue(language)
    assert all(words.has(code) and words.has(f"{code}.next") for code in REFUSALS.values())


# -- one message --------------------------------------------------------------------------------


def test_two_releasers_at_once_and_a_repeat_release_one_message(desk: Desk) -> None:
    draft = desk.handed()
    first, second = desk.release(draft, "desk-one"), desk.release(draft, "desk-two")
    serials = desk.post.step([first, second], desk.pair.now)
    later = desk.do(first)
    assert serials == [later, later]
    desk.pair.restart("a")
    assert desk.do(second) == later
    assert len(desk.sent()) == 1
    assert desk.people(later)["released_by"] == "desk-one"
    assert desk.acts().count("release") == 1


def test_a_release_of_what_was_changed_since_is_refused(desk: Desk) -> None:
    draft = desk.handed()
    stale = desk.release(draft)
    desk.save(draft, "Are you sitting by?", 1, "drafter")
    with pytest.raises(LocalError, match=r"draft\.changed") as caught:
        desk.do(stale)
    assert (caught.value.details["by"], caught.value.details["revision"]) == ("drafter", 2)
    with pytest.raises(LocalError, match=r"draft\.hash"):
        desk.do(stale._replace(revision=2))
    assert desk.sent() == []
    desk.do(desk.release(draft))
    with pytest.raises(LocalError, match=r"draft\.released"):
        desk.do(stale)


def test_the_digest_names_everything_and_the_line() -> None:
    plain = content("x")
    others = [
        content("y"),
        content("x", Precedence.FLASH),
        content("x", subject="s"),
        *(content("x", dtg_s=1), content("x", due_s=1)),
        *(content("x", action=("duty",)), content("x", information=("duty",))),
        content("x", references=((True, Serial(1, 2)),)),
        plain._replace(language="fr"),
    ]
    digests = [digest("other", each) for each in [plain, *others]] + [digest("moscow", plain)]
    assert len(set(digests)) == len(digests)
    desk = Desk()
    written = desk.do(SaveDraft(1, "drafter", others[-2]))
    desk.pair.restart("a")
    assert digest("other", desk.of(written.draft).latest.content) == digests[-3]


class _Crash(BaseException):
    """The process ends."""


@pytest.mark.parametrize("instant", ["before", "after"])
def test_a_crash_in_a_release_leaves_one_message_or_the_whole_draft(
    desk: Desk, instant: str
) -> None:
    draft = desk.handed()
    given = desk.release(draft)
    store = desk.pair.stores["a"]

    def crash(at: str) -> None:
        if at == instant:
            raise _Crash

    store.fault = crash
    with pytest.raises(_Crash):
        desk.do(given)
    store.fault = lambda _: None
    desk.pair.restart("a")
    assert desk.sent() == (["Are you standing by?"] if instant == "after" else [])
    assert desk.of(draft).state is (State.RELEASED if instant == "after" else State.REVIEW)
    serial = desk.do(given)
    assert desk.do(given) == serial
    assert desk.sent() == ["Are you standing by?"]


def test_a_commit_that_fails_changes_no_draft(desk: Desk) -> None:
    draft = desk.handed()
    given, before = desk.release(draft), desk.of(draft)
    desk.post.events()
    desk.pair.stores["a"].full = True
    for act in (given, DropDraft(draft, "drafter", 1), CommentDraft(draft, "duty", "x")):
        with pytest.raises(StoreError):
            desk.do(act)
        assert desk.of(draft) == before
        assert "draft" not in {event.name for event in desk.post.events()}
    desk.pair.stores["a"].full = False
    serial = desk.do(given)
    assert (desk.of(draft).serial, len(desk.sent())) == (serial, 1)


def test_a_release_that_the_line_refuses_leaves_the_draft(desk: Desk) -> None:
    draft = desk.handed("x", due_s=desk.pair.now.wall_s + 60)
    desk.pair.wait(120)
    with pytest.raises(LocalError, match=r"message\.due_past"):
        desk.do(desk.release(draft))
    assert desk.of(draft).state is State.REVIEW
    assert desk.sent() == []


def test_drafts_may_not_use_the_reserve_of_the_disk_but_their_release_may(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    urgent: list[bool] = []
    store = desk.pair.stores["a"]
    commit = store.commit

    def watched(batch: Batch) -> None:
        urgent.append(batch.urgent)
        commit(batch)

    monkeypatch.setattr(store, "commit", watched)
    draft = desk.handed("x", precedence=Precedence.FLASH)
    desk.do(desk.release(draft))
    assert urgent == [False, False, True]


# -- two who write at once ----------------------------------------------------------------------


def test_a_text_made_from_an_older_revision_is_kept_beside_the_current_one(desk: Desk) -> None:
    draft = desk.write("one")
    assert desk.save(draft, "two", 1, "drafter") == 2
    late = SaveDraft(1, "desk-two", content("three"), draft, 1)
    for _ in range(2):
        with pytest.raises(LocalError, match=r"draft\.kept_aside") as caught:
            desk.do(late)
        told = {"draft": draft, "by": "drafter", "revision": 2, "kept": 3}
        assert caught.value.details == told
    desk.pair.restart("a")
    found = desk.of(draft)
    assert (found.latest.content.body, found.revision(3).content.body) == ("two", "three")
    assert found.revision(3).aside
    assert len(found.revisions) == 3
    assert desk.save(draft, "two and three", 2, "desk-two") == 4
    assert desk.of(draft).writers() == ("drafter", "desk-two")


def test_a_save_repeated_after_a_lost_answer_is_one_revision(desk: Desk) -> None:
    draft = desk.write("one")
    given = SaveDraft(1, "drafter", content("two"), draft, 1)
    assert desk.do(given) == desk.do(given) == Written(draft, 2)
    assert len(desk.of(draft).revisions) == 2
    handing = HandDraft(draft, "drafter", 2)
    assert desk.do(handing) == desk.do(handing)
    assert desk.acts().count("draft_hand") == 1


def test_what_saves_by_itself_keeps_one_revision_until_somebody_else_sees_it(desk: Desk) -> None:
    draft = desk.write("a")
    for number, text in enumerate(("ab", "abc", "abcd"), 2):
        assert desk.save(draft, text, number - 1, "drafter", autosave=True) == number
    assert [each.content.body for each in desk.of(draft).revisions] == ["abcd"]
    desk.do(CommentDraft(draft, "desk-one", "go on"))
    desk.save(draft, "abcde", 4, "drafter", autosave=True)
    assert [each.content.body for each in desk.of(draft).revisions][-2:] == ["abcd", "abcde"]
    stale = SaveDraft(1, "desk-two", content("x"), draft, 4, autosave=True)
    for text in ("x", "xy", "xyz"):
        with pytest.raises(LocalError, match=r"draft\.kept_aside"):
            desk.do(stale._replace(content=content(text)))
    aside = [each for each in desk.of(draft).revisions if each.aside]
    assert [each.content.body for each in aside] == ["xyz"]
    assert desk.of(draft).latest.content.body == "abcde"


# -- who released what --------------------------------------------------------------------------


def test_nobody_releases_what_he_wrote_where_two_are_needed(desk: Desk) -> None:
    desk.post.two_persons = frozenset({Precedence.FLASH})
    draft = desk.handed("x", precedence=Precedence.FLASH)
    with pytest.raises(LocalError, match=r"release\.two_persons"):
        desk.do(desk.release(draft, "drafter"))
    with pytest.raises(LocalError, match=r"release\.two_persons"):
        desk.do(Release(1, "desk-one", Precedence.FLASH, "en", "", "x"))
    assert desk.of(draft).state is State.REVIEW
    desk.save(draft, "x, as I see it", 1, "desk-one", precedence=Precedence.FLASH)
    with pytest.raises(LocalError, match=r"release\.two_persons"):
        desk.do(desk.release(draft, "desk-one"))
    serial = desk.do(desk.release(draft, "drafter"))
    told = desk.people(serial)
    assert (told["drafted_by"], told["released_by"]) == (["drafter", "desk-one"], "drafter")
    assert told["one_person"] is False
    below = desk.handed("x", precedence=Precedence.IMMEDIATE)
    assert desk.people(desk.do(desk.release(below, "drafter")))["one_person"] is True


def test_a_message_says_who_drafted_and_released_it_and_when(desk: Desk) -> None:
    draft = desk.handed()
    desk.pair.wait(300)
    serial = desk.do(desk.release(draft))
    desk.pair.restart("a")
    told = desk.people(serial)
    assert (told["drafted_by"], told["released_by"]) == (["drafter"], "desk-one")
    assert (told["drafted"], told["released"]) == ("2023-11-14T22:13:20Z", "2023-11-14T22:18:20Z")
    assert told["one_person"] is False
    alone = desk.people(desk.pair.say("a", "x"))
    details = [entry.entry.details for entry in desk.pair.stores["a"].audit()][-2:]
    assert [json.loads(each)["one_person"] for each in details] == [False, True]
    assert json.loads(details[0])["draft"] == draft
    assert (alone["drafted_by"], alone["released_by"], alone["one_person"]) == (
        ["test"],
        "test",
        True,
    )


def test_who_released_it_is_not_told_to_the_other_side(desk: Desk) -> None:
    draft = desk.handed()
    serial = desk.do(desk.release(draft))
    desk.pair.flow()
    kinds = {mark.kind for mark in desk.pair.stores["b"].marks(1, 1, *reversed(serial))}
    assert not kinds & {DRAFTED, RELEASED}
    assert desk.pair.digests()[0] == desk.pair.digests()[1]
