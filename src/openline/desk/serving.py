"""The desk as a process: its listener, its end, and nothing else.

Theory of operation: uvicorn serves the pages over one socket until SIGTERM or SIGINT; open event
streams are ended first, or they would hold the end up. The log holds no address and no page.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from ..errors import LocalError
from .app import Desk

KEEP_ALIVE_S = 60
STOP_S = 3
CONNECTIONS_MAX = 512


async def serve(
    directory: Path, host: str, port: int, origin: str | None, ready: Callable[[str], None]
) -> None:
    """Serve the desk of the post in `directory` until told to stop; `ready` is called with its
    origin. Port 0 takes a free one. Raises LocalError("desk.listen")."""
    listening = _listening(host, port)
    shown = f"[{host}]" if ":" in host else host
    origin = origin or f"http://{shown}:{listening.getsockname()[1]}"
    desk = Desk(directory, origin)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).setLevel(logging.ERROR)
    config = uvicorn.Config(
        desk.app,
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS_MAX,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=STOP_S,
    )
    try:
        await _Server(config, lambda: ready(origin)).serve(sockets=[listening])
    finally:
        await desk.asking.close()
        listening.close()


class _Server(uvicorn.Server):
    """uvicorn's server with our own signals: a stop that was asked for ends with exit status 0."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections, then say so."""
        await super().startup(sockets)
        self._ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop at SIGTERM and SIGINT while the server runs."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen()
    except OSError as error:
        listening.close()
        address = f"{host}:{port}"
        raise LocalError("desk.listen", address=address, reason=error.strerror or "") from None
    return listening
