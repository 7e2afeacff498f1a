"""The other side's record heals ours: what was lost comes back, proven, marked and logged."""

from __future__ import annotations

import pytest

from openline import views
from openline.core import receipts
from openline.core.events import Serial
from openline.errors import LocalError, StoreError
from openline.inputs import ClearAlarm, HealAsk, HealGive
from openline.post import Post
from openline.store.base import OURS, THEIRS
from openline.verification import ChainCheck
from tests.healing import (
    acts,
    agree,
    ask,
    clear,
    from_kit,
    give,
    heal,
    healing,
    lose_all,
    seen,
    status,
    talk,
    whole,
)
from tests.pair import LinePair


@pytest.fixture(params=[True, False], ids=["tape", "cards"])
def pair(request: pytest.FixtureRequest) -> LinePair:
    made = LinePair(tape=request.param)
    made.flow()
    return made


def test_a_post_restored_from_an_old_backup_is_given_what_it_lost(pair: LinePair) -> None:
    talk(pair, 3)
    saved = pair.stores["a"].snapshot()
    talk(pair, 3, 33)
    pair.restore("a", saved)
    pair.settle()
    assert status(pair, "a").lost
    pair.say("b", "since then")
    pair.settle(1)
    heal(pair, "a", "b")
    assert status(pair, "a").lost == []
    whole(pair, "a", "b")
    agree(pair)
    theirs = seen(pair, "a", THEIRS)
    assert len(theirs) == 34
    assert theirs["b says 32"]["standing"] == "chained"
    assert theirs["b says 32"]["restored"]
    assert theirs["since then"]["restored"] is None
    assert healing(pair, "a").ours is not None


def test_our_own_lost_texts_come_back_aside_on_the_other_sides_word(pair: LinePair) -> None:
    talk(pair, 3)
    saved = pair.stores["a"].snapshot()
    talk(pair, 3, 33)
    pair.restore("a", saved)
    pair.settle()
    heal(pair, "a", "b")
    own = seen(pair, "a", OURS)
    assert len(own) == 33
    assert own["a says 32"]["standing"] == "abandoned"
    assert own["a says 32"]["restored"]
    assert own["a says 32"]["state"] == "opened"
    assert own["a says 2"]["restored"] is None


def test_a_post_restored_from_its_kit_alone_gets_the_whole_record_back(pair: LinePair) -> None:
    talk(pair, 20)
    lose_all(pair, "a")
    fresh = pair.say("a", "from a new disk")
    assert fresh.number < 10
    pair.settle(1)
    heal(pair, "a", "b")
    assert status(pair, "a").lost == []
    whole(pair, "a", "b")
    whole(pair, "b", "a")
    agree(pair)
    assert len(seen(pair, "a", THEIRS)) == 20
    assert {f"a says {n}" for n in range(20)} < set(seen(pair, "a", OURS))
    pair.say("a", "and on")
    pair.say("b", "and on")
    pair.settle(1)
    agree(pair)


def test_both_sides_are_logged_and_hold_the_request_and_the_copies(pair: LinePair) -> None:
    talk(pair, 2)
    saved = pair.stores["a"].snapshot()
    talk(pair, 2, 7)
    pair.restore("a", saved)
    pair.settle()
    heal(pair, "a", "b")
    assert {"heal_ask", "healed"} <= set(acts(pair, "a"))
    assert {"heal_give", "heal_given"} <= set(acts(pair, "b"))
    for kind, author, reader in ((receipts.HEAL, "a", "b"), (receipts.COPY, "b", "a")):
        own = pair.stores[author].arrivals(1, 0, 1000, side=OURS, kinds=[kind])
        theirs = pair.stores[reader].arrivals(1, 0, 1000, side=THEIRS, kinds=[kind])
        assert own
        assert [row.record for row in own] == [row.record for row in theirs]


def test_nothing_is_given_before_the_alarm_is_cleared_and_somebody_asked(pair: LinePair) -> None:
    talk(pair, 2)
    with pytest.raises(LocalError, match=r"heal\.nothing_asked"):
        pair.do("b", HealGive(1, "uid:8"))
    lose_all(pair, "a")
    assert status(pair, "b").alarm
    pair.do("a", ClearAlarm(1, "duty"))
    pair.do("a", HealAsk(1, "uid:7"))
    pair.settle(2)
    with pytest.raises(LocalError, match=r"heal\.alarm"):
        pair.do("b", HealGive(1, "uid:8"))
    pair.settle(2)
    assert not seen(pair, "a", THEIRS)
    pair.do("b", ClearAlarm(1, "duty"))
    pair.do("b", HealGive(1, "uid:8"))
    pair.settle()
    assert status(pair, "a").lost == []
    with pytest.raises(LocalError, match=r"heal\.given"):
        pair.do("b", HealGive(1, "uid:8"))


