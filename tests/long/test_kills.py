"""Either post or the relay is killed at any instant; every message arrives once all the same.

Real processes, SIGKILL, a key file, direct TCP and a relay both at once. A kill may strike a post
that works, one that starts, or one that has just been killed.
"""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from bench.posts import LINE, NUMBER, Places, Process, key_of, line_of, make_pair, opened, until
from openline.config import CONFIG_FILE
from openline.core.envelope import decode_record
from openline.core.receipts import TEXT
from openline.store.base import OURS, THEIRS, Row

from ..relay.process import RelayProcess
from .writers import Writer

TOKENS = 400
ARRIVE_S = 240.0
"""Above the longest wait of any timer of the line (60 s) and the restart of what was killed."""


class World:
    """Two posts and a relay that can be killed."""

    def __init__(self, place: Path, seed: int) -> None:
        self.places = make_pair(place)
        self.relay = RelayProcess(place)
        self.posts = [Process(each) for each in self.places]
        self.killed: Counter[str] = Counter()
        self._chance = random.Random(seed)
        self._pause = threading.Event()

    def start(self) -> None:
        """Start everything."""
        self.relay.start()
        for post in self.posts:
            tokens = post.directory.with_suffix(".tokens")
            tokens.write_text("".join(f"{each.hex()}\n" for each in self.relay.tokens(TOKENS)))
            with (post.directory / CONFIG_FILE).open("a") as config:
                config.write(f'[[bearer]]\nline = "{LINE}"\nkind = "relay"\n')
                config.write(f'url = "{self.relay.url}"\ntokens = "{tokens}"\n')
            post.start()

    def strike(self) -> None:
        """Kill one of the three at a random instant and start it again."""
        self._wait(0.3)
        post = self._chance.choice([*self.posts, None])
        if post is not None:
            self._strike_post(post)
            return
        self.relay.kill()
        self.killed["relay"] += 1
        self._wait(0.3)
        self.relay.start()

    def _strike_post(self, post: Process) -> None:
        post.kill()
        self.killed[post.directory.name] += 1
        if self._chance.random() < 0.25:
            post.launch()
            self._wait(1.0)
            post.kill()
            self.killed["starting"] += 1
        post.start()

    def _wait(self, seconds_max: float) -> None:
        self._pause.wait(self._chance.uniform(0, seconds_max))

    def end(self) -> None:
        """End everything."""
        for post in self.posts:
            post.stop()
        self.relay.stop()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A world that runs."""
    made = World(tmp_path, seed=1967)
    try:
        made.start()
        yield made
    finally:
        made.end()


def texts_of(directory: Path, side: int) -> dict[tuple[int, int], Row]:
    """The texts of one side as a post holds them on disk, by serial."""
    with closing(opened(directory)) as store:
        rows = store.arrivals(NUMBER, 0, 1 << 20, side=side, kinds=[TEXT])
    found = {(row.incarnation, row.number): row for row in rows}
    assert len(found) == len(rows), "no serial twice"
    assert all(row.head for row in rows), "all in the chain"
    return found


def verified(directory: Path) -> None:
    """The record holds against a verification by the command people would type."""
    paths = ["--dir", str(directory), "--key-file", str(key_of(directory).path)]
    command = [sys.executable, "-m", "openline.cli", *paths, "transcript", LINE, "--verify"]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def agree(posts: list[Process]) -> bool:
    """Whether nothing is on its way and both records have the same digest."""
    with ExitStack() as stack:
        views = [line_of(stack.enter_context(post.ask())) for post in posts]
    digests = {view["digest"] for view in views}
    return not any(view["outbox"] or view["gaps"] for view in views) and len(digests) == 1


def hold_the_same(places: Places, writers: list[Writer]) -> None:
    """Every text answered for is on both sides once; one in doubt on both or neither."""
    for directory, other, writer in zip(places, places[::-1], writers, strict=True):
        ours, theirs = texts_of(directory, OURS), texts_of(other, THEIRS)
        assert {serial: row.record for serial, row in ours.items()} == {
            serial: row.record for serial, row in theirs.items()
        }
        written = Counter(decode_record(row.record).text for row in theirs.values())
        assert set(written.values()) == {1}
        assert set(writer.answered) <= set(written) <= {*writer.answered, *writer.in_doubt}


def test_every_message_arrives_once_whoever_is_killed(world: World, long_run: bool) -> None:
    messages, kills = (1000, 200) if long_run else (60, 6)
    writers = [Writer(post, seed) for seed, post in enumerate(world.posts)]
    with ThreadPoolExecutor(len(writers)) as people:
        for done in range(kills):
            # As many texts as bring both writers to their share when the last kill has struck.
            share = messages * (done + 1) // kills // 2 - messages * done // kills // 2
            writing = [people.submit(writer.write, share) for writer in writers]
            world.strike()
            for each in writing:
                each.result()
    until(lambda: agree(world.posts), patience_s=ARRIVE_S)
    for directory in world.places:
        verified(directory)
    world.end()
    hold_the_same(world.places, writers)
    assert sum(len(writer.answered) for writer in writers) == messages
    assert sum(world.killed.values()) - world.killed["starting"] == kills
