"""Boards that are watched share what happens at the post, and each stands on its own sign-in."""

from __future__ import annotations

from pathlib import Path

import pytest

from openline.control import CONVERSATIONS_MAX
from openline.core.precedence import Precedence
from openline.desk import live
from openline.desk.asking import Asking
from openline.desk.live import Board
from openline.errors import LocalError
from openline.inputs import AddPerson, MakeLink, Release
from openline.signins import Token
from tests.test_control import Desk, play


@pytest.fixture(autouse=True)
def no_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a board shows in these tests, an event has told it."""
    monkeypatch.setattr(live, "BEAT_S", 3600.0)


async def signed_in(desk: Desk, asking: Asking, name: str) -> str:
    """The token of a new person on duty."""
    desk.pair.do("a", AddPerson("keeper", name, ["duty"]))
    link = desk.pair.do("a", MakeLink("keeper", name))
    assert isinstance(link, Token)
    return str((await asking.call("sign_in", link=link.text))["token"])


async def released(desk: Desk) -> None:
    """Something that every board is told."""
    await desk.runner.give(Release(1, "keeper", Precedence.FLASH, "en", "", "x"))


def test_boards_take_two_of_the_posts_connections_whoever_watches(tmp_path: Path) -> None:
    async def scene(desk: Desk) -> None:
        asking = Asking(desk.directory)
        tokens = [await signed_in(desk, asking, name) for name in ("first", "second")]
        for _ in range(CONVERSATIONS_MAX - 2):
            await (await desk.client()).call("ping")
        boards = [Board(asking, token).updates() for token in tokens * 3]
        for board in boards:
            await anext(board)
        await released(desk)
        for board in boards:
            await anext(board)
        await asking.close()

    play(tmp_path, scene)


def test_who_signs_out_takes_no_board_of_others_along(tmp_path: Path) -> None:
    async def scene(desk: Desk) -> None:
        asking = Asking(desk.directory)
        first, second = [await signed_in(desk, asking, name) for name in ("first", "second")]
        leaving, staying = Board(asking, first).updates(), Board(asking, second).updates()
        await anext(leaving)
        await anext(staying)
        await asking.call("sign_out_own", first)
        for _ in range(2):
            await released(desk)
            await anext(staying)
        with pytest.raises(LocalError, match=r"people\.signed_out"):
            await anext(leaving)
        await asking.close()

    play(tmp_path, scene)


def test_a_board_that_nobody_reads_holds_up_no_other(tmp_path: Path) -> None:
    async def scene(desk: Desk) -> None:
        asking = Asking(desk.directory)
        token = await signed_in(desk, asking, "first")
        unread, read = Board(asking, token).updates(), Board(asking, token).updates()
        await anext(unread)
        await anext(read)
        for _ in range(50):
            await released(desk)
            await anext(read)
        await asking.close()

    play(tmp_path, scene)
