"""The encrypted database file: how it is opened, and with which settings.

Theory of operation: SQLCipher encrypts every page with AES-256-CBC and authenticates it with
HMAC-SHA-512, so that indexes and counts are hidden with the texts. The key is 32 random bytes (see
keys.py) and is given raw: no passphrase is stretched here. Every setting that decides the format is
stated, so that new defaults of a later SQLCipher change nothing. The process owns the file alone
(lock.py), therefore `locking_mode=EXCLUSIVE`: the index of the write-ahead log then lives in memory
and not in a shared file. Checkpoints are made by checkpoint.py alone. What is read or written does
not concern this module.
"""

from __future__ import annotations

from pathlib import Path

from sqlcipher3 import dbapi2

PAGE_BYTES = 4096
"""Size of a database page."""

_BEFORE_THE_KEY = ("cipher_log_level = NONE",)  # else SQLCipher writes its errors to stderr
_FORMAT = (
    f"cipher_page_size = {PAGE_BYTES}",
    "cipher_use_hmac = ON",
    "cipher_hmac_algorithm = HMAC_SHA512",
    "cipher_kdf_algorithm = PBKDF2_HMAC_SHA512",
    "cipher_plaintext_header_size = 0",
)
_MANNER = (
    "locking_mode = EXCLUSIVE",
    "journal_mode = WAL",
    "synchronous = FULL",
    "wal_autocheckpoint = 0",
    "temp_store = MEMORY",
    "secure_delete = ON",
    "auto_vacuum = NONE",
    "cell_size_check = ON",
    "trusted_schema = OFF",
    "cache_size = -16384",
)


def connect(path: Path, key: bytes) -> dbapi2.Connection:
    """A connection to the database at `path`, which may be an empty file, under the 32-byte `key`.

    No transaction is opened by itself. Calls must not overlap, but may come from different threads.
    Raises the driver's errors.
    """
    connection = dbapi2.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=64,
    )
    try:
        for setting in _BEFORE_THE_KEY:
            connection.execute(f"PRAGMA {setting}")
        connection.execute(f"PRAGMA key = \"x'{key.hex()}'\"")
        for setting in (*_FORMAT, *_MANNER):
            connection.execute(f"PRAGMA {setting}").fetchall()
        # The first read proves the key and the first page; the first write lock that we may write.
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    except BaseException:
        connection.close()
        raise
    return connection
