"""Moving the write-ahead log into the database, so that a damaged log can never mix two states.

Theory of operation: SQLite survives any crash, because the log stays whole until the database is
synced. But if the log of an interrupted checkpoint is damaged as well, the pages already moved are
newer than what can still be read of the log, and SQLite, which cannot know, would show a state that
never was. The file `checkpoint` says what to expect, in one sector, synced before each step:

    FILLING   the log with these salts is being moved: this length of it must have this hash, else
              the post is refused
    FILLED    the log with these salts is moved and the database synced: such a log is old, whatever
              is left of it

and after FILLED the log begins anew under other salts. What it then holds is not in the database:
cut or damaged, it gives the state after some earlier commit, whole. `pages` is the size that the
database had at the last note: it never shrinks.
"""

from __future__ import annotations

import hashlib
import os
import struct
from pathlib import Path

from sqlcipher3 import dbapi2

from openline.errors import StoreError

from .cipher import PAGE_BYTES

CHECKPOINT_FILE = "checkpoint"
"""Name of the file in the post's directory."""

_MAGIC = b"OLC1"
_FILLING, _FILLED = 1, 2
_SHAPE = struct.Struct(">4sB8sQQ32s")  # magic, step, salts, log bytes, pages, SHA-256 of the log
_SUM_BYTES = 8
_LOG_HEADER_BYTES, _FRAME_HEADER_BYTES = 32, 24  # of SQLite's write-ahead log
_LOG_SALTS = slice(16, 24)  # in its header


def _log_of(database: Path) -> Path:
    return database.with_name(database.name + "-wal")


def _pages(database: Path) -> int:
    return database.stat().st_size // PAGE_BYTES


def _read(log: Path, length: int) -> bytes:
    if not log.exists():
        return b""
    with log.open("rb") as file:
        return file.read(length)


def _note(database: Path, step: int, log: bytes) -> None:
    said = _SHAPE.pack(
        _MAGIC,
        step,
        log[_LOG_SALTS],
        len(log),
        _pages(database),
        hashlib.sha256(log).digest(),
    )
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(database.parent / CHECKPOINT_FILE, flags, 0o600)
    try:
        os.pwrite(fd, said + hashlib.sha256(said).digest()[:_SUM_BYTES], 0)
        os.fdatasync(fd)
    finally:
        os.close(fd)


def unmoved_pages(connection: dbapi2.Connection) -> int:
    """Pages in the log that are not in the database."""
    _busy, frames, moved = connection.execute("PRAGMA wal_checkpoint(NOOP)").fetchone()
    return int(frames - moved)


def checkpoint(connection: dbapi2.Connection, database: Path, *, cut: bool = False) -> None:
    """Move the whole log into the database and begin it anew, or `cut` it to nothing.

    The log's blocks are else kept and written over, which syncs faster than a growing file. Raises
    StoreError, OSError and the driver's errors. A failure loses nothing: the log stays, and the
    next checkpoint begins again.
    """
    _busy, frames, moved = connection.execute("PRAGMA wal_checkpoint(NOOP)").fetchone()
    if frames > moved:
        length = _LOG_HEADER_BYTES + frames * (_FRAME_HEADER_BYTES + PAGE_BYTES)
        log = _read(_log_of(database), length)
        _note(database, _FILLING, log)
        busy, frames, moved = connection.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
        if busy or frames != moved:
            raise StoreError("store.busy")
        _note(database, _FILLED, log)
    how = "TRUNCATE" if cut else "RESTART"
    connection.execute(f"PRAGMA wal_checkpoint({how})").fetchall()


def check(database: Path) -> None:
    """Before the database is opened: refuse what cannot be one state. Raises
    StoreError("store.damaged") and OSError.
    """
    said = (database.parent / CHECKPOINT_FILE).read_bytes()
    body, kept = said[: _SHAPE.size], said[_SHAPE.size :]
    if len(body) < _SHAPE.size or hashlib.sha256(body).digest()[:_SUM_BYTES] != kept:
        raise StoreError("store.damaged", file=CHECKPOINT_FILE)
    magic, step, salts, log_bytes, pages, log_hash = _SHAPE.unpack(body)
    if magic != _MAGIC or step not in (_FILLING, _FILLED):
        raise StoreError("store.damaged", file=CHECKPOINT_FILE)
    if _pages(database) < pages:
        raise StoreError("store.damaged", file=database.name)
    log = _log_of(database)
    if step == _FILLING:
        if hashlib.sha256(_read(log, log_bytes)).digest() != log_hash:
            raise StoreError("store.damaged", file=log.name)
    elif _read(log, _LOG_HEADER_BYTES)[_LOG_SALTS] == salts:
        os.truncate(log, 0)