def test_who_does_not_know_who_answers_cannot_ask(pair: LinePair) -> None:
    talk(pair, 2)
    lose_all(pair, "b")
    assert status(pair, "a").alarm
    with pytest.raises(LocalError, match=r"heal\.alarm"):
        pair.do("a", HealAsk(1, "uid:7"))


def test_both_restored_from_old_backups_heal_each_other(pair: LinePair) -> None:
    talk(pair, 2)
    older = pair.stores["a"].snapshot()
    talk(pair, 2, 9)
    newer = pair.stores["b"].snapshot()
    talk(pair, 9, 15)
    pair.stores["b"].restore(newer)
    pair.stores["a"].restore(older)
    pair.restart("b")
    pair.restore("a", older)
    pair.settle()
    heal(pair, "a", "b")
    heal(pair, "b", "a")
    assert (status(pair, "a").lost, status(pair, "b").lost) == ([], [])
    whole(pair, "a", "b")
    whole(pair, "b", "a")
    agree(pair)
    assert "b says 8" in seen(pair, "a", THEIRS)
    assert "a says 8" in seen(pair, "a", OURS)


def test_a_second_loss_is_healed_like_the_first(pair: LinePair) -> None:
    talk(pair, 4)
    lose_all(pair, "a")
    heal(pair, "a", "b")
    talk(pair, 4, 6)
    lose_all(pair, "a")
    heal(pair, "a", "b")
    whole(pair, "a", "b")
    agree(pair)
    assert {f"a says {n}" for n in range(6)} <= set(seen(pair, "a", OURS))


