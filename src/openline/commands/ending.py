"""How a post ends: `stop` for now, `zeroise` for ever.

Theory of operation: `stop` asks the running post, which asks for the right. `zeroise` asks nobody:
whoever may remove the files may end the process that has them open, so the kernel decides, by
signal, and no role can stand in the way of an emergency. The process is told to end, then made to,
and the files are erased whether it did or not. What erasing cannot reach is said before anybody is
asked to confirm.
"""

from __future__ import annotations

import os
import signal
import threading
import tomllib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import click

from .. import client, config, files
from ..errors import LocalError
from .shell import Shell, pass_shell
from .wording import command

STOP_POLLS = 100
STOP_POLL_S = 0.1
"""How long a running post is given to let its record go: 10 s."""

_NAMED = ("tokens", "password_file", "ca_file")
"""What a bearer's entry in post.toml may name that lies in the post's directory."""


@command("stop")
@pass_shell
def stop(shell: Shell) -> None:
    """End the running post."""
    from ..store import opening

    shell.call("stop")
    if not _until(lambda: not opening.in_use(shell.directory)):
        raise LocalError("post.slow", seconds=int(STOP_POLLS * STOP_POLL_S))
    shell.say("stop.done")


@command("zeroise")
@click.option("--yes", is_flag=True)
@pass_shell
def zeroise(shell: Shell, yes: bool) -> None:
    """Erase the keys and the record of this post."""
    from ..store import opening

    if not (shell.directory / opening.KEY_DOCUMENT).exists():
        raise LocalError("post.absent", directory=str(shell.directory))
    shell.note("zeroise.warning", directory=str(shell.directory))
    word = shell.text("zeroise.word")
    if not yes and shell.ask("zeroise.ask", word=word).strip() != word:
        raise LocalError("zeroise.not_confirmed")
    ended = _ended(shell.directory)
    named = _named(shell.directory)
    place = shell.directory.resolve()
    ours = [each for each in named if (each.parent.resolve() / each.name).is_relative_to(place)]
    opening.zeroise(shell.directory, key_file=shell.key_file, also=ours, force=True)
    shell.say("zeroise.done")
    if not ended:
        shell.note("zeroise.in_use")
    left = {each for each in named if each.exists()}
    left.update(shell.directory.iterdir() if shell.directory.exists() else ())
    for path in sorted(left):
        shell.say("zeroise.left", path=str(path))


def _ended(directory: Path) -> bool:
    """Whether no process has the post open any more; one that serves it is told to end, then made
    to.
    """
    from ..store import opening

    process = client.serving(directory)
    for sign in (signal.SIGTERM, signal.SIGKILL):
        if process is not None:
            # Gone already, or not ours to end: erasing goes on either way.
            with suppress(ProcessLookupError, PermissionError):
                os.kill(process, sign)
        if _until(lambda: not opening.in_use(directory)):
            return True
        if process is None:
            break
    return False


def _until(true: Callable[[], bool]) -> bool:
    """Whether something became true within the time that a post is given."""
    pause = threading.Event()
    for _ in range(STOP_POLLS):
        if true():
            return True
        pause.wait(STOP_POLL_S)
    return true()


def _named(directory: Path) -> list[Path]:
    """post.toml, the files it names, and the control socket: where they are, and links to them."""
    path = directory / config.CONFIG_FILE
    found = [path, client.socket_of(directory), directory / client.SOCKET]
    # A file that cannot be read names nothing, and hinders nothing.
    with suppress(OSError, ValueError, AttributeError, TypeError):
        bearers = tomllib.loads(path.read_text(encoding="utf-8")).get("bearer", [])
        found += [
            directory / str(each[name]) for each in bearers for name in _NAMED if name in each
        ]
    found += [each.with_name(each.name + files.NEW) for each in found]
    return [*dict.fromkeys([*(each.resolve() for each in found), *found])]
