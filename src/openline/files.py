"""Files that are there whole or not at all, and stay when the power goes.

Theory of operation: content is synced before a name leads to it, and a name is durable once its
directory is synced. What stood under the name before is there until the new content is. Rights are
given when a file is made, so nobody else can open it in between. What is in a file, and what a
failure means to people, do not live here: everything raises OSError.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

NEW = ".new"
"""What ends the name of a file that is not yet whole."""


def create(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Write a new file and sync it; its name is not yet durable. Also raises FileExistsError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def put(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Have a file with this content under the name; the name is not yet durable."""
    new = path.with_name(path.name + NEW)
    new.unlink(missing_ok=True)
    try:
        create(new, content, mode)
        os.replace(new, path)
    except OSError:
        # What a full disk took of it would only keep the disk full.
        new.unlink(missing_ok=True)
        raise


def put_new(path: Path, content: bytes) -> None:
    """Have a new file with this content under the name, durable, for its owner alone; what stands
    there is left as it is. Also raises FileExistsError."""
    with writing_new(path) as file:
        file.write(content)


@contextmanager
def writing_new(path: Path, mode: int = 0o600) -> Iterator[BinaryIO]:
    """A file to write in the block, which then has the name as with `put_new`; if the block fails,
    nothing is left. Also raises FileExistsError, at once if something stands there already."""
    if path.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    # Short, so that it fits wherever a name does, and of this process: what a killed one left
    # stands in nobody's way.
    new = path.with_name(f".{os.getpid()}{NEW}")
    new.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(new, flags, mode), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(new, path)
        except FileExistsError:
            raise
        except OSError:
            # Sticks mostly know no links. Between these two lines nobody else is expected.
            if path.exists():
                raise FileExistsError from None
            os.replace(new, path)
    finally:
        new.unlink(missing_ok=True)
    sync(path.absolute().parent)


def replace(path: Path, content: bytes) -> None:
    """Have a file with this content under the name, durable, for its owner alone."""
    put(path, content)
    sync(path.absolute().parent)


def sync(directory: Path) -> None:
    """Have the names in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
