"""Paired posts and a relay on emulated wires, each a real process on a host of its own.

Theory of operation: a `Scene` has one relay on a host of its own, and as many pairs of posts as it
is asked for. The near post of a pair dials the far one over a direct wire; each also has a wire to
the relay, so that a wire is a bearer and what is counted on it is what that bearer costs. What is
measured or tested does not live here.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from openline.client import SOCKET, Client
from openline.config import CONFIG_FILE
from openline.errors import OpenlineError

from .emulated import Network, Wire
from .posts import LINE, Process, end, line_of, make_pair, until

POST_PORT = 7100
RELAY_PORT = 8440
TOKENS = 64
"""For each post: every new epoch of a line opens mailboxes."""

START_S = 300.0
"""Many posts start together on few processors."""


class RelayServer:
    """The relay as a process, started under another command."""

    def __init__(self, place: Path, under: Sequence[str]) -> None:
        self.data = place / "relay"
        self.log = place / "relay.log"
        self._under = under
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id while it runs."""
        if self._process is None:
            raise ProcessLookupError("the relay does not run")
        return self._process.pid

    def start(self) -> None:
        """Start it; returns when it listens."""
        serve = ["serve", "--data", str(self.data), "--listen", f"0.0.0.0:{RELAY_PORT}"]
        command = [*self._under, sys.executable, "-m", "openline.relay.app", *serve]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
        if self._process.stdout is None or not self._process.stdout.readline():
            raise ChildProcessError(self.log.read_text("utf-8", "replace"))

    def end(self, sign: signal.Signals = signal.SIGTERM) -> None:
        """End it by a signal; returns when it is gone."""
        process, self._process = self._process, None
        if process is not None:
            end(process, sign)

    def tokens(self, out: Path) -> None:
        """Have admission tokens issued into a new file."""
        issue = ["token", "--data", str(self.data), "--count", str(TOKENS), "--out", str(out)]
        command = [sys.executable, "-m", "openline.relay.app", *issue]
        subprocess.run(command, check=True, capture_output=True)


class Watch:
    """The events of one post, and requests to it, over one connection to its control socket."""

    def __init__(self, directory: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(directory / SOCKET))
        self._rest = b""
        self.ask("watch")

    def ask(self, verb: str, **args: object) -> None:
        """Ask for something; its answer is among what is read."""
        request = {"id": verb, "verb": verb, "args": args}
        self.socket.sendall(json.dumps(request).encode() + b"\n")

    def read(self) -> list[dict[str, Any]]:
        """What has come; waits for something."""
        *lines, self._rest = (self._rest + self.socket.recv(1 << 16)).split(b"\n")
        return [json.loads(line) for line in lines]

    def close(self) -> None:
        """Watch no more."""
        self.socket.close()


class Pair(NamedTuple):
    """Two posts of one line and their wires."""

    near: Process
    """Dials."""
    far: Process
    """Listens."""
    direct: Wire
    near_relay: Wire
    far_relay: Wire
    hosts: tuple[str, str]

    @property
    def wires(self) -> tuple[Wire, Wire, Wire]:
        """All of them."""
        return self.direct, self.near_relay, self.far_relay

    @property
    def posts(self) -> tuple[Process, Process]:
        """Both of them."""
        return self.near, self.far


class Scene:
    """`with Scene(place, pairs, delay_s) as scene`: everything runs, and every bearer is up."""

    def __init__(self, place: Path, pairs: int, delay_s: float, seed: int = 0) -> None:
        self.pairs: list[Pair] = []
        self._place = place
        self._count = pairs
        self._delay_s = delay_s
        self._seed = seed
        self._ends = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as ends:
            self.network = ends.enter_context(Network(self._seed))
            self.network.host("relay")
            self.relay = RelayServer(self._place, self.network.under("relay"))
            self.relay.start()
            ends.callback(self.relay.end)
            for number in range(self._count):
                self.pairs.append(self._pair(number))
            for pair in self.pairs:
                for post, host in zip(pair.posts[::-1], pair.hosts[::-1], strict=True):
                    post.launch(*self.network.under(host))
                    ends.callback(post.kill)
                for post in pair.posts:
                    post.ready()
            for pair in self.pairs:
                until(partial(all_up, pair), patience_s=START_S)
            self._ends = ends.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._ends.close()

    def restart(self, pair: Pair, post: Process) -> None:
        """Start a post of a pair again on its host; returns when it is ready."""
        post.launch(*self.network.under(pair.hosts[pair.posts.index(post)]))
        post.ready()

    def _pair(self, number: int) -> Pair:
        place = self._place / str(number)
        place.mkdir()
        hosts = (f"near{number}", f"far{number}")
        for host in hosts:
            self.network.host(host)
        direct = self.network.wire(*hosts, delay_s=self._delay_s)
        over = [self.network.wire(host, "relay", delay_s=self._delay_s) for host in hosts]
        posts = [Process(each) for each in make_pair(place)]
        address = f"{direct.addresses[1]}:{POST_PORT}"
        for post, wire in zip(posts, over, strict=True):
            tokens = post.directory.with_suffix(".tokens")
            self.relay.tokens(tokens)
            relay = {"kind": "relay", "url": f"http://{wire.addresses[1]}:{RELAY_PORT}"}
            entries = [{"line": LINE, **relay, "tokens": str(tokens)}]
            if post is posts[0]:
                entries.insert(0, {"line": LINE, "kind": "tcp", "address": address})
            listen = "" if post is posts[0] else f'listen = "{address}"\n'
            said = "".join("[[bearer]]\n" + _toml(entry) for entry in entries)
            (post.directory / CONFIG_FILE).write_text(listen + said)
        return Pair(posts[0], posts[1], direct, over[0], over[1], hosts)


def _toml(entry: dict[str, str]) -> str:
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in entry.items())


def all_up(pair: Pair, bearers: int = 2) -> bool:
    """Whether the line is open, nothing is on its way, and so many bearers carry at both ends."""
    views = [_seen(post) for post in pair.posts]
    return carried_by(pair) == bearers and not any(
        view["state"] != "open" or view["outbox"] for view in views if view
    )


def carried_by(pair: Pair) -> int | None:
    """How many bearers carry, if both ends say the same."""
    counts = {
        sum(bool(bearer["up"]) for bearer in view["bearers"]) if view else None
        for view in (_seen(post) for post in pair.posts)
    }
    return counts.pop() if len(counts) == 1 else None


def _seen(post: Process) -> dict[str, Any] | None:
    """The line as a post tells it; None while it does not answer."""
    try:
        with Client(post.directory) as asking:
            return line_of(asking)
    except OpenlineError:
        return None
