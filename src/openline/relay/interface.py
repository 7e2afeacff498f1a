"""The relay's HTTP and WebSocket interface (docs/protocol.md §11).

Theory of operation: every request proves its capability first. A mailbox's name is a hash of the
hashes of its two secrets, so the proof needs no look at the store, and who does not hold a secret
learns nothing of what exists: 403 before 404. Then the store decides. A taker waits in the
`Waiting` room until a deposit wakes it; what it was sent stays on disk until it acknowledges.
Everything a stranger can make this process hold is bounded here: bytes of a body, time to send it,
ids in an acknowledgement, waiters of a mailbox and of all, entries in flight on a stream, time a
slow reader may take.

What must not live here: SQL, processes and signals, and any log of a name, a capability, a token or
a body.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import struct
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from openline.errors import OpenlineError, RemoteError

from .mailbox import DATAGRAM_BYTES_MAX, ENTRIES_MAX, Entry, MailboxStore

ACK_IDS_MAX = 1024
"""Most ids in one acknowledgement."""

ACK_BYTES_MAX = 8 * ACK_IDS_MAX
"""The same in bytes; also the longest WebSocket message a taker may send."""

BODY_S = 15.0
"""Seconds within which a request body must be here."""

WAIT_S_MAX = 55
"""Longest wait of a GET, seconds."""

SEND_S = 30.0
"""Seconds a stream's reader may take for one message before the stream is dropped."""

TOUCH_S = 3600.0
"""Seconds after which a quiet stream looks at its mailbox, which keeps it from closing as idle."""

WAITERS_PER_MAILBOX_MAX = 4
"""Takers that wait on one mailbox; one more displaces the oldest, which may be a dead connection.
"""

WAITERS_MAX = 4096
"""Takers that wait on all mailboxes together."""

IN_FLIGHT_MAX = 2 * ENTRIES_MAX
"""Entries sent on a stream and not yet acknowledged, above which nothing more is sent on it."""

STATUS = {
    "relay.request": 400,
    "relay.capability": 403,
    "relay.token": 403,
    "relay.not_open": 404,
    "relay.slow": 408,
    "relay.too_long": 413,
    "relay.quota": 429,
    "relay.busy": 429,
    "relay.disk": 503,
    "relay.full": 507,
}
"""HTTP status of each refusal; any other code is 500."""

_HEX_32 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_WAIT = re.compile(r"[0-9]{1,4}", re.ASCII)
_REFUSED = 4400
_DISPLACED = 4409

Handler = Callable[[Request, bytes], Awaitable[Response]]


def mailbox_name(take_hash: bytes, deposit_hash: bytes) -> bytes:
    """The 32 byte name of the mailbox whose secrets have these SHA-256 hashes."""
    return hashlib.sha256(b"openline/1 mailbox" + take_hash + deposit_hash).digest()


def pack_entries(entries: Sequence[Entry]) -> bytes:
    """Entries as sent to a taker: id u64, length u16, datagram, one after the other."""
    return b"".join(struct.pack(">QH", entry.id, len(entry.body)) + entry.body for entry in entries)


class Waiter:
    """One taker that waits; `displaced` says that it must go."""

    def __init__(self) -> None:
        self.woken = asyncio.Event()
        self.displaced = False

    def displace(self) -> None:
        """Tell it to go."""
        self.displaced = True
        self.woken.set()


class Waiting:
    """Who waits for which mailbox, in this process."""

    def __init__(self) -> None:
        self._waiters: dict[bytes, list[Waiter]] = {}
        self._closed = False
        self.count = 0

    @contextmanager
    def place(self, name: bytes) -> Iterator[Waiter]:
        """A place among those who wait on `name`. RemoteError "relay.busy" if all places are
        taken.
        """
        if self.count >= WAITERS_MAX:
            raise RemoteError("relay.busy")
        waiter = Waiter()
        here = self._waiters.setdefault(name, [])
        here.append(waiter)
        self.count += 1
        if len(here) > WAITERS_PER_MAILBOX_MAX:
            here[0].displace()
        if self._closed:
            waiter.displace()
        try:
            yield waiter
        finally:
            self.count -= 1
            here.remove(waiter)
            if not here and self._waiters.get(name) is here:
                del self._waiters[name]

    def wake(self, name: bytes) -> None:
        """Something came into `name`."""
        for waiter in self._waiters.get(name, ()):
            waiter.woken.set()

    def close(self) -> None:
        """Send everybody away, and whoever comes after."""
        self._closed = True
        for here in self._waiters.values():
            for waiter in here:
                waiter.displace()


