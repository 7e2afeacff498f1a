"""How soon a waiting message crosses once a swallowing wire is back, and what was spent meanwhile.

Theory of operation: many pairs of posts run on emulated wires at once, and in one cut each pair is
cut and mended a little after the one before, so that the processors do not serve all of them in the
same moment. A cut swallows every packet of every bearer of a pair and closes nothing. A second
later somebody writes; when the wires are back, the time runs until the text is on the other side's
disk. Every wire is one bearer and counts what hosts put on it from the cut until it is back:
messages, their repeats and probes together. A death that is reported is a wire that answers
everything with a reset, in the middle of a message that takes a while to cross it.
"""

from __future__ import annotations

import heapq
import select
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from random import Random
from statistics import median
from typing import NamedTuple

from openline import clock
from openline.sim.chance import noise, stream

from .emulated import Wire, missing
from .posts import LINE, Process, until
from .scene import Pair, Scene, Watch, all_up

LATENCY_S = 0.02
"""One way, of each wire."""

STAGGER_S = 0.8
WRITE_AFTER_S = 1.0
"""The message is written so long after the cut."""

ARRIVE_S = 60.0
"""A message that has not come so long after the wire is back counts as so late."""

LONG_TEXT = noise(stream(1, "text"), 60_000)
NARROW_BYTES_S = 200_000.0
"""Rate of the wire that dies in the middle of a message: the text takes 0.3 s to cross it."""

LOOK_S = 0.05

Told = Callable[[str], None]
Act = Callable[[], None]


class Spent(NamedTuple):
    """What hosts put on one wire while it was cut, per second."""

    packets: float
    size: float


class Cut(NamedTuple):
    """What a cut of so many pairs gave."""

    late_s: list[float]
    """From the wire's return to the other side's disk, ascending."""
    spent: list[Spent]
    """Of each wire of each pair."""


class Arrivals:
    """Writes at posts, and waits for what arrives at them."""

    def __init__(self, posts: list[Process], ends: ExitStack) -> None:
        self._watches = {post: ends.enter_context(closing(Watch(post.directory))) for post in posts}
        self._posts = {watch.socket: post for post, watch in self._watches.items()}
        self.at_s: dict[Process, list[float]] = {post: [] for post in posts}
        """When texts of the other side were told to be on disk, by clock.precise_s."""

    def write(self, post: Process, text: str) -> None:
        """Release a text."""
        self._watches[post].ask("send", line=LINE, text=text)

    def look(self, wait_s: float) -> None:
        """Take what has come, or comes within so many seconds."""
        ready, _, _ = select.select([*self._posts], [], [], max(0.0, wait_s))
        now_s = clock.precise_s()
        for each in ready:
            post = self._posts[each]
            for said in self._watches[post].read():
                event = said.get("event") or {}
                if event.get("name") == "arrived":
                    self.at_s[post].append(now_s)

    def since(self, post: Process, when_s: float) -> float | None:
        """Seconds from then to the first text that came after it; None if none has."""
        return next((each - when_s for each in self.at_s[post] if each >= when_s), None)


class _Trial:
    """One pair in one cut."""

    def __init__(self, pair: Pair, wires: Sequence[Wire], writer: int, cut_s: float) -> None:
        self.writes, self.reads = pair.posts[writer], pair.posts[1 - writer]
        self._wires = wires
        self._cut_s = cut_s
        self.mended_s: float | None = None
        self.late_s: float | None = None
        self.spent: list[Spent] = []

    def cut(self) -> None:
        """From now on nothing crosses."""
        for wire in self._wires:
            wire.set(swallow=True)
            wire.clear()

    def mend(self) -> None:
        """From now on everything does."""
        for wire in self._wires:
            counted = wire.count()
            self.spent.append(Spent(counted.packets / self._cut_s, counted.size / self._cut_s))
            wire.set(swallow=False)
        self.mended_s = clock.precise_s()

    def look(self, arrivals: Arrivals) -> None:
        """Note whether the text has come."""
        if self.mended_s is not None and self.late_s is None:
            self.late_s = arrivals.since(self.reads, self.mended_s)


