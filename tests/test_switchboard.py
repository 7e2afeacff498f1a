"""Bearers follow the configuration and the lines; tokens leave their file as they are spent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from openline import clock
from openline.bearers.base import Bearer, BearerProfile
from openline.bearers.tcp import PROFILE
from openline.config import Config
from openline.entries import Address, KissEntry, TcpEntry
from openline.errors import BearerError
from openline.inputs import BearerDown, Revoke
from openline.post import Post
from openline.runner import LinePort, Runner
from openline.switchboard import Switchboard
from tests.pair import LinePair

PATIENCE_S = 20.0


class NotingRunner(Runner):
    """A runner that keeps the profiles of the ports it gave, and of the bearers it runs."""

    profiles: dict[str, BearerProfile]
    running: dict[str, BearerProfile]

    def start(self, line: int, name: str, bearer: Bearer, profile: BearerProfile) -> None:
        """Note the bearer's own profile."""
        self.running = {**getattr(self, "running", {}), name: bearer.profile}
        super().start(line, name, bearer, profile)

    def port(self, line: int, name: str, profile: BearerProfile) -> LinePort:
        """Note the profile."""
        self.profiles = {**getattr(self, "profiles", {}), name: profile}
        return super().port(line, name, profile)


class Board(Switchboard):
    """A switchboard whose runner the test can see."""

    def __init__(self, directory: Path, post: Post, runner: NotingRunner) -> None:
        super().__init__(directory, post, runner, clock.entropy)
        self.runner = runner
        self.post = post


def play(directory: Path, scene: Callable[[Board, Board], Awaitable[None]]) -> LinePair:
    """Run a scene with the boards of both posts of a pair."""

    async def whole() -> LinePair:
        pair = LinePair()
        now = clock.now
        async with (
            asyncio.timeout(PATIENCE_S),
            NotingRunner(pair.posts["a"], now) as near,
            NotingRunner(pair.posts["b"], now) as far,
        ):
            await scene(
                Board(directory, pair.posts["a"], near), Board(directory, pair.posts["b"], far)
            )
        return pair

    return asyncio.run(whole())


def entry(address: str = "127.0.0.1:9", line: str = "other", name: str = "cable") -> TcpEntry:
    """A bearer that dials."""
    return TcpEntry.model_validate({"line": line, "kind": "tcp", "name": name, "address": address})


@pytest.mark.parametrize("turns", range(1, 6))
def test_a_line_that_ends_while_a_bearer_stops_leaves_nothing_half_started(
    tmp_path: Path, turns: int
) -> None:
    async def scene(near: Board, far: Board) -> None:
        await near.apply(Config(bearer=(entry(),)))
        applying = asyncio.create_task(
            near.apply(Config(bearer=(entry("127.0.0.1:8"), entry(name="second"))))
        )
        for _ in range(turns):
            await asyncio.sleep(0)
        revoked = near.runner.give(Revoke(1, "test"))
        await applying
        await revoked
        await near.apply()
        assert near.post.open_lines() == []
        assert not near._standing
        assert not near.runner._bearers
        assert {each["code"] for each in near.view(clock.now())} == {"line.unknown"}

    play(tmp_path, scene)


async def until_up(board: Board, name: str, *, up: bool = True) -> None:
    """Wait for a bearer of the board's only line to be up, or not to be."""
    watching = board.runner.watch()
    while is_up(board, name) != up:
        await watching.more()
    watching.close()


def is_up(board: Switchboard, name: str) -> bool:
    """Whether a bearer of the board's only line is up."""
    return any(each["name"] == name and each["up"] for each in board.view(clock.now()))


def test_the_configuration_is_brought_about_and_undone(tmp_path: Path) -> None:
    async def scene(near: Board, far: Board) -> None:
        listening = Config(listen=Address("127.0.0.1", 0))
        where = far.listen(listening)
        assert where is not None
        await far.apply(listening)
        answering = asyncio.create_task(far.run_listener())
        await near.apply(Config(bearer=(entry(where), entry(line="nobody"))))
        await until_up(near, "cable")
        await until_up(far, "tcp-in")
        await near.apply(Config())
        await until_up(far, "tcp-in", up=False)
        await near.apply(Config(bearer=(entry(where, name="again"),)))
        await until_up(near, "again")
        await until_up(far, "tcp-in")
        answering.cancel()

    play(tmp_path, scene)


def test_an_entry_that_changed_is_started_anew_and_one_that_did_not_is_left(tmp_path: Path) -> None:
    async def scene(near: Board, far: Board) -> None:
        both = Config(listen=Address("127.0.0.1", 0))
        where = far.listen(both)
        assert where is not None
        await far.apply(both)
        answering = asyncio.create_task(far.run_listener())
        await asyncio.gather(
            near.apply(Config(bearer=(entry(),))),
            near.apply(Config(bearer=(entry(), entry(name="second")))),
            near.apply(Config(bearer=(entry(where), entry(name="second")))),
        )
        await until_up(near, "cable")
        assert len(near.view(clock.now())) == 2
        answering.cancel()

    play(tmp_path, scene)


