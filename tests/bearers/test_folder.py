"""The folder bearer over real directories: the contract of all bearers, and its own ways."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from bench.posts import until
from openline.bearers import parcel
from openline.bearers.base import Bearer
from openline.bearers.folder import UNTAKEN_MAX, FolderBearer
from openline.bearers.framing import LineKey

from .contract import CustodyContract, End
from .test_parcel import sealed

NEAR = LineKey(1, bytes(range(32)), 1)
FAR = NEAR._replace(direction=2)
LOOK_S = 0.02


class TestFolder(CustodyContract):
    """Two posts and one directory; a cut takes it away."""

    async def make(self) -> tuple[Bearer, Bearer]:
        """Both look into the same directory."""
        self._place = tempfile.TemporaryDirectory()
        self.folder = Path(self._place.name) / "shared"
        self.folder.mkdir()
        return bearer(self.folder, NEAR), bearer(self.folder, FAR)

    async def unmake(self) -> None:
        """Delete the directory."""
        self._place.cleanup()

    async def cut(self) -> None:
        """Unmount it."""
        self.folder.rename(self.folder.with_name("away"))

    async def mend(self) -> None:
        """Mount it again."""
        self.folder.with_name("away").rename(self.folder)

    async def settled(self) -> None:
        """Wait until no parcel is left."""
        await asyncio.to_thread(until, lambda: not any(self.folder.iterdir()))


def bearer(folder: Path, line: LineKey) -> FolderBearer:
    """One that looks often."""
    return FolderBearer(folder, line, os.urandom, look_s=LOOK_S)


def taken(end: End, count: int) -> bool:
    """Whether the bearer has taken so many datagrams."""
    return end.port.taken == count


def play(folder: Path, line: LineKey, scene: Callable[[End], Awaitable[None]]) -> None:
    """Run a scene with one bearer that is up."""

    async def whole() -> None:
        end = End(bearer(folder, line))
        end.start()
        await end.port.until(lambda: end.port.is_up)
        await scene(end)
        await end.stop()

    asyncio.run(whole())


def test_a_parcel_still_being_copied_is_taken_when_it_is_whole(tmp_path: Path) -> None:
    async def scene(far: End) -> None:
        name, content = parcel.pack(NEAR, [b"a datagram"], os.urandom(parcel.SALT_BYTES))
        (tmp_path / name).write_bytes(content[:1000])
        await asyncio.sleep(5 * LOOK_S)
        assert far.port.arrived == []
        (tmp_path / name).write_bytes(content)
        await far.port.until(lambda: far.port.arrived == [b"a datagram"])

    play(tmp_path, FAR, scene)


def test_a_parcel_of_no_frames_does_not_end_the_bearer(tmp_path: Path) -> None:
    name, content = sealed(NEAR, b"\xff\xff" + bytes(4094))
    (tmp_path / name).write_bytes(content)
    good, true = parcel.pack(NEAR, [b"a datagram"], os.urandom(parcel.SALT_BYTES))

    async def scene(far: End) -> None:
        await asyncio.sleep(5 * LOOK_S)
        (tmp_path / good).write_bytes(true)
        await far.port.until(lambda: far.port.arrived == [b"a datagram"])
        await asyncio.to_thread(until, lambda: not (tmp_path / good).exists())
        assert (tmp_path / name).exists()

    play(tmp_path, FAR, scene)


def test_what_others_keep_there_is_left_alone(tmp_path: Path) -> None:
    stranger = LineKey(2, bytes(32), 1)
    name, content = parcel.pack(stranger, [b"not ours"], os.urandom(parcel.SALT_BYTES))
    mine, _ = parcel.pack(NEAR, [b"x"], os.urandom(parcel.SALT_BYTES))
    (tmp_path / name).write_bytes(content)
    (tmp_path / "report.odt").write_bytes(b"PK")
    (tmp_path / mine).symlink_to("/etc/passwd")

    async def scene(far: End) -> None:
        await asyncio.sleep(5 * LOOK_S)
        assert far.port.offered == []
        assert far.port.is_up

    play(tmp_path, FAR, scene)
    assert {path.name for path in tmp_path.iterdir()} == {name, mine, "report.odt"}


def test_what_nobody_takes_is_made_anew_and_does_not_pile_up(tmp_path: Path) -> None:
    async def scene(near: End) -> None:
        for count in range(UNTAKEN_MAX + 1):
            near.port.send(b"again and again")
            await near.port.until(partial(taken, near, count + 1))
        await near.port.until(lambda: "bearer.folder_full" in near.port.states)
        await near.port.until(lambda: near.port.is_up)
        assert len(await asyncio.to_thread(os.listdir, tmp_path)) <= 1

    play(tmp_path, NEAR, scene)
