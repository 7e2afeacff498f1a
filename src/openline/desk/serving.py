"""The desk as a process: its listener, its end, and nothing else.

Theory of operation: the pages are served over one socket until SIGTERM or SIGINT; open event
streams are ended first, or they would hold the end up. There is room for so many connections. When
it is full, a new one takes the place of the oldest that never carried anything of somebody who is
signed in: so strangers crowd out one another, whatever they send or leave unsent. The log holds no
address and no page.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

from ..errors import LocalError, reason
from ..serving import PromptProtocol, Server, configured, listener, url
from .app import KNOWN, Desk

KEEP_ALIVE_S = 60
STOP_S = 3
CONNECTIONS_MAX = 512


class CrowdedProtocol(PromptProtocol):
    """Makes room for itself when all places are taken."""

    _since_s = 0.0
    _known = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a place, that of a stranger if there is no other."""
        super().connection_made(transport)
        self._since_s = self.loop.time()
        if len(self.connections) >= CONNECTIONS_MAX:
            others = [each for each in self.connections if isinstance(each, CrowdedProtocol)]
            strangers = [each for each in others if each is not self and each.gives_way]
            if strangers:
                min(strangers, key=lambda each: each._since_s).transport.abort()

    def data_received(self, data: bytes) -> None:
        """Perhaps a new request; what is known from the one before is kept."""
        self._known = self.known
        super().data_received(data)

    @property
    def known(self) -> bool:
        """Whether somebody who is signed in has asked something over this connection."""
        # None until the first request, whatever uvicorn's annotation says.
        scope: Mapping[str, object] | None = self.scope
        return self._known or (scope is not None and KNOWN in scope)

    @property
    def gives_way(self) -> bool:
        """Whether this is a stranger's, and not on its way out already."""
        return not self.known and not self.transport.is_closing()


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
        raise LocalError("desk.listen", address=address, reason=reason(error)) from None
    here = origin or url("http", host, listening)
    desk = Desk(directory, here)
    config = configured(
        desk.app,
        http=CrowdedProtocol,
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
