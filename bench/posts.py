"""Posts to measure: paired on disk, or run as processes of their own.

Theory of operation: `make_pair` enrols two posts in one directory as two people would, with a key
file each, the second to listen and the first to dial. A `Process` is the real daemon, started by
the real command; `Process.ask` opens a connection to its control socket. What is measured does not
live here.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from openline import clock
from openline.client import Client
from openline.config import CONFIG_FILE
from openline.enrolment import new_tape, words
from openline.inputs import Initialise, Pair
from openline.post import Post
from openline.store.keys import KeyFile
from openline.store.opening import create, make_key_file, open_store
from openline.store.sql import SqlStore

LINE = "other"
"""The label of the line at both posts."""

NUMBER = 1
"""Its number."""

TAPE_PAGES = 8
PATIENCE_S = 60.0
POLL_S = 0.005
STOP_S = 10.0


def end(process: subprocess.Popen[bytes], sign: signal.Signals) -> None:
    """End a process by a signal, or by SIGKILL if it does not obey; returns when it is gone."""
    process.send_signal(sign)
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


class Places(NamedTuple):
    """The directories of two paired posts."""

    near: Path
    """Dials the other."""
    far: Path
    """Listens."""


def key_of(directory: Path) -> KeyFile:
    """The key file of a post that `make_pair` made."""
    return KeyFile(directory.with_suffix(".key"))


def opened(directory: Path) -> SqlStore:
    """The store of a post that does not run."""
    return open_store(directory, key_of(directory))


def make_pair(place: Path, *, tape: bool = True) -> Places:
    """Two paired posts in `place`, ready to serve."""
    places = Places(place / "near", place / "far")
    now, cards = clock.now(), {}
    pages = new_tape(TAPE_PAGES, clock.entropy) if tape else None
    stores: dict[Path, SqlStore] = {}
    posts: dict[Path, Post] = {}
    for directory in places:
        make_key_file(key_of(directory).path, clock.entropy)
        stores[directory] = create(directory, key_of(directory), clock.entropy)
        posts[directory] = Post(stores[directory], clock.entropy, now)
        posts[directory].step([Initialise("bench")], now)
        cards[directory] = posts[directory].card() or b""
    for directory, other in (places, places[::-1]):
        card = cards[other]
        posts[directory].step([Pair(LINE, "bench", card, pages, words(card))], now)
        stores[directory].close()
    configure(places)
    return places


def configure(places: Places) -> None:
    """Let the second listen at a free port and the first dial it."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    (places.far / CONFIG_FILE).write_text(f'listen = "{address}"\n')
    bearer = f'[[bearer]]\nline = "{LINE}"\nkind = "tcp"\naddress = "{address}"\n'
    (places.near / CONFIG_FILE).write_text(bearer)


def until(true: Callable[[], bool], *, patience_s: float = PATIENCE_S) -> None:
    """Wait until it is true, looking every few milliseconds; TimeoutError if it never is."""
    pause, end_s = threading.Event(), clock.precise_s() + patience_s
    while not true():
        if clock.precise_s() > end_s:
            raise TimeoutError("a post does not do what is measured")
        pause.wait(POLL_S)


def cpu_s_of(pid: int) -> float:
    """Processor seconds a process has used so far, in user and kernel mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Process:
    """`openline serve` over a directory, as a process of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = directory.with_suffix(".log")
        """Its standard error."""
        self._process: subprocess.Popen[bytes] | None = None

    def launch(self, *under: str) -> None:
        """Start it, as an argument of the program `under` if that is given; do not wait for it."""
        paths = ["--dir", str(self.directory), "--key-file", str(key_of(self.directory).path)]
        command = [*under, sys.executable, "-m", "openline.cli", *paths, "serve"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)

    def ready(self) -> None:
        """Wait until it has said that it is ready; ChildProcessError if it ends instead."""
        process = self._process
        if process is None or process.stdout is None or not process.stdout.readline():
            raise ChildProcessError(self.log.read_text("utf-8", "replace"))

    def start(self) -> None:
        """Start it; returns when it is ready."""
        self.launch()
        self.ready()

    def stop(self) -> None:
        """SIGTERM; returns when it has ended."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        self._end(signal.SIGKILL)

    def _end(self, sign: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            end(process, sign)

    def ask(self) -> Client:
        """A connection to its control socket."""
        return Client(self.directory)

    @property
    def pid(self) -> int:
        """Process id while it runs."""
        if self._process is None:
            raise ProcessLookupError("the post does not run")
        return self._process.pid

    def cpu_s(self) -> float:
        """Processor seconds it has used so far, in user and kernel mode."""
        return cpu_s_of(self.pid)

    def memory_mb(self) -> float:
        """Resident memory in MiB."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextmanager
def running(places: Places) -> Iterator[tuple[Process, Process]]:
    """Both posts as processes, with the line open and nothing on its way."""
    far, near = Process(places.far), Process(places.near)
    try:
        far.start()
        near.start()
        with near.ask() as asking_near, far.ask() as asking_far:
            until(lambda: settled(asking_near) and settled(asking_far))
        yield near, far
    finally:
        near.stop()
        far.stop()


def line_of(asking: Client) -> dict[str, Any]:
    """The line as a post tells it."""
    view: dict[str, Any] = asking.call("lines")[0]
    return view


def settled(asking: Client) -> bool:
    """Whether the line is open and everything released is held by the other side."""
    view = line_of(asking)
    return view["state"] == "open" and not view["outbox"]


def send_request(number: int, text: str) -> bytes:
    """The bytes that ask a post to send a text."""
    asked = {"id": number, "verb": "send", "args": {"line": LINE, "text": text}}
    return json.dumps(asked).encode() + b"\n"
