"""Two radio controllers, real ones, and the air between them: sound, without any sound card.

Theory of operation: a `Station` is the program direwolf. It writes the sound it sends into a FIFO,
as fast as it can make it, and keeps its transmitter keyed for as long as that sound lasts. `Air`
plays it in real time, a block of 20 ms after another, into the standard input of the other one,
with noise if that is wanted: so each hears the other's carrier when it is there, and waits. Where
nobody sends it plays silence, lest anybody wait for sound. A station that sends hears nothing, as
radios do. Whatever is on the air can be jammed. What the posts say does not live here.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
from array import array
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from operator import add
from pathlib import Path
from random import Random

from bench.posts import end, until
from openline import clock

PROGRAM = "direwolf"
SAMPLES_S = 22_050
BLOCK_S = 0.02
BLOCK_SAMPLES = int(SAMPLES_S * BLOCK_S)
LOUD = 4
"""By what the sound is divided, to leave room for noise."""
JAM_LEVEL = 12_000
"""Of the noise over which nothing is heard; what stations send is 8,191 at its loudest."""
CALLS = {"near": "N0CALL-1", "far": "N0CALL-2"}

SOUND = """\
pcm.nowhere {{ type null }}
pcm.air {{ type file slave.pcm nowhere file "{fifo}" format raw }}
"""
SETTINGS = """\
ADEVICE stdin air
ARATE {samples}
CHANNEL 0
MYCALL {call}
MODEM 1200
KISSPORT {port}
AGWPORT 0
"""


def missing() -> str | None:
    """What to type if there is no such program here; None if there is."""
    if shutil.which(PROGRAM):
        return None
    return f"no radio was tried, {PROGRAM} is not installed; type: apt-get install {PROGRAM}"


class Station:
    """One controller."""

    def __init__(self, place: Path, name: str) -> None:
        self.name = name
        self.log = place / f"{name}.radio.log"
        fifo = place / f"{name}.sound"
        os.mkfifo(fifo)
        # Opened for both, so that nobody waits for the other end.
        self.sent = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        sound, settings = place / f"{name}.asoundrc", place / f"{name}.conf"
        sound.write_text(SOUND.format(fifo=fifo))
        settings.write_text(SETTINGS.format(samples=SAMPLES_S, call=CALLS[name], port=self.port))
        self._command = [PROGRAM, "-c", str(settings), "-t", "0"]
        self._env = {**os.environ, "ALSA_CONFIG_PATH": str(sound)}
        self.process = self._started()
        self.sound = bytearray()
        """Sent, and not yet on the air."""
        self.jammed = 0
        """Of what it sends next, how often nothing of it is heard."""
        self.keyed = 0
        """How often it has begun to send."""
        self.keyed_s = 0.0
        """How long it has been sending in all."""

    def _started(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._env,
            )

    def start(self) -> None:
        """Start it again after `stop`."""
        self.process = self._started()

    def answers(self) -> bool:
        """Whether it takes calls. Raises ChildProcessError if it has ended instead."""
        if self.process.poll() is not None:
            raise ChildProcessError(self.log.read_text("utf-8", "replace"))
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
            return True
        return False

    def take(self) -> None:
        """Take over what it has sent by now."""
        before = len(self.sound)
        with suppress(BlockingIOError):
            self.sound += os.read(self.sent, 1 << 20)
        self.keyed += not before and len(self.sound) > 0

    def block(self) -> array[int] | None:
        """What of it goes on the air now; None: it does not send."""
        if not self.sound:
            return None
        size = 2 * BLOCK_SAMPLES
        samples = array("h", bytes(self.sound[:size]).ljust(size, b"\0"))
        del self.sound[:size]
        self.keyed_s += BLOCK_S
        if self.jammed and not self.sound:
            self.jammed -= 1
        return array("h", [sample // LOUD for sample in samples])

    def hear(self, samples: array[int]) -> None:
        """Play it this."""
        assert self.process.stdin is not None
        # Broken, or closed already, where it was stopped.
        with suppress(BrokenPipeError, ValueError):
            self.process.stdin.write(samples.tobytes())
            self.process.stdin.flush()

    def stop(self) -> None:
        """End it; what it has sent stays on the air."""
        end(self.process, signal.SIGTERM)
        if self.process.stdin is not None:
            with suppress(BrokenPipeError):
                self.process.stdin.close()


class Air:
    """What is between two stations, "near" and "far"."""

    def __init__(self, place: Path, noise: int = 0) -> None:
        """`noise`: its level, as samples are."""
        self.stations = {name: Station(place, name) for name in CALLS}
        self.noise = noise
        chance = Random(1)
        self._hiss = [chance.gauss(0, 1) for _ in range(SAMPLES_S)]
        self._chance = chance
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._play)

    def start(self) -> None:
        """Begin to play; returns when both stations take calls."""
        self._thread.start()
        for station in self.stations.values():
            until(station.answers)

    def stop(self) -> None:
        """End it all."""
        self._ended.set()
        for station in self.stations.values():
            station.stop()
        if self._thread.ident is not None:
            self._thread.join()
        for station in self.stations.values():
            os.close(station.sent)

    def _play(self) -> None:
        next_s = clock.precise_s()
        ways = [*zip(self.stations.values(), reversed(self.stations.values()), strict=True)]
        while not self._ended.wait(max(0.0, next_s - clock.precise_s())):
            next_s += BLOCK_S
            heard: list[tuple[Station, array[int] | None]] = []
            for sender, hearer in ways:
                sender.take()
                level = max(self.noise, JAM_LEVEL if sender.jammed and sender.sound else 0)
                heard.append((hearer, self._mixed(sender.block(), level)))
            sending = [station for station in self.stations.values() if station.sound]
            for hearer, samples in heard:
                deaf = samples is None or hearer in sending
                hearer.hear(_SILENCE if deaf or samples is None else samples)

    def _mixed(self, samples: array[int] | None, level: int) -> array[int] | None:
        if not level:
            return samples
        at = self._chance.randrange(SAMPLES_S - BLOCK_SAMPLES)
        hiss = (int(level * each) for each in self._hiss[at : at + BLOCK_SAMPLES])
        loud = map(add, samples or _SILENCE, hiss)
        return array("h", [max(-32768, min(sample, 32767)) for sample in loud])


_SILENCE = array("h", bytes(2 * BLOCK_SAMPLES))


@contextmanager
def on_the_air(place: Path, noise: int = 0) -> Iterator[Air]:
    """Two stations that take calls."""
    air = Air(place, noise)
    try:
        air.start()
        yield air
    finally:
        air.stop()
