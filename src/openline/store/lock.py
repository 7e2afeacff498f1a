"""One process on one post.

Theory of operation: the process holds `flock` on the file `lock` in the post's directory as long as
it uses the store. The kernel lets the lock go when the process ends, however it ends; the file
itself stays and means nothing. The lock guards against mistakes, not against a hostile process of
the same user.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from openline.errors import StoreError

LOCK_FILE = "lock"
"""Name of the lock file in the post's directory."""


class Lock:
    """The lock on a directory, held from construction to `release`."""

    def __init__(self, directory: Path) -> None:
        """Take the lock. Raises StoreError("store.busy") if another holds it, and OSError."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._fd = os.open(directory / LOCK_FILE, flags, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._fd)
            raise StoreError("store.busy", directory=str(directory)) from None
        except BaseException:
            os.close(self._fd)
            raise

    def release(self) -> None:
        """Let the lock go; again is harmless."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