def test_a_record_too_long_for_one_copy_comes_in_two(pair: LinePair) -> None:
    long = "п" * (65_536 // 2)
    pair.say("b", long)
    talk(pair, 2)
    lose_all(pair, "a")
    heal(pair, "a", "b")
    whole(pair, "a", "b")
    assert long in seen(pair, "a", THEIRS)


def test_giving_and_taking_go_on_after_any_kill(pair: LinePair) -> None:
    talk(pair, 60)
    lose_all(pair, "a")
    ask(pair, "a")
    give(pair, "b")
    for turn in range(40):
        for name, other in ("ab", "ba"):
            pair.give(other, pair.take(name)[:2])
        pair.wait(1)
        if turn % 3 == 0:
            pair.restart("b" if turn % 2 else "a")
    pair.settle()
    asked = healing(pair, "a").ours
    assert asked is not None
    assert asked.complete
    assert status(pair, "a").lost == []
    whole(pair, "a", "b")
    assert acts(pair, "b").count("heal_give") == 1


def test_a_kill_at_any_commit_of_taking_loses_nothing(pair: LinePair) -> None:
    talk(pair, 20)
    lose_all(pair, "a")
    ask(pair, "a")
    give(pair, "b")
    count = 0

    def crash(instant: str) -> None:
        nonlocal count
        count += instant == "before"
        if count % 4 == 3:
            raise StoreError("store.io_failed")

    for _ in range(30):
        pair.stores["a"].fault = crash
        for out in pair.take("b"):
            try:
                pair.give("a", [out])
            except StoreError:
                pair.stores["a"].fault = lambda _: None
                pair.restart("a")
                pair.stores["a"].fault = crash
        pair.stores["a"].fault = lambda _: None
        pair.give("b", pair.take("a"))
        pair.wait(5)
    pair.settle()
    assert status(pair, "a").lost == []
    whole(pair, "a", "b")


def test_full_disks_delay_healing_and_not_what_is_urgent(pair: LinePair) -> None:
    talk(pair, 20)
    lose_all(pair, "a")
    ask(pair, "a")
    lane = pair.posts["b"]._lanes[1]
    lane.quota.quota_bytes = lane.quota.own_bytes + 200
    give(pair, "b")
    pair.settle(2)
    asked = healing(pair, "b").theirs
    assert asked is not None
    assert (asked.complete, asked.paused) == (False, "store.no_room")
    lane.quota.quota_bytes = 1 << 30
    pair.stores["a"].full = True
    with pytest.raises(StoreError):
        pair.settle(1)
    pair.stores["a"].full = False
    pair.settle(20)
    assert status(pair, "a").lost == []
    whole(pair, "a", "b")


def test_a_failed_commit_of_ours_rests_giving_for_a_minute(pair: LinePair) -> None:
    talk(pair, 20)
    lose_all(pair, "a")
    ask(pair, "a")
    pair.stores["b"].full = True
    with pytest.raises(StoreError):
        give(pair, "b")
    pair.stores["b"].full = False
    give(pair, "b")
    asked = healing(pair, "b").theirs
    assert asked is not None
    assert asked.ours == 0
    pair.wait(61)
    pair.settle()
    whole(pair, "a", "b")


def test_the_transcript_reads_in_order_and_verifies(pair: LinePair) -> None:
    talk(pair, 3)
    saved = pair.stores["a"].snapshot()
    talk(pair, 3, 9)
    pair.restore("a", saved)
    pair.settle()
    pair.say("a", "since then")
    pair.settle(1)
    heal(pair, "a", "b")
    page = views.transcript(pair.stores["a"], pair.posts["a"], 1, pair.now, limit=10_000, raw=True)
    assert page["next"] is None
    assert {entry["type"] for entry in page["records"]} == {"message"}
    texts = [entry["text"] for entry in page["records"] if entry["kind"] == "text"]
    assert texts.index("b says 8") < texts.index("since then")
    anchors = pair.posts["a"]._lanes[1].line.reception.genesis
    check = ChainCheck(anchors)
    for entry in page["records"]:
        if entry["side"] == "theirs":
            record, head = bytes.fromhex(entry["record"]), bytes.fromhex(entry["head"])
            check.take(Serial(entry["incarnation"], entry["number"]), record, head)
    assert check.finish() is None
    inbox = views.inbox(pair.stores["a"], pair.posts["a"], 1, pair.now)["records"]
    states = {entry["text"]: entry["state"] for entry in inbox if entry["type"] == "message"}
    assert (states["b says 8"], states["b says 2"]) == ("restored", "arrived")


def test_routine_texts_do_not_wait_behind_a_history(pair: LinePair) -> None:
    talk(pair, 200)
    lose_all(pair, "a")
    ask(pair, "a")
    give(pair, "b")
    assert status(pair, "b").outbox <= 64
    pair.say("b", "not behind a history")
    for _ in range(4):
        pair.flow(1)
    assert "not behind a history" in seen(pair, "a", THEIRS)
    assert status(pair, "a").lost


def thief_of(pair: LinePair, name: str) -> Post:
    """A post made from a stolen kit, which has taken the place of the true one on the wire."""
    pair.stores["thief"] = from_kit(pair.stores[name])
    true_post, true_store = pair.posts[name], pair.stores[name]
    pair.stores[name] = pair.stores.pop("thief")
    pair.restart(name)
    pair.posts["true"], pair.stores["true"] = true_post, true_store
    return pair.posts[name]


def test_who_is_asked_sees_which_of_its_texts_were_lost_until_they_are_given(
    pair: LinePair,
) -> None:
    talk(pair, 2)
    lose_all(pair, "a")
    unread = pair.say("b", "said since")
    pair.settle(1)
    ask(pair, "a")
    states = {text: view["state"] for text, view in seen(pair, "b", OURS).items()}
    assert states == {"b says 0": "lost", "b says 1": "lost", "said since": "held"}
    assert unread.number > status(pair, "b").missed[-1][1]
    give(pair, "b")
    pair.settle()
    assert {view["state"] for view in seen(pair, "b", OURS).values()} == {"held"}


@pytest.mark.parametrize("asks", [True, False], ids=["asks", "is silent"])
def test_a_thief_with_a_stolen_kit_gets_no_history_and_both_sides_are_alarmed(
    pair: LinePair, asks: bool
) -> None:
    talk(pair, 10)
    thief_of(pair, "a")
    pair.settle()
    if asks:
        pair.do("a", ClearAlarm(1, "thief"))
        pair.do("a", HealAsk(1, "thief"))
    pair.settle()
    assert status(pair, "b").alarm
    with pytest.raises(LocalError, match=r"heal\.alarm"):
        give(pair, "b")
    pair.settle()
    stolen = pair.stores["a"]
    assert seen(pair, "a", THEIRS) == {}
    assert seen(pair, "a", OURS) == {}
    assert not stolen.arrivals(1, 0, 1000, kinds=[receipts.COPY])
    pair.posts["a"], pair.stores["a"] = pair.posts.pop("true"), pair.stores.pop("true")
    pair.restart("a")
    pair.settle()
    assert status(pair, "a").alarm
    assert status(pair, "b").alarm
    with pytest.raises(LocalError, match=r"heal\.(alarm|nothing_asked)"):
        give(pair, "b")
    pair.do("b", ClearAlarm(1, "duty"))
    with pytest.raises(LocalError, match=r"heal\.nothing_asked"):
        give(pair, "b")


def test_an_alarm_in_the_middle_ends_the_consent(pair: LinePair) -> None:
    talk(pair, 100)
    lose_all(pair, "a")
    ask(pair, "a")
    give(pair, "b")
    pair.flow(2)
    pair.posts["b"]._lanes[1].seal.raise_alarm()
    pair.settle()
    asked = healing(pair, "b").theirs
    assert asked is not None
    assert (asked.agreed, asked.complete) == (False, False)
    assert status(pair, "a").lost
    clear(pair)
    give(pair, "b")
    pair.settle()
    whole(pair, "a", "b")
