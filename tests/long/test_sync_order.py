"""What the kernel is asked, in order: the disk is synced before anything is sent that rests on it.

SIGKILL cannot show this, because the kernel keeps what was written; strace can. Both posts run
under it, and every datagram sent must find nothing written to the record and not yet synced; the
answer to our own people and the acknowledgement to the other side must come after a sync that came
after what they answer.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from bench.posts import LINE, Process, make_pair, settled, until

CALLS = "fsync,fdatasync,sendto,sendmsg,recvfrom,recvmsg,write,writev,pwrite64,pwritev,read"
CALL = re.compile(r"^(?P<name>\w+)\((?P<fd>\d+)<(?P<what>.*?)>[,)].*= (?P<result>-?\d+)")
PARTS = re.compile(r"^(?P<pid>\d+) +(?P<said>.*)$")
RESUMED = re.compile(r"^<\.\.\. \w+ resumed>(?P<rest>.*)$")

KEEP_ALIVE_BYTES = 2
TEXTS = 10


class Call(NamedTuple):
    """One call of the kernel that succeeded."""

    name: str
    what: str
    """The file or connection, as strace names it."""
    moved: int
    """Bytes."""

    @property
    def step(self) -> str:
        """What it is to the order: "write", "sync", "hear", "send", "asked", "answer" or ""."""
        taken = self.name in ("recvfrom", "recvmsg", "read")
        if self.what.endswith(("post.db-wal", "post.db")):
            syncs = self.name in ("fsync", "fdatasync")
            return "sync" if syncs else "" if taken else "write"
        if self.what.startswith("TCP") and self.moved > KEEP_ALIVE_BYTES:
            return "hear" if taken else "send"
        if self.what.startswith("UNIX") and self.moved > KEEP_ALIVE_BYTES:
            return "asked" if taken else "answer"
        return ""


def calls(trace: Path) -> Iterator[Call]:
    """The calls of a trace in the order in which they ended."""
    begun: dict[str, str] = {}
    for line in trace.read_text("utf-8", "replace").splitlines():
        if (parts := PARTS.match(line)) is None:
            continue
        pid, said = parts["pid"], parts["said"]
        if said.endswith("<unfinished ...>"):
            begun[pid] = said.removesuffix("<unfinished ...>")
            continue
        if (resumed := RESUMED.match(said)) is not None:
            said = begun.pop(pid, "") + resumed["rest"].lstrip()
        if (found := CALL.match(said)) is not None and not found["result"].startswith("-"):
            yield Call(found["name"], found["what"], int(found["result"]))


@pytest.fixture
def traced(tmp_path: Path) -> Iterator[list[Process]]:
    """Two posts under strace, the line open."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed: apt-get install strace")
    if subprocess.run([strace, "-qq", "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine does not let strace trace (ptrace is forbidden)")
    posts = [Process(each) for each in make_pair(tmp_path)]
    try:
        for post in posts[::-1]:
            options = ("-f", "-qq", "-yy", "-s", "0", "-e", f"trace={CALLS}")
            post.launch(strace, *options, "-o", str(post.directory.with_suffix(".trace")))
            post.ready()
        for post in posts:
            with closing(post.ask()) as asking:
                until(partial(settled, asking))
        yield posts
    finally:
        for post in posts:
            post.kill()


def test_the_disk_is_synced_before_a_datagram_an_answer_or_an_ack(traced: list[Process]) -> None:
    near, _ = traced
    with closing(near.ask()) as asking:
        for number in range(TEXTS):
            asking.call("send", line=LINE, text=f"text {number}")
            until(partial(settled, asking))
    for post in traced:
        with closing(post.ask()) as asking:
            asking.call("stop")
        post.stop()
    steps = {
        post.directory.name: [call.step for call in calls(post.directory.with_suffix(".trace"))]
        for post in traced
    }
    for name, taken in steps.items():
        assert taken.count("send") >= TEXTS, f"{name} sent nothing that was seen"
        assert unsynced(taken) == [], name
    # Sender: asked by our people, it syncs before it sends the record, and before it answers.
    assert synced_between(steps["near"], "asked", "send") >= TEXTS
    # Receiver: having heard the record, it syncs before it says anything, so before the ACK.
    assert synced_between(steps["far"], "hear", "send") >= TEXTS


def unsynced(steps: list[str]) -> list[int]:
    """Where something is sent while something written is not synced."""
    found, waiting = [], False
    for at, step in enumerate(steps):
        waiting = step == "write" or (waiting and step != "sync")
        if waiting and step in ("send", "answer"):
            found.append(at)
    return found


def synced_between(steps: list[str], before: str, after: str) -> int:
    """How often something written was synced between a step and the first of another after it."""
    count = 0
    written = synced = False
    for step in steps:
        if step == before:
            written = synced = False
        elif step == "write":
            written = True
        elif step == "sync":
            synced = written
        elif step == after:
            count += synced
            written = synced = False
    return count


def test_the_judge_of_the_order_sees_what_is_wrong() -> None:
    assert unsynced(["asked", "write", "sync", "send", "answer"]) == []
    assert unsynced(["asked", "write", "send", "sync", "answer"]) == [2]
    assert unsynced(["write", "sync", "write", "answer"]) == [3]
    assert synced_between(["hear", "write", "sync", "send", "send"], "hear", "send") == 1
    assert synced_between(["hear", "send", "write", "sync"], "hear", "send") == 0
