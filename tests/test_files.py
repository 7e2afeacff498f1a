"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from openline import files


def test_a_new_file_can_be_written_after_the_disk_was_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "map.png"

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="full"):
            files.put_new(place, b"map")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / f"map.png{files.NEW}").write_bytes(b"of a process that was killed")
    files.put_new(place, b"map")
    assert place.read_bytes() == b"map"
    with pytest.raises(FileExistsError):
        files.put_new(place, b"other")
    assert place.read_bytes() == b"map"


def test_a_name_as_long_as_names_may_be_can_be_written(tmp_path: Path) -> None:
    place = tmp_path / ("x" * 255)
    files.put_new(place, b"map")
    assert place.read_bytes() == b"map"