def test_a_paused_bearer_carries_nothing_and_a_removed_one_is_forgotten(tmp_path: Path) -> None:
    async def scene(near: Board, far: Board) -> None:
        listening = Config(listen=Address("127.0.0.1", 0))
        where = far.listen(listening)
        await far.apply(listening)
        answering = asyncio.create_task(far.run_listener())
        dialling = entry(str(where))
        await near.apply(Config(bearer=(dialling,)))
        await until_up(near, "cable")
        await near.apply(Config(bearer=(dialling.model_copy(update={"paused_by": "uid:7"}),)))
        await until_up(near, "cable", up=False)
        await until_up(far, "tcp-in", up=False)
        (shown,) = near.view(clock.now())
        assert (shown["code"], shown["paused_by"]) == ("bearer.paused", "uid:7")
        await near.apply(Config(bearer=(dialling,)))
        await until_up(near, "cable")
        (shown,) = near.view(clock.now())
        assert (shown["code"], shown["paused_by"]) == ("", None)
        await near.apply(Config())
        await until_up(far, "tcp-in", up=False)
        assert near.post.status(1, clock.now()).bearers.keys() == {"tcp"}
        answering.cancel()

    play(tmp_path, scene)


def test_what_the_operator_declares_stands_in_place_of_what_the_bearer_does(tmp_path: Path) -> None:
    async def scene(near: Board, far: Board) -> None:
        said = {"cost": 3, "latency_ms": 700, "rate_bytes_s": 150, "loss_permille": 20}
        await near.apply(Config(bearer=(entry(), entry(name="own").model_copy(update=said))))
        for name, value in said.items():
            assert getattr(near.runner.profiles["own"], name) == value
            assert getattr(near.runner.profiles["cable"], name) == getattr(PROFILE, name)
        assert near.runner.running == near.runner.profiles

    play(tmp_path, scene)


def test_how_often_a_dead_bearer_is_tried_is_shown(tmp_path: Path) -> None:
    async def scene(near: Board, far: Board) -> None:
        slow = entry(name="slow").model_copy(update={"rate_bytes_s": 60})
        paused = entry(name="off").model_copy(update={"paused_by": "uid:7"})
        await near.apply(Config(bearer=(entry(), slow, paused)))
        for name in ("cable", "slow"):
            await near.runner.give(BearerDown(1, name, "bearer.refused"))
        shown = {each["name"]: each["retry_ms"] for each in near.view(clock.now())}
        assert shown == {"cable": 1_600, "slow": 20_000, "off": None}

    play(tmp_path, scene)


def test_a_revoked_line_may_not_call_any_more(tmp_path: Path) -> None:
    async def scene(near: Board, far: Board) -> None:
        listening = Config(listen=Address("127.0.0.1", 0))
        where = far.listen(listening)
        await far.apply(listening)
        answering = asyncio.create_task(far.run_listener())
        await near.apply(Config(bearer=(entry(str(where)),)))
        await until_up(near, "cable")
        await far.runner.give(Revoke(1, "test"))
        await far.apply()
        assert far.view(clock.now()) == []
        await until_up(near, "cable", up=False)
        answering.cancel()

    play(tmp_path, scene)


def test_a_taken_address_stops_the_start(tmp_path: Path) -> None:
    async def scene(near: Board, far: Board) -> None:
        where = far.listen(Config(listen=Address("127.0.0.1", 0)))
        port = int(str(where).rpartition(":")[2])
        with pytest.raises(BearerError, match=r"bearer\.listen"):
            near.listen(Config(listen=Address("127.0.0.1", port)))
        answering = asyncio.create_task(far.run_listener())
        await asyncio.sleep(0)
        answering.cancel()

    play(tmp_path, scene)


def test_padding_is_the_posts_unless_the_bearer_says_otherwise(tmp_path: Path) -> None:
    async def scene(near: Board, far: Board) -> None:
        own = entry(name="own").model_copy(update={"padding": True})
        await near.apply(Config(padding=False, bearer=(entry(), own)))
        profiles = near.runner.profiles
        assert (profiles["cable"].padded, profiles["own"].padded) == (False, True)

    play(tmp_path, scene)


def test_a_radio_declares_what_fragments_get_of_its_rate_and_is_not_padded(tmp_path: Path) -> None:
    async def scene(near: Board, far: Board) -> None:
        said = {"line": "other", "kind": "kiss", "address": "127.0.0.1:9", "to": "N0CALL-2"}
        radio = KissEntry.model_validate({**said, "callsign": "n0call-1"})
        slow = {"name": "slow", "rate_bytes_s": 37, "tx_delay_ms": 500, "room_ms": 100, "cost": 1}
        await near.apply(Config(bearer=(radio, radio.model_copy(update=slow))))
        usual, other = (near.runner.profiles[name] for name in ("kiss", "slow"))
        assert (usual.rate_bytes_s, usual.latency_ms, usual.padded) == (90, 900, False)
        assert (other.rate_bytes_s, other.latency_ms, other.cost) == (19, 700, 1)
        shown = near.view(clock.now())[0]
        assert (shown["address"], shown["callsign"], shown["up"]) == (
            *("127.0.0.1:9", "N0CALL-1"),
            False,
        )

    play(tmp_path, scene)
