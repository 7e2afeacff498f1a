"""How a line comes back after one side, or both, went a month back.

Theory of operation: lines of two production posts over stores in memory live month after month in
virtual time, with talk and restarts. At the end of each month a side loses its disk and is given
back what was kept at its beginning: the whole database, or a kit through the very functions of
`openline backup`. Then people of one side release a text, and when that was read those of the other
another. A text is readable *at once* if it is read from the first batch of datagrams that carries
it and arrives; *tries* counts such batches. Who speaks, when, and what is restored is drawn. Texts
that the peer sends before it has heard the restored post are counted apart: they are sealed to keys
that are lost, and no protocol with forward secrecy could have them read at once. Beside them live
lines that lose 30 % of all batches and to which nothing else happens but restarts: every continuity
alarm there is a false one. Every draw comes from a seed.
"""

from __future__ import annotations

import heapq
import multiprocessing
import random
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeVar

from openline import backup
from openline.bearers.base import BearerProfile
from openline.core.envelope import decode_record
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


Found = TypeVar("Found")
Life = Callable[[int, int, float], list[Found]]
"""A line of a seed that lives so many months with so much loss, and what was found in each."""


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
            due = [each for post in self.posts.values() if (each := post.deadline()) is not None]
            due_ms = max(min([end_ms, *due, *[each[0] for each in self._wire[:1]]]), 0)
            self._at(max(due_ms, self.now.mono_ms))
            self._arrive()
            for name, post in self.posts.items():
                at_ms = post.deadline()
                if at_ms is not None and at_ms <= self.now.mono_ms:
                    self.do(name, Tick())
                self._send(name)
            if self.now.mono_ms >= end_ms:
                return

    def rest(self, ms: int) -> None:
        """Let time pass in which nobody speaks: timers of hours are looked at twice a day."""
        end_ms = self.now.mono_ms + ms
        while self.now.mono_ms < end_ms:
            self.run(min(SETTLE_MS, end_ms - self.now.mono_ms))
            if not any(self.posts[name].status(LINE, self.now).outbox for name in "ab"):
                self._at(min(end_ms, self.now.mono_ms + DAY_MS // 2))

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
        return any(decode_record(row.record).text == spoken.text for row in rows)

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
            self.rest(int(self.chance.expovariate(texts / MONTH_MS)))
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
    echo: bool
    """Whether the alarm of the restore before had come back after people had cleared it."""


def trial(world: World) -> Trial:
    """A month of a line, then a restore of what was kept at its beginning."""
    chance = world.chance
    kept = {name: world.keep(name) for name in "ab"}
    world.month()
    echo = bool(world.alarms())
    world.clear()
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
        echo,
    )


def live(seed: int, months: int, loss: float) -> list[Trial]:
    """The trials of one line; lines of even seeds have a tape."""
    world = World(tape=seed % 2 == 0, seed=seed, loss=loss)
    world.month()
    return [trial(world) for _ in range(months)]


def unrestored(seed: int, months: int, loss: float) -> list[bool]:
    """Of the months of a line to which nothing ever happens but loss and restarts: whether an alarm
    stood at the end."""
    world = World(tape=seed % 2 == 0, seed=seed, loss=loss)
    found = []
    for _ in range(months):
        world.month()
        found.append(bool(world.alarms()))
        world.clear()
    return found


def measure(_place: Path, quick: bool, told: Callable[[str], None]) -> dict[str, float]:
    """A thousand restores without loss, a thousand months with loss alone, and some with both."""
    lines = range(4 if quick else 40)
    months = 10 if quick else MONTHS
    spawning = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, spawning) as pool:

        def lived(part: str, life: Life[Found], loss: float, lines: range) -> list[Found]:
            found: list[Found] = []
            count = len(lines)
            lives = pool.map(life, lines, [months] * count, [loss] * count)
            for done, line in enumerate(lives, 1):
                found += line
                told(f"{part}, {done} of {count} lines")
            return found

        restores = lived("restores", live, 0.0, lines)
        alarms = lived("months of loss", unrestored, LOSS, lines)
        lossy = lived("restores with loss", live, LOSS, lines[: len(lines) // 4])
    return _figures(restores) | {
        "restore_dead_lossy": sum(None in each.tries for each in lossy),
        "restore_echoes_lossy": _share([each.echo for each in lossy]),
        "restore_false_alarms": _share(alarms),
    }


def _figures(trials: list[Trial]) -> dict[str, float]:
    figures: dict[str, float] = {"restore_trials": len(trials)}
    for name, tape in (("tape", True), ("cards", False)):
        mine = [each for each in trials if each.tape is tape]
        tries = [n for each in mine for n in (each.tries[1:] if each.blind else each.tries)]
        blind = [each.tries[0] for each in mine if each.blind]
        figures |= {
            f"restore_at_once_{name}": _share([n == 1 for n in tries]),
            f"restore_worst_tries_{name}": max([n for n in tries + blind if n], default=0),
            f"restore_blind_second_{name}": _share([n == 2 for n in blind]),
        }
    return figures | {
        "restore_dead": sum(None in each.tries or not each.alike for each in trials),
        "restore_alarmed": _share([bool(each.alarms) for each in trials]),
    }


def _share(true: list[bool]) -> float:
    return sum(true) / len(true) if true else 0.0
