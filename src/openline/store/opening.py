"""A post's directory: made, opened, erased.

Theory of operation: a directory holds

    key.json     the database key, wrapped (keys.py)
    post.db      the record (sql.py, cipher.py), with post.db-wal beside it
    checkpoint   what the log and the database may be found to be (checkpoint.py)
    lock         held by the process that uses the post (lock.py)
    reserve      disk space kept back (ballast.py)

`create` makes all of it in `.NAME.making` beside the place and then renames it, so that there is a
whole post or none. What is in the record does not concern this module.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from openline.errors import StoreError

from .. import files
from . import checkpoint, keys, migrations
from .ballast import BALLAST_BYTES, BALLAST_FILE, Ballast
from .cipher import connect
from .faults import DAMAGED, told_as_ours
from .keys import COST, Cost, Credential, KeyFile, Passphrase, Secret
from .lock import LOCK_FILE, Lock
from .sql import SqlStore

__all__ = [
    "Cost",
    "Credential",
    "KeyFile",
    "Passphrase",
    "Secret",
    "add_secret",
    "create",
    "make_key_file",
    "methods",
    "open_store",
    "remove_secret",
    "zeroise",
]

KEY_DOCUMENT = "key.json"
"""Name of the key document."""

DATABASE = "post.db"
"""Name of the database."""

_LOG = DATABASE + "-wal"


def create(
    directory: Path,
    secret: Secret,
    entropy: Callable[[int], bytes],
    *,
    cost: Cost = COST,
    ballast_bytes: int = BALLAST_BYTES,
) -> SqlStore:
    """Make a post's directory and open it.

    The directory must not exist or be empty; its parents are made. Raises StoreError: store.exists,
    store.busy (another process is making it), store.read_only, store.disk_full, and those of
    reading a key file.
    """
    directory = directory.absolute()
    making = directory.with_name(f".{directory.name}.making")
    with told_as_ours():
        if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            raise StoreError("store.exists", directory=str(directory))
        making.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = Lock(making)
        try:
            _clear(making)
            key = entropy(keys.KEY_BYTES)
            document = keys.wrap(None, key, secret, entropy, cost)
            files.create(making / KEY_DOCUMENT, document)
            _make_database(making / DATABASE, key)
            files.sync(making)
            os.rename(making, directory)
            files.sync(directory.parent)
            return _open(directory, key, lock, ballast_bytes)
        except BaseException:
            lock.release()
            if making.exists():
                shutil.rmtree(making, ignore_errors=True)
            raise


def open_store(directory: Path, secret: Secret, *, ballast_bytes: int = BALLAST_BYTES) -> SqlStore:
    """Open the post in `directory`.

    Raises StoreError: store.absent, store.busy, store.key_missing, store.key_damaged,
    store.key_exposed, store.no_such_method, store.wrong_passphrase, store.wrong_key,
    store.newer_schema, store.damaged, store.read_only, store.disk_full, store.io_failed.
    """
    directory = directory.absolute()
    with told_as_ours():
        if not any((directory / name).exists() for name in (KEY_DOCUMENT, DATABASE)):
            raise StoreError("store.absent", directory=str(directory))
        lock = Lock(directory)
        try:
            key = keys.unwrap(_document(directory), secret)
            return _open(directory, key, lock, ballast_bytes)
        except BaseException:
            lock.release()
            raise


def _open(directory: Path, key: bytes, lock: Lock, ballast_bytes: int) -> SqlStore:
    database = directory / DATABASE
    for path in (database, directory / checkpoint.CHECKPOINT_FILE):
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW))
        except FileNotFoundError:
            raise StoreError(DAMAGED, file=path.name) from None
    checkpoint.check(database)
    connection = connect(database, key)
    try:
        migrations.bring_up(connection)
        return SqlStore(connection, database, lock, Ballast(directory, ballast_bytes))
    except BaseException:
        connection.close()
        raise


def _make_database(database: Path, key: bytes) -> None:
    files.create(database, b"")  # for its owner alone; the log gets the same rights
    connection = connect(database, key)
    try:
        migrations.bring_up(connection)
        checkpoint.checkpoint(connection, database)
    finally:
        connection.close()


# Secrets


def methods(directory: Path) -> list[str]:
    """The methods that open the post: "passphrase", "key file". Raises StoreError."""
    with told_as_ours():
        return keys.methods(_document(directory))


def add_secret(
    directory: Path,
    secret: Secret,
    added: Secret,
    entropy: Callable[[int], bytes],
    *,
    cost: Cost = COST,
) -> None:
    """Let `added` open the post too, or instead of the one of its method before it.

    The old key.json is overwritten on a disk that may remember it. Raises StoreError as open_store
    does.
    """
    with told_as_ours():
        lock = Lock(directory)
        try:
            document = _document(directory)
            key = keys.unwrap(document, secret)
            document = keys.wrap(document, key, added, entropy, cost)
            files.replace(directory / KEY_DOCUMENT, document)
        finally:
            lock.release()


def remove_secret(directory: Path, secret: Secret, method: str) -> None:
    """Let `method` open the post no more. Raises StoreError as open_store does, and
    store.last_method.
    """
    with told_as_ours():
        lock = Lock(directory)
        try:
            document = _document(directory)
            keys.unwrap(document, secret)
            files.replace(directory / KEY_DOCUMENT, keys.without(document, method))
        finally:
            lock.release()


def make_key_file(path: Path, entropy: Callable[[int], bytes]) -> None:
    """Write a new key file that its owner alone can read. Raises StoreError("store.exists")."""
    with told_as_ours():
        if path.exists():
            raise StoreError("store.exists", path=str(path))
        files.create(path, entropy(keys.KEY_FILE_BYTES_MIN))
        files.sync(path.absolute().parent)


def _document(directory: Path) -> bytes:
    path = directory / KEY_DOCUMENT
    if not path.exists():
        raise StoreError("store.key_missing", path=str(path))
    with path.open("rb") as file:
        return file.read(keys.DOCUMENT_BYTES_MAX + 1)


# Erasing


def in_use(directory: Path) -> bool:
    """Whether a process has the post open. Raises StoreError."""
    with told_as_ours():
        try:
            Lock(directory).release()
        except StoreError:
            return True
        return False


def zeroise(
    directory: Path,
    *,
    key_file: Path | None = None,
    also: Iterable[Path] = (),
    force: bool = False,
) -> None:
    """Erase the post: overwrite and remove key.json and `key_file` first, then the record and the
    files of `also`, then the directory if nothing else is in it.

    Without `force` a post in use is refused (store.busy); with it, a process that has the post open
    keeps the key in its memory until it ends. Absent files are passed over, so that it can be
    called again after an interruption. A file that cannot be erased is passed over until all
    others are, then raised as StoreError. What else is in the directory stays.

    What this cannot erase: copies that a solid-state disk or a journalling or copying file system
    has put elsewhere (overwriting goes to a new place there), backups and snapshots, the passphrase
    in people's heads, keys in the memory of a running process, in swap or a core dump, and what the
    other side holds. Without the key the database is noise: whether the key is gone decides.
    """
    # Where a link leads is what has to go.
    key_files = () if key_file is None else (key_file.resolve(), key_file)
    first = (directory / KEY_DOCUMENT, *key_files)
    own = (DATABASE, _LOG, checkpoint.CHECKPOINT_FILE, BALLAST_FILE)
    with told_as_ours():
        lock = None if force else Lock(directory)
        try:
            _overwrite_all([*first, *(directory / name for name in own), *also])
            (directory / LOCK_FILE).unlink(missing_ok=True)
            if not any(directory.iterdir()):
                directory.rmdir()
            files.sync(directory.parent)
        finally:
            if lock is not None:
                lock.release()


def _overwrite_all(paths: Iterable[Path]) -> None:
    """Overwrite and remove each, whatever becomes of the others; raises the first OSError."""
    failed: list[OSError] = []
    for path in paths:
        try:
            _overwrite(path)
        except OSError as error:
            failed.append(error)
    if failed:
        raise failed[0]


def _overwrite(path: Path) -> None:
    """Zeros over a file, synced, then unlinked; a link or a socket, which hold nothing, only
    unlinked.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if stat.S_ISREG(mode):
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            left, zeros = os.fstat(fd).st_size, bytes(1 << 20)
            while left > 0:
                left -= os.write(fd, zeros[:left])
            os.fsync(fd)
        finally:
            os.close(fd)
    path.unlink()
    files.sync(path.absolute().parent)


# Files


def _clear(making: Path) -> None:
    """Remove what an interrupted `create` left."""
    for path in making.iterdir():
        if path.name != LOCK_FILE:
            path.unlink()
