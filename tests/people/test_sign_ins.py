"""Sign-ins: what ends them, and what does not."""

from __future__ import annotations

from openline.core.events import Now
from openline.inputs import (
    SignedOut,
    SignOut,
    SignOutAll,
    Tick,
)
from openline.people import Rules
from openline.post import Post
from openline.signins import AGE_S, IDLE_S, PER_PERSON_MAX, Age
from tests.staff import ME, OWN, Staff, signed_in


def test_a_sign_in_ends_by_idleness_and_by_age(desk: Staff) -> None:
    idle = desk.sign_in("desk-one", "correct horse battery")
    used = desk.sign_in("desk-one", "correct horse battery")
    for _ in range(AGE_S // (IDLE_S // 2) - 1):
        desk.pair.wait(IDLE_S / 2)
        assert signed_in(desk, used)
    assert not signed_in(desk, idle)
    desk.pair.wait(IDLE_S / 2)
    assert not signed_in(desk, used)
    ended = [(actor, details["why"]) for actor, _, details in desk.acts("signed_out")]
    assert ended == [("desk-one", "idle"), ("desk-one", "age")]
    assert not [name for name in desk.pair.stores["a"].state(0) if name.startswith("signin/")]


def test_who_only_watches_is_idle(desk: Staff) -> None:
    token = desk.sign_in("desk-one", "correct horse battery")
    for _ in range(2):
        desk.pair.wait(IDLE_S / 2 - 1)
        assert desk.post.people.caller(3, OWN, desk.now, token, at_work=False).actor == "desk-one"
    desk.pair.wait(2)
    assert not signed_in(desk, token)


def test_the_operator_may_want_another_idleness(desk: Staff) -> None:
    store = desk.pair.stores["a"]
    for idle_s in (300, 12 * 3600):
        rules = Rules(idle_s)
        desk.pair.posts["a"] = Post(store, desk.pair.random.randbytes, desk.now, rules)
        token = desk.sign_in("desk-one", "correct horse battery")
        desk.pair.wait(idle_s - 1)
        desk.pair.posts["a"] = Post(store, desk.pair.random.randbytes, desk.now, rules)
        assert signed_in(desk, token)
        desk.pair.wait(idle_s)
        assert not signed_in(desk, token)


def test_a_clock_put_back_makes_no_sign_in_younger(desk: Staff) -> None:
    token = desk.sign_in("desk-one", "correct horse battery")
    desk.pair.wait(IDLE_S - 1)
    desk.pair.now = Now(desk.now.mono_ms + 2_000, 0)
    assert not signed_in(desk, token)


def test_a_sign_in_outlives_a_restart_and_no_more_than_its_time(desk: Staff) -> None:
    token = desk.sign_in("desk-one", "correct horse battery")
    desk.pair.wait(IDLE_S / 2)
    assert signed_in(desk, token)
    desk.do(Tick())
    desk.pair.now = Now(5_000, desk.now.wall_s + IDLE_S // 2)
    desk.pair.restart("a")
    assert signed_in(desk, token)
    desk.do(Tick())
    desk.pair.now = Now(5_000, desk.now.wall_s + IDLE_S)
    desk.pair.restart("a")
    assert not signed_in(desk, token)


def test_an_age_goes_on_by_the_wall_clock_only_where_no_process_ran() -> None:
    age = Age(Now(0, 100))
    assert age.ms(Now(7_000, 0)) == 7_000
    saved = age.saved(Now(7_000, 200))
    assert Age.load(saved, Now(50, 230)).ms(Now(60, 0)) == 37_010
    assert Age.load(saved, Now(50, 10)).ms(Now(50, 10)) == 7_000


def test_sign_ins_end_one_by_one_by_person_and_all_at_once(desk: Staff) -> None:
    desk.add("desk-two", "duty")
    desk.give_passphrase("desk-two", "correct horse battery")
    tokens = [desk.sign_in("desk-one", "correct horse battery") for _ in range(3)]
    other = desk.sign_in("desk-two", "correct horse battery")
    shown = desk.post.people.sign_ins.views(desk.now)
    assert [each["name"] for each in shown] == ["desk-one"] * 3 + ["desk-two"]
    assert desk.do(SignOut(ME, "desk-one", shown[0]["sign_in"])) == SignedOut(1)
    assert sorted(signed_in(desk, token) for token in tokens) == [False, True, True]
    assert desk.do(SignOut(ME, "desk-one")) == SignedOut(2)
    assert desk.caller(3, other).actor == "desk-two"
    assert desk.do(SignOutAll(ME)) == SignedOut(1)
    assert desk.post.people.sign_ins.views(desk.now) == []


def test_one_person_has_so_many_sign_ins_and_the_oldest_goes(desk: Staff) -> None:
    tokens = []
    for _ in range(PER_PERSON_MAX + 1):
        tokens.append(desk.sign_in("desk-one", "correct horse battery"))
        desk.pair.wait(1)
    assert [signed_in(desk, token) for token in tokens] == [False] + [True] * PER_PERSON_MAX
