"""How a line comes back after one side, or both, went a month back.

Theory of operation: lines of two production posts over stores in memory live month after month in
virtual time, with talk and restarts. At the end of each month a side loses its disk and is given
back what was kept at its beginning: the whole database, or a kit through the very functions of
`openline backup`. Then people of one side release a text, and when that was read those of the other
another. A text is readable *at once* if it is read from the first batch of datagrams that carries
it and arrives; *tries* counts such batches. Who speaks, when, and what is restored is drawn. Texts
that the peer sends before it has heard the restored post are counted apart: they are sealed to keys
that are lost, and no protocol with forward secrecy could have them read at once. A continuity alarm
at the end of a month in which nothing was restored is a false one; for that half of the lines lose
30 % of all batches. Every draw comes from a seed.
"""

from __future__ import annotations

import heapq
import multiprocessing
import random
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from openline import backup
from openline.bearers.base import BearerProfile
from openline.core.events import Now
from openline.core.precedence import Precedence
from openline.enrolment import new_tape, words
from openline.inputs import (
    Arrived,
    BearerDown,
    BearerUp,
    ClearAlarm,
    Initialise,
    Input,
    Pair,
    Release,
    Tick,
)
from openline.post import Post
from openline.sim.disk import MemoryStore, Snapshot
from openline.store.keys import Cost

DAY_MS = 86_400_000
MONTH_MS = 30 * DAY_MS
SETTLE_MS = 120_000
"""How long people wait for an answer before they say something else."""
PATIENCE_MS = 30 * 60_000
"""A line that has not carried a text by then is dead."""
BEARER = "tcp"
LINE = 1
LOSS = 0.3
MONTHS = 25
"""Restores that one line lives through."""
_CHEAP = Cost(64, 1, 1)
_MEND_MS = 3 * 3_600_000
"""After it a rekey, and whatever else belongs to the mending, is over."""


class Kept(NamedTuple):
    """What a side put away at the beginning of a month."""

    whole: Snapshot
    kit: bytes


@dataclass
class Spoken:
    """A text on its way: by whom, its number, in how many batches that arrived it was."""

    author: str
    number: int
    text: str
    tries: int = 0
    read_ms: int | None = None


