"""Whole posts as processes: started, talking over TCP, ended by SIGTERM and by SIGKILL."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from openline import clock
from openline.core.events import Now
from openline.enrolment import new_tape, words
from openline.inputs import Initialise, Pair
from openline.post import Post
from openline.store.keys import KeyFile
from openline.store.opening import create, make_key_file

PATIENCE_S = 30.0
POLL_S = 0.02
PROGRAM = """
import sys
from pathlib import Path
from openline.serve import main_serve
from openline.store.keys import KeyFile
main_serve(Path(sys.argv[1]), KeyFile(Path(sys.argv[2])))
"""


class Process:
    """One post as a process of its own."""

    program = PROGRAM

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = directory.with_suffix(".log")
        self.ready: dict[str, Any] = {}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, **environment: str) -> None:
        """Start it and wait until it is ready."""
        paths = (self.directory, self.directory.with_suffix(".key"))
        command = [sys.executable, "-c", self.program, *map(str, paths)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, env=environment or None
            )
        assert self._process.stdout is not None
        self.ready = json.loads(self._process.stdout.readline())

    def end(self, sign: signal.Signals | None = signal.SIGTERM) -> int:
        """End it, or with None see it end; its exit code."""
        process, self._process = self._process, None
        if process is None:
            return 0
        if sign is not None:
            process.send_signal(sign)
        code = process.wait(PATIENCE_S)
        if process.stdout is not None:
            process.stdout.close()
        return code

    def send(self, sign: signal.Signals) -> None:
        """Give it a signal and wait for nothing."""
        assert self._process is not None
        self._process.send_signal(sign)

    def call(self, verb: str, /, **args: object) -> Any:
        """Ask its control socket."""
        with socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(PATIENCE_S)
            asking.connect(str(self.directory / "control.sock"))
            asking.sendall(json.dumps({"id": 1, "verb": verb, "args": args}).encode() + b"\n")
            with asking.makefile("rb") as lines:
                return json.loads(lines.readline())["ok"]

    def line(self) -> dict[str, Any]:
        """Its only line."""
        view: dict[str, Any] = self.call("status")["lines"][0]
        return view

    def texts(self) -> list[str]:
        """What it has from the other side."""
        listed = self.call("inbox", limit=1000)["records"]
        return [view["text"] for view in listed if view["type"] == "message"]


def until(true: Callable[[], bool]) -> None:
    """Poll until something holds in another process."""
    tries, pause = int(PATIENCE_S / POLL_S), threading.Event()
    assert any(true() or pause.wait(POLL_S) for _ in range(tries)), "it never came"


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Process, Process]]:
    """Two paired posts, the second listening, the first configured to dial it; not running."""
    near, far = tmp_path / "near", tmp_path / "far"
    now, cards, posts, stores = clock.now(), {}, {}, {}
    for directory in (near, far):
        key_file = directory.with_suffix(".key")
        make_key_file(key_file, clock.entropy)
        stores[directory] = create(directory, KeyFile(key_file), clock.entropy)
        posts[directory] = Post(stores[directory], clock.entropy, now)
        (cards[directory],) = posts[directory].step([Initialise("test")], now)
    tape = new_tape(8, clock.entropy)
    for directory, other in ((near, far), (far, near)):
        pair_with(posts[directory], cards[other], tape, now)
        stores[directory].close()
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    (far / "post.toml").write_text(f'listen = "{address}"\n')
    bearer = f'[[bearer]]\nline = "other"\nkind = "tcp"\naddress = "{address}"\n'
    (near / "post.toml").write_text(bearer)
    processes = Process(near), Process(far)
    yield processes
    for process in processes:
        process.end(signal.SIGKILL)


def pair_with(post: Post, card: object, tape: bytes, now: Now) -> None:
    """Pair a post with a card on line "other"."""
    assert isinstance(card, bytes)
    assert post.step([Pair("other", "test", card, tape, words(card))], now) == [1]


def test_two_processes_hold_the_same_record_and_log_nothing_of_it(
    pair: tuple[Process, Process],
) -> None:
    near, far = pair
    far.start()
    near.start()
    assert near.ready == {
        "ready": True,
        "control": str(near.directory / "control.sock"),
        "listen": None,
    }
    assert far.ready["listen"].startswith("127.0.0.1:")
    near.call("send", line="other", text="Bonjour", subject="UNMISTAKABLE")
    far.call("send", line="other", text="Здравствуйте", language="ru")
    until(lambda: near.line()["outbox"] == far.line()["outbox"] == 0)
    until(lambda: near.line()["digest"] == far.line()["digest"] != "")
    assert (near.texts(), far.texts()) == (["Здравствуйте"], ["Bonjour"])
    (bearer,) = far.call("bearers")
    assert (bearer["name"], bearer["up"]) == ("tcp-in", True)
    assert near.end() == far.end() == 0
    assert not (near.directory / "control.sock").exists()
    for process in pair:
        written = process.log.read_text()
        entries = [json.loads(line) for line in written.splitlines()]
        assert {"serving", "bearer.up", "traffic", "stopped"} <= {e["event"] for e in entries}
        for secret in ("UNMISTAKABLE", "Bonjour", "other", "127.0.0.1", str(process.directory)):
            assert secret not in written


def test_a_log_that_cannot_be_written_ends_no_post(pair: tuple[Process, Process]) -> None:
    for process in pair:
        process.log = Path("/dev/full")
        process.start()
    near, far = pair
    near.call("send", line="other", text="said without a log")
    until(lambda: far.texts() == ["said without a log"])


def test_what_was_released_before_a_kill_arrives_after_it(pair: tuple[Process, Process]) -> None:
    near, far = pair
    near.start()
    for number in range(20):
        near.call("send", line="other", text=f"text {number}")
    near.end(signal.SIGKILL)
    near.start()
    far.start()
    until(lambda: len(far.texts()) == 20)
    far.end(signal.SIGKILL)
    near.call("send", line="other", text="while you were away")
    far.start()
    until(lambda: near.line()["outbox"] == 0)
    assert far.texts() == [*(f"text {number}" for number in range(20)), "while you were away"]


def test_systemd_is_told_of_readiness_and_of_a_stop_that_was_asked(
    pair: tuple[Process, Process],
) -> None:
    near, _ = pair
    address = near.directory.with_suffix(".notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(address))
        systemd.settimeout(PATIENCE_S)
        near.start(NOTIFY_SOCKET=str(address), PYTHONPATH=":".join(sys.path))
        assert systemd.recv(100) == b"READY=1"
        assert near.call("stop") == {}
        assert systemd.recv(100) == b"STOPPING=1"
    assert near.end() == 0
