"""The folder bearer over real directories: the contract of all bearers, and its own ways."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

from bench.posts import until
from openline.bearers import folder as folder_module
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


def put(folder: Path, datagram: bytes) -> str:
    """The other side puts a parcel there; its name."""
    name, content = parcel.pack(NEAR, [datagram], os.urandom(parcel.SALT_BYTES))
    (folder / name).write_bytes(content)
    return name


def test_a_parcel_that_could_not_be_read_once_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, read, tried = put(tmp_path, b"a datagram"), FolderBearer._read, list[str]()

    def flaky(self: FolderBearer, name: str) -> bytes:
        tried.append(name)
        if name == first and tried.count(name) < 3:
            raise OSError(errno.EIO, "as a medium says that is being pulled")
        return read(self, name)

    async def scene(far: End) -> None:
        put(tmp_path, b"beside it")
        await far.port.until(lambda: far.port.arrived[:1] == [b"beside it"])
        await far.port.until(lambda: far.port.arrived == [b"beside it", b"a datagram"])
        assert set(far.port.states) == {"up"}

    monkeypatch.setattr(FolderBearer, "_read", flaky)
    play(tmp_path, FAR, scene)


def test_what_our_own_disk_does_not_take_stays_and_is_read_again(tmp_path: Path) -> None:
    put(tmp_path, b"a datagram")

    async def whole() -> None:
        end = End(bearer(tmp_path, FAR))
        end.port.refusals = 3
        end.start()
        await end.port.until(lambda: end.port.arrived == [b"a datagram"])
        assert set(end.port.states) == {"up"}
        await end.stop()

    asyncio.run(whole())


def test_a_medium_that_is_full_is_tried_ever_more_rarely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_full, write = True, folder_module.put

    def put_if_room(directory: Path, name: str, content: bytes) -> None:
        if is_full:
            raise OSError(errno.ENOSPC, "full")
        write(directory, name, content)

    async def scene(near: End) -> None:
        nonlocal is_full
        loop, began_s = asyncio.get_running_loop(), asyncio.get_running_loop().time()
        for count in range(1, 7):
            near.port.send(b"again, as the post does")
            await near.port.until_up(count + 1)
        assert loop.time() - began_s > 50 * LOOK_S
        is_full = False
        near.port.send(b"now")
        await asyncio.to_thread(until, lambda: any(tmp_path.iterdir()))
        assert near.port.is_up

    monkeypatch.setattr(folder_module, "put", put_if_room)
    play(tmp_path, NEAR, scene)


def test_what_is_no_file_takes_no_descriptors(tmp_path: Path) -> None:
    name, _ = parcel.pack(NEAR, [b"x"], os.urandom(parcel.SALT_BYTES))
    (tmp_path / name).mkdir()

    def open_now() -> int:
        return len(os.listdir("/proc/self/fd"))

    async def scene(far: End) -> None:
        before = open_now()
        for count in range(20):
            (tmp_path / name / str(count)).touch()
            await asyncio.sleep(2 * LOOK_S)
        assert open_now() <= before + 2
        with pytest.raises(OSError, match="directory"):
            FolderBearer._read(bearer(tmp_path, FAR), name)
        assert open_now() <= before + 2

    play(tmp_path, FAR, scene)


def test_a_share_that_hangs_takes_no_other_bearer_with_it_and_lets_the_post_end(
    tmp_path: Path,
) -> None:
    command = [sys.executable, "-m", "tests.bearers.hung", str(tmp_path)]
    assert subprocess.check_output(command, timeout=30) == b"served\n"
