"""The relay's mailboxes on disk: what was accepted survives SIGKILL and power loss.

Theory of operation: one thread owns one SQLite connection. Callers queue operations; the thread
takes all that wait, runs them in one transaction, and answers each only after its commit, so that
many depositors share one fsync (WAL, synchronous=FULL). An operation checks before it changes
anything, so one that is refused leaves nothing behind and the others of its group stand. If the
disk fails the group, each is tried alone.

Plain `sqlite3` of the standard library, not SQLAlchemy: four tables and a dozen statements that an
operator's reviewer can read as they run, exact control of BEGIN IMMEDIATE and of the pragmas, and
one dependency fewer in a process strangers can reach.

The file holds mailbox names (hashes of hashes of secrets), hashes of unspent tokens, and datagrams.
It holds no capability, no address and no wall time: ages are counted in seconds the relay has run,
so a clock that jumps expires nothing.

What must not live here: HTTP, capabilities (checked before a name gets here), anything of what a
datagram means.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import fcntl
import queue
import shutil
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from openline import clock
from openline.clock import Now
from openline.errors import InvariantError, OpenlineError, RemoteError, StoreError

DATAGRAM_BYTES_MAX = 4096
"""Longest datagram (R4). Said again here because the relay knows nothing of the core."""

ENTRIES_MAX = 64
"""Most datagrams one `take` returns; with DATAGRAM_BYTES_MAX, at most 256 KiB."""

TAKE_BYTES = 64 * 1024
"""Datagram bytes after which a `take` stops adding more."""

GROUP_MAX = 512
"""Most operations that share one commit."""

SCHEMA_VERSION = 1
"""What _SCHEMA leaves in the file as user_version; a higher one is refused."""

APPLICATION_ID = 0x6F6C7265
"""What _SCHEMA leaves in the file to mark it as an Openline relay's ("olre")."""

FILE_NAME = "relay.sqlite"
LOCK_NAME = "relay.lock"
BUSY_S = 5.0
TOUCH_S = 86_400
EXPIRE_ROWS = 1000
PAGE_BYTES = 4096

_SCHEMA = """
BEGIN IMMEDIATE;
CREATE TABLE age (seconds INTEGER NOT NULL);
INSERT INTO age VALUES (0);
CREATE TABLE token (
    hash BLOB PRIMARY KEY, datagrams_max INTEGER NOT NULL, bytes_max INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE mailbox (
    key INTEGER PRIMARY KEY, name BLOB NOT NULL UNIQUE,
    datagrams_max INTEGER NOT NULL, bytes_max INTEGER NOT NULL,
    datagrams INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0,
    last_id INTEGER NOT NULL DEFAULT 0, used_s INTEGER NOT NULL
);
CREATE TABLE datagram (
    place INTEGER PRIMARY KEY, mailbox INTEGER NOT NULL REFERENCES mailbox,
    id INTEGER NOT NULL, arrived_s INTEGER NOT NULL, body BLOB NOT NULL,
    UNIQUE (mailbox, id)
);
CREATE TRIGGER deposited AFTER INSERT ON datagram BEGIN
    UPDATE mailbox SET datagrams = datagrams + 1, bytes = bytes + length(new.body),
        last_id = new.id, used_s = new.arrived_s WHERE key = new.mailbox;
END;
CREATE TRIGGER removed AFTER DELETE ON datagram BEGIN
    UPDATE mailbox SET datagrams = datagrams - 1, bytes = bytes - length(old.body)
        WHERE key = old.mailbox;
END;
PRAGMA application_id = 0x6F6C7265;
PRAGMA user_version = 1;
COMMIT;
"""

T = TypeVar("T")


class Entry(NamedTuple):
    """One datagram as kept: `id` rises by one with each deposit into its mailbox, from 1."""

    id: int
    body: bytes


class Quota(NamedTuple):
    """What one mailbox may hold at a time; given to the token that opens it."""

    datagrams_max: int = 4096
    bytes_max: int = 8 << 20


class Bounds(NamedTuple):
    """What the operator allows. Ages are seconds of the relay's own running time."""

    keep_s: int = 30 * 86_400
    """A datagram not taken for so long expires."""
    idle_s: int = 90 * 86_400
    """A mailbox that was empty and unused for so long is closed."""
    reserve_bytes: int = 64 << 20
    """Free disk below which deposits are refused, so that acknowledgements still pass."""
    disk_bytes_max: int | None = None
    """Most bytes the database may grow to; None for as much as the disk holds."""


DEFAULT_BOUNDS = Bounds()
"""What is allowed where the operator says nothing."""


class Counts(NamedTuple):
    """How much the relay holds, for its log."""

    mailboxes: int
    datagrams: int
    bytes: int
    tokens: int


class _Job(Generic[T]):
    """An operation that waits for its turn, and the future of its result."""

    def __init__(self, operation: Callable[[sqlite3.Connection], T]) -> None:
        self.operation = operation
        self.future: concurrent.futures.Future[T] = concurrent.futures.Future()

    def attempt(self, connection: sqlite3.Connection) -> T | OpenlineError:
        """The result, or the refusal; sqlite3.Error goes through to the group."""
        try:
            return self.operation(connection)
        except OpenlineError as refusal:
            return refusal

    def settle(self, outcome: T | OpenlineError) -> None:
        """Tell who waits."""
        if isinstance(outcome, OpenlineError):
            self.future.set_exception(outcome)
        else:
            self.future.set_result(outcome)


