"""Real posts, destroyed or rolled back while they run, come back on the wire by themselves."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from bench.posts import LINE, NUMBER, Process, key_of, line_of, make_pair, opened, until
from openline.core.envelope import decode_record
from openline.core.receipts import TEXT

PASSPHRASE = "six words drawn by dice"


class World:
    """Two posts that run."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.places = make_pair(place)
        self.near, self.far = (Process(each) for each in self.places)
        self.written = 0

    def start(self) -> None:
        """Start both."""
        for post in (self.far, self.near):
            post.start()

    def talk(self) -> list[str]:
        """Either side writes a text, which is held by the other; the texts."""
        texts = []
        for post in (self.near, self.far):
            self.written += 1
            texts.append(f"{post.directory.name} {self.written}")
            with closing(post.ask()) as asking:
                asking.call("send", line=LINE, text=texts[-1])
        until(self._settled)
        return texts

    def _settled(self) -> bool:
        with ExitStack() as stack:
            views = [line_of(stack.enter_context(p.ask())) for p in (self.near, self.far)]
        alike = len({view["digest"] for view in views}) == 1
        return alike and not any(view["outbox"] or view["gaps"] for view in views)

    def alarmed(self) -> dict[str, bool]:
        """At which posts the continuity alarm stands."""
        with ExitStack() as stack:
            asking = {p.directory.name: stack.enter_context(p.ask()) for p in (self.near, self.far)}
            return {name: line_of(each)["alarm"] for name, each in asking.items()}

    def command(self, post: Process, *arguments: object, typing: str = "") -> str:
        """Run a command on a post as a person does; what it said."""
        paths = ["--dir", str(post.directory), "--key-file", str(key_of(post.directory).path)]
        command = [sys.executable, "-m", "openline.cli", *paths, *map(str, arguments)]
        ended = subprocess.run(command, check=False, capture_output=True, text=True, input=typing)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def texts(self, post: Process) -> set[str]:
        """All texts that a stopped post holds, kept aside or not."""
        with closing(opened(post.directory)) as store:
            rows = store.arrivals(NUMBER, 0, 1 << 20, kinds=[TEXT])
        return {decode_record(row.record).text for row in rows}

    def end(self) -> None:
        """End both."""
        for post in (self.near, self.far):
            post.stop()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Two posts that have talked."""
    made = World(tmp_path)
    try:
        made.start()
        made.talk()
        yield made
    finally:
        made.end()


def test_a_destroyed_post_is_restored_from_its_kit_and_the_line_comes_back(world: World) -> None:
    kit = world.place / "kit"
    world.command(world.near, "backup", kit, typing=f"{PASSPHRASE}\n{PASSPHRASE}\n")
    lost = world.talk()
    world.near.kill()
    shutil.rmtree(world.near.directory)
    world.command(world.near, "restore", kit, typing=f"{PASSPHRASE}\n")
    world.near.start()
    new = world.talk()
    assert world.alarmed() == {"near": True, "far": True}
    said = world.command(world.near, "lines", LINE)
    assert f"openline clear-alarm {LINE}" in said
    for post in (world.near, world.far):
        world.command(post, "clear-alarm", LINE)
    assert world.alarmed() == {"near": False, "far": False}
    world.end()
    assert {*lost, *new} <= world.texts(world.far)
    assert not set(lost) & world.texts(world.near)


def test_a_machine_rolled_back_while_it_runs_goes_on(world: World) -> None:
    """The copy is of a frozen process, as a hypervisor takes it without memory."""
    os.kill(world.near.pid, signal.SIGSTOP)
    copy = world.place / "copy"
    copied = shutil.ignore_patterns("*.sock")
    shutil.copytree(world.near.directory, copy, ignore=copied)
    os.kill(world.near.pid, signal.SIGCONT)
    lost = world.talk()
    world.near.kill()
    shutil.rmtree(world.near.directory)
    copy.rename(world.near.directory)
    world.near.start()
    new = world.talk()
    world.end()
    assert {*lost, *new} <= world.texts(world.far)
