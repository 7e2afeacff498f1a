"""`openline serve`: one post as a process, from its directory to its end.

Theory of operation: configuration, store, post, runner, bearers, control socket, each torn down in
the opposite order. When all stand, one JSON line on standard output says so, and systemd is told if
it asked. SIGTERM and SIGINT end the bearers, take the last step and close the store; SIGKILL loses
nothing that was acknowledged, which is the store's promise. Nothing decides here.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from . import clock
from .config import load
from .control import ControlSocket, Running
from .errors import OpenlineError
from .logs import configure, log
from .post import Post
from .runner import Runner
from .store.keys import Secret
from .store.opening import open_store
from .switchboard import Switchboard


async def serve(
    directory: Path, secret: Secret, ready: Callable[[dict[str, object]], None]
) -> None:
    """Run the post in `directory` until SIGTERM, SIGINT or the verb `stop`.

    `ready` is called once with {"ready": True, "control": path, "listen": "host:port" or None}.
    Raises LocalError, StoreError and BearerError for what prevents a start, InvariantError (in an
    exception group) for a mistake inside the post.
    """
    config = load(directory)
    began_s = clock.precise_s()
    store = open_store(directory, secret)
    try:
        post = Post(store, clock.entropy, clock.now(), config.rules)
        post.people.prepare()
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for sign in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(sign, stopping.set)
        async with Runner(post, clock.now) as runner:
            board = Switchboard(directory, post, runner, clock.entropy)
            listen = board.listen(config)
            await board.apply(config)
            running = Running(store, post, runner, board, clock.now, stopping.set)
            async with ControlSocket(running) as control, asyncio.TaskGroup() as group:
                listening = group.create_task(board.run_listener())
                following = group.create_task(board.follow())
                took_ms = int((clock.precise_s() - began_s) * 1000)
                log().info("serving", lines=len(post.open_lines()), took_ms=took_ms)
                ready({"ready": True, "control": str(control.path), "listen": listen})
                await stopping.wait()
                _tell_systemd("STOPPING=1")
                listening.cancel()
                following.cancel()
    finally:
        store.close()
        log().info("stopped")


def main_serve(directory: Path, secret: Secret) -> None:
    """Serve until told to stop; readiness on standard output, logs on standard error. Raises
    OpenlineError.
    """
    configure()
    try:
        asyncio.run(serve(directory.absolute(), secret, _announce))
    except BaseExceptionGroup as group:
        raise _first(group) from group


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error of ours that ended the post, or whatever else did."""
    ours, others = group.split(OpenlineError)
    found = ours or others or group
    error: BaseException = found
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    code = error.code if isinstance(error, OpenlineError) else "internal.fault"
    log().critical("post.ended", code=code, kind=type(error).__name__)
    return error


def _announce(what: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()
    _tell_systemd("READY=1")


def _tell_systemd(state: str) -> None:
    """One datagram to the service manager, if there is one that listens (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as telling:
        try:
            telling.sendto(state.encode(), address.replace("@", "\0", 1))
        except OSError as error:
            log().warning("systemd.unheard", errno=error.errno)
