"""Posts and relay killed, stopped and cut at random for a bounded time; then everything is there.

Whatever the wires lose, hold, damage, slow down or reject, and whoever is killed or stopped
meanwhile, every text released is on both sides once, and both records have the same digest. The
seed is printed and says what is done to whom; OPENLINE_CHAOS_SEED repeats it. What falls between is
chance all the same, for these are real processes.
"""

from __future__ import annotations

import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bench.emulated import Conduct, missing
from bench.posts import Places, until
from bench.scene import Scene, all_up, carried_by
from openline import clock

from ..long.test_kills import agree, hold_the_same, verified
from ..long.writers import Writer

DELAY_S = 0.01
RAGE_S = 90.0
TEXTS = 120
"""Of each side."""

ARRIVE_S = 300.0
BOUND_PACKETS_S, BOUND_BYTES_S = 2.0, 200.0
WORDS_LOST_S = 15.0
"""By then the kernels repeat what the wire swallowed so seldom that knocking counts."""

DOWN_S = 30.0


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """One pair and a relay, everything up."""
    if (lacking := missing()) is not None:
        pytest.skip(f"no wires can be emulated: {lacking}")
    with Scene(tmp_path, 1, DELAY_S) as made:
        yield made


class Rage:
    """Does harm at random until told to mend."""

    def __init__(self, scene: Scene, seed: int) -> None:
        self.done: Counter[str] = Counter()
        self._scene = scene
        self._pair = scene.pairs[0]
        self._chance = random.Random(seed)
        self._pause = threading.Event()

    def strike(self) -> None:
        """One harm, and a wait."""
        chance = self._chance
        if chance.random() < 0.7:
            wire = chance.choice(self._pair.wires)
            name, conduct = self._conduct()
            wire.behave(conduct)
            self.done[name] += 1
        else:
            harm = chance.choice([self._kill, self._stop])
            harm(chance.random() < 1 / 3)
        self._wait(1.5)

    def _conduct(self) -> tuple[str, Conduct]:
        chance = self._chance
        kinds = {
            "clean": Conduct(delay_s=DELAY_S),
            "drop": Conduct(delay_s=DELAY_S, loss=chance.uniform(0.01, 0.3)),
            "corrupt": Conduct(delay_s=DELAY_S, damage=chance.uniform(0.01, 0.2)),
            "throttle": Conduct(delay_s=DELAY_S, rate_bytes_s=chance.uniform(5_000, 100_000)),
            "late": Conduct(delay_s=chance.uniform(0.1, 0.8)),
            "stall": Conduct(delay_s=DELAY_S, hold=True),
            "swallow": Conduct(delay_s=DELAY_S, swallow=True),
            "reject": Conduct(delay_s=DELAY_S, reject=True),
        }
        name = chance.choice([*kinds])
        return name, kinds[name]

    def _kill(self, relay: bool) -> None:
        self.done["kill"] += 1
        if relay:
            self._scene.relay.end(signal.SIGKILL)
            self._wait(1.0)
            self._scene.relay.start()
            return
        post = self._chance.choice(self._pair.posts)
        post.kill()
        self._wait(1.0)
        self._scene.restart(self._pair, post)

    def _stop(self, relay: bool) -> None:
        self.done["stop"] += 1
        pid = self._scene.relay.pid if relay else self._chance.choice(self._pair.posts).pid
        os.kill(pid, signal.SIGSTOP)
        try:
            self._wait(4.0)
        finally:
            os.kill(pid, signal.SIGCONT)

    def _wait(self, seconds_max: float) -> None:
        self._pause.wait(self._chance.uniform(0, seconds_max))

    def mend(self) -> None:
        """Every wire is clean again."""
        for wire in self._pair.wires:
            wire.behave(Conduct(delay_s=DELAY_S))


@pytest.mark.long
def test_everything_arrives_once_whatever_wires_and_machines_do(scene: Scene) -> None:
    seed = int(os.environ.get("OPENLINE_CHAOS_SEED") or int.from_bytes(clock.entropy(4), "big"))
    print(f"OPENLINE_CHAOS_SEED={seed}")
    rage, pair = Rage(scene, seed), scene.pairs[0]
    writers = [Writer(post, seed + side) for side, post in enumerate(pair.posts)]
    end_s = clock.precise_s() + RAGE_S
    with ThreadPoolExecutor(len(writers)) as people:
        writing = [people.submit(writer.write, TEXTS) for writer in writers]
        while clock.precise_s() < end_s or not all(each.done() for each in writing):
            rage.strike()
        for each in writing:
            each.result()
    rage.mend()
    print(dict(rage.done))
    until(lambda: agree([*pair.posts]), patience_s=ARRIVE_S)
    places = Places(*(post.directory for post in pair.posts))
    for directory in places:
        verified(directory)
    for post in pair.posts:
        post.stop()
    hold_the_same(places, writers)
    assert [len(writer.answered) for writer in writers] == [TEXTS, TEXTS]


@pytest.mark.long
@pytest.mark.parametrize("writes", [0, 1])
def test_a_swallowing_wire_is_noticed_knocked_at_within_bounds_and_used_again(
    scene: Scene, writes: int
) -> None:
    pair = scene.pairs[0]
    for wire in pair.wires:
        wire.set(swallow=True)
    Writer(pair.posts[writes], writes).write(1)
    # Whoever has nothing to say notices by a keep-alive.
    until(lambda: carried_by(pair) == 0)
    began_s = clock.precise_s()
    until(lambda: clock.precise_s() > began_s + WORDS_LOST_S)
    for wire in pair.wires:
        wire.clear()
    until(lambda: clock.precise_s() > began_s + WORDS_LOST_S + DOWN_S)
    for wire in pair.wires:
        counted = wire.count()
        assert DOWN_S / 2 <= counted.packets <= BOUND_PACKETS_S * DOWN_S
        assert counted.size <= BOUND_BYTES_S * DOWN_S
        wire.set(swallow=False)
    until(lambda: all_up(pair), patience_s=ARRIVE_S)
    assert agree([*pair.posts])
