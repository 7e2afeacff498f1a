"""The relay's interface, asked over real sockets: capabilities, bounds, streams, garbage."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import socket
import struct
from collections.abc import Coroutine, Iterator
from pathlib import Path

import httpx2
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from openline.bearers.base import Mailbox
from openline.bearers.mailbox import entries_of, packed_ids
from openline.bearers.reach import reset_at_close
from openline.relay.mailbox import Quota

from .process import RelayProcess, as_depositor, as_taker, mailbox, name_of, path_of

PATIENCE_S = 20.0
SEEDS = itertools.count(1000)


class Asker:
    """A client of the relay that does as it is told."""

    def __init__(self, relay: RelayProcess, tokens: list[bytes]) -> None:
        self.relay = relay
        self._tokens = tokens
        self._client = httpx2.Client(base_url=relay.url, trust_env=False, timeout=PATIENCE_S)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def token(self) -> str:
        """A token not used before, in hex."""
        return self._tokens.pop().hex()

    def opened(self) -> Mailbox:
        """A mailbox of its own for a test."""
        box = mailbox(next(SEEDS))
        headers = as_taker(box) | {"Openline-Token": self.token()}
        assert self.ask("PUT", path_of(box), headers) == 201
        return box

    def answer(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None = None
    ) -> httpx2.Response:
        """The whole answer to a request."""
        return self._client.request(method, path, headers=headers, content=body)

    def ask(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None = None
    ) -> int:
        """The status of the answer to a request."""
        return self.answer(method, path, headers, body).status_code

    def deposit(self, box: Mailbox, body: bytes) -> int:
        """The status of a deposit."""
        return self.ask("POST", path_of(box), as_depositor(box), body)

    def taken(self, box: Mailbox, wait_s: int = 0) -> list[tuple[int, bytes]]:
        """What a taker gets."""
        answer = self.answer("GET", f"{path_of(box)}?wait={wait_s}", as_taker(box))
        assert answer.status_code == 200
        return list(entries_of(answer.content))

    def acknowledge(self, box: Mailbox, *ids: int) -> int:
        """The status of an acknowledgement."""
        return self.ask("POST", path_of(box) + "/ack", as_taker(box), packed_ids(ids))

    def raw(self, request: bytes) -> bytes:
        """What comes back for bytes sent as they are, until the relay closes."""
        host, _, port = self.relay.url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as plain:
            plain.sendall(request)
            plain.shutdown(socket.SHUT_WR)
            answer = b""
            while chunk := plain.recv(65536):
                answer += chunk
            return answer

    def broken_off(self, request: bytes) -> None:
        """Send bytes as they are and reset the connection."""
        host, _, port = self.relay.url.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as plain:
            plain.sendall(request)
            reset_at_close(plain)

    def stream(self, box: Mailbox, **headers: str) -> connect:
        """A stream of a mailbox."""
        return connect(
            "ws" + self.relay.url.removeprefix("http") + path_of(box) + "/stream",
            additional_headers=as_taker(box) | headers,
            proxy=None,
        )


def play(scene: Coroutine[None, None, None]) -> None:
    """Run a scene to its end, within patience."""

    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await scene

    asyncio.run(bounded())


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    """One relay for the tests of this file."""
    with RelayProcess(tmp_path_factory.mktemp("relay")) as made:
        yield made
        assert made.stop() == 0


@pytest.fixture(scope="module")
def tokens(relay: RelayProcess) -> list[bytes]:
    """Enough tokens for all of them."""
    return relay.tokens(100, Quota(datagrams_max=600))


@pytest.fixture
def asker(relay: RelayProcess, tokens: list[bytes]) -> Iterator[Asker]:
    """A client."""
    made = Asker(relay, tokens)
    yield made
    made.close()


def test_what_is_deposited_is_taken_and_deleted_only_after_the_ack(asker: Asker) -> None:
    """Taking again gives the same; the ack makes it go."""
    box = asker.opened()
    assert asker.deposit(box, b"one") == 201
    assert asker.deposit(box, bytes(4096)) == 201
    expected = [(1, b"one"), (2, bytes(4096))]
    assert asker.taken(box) == expected
    assert asker.taken(box) == expected
    assert asker.acknowledge(box, 1) == 204
    assert asker.taken(box) == expected[1:]
    assert asker.acknowledge(box, 1, 2, 3) == 204
    assert asker.taken(box) == []


def test_to_take_and_to_deposit_are_rights_apart(asker: Asker) -> None:
    """Neither secret does what the other is for."""
    box = asker.opened()
    asker.deposit(box, b"x")
    take_hash = hashlib.sha256(box.take).hexdigest()
    deposit_hash = hashlib.sha256(box.deposit).hexdigest()
    deposit_as_taker = {"Openline-Deposit": box.take.hex(), "Openline-Other": deposit_hash}
    take_as_depositor = {"Openline-Take": box.deposit.hex(), "Openline-Other": take_hash}
    assert asker.ask("POST", path_of(box), deposit_as_taker, b"x") == 403
    assert asker.ask("GET", path_of(box), take_as_depositor) == 403
    assert asker.ask("POST", path_of(box) + "/ack", take_as_depositor, packed_ids([1])) == 403
    assert asker.ask("GET", path_of(box), as_depositor(box)) == 400
    assert asker.ask("POST", path_of(box), as_taker(box), b"x") == 400
    assert asker.taken(box) == [(1, b"x")]


def test_who_has_no_capability_learns_nothing_of_what_exists(asker: Asker) -> None:
    """A mailbox that is open and one that is not answer alike."""
    there, not_there, own = asker.opened(), mailbox(next(SEEDS)), mailbox(next(SEEDS))
    for method, headers in (
        ("GET", as_taker(own)),
        ("POST", as_depositor(own)),
        ("PUT", as_taker(own)),
        ("GET", {}),
        ("PUT", {}),
    ):
        answers = [
            asker.answer(method, path_of(box), headers, b"x" if method == "POST" else None)
            for box in (there, not_there)
        ]
        assert answers[0].status_code == answers[1].status_code
        assert answers[0].status_code in {400, 403}
        assert answers[0].content == answers[1].content
        assert dict(answers[0].headers) == dict(answers[1].headers)


def test_a_mailbox_that_is_not_open_is_404_to_who_holds_its_secrets(asker: Asker) -> None:
    """Which says: spend a token."""
    box = mailbox(next(SEEDS))
    assert asker.deposit(box, b"x") == 404
    assert asker.ask("GET", path_of(box), as_taker(box)) == 404
    assert asker.acknowledge(box, 1) == 404


def test_a_token_opens_once_by_either_side(asker: Asker) -> None:
    """201 opened, 200 was open, 403 for a token spent, wrong or missing."""
    box, other, token = mailbox(next(SEEDS)), mailbox(next(SEEDS)), asker.token()
    assert asker.ask("PUT", path_of(box), as_depositor(box)) == 403
    headers = as_depositor(box) | {"Openline-Token": token}
    assert asker.ask("PUT", path_of(box), headers) == 201
    assert asker.ask("PUT", path_of(box), as_taker(box)) == 200
    assert asker.ask("PUT", path_of(other), as_taker(other) | {"Openline-Token": token}) == 403
    wrong = as_taker(other) | {"Openline-Token": "ab" * 32}
    answer = asker.answer("PUT", path_of(other), wrong)
    assert (answer.status_code, answer.headers["openline-code"]) == (403, "relay.token")
    assert asker.ask("PUT", path_of(other), as_taker(other) | {"Openline-Token": "ab"}) == 400


@pytest.mark.parametrize(
    ("length", "status"), [(0, 400), (1, 201), (4096, 201), (4097, 413), (1_000_000, 413)]
)
def test_a_datagram_has_1_to_4096_bytes(asker: Asker, length: int, status: int) -> None:
    """Beyond is 413, also where the length is not said beforehand."""
    box = asker.opened()
    assert asker.deposit(box, bytes(length)) == status
    in_chunks = httpx2.Client(base_url=asker.relay.url, trust_env=False)
    try:
        answer = in_chunks.post(
            path_of(box), headers=as_depositor(box), content=iter([bytes(length)])
        )
        assert answer.status_code == status
    except httpx2.TransportError:
        # The relay may close before all of a body that is too long was sent.
        assert status == 413
    in_chunks.close()


def test_a_body_said_to_be_huge_is_refused_before_it_comes(asker: Asker) -> None:
    """No byte of it is waited for."""
    box = asker.opened()
    lines = [f"{key}: {value}" for key, value in as_depositor(box).items()]
    for length in ("4097", "99999999999999999999"):
        head = [f"POST {path_of(box)} HTTP/1.1", "Host: x", f"Content-Length: {length}", *lines]
        answer = asker.raw("\r\n".join([*head, "", ""]).encode())
        assert answer.startswith((b"HTTP/1.1 413", b"HTTP/1.1 400"))


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00" * 1000,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(600),
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /v1/mailbox/../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /v1/mailbox/%00%ff HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"GET /v1/mailbox/" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
    ],
)
def test_garbage_is_refused_and_the_next_is_served(asker: Asker, garbage: bytes) -> None:
    """No status of success, no end of the process."""
    try:
        answer = asker.raw(garbage)
    except ConnectionError:
        answer = b""
    assert not answer or answer.startswith(b"HTTP/1.1 4")
    assert asker.deposit(asker.opened(), b"still here") == 201


def test_names_and_secrets_are_64_hex_digits_and_nothing_else(asker: Asker) -> None:
    """Longer, shorter, upper case, spaces: 400."""
    box = asker.opened()
    good = as_taker(box)
    for bad in ("", "00", "zz" * 32, good["Openline-Take"].upper() + "00", "a " * 31 + "aa"):
        assert asker.ask("GET", path_of(box), good | {"Openline-Take": bad}) == 400
        assert asker.ask("GET", path_of(box), good | {"Openline-Other": bad}) == 400
    name = name_of(box).hex()
    for bad in (name[:-1], name + "0", name.upper(), "%0a" + name):
        assert asker.ask("GET", f"/v1/mailbox/{bad}", good) in {400, 404}
    for wait in ("x", "-1", "99999", "1.5", ""):
        assert asker.ask("GET", f"{path_of(box)}?wait={wait}", good) == 400
    assert asker.ask("POST", path_of(box) + "/ack", good, b"1234567") == 400
    assert asker.ask("POST", path_of(box) + "/ack", good, b"") == 400
    assert asker.ask("POST", path_of(box) + "/ack", good, b"\xff" * 8) == 204
    assert asker.ask("POST", path_of(box) + "/ack", good, bytes(8 * 1025)) == 413


def test_the_quota_is_429(asker: Asker) -> None:
    """And taking goes on."""
    box = asker.opened()
    statuses = [asker.deposit(box, b"x") for _ in range(601)]
    assert statuses == [201] * 600 + [429]
    assert len(asker.taken(box)) == 64


def test_a_waiting_get_is_woken_by_a_deposit(asker: Asker) -> None:
    """And only by one into its own mailbox."""

    async def scene() -> None:
        box, other = asker.opened(), asker.opened()
        waiting = asyncio.create_task(asyncio.to_thread(asker.taken, box, 50))
        await asyncio.sleep(0.2)
        await asyncio.to_thread(asker.deposit, other, b"elsewhere")
        await asyncio.sleep(0.2)
        assert not waiting.done()
        await asyncio.to_thread(asker.deposit, box, b"here")
        assert await waiting == [(1, b"here")]

    play(scene())


def test_a_stream_brings_what_is_there_and_what_comes(asker: Asker) -> None:
    """Each entry once on one stream; what was not acknowledged comes again on the next."""

    async def scene() -> None:
        box = asker.opened()
        asker.deposit(box, b"before")
        async with asker.stream(box) as stream:
            assert entries_of(await got(stream)) == [(1, b"before")]
            await asyncio.to_thread(asker.deposit, box, b"while")
            assert entries_of(await got(stream)) == [(2, b"while")]
            await stream.send(packed_ids([1]))
            await asyncio.to_thread(asker.deposit, box, b"later")
            assert entries_of(await got(stream)) == [(3, b"later")]
        async with asker.stream(box) as stream:
            assert entries_of(await got(stream)) == [(2, b"while"), (3, b"later")]

    play(scene())


def test_a_stream_needs_the_right_to_take_and_an_open_mailbox(asker: Asker) -> None:
    """403 before 404, and 400 for what is malformed."""

    async def scene() -> None:
        box = asker.opened()
        wrong = {"Openline-Take": "ab" * 32}
        for stream, status in (
            (asker.stream(box, **wrong), 403),
            (asker.stream(box, **{"Openline-Take": "?"}), 400),
            (asker.stream(mailbox(next(SEEDS))), 404),
        ):
            with pytest.raises(InvalidStatus) as refused:
                await stream
            assert refused.value.response.status_code == status

    play(scene())


def test_a_stream_that_sends_garbage_is_closed(asker: Asker) -> None:
    """Text, half an id, too many ids."""

    async def scene() -> None:
        box = asker.opened()
        for garbage in ("text", b"123", bytes(8 * 1025), b""):
            async with asker.stream(box) as stream:
                await stream.send(garbage)
                with pytest.raises(ConnectionClosed):
                    await stream.recv()
        assert await asyncio.to_thread(asker.deposit, box, b"still here") == 201

    play(scene())


def test_a_fifth_stream_displaces_the_oldest(asker: Asker) -> None:
    """So that dead connections never keep a taker out."""

    async def scene() -> None:
        box = asker.opened()
        streams = [await asker.stream(box) for _ in range(5)]
        with pytest.raises(ConnectionClosed):
            await streams[0].recv()
        await asyncio.to_thread(asker.deposit, box, b"to all four")
        for stream in streams[1:]:
            assert entries_of(await got(stream)) == [(1, b"to all four")]
        for stream in streams:
            await stream.close()

    play(scene())


def test_a_taker_that_never_acknowledges_is_sent_no_more_than_is_bounded(asker: Asker) -> None:
    """128 entries in flight; an ack lets the next ones out."""

    async def scene() -> None:
        box = asker.opened()
        for n in range(200):
            await asyncio.to_thread(asker.deposit, box, b"%d" % n)
        async with asker.stream(box) as stream:
            came: list[int] = []
            while len(came) < 128:
                came += [entry.id for entry in entries_of(await got(stream))]
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await stream.recv()
            await stream.send(packed_ids(came))
            while len(came) < 200:
                came += [entry.id for entry in entries_of(await got(stream))]
            assert came == list(range(1, 201))

    play(scene())


def test_a_slow_reader_blocks_nobody_and_fills_no_memory(asker: Asker) -> None:
    """Sixteen streams that read nothing, each with half a MiB to come."""
    boxes = [asker.opened() for _ in range(4)]
    for box in boxes * 128:
        asker.deposit(box, bytes(4096))
    before = resident_kib(asker.relay.pid)
    slow = [unread_stream(asker, box) for box in boxes * 4]
    other = asker.opened()
    for n in range(50):
        assert asker.deposit(other, b"%d" % n) == 201
    assert len(asker.taken(other)) == 50
    assert resident_kib(asker.relay.pid) - before < 16 * 1024
    assert [asker.acknowledge(box, 1) for box in boxes] == [204] * 4
    for plain in slow:
        plain.close()
    assert len(asker.taken(boxes[0])) == 16


def test_the_relay_gives_no_more_than_the_protocol_says(asker: Asker) -> None:
    """No server name, no date, no cookie; no method beyond those of the interface."""
    box = asker.opened()
    answer = asker.answer("GET", path_of(box), as_taker(box))
    assert set(answer.headers) == {"content-length", "content-type"}
    for method in ("DELETE", "PATCH", "OPTIONS"):
        assert asker.ask(method, path_of(box), as_taker(box)) == 405


async def got(stream: ClientConnection) -> bytes:
    """The next message of a stream."""
    message = await stream.recv()
    assert isinstance(message, bytes)
    assert struct.calcsize(">QH") < len(message)
    return message


def unread_stream(asker: Asker, box: Mailbox) -> socket.socket:
    """A stream whose reader's window is small and stays full."""
    upgrade = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    lines = [f"{name}: {value}" for name, value in as_taker(box).items()]
    head = [f"GET {path_of(box)}/stream HTTP/1.1", "Host: x", *upgrade, key, *lines, "", ""]
    host, _, port = asker.relay.url.removeprefix("http://").partition(":")
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.connect((host, int(port)))
    plain.sendall("\r\n".join(head).encode())
    return plain


def resident_kib(pid: int) -> int:
    """Memory a process holds."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])
