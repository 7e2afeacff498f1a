"""The backup of a post: its kit and nothing else, sealed under a passphrase, on disk or on paper.

Theory of operation: what is backed up is what can never be made again (identity, cards, kits,
labels) and how the other posts are reached (post.toml). Roots, receive keys, runs, tape pages and
the record are left out on purpose: a thief of a backup gets no history and no key of the future,
and a restored post needs none of it, since the permanent root always opens the line again. A file
is

    magic 4 | version u8 | bytes of the whole file u32
    made u64 | Argon2id: memory KiB u32, passes u8, lanes u8 | salt 16 | nonce 12
    AES-256-GCM-SIV of deflated JSON, tag last; magic, version and the second row are associated
    check 16, the first bytes of SHA-256 of all before

The check tells damage from a wrong passphrase and protects nothing. The first row and the check
stay the same in every version. All costs are bounded before they are paid. On paper the file is
cut into numbered codes of one set, each with a check of its own. Files, drawing, and questions to
people do not live here.
"""

from __future__ import annotations

import json
import struct
import unicodedata
import zlib
from base64 import b32decode, b32encode
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from .core.events import Now
from .errors import LocalError
from .sealing.keys import Card, Identity
from .sealing.roots import Roots
from .store.base import Audit, Batch, Store
from .store.keys import COST, Cost

MAGIC = b"OLBK"
VERSION = 1

FILE_BYTES_MAX = 1 << 20
"""Longest backup: some four hundred lines."""

CONFIG_BYTES_MAX = 16 * 1024
"""A longer post.toml is not backed up."""

COST_MAX = Cost(1 << 20, 16, 16)
"""Most that the cost in a file may ask of us."""

CODE_BYTES = 480
"""Bytes of the file in one printed code: readable by a telephone at six to a page."""

KEPT = (
    *("label", "identity", "card", "kit", "anchors"),
    *("tapes", "succeeds", "revoked", "succeeded"),
)
"""Named state of a line that is backed up; all other is secret of today or history."""

KEY_BYTES = 32
"""Length of the key that a passphrase gives."""

WRAPPING_BYTES = 42
"""Length of a wrapping as written."""

_FIRST = struct.Struct(">4sBI")
_WRAPPING = struct.Struct(">QIBB16s12s")
_CHECK_BYTES = 16
_PLAIN_BYTES_MAX = 8 * FILE_BYTES_MAX
_IDENTITY_BYTES = 160
_MADE_S_MAX = 253_402_300_799
"""The last second of the year 9999."""
_KIT_BYTES = 33
_DIGEST_BYTES = 32


class Wrapping(NamedTuple):
    """How a backup is sealed, all but the passphrase. `made_s` labels; `cost` is of Argon2id."""

    made_s: int
    cost: Cost
    salt: bytes
    nonce: bytes

    @classmethod
    def new(cls, now: Now, entropy: Callable[[int], bytes], cost: Cost = COST) -> Wrapping:
        """A fresh one."""
        return cls(max(0, now.wall_s), cost, entropy(16), entropy(12))

    def encode(self) -> bytes:
        """42 bytes."""
        return _WRAPPING.pack(self.made_s, *self.cost, self.salt, self.nonce)

    @classmethod
    def decode(cls, data: bytes) -> Wrapping:
        """The reverse of `encode`; raises LocalError for a cost that nobody should pay."""
        made_s, memory_kib, passes, lanes, salt, nonce = _WRAPPING.unpack(data)
        cost = Cost(memory_kib, passes, lanes)
        bounded = all(1 <= said <= most for said, most in zip(cost, COST_MAX, strict=True))
        # A thread needs eight blocks of memory: Argon2's own rule (RFC 9106).
        if not bounded or memory_kib < 8 * lanes or made_s > _MADE_S_MAX:
            raise LocalError("backup.damaged")
        return cls(made_s, cost, salt, nonce)

    def key(self, passphrase: str) -> bytes:
        """The key of a passphrase, 32 bytes; takes over a second. Raises LocalError."""
        kdf = Argon2id(
            salt=self.salt,
            length=KEY_BYTES,
            iterations=self.cost.passes,
            lanes=self.cost.lanes,
            memory_cost=self.cost.memory_kib,
        )
        try:
            return kdf.derive(unicodedata.normalize("NFC", passphrase).encode())
        except MemoryError:
            raise LocalError("backup.no_memory", memory_kib=self.cost.memory_kib) from None


