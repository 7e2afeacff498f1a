"""The desk as a process: its listener, its end, and nothing else.

Theory of operation: the pages are served over one socket until SIGTERM or SIGINT; open event
streams are ended first, or they would hold the end up. The log holds no address and no page.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..errors import LocalError
from ..serving import Server, configured, listener, url
from .app import Desk

KEEP_ALIVE_S = 60
STOP_S = 3
CONNECTIONS_MAX = 512


async def serve(
    directory: Path, host: str, port: int, origin: str | None, ready: Callable[[str], None]
) -> None:
    """Serve the desk of the post in `directory` until told to stop; `ready` is called with its
    origin. Port 0 takes a free one. Raises LocalError("desk.listen")."""
    # Such a name is this machine, whether or not its resolver knows it (RFC 6761).
    bound = "127.0.0.1" if host.endswith(".localhost") else host
    try:
        listening = listener(bound, port)
    except OSError as error:
        address = f"{host}:{port}"
        raise LocalError("desk.listen", address=address, reason=error.strerror or "") from None
    here = origin or url("http", host, listening)
    desk = Desk(directory, here)
    config = configured(
        desk.app,
        http="h11",
        ws="none",
        limit_concurrency=CONNECTIONS_MAX,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=STOP_S,
    )
    try:
        with listening:
            await Server(config, lambda: ready(here), lambda: None).serve(sockets=[listening])
    finally:
        await desk.asking.close()
