"""A control socket that is asked more than it can do: it says so, and lets go of who hangs up."""

from __future__ import annotations

from pathlib import Path

import pytest

from openline import runner
from openline.core import receipts
from tests.test_control import Desk, play

MANY = 200


def test_an_act_that_a_full_queue_refuses_does_not_keep_the_conversation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(desk: Desk) -> None:
        client = await desk.client()
        monkeypatch.setattr(runner, "INPUTS_WAITING_MAX", 0)
        client.ask(1, "send", line="other", text="one too many")
        assert (await client.hear())["error"]["code"] == "post.busy"
        client.writer.write_eof()
        assert await client.reader.read() == b""

    play(tmp_path, scene)


def test_a_full_queue_hides_no_text_whose_receipt_it_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(desk: Desk) -> None:
        serial = desk.pair.say("b", "read me all the same")
        desk.pair.flow()
        client = await desk.client()
        with monkeypatch.context() as busy:
            busy.setattr(runner, "INPUTS_WAITING_MAX", 0)
            (shown,) = (await client.call("inbox", seen=True))["records"]
        assert shown["number"] == serial.number
        await client.call("inbox", seen=True)
        marks = desk.running.store.marks(1, 1, serial.number, serial.incarnation)
        assert receipts.DELIVERED in [mark.kind for mark in marks]

    play(tmp_path, scene, roles=["duty"])


def test_a_connection_watches_once_however_often_it_asks(tmp_path: Path) -> None:
    async def scene(desk: Desk) -> None:
        client = await desk.client()
        for number in range(MANY):
            client.ask(number, "watch")
        assert [(await client.hear())["id"] for _ in range(MANY)] == list(range(MANY))
        assert len(desk.runner._watchers) == 1
        client.ask("s", "send", line="other", text="x", precedence="IMMEDIATE")
        told = [await client.hear() for _ in range(2)]
        assert [each["id"] for each in told if "event" in each] == [MANY - 1]

    play(tmp_path, scene)


def test_who_asks_to_watch_and_hangs_up_leaves_no_watcher(tmp_path: Path) -> None:
    async def scene(desk: Desk) -> None:
        client = await desk.client()
        client.ask(1, "watch")
        client.writer.write_eof()
        await client.reader.read()
        assert not desk.runner._watchers

    play(tmp_path, scene)