class Interface:
    """The relay as an ASGI application over a store. `tally` counts what was done, by kind and
    refusal code.
    """

    def __init__(self, store: MailboxStore) -> None:
        self._store = store
        self.waiting = Waiting()
        self.tally: Counter[str] = Counter()
        mailbox = "/v1/mailbox/{name}"
        self.app = Starlette(
            routes=[
                Route(mailbox, self._answering(self._deposit), methods=["POST"]),
                Route(mailbox, self._answering(self._open), methods=["PUT"]),
                Route(mailbox, self._answering(self._take), methods=["GET"]),
                Route(mailbox + "/ack", self._answering(self._acknowledge), methods=["POST"]),
                WebSocketRoute(mailbox + "/stream", self._stream),
            ]
        )

    def _answering(self, handler: Handler) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            try:
                return await handler(request, _path_name(request.path_params["name"]))
            except OpenlineError as refusal:
                return self._refused(refusal)
            except ClientDisconnect:
                self.tally["gone"] += 1
                return Response(status_code=400)

        return answer

    def _refused(self, refusal: OpenlineError) -> Response:
        self.tally[refusal.code] += 1
        # The code tells a token refused from a 403 of some proxy on the way.
        headers = {"openline-code": refusal.code}
        status = STATUS.get(refusal.code, 500)
        if status == 413:
            # The rest of a refused body is not read, so the connection cannot go on.
            headers["connection"] = "close"
        return Response(status_code=status, headers=headers)

    async def _deposit(self, request: Request, name: bytes) -> Response:
        _need_deposit(request.headers, name)
        body = await _body(request, DATAGRAM_BYTES_MAX)
        if not body:
            raise RemoteError("relay.request")
        await self._store.deposit(name, body)
        self.waiting.wake(name)
        self.tally["deposited"] += 1
        return Response(status_code=201)

    async def _open(self, request: Request, name: bytes) -> Response:
        if "openline-take" in request.headers:
            _need_take(request.headers, name)
        else:
            _need_deposit(request.headers, name)
        token = None
        if "openline-token" in request.headers:
            token = hashlib.sha256(_secret(request.headers, "openline-token")).digest()
        if await self._store.open(name, token):
            self.tally["opened"] += 1
            return Response(status_code=201)
        return Response(status_code=200)

    async def _take(self, request: Request, name: bytes) -> Response:
        _need_take(request.headers, name)
        wait = request.query_params.get("wait", "0")
        if not _WAIT.fullmatch(wait):
            raise RemoteError("relay.request")
        entries = await self._store.take(name)
        if not entries and wait != "0":
            with self.waiting.place(name) as waiter, suppress(TimeoutError):
                async with asyncio.timeout(min(int(wait), WAIT_S_MAX)):
                    while not entries and not waiter.displaced:
                        entries = await self._store.take(name)
                        if not entries:
                            await waiter.woken.wait()
                            waiter.woken.clear()
        self.tally["taken"] += len(entries)
        return Response(pack_entries(entries), media_type="application/octet-stream")

    async def _acknowledge(self, request: Request, name: bytes) -> Response:
        _need_take(request.headers, name)
        ids = _ids(await _body(request, ACK_BYTES_MAX))
        await self._store.acknowledge(name, ids)
        self.tally["acknowledged"] += len(ids)
        return Response(status_code=204)

    async def _stream(self, socket: WebSocket) -> None:
        try:
            name = _path_name(socket.path_params["name"])
            _need_take(socket.headers, name)
            await self._store.take(name)
            with self.waiting.place(name) as waiter:
                await socket.accept()
                self.tally["streams"] += 1
                await self._serve_stream(socket, name, waiter)
        except OpenlineError as refusal:
            await socket.send_denial_response(self._refused(refusal))

    async def _serve_stream(self, socket: WebSocket, name: bytes, waiter: Waiter) -> None:
        in_flight: set[int] = set()
        code = _DISPLACED
        try:
            await _first_of(
                self._send_entries(socket, name, waiter, in_flight),
                self._read_acks(socket, name, waiter, in_flight),
            )
        except (WebSocketDisconnect, TimeoutError):
            return
        except OpenlineError as refusal:
            self.tally[refusal.code] += 1
            code = _REFUSED
        with suppress(TimeoutError, WebSocketDisconnect):
            async with asyncio.timeout(1):
                await socket.close(code)

    async def _send_entries(
        self, socket: WebSocket, name: bytes, waiter: Waiter, in_flight: set[int]
    ) -> None:
        after = 0
        while not waiter.displaced:
            waiter.woken.clear()
            entries: list[Entry] = []
            if len(in_flight) < IN_FLIGHT_MAX:
                entries = await self._store.take(name, after)
            if entries:
                after = entries[-1].id
                in_flight.update(entry.id for entry in entries)
                self.tally["taken"] += len(entries)
                async with asyncio.timeout(SEND_S):
                    await socket.send_bytes(pack_entries(entries))
            else:
                with suppress(TimeoutError):
                    async with asyncio.timeout(TOUCH_S):
                        await waiter.woken.wait()

    async def _read_acks(
        self, socket: WebSocket, name: bytes, waiter: Waiter, in_flight: set[int]
    ) -> None:
        while True:
            message = await socket.receive()
            if message["type"] != "websocket.receive":
                return
            ids = _ids(message.get("bytes") or b"")
            await self._store.acknowledge(name, ids)
            self.tally["acknowledged"] += len(ids)
            was_full = len(in_flight) >= IN_FLIGHT_MAX
            in_flight.difference_update(ids)
            if was_full:
                waiter.woken.set()


