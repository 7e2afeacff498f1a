"""A file system with one megabyte left: one operation is refused, the record stays whole, and the
line goes on when there is room again.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench.posts import LINE, Places, Process, key_of, make_pair, until
from openline.errors import OpenlineError
from openline.sim.chance import noise, stream
from openline.store.base import THEIRS

from ..long.test_kills import agree, hold_the_same, texts_of, verified
from ..long.writers import Writer

SIZE_MIB = 48
LEFT_BYTES = 1 << 20
TEXT = noise(stream(1, "text"), 30_000)
TEXTS_MAX = 400
ARRIVE_S = 120.0


@contextmanager
def mounted(at: Path) -> Iterator[None]:
    """A small file system in memory; skipped where none can be mounted."""
    at.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_MIB}m,mode=0700", "openline-test", str(at)]
    try:
        made = subprocess.run(mount, check=False, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("no small disk can be made: there is no program mount")
    if made.returncode:
        pytest.skip(f"no small disk can be made: mount is refused: {made.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True)


@pytest.fixture
def posts(tmp_path: Path) -> Iterator[tuple[Process, Process]]:
    """Two running posts; the first lives on the small disk."""
    small = tmp_path / "small"
    with mounted(small):
        places = make_pair(tmp_path)
        shutil.move(key_of(places.near).path, small / "near.key")
        shutil.move(places.near, small / "near")
        near, far = Process(small / "near"), Process(places.far)
        # A log on the full disk would be the test's fault, not the post's.
        near.log = tmp_path / "near.log"
        try:
            far.start()
            near.start()
            yield near, far
        finally:
            near.kill()
            far.kill()


def fill(directory: Path) -> Path:
    """Leave one megabyte free on the file system; the file that takes the rest."""
    filler = directory / "filler"
    system = os.statvfs(directory)
    with filler.open("wb") as file:
        file.write(bytes(max(0, system.f_bavail * system.f_frsize - LEFT_BYTES)))
    return filler


def refused(post: Process) -> tuple[list[str], str]:
    """Write until a text is refused: the texts that were not, and the code of the refusal."""
    taken: list[str] = []
    with post.ask() as asking:
        for number in range(TEXTS_MAX):
            text = f"{number} {TEXT}"
            try:
                asking.call("send", line=LINE, text=text)
            except OpenlineError as error:
                return taken, error.code
            taken.append(text)
    return taken, ""


@pytest.mark.long
def test_a_full_disk_refuses_one_text_and_harms_no_other(posts: tuple[Process, Process]) -> None:
    near, far = posts
    writer, answering = Writer(near, 1), Writer(far, 2)
    writer.write(3)
    until(lambda: agree([*posts]), patience_s=ARRIVE_S)
    filler = fill(near.directory.parent)
    taken, code = refused(near)
    assert code == "store.disk_full"
    # Nobody has to do anything but make room: neither post is started again.
    answering.write(3)
    filler.unlink()
    writer.write(3)
    until(lambda: agree([*posts]), patience_s=ARRIVE_S)
    for post in posts:
        verified(post.directory)
    for post in posts:
        post.stop()
    writer.answered += taken
    hold_the_same(Places(near.directory, far.directory), [writer, answering])
    assert len(texts_of(far.directory, THEIRS)) == len(writer.answered)
