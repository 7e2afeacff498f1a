"""How long one message takes on an idle line, against a bare TCP echo over the same loopback.

Theory of operation: one text at a time, by one who waits for each. `watch` on both posts tells when
it is on the other side's disk (arrived) and when the author knows (held): an event is told only
after the commit it speaks of. Both are measured from before the request is written to when this
process reads the event. The echo is a process that sends back what it gets: what two crossings of
loopback and two wakings cost without any of us. Texts and echoes go in turn.
"""

from __future__ import annotations

import json
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from openline import clock
from openline.client import SOCKET

from .durable import TEXT, TEXT_BYTES
from .posts import Process, send_request

PAUSE_S = 0.02
"""Between two texts, so that each finds both posts idle."""

WAIT_S = 30.0

ECHO = """
import socket
with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    connection, _ = server.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while data := connection.recv(4096):
        connection.sendall(data)
"""


class Latency(NamedTuple):
    """Milliseconds of each text and each echo, ascending."""

    answered: list[float]
    """On our own disk, and said so."""
    arrived: list[float]
    """On the other side's disk."""
    held: list[float]
    """Known here to be there."""
    echo: list[float]


def quantile(ascending: list[float], part: float) -> float:
    """The value below which `part` of the values lie."""
    return ascending[min(len(ascending) - 1, int(part * len(ascending)))]


class _Watch:
    """Events and answers of one post, read by whoever waits for them."""

    def __init__(self, directory: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(str(directory / SOCKET))
        self.socket.sendall(b'{"id": "watch", "verb": "watch"}\n')
        self._rest = b""

    def read(self) -> list[dict[str, Any]]:
        """What has come."""
        *lines, self._rest = (self._rest + self.socket.recv(1 << 16)).split(b"\n")
        return [json.loads(line) for line in lines]

    def close(self) -> None:
        """Watch no more."""
        self.socket.close()


class _Texts:
    """Sends one text at a time."""

    def __init__(self, near: _Watch, far: _Watch) -> None:
        self._near, self._far = near, far
        self._asked = 0
        # The answers to both requests to watch.
        for watch in (near, far):
            watch.read()

    def send(self) -> dict[str, float]:
        """Seconds until each thing was told of one text: "answered", "arrived", "held"."""
        self._asked += 1
        told: dict[str, float] = {}
        number = 0
        early: list[tuple[str, int, float]] = []
        began_s = clock.precise_s()
        self._near.socket.sendall(send_request(self._asked, TEXT[:TEXT_BYTES]))
        while len(told) < 3:
            ready, _, _ = select.select([self._near.socket, self._far.socket], [], [], WAIT_S)
            if not ready:
                raise TimeoutError("a text does not arrive")
            at_s = clock.precise_s() - began_s
            for watch in (self._near, self._far):
                if watch.socket not in ready:
                    continue
                for said in watch.read():
                    if said["id"] == self._asked:
                        number, told["answered"] = said["ok"]["serial"]["number"], at_s
                    elif (event := said.get("event")) is not None:
                        wanted = "held" if watch is self._near else "arrived"
                        if event["name"] == wanted:
                            early.append((wanted, event["values"]["number"], at_s))
            told |= {name: when_s for name, of, when_s in early if of == number}
        return told


@contextmanager
def _echo() -> Iterator[socket.socket]:
    """A connection to an echo in a process of its own."""
    process = subprocess.Popen([sys.executable, "-c", ECHO], stdout=subprocess.PIPE)
    if process.stdout is None:
        raise ChildProcessError("no echo")
    try:
        port = int(process.stdout.readline())
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            yield connection
    finally:
        process.wait(WAIT_S)
        process.stdout.close()


def _echoed(connection: socket.socket) -> float:
    """Seconds until a text comes back."""
    data = TEXT[:TEXT_BYTES].encode()
    began_s = clock.precise_s()
    connection.sendall(data)
    left = len(data)
    while left:
        left -= len(connection.recv(left))
    return clock.precise_s() - began_s


def measure(near: Process, far: Process, texts: int) -> Latency:
    """Send so many texts one at a time, and as many echoes between them."""
    pause = socket.socketpair()
    with ExitStack() as stack:
        connection = stack.enter_context(_echo())
        watches = [stack.enter_context(closing(_Watch(p.directory))) for p in (near, far)]
        for end in pause:
            stack.callback(end.close)
        sending = _Texts(*watches)
        told, echoes = [], []
        for _ in range(texts):
            select.select([pause[0]], [], [], PAUSE_S)
            told.append(sending.send())
            echoes.append(_echoed(connection))
    ms = {name: sorted(each[name] * 1000 for each in told) for name in told[0]}
    return Latency(ms["answered"], ms["arrived"], ms["held"], sorted(e * 1000 for e in echoes))
