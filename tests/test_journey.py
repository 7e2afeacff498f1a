"""When a text was sent and held is kept beside its record, at no commit of its own."""

from __future__ import annotations

import pytest

from openline import views
from openline.core.events import Serial
from openline.core.precedence import Precedence
from openline.errors import StoreError
from openline.inputs import Revoke
from openline.journey import BEARERS_MAX, HELD, SENT, TEXTS_MAX, Journey
from openline.store.base import OURS, THEIRS, Batch
from openline.views import View
from tests.pair import LinePair


@pytest.fixture
def pair() -> LinePair:
    """Two posts whose line is open and quiet."""
    pair = LinePair()
    pair.settle(2)
    return pair


def ours(pair: LinePair, serial: Serial) -> View:
    return views.message(pair.stores["a"], pair.posts["a"], 1, OURS, serial, pair.now)


def sent(pair: LinePair, serial: Serial) -> list[tuple[str, str]]:
    return [(each["bearer"], each["at_group"]) for each in ours(pair, serial)["sent"]]


def marks(pair: LinePair, serial: Serial) -> list[int]:
    return [m.kind for m in pair.stores["a"].marks(1, OURS, serial.number, serial.incarnation)]


def test_a_text_has_the_time_of_each_bearer_and_of_the_ack(pair: LinePair) -> None:
    pair.up("a", "relay")
    serial = pair.say("a", "over both", Precedence.FLASH)
    assert sent(pair, serial) == []
    first = pair.take("a", "tcp")
    pair.wait(60)
    pair.take("a", "relay")
    times = sent(pair, serial)
    assert [name for name, _ in times] == ["tcp", "relay"]
    assert times[0][1] != times[1][1]
    assert ours(pair, serial)["held"] is None
    pair.wait(60)
    pair.give("b", first)
    pair.give("a", pair.take("b"))
    after = ours(pair, serial)
    assert after["state"] == "held"
    assert after["held_group"] not in (None, *dict(times).values())
    assert sent(pair, serial) == times


def test_the_times_are_on_disk_when_the_acknowledged_number_is(pair: LinePair) -> None:
    serial = pair.say("a", "kept")
    pair.flow()
    before = ours(pair, serial)
    pair.restart("a")
    assert {name: ours(pair, serial)[name] for name in ("sent", "held")} == {
        name: before[name] for name in ("sent", "held")
    }
    assert marks(pair, serial)[-2:] == [SENT, HELD]


def test_sending_costs_no_commit(pair: LinePair) -> None:
    serial = pair.say("a", "nothing follows it")
    commits: list[str] = []
    pair.stores["a"].fault = commits.append
    pair.take("a")
    pair.wait(1)
    assert not commits
    assert len(sent(pair, serial)) == 1
    # The next commit, whatever its reason, takes it along.
    pair.say("a", "another")
    assert marks(pair, serial)[-1] == SENT


def test_what_was_sent_before_a_crash_has_the_time_it_is_sent_again(pair: LinePair) -> None:
    serial = pair.say("a", "no commit follows")
    pair.take("a")
    pair.restart("a")
    assert sent(pair, serial) == []
    pair.wait(120)
    pair.take("a")
    assert len(sent(pair, serial)) == 1


def test_the_first_time_stands_however_often_it_is_sent(pair: LinePair) -> None:
    serial = pair.say("a", "and again")
    pair.take("a")
    pair.say("a", "a commit")
    times = sent(pair, serial)
    pair.restart("a")
    pair.settle()
    assert sent(pair, serial) == times
    assert marks(pair, serial).count(SENT) == marks(pair, serial).count(HELD) == 1


def test_a_commit_that_fails_loses_no_time_of_sending_and_claims_no_ack(pair: LinePair) -> None:
    serial = pair.say("a", "the disk fills")
    pair.give("b", pair.take("a"))
    times = sent(pair, serial)
    pair.stores["a"].full = True
    with pytest.raises(StoreError):
        pair.give("a", pair.take("b"))
    assert sent(pair, serial) == times
    assert ours(pair, serial)["held"] is None
    pair.stores["a"].full = False
    pair.wait(2)
    pair.up("a")
    pair.settle()
    assert sent(pair, serial) == times
    assert ours(pair, serial)["held"] is not None


def test_a_text_of_theirs_and_a_receipt_have_none(pair: LinePair) -> None:
    serial = pair.say("a", "to be read")
    pair.flow()
    there = views.message(pair.stores["b"], pair.posts["b"], 1, THEIRS, serial, pair.now)
    assert (there["sent"], there["held"]) == ([], None)
    listed = views.inbox(pair.stores["b"], pair.posts["b"], None, pair.now, everything=True)
    begin = listed["records"][0]
    known = Serial(begin["incarnation"], begin["number"])
    assert marks(pair, known) == []


def test_a_line_that_has_ended_still_tells(pair: LinePair) -> None:
    serial = pair.say("a", "before the end")
    pair.flow()
    pair.do("a", Revoke(1, "test"))
    assert [name for name, _ in sent(pair, serial)] == ["tcp"]


def test_what_waits_for_a_commit_is_bounded() -> None:
    journey, batch = Journey(1, None), Batch()
    for number in range(TEXTS_MAX + 10):
        journey.sent(Serial(1, number), "tcp", 0)
    for number in range(BEARERS_MAX + 10):
        journey.sent(Serial(1, 0), f"bearer {number}", 0)
    journey.write(batch)
    assert len(batch.marks) == TEXTS_MAX + BEARERS_MAX - 1