@dataclass(frozen=True)
class Backup:
    """What a backup holds."""

    made_s: int
    """When it was made, by the clock of the post that made it."""
    identity: bytes
    lines: dict[int, dict[str, bytes]]
    """Line → its state by name, of KEPT."""
    config: str
    """post.toml; empty if there was none."""
    former: bytes = b""
    """Digests of the cards it had before (R2)."""

    @property
    def card(self) -> bytes:
        """The card of the post."""
        return Identity.decode(self.identity).card

    def labels(self) -> list[str]:
        """Names of the lines that can be opened again, in order of their numbers."""
        lines = (state for _, state in sorted(self.lines.items()) if "kit" in state)
        return [state["label"].decode() for state in lines]

    def batch(self, actor: str, now: Now) -> Batch:
        """All an empty store has to take to be this post again."""
        batch = Batch({(0, "identity"): self.identity})
        if self.former:
            batch.state[0, "former"] = self.former
        for line, state in self.lines.items():
            batch.state.update({(line, name): value for name, value in state.items()})
            if "kit" in state:
                batch.state[line, "seal"] = _alarmed(Card.decode(state["card"]))
        details = json.dumps({"lines": len(self.labels()), "made_s": self.made_s})
        batch.audit.append(Audit(now.wall_s, actor, "restore", details))
        return batch


def _alarmed(peer: Card) -> bytes:
    """The sealing of a restored line: as when it was paired, but that people of this side too must
    check by voice. The other side sees the alarm by itself, unless it was restored as well."""
    state = {"peer_key": peer.identity.hex(), "alarm": True, "roots": Roots().encode()}
    return json.dumps(state).encode()


def collect(store: Store, made_s: int = 0, config: str = "") -> Backup:
    """What is to be backed up of a post; raises LocalError for one without an identity."""
    own = store.state(0)
    if "identity" not in own:
        raise LocalError("post.not_initialised")
    lines = {}
    for line in store.lines():
        state = store.state(line)
        lines[line] = {name: state[name] for name in KEPT if name in state}
    return Backup(made_s, own["identity"], lines, config, own.get("former", b""))


def seal(backup: Backup, wrapping: bytes, key: bytes) -> bytes:
    """The file of a backup, under the key that the passphrase gives with this wrapping."""
    made = Wrapping.decode(wrapping)
    lines = {
        str(line): {name: value.hex() for name, value in state.items()}
        for line, state in backup.lines.items()
    }
    told = {"identity": backup.identity.hex(), "lines": lines, "config": backup.config}
    told["former"] = backup.former.hex()
    plain = zlib.compress(json.dumps(told, separators=(",", ":")).encode(), 9)
    associated = MAGIC + bytes((VERSION,)) + wrapping
    sealed = wrapping + AESGCMSIV(key).encrypt(made.nonce, plain, associated)
    length = _FIRST.size + len(sealed) + _CHECK_BYTES
    if length > FILE_BYTES_MAX:
        raise LocalError("backup.too_long", bytes=length, bytes_max=FILE_BYTES_MAX)
    whole = _FIRST.pack(MAGIC, VERSION, length) + sealed
    return whole + _check(whole)


def _check(whole: bytes) -> bytes:
    return sha256(whole).digest()[:_CHECK_BYTES]


def _sealed(data: bytes) -> bytes:
    """The part between the first row and the check. Raises LocalError, telling what is wrong."""
    if len(data) < _FIRST.size and MAGIC.startswith(data[:4]) and data:
        raise LocalError("backup.truncated", bytes=len(data))
    if data[:4] != MAGIC:
        raise LocalError("backup.foreign")
    _, version, length = _FIRST.unpack_from(data)
    if len(data) < length <= FILE_BYTES_MAX:
        raise LocalError("backup.truncated", bytes=len(data), bytes_right=length)
    whole, check = data[:-_CHECK_BYTES], data[-_CHECK_BYTES:]
    if len(data) != length or check != _check(whole):
        raise LocalError("backup.damaged")
    if version != VERSION:
        raise LocalError("backup.newer", version=version, version_known=VERSION)
    sealed = whole[_FIRST.size :]
    if len(sealed) < _WRAPPING.size + 16:
        raise LocalError("backup.damaged")
    return sealed


def wrapping_of(data: bytes) -> Wrapping:
    """How a file is sealed: all that can be told, and all that can be wrong, without its
    passphrase. Raises LocalError: backup.foreign, backup.truncated, backup.damaged, backup.newer.
    """
    return Wrapping.decode(_sealed(data)[: _WRAPPING.size])


