"""One mailbox at a relay as a party uses it: the requests of §11 and what the answers mean.

Theory of operation: each `Box` has connections of its own, so that no byte of the protocol links
two mailboxes. Redirects are not followed, proxies are not taken from the environment, and an answer
is bounded before it is kept: the relay may be the attacker. A request that met a connection the
relay had just closed is made once more; a datagram may so be deposited twice, which is harmless.
Where the wire swallows what is sent, the kernel ends the connection after `silent_s`: that is
"bearer.stalled", and no request is made again. A stream with a pulse says something every few
seconds, so that a dead wire is noticed when nothing is deposited either.
Errors carry codes and status numbers, never a name, a secret or a token.

What must not live here: when to try again, what is up or down, what a datagram means.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import ssl
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx2
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, InvalidStatus

from openline.errors import BearerError, LocalError

from .admission import Admission
from .base import Mailbox
from .reach import options_of_silence, swallowed

DATAGRAM_BYTES_MAX = 4096
"""Longest datagram a relay takes or gives (R4)."""

REQUESTS_MAX = 8
"""Requests of one box under way at a time."""

POLL_S = 10
"""Seconds a long poll waits at the relay; it is also how a dead wire is noticed without streams."""

ANSWER_S = 4.0
"""Seconds more until the answer of a long poll has to begin."""

BODY_S = 60.0
"""Seconds more until an answer has to be here whole, over a slow wire."""

CONNECT_S = 4.0
"""Seconds a connection may take; longer where the round trip asks for it."""

PULSE_S = 5.0
PING_S = 20.0
"""Seconds between pings of a stream with a pulse, and of one without."""

REQUEST_S = 10.0
"""Seconds any other answer may take."""

ANSWER_BYTES_MAX = 512 * 1024
"""Longest answer or stream message; a relay sends at most 64 datagrams in one."""

_PORTS = {"http": 80, "https": 443}
"""Where a URL names none; a SOCKS proxy is at 1080."""

_CODES = {
    403: "bearer.relay_forbidden",
    413: "bearer.too_long",
    429: "bearer.relay_quota",
    507: "bearer.relay_full",
}

_SILENT = logging.getLogger("openline.bearers.mailbox.silent")
_SILENT.disabled = True


class Entry(NamedTuple):
    """One datagram as the relay keeps it."""

    id: int
    data: bytes


class Relay(NamedTuple):
    """Where the relay is, as configured."""

    url: str
    """http(s)://host[:port][/path]"""
    ca_file: Path | None = None
    """The only authority trusted for TLS; None for the system's."""
    proxy: str | None = None
    """An HTTP proxy to go through, http://host:port; the environment is not asked."""
    streams: bool = True
    """False: long polls only."""

    @property
    def secure(self) -> bool:
        """Whether TLS is used."""
        return self.url.startswith("https:")

    @property
    def first_hop(self) -> tuple[str, int]:
        """Host and port that we connect to: the proxy's, if there is one."""
        parts = urlsplit(self.proxy or self.url)
        return parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 1080)

    def check(self) -> None:
        """LocalError "bearer.relay_url" if the URL is not one."""
        try:
            parts = urlsplit(self.url)
            good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            good = False
        if not good or parts.query or parts.fragment or parts.username:
            raise LocalError("bearer.relay_url")

    def tls(self) -> ssl.SSLContext:
        """What TLS trusts; nobody, where none is used. LocalError if the CA file cannot be read."""
        if not self.secure:
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except OSError as error:
            raise LocalError("bearer.relay_ca_file", path=str(self.ca_file)) from error


class NotOpenError(Exception):
    """The relay does not have the mailbox (404)."""


class NoStreamError(Exception):
    """Something on the way does not let WebSockets through."""


class _Answer(NamedTuple):
    status: int
    refused_token: bool
    body: bytes


class _Connect(connect):
    """A WebSocket connection that follows no redirect: a relay does not say where we go."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Take a redirect for the failure it is here."""
        return exc


