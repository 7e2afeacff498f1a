"""Serving pages or an interface over HTTP: what the desk and the relay set alike in uvicorn.

Theory of operation: the socket is opened by us, so that its address is known and a failure has a
name; the server says when it accepts; SIGTERM and SIGINT end it with exit status 0. A connection
that sends no whole request in time is dropped (`PromptProtocol`). uvicorn's own
loggers are kept at ERROR: at INFO they would write addresses and paths. What is served, and how
slow or numerous its callers may be, is said by whoever serves.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

# asyncio does not set TCP_NODELAY on what a socket made without a protocol number accepts; a page
# would then wait 40 ms for the browser to acknowledge its head.
_OPTIONS = (
    (socket.SOL_SOCKET, socket.SO_REUSEADDR, 1),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
)

_LOGGERS = ("uvicorn", "uvicorn.error", "uvicorn.access", "websockets")


HEAD_S = 10.0
"""Seconds a new connection may take to its first whole request head."""


class PromptProtocol(H11Protocol):
    """uvicorn's HTTP protocol that drops a connection without a whole request for too long."""

    _last_seen: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to watch."""
        # What asyncio gives whoever reads and writes a stream.
        super().connection_made(cast(asyncio.Transport, transport))
        self.loop.call_later(HEAD_S, self._watch)

    def _watch(self) -> None:
        # Closed and upgraded connections have left `connections`; a busy one's cycle is unfinished.
        if self not in self.connections:
            return
        # None until the first request, whatever uvicorn's annotation says.
        cycle: RequestResponseCycle | None = self.cycle
        if (cycle is None or cycle.response_complete) and cycle is self._last_seen:
            self.transport.abort()
            return
        self._last_seen = cycle
        self.loop.call_later(self.timeout_keep_alive, self._watch)


class Server(uvicorn.Server):
    """uvicorn's server with our own signals. `ready` is called when it accepts connections,
    `ending` when it is told to stop, before requests under way are waited for.
    """

    def __init__(
        self, config: uvicorn.Config, ready: Callable[[], None], ending: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._ready = ready
        self._ending = ending

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections, then say so."""
        await super().startup(sockets)
        self._ready()

    def stop(self, number: int) -> None:
        """Take no more and finish, because of a signal; a second SIGINT does not wait."""
        self._ending()
        self.handle_exit(number, None)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at SIGTERM and SIGINT while the server runs."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop, number)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)


def configured(app: Any, **more: Any) -> uvicorn.Config:
    """uvicorn's configuration for an ASGI application; `more` are its own settings."""
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    return uvicorn.Config(
        app,
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        **more,
    )


def listener(host: str, port: int, options: Sequence[tuple[int, int, int]] = ()) -> socket.socket:
    """A bound socket, which every connection inherits `options` (level, name, value) from. Port 0
    takes a free one. OSError if the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        for option in (*_OPTIONS, *options):
            made.setsockopt(*option)
        made.bind((host, port))
    except OSError:
        made.close()
        raise
    return made


def url(scheme: str, host: str, listening: socket.socket) -> str:
    """Where a bound socket is found, as a URL without a path."""
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}:{listening.getsockname()[1]}"