def measure_cut(
    scene: Scene, cut_s: float, writers: Sequence[int], chance: Random, *, direct: bool = True
) -> Cut:
    """Cut every pair for so long; `writers` says of each whether its near post (0) or its far one
    (1) writes. Without `direct` only the wires to the relay are cut and mended.
    """
    with ExitStack() as ends:
        arrivals = Arrivals([post for pair in scene.pairs for post in pair.posts], ends)
        trials: list[_Trial] = []
        agenda: list[tuple[float, int, Act]] = []
        begin_s = clock.precise_s() + 1.0
        for pair, writer in zip(scene.pairs, writers, strict=True):
            trial = _Trial(pair, pair.wires if direct else pair.wires[1:], writer, cut_s)
            trials.append(trial)
            # Not in step with anything that has a period of its own.
            begin_s += STAGGER_S * (0.5 + chance.random())
            write = partial(arrivals.write, trial.writes, "waiting")
            acts: list[tuple[float, Act]] = [
                (0.0, trial.cut),
                (WRITE_AFTER_S, write),
                (cut_s, trial.mend),
            ]
            agenda += [
                (begin_s + after_s, len(agenda) + n, a) for n, (after_s, a) in enumerate(acts)
            ]
        heapq.heapify(agenda)
        end_s = begin_s + cut_s + ARRIVE_S
        while any(each.late_s is None for each in trials) and clock.precise_s() < end_s:
            while agenda and agenda[0][0] <= clock.precise_s():
                heapq.heappop(agenda)[2]()
            next_s = agenda[0][0] - clock.precise_s() if agenda else LOOK_S
            arrivals.look(min(LOOK_S, next_s))
            for each in trials:
                each.look(arrivals)
    late_s = sorted(ARRIVE_S if each.late_s is None else each.late_s for each in trials)
    return Cut(late_s, [spent for each in trials for spent in each.spent])


def measure_death(scene: Scene, times: int) -> list[float]:
    """Let the direct wire of the first pair reject everything in the middle of a message, so many
    times: seconds from then to the other side's disk, ascending.
    """
    pair, late_s = scene.pairs[0], []
    pair.direct.set(rate_bytes_s=NARROW_BYTES_S)
    with ExitStack() as ends:
        arrivals = Arrivals([*pair.posts], ends)
        for _ in range(times):
            until(partial(all_up, pair), patience_s=ARRIVE_S)
            pair.direct.clear()
            arrivals.write(pair.near, LONG_TEXT)
            until(lambda: pair.direct.count().size > len(LONG_TEXT) / 3)
            died_s = clock.precise_s()
            pair.direct.set(reject=True)
            late: float | None = None
            while late is None and clock.precise_s() < died_s + ARRIVE_S:
                arrivals.look(LOOK_S)
                late = arrivals.since(pair.far, died_s)
            late_s.append(ARRIVE_S if late is None else late)
            pair.direct.set(reject=False)
    pair.direct.set(rate_bytes_s=None)
    return sorted(late_s)


def measure(place: Path, quick: bool, told: Told) -> dict[str, float]:
    """All of it; nothing, and a word why, where wires cannot be made."""
    if (lacking := missing()) is not None:
        told(f"blackholes are not measured: {lacking}")
        return {}
    pairs, cuts = (4, (20,)) if quick else (20, (20, 120))
    values: dict[str, float] = {}
    chance = Random(1870)
    with Scene(place, pairs, LATENCY_S) as scene:
        told("a bearer dies in the middle of a message")
        late_s = measure_death(scene, pairs)
        values |= {"death_s": median(late_s), "death_max_s": late_s[-1]}
        for cut_s in cuts:
            spent: list[Spent] = []
            for name, direct, writers in (
                ("caller", True, [0] * pairs),
                ("listener", True, [1] * pairs),
                ("relay", False, [number % 2 for number in range(pairs)]),
            ):
                told(f"{pairs} blackholes of {cut_s} s ({name})")
                for pair in scene.pairs:
                    pair.direct.set(swallow=not direct)
                for pair in scene.pairs:
                    until(partial(all_up, pair, 2 if direct else 1), patience_s=ARRIVE_S)
                found = measure_cut(scene, cut_s, writers, chance, direct=direct)
                spent += found.spent
                values[f"blackhole_{cut_s}_{name}_s"] = median(found.late_s)
                values[f"blackhole_{cut_s}_{name}_max_s"] = found.late_s[-1]
            for pair in scene.pairs:
                pair.direct.set(swallow=False)
            values[f"blackhole_{cut_s}_packets_per_s"] = max(each.packets for each in spent)
            values[f"blackhole_{cut_s}_bytes_per_s"] = max(each.size for each in spent)
    return values