def unseal(data: bytes, passphrase: str) -> Backup:
    """Open a file. Raises LocalError as `wrapping_of` does, and backup.wrong_passphrase,
    backup.no_memory.
    """
    wrapping, sealed = wrapping_of(data), _sealed(data)
    associated = MAGIC + bytes((VERSION,)) + sealed[: _WRAPPING.size]
    cipher = AESGCMSIV(wrapping.key(passphrase))
    try:
        plain = cipher.decrypt(wrapping.nonce, sealed[_WRAPPING.size :], associated)
    except InvalidTag:
        raise LocalError("backup.wrong_passphrase") from None
    try:
        inflating = zlib.decompressobj()
        told = json.loads(inflating.decompress(plain, _PLAIN_BYTES_MAX))
        lines = {int(line): _line(state) for line, state in told["lines"].items()}
        identity, config = bytes.fromhex(told["identity"]), told["config"]
        former = bytes.fromhex(told.get("former", ""))
        if (
            len(identity) != _IDENTITY_BYTES
            or len(former) % _DIGEST_BYTES
            or not isinstance(config, str)
            or min(lines, default=1) < 1
        ):
            raise ValueError("identity, lines or config")
    except (ValueError, KeyError, TypeError, AttributeError, zlib.error, LocalError):
        raise LocalError("backup.damaged") from None
    return Backup(wrapping.made_s, identity, lines, config, former)


def _line(told: dict[str, Any]) -> dict[str, bytes]:
    """The state of one line, so far valid that a post can be made of it."""
    state = {name: bytes.fromhex(told[name]) for name in KEPT if name in told}
    Card.decode(state["card"])
    state["label"].decode()
    json.loads(state["anchors"])
    ended = "revoked" in state or "succeeded" in state
    if not ended and len(state["kit"]) != _KIT_BYTES:
        raise ValueError("kit")
    return state


# -- on paper -------------------------------------------------------------------------------------


class Code(NamedTuple):
    """One printed code: the set it belongs to, which of how many it is (from 1), its bytes."""

    set_name: str
    number: int
    total: int
    data: bytes

    @property
    def text(self) -> str:
        """What a scanner reads, in the alphanumeric mode of QR codes."""
        said = f"OLB:{self.set_name}:{self.number}/{self.total}:{_base32(self.data)}"
        return f"{said}:{_base32(sha256(said.encode()).digest()[:5])}"

    @classmethod
    def read(cls, text: str) -> Code:
        """Read what was scanned or typed. Raises ValueError for a damaged one."""
        said, _, check = _bare(text).rpartition(":")
        magic, set_name, place, data = said.split(":")
        number, _, total = place.partition("/")
        code = cls(set_name, int(number), int(total), b32decode(data + "=" * (-len(data) % 8)))
        sound = check == _base32(sha256(said.encode()).digest()[:5])
        if magic != "OLB" or not sound or not 1 <= code.number <= code.total:
            raise ValueError("code")
        return code


def _bare(text: str) -> str:
    """What was scanned or typed without spaces and marks of order (U+FEFF), in capitals."""
    return "".join(text.replace("\ufeff", "").split()).upper()


def _base32(data: bytes) -> str:
    return b32encode(data).decode().rstrip("=")


def codes(data: bytes) -> list[Code]:
    """A file as the codes to print."""
    set_name = _base32(sha256(data).digest()[:5])
    parts = [data[at : at + CODE_BYTES] for at in range(0, len(data), CODE_BYTES)]
    return [Code(set_name, number, len(parts), part) for number, part in enumerate(parts, 1)]


def scanned(data: bytes) -> list[str]:
    """The lines that a scanner made of codes; none if this is a backup's file, or something else.

    Scanners and editors write UTF-8 or UTF-16, with a mark at the beginning or without one, and
    some put a heading before the codes: its lines are empty here, so that the others keep their
    numbers.
    """
    if data.startswith(MAGIC):
        return []
    coding = "utf-8"
    if data.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        coding = "utf-16"
    elif b"\0" in data[:2]:
        coding = "utf-16-be" if data.startswith(b"\0") else "utf-16-le"
    lines = data.decode(coding, "replace").splitlines()
    first = next((at for at, line in enumerate(lines) if _bare(line).startswith("OLB:")), None)
    return [] if first is None else [""] * first + lines[first:]


def gather(texts: Iterable[str]) -> bytes:
    """The file that scanned codes make, in any order, some of them twice.

    Raises LocalError: backup.no_codes, backup.code_damaged (`lines`: which of the texts),
    backup.other_set (codes of several sets: `lines`), backup.codes_missing (`numbers`, `total`).
    """
    read: dict[int, Code] = {}
    damaged, strange = [], []
    first: Code | None = None
    for place, text in enumerate(texts, 1):
        if not text.strip():
            continue
        try:
            code = Code.read(text)
        except ValueError:
            damaged.append(place)
            continue
        first = first or code
        if (code.set_name, code.total) != (first.set_name, first.total):
            strange.append(place)
        else:
            read[code.number] = code
    if strange:
        raise LocalError("backup.other_set", lines=_listed(strange))
    missing = [n for n in range(1, first.total + 1) if n not in read] if first else []
    if damaged and (missing or first is None):
        raise LocalError("backup.code_damaged", lines=_listed(damaged))
    if first is None:
        raise LocalError("backup.no_codes")
    if missing:
        raise LocalError("backup.codes_missing", numbers=_listed(missing), total=first.total)
    return b"".join(read[number].data for number in sorted(read))


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))
