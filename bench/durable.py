"""Messages per second one way, both sides committing, against bare commits on the same disk.

Theory of operation: two daemons over loopback TCP; a client writes `send` after `send` into the
control socket of one without waiting for the answers, and the time runs until the author knows that
the last text is on the other side's disk. The floor is what the disk and SQLCipher allow: one small
row per commit, with the settings of the store and in the same directory. The two are measured in
turn, so that what the machine does meanwhile falls on both.
"""

from __future__ import annotations

import socket
import threading
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import NamedTuple

from openline import clock
from openline.client import SOCKET
from openline.store import cipher

from .posts import Process, line_of, send_request, until

TEXT = (
    "At 0415Z two of your cutters came within 300 metres of our survey vessel off the cape; "
    "nobody was hurt. She keeps her course of 140 at six knots. We ask that they stay two miles "
    "clear until she is in port."
)
TEXT_BYTES = 200
FLOOR_BLOB_BYTES = 200
CHUNK_BYTES = 1 << 16


class Flow(NamedTuple):
    """Messages sent one way."""

    messages: int
    held_s: float
    """From the first send to the last acknowledgement."""
    answered_s: float
    """From the first send to the last answer: all is on our own disk."""
    sender_cpu_s: float
    receiver_cpu_s: float

    @property
    def per_s(self) -> float:
        """Messages held per second."""
        return self.messages / self.held_s


def flow(near: Process, far: Process, messages: int) -> Flow:
    """Send so many texts from one post to the other, as fast as it takes them."""
    requests = b"".join(send_request(n, TEXT[:TEXT_BYTES]) for n in range(messages))
    with near.ask() as asking, closing(socket.socket(socket.AF_UNIX)) as sending:
        sending.connect(str(near.directory / SOCKET))
        last = line_of(asking)["own_number"] + messages
        cpu_s = near.cpu_s(), far.cpu_s()
        began_s = clock.precise_s()
        writing = threading.Thread(target=sending.sendall, args=(requests,))
        writing.start()
        answers = 0
        while answers < messages:
            chunk = sending.recv(CHUNK_BYTES)
            if not chunk:
                raise ConnectionError("the post closed its control socket")
            answers += chunk.count(b"\n")
        answered_s = clock.precise_s() - began_s
        until(lambda: bool(line_of(asking)["acked_number"] >= last))
        held_s = clock.precise_s() - began_s
        writing.join()
        used = near.cpu_s() - cpu_s[0], far.cpu_s() - cpu_s[1]
    return Flow(messages, held_s, answered_s, *used)


class Floor:
    """A bare encrypted table in `directory`, written one small row per commit."""

    def __init__(self, directory: Path) -> None:
        path = directory / "floor.db"
        path.touch(0o600)
        self._connection = cipher.connect(path, clock.entropy(32))
        self._connection.execute("CREATE TABLE floor (id INTEGER PRIMARY KEY, value BLOB NOT NULL)")

    def per_s(self, commits: int) -> float:
        """Commits per second over so many; the log is then moved, outside the timing."""
        blob = clock.entropy(FLOOR_BLOB_BYTES)
        cursor = self._connection.cursor()
        began_s = clock.precise_s()
        for _ in range(commits):
            cursor.execute("BEGIN IMMEDIATE")
            cursor.execute("INSERT INTO floor (value) VALUES (?)", (blob,))
            cursor.execute("COMMIT")
        took_s = clock.precise_s() - began_s
        self._connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
        return commits / took_s

    def close(self) -> None:
        """Close the table."""
        self._connection.close()


def file_system(directory: Path) -> str:
    """The type of the file system that holds `directory`, as the kernel names it."""
    place, found = directory.resolve(), ("", "unknown")
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, mount, kind, *_ = line.split()
        if place.is_relative_to(mount) and len(mount) >= len(found[0]):
            found = (mount, kind)
    return found[1]


class Durable(NamedTuple):
    """Medians of runs in turn."""

    messages_per_s: float
    commits_per_s: float
    ratio: float
    """Median of the ratios of neighbours."""
    sender_cpu_us: float
    """Processor time per message."""
    receiver_cpu_us: float


def measure(near: Process, far: Process, place: Path, runs: int, messages: int) -> Durable:
    """Measure flows and commits in turn."""
    flow(near, far, messages // 4)  # so that code and files are warm
    with closing(Floor(place)) as floor:
        floor.per_s(messages // 4)
        pairs = [(floor.per_s(messages // 2), flow(near, far, messages)) for _ in range(runs)]
    flows = [each for _, each in pairs]
    return Durable(
        median(each.per_s for each in flows),
        median(per_s for per_s, _ in pairs),
        median(each.per_s / per_s for per_s, each in pairs),
        median(each.sender_cpu_s / each.messages * 1e6 for each in flows),
        median(each.receiver_cpu_s / each.messages * 1e6 for each in flows),
    )
