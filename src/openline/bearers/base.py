"""What a bearer is: something that carries datagrams for one line, and what it may know of the
post.

Theory of operation: a bearer pulls. It asks its Port for what to send when it can send, so that
what is not yet on the wire can still be overtaken by a FLASH, and it hands in what arrived.
`received` returns when what the datagrams brought is on disk: a bearer that holds another's custody
(the relay) lets go only then. A bearer sees bytes, never what is in them. Bearers never import one
another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


@dataclass(frozen=True, slots=True)
class BearerProfile:
    """What a bearer declares of itself; the post chooses by it, and by what it learns
    (delivery/choice.py)."""

    name: str
    latency_ms: int
    """Expected one-way delay of the machines and wires in it."""
    mtu_bytes: int
    """Longest datagram it carries, at most 4096."""
    retry_ms_min: int
    """Shortest wait before an unacknowledged record is sent again: long where the bearer reports
    its own death, for a repeat is then waste; 0 where the measured round trip is to decide."""
    retry_ms_max: int
    """Longest wait between such repeats while the other side is heard."""
    cost: int
    """What a byte costs, in units of the operator's own: of bearers about as fast the cheapest is
    taken."""
    padded: bool = True
    """Datagrams are brought to buckets (R15)."""
    two_way: bool = True
    """Whether answers come back the same way; one that only sends is never measured."""
    rate_bytes_s: int | None = None
    """What it carries in a second; None if that need not be minded."""
    loss_permille: int = 0
    """Datagrams in a thousand that it is expected to lose."""
    human_ms: int = 0
    """One-way delay of the person who carries it: 0 for machines, hours for a stick by hand."""
    fragment_bytes: int | None = None
    """Into what pieces it cuts datagrams, between which something more urgent may go first (a
    narrow bearer); None if it sends each datagram as a whole."""
    grain_bytes: int = 4096
    """Longest datagram that records are filled into, openings apart: what a lost fragment costs."""

    @property
    def narrow(self) -> bool:
        """Whether every byte counts on it: openings wait for datagrams that nobody waits for."""
        return self.fragment_bytes is not None


URGENT = 3
"""The rank of FLASH."""


class Outgoing(NamedTuple):
    """One datagram to send."""

    data: bytes
    recovery: bool = False
    """Whether it asks for the mailbox that needs no agreement (epoch 0)."""
    rank: int = 0
    """How urgent it is: whatever has a higher one may go before the rest of it."""

    @property
    def urgent(self) -> bool:
        """Whether it carries FLASH, or what FLASH needs first: nobody waits for more to go with
        it."""
        return self.rank >= URGENT


class Pause(NamedTuple):
    """Seconds of the first wait; each doubles the one before, up to the most."""

    first_s: float
    most_s: float

    def after(self, failures: int) -> float:
        """How long to wait after so many failures in a row, 1 at least."""
        return min(self.first_s * (1 << min(failures - 1, 20)), self.most_s)


class Port(Protocol):
    """The post as one bearer of one line sees it."""

    async def received(self, datagrams: Sequence[bytes]) -> None:
        """Hand in datagrams in order of arrival; returns when what they brought is durable. Never
        raises on bad datagrams."""

    async def outgoing(self) -> list[Outgoing]:
        """Wait until there is something to send on this bearer and take it (1 to about 32 KiB in
        all)."""

    def urgent(self, rank: int) -> list[Outgoing]:
        """Take what waits and is more urgent than a datagram of this rank that is being sent; []
        if nothing is. For bearers that cut datagrams in fragments."""

    def up(self, deaf: str = "") -> None:
        """The bearer can carry now; `deaf` is an error code that says why nothing can be heard over
        it, if that is so: it then carries one way."""

    def down(self, code: str) -> None:
        """It cannot; `code` is an error code such as "bearer.refused". Unacknowledged records go
        elsewhere at once."""


class Mailbox(NamedTuple):
    """The capabilities of one mailbox as a party uses it (docs/protocol.md §11)."""

    take: bytes
    deposit: bytes


class Bearer(Protocol):
    """A bearer of one line: runs until cancelled, redials by itself."""

    profile: BearerProfile

    async def run(self, port: Port) -> None:
        """Carry datagrams until cancelled."""
