"""What comes over a wire of bytes, cut where a byte says that a piece ends.

Theory of operation: sans-IO. Chunks are fed as they come. A piece that grows longer than any can be
is dropped up to its end, so that noise costs no memory and the piece after it is read again. What a
piece stands for must not live here.
"""

from __future__ import annotations

from collections.abc import Callable


class Delimited:
    """What comes over a wire of bytes in pieces, each ended by one byte that is in none."""

    def __init__(
        self, end: bytes, piece_bytes_max: int, decoded: Callable[[bytes], bytes | None]
    ) -> None:
        """`decoded` gives what a piece stands for, None if the bytes are none."""
        self._end = end
        self._piece_bytes_max = piece_bytes_max
        self._decoded = decoded
        self._rest = bytearray()
        self._lost = False
        """Whether what is coming is longer than any piece, up to the next end."""

    def feed(self, chunk: bytes) -> list[bytes]:
        """What the pieces stand for that this chunk of the wire completes; what is none is left
        out."""
        found: list[bytes] = []
        *ended, rest = chunk.split(self._end)
        for piece in ended:
            self._take(piece)
            if not self._lost and (content := self._decoded(bytes(self._rest))) is not None:
                found.append(content)
            self._rest.clear()
            self._lost = False
        self._take(rest)
        return found

    def _take(self, part: bytes) -> None:
        self._rest += part
        if len(self._rest) > self._piece_bytes_max:
            self._lost = True
            self._rest.clear()
