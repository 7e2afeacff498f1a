"""Damaged copies open whole or are refused: no batch is ever seen in part.

A copy is taken of a store in use, at one of the instants that differ (between commits; at each step
of a checkpoint; with part of the checkpoint's pages moved), as a crash would leave it. Then the
database or its log is cut, or a byte of it is changed, at a random place. SIGKILL alone would prove
little: what a process has written survives it, synced or not.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from openline.clock import entropy
from openline.errors import StoreError
from openline.store import checkpoint as checkpoints
from openline.store.cipher import PAGE_BYTES
from openline.store.opening import DATABASE, create, open_store

from .workload import CHEAP, SECRET, SMALL_BALLAST, batch, batches_held

LOG = f"{DATABASE}-wal"
BATCHES = 12
CHECKPOINT_AFTER = 7

INSTANTS = ("in use", "filling", "moved", "filled", "begun anew", "with a new log")


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, int]]:
    """Copies at each instant of INSTANTS, with the number of batches committed then."""
    place = tmp_path_factory.mktemp("copies")
    post, taken = place / "post", {}
    store = create(post, SECRET, entropy, cost=CHEAP, ballast_bytes=SMALL_BALLAST)

    def take(instant: str, held: int) -> None:
        shutil.copytree(post, place / instant)
        taken[instant] = (place / instant, held)

    for k in range(1, CHECKPOINT_AFTER + 1):
        store.commit(batch(k))
    take("in use", CHECKPOINT_AFTER)
    note = checkpoints._note
    steps = iter([("", "filling"), ("moved", "filled")])

    def note_and_take(database: Path, step: int, log: bytes) -> None:
        before, after = next(steps)
        if before:
            take(before, CHECKPOINT_AFTER)
        note(database, step, log)
        take(after, CHECKPOINT_AFTER)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoints, "_note", note_and_take)
        store._checkpoint()
    take("begun anew", CHECKPOINT_AFTER)
    for k in range(CHECKPOINT_AFTER + 1, BATCHES + 1):
        store.commit(batch(k))
    take("with a new log", BATCHES)
    store.close()
    return taken


def held(directory: Path) -> int | str:
    """Batches held, whole; or the code of the refusal."""
    try:
        with closing(open_store(directory, SECRET, ballast_bytes=SMALL_BALLAST)) as store:
            return batches_held(store)
    except StoreError as error:
        return error.code


def cut(path: Path, chance: random.Random) -> None:
    """Shorten the file, often at the edge of a page."""
    length = chance.randrange(path.stat().st_size)
    if chance.random() < 0.3:
        length -= length % PAGE_BYTES
    with path.open("r+b") as file:
        file.truncate(length)


def flip(path: Path, chance: random.Random) -> None:
    """Change one byte."""
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= chance.randrange(1, 256)
    path.write_bytes(content)


def blank(path: Path, chance: random.Random) -> None:
    """Put zeros over one page."""
    with path.open("r+b") as file:
        file.seek(chance.randrange(max(1, path.stat().st_size // PAGE_BYTES)) * PAGE_BYTES)
        file.write(bytes(PAGE_BYTES))


DAMAGES: tuple[Callable[[Path, random.Random], None], ...] = (cut, cut, flip, flip, blank)


def half_moved(copies: dict[str, tuple[Path, int]], to: Path, chance: random.Random) -> None:
    """A checkpoint caught with some of its pages moved: any mixture of the old and the new."""
    shutil.copytree(copies["filling"][0], to)
    old, new = (copies[name][0].joinpath(DATABASE).read_bytes() for name in ("filling", "moved"))
    pages = [
        (old if at < len(old) and chance.random() < 0.5 else new)[at : at + PAGE_BYTES]
        for at in range(0, chance.randrange(len(old), len(new) + 1), PAGE_BYTES)
    ]
    (to / DATABASE).write_bytes(b"".join(pages))


@pytest.mark.parametrize("instant", INSTANTS)
def test_copy_at_each_instant_opens_whole(
    copies: dict[str, tuple[Path, int]], tmp_path: Path, instant: str
) -> None:
    directory, committed = copies[instant]
    shutil.copytree(directory, tmp_path / "copy")
    assert held(tmp_path / "copy") == committed
    assert held(tmp_path / "copy") == committed


def test_checkpoint_caught_half_way_opens_whole(
    copies: dict[str, tuple[Path, int]], tmp_path: Path
) -> None:
    for seed in range(5):
        half_moved(copies, tmp_path / str(seed), random.Random(seed))
        assert held(tmp_path / str(seed)) == CHECKPOINT_AFTER


def test_damaged_copies_open_whole_or_are_refused(
    copies: dict[str, tuple[Path, int]], tmp_path: Path, long_run: bool
) -> None:
    seen: Counter[str] = Counter()
    for seed in range(200 if long_run else 40):
        chance = random.Random(seed)
        directory = tmp_path / str(seed)
        instant = chance.choice((*INSTANTS, "half moved", "half moved"))
        if instant == "half moved":
            half_moved(copies, directory, chance)
            committed = CHECKPOINT_AFTER
        else:
            source, committed = copies[instant]
            shutil.copytree(source, directory)
        victim = directory / chance.choice((DATABASE, LOG))
        if victim.stat().st_size:
            chance.choice(DAMAGES)(victim, chance)
        found = held(directory)
        where = f"seed {seed}: {instant}, {victim.name}: {found}"
        if isinstance(found, int):
            assert 0 <= found <= committed, where
            # The log can only lose its end; the database loses nothing silently.
            assert found == committed or victim.name == LOG, where
            seen["all" if found == committed else "earlier"] += 1
        else:
            assert found == "store.damaged", where
            seen["refused"] += 1
        shutil.rmtree(directory)
    assert min(seen[outcome] for outcome in ("all", "earlier", "refused")) > 0, seen


def test_log_damaged_during_a_checkpoint_is_refused(
    copies: dict[str, tuple[Path, int]], tmp_path: Path
) -> None:
    for seed, damage in enumerate((cut, flip, blank)):
        directory = tmp_path / str(seed)
        half_moved(copies, directory, random.Random(seed))
        damage(directory / LOG, random.Random(seed))
        assert held(directory) == "store.damaged"


def test_old_log_is_not_read_again_after_a_checkpoint(
    copies: dict[str, tuple[Path, int]], tmp_path: Path
) -> None:
    for seed, instant in enumerate(("filled", "begun anew")):
        directory = tmp_path / instant
        shutil.copytree(copies[instant][0], directory)
        cut(directory / LOG, random.Random(seed))
        assert held(directory) == CHECKPOINT_AFTER


@pytest.mark.parametrize("name", [DATABASE, "checkpoint"])
def test_missing_file_is_told_as_damage(
    copies: dict[str, tuple[Path, int]], tmp_path: Path, name: str
) -> None:
    shutil.copytree(copies["in use"][0], tmp_path / "copy")
    (tmp_path / "copy" / name).unlink()
    assert held(tmp_path / "copy") == "store.damaged"


def test_changed_checkpoint_note_is_told_as_damage(
    copies: dict[str, tuple[Path, int]], tmp_path: Path
) -> None:
    for seed in range(8):
        directory = tmp_path / str(seed)
        shutil.copytree(copies["in use"][0], directory)
        flip(directory / "checkpoint", random.Random(seed))
        assert held(directory) == "store.damaged"