@dataclass
class World:
    """Two posts, "a" and "b", and a wire between them that has latency and loses batches."""

    tape: bool
    seed: int
    loss: float
    chance: random.Random = field(init=False)
    now: Now = field(default_factory=lambda: Now(1_000_000, 1_700_000_000))
    stores: dict[str, MemoryStore] = field(default_factory=dict)
    posts: dict[str, Post] = field(default_factory=dict)
    spoken: list[Spoken] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.latency_ms = self.chance.choice([5, 40, 150, 600])
        self._wire: list[tuple[int, int, str, list[bytes], list[Spoken]]] = []
        self._count = 0
        for name in "ab":
            self.stores[name] = MemoryStore()
            self.posts[name] = self._post(name)
            self.do(name, Initialise("bench"))
        pages = new_tape(60, self.chance.randbytes) if self.tape else None
        for name, other in ("ab", "ba"):
            card = self.posts[other].card() or b""
            self.do(name, Pair("other", "bench", card, pages, words(card)))
        for name in "ab":
            self.connect(name)

    def _post(self, name: str) -> Post:
        return Post(self.stores[name], self.chance.randbytes, self.now)

    def do(self, name: str, *inputs: Input) -> object:
        """One step; the last result, raised if it is an error."""
        result = self.posts[name].step(inputs, self.now)[-1]
        if isinstance(result, Exception):
            raise result
        return result

    def connect(self, name: str) -> None:
        """The bearer of a post comes up."""
        profile = BearerProfile(BEARER, self.latency_ms, 4096, 200, 30_000, 1, True)
        self.do(name, BearerUp(LINE, BEARER, profile))

    def die(self, *names: str) -> None:
        """Processes end; what is on the wire to or from them is lost."""
        self._wire.clear()
        for name in "ab":
            if name not in names:
                self.do(name, BearerDown(LINE, BEARER, "tcp.closed"))

    def rise(self, *names: str) -> None:
        """Processes begin on the disks as they are now, and the bearer comes up on both sides."""
        for name in names:
            self.stores[name] = self.stores[name].reopen()
            self.posts[name] = self._post(name)
        for name in "ab":
            self.connect(name)
            self._send(name)

    def keep(self, name: str) -> Kept:
        """Put away both kinds of backup of a side."""
        made = backup.Wrapping.new(self.now, self.chance.randbytes, _CHEAP)
        kit = backup.collect(self.stores[name], made.made_s)
        sealed = backup.seal(kit, made.encode(), made.key("bench"))
        return Kept(self.stores[name].snapshot(), sealed)

    def give_back(self, name: str, kept: Kept, *, whole: bool) -> None:
        """Put a backup in the place of a disk."""
        if whole:
            self.stores[name].restore(kept.whole)
            return
        self.stores[name] = MemoryStore()
        restored = backup.unseal(kept.kit, "bench")
        self.stores[name].commit(restored.batch("bench", self.now))

    def say(self, name: str) -> Spoken:
        """People of a side release a text."""
        text = f"{name} {len(self.spoken)} " + "x" * self.chance.randrange(300)
        number = self.posts[name].status(LINE, self.now).own_number + 1
        serial = self.do(name, Release(LINE, "bench", Precedence.ROUTINE, "en", "", text))
        number = getattr(serial, "number", number)
        self.spoken.append(Spoken(name, number, text))
        self._send(name)
        return self.spoken[-1]

    # -- time -----------------------------------------------------------------------------------

    def run(self, ms: int, *, until: Spoken | None = None) -> None:
        """Let time pass, at most so long; no longer than until a text is read."""
        end_ms = self.now.mono_ms + ms
        while until is None or until.read_ms is None:
            due = [post.deadline() for post in self.posts.values()]
            due_ms = max(min([end_ms, *due, *[each[0] for each in self._wire[:1]]]), 0)
            self._at(max(due_ms, self.now.mono_ms))
            self._arrive()
            for name, post in self.posts.items():
                if post.deadline() <= self.now.mono_ms:
                    self.do(name, Tick())
                self._send(name)
            if self.now.mono_ms >= end_ms:
                return

    def _at(self, mono_ms: int) -> None:
        wall_s = self.now.wall_s + (mono_ms // 1000 - self.now.mono_ms // 1000)
        self.now = Now(mono_ms, wall_s)

    def _arrive(self) -> None:
        while self._wire and self._wire[0][0] <= self.now.mono_ms:
            _, _, name, batch, carried = heapq.heappop(self._wire)
            self.do(name, Arrived(LINE, BEARER, batch))
            for each in carried:
                if each.read_ms is None:
                    each.tries += 1
                    if self._holds(name, each):
                        each.read_ms = self.now.mono_ms

    def _holds(self, name: str, spoken: Spoken) -> bool:
        rows = self.stores[name].variants(LINE, 1, spoken.number)
        return any(spoken.text.encode() in row.record for row in rows)

    def _send(self, name: str) -> None:
        other = "b" if name == "a" else "a"
        batch = [each.data for each in self.posts[name].take(LINE, BEARER, self.now)]
        numbers = {e.values["number"] for e in self.posts[name].events() if e.name == "sent"}
        if batch and self.chance.random() >= self.loss:
            waiting = [each for each in self.spoken if each.read_ms is None]
            carried = [e for e in waiting if e.author == name and e.number in numbers]
            self._count += 1
            at_ms = self.now.mono_ms + self.latency_ms
            heapq.heappush(self._wire, (at_ms, self._count, other, batch, carried))

    # -- a month --------------------------------------------------------------------------------

    def month(self) -> None:
        """Thirty days of talk and restarts."""
        end_ms = self.now.mono_ms + MONTH_MS
        texts = self.chance.choice([6, 12, 30])
        while self.now.mono_ms < end_ms:
            self.run(int(self.chance.expovariate(texts / MONTH_MS)))
            self.say(self.chance.choice("ab"))
            self.run(SETTLE_MS)
            if self.chance.random() < 0.1:
                name = self.chance.choice("ab")
                self.die(name)
                self.rise(name)
        self.spoken.clear()

    def alarms(self) -> set[str]:
        """Sides at which the continuity alarm stands."""
        return {name for name in "ab" if self.posts[name].status(LINE, self.now).alarm}

    def clear(self) -> None:
        """People have checked by voice, on both sides."""
        for name in "ab":
            self.do(name, ClearAlarm(LINE, "bench"))


class Trial(NamedTuple):
    """One restore and what came of it."""

    tape: bool
    blind: bool
    """Whether the first text was sent before its author had heard the restored post."""
    tries: tuple[int | None, int | None]
    """Of the first text, and of the first of the other side; None: never read."""
    alarms: frozenset[str]
    """Where the alarm stood: "restored", "other"."""
    alike: bool
    """Whether both records had the same digest at the end."""
    false_alarm: bool
    """Whether an alarm stood before anything was restored."""


def trial(world: World) -> Trial:
    """A month of a line, then a restore of what was kept at its beginning."""
    chance = world.chance
    kept = {name: world.keep(name) for name in "ab"}
    world.month()
    false_alarm = bool(world.alarms())
    victims = "ab" if chance.random() < 0.15 else chance.choice("ab")
    whole, met = chance.random() < 0.5, chance.random() < 0.5
    speaker, other = chance.sample("ab", 2)
    world.die(*victims)
    for name in victims:
        world.give_back(name, kept[name], whole=whole)
    world.rise(*victims)
    if met:
        world.run(chance.randrange(20 * world.latency_ms, 60_000))
    first = world.say(speaker)
    world.run(PATIENCE_MS, until=first)
    second = world.say(other)
    world.run(PATIENCE_MS, until=second)
    world.run(PATIENCE_MS)
    alarms = frozenset("restored" if name in victims else "other" for name in world.alarms())
    world.run(_MEND_MS)
    world.clear()
    digests = {world.posts[name].status(LINE, world.now).digest for name in "ab"}
    return Trial(
        world.tape,
        not met and speaker not in victims,
        (
            first.tries if first.read_ms is not None else None,
            second.tries if second.read_ms is not None else None,
        ),
        alarms,
        len(digests) == 1,
        false_alarm,
    )


def live(seed: int, months: int, loss: float) -> list[Trial]:
    """The trials of one line; lines of even seeds have a tape."""
    world = World(tape=seed % 2 == 0, seed=seed, loss=loss)
    world.month()
    return [trial(world) for _ in range(months)]


def measure(_place: Path, quick: bool, told: Callable[[str], None]) -> dict[str, float]:
    """A thousand trials without loss, and as many with it."""
    trials = 80 if quick else 1_000
    months = min(MONTHS, trials // 4)
    seeds = range(trials // months)
    spawning = multiprocessing.get_context("spawn")
    found: dict[float, list[Trial]] = {0.0: [], LOSS: []}
    with ProcessPoolExecutor(2, spawning) as pool:
        for loss, trials_found in found.items():
            count = [months] * len(seeds)
            for done, line in enumerate(pool.map(live, seeds, count, [loss] * len(seeds)), 1):
                trials_found.extend(line)
                told(f"months with {loss:.0%} loss, {done} of {len(seeds)} lines")
    return _figures(found[0.0]) | {
        "restore_dead_lossy": sum(None in each.tries for each in found[LOSS]),
        "restore_false_alarms": _share([each.false_alarm for each in found[LOSS]]),
    }


def _figures(trials: list[Trial]) -> dict[str, float]:
    figures: dict[str, float] = {"restore_trials": len(trials)}
    for name, tape in (("tape", True), ("cards", False)):
        mine = [each for each in trials if each.tape is tape]
        tries = [n for each in mine for n in (each.tries[1:] if each.blind else each.tries)]
        blind = [each.tries[0] for each in mine if each.blind]
        worst = [n for n in tries + blind if n is not None]
        figures |= {
            f"restore_at_once_{name}": _share([n == 1 for n in tries]),
            f"restore_worst_tries_{name}": max(worst, default=0),
            f"restore_blind_second_{name}": _share([n == 2 for n in blind]),
        }
    return figures | {
        "restore_dead": sum(None in each.tries or not each.alike for each in trials),
        "restore_alarmed": _share([bool(each.alarms) for each in trials]),
    }


def _share(true: list[bool]) -> float:
    return sum(true) / len(true) if true else 0.0
