"""What people carry by hand: all that waits, as parcels; and parcels that came back.

Theory of operation: a bag is a bearer that can carry for one moment. Going out, it comes up, takes
everything that the other side is not known to hold, with what we hold of theirs, and is gone again:
whether it will arrive nobody knows, so all of it still waits, goes by any wire that comes up
meanwhile, and goes into the next bag too. A newer bag therefore replaces an older one. Coming in, a
parcel is a bearer's handing in: once it is on disk it is taken. Files do not live here: they are
the affair of who holds the stick.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from .arguments import Args, get, octets
from .bearers import parcel
from .bearers.base import BearerProfile, Outgoing
from .bearers.framing import LineKey
from .delivery.channel import BAG_BYTES_MAX
from .entries import BY_HAND
from .errors import BearerError, LocalError
from .inputs import Arrived, BearerGone, BearerUp, Input, Operate, Tick
from .naming import line_in
from .post import Post

PROFILE = BearerProfile(
    name=BY_HAND,
    latency_ms=0,
    mtu_bytes=4096,
    retry_ms_min=0,
    retry_ms_max=900_000,
    cost=0,
    human_ms=24 * 3_600_000,
)

NAMES_MAX = 1_000
"""File names in one question."""


class Steps(Protocol):
    """What is needed of the runner of the post."""

    @property
    def bag(self) -> asyncio.Lock:
        """Held while a bag is filled: two at a time would each have a part of what waits."""

    def give(self, given: Input) -> Awaitable[object]:
        """Have an input taken, with its commit; raises what it ended in."""

    def take(self, line: int, bearer: str) -> list[Outgoing]:
        """What a bearer should send now; StoreError if the disk does not let it."""


def line_key(post: Post, line: int) -> LineKey:
    """What bearers of a line know of it. Raises LocalError."""
    channel = post.channel(line)
    return LineKey(line, channel.bk, channel.direction)


async def carry_out(post: Post, steps: Steps, actor: str, args: Args) -> Any:
    """Parcels of all that waits on a line, or on every one: files to write, as `_files` lists them.

    Raises LocalError, StoreError.
    """
    found: list[dict[str, str]] = []
    async with steps.bag:
        for line in _lines(post, args):
            await steps.give(Operate(actor, "carry_out", {"line": line}))
            await steps.give(BearerUp(line, BY_HAND, PROFILE))
            try:
                datagrams = await _filled(steps, line)
            finally:
                await steps.give(BearerGone(line, BY_HAND))
            found += _files(post, line, datagrams)
    return found


async def carry_in(post: Post, steps: Steps, actor: str, args: Args) -> Any:
    """Take in the parcel `name` with the content `data` (hex); on disk when this returns.

    Raises LocalError (carry.not_ours if it goes to another post, carry.damaged), StoreError.
    """
    arrived = _opened(post, get(args, "name", str), octets(args, "data"))
    details = {"line": arrived.line, "datagrams": len(arrived.datagrams)}
    await steps.give(Operate(actor, "carry_in", details))
    await steps.give(arrived)
    return {"line": post.label(arrived.line), "datagrams": len(arrived.datagrams)}


async def carry_names(post: Post, _steps: Steps, _actor: str, args: Args) -> Any:
    """Which of the files that `names` lists are parcels: "theirs" to us, "ours" to them."""
    names = get(args, "names", list)
    if len(names) > NAMES_MAX or not all(isinstance(name, str) for name in names):
        raise LocalError("control.argument", name="names")
    keys = [line_key(post, line) for line in post.open_lines()]
    found: dict[str, list[str]] = {"theirs": [], "ours": []}
    for name in names:
        for key in keys:
            if direction := parcel.direction_of(key, name):
                found["ours" if direction == key.direction else "theirs"].append(name)
    return found


Carry = Callable[[Post, Steps, str, Args], Awaitable[Any]]
"""What a verb here is: post, steps, actor, arguments."""

VERBS: dict[str, Carry] = {
    "carry_out": carry_out,
    "carry_in": carry_in,
    "carry_names": carry_names,
}
"""Verbs of the control socket that carry."""


def _lines(post: Post, args: Args) -> list[int]:
    """The line that `line` names, or every open one."""
    if args.get("line") is None:
        return post.open_lines()
    line = line_in(post, args)
    if line not in post.open_lines():
        raise LocalError("line.revoked", label=post.label(line))
    return [line]


async def _filled(steps: Steps, line: int) -> list[bytes]:
    datagrams: list[bytes] = []
    size = idle = 0
    # A step may release more of a file than the last one did: only two in vain say that it is all.
    while size < BAG_BYTES_MAX and idle < 2:
        taken = steps.take(line, BY_HAND)
        datagrams += [item.data for item in taken]
        size += sum(len(item.data) for item in taken)
        idle = 0 if taken else idle + 1
        if not taken:
            await steps.give(Tick())
    return datagrams


def _files(post: Post, line: int, datagrams: Sequence[bytes]) -> list[dict[str, str]]:
    """Each file as "name", "data" (hex) and the label of its "line"."""
    key, found = line_key(post, line), []
    for name, data in parcel.packed(key, datagrams, post.entropy):
        found.append({"name": name, "data": data.hex(), "line": post.label(line)})
    return found


def _opened(post: Post, name: str, data: bytes) -> Arrived:
    for line in post.open_lines():
        key = line_key(post, line)
        if parcel.direction_of(key, name) == 3 - key.direction:
            try:
                return Arrived(line, BY_HAND, parcel.unpack(key, name, data))
            except BearerError:
                raise LocalError("carry.damaged", name=name) from None
    raise LocalError("carry.not_ours", name=name)
