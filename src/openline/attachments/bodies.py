"""The bodies of FILE and CHUNK records (docs/protocol.md §16), and the marks that say what became
of a file.

Theory of operation: fixed layouts as everywhere on the wire, read strictly. No state lives here.
"""

from __future__ import annotations

from typing import NamedTuple

from ..core import limits
from ..core.envelope import Reader, malformed, varint

WHOLE = 259
"""Mark.kind on a FILE: all of it is here and hashes to what was said; of ours, all of it is held on
the other side. Kinds on the wire end at 255, those of authorship at 258."""
BROKEN = 260
"""Mark.kind on a FILE of theirs: all of it is here and hashes to something else."""
STOPPED = 261
"""Mark.kind on a FILE: no more of it comes."""

_DIGEST_BYTES = 32


class FileSaid(NamedTuple):
    """The body of a FILE: length in bytes, SHA-256, name."""

    size: int
    digest: bytes
    name: str

    @property
    def chunks(self) -> int:
        """How many chunks it comes in."""
        return -(-self.size // limits.CHUNK_BYTES)

    def encode(self) -> bytes:
        """The body's bytes."""
        return self.size.to_bytes(4, "big") + self.digest + self.name.encode()

    @classmethod
    def decode(cls, body: bytes) -> FileSaid:
        """Read the body of a FILE; raises RemoteError."""
        reader = Reader(body)
        size, digest, name = reader.uint(4), reader.take(_DIGEST_BYTES), reader.rest()
        if not 0 < size <= limits.FILE_BYTES_MAX or not 0 < len(name) <= limits.FILE_NAME_BYTES_MAX:
            raise malformed("file")
        said = name.decode("utf-8", "backslashreplace")
        if said in (".", "..") or any(sign in said for sign in "/\\\0"):
            # What is not UTF-8 is spelled with backslashes, and no name has these either.
            raise malformed("file")
        return cls(size, digest, said)

    def length(self, index: int) -> int:
        """How many bytes chunk `index` has."""
        return min(limits.CHUNK_BYTES, self.size - index * limits.CHUNK_BYTES)


class Chunk(NamedTuple):
    """The body of a CHUNK: which part of the file it is, from 0, and the part; with no data, that
    no more comes."""

    at: int
    data: bytes

    def encode(self) -> bytes:
        """The body's bytes."""
        return varint(self.at) + self.data

    @classmethod
    def decode(cls, body: bytes) -> Chunk:
        """Read the body of a CHUNK; raises RemoteError."""
        reader = Reader(body)
        at, data = reader.varint(), reader.rest()
        beyond = at * limits.CHUNK_BYTES >= limits.FILE_BYTES_MAX
        if len(data) > limits.CHUNK_BYTES or (data and beyond):
            raise malformed("chunk")
        return cls(at, data)
