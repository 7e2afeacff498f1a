"""A line comes back by itself whatever was put back, and what people must check stands as an alarm.

Two production posts in memory; a backup is made and restored by the functions of the commands.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from openline import backup
from openline.core.envelope import decode_record
from openline.core.events import Now
from openline.inputs import BearerDown, ClearAlarm, Input
from openline.post import Post
from openline.sealing.runs import SendingRun
from openline.sim.disk import MemoryStore
from openline.store.base import OURS, THEIRS
from tests.pair import LinePair

YEAR_S = 365 * 86_400
MONTH_S = 30 * 86_400


class World(LinePair):
    """A pair whose sides can be put back, and whose clocks may be wrong by so many seconds."""

    def __init__(self, *, tape: bool = True, seed: int = 1) -> None:
        self.wrong_s = {"a": 0, "b": 0}
        super().__init__(tape=tape, seed=seed)
        for name in "ab":
            self.say(name, f"first of {name}")
        self.live()

    def do(self, name: str, *inputs: Input) -> object:
        """A step by the clock of this side."""
        right = self.now
        self.now = Now(right.mono_ms, right.wall_s + self.wrong_s[name])
        try:
            return super().do(name, *inputs)
        finally:
            self.now = right

    def live(self, minutes: int = 5) -> None:
        """Let timers run and everything cross."""
        self.flow()
        for _ in range(minutes):
            self.wait(60)
            self.flow()

    def month(self) -> None:
        """A month with a few texts and rekeys every week."""
        for week in range(4):
            self.wait(MONTH_S / 4)
            for name in "ab":
                self.say(name, f"week {week} of {name}")
            self.live()

    def cut(self, *names: str) -> None:
        """The bearers of these sides are down."""
        for name in names:
            self.do(name, BearerDown(1, "tcp", "tcp.closed"))

    def rise(self, *names: str) -> None:
        """Processes begin on the disks as they are, and both sides reach each other."""
        for name in names:
            self.stores[name] = self.stores[name].reopen()
            self.posts[name] = self._post(name)
        for name in "ab":
            self.up(name)

    def alarmed(self) -> str:
        """The sides at which the continuity alarm stands."""
        return "".join(n for n in "ab" if self.posts[n].status(1, self.now).alarm)

    def everything(self, name: str) -> set[str]:
        """All texts a side holds, of both sides, kept aside or not."""
        rows = self.stores[name].arrivals(1, 0, 10_000, kinds=[1])
        return {decode_record(row.record).text for row in rows}


GiveBack = Callable[[World, str], None]


def kit_of(world: World, name: str) -> GiveBack:
    """A backup of the kit as it is now, to be restored into an empty store later."""
    kit = backup.collect(world.stores[name])

    def give_back(world: World, name: str) -> None:
        world.stores[name] = MemoryStore()
        world.stores[name].commit(kit.batch("test", world.now))

    return give_back


def disk_of(world: World, name: str) -> GiveBack:
    """The whole disk as it is now."""
    snapshot = world.stores[name].snapshot()

    def give_back(world: World, name: str) -> None:
        world.stores[name].restore(snapshot)

    return give_back


@pytest.fixture(params=[kit_of, disk_of], ids=["kit", "disk"])
def kept(request: pytest.FixtureRequest) -> Callable[[World, str], GiveBack]:
    """What is put away: the kit or the whole disk."""
    chosen: Callable[[World, str], GiveBack] = request.param
    return chosen


def talk(world: World) -> None:
    """Both sides say something and it is read; the records agree."""
    for name, other in ("ab", "ba"):
        text = f"{name} after {len(world.everything(name))}"
        world.say(name, text)
        world.live()
        assert text in world.texts(other)
    assert len(set(world.digests())) == 1


@pytest.mark.parametrize("tape", [True, False], ids=["tape", "cards"])
@pytest.mark.parametrize("name", ["a", "b"])
def test_a_destroyed_post_comes_back_from_a_month_old_backup(
    kept: Callable[[World, str], GiveBack], tape: bool, name: str
) -> None:
    world = World(tape=tape)
    give_back = kept(world, name)
    world.month()
    before = world.everything("a") | world.everything("b")
    incarnation = world.posts[name].status(1, world.now).own_serial
    world.cut(*"ab")
    give_back(world, name)
    world.rise(name)
    world.live()
    assert world.alarmed()
    talk(world)
    other = "b" if name == "a" else "a"
    assert before <= world.everything(other), "the side that lost nothing still holds everything"
    now = world.posts[name].status(1, world.now).own_serial
    assert now is not None
    assert incarnation is not None
    assert now.incarnation != incarnation.incarnation


@pytest.mark.parametrize("tape", [True, False], ids=["tape", "cards"])
def test_both_sides_come_back_at_once(kept: Callable[[World, str], GiveBack], tape: bool) -> None:
    world = World(tape=tape)
    given = {name: kept(world, name) for name in "ab"}
    world.month()
    world.cut(*"ab")
    for name in "ab":
        given[name](world, name)
    held = world.everything("a") | world.everything("b")
    world.rise(*"ab")
    world.live()
    talk(world)
    assert held <= world.everything("a") | world.everything("b")


def test_both_sides_restored_from_kits_are_both_alarmed() -> None:
    world = World()
    given = {name: kit_of(world, name) for name in "ab"}
    world.month()
    world.cut(*"ab")
    for name in "ab":
        given[name](world, name)
    world.rise(*"ab")
    world.live()
    assert world.alarmed() == "ab"


@pytest.mark.parametrize("name", ["a", "b"])
def test_a_machine_rolled_back_while_running_goes_on(name: str) -> None:
    world = World()
    give_back = disk_of(world, name)
    for each in ("one", "two"):
        world.say("a", f"a {each}")
        world.say("b", f"b {each}")
        world.live()
    held = world.everything("a") | world.everything("b")
    world.cut(*"ab")
    give_back(world, name)
    world.rise(name)
    world.live()
    talk(world)
    other = "b" if name == "a" else "a"
    assert held <= world.everything(other)


@pytest.mark.parametrize("wrong_s", [YEAR_S, -YEAR_S], ids=["fast", "slow"])
@pytest.mark.parametrize("name", ["a", "b"])
def test_a_clock_wrong_by_a_year_hinders_nothing(
    kept: Callable[[World, str], GiveBack], name: str, wrong_s: int
) -> None:
    world = World()
    give_back = kept(world, name)
    world.month()
    world.cut(*"ab")
    world.wrong_s[name] = wrong_s
    give_back(world, name)
    world.rise(name)
    world.live()
    talk(world)
    for each in "ab":
        world.do(each, ClearAlarm(1, "test"))
    world.wait(3600)
    world.rise(name)
    talk(world)
    assert world.alarmed() == "", "a wrong clock alone raises nothing"


@pytest.mark.parametrize("tape", [True, False], ids=["tape", "cards"])
def test_no_key_and_no_serial_is_used_twice(
    kept: Callable[[World, str], GiveBack], tape: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys: list[bytes] = []
    step = SendingRun.step

    def noted(run: SendingRun) -> tuple[int, bytes]:
        index, key = step(run)
        keys.append(key)
        return index, key

    monkeypatch.setattr(SendingRun, "step", noted)
    world = World(tape=tape)
    given = kept(world, "a")
    common = serials(world.stores["a"], OURS)
    used: list[set[str]] = []
    for _ in range(4):
        world.say("a", f"a {len(used)}")
        world.say("b", f"b {len(used)}")
        world.live()
        used.append(serials(world.stores["a"], OURS) - common)
        world.cut(*"ab")
        given(world, "a")
        world.rise("a")
        world.live()
    assert len(keys) == len(set(keys))
    assert all(used)
    assert sum(map(len, used)) == len(set().union(*used))


def test_a_text_sent_before_the_loss_was_known_is_sent_again_at_once(
    kept: Callable[[World, str], GiveBack],
) -> None:
    world = World()
    give_back = kept(world, "a")
    world.month()
    world.cut(*"ab")
    give_back(world, "a")
    world.rise("a")
    world.say("b", "sealed to keys that are lost")
    world.flow()
    assert "sealed to keys that are lost" in world.texts("a"), "no timer was waited for"


def serials(store: MemoryStore, side: int) -> set[str]:
    """The serials of one side that a store holds."""
    rows = store.arrivals(1, 0, 10_000, side=side)
    return {f"{row.incarnation:06x}.{row.number}" for row in rows}


# -- a thief with a stolen kit --------------------------------------------------------------------


class Theft:
    """A thief speaks to b with the kit of a, while a is away; then a returns."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, *, tape: bool, rekeys: bool, restarted: bool
    ) -> None:
        self.world = world = World(tape=tape)
        kit = backup.collect(world.stores["a"])
        world.say("a", "a secret of a")
        world.say("b", "a secret of b")
        world.live()
        self.before = world.everything("b")
        true = world.stores["a"], world.posts["a"]
        world.cut(*"ab")
        world.stores["a"] = MemoryStore()
        world.stores["a"].commit(kit.batch("thief", world.now))
        world.posts["a"] = world._post("a")
        if not rekeys:
            forgo_rekeys(world.posts["a"], monkeypatch)
        world.up("a")
        world.up("b")
        world.live()
        world.say("a", "the thief speaks")
        world.live()
        self.read_by_thief = world.everything("a")
        self.alarm_at_peer = "b" in world.alarmed()
        world.cut("b")
        world.stores["a"], world.posts["a"] = true
        if restarted:
            world.rise("a")
        else:
            for name in "ab":
                world.up(name)
        world.live()
        world.say("a", "the true party speaks")
        world.live()


