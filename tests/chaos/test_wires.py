"""The emulated wires do what they say: what the other tests here stand on."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from bench.emulated import Conduct, Network, Wire, missing
from bench.posts import until
from openline import clock

PORT = 7000
PATIENCE_S = 30.0
REST_S = 0.3
"""Longer than TCP waits with a repeat on a clean wire."""

ECHO = """
import socket, sys
server = socket.create_server((sys.argv[1], int(sys.argv[2])))
print("ready", flush=True)
while True:
    connection, _ = server.accept()
    try:
        while data := connection.recv(65536):
            connection.sendall(data)
    except OSError:
        pass
    connection.close()
"""

CALL = """
import socket, sys
for line in sys.stdin:
    count, timeout = line.split()
    try:
        with socket.create_connection((sys.argv[1], int(sys.argv[2])), float(timeout)) as calling:
            calling.settimeout(float(timeout))
            calling.sendall(bytes(int(count)))
            calling.shutdown(socket.SHUT_WR)
            got = b""
            while part := calling.recv(65536):
                got += part
        print("intact" if got == bytes(int(count)) else "damaged", flush=True)
    except OSError as error:
        print(type(error).__name__, flush=True)
"""


class Joined:
    """Two hosts, an echo on the second and a caller on the first."""

    def __init__(self, network: Network) -> None:
        for name in ("here", "there"):
            network.host(name)
        self.wire: Wire = network.wire("here", "there")
        address = [self.wire.addresses[1], str(PORT)]
        echo = [*network.under("there"), sys.executable, "-c", ECHO, *address]
        call = [*network.under("here"), sys.executable, "-c", CALL, *address]
        self._echo = subprocess.Popen(echo, stdout=subprocess.PIPE, text=True)
        self._call = subprocess.Popen(
            call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        assert self._echo.stdout is not None
        assert self._echo.stdout.readline() == "ready\n"

    def call(self, count: int, timeout_s: float = PATIENCE_S) -> str:
        """Send bytes there and back: "intact", "damaged", or what went wrong."""
        assert self._call.stdin is not None
        assert self._call.stdout is not None
        self._call.stdin.write(f"{count} {timeout_s}\n")
        return self._call.stdout.readline().strip()

    def end(self) -> None:
        """End both."""
        for each in (self._echo, self._call):
            each.kill()
            each.wait()
            for pipe in (each.stdin, each.stdout):
                if pipe is not None:
                    pipe.close()


@pytest.fixture(scope="module")
def joined() -> Iterator[Joined]:
    """Two hosts on a clean wire."""
    if (lacking := missing()) is not None:
        pytest.skip(f"no wires can be emulated: {lacking}")
    with Network(seed=1) as network:
        made = Joined(network)
        try:
            yield made
        finally:
            made.end()


@pytest.fixture
def wire(joined: Joined) -> Iterator[Wire]:
    """Their wire, clean, at rest and uncounted."""
    joined.wire.behave(Conduct())
    until(lambda: all(each.at_s < clock.precise_s() - REST_S for each in joined.wire.seen()))
    joined.wire.clear()
    yield joined.wire
    joined.wire.behave(Conduct())


def test_every_packet_is_counted(joined: Joined, wire: Wire) -> None:
    assert joined.call(1000) == "intact"
    counted = wire.count()
    assert 8 <= counted.packets <= 20
    assert 2000 + 40 * counted.packets <= counted.size <= 2000 + 60 * counted.packets
    assert sum(each.size for each in wire.seen()) == counted.size


def test_a_wire_that_swallows_closes_nothing_and_still_counts(joined: Joined, wire: Wire) -> None:
    wire.set(swallow=True)
    assert joined.call(10, 0.3) == "TimeoutError"
    assert wire.count() == (1, 60)


def test_a_wire_that_rejects_answers_with_a_reset(joined: Joined, wire: Wire) -> None:
    wire.set(reject=True)
    assert joined.call(10) == "ConnectionRefusedError"


def test_a_connection_in_use_is_reset(joined: Joined, wire: Wire) -> None:
    wire.set(rate_bytes_s=20_000.0)
    ended: list[str] = []
    calling = threading.Thread(target=lambda: ended.append(joined.call(50_000)))
    calling.start()
    until(lambda: wire.count().size > 10_000)
    wire.set(reject=True)
    calling.join()
    assert ended == ["ConnectionResetError"]


def test_what_is_held_comes_later_and_whole(joined: Joined, wire: Wire) -> None:
    wire.set(hold=True)
    ended: list[str] = []
    calling = threading.Thread(target=lambda: ended.append(joined.call(10)))
    calling.start()
    until(lambda: wire.count().packets > 0)
    assert not ended
    wire.set(hold=False)
    calling.join()
    assert ended == ["intact"]


def test_a_delay_and_a_rate_are_kept(joined: Joined, wire: Wire) -> None:
    wire.behave(Conduct(delay_s=0.05))
    began_s = clock.precise_s()
    assert joined.call(10) == "intact"
    assert clock.precise_s() - began_s >= 0.2
    wire.behave(Conduct(rate_bytes_s=100_000.0))
    began_s = clock.precise_s()
    assert joined.call(30_000) == "intact"
    assert clock.precise_s() - began_s >= 0.3


def test_loss_is_mended_by_tcp_and_damage_gets_through_it(joined: Joined, wire: Wire) -> None:
    wire.set(loss=0.1)
    assert joined.call(20_000) == "intact"
    wire.behave(Conduct(damage=0.5))
    assert joined.call(100_000) == "damaged"


def test_what_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert missing() == "not root: network namespaces cannot be made"


def test_addresses_are_ours_alone(wire: Wire) -> None:
    for address in wire.addresses:
        with socket.socket() as outside, pytest.raises(OSError, match="assign"):
            outside.bind((address, PORT))
