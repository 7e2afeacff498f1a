"""The database key and what opens it.

Theory of operation: the database is encrypted under 32 random bytes, made once. `key.json` holds
them wrapped by AES-256-GCM-SIV, at most once for each method, under a key made from

    passphrase   Argon2id of the passphrase in NFC, with the salt and the cost recorded beside it
    key file     HKDF-SHA-256 of the file's bytes, random already, with the salt recorded beside it

The method, salt and cost are associated data. A sum over the file tells damage from a wrong
passphrase; it is no protection. All that is read is bounded before it is used, for whoever can
write `key.json` could else make us fill the memory. A credential handed over by the service manager
is a key file by another way. Where files lie and when they are written is opening.py's concern.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from openline.errors import StoreError

KEY_BYTES = 32
"""Length of the database key."""

KEY_FILE_BYTES_MIN = 32
"""Shortest key file."""

KEY_FILE_BYTES_MAX = 4096
"""Longest key file."""

DOCUMENT_BYTES_MAX = 16_384
"""Longest key.json."""

CREDENTIAL = "openline-key"
"""Name of the credential in $CREDENTIALS_DIRECTORY."""

_FORMAT = "openline key 1"
_SALT_BYTES, _NONCE_BYTES, _WRAPPED_BYTES = 16, 12, KEY_BYTES + 16


@dataclass(frozen=True)
class Passphrase:
    """What a person types."""

    text: str = field(repr=False)


@dataclass(frozen=True)
class KeyFile:
    """A file of 32 to 4,096 random bytes that its owner alone can read."""

    path: Path


@dataclass(frozen=True)
class Credential:
    """The credential `openline-key` of the service manager, with the content of a key file."""


Secret = Passphrase | KeyFile | Credential


class Cost(NamedTuple):
    """Cost of Argon2id: memory in KiB, passes over it, lanes."""

    memory_kib: int = 256 * 1024
    passes: int = 3
    lanes: int = 4


COST = Cost()
"""256 MiB, three passes, four lanes: over a second on a small machine. Tests give a smaller one."""

_COST_MAX = Cost(1 << 20, 16, 16)


class _Wrapping(NamedTuple):
    """One way to the database key."""

    method: str
    salt: bytes
    nonce: bytes
    wrapped: bytes
    cost: Cost | None

    def associated(self) -> bytes:
        """What is authenticated with the key."""
        cost = "" if self.cost is None else ",".join(map(str, self.cost))
        return f"{_FORMAT}/{self.method}/{cost}/".encode() + self.salt


def method_of(secret: Secret) -> str:
    """The name under which key.json keeps a wrapping by this kind of secret."""
    return "passphrase" if isinstance(secret, Passphrase) else "key file"


def wrap(
    document: bytes | None,
    key: bytes,
    secret: Secret,
    entropy: Callable[[int], bytes],
    cost: Cost = COST,
) -> bytes:
    """A key.json in which `secret` opens `key`, beside the wrappings by other methods in
    `document`.
    """
    method = method_of(secret)
    kept = [] if document is None else [one for one in _decode(document) if one.method != method]
    wrapping = _Wrapping(
        method,
        entropy(_SALT_BYTES),
        entropy(_NONCE_BYTES),
        b"",
        cost if isinstance(secret, Passphrase) else None,
    )
    cipher = AESGCMSIV(_wrapping_key(secret, wrapping))
    wrapped = cipher.encrypt(wrapping.nonce, key, wrapping.associated())
    return _encode([*kept, wrapping._replace(wrapped=wrapped)])


def unwrap(document: bytes, secret: Secret) -> bytes:
    """The database key.

    Raises StoreError: store.key_damaged, store.no_such_method (with `methods`, those that there
    are), store.wrong_passphrase, store.wrong_key, and those of reading a key file.
    """
    wrappings = {one.method: one for one in _decode(document)}
    wrapping = wrappings.get(method_of(secret))
    if wrapping is None:
        raise StoreError("store.no_such_method", methods=sorted(wrappings))
    cipher = AESGCMSIV(_wrapping_key(secret, wrapping))
    try:
        return cipher.decrypt(wrapping.nonce, wrapping.wrapped, wrapping.associated())
    except InvalidTag:
        wrong = isinstance(secret, Passphrase)
        raise StoreError("store.wrong_passphrase" if wrong else "store.wrong_key") from None


def without(document: bytes, method: str) -> bytes:
    """A key.json without the wrapping by `method`. Raises StoreError("store.last_method") for the
    last one.
    """
    wrappings = _decode(document)
    kept = [one for one in wrappings if one.method != method]
    if len(kept) == len(wrappings):
        raise StoreError("store.no_such_method", methods=sorted(one.method for one in wrappings))
    if not kept:
        raise StoreError("store.last_method")
    return _encode(kept)


def methods(document: bytes) -> list[str]:
    """The methods that open this key.json."""
    return sorted(one.method for one in _decode(document))


# Keys from secrets


def stretched(passphrase: str, salt: bytes, cost: Cost) -> bytes:
    """The key of a passphrase: Argon2id (RFC 9106) over its NFC form, 32 bytes. Raises
    StoreError("store.no_memory")."""
    text = unicodedata.normalize("NFC", passphrase).encode()
    try:
        return Argon2id(
            salt=salt,
            length=KEY_BYTES,
            iterations=cost.passes,
            lanes=cost.lanes,
            memory_cost=cost.memory_kib,
        ).derive(text)
    except MemoryError:
        raise StoreError("store.no_memory", memory_kib=cost.memory_kib) from None


def _wrapping_key(secret: Secret, wrapping: _Wrapping) -> bytes:
    if isinstance(secret, Passphrase):
        return stretched(secret.text, wrapping.salt, wrapping.cost or COST)
    material = read_key_file(secret)
    info = f"{_FORMAT}/{wrapping.method}".encode()
    return HKDF(SHA256(), length=KEY_BYTES, salt=wrapping.salt, info=info).derive(material)


def read_key_file(secret: KeyFile | Credential) -> bytes:
    """The bytes of a key file.

    Raises StoreError: store.key_missing, store.key_exposed (others may read or write it),
    store.key_damaged (length).
    """
    if isinstance(secret, KeyFile):
        path, forbidden = secret.path, 0o077
    else:
        # Set by the service manager (systemd.exec, LoadCredential=). Where it grants access by an
        # access control list, the group bits show that list's mask.
        path, forbidden = Path(os.environ.get("CREDENTIALS_DIRECTORY", "/nowhere")), 0o037
        path = path / CREDENTIAL
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise StoreError("store.key_missing", path=str(path)) from None
    except OSError as error:
        raise StoreError("store.key_unreadable", path=str(path), errno=error.errno) from None
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise StoreError("store.key_damaged", path=str(path))
        if status.st_mode & forbidden or status.st_uid not in (os.geteuid(), 0):
            mode = f"{stat.S_IMODE(status.st_mode):04o}"
            raise StoreError("store.key_exposed", path=str(path), mode=mode)
        material = os.read(fd, KEY_FILE_BYTES_MAX + 1)
    finally:
        os.close(fd)
    if not KEY_FILE_BYTES_MIN <= len(material) <= KEY_FILE_BYTES_MAX:
        raise StoreError("store.key_damaged", path=str(path), length=len(material))
    return material


# The document


def _encode(wrappings: list[_Wrapping]) -> bytes:
    listed = [
        {
            "method": one.method,
            "salt": one.salt.hex(),
            "nonce": one.nonce.hex(),
            "wrapped": one.wrapped.hex(),
            **({} if one.cost is None else one.cost._asdict()),
        }
        for one in wrappings
    ]
    document = {"format": _FORMAT, "wrappings": listed, "sum": _sum(listed)}
    return json.dumps(document, indent=1).encode() + b"\n"


def _sum(listed: object) -> str:
    return hashlib.sha256(json.dumps(listed, sort_keys=True).encode()).hexdigest()


def _decode(document: bytes) -> list[_Wrapping]:
    """The wrappings, each bounded. Raises StoreError("store.key_damaged")."""
    try:
        if len(document) > DOCUMENT_BYTES_MAX:
            raise ValueError("length")
        read = json.loads(document)
        listed = read["wrappings"]
        if read["format"] != _FORMAT or read["sum"] != _sum(listed):
            raise ValueError("format or sum")
        wrappings = [_wrapping(one) for one in listed]
        if not wrappings or len({one.method for one in wrappings}) != len(wrappings):
            raise ValueError("methods")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise StoreError("store.key_damaged") from error
    return wrappings


def _wrapping(read: Mapping[str, object]) -> _Wrapping:
    method = read["method"]
    if method not in ("passphrase", "key file"):
        raise ValueError("method")
    cost = None
    if method == "passphrase":
        cost = Cost(*(_bounded(read[name], name) for name in Cost._fields))
        if cost.memory_kib < 8 * cost.lanes:  # Argon2's own rule (RFC 9106)
            raise ValueError("memory_kib")
    return _Wrapping(
        method,
        _octets(read["salt"], _SALT_BYTES),
        _octets(read["nonce"], _NONCE_BYTES),
        _octets(read["wrapped"], _WRAPPED_BYTES),
        cost,
    )


def _bounded(value: object, name: str) -> int:
    most: int = getattr(_COST_MAX, name)
    if type(value) is not int or not 1 <= value <= most:
        raise ValueError(name)
    return value


def _octets(value: object, length: int) -> bytes:
    if not isinstance(value, str) or len(value) != 2 * length:
        raise ValueError("length")
    return bytes.fromhex(value)