def forgo_rekeys(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thief who makes no root with us, so that we have none that the true party lacks."""
    monkeypatch.setattr(post._lanes[1]._rekeying, "work", lambda now: None)


@pytest.fixture(
    params=[(t, r, s) for t in (True, False) for r in (True, False) for s in (True, False)],
    ids=lambda p: " ".join(
        (
            "tape" if p[0] else "cards",
            "rekeying" if p[1] else "quiet",
            "restarted" if p[2] else "alive",
        )
    ),
)
def theft(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Theft:
    """A thief of any manner, and the true party alive all the time or started anew."""
    tape, rekeys, restarted = request.param
    return Theft(monkeypatch, tape=tape, rekeys=rekeys, restarted=restarted)


def test_a_thief_with_the_kit_gets_no_history_and_both_sides_are_alarmed(theft: Theft) -> None:
    assert theft.read_by_thief == {"the thief speaks"}
    assert theft.alarm_at_peer
    assert theft.world.alarmed() == "ab"


def test_the_true_party_has_the_last_word_and_what_the_thief_said_is_kept_aside(
    theft: Theft,
) -> None:
    world = theft.world
    talk(world)
    assert theft.before <= world.everything("b")
    aside = world.stores["b"].arrivals(1, 0, 1000, side=THEIRS, kinds=[1], aside=True)
    assert "the thief speaks" in {decode_record(row.record).text for row in aside}
