"""One side is upgraded and the other is not: the line goes on, and no disk is harmed."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from openline.store import migrations
from openline.store.base import Batch
from openline.store.keys import KeyFile
from openline.store.opening import DATABASE, open_store
from openline.store.tables import SCHEMA
from tests.test_serve import PROGRAM, Process, pair, until

__all__ = ["pair"]

NEWER = """
from openline import lane
from openline.core.envelope import Frame, Record
from openline.core.precedence import Precedence
from openline.sealing import openings, seal

class Payload:
    decode = openings.Payload.decode
    def __new__(cls, _version, *rest):
        return openings.Payload(2, *rest)

def encode(frames, plain=lane.encode_frames):
    short = sum(len(frame.payload) for frame in frames) < 500
    return plain([Frame(99, b"of a later version"), *frames] if short else frames)

def release(self, act, now, plain=lane.Lane.release):
    at = now.wall_s
    self.line.release(
        Record(0, 0, Precedence.ROUTINE, 77, "en", at, at, None, (), "", b"a later kind"), now
    )
    return plain(self, act, now)

seal.Payload, lane.encode_frames, lane.Lane.release = Payload, encode, release
"""
"""Makes of this version one that speaks version 2 too, with frames and records of its own."""

DYING = """
import os, signal, sys
from pathlib import Path
from alembic import op
from openline.store import migrations
from openline.store.keys import KeyFile
from openline.store.opening import open_store

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def last_breath(text, plain=op.execute):
    plain(text)
    die()

def done(connection, plain=migrations.bring_up):
    plain(connection)
    die()

if sys.argv[3] == "within":
    op.execute = last_breath
else:
    migrations.bring_up = done
open_store(Path(sys.argv[1]), KeyFile(Path(sys.argv[2])))
"""
"""Opens a post and is killed within the migration or right after it."""


class NewerProcess(Process):
    """A post of a later version, as a process."""

    program = NEWER + PROGRAM


@pytest.fixture
def older(pair: tuple[Process, Process]) -> tuple[Process, Process]:
    """The pair as the first version left it: schema 0001, no identity for each line."""
    for process in pair:
        store = open_store(process.directory, secret(process))
        state = store.state(0)
        assert state["identity"] == store.state(1)["identity"]
        names = ("identity", "peer_version", "succeeds", "passage", "tapes")
        store.commit(Batch({(1, name): None for name in names}))
        store._connection.execute("DROP TABLE content")
        store._connection.execute("CREATE TABLE erasing (line INTEGER NOT NULL PRIMARY KEY)")
        store._connection.execute("UPDATE alembic_version SET version_num = '0001'")
        store.close()
    return pair


def secret(process: Process) -> KeyFile:
    """What opens the post of a process."""
    return KeyFile(process.directory.with_suffix(".key"))


def revision(process: Process) -> str | None:
    """The schema of a post that does not run, as it lies on the disk."""
    store = open_store(process.directory, secret(process))
    try:
        return migrations.revision(store._connection)
    finally:
        store.close()


def test_a_later_version_and_this_one_speak_and_people_see_it(
    pair: tuple[Process, Process],
) -> None:
    near, far = pair
    later = NewerProcess(near.directory)
    try:
        far.start()
        later.start()
        later.call("send", line="other", text="from a later version")
        far.call("send", line="other", text="from this one")
        until(lambda: later.line()["outbox"] == far.line()["outbox"] == 0)
        later.end(signal.SIGKILL)
        later.start()
        later.call("send", line="other", text="again")
        heard = ["a later kind", "from a later version", "a later kind", "again"]
        until(lambda: far.texts() == heard)
        kinds = [view["kind"] for view in far.call("inbox", limit=10)["records"]]
        assert kinds == ["unknown 77", "text"] * 2
        assert later.texts() == ["from this one"]
        line = far.line()
        assert (line["state"], line["faults"], line["alarm"]) == ("open", {}, False)
        assert line["peer_version"] == 2
        assert far.call("status")["other_version"] == ["other"]
        assert later.call("status")["other_version"] == []
    finally:
        later.end(signal.SIGKILL)


def test_a_post_of_the_first_version_goes_on_after_the_upgrade_of_one_side(
    older: tuple[Process, Process],
) -> None:
    near, far = older
    before = open_store(near.directory, secret(near))
    identity = before.state(0)["identity"]
    before.close()
    near.start()
    near.call("send", line="other", text="upgraded")
    near.end(signal.SIGKILL)
    assert revision(near) == SCHEMA
    far.start()
    near.start()
    until(lambda: far.texts() == ["upgraded"])
    near.call("rotate")
    near.end(signal.SIGKILL)
    store = open_store(near.directory, secret(near))
    assert store.state(1)["identity"] == identity != store.state(0)["identity"]
    store.close()
    near.start()
    far.call("send", line="other", text="the old line knows its old card")
    until(lambda: near.texts() == ["the old line knows its old card"])


@pytest.mark.parametrize("instant", ["within", "after"])
def test_a_kill_in_the_migration_leaves_the_post_usable(
    older: tuple[Process, Process], instant: str
) -> None:
    near, far = older
    paths = (near.directory, near.directory.with_suffix(".key"))
    command = [sys.executable, "-c", DYING, *map(str, paths), instant]
    killed = subprocess.run(command, check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    near.start()
    far.start()
    near.call("send", line="other", text="still here")
    until(lambda: far.texts() == ["still here"])


def test_a_post_of_a_later_version_is_refused_in_words_and_unharmed(
    pair: tuple[Process, Process],
) -> None:
    near, far = pair
    store = open_store(near.directory, secret(near))
    store._connection.execute("UPDATE alembic_version SET version_num = '9999'")
    store.close()
    database = near.directory / DATABASE
    before = database.read_bytes()
    command = [sys.executable, "-m", "openline.cli", "--dir", str(near.directory)]
    key_file = near.directory.with_suffix(".key")
    command += ["--key-file", str(key_file), "serve"]
    refused = subprocess.run(command, check=False, capture_output=True)
    assert refused.returncode == 1
    assert refused.stdout == b""
    assert b"newer" in refused.stderr
    assert b"Traceback" not in refused.stderr
    assert database.read_bytes() == before
    bring_back(near)
    near.start()
    far.start()
    near.call("send", line="other", text="nothing was harmed")
    until(lambda: far.texts() == ["nothing was harmed"])


def bring_back(process: Process) -> None:
    """Put the mark of a later version away again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrations, "SCHEMA", "9999")
        store = open_store(process.directory, secret(process))
    store._connection.execute("UPDATE alembic_version SET version_num = ?", (SCHEMA,))
    store.close()
