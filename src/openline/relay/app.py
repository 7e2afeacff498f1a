"""The relay as a process: the command `openline-relay`, its listener, its signals and its log.

Theory of operation: one event loop serves the interface over a socket opened here, with uvicorn;
one thread owns the store. A line of JSON on stdout says that it listens; the log on stderr is JSON
lines of counts, where libraries' complaints stand by their kind. SIGTERM and SIGINT send waiting
takers away, let requests under way finish, and close the store; SIGKILL loses nothing that was
answered with 201.

A connection that sends no whole request in time is dropped (`PromptProtocol`), and one whose peer
stops reading is ended by the kernel (TCP_USER_TIMEOUT).

Help and complaints are in the language of the operator, by the same catalogues as the post's.

What must not live here: what a request means (interface.py), what is kept (mailbox.py).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import resource
import socket
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import click
import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from openline import clock
from openline.errors import LocalError, OpenlineError, reason, unforeseen
from openline.i18n import Catalogue
from openline.serving import PromptProtocol, Server, configured, listener, url
from openline.usage import Group, check_language, perform, words_for

from .interface import ACK_BYTES_MAX, WAITERS_MAX, Interface
from .mailbox import Bounds, MailboxStore, Quota, add_tokens

CONNECTIONS_MAX = 4096
"""Most connections at a time, streams apart; more are answered 503."""

KEEP_ALIVE_S = 75
"""Seconds a connection may stay without a new request."""

SEND_BUFFER_BYTES = 128 * 1024
"""Kernel memory for bytes a peer has not taken yet."""

USER_TIMEOUT_MS = 60_000
"""Milliseconds after which the kernel ends a connection whose peer takes no bytes."""

EXPIRE_S = 60.0
"""Seconds between looks for what has expired."""

REPORT_S = 600.0
"""Seconds between counts in the log."""

STOP_S = 5
"""Seconds requests under way have to finish when the relay is stopped."""

QUIET_S, QUIET_REPEAT_S = 60, 20
"""Seconds after which the kernel asks a quiet peer whether it is there, and until it gives it up.
Takers ping their streams more often; pings of ours would be repeated into every wire that died."""

SOCKET_OPTIONS = [
    (socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
]
if hasattr(socket, "TCP_USER_TIMEOUT"):
    SOCKET_OPTIONS.append((socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS))
if hasattr(socket, "TCP_KEEPIDLE"):
    SOCKET_OPTIONS.append((socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, QUIET_S))
    SOCKET_OPTIONS.append((socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, QUIET_REPEAT_S))


class DenyingProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol that knows a refused stream for one that was answered."""

    async def send(self, message: Any) -> None:
        """Send, and remember the refusal: uvicorn forgets it, and would log each as a fault."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body":
            self.handshake_complete = True


class Listen(NamedTuple):
    """Where and how to listen. `connections_max` bounds all connections but streams, which have
    their own bound.
    """

    host: str
    port: int
    tls_cert: Path | None = None
    tls_key: Path | None = None


async def serve(store: MailboxStore, listen: Listen) -> None:
    """Serve `store` until stopped by a signal, then close it. OSError if the address cannot be
    had.
    """
    interface = Interface(store)
    asyncio.get_running_loop().set_exception_handler(_log_fault)
    keeping = asyncio.create_task(_keep_house(store, interface))
    try:
        with (
            _complaints_logged(),
            listener(listen.host, listen.port, SOCKET_OPTIONS) as listening,
        ):
            scheme = "https" if listen.tls_cert else "http"
            ready = json.dumps({"listening": url(scheme, listen.host, listening)})
            config = _config(interface, listen)
            server = Server(config, lambda: _say(ready), interface.waiting.close)
            await server.serve(sockets=[listening])
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping
        await asyncio.to_thread(store.close)
        _log("relay.stopped", done=interface.tally)


async def _keep_house(store: MailboxStore, interface: Interface) -> None:
    """Let things expire and report counts, until cancelled."""
    reported_ms = clock.now().mono_ms
    while True:
        try:
            expired = await store.expire()
            interface.tally["expired"] += expired
            if clock.now().mono_ms - reported_ms >= REPORT_S * 1000:
                reported_ms = clock.now().mono_ms
                held = (await store.counts())._asdict()
                _log("relay.counts", held=held, done=interface.tally)
        except OpenlineError as error:
            # A full or failing disk: deposits are refused, and the next look may find it mended.
            _log("relay.housekeeping", code=error.code)
        await asyncio.sleep(EXPIRE_S)


def _log_fault(_: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """What the event loop met, by its kind alone: its own words may hold addresses."""
    _log("relay.fault", kind=type(context.get("exception")).__name__)


class _Complaints(logging.Handler):
    """What libraries complain of, without their words, which may hold addresses."""

    def emit(self, record: logging.LogRecord) -> None:
        """As a fault: where it was raised, or who complains."""
        error = record.exc_info[1] if record.exc_info else None
        if error is None:
            _log("relay.fault", kind=record.name)
        else:
            _log("relay.fault", **unforeseen(error).details)


@contextmanager
def _complaints_logged() -> Iterator[None]:
    """Have what libraries log come as JSON too; without a handler Python prints it as it is."""
    handler = _Complaints(logging.WARNING)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)


def _log(event: str, **values: object) -> None:
    """One JSON line on stderr; counts and codes only. Where nobody takes it, it is lost."""
    with suppress(OSError, ValueError):
        click.echo(json.dumps({"event": event, "wall_s": clock.now().wall_s, **values}), err=True)


def _say(line: str) -> None:
    """One line on stdout, at once."""
    click.echo(line)
    sys.stdout.flush()


def _config(interface: Interface, listen: Listen) -> uvicorn.Config:
    return configured(
        interface.app,
        http=PromptProtocol,
        ws=DenyingProtocol,
        date_header=False,
        limit_concurrency=CONNECTIONS_MAX,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=STOP_S,
        ws_max_size=ACK_BYTES_MAX,
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        ssl_certfile=listen.tls_cert,
        ssl_keyfile=listen.tls_key,
    )


class Carried(NamedTuple):
    """What the root context carries."""

    words: Catalogue


class Root(Group):
    """`openline-relay`: its wordings begin with a key of their own."""

    key = "relay.help"


@click.group("openline-relay", cls=Root)
@click.option("--lang", envvar="OPENLINE_LANG")
def relay(lang: str | None) -> None:
    """Run an Openline relay; the language was read before."""
    check_language(lang)


_FILE = click.Path(dir_okay=False, path_type=Path)
_COUNT = click.IntRange(1)


@relay.command("serve")
@click.option("--data", "directory", required=True, type=click.Path(path_type=Path))
@click.option("--listen", "address", default="127.0.0.1:8440")
@click.option("--tls-cert", type=_FILE)
@click.option("--tls-key", type=_FILE)
@click.option("--keep-days", "keep_days", default=30, type=_COUNT)
@click.option("--idle-days", "idle_days", default=90, type=_COUNT)
@click.option("--reserve-mib", "reserve_mib", default=64, type=click.IntRange(0))
@click.option("--disk-mib-max", "disk_mib_max", type=_COUNT)
def serve_command(
    directory: Path,
    address: str,
    tls_cert: Path | None,
    tls_key: Path | None,
    keep_days: int,
    idle_days: int,
    reserve_mib: int,
    disk_mib_max: int | None,
) -> None:
    """Serve until SIGTERM. Prints one line of JSON when it listens."""
    if (tls_cert is None) != (tls_key is None):
        raise LocalError("usage.tls_pair")
    host, port = _host_port(address)
    for path in (tls_cert, tls_key):
        if path is not None:
            # A file that cannot be read is named here, not by the library that serves.
            path.open("rb").close()
    _raise_file_limit()
    bounds = Bounds(
        keep_days * 86_400,
        idle_days * 86_400,
        reserve_mib << 20,
        None if disk_mib_max is None else disk_mib_max << 20,
    )
    store = MailboxStore(directory, bounds)
    try:
        asyncio.run(serve(store, Listen(host, port, tls_cert, tls_key)))
    except ssl.SSLError as error:
        raise LocalError("relay.tls_files", cert=tls_cert, private=tls_key) from error
    except OSError as error:
        raise LocalError("relay.listen", address=address, reason=reason(error)) from error


@relay.command("token")
@click.option("--data", "directory", required=True, type=click.Path(path_type=Path))
@click.option("--count", default=1, type=click.IntRange(1, 100_000))
@click.option("--datagrams-max", "datagrams_max", default=4096, type=_COUNT)
@click.option("--mib-max", "mib_max", default=8, type=_COUNT)
@click.option("--out", type=_FILE)
def token_command(
    directory: Path, count: int, datagrams_max: int, mib_max: int, out: Path | None
) -> None:
    """Issue admission tokens, one per line. Each opens one mailbox, once; the relay keeps only
    their hashes.
    """
    if not directory.is_dir():
        raise LocalError("relay.absent", directory=str(directory))
    tokens = [clock.entropy(32) for _ in range(count)]
    text = "".join(token.hex() + "\n" for token in tokens)
    # The file first: tokens nobody holds would be admitted for ever.
    if out is not None:
        try:
            descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            raise LocalError("local.exists", path=str(out)) from None
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
    hashes = [hashlib.sha256(token).digest() for token in tokens]
    add_tokens(directory, hashes, Quota(datagrams_max, mib_max << 20))
    if out is None:
        click.echo(text, nl=False)


def _raise_file_limit() -> None:
    """Allow as many open files as connections and streams need, where the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS_MAX + WAITERS_MAX + 256
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def _host_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise LocalError("usage.listen")
    return host.strip("[]"), int(port)


def main() -> None:
    """The entry point of the `openline-relay` command."""
    arguments = sys.argv[1:]
    sys.exit(perform(relay, "openline-relay", arguments, Carried(words_for(arguments))))


if __name__ == "__main__":
    main()
