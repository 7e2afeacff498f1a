"""A folder that both posts reach: a network share, a synchronised directory, a stick left in place.

Theory of operation: what the port gives is written as parcels, each whole under its name or not
there at all; whoever shares the folder brings it across. Parcels of the other side are handed in
and deleted when they are on disk, so the folder has custody meanwhile. One that does not open may
still be on its way here, and is tried again when it has changed. If ours pile up because nobody
takes them, they are all removed and the bearer starts anew: the post then gives everything that
still waits once more, in as few parcels as can be. After a write that failed (the medium may be
full) the bearer is down for a growing pause, until one works. The folder may be slow or hang, so
nothing is read or written in the event loop. What datagrams are worth, and who may read them, do
not live here.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from openline import files
from openline.errors import BearerError, StoreError

from . import parcel
from .apart import apart
from .base import BearerProfile, Outgoing, Pause, Port
from .framing import LineKey
from .reach import Door

PROFILE = BearerProfile(
    name="folder",
    latency_ms=30_000,
    mtu_bytes=4096,
    retry_ms_min=60_000,
    retry_ms_max=900_000,
    cost=1,
)

LOOK_S = 2.0
"""How often the folder is looked into."""

PAUSE_S_MAX = 60.0
"""Longest pause after a write that failed; the first is LOOK_S, and each doubles the one before."""

UNTAKEN_MAX = 64
"""Parcels of ours that nobody has taken, before all of them are made anew."""

_Seen = tuple[int, int]
"""Length and time of change, by which a file that did not open is known to be the same."""


class _Found(NamedTuple):
    """What lies in the folder."""

    ours: list[str]
    theirs: dict[str, _Seen]
    writable: bool


class FolderBearer:
    """The bearer of one line over one shared folder."""

    def __init__(
        self,
        directory: Path,
        line: LineKey,
        entropy: Callable[[int], bytes],
        profile: BearerProfile = PROFILE,
        *,
        look_s: float = LOOK_S,
    ) -> None:
        self.profile = profile
        self._directory = directory
        self._line = line
        self._entropy = entropy
        self._look_s = look_s
        self._done: dict[str, _Seen] = {}
        """Parcels that did not open, or were taken and could not be deleted."""
        self._failures = 0
        """Of writing, in a row."""
        self._resting_until_s = 0.0

    async def run(self, port: Port) -> None:
        """Carry datagrams until cancelled."""
        door = Door(port)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._write_all(port, door))
            group.create_task(self._look(port, door))

    async def _look(self, port: Port, door: Door) -> None:
        """Take what has come, and keep the port told whether anything can go."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                found = await apart(self._list)
                # What our own disk does not take stays where it is, and is read again.
                with suppress(StoreError):
                    for name, seen in found.theirs.items():
                        await self._take(port, name, seen)
                self._done = {n: s for n, s in self._done.items() if n in found.theirs}
                if len(found.ours) > UNTAKEN_MAX:
                    door.down("bearer.folder_full")
                    await apart(self._delete, found.ours)
                if not found.writable:
                    door.down("bearer.folder_read_only")
                elif loop.time() >= self._resting_until_s:
                    door.up()
            except OSError:
                door.down("bearer.folder")
            await asyncio.sleep(self._look_s)

    async def _take(self, port: Port, name: str, seen: _Seen) -> None:
        if self._done.get(name) == seen:
            return
        try:
            content = await apart(self._read, name)
        except OSError:
            # One that cannot be read now keeps no other from being taken, and is tried again.
            return
        try:
            datagrams = parcel.unpack(self._line, name, content)
        except BearerError:
            self._done[name] = seen
            return
        await port.received(datagrams)
        self._done[name] = seen
        with suppress(OSError):
            await apart(self._delete, [name])

    async def _write_all(self, port: Port, door: Door) -> None:
        """Write what the port gives; what could not be written, it gives again."""
        loop = asyncio.get_running_loop()
        while True:
            items = await port.outgoing()
            try:
                await apart(self._write, items)
                self._failures, self._resting_until_s = 0, 0.0
            except OSError:
                self._failures += 1
                pause_s = Pause(self._look_s, PAUSE_S_MAX).after(self._failures)
                self._resting_until_s = loop.time() + pause_s
                door.down("bearer.folder")

    # In threads.

    def _list(self) -> _Found:
        ours, theirs = [], {}
        with os.scandir(self._directory) as entries:
            for entry in entries:
                name = entry.name.removesuffix(files.NEW)
                direction = parcel.direction_of(self._line, name)
                if direction == self._line.direction:
                    ours.append(name)
                elif direction and name == entry.name and entry.is_file(follow_symlinks=False):
                    told = entry.stat(follow_symlinks=False)
                    theirs[name] = (told.st_size, told.st_mtime_ns)
        return _Found(ours, theirs, os.access(self._directory, os.W_OK | os.X_OK))

    def _read(self, name: str) -> bytes:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(self._directory / name, flags)
        try:
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                return file.read(parcel.PARCEL_BYTES_MAX + 1)
        finally:
            # Of a directory that came in between, no file is made, and nothing else would close it.
            os.close(descriptor)

    def _write(self, items: list[Outgoing]) -> None:
        datagrams = [item.data for item in items]
        for name, content in parcel.packed(self._line, datagrams, self._entropy):
            put(self._directory, name, content)
        sync(self._directory)

    def _delete(self, names: list[str]) -> None:
        for name in names:
            for each in (name, name + files.NEW):
                (self._directory / each).unlink(missing_ok=True)


def put(directory: Path, name: str, content: bytes) -> None:
    """Write a parcel, which others must be able to read. Raises OSError."""
    files.put(directory / name, content, 0o644)


def sync(directory: Path) -> None:
    """Have the names of parcels durable too, where the medium knows how."""
    with suppress(OSError):
        files.sync(directory)
