"""A post that dies or is held up before it answers: what is told to whoever asked it."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from openline import client, i18n, reading_verbs, verbs
from openline.desk.asking import Asking
from openline.errors import LocalError
from openline.rights import REPEATABLE
from tests.command_line import Captured, openline

Treat = Callable[[socket.socket], object]
"""What a post does with a connection before it hangs up."""


def killed(conversation: socket.socket) -> None:
    """Die with a request half read: the kernel resets the connection."""
    conversation.recv(1)


def ended(conversation: socket.socket) -> None:
    """Stop once the request is read."""
    conversation.recv(1 << 16)


def held_up(conversation: socket.socket) -> None:
    """Read everything and answer nothing for as long as somebody waits."""
    while conversation.recv(1 << 16):
        pass


@contextmanager
def post(directory: Path, treat: Treat) -> Iterator[None]:
    """Something that listens where a post would, for one connection."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(directory / client.SOCKET))
        listening.listen()

        def serve() -> None:
            conversation, _ = listening.accept()
            with conversation:
                treat(conversation)

        serving = threading.Thread(target=serve)
        serving.start()
        yield
        serving.join()
    (directory / client.SOCKET).unlink()


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENLINE_DIR", str(tmp_path))
    monkeypatch.setattr(client, "ANSWER_S", 0.2)
    for name in ("OPENLINE_LANG", "LC_ALL", "OPENLINE_SIGN_IN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "C.UTF-8")


@pytest.mark.parametrize(
    ("treat", "what"),
    [
        (killed, "The post stopped before it answered."),
        (ended, "The post stopped before it answered."),
        (held_up, "The post has not answered for 0 s."),
    ],
)
def test_an_act_without_an_answer_may_have_been_done(
    tmp_path: Path, capsys: Captured, treat: Treat, what: str
) -> None:
    with post(tmp_path, treat):
        assert openline("send", "moscow", "good day") == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first == what
    assert "not known whether this was done" in second
    assert "openline transcript" in second
    assert "openline audit" in second
    with post(tmp_path, treat):
        assert openline("lines") == 1
    first, second = capsys.readouterr().err.splitlines()
    assert first == what
    assert "done" not in second


def test_a_connection_that_is_reset_is_a_post_that_went_away(tmp_path: Path) -> None:
    with (
        post(tmp_path, killed),
        pytest.raises(LocalError, match=r"post\.went_away"),
        client.Client(tmp_path) as asking,
    ):
        asking.call("send", line="moscow", text="good day")


@pytest.mark.parametrize("treat", [killed, ended])
@pytest.mark.parametrize(("verb", "doubtful"), [("send", True), ("lines", False)])
def test_the_desk_is_told_of_the_doubt_too(
    tmp_path: Path, treat: Treat, verb: str, doubtful: bool
) -> None:
    async def ask() -> None:
        asking = Asking(tmp_path)
        try:
            await asking.call(verb)
        finally:
            await asking.close()

    with post(tmp_path, treat), pytest.raises(LocalError) as caught:
        asyncio.run(ask())
    assert caught.value.code == "post.went_away"
    assert caught.value.details["in_doubt"] is doubtful
    assert i18n.catalogue("en").has("post.in_doubt.desk")


def test_what_only_reads_is_told_from_what_acts() -> None:
    assert verbs.READINGS.keys() <= REPEATABLE
    assert reading_verbs.READINGS.keys() <= REPEATABLE
    assert not (verbs.ACTS.keys() - {"prove"}) & REPEATABLE
