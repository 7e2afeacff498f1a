"""A megabyte over a bearer that is torn away again and again: whole, once, digests equal.

Each bearer is one of BEARERS: something that carries between the two posts of a `LinePair` until
the file is there, and is torn `tears` times at random moments on the way. Another bearer that can
carry files joins by one more entry.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from openline import carrying, clock
from openline.bearers import folder
from openline.bearers.base import Outgoing
from openline.core import limits, receipts
from openline.core.events import Serial
from openline.errors import LocalError
from openline.inputs import BearerDown, Input
from openline.post import Post
from openline.runner import Runner, Watching
from openline.store.base import OURS, THEIRS
from tests.filing import lay_in, read, send, states
from tests.pair import LinePair

FILE_BYTES = 1_000_000


def over_wires(pair: LinePair, serial: Serial, tears: int, _place: Path) -> None:
    """Two wires; at each tear one of them dies with part of what is on it, or a post is killed."""
    for name in "ab":
        pair.up(name, "relay", cost=20)
    while not _whole(pair, serial):
        for name, other in ("ab", "ba"):
            for bearer in ("tcp", "relay"):
                crossing = pair.take(name, bearer)
                torn = tears > 0 and crossing and pair.random.random() < 0.3
                if torn:
                    tears -= 1
                    crossing = crossing[: pair.random.randrange(len(crossing))]
                pair.give(other, crossing, bearer)
                if torn:
                    _tear_wire(pair, bearer)
        pair.wait(1)
    assert tears == 0


def _tear_wire(pair: LinePair, bearer: str) -> None:
    if pair.random.random() < 0.5:
        for name in "ab":
            pair.do(name, BearerDown(1, bearer, "bearer.closed"))
            pair.up(name, bearer, cost=20 if bearer == "relay" else 1)
        return
    name = pair.random.choice("ab")
    pair.restart(name)
    pair.up(name, "relay", cost=20)


class Hand:
    """The post as who carries by hand asks it."""

    def __init__(self, pair: LinePair, name: str) -> None:
        self._pair = pair
        self._name = name
        self.bag = asyncio.Lock()

    async def give(self, given: Input) -> object:
        """One step."""
        return self._pair.do(self._name, given)

    def take(self, line: int, bearer: str) -> list[Outgoing]:
        """What goes into the bag now."""
        return self._pair.posts[self._name].take(line, bearer, self._pair.now)


def by_stick(pair: LinePair, serial: Serial, tears: int, _place: Path) -> None:
    """A stick; at each tear most of what was to be copied is missing or cut short, and a post may
    be started anew, which forgets all that it had under way."""
    for name in "ab":
        pair.do(name, BearerDown(1, "tcp", "bearer.refused"))
    while not _whole(pair, serial):
        for name, other in ("ab", "ba"):
            made = asyncio.run(carrying.carry_out(pair.posts[name], Hand(pair, name), "t", {}))
            for parcel in made:
                data, kept = parcel["data"], pair.random.random() < 0.1
                if name == "a" and tears > 0 and not kept:
                    data = data[: 2 * pair.random.randrange(len(data) // 2)]
                args = {"name": parcel["name"], "data": data}
                with suppress(LocalError):  # it is damaged
                    asyncio.run(carrying.carry_in(pair.posts[other], Hand(pair, other), "t", args))
        tears -= 1
        if pair.random.random() < 0.3:
            pair.restart(pair.random.choice("ab"))
            for name in "ab":
                pair.do(name, BearerDown(1, "tcp", "bearer.refused"))
        pair.wait(24 * 3600)
    assert tears <= 0


def through_a_folder(pair: LinePair, serial: Serial, tears: int, place: Path) -> None:
    """A shared folder under two running posts; at each tear it is gone and comes back with parcels
    cut short or missing, or a post ends and starts again."""
    place.mkdir()
    asyncio.run(_run_with_folder(pair, serial, tears, place))


async def _run_with_folder(pair: LinePair, serial: Serial, tears: int, place: Path) -> None:
    pair.now = clock.now()
    moments = sorted(
        pair.random.sample(range(5, FILE_BYTES // 3840 - limits.CHUNKS_WAITING_MAX), tears)
    )
    async with AsyncExitStack() as whole:
        stacks = {name: await whole.enter_async_context(AsyncExitStack()) for name in "ab"}
        for name in "ab":
            await _start(pair, name, stacks[name], place)
        watching = _runners[pair, "b"].watch()
        while moments or not _whole(pair, serial):
            pair.now = clock.now()
            count = pair.posts["b"].status(1, pair.now).files.get((THEIRS, _file(pair)), 0)
            # What came at once is torn when it is there: its acknowledgements are on the way.
            if not moments or (count < moments[0] and not _whole(pair, serial)):
                await _next(pair, watching)
                continue
            del moments[0]
            if pair.random.random() < 0.5:
                _tear_folder(pair, place)
            name = pair.random.choice("ab")
            await stacks[name].aclose()
            await _start(pair, name, stacks[name], place)
            watching = _runners[pair, "b"].watch()
        pair.now = clock.now()
        while pair.digests()[0] != pair.digests()[1] or _outbox(pair):
            await _next(pair, watching)


def _whole(pair: LinePair, serial: Serial) -> bool:
    """Whether the text is there with all of its file."""
    row = pair.stores["b"].row(1, THEIRS, serial.number, serial.incarnation)
    return row is not None and states(pair, "b", serial) == ["whole"]


_runners: dict[tuple[LinePair, str], Runner] = {}


def _tear_folder(pair: LinePair, place: Path) -> None:
    away = place.with_name("away")
    place.rename(away)
    for parcel in away.iterdir():
        if pair.random.random() < 0.5:
            os.truncate(parcel, parcel.stat().st_size // 2)
    away.rename(place)


async def _next(pair: LinePair, watching: Watching) -> None:
    """Until something has happened there, or the other side may have gone on."""
    with suppress(TimeoutError):
        await asyncio.wait_for(watching.more(), 0.2)
    pair.now = clock.now()


async def _start(pair: LinePair, name: str, stack: AsyncExitStack, place: Path) -> None:
    pair.stores[name] = pair.stores[name].reopen()
    pair.posts[name] = Post(pair.stores[name], pair.random.randbytes, clock.now())
    runner = await stack.enter_async_context(Runner(pair.posts[name], clock.now))
    _runners[pair, name] = runner
    line = carrying.line_key(pair.posts[name], 1)
    profile = replace(folder.PROFILE, latency_ms=50, retry_ms_min=500, retry_ms_max=2_000)
    bearer = folder.FolderBearer(place, line, os.urandom, profile, look_s=0.02)
    runner.start(1, "folder", bearer, profile)


def _file(pair: LinePair) -> Serial:
    for row in pair.stores["b"].arrivals(1, 0, 1, side=THEIRS, kinds=[receipts.FILE]):
        return Serial(row.incarnation, row.number)
    return Serial(0, 0)


def _outbox(pair: LinePair) -> int:
    return pair.posts["a"].status(1, pair.now).outbox


Carry = Callable[[LinePair, Serial, int, Path], None]

BEARERS: dict[str, Carry] = {
    "wires": over_wires,
    "stick": by_stick,
    "folder": through_a_folder,
}


@pytest.mark.parametrize("bearer", BEARERS)
def test_a_megabyte_survives_a_bearer_torn_at_random(
    bearer: str, long_run: bool, tmp_path: Path
) -> None:
    for seed in range(1, 6 if long_run else 2):
        pair = LinePair(seed=seed)
        pair.flow()
        data = pair.random.randbytes(FILE_BYTES)
        serial = send(pair, "a", "The map.", lay_in(pair, "a", "map.png", data))
        BEARERS[bearer](pair, serial, 20 if long_run else 3, tmp_path / f"place {seed}")
        assert read(pair.stores["b"], serial) == data
        files = pair.stores["b"].arrivals(1, 0, 10, side=THEIRS, kinds=[receipts.FILE])
        chunks = pair.stores["b"].arrivals(1, 0, 1000, side=THEIRS, kinds=[receipts.CHUNK])
        assert (len(files), len(chunks)) == (1, -(-FILE_BYTES // 3840))
        if bearer != "folder":
            for name in "ab":
                pair.up(name)
            pair.settle()
        assert states(pair, "a", serial, OURS) == ["whole"]
        assert pair.texts("b") == ["The map."]
        one, other = pair.digests()
        assert one == other
        # Records that overtake the BEGIN of their process are counted, whatever they are.
        assert not {*pair.posts["b"].status(1, pair.now).faults} - {"begin.missing"}
        assert not pair.stores["a"]._disk.contents
