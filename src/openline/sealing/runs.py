"""Runs: one direction's key schedule (docs/protocol.md §4, Runs).

Theory of operation: an HMAC chain gives one key per datagram; the receiver walks it forward and
keeps the keys it passes over, so that any order of arrival opens; a key is gone once used. A
receiving run is changed only after a body has opened with the key in question. Sending runs are
never stored: a process that starts opens afresh, so no restart uses a key twice.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import NamedTuple

from ..core.states import SENDING, Event, Sending
from .noise import mac

_FIXED = struct.Struct(">HQ32s")
_KEPT = struct.Struct(">H32s")


class Found(NamedTuple):
    """A message key, with what the run becomes if the body opens with it."""

    key: bytes
    next_index: int
    chain_key: bytes
    skipped: dict[int, bytes]


@dataclass(slots=True)
class ReceivingRun:
    """The next index and chain key, and the keys of indexes passed over."""

    chain_key: bytes
    next_index: int = 0
    used_s: int = 0
    """Running time when it last opened something."""
    skipped: dict[int, bytes] = field(default_factory=dict)

    def find(self, index: int) -> Found | None:
        """The key of an index without changing anything; None if it was used already (R8)."""
        if index < self.next_index:
            key = self.skipped.get(index)
            return None if key is None else Found(key, self.next_index, self.chain_key, {})
        chain_key, passed = self.chain_key, {}
        for at in range(self.next_index, index):
            passed[at] = mac(chain_key, b"\x01")
            chain_key = mac(chain_key, b"\x02")
        return Found(mac(chain_key, b"\x01"), index + 1, mac(chain_key, b"\x02"), passed)

    def use(self, index: int, found: Found, running_s: int) -> None:
        """The body opened: forget the key, remember what was passed over."""
        self.skipped.pop(index, None)
        self.skipped.update(found.skipped)
        self.next_index, self.chain_key = found.next_index, found.chain_key
        self.used_s = running_s

    def encode(self) -> bytes:
        """For the store; secret."""
        kept = b"".join(_KEPT.pack(index, key) for index, key in self.skipped.items())
        return _FIXED.pack(self.next_index, self.used_s, self.chain_key) + kept

    @classmethod
    def decode(cls, data: bytes) -> ReceivingRun:
        """The reverse of `encode`."""
        next_index, used_s, chain_key = _FIXED.unpack_from(data)
        return cls(chain_key, next_index, used_s, dict(_KEPT.iter_unpack(data[_FIXED.size :])))


@dataclass(slots=True)
class SendingRun:
    """A run of ours, in memory only (R6)."""

    run_id: bytes
    chain_key: bytes
    kind: int
    opening: bytes
    """Repeated in every datagram until the run is confirmed (R7)."""
    key_id: bytes
    root_id: bytes
    epoch: int
    born_ms: int
    index: int = 0
    carried_ms: int | None = None
    """When the opening was last on the wire."""
    state: Sending = Sending.OPENING

    @property
    def to_card(self) -> bool:
        """Whether it was opened to the peer's card key."""
        return self.key_id == b"\0\0"

    def step(self) -> tuple[int, bytes]:
        """The next index and its key; the chain moves on."""
        index, key = self.index, mac(self.chain_key, b"\x01")
        self.chain_key = mac(self.chain_key, b"\x02")
        self.index += 1
        return index, key

    def move(self, event: Event) -> None:
        """Take a transition."""
        self.state = SENDING.next(self.state, event)
