"""Two serial devices joined by a pair of modems that pass bytes through, emulated.

Theory of operation: two pseudo-terminals and a thread. What a post writes to a device waits in the
modem, leaves it at the rate of the wire, eight bits a byte, and comes out of the other device a
latency later; the modem takes bytes as fast as they are given and says nothing, as real ones do.
Without a rate it is a cable. A wire that is cut swallows what is on it; a plug that is pulled takes
the device away. Links in a directory lead to the devices, so that one keeps its name when it is
plugged in again.
"""

from __future__ import annotations

import os
import select
import threading
import tty
from collections import deque
from pathlib import Path
from types import TracebackType
from typing import Self

from openline.clock import precise_s

ENDS = ("near", "far")
READ_BYTES = 4096
LOOK_S = 0.05


class _Way:
    """One direction."""

    def __init__(self) -> None:
        self.free_s = 0.0
        self.bytes = 0
        self.flying: deque[tuple[float, bytearray]] = deque()
        """(when its first byte began to leave, what of it has not come out)."""


class Modems:
    """The two devices, "near" and "far", while the `with` block lasts."""

    def __init__(self, place: Path, *, bit_s: float | None = None, latency_s: float = 0.0) -> None:
        self.devices = {name: place / name for name in ENDS}
        self.cut = False
        """Whether the wire swallows what is on it."""
        self._bit_s, self._latency_s = bit_s, latency_s
        self._ways = {name: _Way() for name in ENDS}
        self._masters: dict[str, int] = {}
        self._slaves: dict[str, int] = {}
        self._lock = threading.Lock()
        self._ended = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        for name in ENDS:
            self.plug(name)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._ended = True
        self._thread.join()
        for name in [*self._masters]:
            self.pull(name)

    def plug(self, name: str) -> None:
        """Put a device there."""
        master, slave = os.openpty()
        tty.setraw(master)
        tty.setraw(slave)
        os.set_blocking(master, False)
        with self._lock:
            self._masters[name], self._slaves[name] = master, slave
        self.devices[name].symlink_to(os.ttyname(slave))

    def pull(self, name: str) -> None:
        """Take a device away."""
        self.devices[name].unlink()
        with self._lock:
            os.close(self._masters.pop(name))
            os.close(self._slaves.pop(name))

    def noise(self, name: str, data: bytes) -> None:
        """Let bytes that nobody sent come out of a device."""
        with self._lock:
            os.write(self._masters[name], data)

    def sent_bytes(self, name: str) -> int:
        """What has been written to a device so far."""
        return self._ways[name].bytes

    def _run(self) -> None:
        while not self._ended:
            with self._lock:
                ends = {master: name for name, master in self._masters.items()}
            ready, _, _ = select.select([*ends], [], [], self._wait_s())
            with self._lock:
                for end in ready:
                    if self._masters.get(ends[end]) == end:
                        self._take(ends[end], end)
                for name in ENDS:
                    self._let_out(name)

    def _wait_s(self) -> float:
        flying = any(way.flying for way in self._ways.values())
        return (8 / self._bit_s if self._bit_s else 0.0) if flying else LOOK_S

    def _take(self, name: str, master: int) -> None:
        """What a post wrote."""
        try:
            data = os.read(master, READ_BYTES)
        except OSError:
            return
        way = self._ways[name]
        way.bytes += len(data)
        if self.cut:
            return
        begins_s = max(way.free_s, precise_s())
        way.free_s = begins_s + (8 * len(data) / self._bit_s if self._bit_s else 0.0)
        way.flying.append((begins_s, bytearray(data)))

    def _let_out(self, name: str) -> None:
        """What has crossed from a device comes out of the other."""
        way = self._ways[name]
        out = self._masters.get("far" if name == "near" else "near")
        while way.flying:
            begins_s, data = way.flying[0]
            since_s = precise_s() - self._latency_s - begins_s
            count = min(int(since_s * self._bit_s / 8), len(data)) if self._bit_s else len(data)
            if since_s < 0 or count <= 0:
                return
            done = count
            if out is not None and not self.cut:
                try:
                    done = os.write(out, data[:count])
                except BlockingIOError:
                    return
                except OSError:
                    pass
            del data[:done]
            if data:
                moved_s = begins_s + (8 * done / self._bit_s if self._bit_s else 0.0)
                way.flying[0] = (moved_s, data)
                return
            way.flying.popleft()
