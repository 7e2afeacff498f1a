"""What SQLite and the operating system say, in the words of the store.

Theory of operation: everything that touches the database or its files runs inside `told_as_ours`,
so that no traceback of a driver reaches people. A failed read or write of the device (SQLITE_IOERR)
is told apart from damage: after a failed sync nobody knows what is on the disk, so `sql.SqlStore`
then stops until it is opened anew.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import DBAPIError
from sqlcipher3 import dbapi2

from openline.errors import InvariantError, OpenlineError, StoreError

IO_FAILED = "store.io_failed"
"""The device failed while reading, writing or syncing."""

DAMAGED = "store.damaged"
"""A file does not hold what was written there."""

_BY_RESULT = {
    sqlite3.SQLITE_FULL: "store.disk_full",
    sqlite3.SQLITE_READONLY: "store.read_only",
    sqlite3.SQLITE_PERM: "store.read_only",
    sqlite3.SQLITE_CANTOPEN: "store.read_only",
    sqlite3.SQLITE_BUSY: "store.busy",
    sqlite3.SQLITE_LOCKED: "store.busy",
    sqlite3.SQLITE_IOERR: IO_FAILED,
}

_BY_ERRNO = {
    errno.ENOSPC: "store.disk_full",
    errno.EDQUOT: "store.disk_full",
    errno.EFBIG: "store.disk_full",
    errno.EROFS: "store.read_only",
    errno.EACCES: "store.read_only",
    errno.EPERM: "store.read_only",
    errno.ENOENT: "store.absent",
    errno.ENOTDIR: "store.absent",
}


def from_sqlite(error: Exception) -> OpenlineError:
    """Our error for the driver's. What is not known otherwise means that the file does not make
    sense.
    """
    result: int = getattr(error, "sqlite_errorcode", 0)
    name: str = getattr(error, "sqlite_errorname", "")
    if result & 0xFF == sqlite3.SQLITE_CONSTRAINT:
        return InvariantError("store.duplicate_row", sqlite=name)
    return StoreError(_BY_RESULT.get(result & 0xFF, DAMAGED), sqlite=name)


def from_system(error: OSError) -> StoreError:
    """Our error for the operating system's."""
    known = _BY_ERRNO.get(error.errno or 0, IO_FAILED)
    path = Path(error.filename or "")
    return StoreError(known, path=str(path), directory=str(path.parent), errno=error.errno)


@contextmanager
def told_as_ours() -> Iterator[None]:
    """Turn errors of the driver, of SQLAlchemy and of the operating system into ours."""
    try:
        yield
    except DBAPIError as error:
        raise from_sqlite(error.orig or error) from error
    except dbapi2.Error as error:
        raise from_sqlite(error) from error
    except OSError as error:
        raise from_system(error) from error
