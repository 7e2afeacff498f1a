"""The relay bearer against a relay that is the attacker: nothing reaches the post, nothing ends
the bearer.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import struct
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from openline.bearers.mailbox import Relay
from openline.bearers.reach import reset_at_close
from openline.bearers.relay import RelayBearer
from openline.status import Mailboxes
from openline.tokens import FileTokens

from ..relay.process import mailbox
from .contract import End
from .ports import PATIENCE_S

OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"
EMPTY_OK = OK % (0, b"")
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
NO_STREAM = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"


RESET = b"a stream that is reset as it begins"


def _upgrade_and_reset(head: bytes, writer: asyncio.StreamWriter) -> None:
    key = re.search(rb"(?i)sec-websocket-key: (\S+)", head)
    assert key is not None
    said = key[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    proof = hashlib.sha1(said, usedforsecurity=False).digest()
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + base64.b64encode(proof) + b"\r\n\r\n" + b"\xff" * 4
    )
    reset_at_close(writer.get_extra_info("socket"))
    writer.transport.abort()


def entry(length: int, body: bytes) -> bytes:
    """One entry that says its datagram has `length` bytes."""
    return struct.pack(">QH", 1, length) + body


class Hostile:
    """A server that gives the same answer to every request of a kind, whatever it says."""

    def __init__(
        self, stream: bytes, poll: bytes, rest: bytes = EMPTY_OK, deposit: bytes | None = None
    ) -> None:
        self.answers = {"stream": stream, "poll": poll, "deposit": deposit or rest, "rest": rest}
        self.asked = dict.fromkeys(self.answers, 0)
        self.elsewhere = 0
        self.connected = 0
        self._changed = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer until the other side closes, or the answer is one that ends the connection."""
        self.connected += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                line = head.split(b"\r\n")[0]
                kinds = {b"/stream": "stream", b"?wait": "poll", b"POST": "deposit"}
                kind = next((kinds[part] for part in kinds if part in line), "rest")
                self.asked[kind] += 1
                self._changed.set()
                if kind == "stream" and self.answers[kind] == RESET:
                    _upgrade_and_reset(head, writer)
                    return
                writer.write(self.answers[kind])
                await writer.drain()
                if not self.answers[kind].startswith(b"HTTP/1.1 2"):
                    return
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            return
        finally:
            writer.close()
            self.connected -= 1
            self._changed.set()

    async def trap(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Count who was sent here by a redirect."""
        self.elsewhere += 1
        writer.close()

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait until `true()` holds of what was asked."""
        async with asyncio.timeout(PATIENCE_S):
            while not true():
                self._changed.clear()
                await self._changed.wait()


@pytest.mark.parametrize(
    ("stream", "poll"),
    [
        (NO_STREAM, OK % (5, entry(5, b"")[:5])),
        (NO_STREAM, OK % (10, entry(0, b""))),
        (NO_STREAM, OK % (14, entry(5, b"four"))),
        (NO_STREAM, OK % (5010, entry(5000, bytes(5000)))),
        (NO_STREAM, OK % (1_000_000, bytes(1_000_000))),
        (NO_STREAM, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
        (NO_STREAM, b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n????"),
        (NO_STREAM, b"\x00" * 100_000),
        (NO_STREAM, EMPTY_OK),
        (NO_STREAM, b""),
        (RESET, EMPTY_OK),
        (b"", EMPTY_OK),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", EMPTY_OK),
        (b"\xff" * 100_000, EMPTY_OK),
    ],
)
def test_a_hostile_relay_hands_nothing_in_and_ends_nothing(stream: bytes, poll: bytes) -> None:
    """The bearer keeps asking, not faster than its backoff."""

    async def scene(relay: Hostile, url: str) -> None:
        boxes = Mailboxes([mailbox(1)], mailbox(2), mailbox(3))
        end = End(RelayBearer(Relay(url), lambda: boxes, NoTokens()))
        end.start()
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        await relay.until(lambda: relay.asked["stream"] + relay.asked["poll"] >= 4)
        assert loop.time() - began_s >= 0.25
        assert end.running
        assert end.port.offered == []
        await end.stop()

    play(Hostile(stream, poll), scene)


@pytest.mark.parametrize(
    ("rest", "deposit", "code"),
    [
        (NOT_FOUND, NOT_FOUND, "bearer.relay_fault"),
        (EMPTY_OK, NOT_FOUND, "bearer.relay_fault"),
        (
            b"HTTP/1.1 403 x\r\nOpenline-Code: relay.token\r\nContent-Length: 0\r\n\r\n",
            EMPTY_OK,
            "bearer.relay_token_file",
        ),
    ],
)
def test_an_ordinary_mistake_is_told_as_what_it_is(
    rest: bytes, deposit: bytes, code: str, tmp_path: Path
) -> None:
    """A wrong path; one that knows its mailboxes by half; a tokens file that is a directory."""

    async def scene(_relay: Hostile, url: str) -> None:
        boxes = Mailboxes([mailbox(1)], mailbox(2), mailbox(3))
        end = End(RelayBearer(Relay(url), lambda: boxes, FileTokens(tmp_path)))
        end.start()
        if rest == EMPTY_OK:
            await end.port.until(lambda: end.port.is_up)
        end.port.send(b"a datagram")
        await end.port.until(lambda: code in end.port.states)
        await asyncio.sleep(0.5)
        assert end.running
        await end.stop()

    play(Hostile(NO_STREAM, EMPTY_OK, rest, deposit), scene)


def test_what_our_own_disk_does_not_take_is_taken_again() -> None:
    async def scene(relay: Hostile, url: str) -> None:
        boxes = Mailboxes([mailbox(1)], mailbox(2), mailbox(3))
        end = End(RelayBearer(Relay(url), lambda: boxes, NoTokens()))
        end.port.refusals = 2
        end.start()
        await end.port.until(lambda: b"there" in end.port.arrived)
        assert end.running
        await end.stop()

    play(Hostile(NO_STREAM, OK % (15, entry(5, b"there"))), scene)


def test_a_403_that_is_not_the_relays_costs_no_token() -> None:
    """As of a proxy that lets nobody through."""

    async def scene(relay: Hostile, url: str) -> None:
        boxes = Mailboxes([mailbox(1)], mailbox(2), mailbox(3))
        purse = OneToken()
        end = End(RelayBearer(Relay(url), lambda: boxes, purse))
        end.start()
        await relay.until(lambda: relay.asked["rest"] >= 3)
        assert not end.port.is_up
        await end.stop()
        assert purse.kept

    forbidden = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
    play(Hostile(forbidden, forbidden, forbidden), scene)


def test_a_bearer_stopped_while_it_pauses_leaves_no_connection() -> None:
    """It has deposited in one mailbox; in the other the relay has just answered nonsense."""

    async def scene(relay: Hostile, url: str) -> None:
        boxes = Mailboxes([mailbox(1)], mailbox(2), mailbox(3))
        relay.answers["deposit"] = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"
        end = End(RelayBearer(Relay(url), lambda: boxes, NoTokens()))
        end.start()
        await end.port.until(lambda: end.port.is_up)
        end.port.send(b"datagram", recovery=True)
        await relay.until(lambda: relay.asked["deposit"] == 1)
        relay.answers["deposit"] = b"\x00" * 1_000
        end.port.send(b"datagram")
        await end.port.until(lambda: not end.port.is_up)
        await asyncio.sleep(0.05)
        assert end.running
        await end.stop()
        await relay.until(lambda: relay.connected == 0)

    play(Hostile(NO_STREAM, EMPTY_OK), scene)


def test_a_redirect_is_not_followed() -> None:
    """Neither by a stream nor by a request: the relay does not say where we connect to."""

    async def scene(relay: Hostile, url: str) -> None:
        boxes = Mailboxes([mailbox(1)], mailbox(2), mailbox(3))
        trap = await asyncio.start_server(relay.trap, "127.0.0.1", 0)
        port = trap.sockets[0].getsockname()[1]
        location = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:%d/\r\n" % port
        for kind in relay.answers:
            relay.answers[kind] = location + b"Content-Length: 0\r\n\r\n"
        end = End(RelayBearer(Relay(url), lambda: boxes, NoTokens()))
        end.start()
        await relay.until(
            lambda: all(relay.asked[kind] >= 2 for kind in ("stream", "poll", "rest"))
        )
        assert relay.elsewhere == 0
        assert not end.port.is_up
        await end.stop()
        trap.close()
        await trap.wait_closed()

    play(Hostile(b"", b""), scene)


class NoTokens:
    """A purse without tokens."""

    def left(self) -> list[bytes]:
        """None."""
        return []

    def spent(self, token: bytes) -> None:
        """Nothing to forget."""

    def refused(self, token: bytes) -> None:
        """Nothing to keep."""


class OneToken:
    """A purse with one token, which a test hopes to find again."""

    kept = True

    def left(self) -> list[bytes]:
        """The token."""
        return [b"t" * 32] if self.kept else []

    def spent(self, token: bytes) -> None:
        """It is gone."""
        self.kept = False

    def refused(self, token: bytes) -> None:
        """It would be kept; that it is not even refused is what matters."""
        self.kept = False


def play(relay: Hostile, scene: Callable[[Hostile, str], Awaitable[None]]) -> None:
    """Serve `relay` on a port of its own and run a scene against it."""

    async def whole() -> None:
        server = await asyncio.start_server(relay.serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            await scene(relay, f"http://127.0.0.1:{port}")
        finally:
            server.close()
            await server.wait_closed()

    asyncio.run(whole())
