"""Strangers at the desk's port crowd out one another, and nobody who is signed in."""

from __future__ import annotations

import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

import pytest

from openline.control import CONVERSATIONS_MAX
from openline.desk.app import COOKIE
from openline.desk.serving import CONNECTIONS_MAX

from .scene import Scene

SILENT = b""
TORN = b"POST /sign-in HTTP/1.1\r\nHost: "
STALLED = (
    b"POST /sign-in HTTP/1.1\r\nHost: desk\r\nOrigin: {origin}\r\nContent-Length: 9\r\n\r\nname="
)
LONG = "9" * 5_000


@contextmanager
def crowd(scene: Scene, count: int, *said: bytes) -> Iterator[None]:
    """So many connections of strangers, who say this in turn and no more."""
    usual = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(usual[0], 2 * count), usual[1]))
    place = urlsplit(scene.origin)
    with ExitStack() as ends:
        ends.callback(resource.setrlimit, resource.RLIMIT_NOFILE, usual)
        for number in range(count):
            wire = ends.enter_context(socket.create_connection((place.hostname, place.port)))
            wire.sendall(said[number % len(said)].replace(b"{origin}", scene.origin.encode()))
        yield


def test_a_crowd_of_strangers_does_not_disturb_who_is_signed_in(scene: Scene) -> None:
    with scene.browser("releaser") as browser:
        cookie = f"{COOKIE}={browser.cookies[COOKIE]}"
    with (
        scene.browser("duty") as inside,
        inside.stream("GET", "/live") as live,
        scene.browser() as anew,
        crowd(scene, CONNECTIONS_MAX + 20, SILENT, TORN, STALLED),
    ):
        # Over a connection of its own, as a browser opens one whenever it needs another.
        assert anew.get("/", headers={"Cookie": cookie}).status_code == 200
        serial = scene.say("Heard above the crowd.", precedence="FLASH")
        assert any(serial in line for line in live.iter_lines())
        with scene.browser() as stranger:
            assert stranger.get("/sign-in").status_code == 200


def test_more_boards_than_the_post_has_connections_shut_nobody_out(scene: Scene) -> None:
    with scene.browser("duty") as browser, ExitStack() as boards:
        opened = [
            boards.enter_context(browser.stream("GET", "/live")).iter_lines()
            for _ in range(CONVERSATIONS_MAX + 6)
        ]
        for each in opened:
            assert any("clock" in line for line in each)
        serial = scene.say("To every board.", precedence="FLASH")
        for each in opened:
            assert any(serial in line for line in each)
        with scene.far.ask() as command:
            assert command.call("ping") == {"lines": 1}


@pytest.mark.parametrize("path", [f"/line/{LONG}", f"/line/{LONG}/write", f"/line/1/ours/{LONG}"])
def test_a_number_without_end_is_the_address_of_nothing(scene: Scene, path: str) -> None:
    with scene.browser() as stranger, scene.browser("duty") as inside:
        assert stranger.get(path).status_code in (303, 404)
        assert inside.get(path).status_code in (403, 404)
        assert inside.get(f"/line/1/theirs/1.1/file/{LONG}").status_code == 404
