"""A reserve on the disk itself, given up when the disk is full.

Theory of operation: quotas bound what a peer can make us write, but others fill disks too. The file
`reserve` holds blocks that nobody else can take. While it is held, all commits are alike. When a
commit that must pass (an acknowledgement, a FLASH) finds the disk full, the reserve is
given up and the commit tried again; from then on other commits are refused until there is room to
fill the reserve anew. On file systems that copy on write or share blocks this is a hint at best.
"""

from __future__ import annotations

import os
from pathlib import Path

BALLAST_FILE = "reserve"
"""Name of the file in the post's directory."""

BALLAST_BYTES = 16 << 20
"""Its size: some hundred longest messages and a write-ahead log."""

ROOM_BYTES = 1 << 20
"""What must be free beside it for a disk not to count as full: a few longest messages."""


class Ballast:
    """The reserve of one post."""

    def __init__(self, directory: Path, size_bytes: int = BALLAST_BYTES) -> None:
        self._directory = directory
        self._path = directory / BALLAST_FILE
        self._size_bytes = size_bytes
        self.held = size_bytes == 0 or self.fill()
        """Whether the reserve is there."""

    def free_bytes(self) -> int:
        """Bytes that we may still write to the file system, the reserve not counted."""
        system = os.statvfs(self._directory)
        return system.f_bavail * system.f_frsize

    def fill(self) -> bool:
        """Try to have the reserve; True if it is there. Leaves as much free as it takes. Raises
        OSError.
        """
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            missing = self._size_bytes - os.fstat(fd).st_blocks * 512
            self.held = missing <= 0
            if missing > 0 and self.free_bytes() >= missing + self._size_bytes:
                os.posix_fallocate(fd, 0, self._size_bytes)
                self.held = True
        finally:
            os.close(fd)
        return self.held

    def room(self) -> bool:
        """Whether the reserve is there and some room beside it. Raises OSError."""
        return self.fill() and self.free_bytes() >= ROOM_BYTES

    def release(self) -> None:
        """Give the reserve up. Raises OSError."""
        os.truncate(self._path, 0)
        self.held = False