async def _first_of(*parts: Coroutine[None, None, None]) -> None:
    """Run until the first part ends, end the others, raise what the first raised."""
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


async def _body(request: Request, bytes_max: int) -> bytes:
    """The request's body; refused before it is read if it says it is too long, and as soon as it
    is.
    """
    length = request.headers.get("content-length", "0")
    if not length.isdecimal():
        raise RemoteError("relay.request")
    if len(length) > 9 or int(length) > bytes_max:
        raise RemoteError("relay.too_long")
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > bytes_max:
                    raise RemoteError("relay.too_long")
    except TimeoutError:
        raise RemoteError("relay.slow") from None
    return bytes(body)


def _ids(body: bytes) -> list[int]:
    """Ids u64 of an acknowledgement; those no store ever gave are left out."""
    if not body or len(body) % 8 or len(body) > ACK_BYTES_MAX:
        raise RemoteError("relay.request")
    return [found for (found,) in struct.iter_unpack(">Q", body) if found < 1 << 63]


def _path_name(name: str) -> bytes:
    if not _HEX_32.fullmatch(name):
        raise RemoteError("relay.request")
    return bytes.fromhex(name)


def _secret(headers: Headers, header: str) -> bytes:
    values = headers.getlist(header)
    if len(values) != 1 or not _HEX_32.fullmatch(values[0]):
        raise RemoteError("relay.request")
    return bytes.fromhex(values[0])


def _need_take(headers: Headers, name: bytes) -> None:
    take_hash = hashlib.sha256(_secret(headers, "openline-take")).digest()
    _need_name(mailbox_name(take_hash, _secret(headers, "openline-other")), name)


def _need_deposit(headers: Headers, name: bytes) -> None:
    deposit_hash = hashlib.sha256(_secret(headers, "openline-deposit")).digest()
    _need_name(mailbox_name(_secret(headers, "openline-other"), deposit_hash), name)


def _need_name(proven: bytes, name: bytes) -> None:
    if not hmac.compare_digest(proven, name):
        raise RemoteError("relay.capability")