class Box:
    """One mailbox, to take from it or to deposit. Every method may raise BearerError."""

    def __init__(
        self,
        relay: Relay,
        tls: ssl.SSLContext,
        mailbox: Mailbox,
        *,
        take: bool,
        silent_s: float = REQUEST_S,
    ) -> None:
        take_hash = hashlib.sha256(mailbox.take).digest()
        deposit_hash = hashlib.sha256(mailbox.deposit).digest()
        name = hashlib.sha256(b"openline/1 mailbox" + take_hash + deposit_hash).hexdigest()
        self._relay = relay
        self._tls = tls
        self._path = f"{relay.url.rstrip('/')}/v1/mailbox/{name}"
        if take:
            self._headers = {
                "Openline-Take": mailbox.take.hex(),
                "Openline-Other": deposit_hash.hex(),
            }
        else:
            self._headers = {
                "Openline-Deposit": mailbox.deposit.hex(),
                "Openline-Other": take_hash.hex(),
            }
        self._options = options_of_silence(silent_s)
        self._connect_s = max(CONNECT_S, 2 * silent_s)
        self._client = httpx2.AsyncClient(
            headers={"Accept-Encoding": "identity", "User-Agent": "openline"},
            transport=httpx2.AsyncHTTPTransport(
                verify=tls,
                proxy=relay.proxy,
                trust_env=False,
                limits=httpx2.Limits(
                    max_connections=REQUESTS_MAX,
                    max_keepalive_connections=REQUESTS_MAX,
                    keepalive_expiry=30,
                ),
                socket_options=self._options,
            ),
            trust_env=False,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def open(self, admission: Admission) -> None:
        """See that the mailbox is open, with a token if it must be."""
        answer = await self._call("PUT")
        # Only a relay's own word says that a token is no good: a proxy's 403 must not cost one.
        while answer.refused_token:
            token = admission.token()
            answer = await self._call("PUT", headers={"Openline-Token": token.hex()})
            if answer.status == 201:
                admission.taken(token)
            elif answer.refused_token:
                admission.refused(token)
        if answer.status == 404:
            # No relay says this of what it is asked to open: another server, or another path.
            raise BearerError("bearer.relay_fault", retry=True, status=404)
        _need(answer.status, 200, 201)

    async def deposit(self, data: bytes) -> None:
        """Put one datagram in; on the relay's disk when this returns. NotOpenError."""
        _need((await self._call("POST", content=data)).status, 201)

    async def poll(self) -> list[Entry]:
        """What is there, waiting up to POLL_S for something. NotOpenError."""
        answer = await self._call("GET", suffix=f"?wait={POLL_S}", timeout_s=POLL_S + ANSWER_S)
        _need(answer.status, 200)
        return entries_of(answer.body)

    async def acknowledge(self, ids: Iterable[int]) -> None:
        """Let the relay delete these. NotOpenError."""
        answer = await self._call("POST", suffix="/ack", content=packed_ids(ids))
        _need(answer.status, 204)

    async def stream(self, *, pulse: bool = False) -> ClientConnection:
        """A stream of this mailbox. NotOpenError, NoStreamError."""
        try:
            stream = await _Connect(
                "ws" + self._path.removeprefix("http") + "/stream",
                additional_headers=self._headers,
                user_agent_header="openline",
                compression=None,
                proxy=self._relay.proxy,
                open_timeout=REQUEST_S,
                ping_interval=PULSE_S if pulse else PING_S,
                ping_timeout=PING_S,
                close_timeout=1,
                max_size=ANSWER_BYTES_MAX,
                max_queue=2,
                logger=_SILENT,
                ssl=self._tls if self._relay.secure else None,
            )
        except InvalidStatus as refusal:
            status = refusal.response.status_code
            if status in {404, 403, 429, 500, 503, 507}:
                _need(status)
            raise NoStreamError() from None
        except InvalidHandshake:
            raise NoStreamError() from None
        except (OSError, EOFError) as failure:
            raise _unreachable(failure) from None
        connection = stream.transport.get_extra_info("socket")
        try:
            for option in self._options:
                connection.setsockopt(*option)
        except OSError:
            # It was closed as soon as it was there.
            stream.transport.abort()
            raise NoStreamError() from None
        return stream

    async def _call(
        self,
        method: str,
        *,
        suffix: str = "",
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
        timeout_s: float = REQUEST_S,
    ) -> _Answer:
        """One request. A connection the relay had just closed is replaced once."""
        timeout = httpx2.Timeout(timeout_s, connect=min(self._connect_s, timeout_s))
        for attempt in (1, 2):
            try:
                async with (
                    asyncio.timeout(timeout_s + BODY_S),
                    self._client.stream(
                        method,
                        self._path + suffix,
                        content=content,
                        headers=self._headers | (headers or {}),
                        timeout=timeout,
                    ) as answer,
                ):
                    refused_token = answer.headers.get("openline-code") == "relay.token"
                    return _Answer(answer.status_code, refused_token, await _bounded(answer))
            except (httpx2.ReadError, httpx2.WriteError, httpx2.RemoteProtocolError) as failure:
                if attempt == 2 or swallowed(failure):
                    raise _unreachable(failure) from None
            except (httpx2.HTTPError, TimeoutError) as failure:
                raise _unreachable(failure) from None
        raise BearerError("bearer.unreachable", retry=True)


async def _bounded(answer: httpx2.Response) -> bytes:
    body = bytearray()
    async for chunk in answer.aiter_raw():
        body += chunk
        if len(body) > ANSWER_BYTES_MAX:
            raise BearerError("bearer.relay_fault", retry=True)
    return bytes(body)


def _need(status: int, *good: int) -> None:
    if status in good:
        return
    if status == 404:
        raise NotOpenError()
    raise BearerError(_CODES.get(status, "bearer.relay_fault"), retry=True, status=status)


def entries_of(body: bytes) -> list[Entry]:
    """The entries of an answer or a stream message. BearerError if it is not that."""
    entries: list[Entry] = []
    at = 0
    while at < len(body):
        if at + 10 > len(body):
            raise BearerError("bearer.relay_fault", retry=True)
        entry_id, length = struct.unpack_from(">QH", body, at)
        at += 10 + length
        if not 0 < length <= DATAGRAM_BYTES_MAX or at > len(body):
            raise BearerError("bearer.relay_fault", retry=True)
        entries.append(Entry(entry_id, body[at - length : at]))
    return entries


def packed_ids(ids: Iterable[int]) -> bytes:
    """An acknowledgement: ids u64."""
    return b"".join(struct.pack(">Q", entry_id) for entry_id in ids)


def _unreachable(failure: BaseException) -> BearerError:
    """The failure without its text, which may name hosts; told apart are a certificate and an
    address without TLS, which need a person, and a wire that swallows.
    """
    if swallowed(failure):
        return BearerError("bearer.stalled", retry=True)
    cause: BaseException | None = failure
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return BearerError("bearer.tls", retry=True)
        # A connection cut while TLS begins says nothing of who answers there.
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError):
            return BearerError("bearer.no_tls", retry=True)
        cause = cause.__cause__ or cause.__context__
    return BearerError("bearer.unreachable", retry=True)
