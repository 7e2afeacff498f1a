"""Drafts have bounds, and end with their line."""

from __future__ import annotations

import pytest

from openline.core import limits
from openline.core.events import Serial
from openline.draft import (
    COMMENT_BYTES_MAX,
    COMMENTS_MAX,
    DRAFTS_MAX,
    REVISIONS_MAX,
    State,
    digest,
)
from openline.errors import LocalError
from openline.inputs import (
    CommentDraft,
    Content,
    DropDraft,
    HandDraft,
    ReleaseDraft,
    Revoke,
    SaveDraft,
    Tick,
    Written,
)
from openline.post import Post
from tests.changing import LABEL, Parties
from tests.drafting import Desk, content
from tests.test_changes_cards import over, rotate


@pytest.fixture
def desk() -> Desk:
    """A desk whose line is open."""
    return Desk()


def test_everything_has_a_bound_and_says_so(desk: Desk) -> None:
    draft = desk.write()
    cases: list[tuple[Content | str, str]] = [
        (content("x" * (limits.BODY_BYTES_MAX + 1)), "message.too_long"),
        (content("x", subject="s" * 600), "message.subject_too_long"),
        (content("x", references=((True, Serial(1, 1)),) * 17), "message.references"),
        (content("\ud800"), "message.not_text"),
        (content("x", action=("duty",) * 33), "draft.addressees"),
        (content("x", information=("x" * 65,)), "draft.addressee"),
        (content("x", information=("a\nb",)), "draft.addressee"),
        (content("x")._replace(language="english"), "message.language"),
        (content("x", dtg_s=1 << 40), "message.time"),
        (content("x", due_s=1 << 40), "message.time"),
        ("x" * (COMMENT_BYTES_MAX + 1), "draft.comment_too_long"),
        (" ", "draft.no_comment"),
        ("\udfff", "message.not_text"),
    ]
    before = desk.of(draft)
    for said, code in cases:
        comment = isinstance(said, str) and CommentDraft(draft, "duty", said)
        saved = isinstance(said, Content) and SaveDraft(1, "drafter", said, draft, 1)
        with pytest.raises(LocalError) as caught:
            desk.do(comment or saved or Tick())
        assert caught.value.code == code
    assert desk.of(draft) == before


def test_a_text_may_be_unfinished_until_it_is_handed_over(desk: Desk) -> None:
    draft = desk.write(" ", due_s=desk.pair.now.wall_s - 5)
    with pytest.raises(LocalError, match=r"message\.empty"):
        desk.do(HandDraft(draft, "drafter", 1))
    desk.save(draft, "x", 1, "drafter", due_s=desk.pair.now.wall_s - 5)
    with pytest.raises(LocalError, match=r"message\.due_past"):
        desk.do(HandDraft(draft, "drafter", 2))


def test_drafts_revisions_comments_and_bytes_end_somewhere(desk: Desk) -> None:
    for number in range(DRAFTS_MAX):
        draft = desk.write(str(number))
    with pytest.raises(LocalError, match=r"draft\.too_many"):
        desk.write()
    desk.do(DropDraft(draft, "drafter", 1))
    draft = desk.write("0")
    for number in range(1, REVISIONS_MAX):
        desk.save(draft, str(number), number, "drafter")
    with pytest.raises(LocalError, match=r"draft\.revisions"):
        desk.save(draft, "x", REVISIONS_MAX, "drafter")
    for _ in range(COMMENTS_MAX):
        desk.do(CommentDraft(draft, "duty", "x"))
    with pytest.raises(LocalError, match=r"draft\.comments"):
        desk.do(CommentDraft(draft, "duty", "x"))
    desk.do(DropDraft(draft, "drafter", REVISIONS_MAX))
    draft = desk.write("x" * 60_000)
    for number in range(1, 8):
        desk.save(draft, str(number) * 60_000, number, "drafter")
    with pytest.raises(LocalError, match=r"draft\.too_big"):
        desk.save(draft, "8" * 60_000, 8, "drafter")


def test_only_who_began_a_draft_drops_it_unless_it_is_meant_for_others(desk: Desk) -> None:
    draft = desk.write()
    with pytest.raises(LocalError, match=r"draft\.not_yours"):
        desk.do(DropDraft(draft, "desk-two", 1))
    desk.do(DropDraft(draft, "desk-two", 1, others=True))
    assert desk.of(draft).state is State.DROPPED


def test_a_draft_with_a_text_that_was_not_seen_is_not_dropped(desk: Desk) -> None:
    draft = desk.write("mine")
    desk.save(draft, "another's", 1, "desk-two")
    with pytest.raises(LocalError, match=r"draft\.changed.*by=desk-two.*revision=2"):
        desk.do(DropDraft(draft, "drafter", 1))
    with pytest.raises(LocalError, match=r"draft\.kept_aside"):
        desk.save(draft, "aside", 1, "duty")
    with pytest.raises(LocalError, match=r"draft\.changed.*by=duty.*revision=3"):
        desk.do(DropDraft(draft, "drafter", 2))
    desk.do(DropDraft(draft, "drafter", 3))
    assert desk.of(draft).state is State.DROPPED


def test_a_draft_of_a_revoked_line_goes_with_it(desk: Desk) -> None:
    draft = desk.handed("UNMISTAKABLE")
    given = desk.release(draft)
    desk.do(Revoke(1, "test"))
    for _ in range(2):
        with pytest.raises(LocalError, match=r"draft\.unknown"):
            desk.do(given)
        desk.pair.stores["a"] = desk.pair.stores["a"].reopen()
        desk.pair.posts["a"] = Post(
            desk.pair.stores["a"], desk.pair.random.randbytes, desk.pair.now
        )
    assert not [name for name in desk.pair.stores["a"].state(1) if name.startswith("draft/")]
    with pytest.raises(LocalError, match=r"line\.revoked"):
        desk.write()


def test_a_line_that_is_succeeded_leaves_its_drafts_to_its_successor() -> None:
    parties = Parties()
    parties.a.say("before")
    parties.flow()
    drafts = [parties.a.do(SaveDraft(1, "drafter", content(text))) for text in ("one", "two")]
    first, second = (each.draft for each in drafts if isinstance(each, Written))
    parties.a.do(HandDraft(first, "drafter", 1))
    said = digest(LABEL, content("one"))
    rotate(parties, "a")
    assert parties.settle(lambda: over(parties))
    for _ in range(2):
        found = {draft.id: draft for draft in parties.a.post.drafts.on(2)}
        assert set(found) == {first, second}
        assert not [name for name in parties.a.store.state(1) if name.startswith("draft/")]
        parties.a.start()
    serial = parties.a.do(ReleaseDraft(first, "desk-one", 1, said))
    assert parties.a.do(ReleaseDraft(first, "desk-two", 1, said)) == serial
    parties.flow()
    assert "one" in parties.b.heard()
    parties.a.do(Revoke(2, "test"))
    assert parties.a.post.drafts.on(2) == []