class MailboxStore:
    """All mailboxes of one relay in `directory`. StoreError if they cannot be opened.

    The coroutines may raise RemoteError ("relay.not_open", "relay.quota", "relay.token") and
    StoreError ("relay.full", "relay.disk"). A call that is cancelled may still take effect.
    """

    def __init__(
        self,
        directory: Path,
        bounds: Bounds = DEFAULT_BOUNDS,
        now: Callable[[], Now] = clock.now,
    ) -> None:
        self._directory = directory
        self._bounds = bounds
        self._now = now
        self._lock = _locked(directory)
        try:
            self._connection = connect(directory, bounds.disk_bytes_max)
            self._aged_s: int = self._connection.execute("SELECT seconds FROM age").fetchone()[0]
        except BaseException:
            self._lock.close()
            raise
        self._started_ms = now().mono_ms
        self._jobs: queue.SimpleQueue[_Job[Any] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="relay-store", daemon=True)
        self._thread.start()
        self.commits = 0

    def close(self) -> None:
        """Finish what was queued, keep the age, truncate the write-ahead log, let the lock go."""
        self._jobs.put(_Job(self._keep_age))
        self._jobs.put(None)
        self._thread.join()
        with suppress(sqlite3.Error):
            # On a full disk the log stays as it is, whole, and is read at the next start.
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()
        self._lock.close()

    async def open(self, name: bytes, token: bytes | None) -> bool:
        """Open mailbox `name` (32 bytes) with a token's hash; False if it was open and nothing was
        spent.
        """

        def operation(connection: sqlite3.Connection) -> bool:
            if connection.execute("SELECT 1 FROM mailbox WHERE name = ?", (name,)).fetchone():
                return False
            self._need_room()
            quota = connection.execute(
                "DELETE FROM token WHERE hash = ? RETURNING datagrams_max, bytes_max", (token,)
            ).fetchone()
            if quota is None:
                raise RemoteError("relay.token")
            connection.execute(
                "INSERT INTO mailbox (name, datagrams_max, bytes_max, used_s) VALUES (?, ?, ?, ?)",
                (name, *quota, self._age_s()),
            )
            return True

        return await self._run(operation)

    async def deposit(self, name: bytes, body: bytes) -> None:
        """Put a datagram into a mailbox; on disk when this returns."""

        def operation(connection: sqlite3.Connection) -> None:
            box = connection.execute(
                "SELECT key, last_id, datagrams < datagrams_max AND bytes + ? <= bytes_max"
                " FROM mailbox WHERE name = ?",
                (len(body), name),
            ).fetchone()
            if box is None:
                raise RemoteError("relay.not_open")
            key, last_id, fits = box
            if not fits:
                raise RemoteError("relay.quota")
            self._need_room()
            connection.execute(
                "INSERT INTO datagram (mailbox, id, arrived_s, body) VALUES (?, ?, ?, ?)",
                (key, last_id + 1, self._age_s(), body),
            )

        await self._run(operation)

    async def take(self, name: bytes, after: int = 0) -> list[Entry]:
        """The oldest entries with id > `after`, at most ENTRIES_MAX; they stay until acked."""

        def operation(connection: sqlite3.Connection) -> list[Entry]:
            box = connection.execute(
                "SELECT key, used_s FROM mailbox WHERE name = ?", (name,)
            ).fetchone()
            if box is None:
                raise RemoteError("relay.not_open")
            key, used_s = box
            if self._age_s() - used_s >= min(TOUCH_S, self._bounds.idle_s):
                connection.execute(
                    "UPDATE mailbox SET used_s = ? WHERE key = ?", (self._age_s(), key)
                )
            entries: list[Entry] = []
            size = 0
            for row in connection.execute(
                "SELECT id, body FROM datagram WHERE mailbox = ? AND id > ? ORDER BY id LIMIT ?",
                (key, after, ENTRIES_MAX),
            ):
                entries.append(Entry(*row))
                size += len(entries[-1].body)
                if size >= TAKE_BYTES:
                    break
            return entries

        return await self._run(operation)

    async def acknowledge(self, name: bytes, ids: Sequence[int]) -> None:
        """Delete what the taker holds; ids not there are ignored."""

        def operation(connection: sqlite3.Connection) -> None:
            box = connection.execute("SELECT key FROM mailbox WHERE name = ?", (name,)).fetchone()
            if box is None:
                raise RemoteError("relay.not_open")
            connection.executemany(
                "DELETE FROM datagram WHERE mailbox = ? AND id = ?",
                [(box[0], entry_id) for entry_id in ids],
            )

        await self._run(operation)

    async def expire(self) -> int:
        """Delete datagrams and mailboxes past their age, keep the relay's own; the number of
        datagrams deleted.
        """
        expired = 0
        while True:
            gone = await self._run(self._expire_some)
            expired += gone
            if gone < EXPIRE_ROWS:
                return expired

    async def counts(self) -> Counts:
        """What the relay holds now."""

        def operation(connection: sqlite3.Connection) -> Counts:
            held = connection.execute(
                "SELECT count(*), total(datagrams), total(bytes) FROM mailbox"
            ).fetchone()
            tokens = connection.execute("SELECT count(*) FROM token").fetchone()
            return Counts(*[int(value) for value in (*held, *tokens)])

        return await self._run(operation)

    def _expire_some(self, connection: sqlite3.Connection) -> int:
        # Places rise with age, so the first rows are the oldest and the look stays short.
        age_s = self._keep_age(connection)
        gone = connection.execute(
            "DELETE FROM datagram WHERE place IN (SELECT place FROM (SELECT place, arrived_s"
            " FROM datagram ORDER BY place LIMIT ?) WHERE arrived_s <= ?)",
            (EXPIRE_ROWS, age_s - self._bounds.keep_s),
        ).rowcount
        connection.execute(
            "DELETE FROM mailbox WHERE datagrams = 0 AND used_s <= ?",
            (age_s - self._bounds.idle_s,),
        )
        return gone

    def _keep_age(self, connection: sqlite3.Connection) -> int:
        age_s = self._age_s()
        connection.execute("UPDATE age SET seconds = ?", (age_s,))
        return age_s

    def _age_s(self) -> int:
        return self._aged_s + (self._now().mono_ms - self._started_ms) // 1000

    def _need_room(self) -> None:
        if shutil.disk_usage(self._directory).free < self._bounds.reserve_bytes:
            raise StoreError("relay.full")

    async def _run(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        job = _Job(operation)
        self._jobs.put(job)
        return await asyncio.wrap_future(job.future)

    def _work(self) -> None:
        running = True
        while running:
            group: list[_Job[Any]] = []
            job = self._jobs.get()
            while True:
                if job is None:
                    running = False
                    break
                if job.future.set_running_or_notify_cancel():
                    group.append(job)
                if len(group) >= GROUP_MAX or self._jobs.empty():
                    break
                job = self._jobs.get()
            if group:
                self._commit(group)

    def _commit(self, group: list[_Job[Any]]) -> None:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            outcomes = [job.attempt(connection) for job in group]
            connection.execute("COMMIT")
        except Exception as error:
            # The edge of the thread: whatever one operation met, the next ones are served.
            _abandon(connection)
            if len(group) == 1:
                group[0].settle(_translated(error))
            else:
                for job in group:
                    self._commit([job])
            return
        self.commits += 1
        for job, outcome in zip(group, outcomes, strict=True):
            job.settle(outcome)


def add_tokens(directory: Path, hashes: Sequence[bytes], quota: Quota) -> None:
    """Make tokens known by their SHA-256; each will open one mailbox of `quota`. Works beside a
    running relay.
    """
    connection = connect(directory, None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(
            "INSERT INTO token VALUES (?, ?, ?)", [(token, *quota) for token in hashes]
        )
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        _abandon(connection)
        raise _translated(error) from error
    finally:
        connection.close()


def connect(directory: Path, disk_bytes_max: int | None) -> sqlite3.Connection:
    """Open the database in `directory`, made if new. StoreError if it is another's, newer, or
    cannot be written.
    """
    try:
        connection = sqlite3.connect(
            directory / FILE_NAME,
            timeout=BUSY_S,
            isolation_level=None,
            check_same_thread=False,
        )
    except sqlite3.Error as error:
        raise _translated(error) from error
    try:
        _prepare(connection)
        if disk_bytes_max is not None:
            connection.execute(f"PRAGMA max_page_count = {disk_bytes_max // PAGE_BYTES}")
    except sqlite3.Error as error:
        connection.close()
        raise _translated(error) from error
    except StoreError:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    mark = connection.execute("PRAGMA application_id").fetchone()[0]
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if tables and mark != APPLICATION_ID:
        raise StoreError("relay.not_a_relay")
    if found > SCHEMA_VERSION:
        raise StoreError("relay.newer_schema", found=found, known=SCHEMA_VERSION)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute("PRAGMA journal_size_limit = 8388608")
    if not tables:
        connection.executescript(_SCHEMA)


def _locked(directory: Path) -> Any:
    """The open lock file of a directory that no other relay serves."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (directory / LOCK_NAME).open("a")
    except OSError as error:
        raise StoreError("relay.directory", errno=error.errno) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise StoreError("relay.in_use") from error
    return lock


def _abandon(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")


def _translated(error: Exception) -> OpenlineError:
    if not isinstance(error, sqlite3.Error):
        return InvariantError("relay.invariant", kind=type(error).__name__)
    name = getattr(error, "sqlite_errorname", "")
    if name in {"SQLITE_FULL", "SQLITE_IOERR_WRITE"}:
        return StoreError("relay.full")
    if name == "SQLITE_NOTADB":
        return StoreError("relay.not_a_relay")
    return StoreError("relay.disk", reason=name)
