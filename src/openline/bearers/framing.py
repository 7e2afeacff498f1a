"""The byte stream between two posts: who may speak (docs/protocol.md §10), and where each datagram
ends.

Theory of operation: sans-IO. `Caller` and `Answerer` are the two ends of the handshake; whoever
moves the bytes reads exactly the fixed sizes named here, hands them in, and sends what comes out,
so that a stranger costs a few HMACs and no buffer. Both ends prove that they hold the line's bearer
key over both nonces, so neither a recording nor a reflection of our own words gets through. After
that `FrameDecoder` cuts the stream into datagrams. The handshake only guards the door: what the
datagrams are worth is decided by their seal. Sockets, clocks and entropy must not live here.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from typing import NamedTuple

from openline.errors import BearerError, InvariantError, RemoteError

NONCE_BYTES = 16
PROOF_BYTES = 16
HELLO_BYTES = NONCE_BYTES + PROOF_BYTES
"""What the caller sends first."""
ANSWER_BYTES = NONCE_BYTES + PROOF_BYTES
"""What the other side answers."""
CONFIRM_BYTES = PROOF_BYTES
"""What the caller sends last."""
FRAME_BYTES_MAX = 4096
"""Longest datagram in a frame (R4)."""
LENGTH_BYTES = 2
KEEP_ALIVE = bytes(LENGTH_BYTES)
"""A frame of length 0: says only that the sender is there."""


class LineKey(NamedTuple):
    """What opens the door for one line: its bearer key (32 bytes) and our own sending direction (1
    or 2).
    """

    line: int
    key: bytes
    direction: int


def _proof(key: bytes, role: bytes, *parts: bytes) -> bytes:
    return hmac.digest(key, role + b"".join(parts), "sha256")[:PROOF_BYTES]


def _stranger() -> BearerError:
    return BearerError("bearer.stranger", retry=True)


class Caller:
    """The calling end: `hello()`, then `confirm(answer)`. One object serves one connection."""

    def __init__(self, own: LineKey, nonce: bytes) -> None:
        """`nonce` is 16 fresh random bytes."""
        self._own = own
        self._nonce = nonce

    def hello(self) -> bytes:
        """The 32 bytes that open the conversation."""
        direction = bytes([self._own.direction])
        return self._nonce + _proof(self._own.key, b"c", direction, self._nonce)

    def confirm(self, answer: bytes) -> bytes:
        """The 16 bytes that end the handshake; BearerError "bearer.stranger" if the answer (32
        bytes) is not the line's.
        """
        theirs, proof = answer[:NONCE_BYTES], answer[NONCE_BYTES:]
        if not hmac.compare_digest(proof, _proof(self._own.key, b"s", self._nonce, theirs)):
            raise _stranger()
        return _proof(self._own.key, b"k", self._nonce, theirs)


class Answerer:
    """The answering end, for any of several lines: `answer(hello)`, then `accept(confirm)`. One
    object serves one connection.
    """

    def __init__(self, lines: Sequence[LineKey], nonce: bytes) -> None:
        """`nonce` is 16 fresh random bytes."""
        self._lines = lines
        self._nonce = nonce
        self._called: LineKey | None = None
        self._expected = b""

    def answer(self, hello: bytes) -> bytes:
        """The 32 bytes that answer a hello (32 bytes); BearerError "bearer.stranger" if it belongs
        to none of the lines.

        The caller must claim the other direction of the line: our own hello, sent back to us, is a
        stranger's.
        """
        theirs, proof = hello[:NONCE_BYTES], hello[NONCE_BYTES:]
        for own in self._lines:
            direction = bytes([3 - own.direction])
            if hmac.compare_digest(proof, _proof(own.key, b"c", direction, theirs)):
                self._called = own
                self._expected = _proof(own.key, b"k", theirs, self._nonce)
                return self._nonce + _proof(own.key, b"s", theirs, self._nonce)
        raise _stranger()

    def accept(self, confirm: bytes) -> LineKey:
        """The line that is calling, proven by the confirmation (16 bytes); else BearerError
        "bearer.stranger".
        """
        if self._called is None:
            raise InvariantError("bearer.handshake_order")
        if not hmac.compare_digest(confirm, self._expected):
            raise _stranger()
        return self._called


def encode_frames(datagrams: Sequence[bytes]) -> bytes:
    """The bytes that carry these datagrams, each of 1 to 4096 bytes (else InvariantError: the post
    made it).
    """
    parts: list[bytes] = []
    for datagram in datagrams:
        if not 1 <= len(datagram) <= FRAME_BYTES_MAX:
            raise InvariantError("bearer.datagram_length", length=len(datagram))
        parts.append(len(datagram).to_bytes(LENGTH_BYTES, "big"))
        parts.append(datagram)
    return b"".join(parts)


class FrameDecoder:
    """Cuts chunks of the stream into datagrams; between chunks it holds less than one frame (4,098
    bytes).
    """

    def __init__(self) -> None:
        self.rest = b""
        """What has come of a frame that is not complete."""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The datagrams completed by this chunk, in order, keep-alives left out.

        Raises RemoteError "bearer.frame_length" at a length beyond 4096; the stream is of no use
        after that.
        """
        data = self.rest + chunk
        datagrams: list[bytes] = []
        start = 0
        while len(data) - start >= LENGTH_BYTES:
            length = int.from_bytes(data[start : start + LENGTH_BYTES], "big")
            if length > FRAME_BYTES_MAX:
                raise RemoteError("bearer.frame_length", length=length)
            end = start + LENGTH_BYTES + length
            if end > len(data):
                break
            if length:
                datagrams.append(data[start + LENGTH_BYTES : end])
            start = end
        self.rest = data[start:]
        return datagrams
