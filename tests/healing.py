"""Posts that lose their history and are given it back: what tests of healing share."""

from __future__ import annotations

from openline import views
from openline.core import receipts
from openline.core.events import Serial
from openline.inputs import ClearAlarm, Compare, HealAsk, HealGive, Receive
from openline.sim.disk import MemoryStore
from openline.status import HealingStatus, LineStatus
from openline.store.base import OURS, THEIRS, Batch
from tests.pair import LinePair

KIT = ("label", "card", "kit", "anchors")
"""What of a line's state a backup of the kit holds."""


def talk(pair: LinePair, *numbers: int) -> None:
    """A text each way for each number; b opens what a says."""
    for number in range(*numbers):
        asked = pair.say("a", f"a says {number}")
        pair.flow()
        pair.do("b", Receive(1, "watch", receipts.OPENED, asked))
        pair.say("b", f"b says {number}")
        pair.flow()


def from_kit(store: MemoryStore) -> MemoryStore:
    """A disk that holds nothing but what a backup of the kit holds."""
    made = MemoryStore()
    blobs = {(1, name): store.state(1)[name] for name in KIT}
    made.commit(Batch(state={(0, "identity"): store.state(0)["identity"], **blobs}))
    return made


def lose_all(pair: LinePair, name: str) -> None:
    """A disk is lost, and the post made anew from its kit."""
    pair.stores[name] = from_kit(pair.stores[name])
    pair.restart(name)
    pair.settle()


def clear(pair: LinePair) -> None:
    """People of both sides have compared the words."""
    for name in "ab":
        pair.do(name, ClearAlarm(1, "duty"))


def ask(pair: LinePair, name: str) -> None:
    """A post asks, and the other hears it."""
    clear(pair)
    pair.do(name, HealAsk(1, "uid:7"))
    pair.settle(2)


def give(pair: LinePair, name: str) -> None:
    """A releaser agrees."""
    pair.do(name, HealGive(1, "uid:8"))


def heal(pair: LinePair, asker: str, giver: str) -> None:
    """Asked for, agreed to and given."""
    ask(pair, asker)
    give(pair, giver)
    pair.settle()


def status(pair: LinePair, name: str) -> LineStatus:
    """The line as a post sees it."""
    return pair.posts[name].status(1, pair.now)


def healing(pair: LinePair, name: str) -> HealingStatus:
    """What a post says of healing."""
    found = status(pair, name).healing
    assert found is not None
    return found


def acts(pair: LinePair, name: str) -> list[str]:
    """The acts in the audit log."""
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
    """The digests are equal, also when asked over the line."""
    first, second = pair.digests()
    assert first
    assert first == second
    for name in "ab":
        pair.do(name, Compare(1, "watch"))
        pair.settle(1)
        found = status(pair, name).comparison
        assert found is not None
        assert found.agree is True
