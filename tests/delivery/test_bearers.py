"""Two bearers of one line between whole posts: fail-over, measurement, tests of a bearer."""

from __future__ import annotations

import pytest

from openline.core.precedence import Precedence
from openline.errors import LocalError
from openline.inputs import BearerDown, BearerGone, TryBearer
from openline.sim.chance import noise, stream
from tests.pair import LinePair

LONG = noise(stream(1, "text"), 60_000)


@pytest.fixture
def pair() -> LinePair:
    """A pair whose posts have a cheap bearer "tcp" and a dear one "relay", and know each other."""
    pair = LinePair()
    pair.flow()
    for name in "ab":
        pair.up(name, "relay", cost=5)
    pair.say("a", "hello")
    pair.say("b", "hello")
    settle(pair)
    return pair


def settle(pair: LinePair) -> None:
    """Let everything cross on both bearers, each way taking 20 ms."""
    for _ in range(20):
        for name, other in ("ab", "ba"):
            for bearer in ("tcp", "relay"):
                if taken := pair.take(name, bearer):
                    pair.wait(0.02)
                    pair.give(other, taken, bearer)


def test_a_long_text_half_sent_on_a_bearer_that_dies_goes_over_the_other_at_once(
    pair: LinePair,
) -> None:
    pair.say("a", LONG)
    half = pair.take("a", "tcp")
    assert sum(map(len, half)) < len(LONG.encode())
    assert pair.take("a", "relay") == []
    pair.do("a", BearerDown(1, "tcp", "bearer.closed"))
    while datagrams := pair.take("a", "relay"):
        pair.give("b", datagrams, "relay")
    assert pair.texts("b") == ["hello", LONG]


@pytest.mark.parametrize("precedence", [Precedence.ROUTINE, Precedence.FLASH])
def test_what_was_on_a_bearer_that_is_removed_goes_over_the_other(
    pair: LinePair, precedence: Precedence
) -> None:
    pair.say("a", "text", precedence)
    assert pair.take("a", "tcp")
    pair.do("a", BearerGone(1, "tcp"))
    pair.give("b", pair.take("a", "relay"), "relay")
    assert pair.texts("b")[-1] == "text"
    assert [*pair.posts["a"].status(1, pair.now).bearers] == ["relay"]


def test_a_slow_wire_comes_to_the_end_of_a_long_text_though_its_timer_runs_out(
    pair: LinePair,
) -> None:
    for name in "ab":
        pair.do(name, BearerGone(1, "relay"))
    pair.say("a", LONG)
    for _ in range(4):
        pair.give("b", pair.take("a"))
        pair.wait(3)
    assert pair.texts("b") == ["hello", LONG]


def test_what_is_on_the_wire_is_seen_with_its_bearers(pair: LinePair) -> None:
    serial = pair.say("a", "flash", Precedence.FLASH)
    assert pair.posts["a"].status(1, pair.now).underway == {}
    for bearer in ("tcp", "relay"):
        pair.take("a", bearer)
    assert pair.posts["a"].status(1, pair.now).underway == {serial.number: ["tcp", "relay"]}


def test_each_bearer_is_measured_by_its_own_answers(pair: LinePair) -> None:
    pair.say("a", "flash", Precedence.FLASH)
    near, far = pair.take("a", "tcp"), pair.take("a", "relay")
    pair.give("b", near, "tcp")
    pair.wait(0.02)
    pair.give("a", pair.take("b", "tcp"), "tcp")
    before = pair.posts["a"].status(1, pair.now).bearers["relay"]
    assert before.records == 1
    pair.wait(0.1)
    pair.give("b", far, "relay")
    pair.give("a", pair.take("b", "relay"), "relay")
    after = pair.posts["a"].status(1, pair.now).bearers
    assert after["relay"].records == 0
    assert after["relay"].rtt_ms is not None
    assert after["tcp"].rtt_ms is not None
    assert after["relay"].rtt_ms > after["tcp"].rtt_ms
    assert after["tcp"].sent_bytes > len(near[0])


def test_a_test_goes_over_one_bearer_alone_and_its_answer_is_timed(pair: LinePair) -> None:
    pair.posts["a"].events()
    pair.do("a", TryBearer(1, "uid:7", "relay"))
    assert pair.take("a", "tcp") == []
    asked = pair.take("a", "relay")
    assert len(asked) == 1
    pair.wait(0.03)
    pair.give("b", asked, "relay")
    # What is said again is acknowledged everywhere; over another bearer it says nothing of this.
    pair.give("a", pair.take("b", "tcp"), "tcp")
    assert not [name for name, _, _ in pair.posts["a"].events() if name == "tested"]
    pair.give("a", pair.take("b", "relay"), "relay")
    told = [values for name, _, values in pair.posts["a"].events() if name == "tested"]
    assert told == [{"bearer": "relay", "took_ms": 30}]
    assert pair.take("a", "relay") == []
    acts = [(entry.entry.actor, entry.entry.act) for entry in pair.stores["a"].audit(0)]
    assert ("uid:7", "bearer_test") in acts


def test_a_bearer_that_is_not_there_or_not_up_is_not_tested(pair: LinePair) -> None:
    with pytest.raises(LocalError, match=r"bearer\.unknown"):
        pair.do("a", TryBearer(1, "uid:7", "pigeon"))
    pair.do("a", BearerDown(1, "relay", "bearer.paused", "uid:7"))
    with pytest.raises(LocalError, match=r"bearer\.not_up"):
        pair.do("a", TryBearer(1, "uid:7", "relay"))
    status = pair.posts["a"].status(1, pair.now).bearers["relay"]
    assert (status.up, status.code, status.actor) == (False, "bearer.paused", "uid:7")


def test_only_what_carries_flash_is_urgent(pair: LinePair) -> None:
    for precedence, urgent in ((Precedence.IMMEDIATE, False), (Precedence.FLASH, True)):
        pair.say("a", "text", precedence=precedence)
        taken = pair.posts["a"].take(1, "tcp", pair.now)
        assert {each.urgent for each in taken} == {urgent}
        pair.give("b", [each.data for each in taken])
        settle(pair)
    pair.say("a", LONG, precedence=Precedence.FLASH)
    assert all(each.urgent for each in pair.posts["a"].take(1, "tcp", pair.now))
