"""The other side's record heals ours: what was lost comes back, proven, marked and logged."""

from __future__ import annotations

import pytest

from openline import views
from openline.core import receipts
from openline.core.events import Serial
from openline.errors import LocalError
from openline.inputs import ClearAlarm, Compare, HealAsk, HealGive, Receive
from openline.sim.disk import MemoryStore
from openline.status import HealingStatus
from openline.store.base import Batch
from tests.pair import LinePair

KIT = ("label", "card", "kit", "anchors")
OURS, THEIRS = 0, 1


@pytest.fixture(params=[True, False], ids=["tape", "cards"])
def pair(request: pytest.FixtureRequest) -> LinePair:
    made = LinePair(tape=request.param)
    made.flow()
    return made


def settle(pair: LinePair, rounds: int = 12) -> None:
    for _ in range(rounds):
        pair.flow(200)
        pair.wait(20)
    pair.flow(200)


def talk(pair: LinePair, *numbers: int) -> None:
    for number in range(*numbers):
        asked = pair.say("a", f"a says {number}")
        pair.flow()
        pair.do("b", Receive(1, "watch", receipts.OPENED, asked))
        pair.say("b", f"b says {number}")
        pair.flow()


def restore(pair: LinePair, name: str, saved: object) -> None:
    pair.stores[name].restore(saved)  # type: ignore[arg-type]
    pair.restart(name)
    settle(pair)


def from_kit(store: MemoryStore) -> MemoryStore:
    """A disk that holds nothing but what a backup of the kit holds."""
    made = MemoryStore()
    blobs = {(1, name): store.state(1)[name] for name in KIT}
    made.commit(Batch(state={(0, "identity"): store.state(0)["identity"], **blobs}))
    return made


def lose_all(pair: LinePair, name: str) -> None:
    pair.stores[name] = from_kit(pair.stores[name])
    pair.restart(name)
    settle(pair)


def heal(pair: LinePair, asker: str, giver: str) -> None:
    pair.do(giver, ClearAlarm(1, "duty"))
    pair.do(asker, ClearAlarm(1, "duty"))
    pair.do(asker, HealAsk(1, "uid:7"))
    settle(pair, 2)
    pair.do(giver, HealGive(1, "uid:8"))
    settle(pair)


def healing(pair: LinePair, name: str) -> HealingStatus:
    found = pair.posts[name].status(1, pair.now).healing
    assert found is not None
    return found


def lost(pair: LinePair, name: str) -> list[tuple[int, int]]:
    return pair.posts[name].status(1, pair.now).lost


def acts(pair: LinePair, name: str) -> list[str]:
    return [entry.entry.act for entry in pair.stores[name].audit()]


def seen(pair: LinePair, name: str, side: int) -> dict[str, views.View]:
    """Every text of a side that a post holds, by its text."""
    store = pair.stores[name]
    rows = store.arrivals(1, 0, 100_000, side=side, kinds=[receipts.TEXT])
    found = [
        views.message(store, pair.posts[name], 1, side, Serial(r.incarnation, r.number), pair.now)
        for r in rows
    ]
    return {view["text"]: view for view in found}


def whole(pair: LinePair, name: str, author: str) -> None:
    """The chain of `author` at `name` has no hole, and its heads are the author's own."""
    own = pair.stores[author].chain(1, OURS, 1, 100_000)
    held = pair.stores[name].chain(1, THEIRS, 1, 100_000)
    assert [row.record for row in held] == [row.record for row in own]
    assert [row.head for row in held] == [row.head for row in own]


def agree(pair: LinePair) -> None:
    first, second = pair.digests()
    assert first
    assert first == second
    for name in "ab":
        pair.do(name, Compare(1, "watch"))
        settle(pair, 1)
        found = pair.posts[name].status(1, pair.now).comparison
        assert found is not None
        assert found.agree is True


def test_a_post_restored_from_an_old_backup_is_given_what_it_lost(pair: LinePair) -> None:
    talk(pair, 3)
    saved = pair.stores["a"].snapshot()
    talk(pair, 3, 33)
    restore(pair, "a", saved)
    assert lost(pair, "a")
    pair.say("b", "since then")
    settle(pair, 1)
    heal(pair, "a", "b")
    assert lost(pair, "a") == []
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
    restore(pair, "a", saved)
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
    settle(pair, 1)
    heal(pair, "a", "b")
    assert lost(pair, "a") == []
    whole(pair, "a", "b")
    whole(pair, "b", "a")
    agree(pair)
    assert len(seen(pair, "a", THEIRS)) == 20
    assert {f"a says {n}" for n in range(20)} < set(seen(pair, "a", OURS))
    pair.say("a", "and on")
    pair.say("b", "and on")
    settle(pair, 1)
    agree(pair)


def test_both_sides_are_logged_and_hold_the_request_and_the_copies(pair: LinePair) -> None:
    talk(pair, 2)
    saved = pair.stores["a"].snapshot()
    talk(pair, 2, 7)
    restore(pair, "a", saved)
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
    assert pair.posts["b"].status(1, pair.now).alarm
    pair.do("a", HealAsk(1, "uid:7"))
    settle(pair, 2)
    with pytest.raises(LocalError, match=r"heal\.alarm"):
        pair.do("b", HealGive(1, "uid:8"))
    settle(pair, 2)
    assert not seen(pair, "a", THEIRS)
    pair.do("b", ClearAlarm(1, "duty"))
    pair.do("b", HealGive(1, "uid:8"))
    settle(pair)
    assert lost(pair, "a") == []
    with pytest.raises(LocalError, match=r"heal\.given"):
        pair.do("b", HealGive(1, "uid:8"))
