"""The post itself: `init`, `serve`, `zeroise`.

Theory of operation: `init` makes the directory, the encrypted record and the identity in one go;
`serve` hands over to the runner and returns when it stops; `zeroise` stops a running post, then
erases the key before all else. What erasing cannot reach is said before anybody is asked to
confirm.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .. import clock
from ..errors import LocalError, StoreError
from .shell import Shell, pass_shell
from .wording import command

if TYPE_CHECKING:
    from ..store.keys import Secret

STOP_POLLS = 100
STOP_POLL_S = 0.1
"""How long a running post is given to let its record go: 10 s."""

PASSPHRASE_CHARACTERS_MIN = 12
"""Shortest passphrase taken for a new post."""


@command("init")
@click.option("--dir", "directory", type=click.Path(path_type=Path))
@click.option("--passphrase-prompt", is_flag=True)
@click.option("--key-file", type=click.Path(path_type=Path))
@click.option("--generate", is_flag=True)
@pass_shell
def init(
    shell: Shell,
    directory: Path | None,
    passphrase_prompt: bool,
    key_file: Path | None,
    generate: bool,
) -> None:
    """Make a new post."""
    from .opened import make

    directory = directory or shell.directory
    refuse_unless_empty(directory)
    secret = new_secret(shell, key_file, passphrase_prompt=passphrase_prompt, generate=generate)
    make(directory, secret)
    shell.say("init.done", directory=str(directory))
    if generate:
        shell.say("init.key_file", path=str(key_file or shell.key_file))
    shell.say("init.next")


def refuse_unless_empty(directory: Path) -> None:
    """Raise StoreError("store.exists") unless a new post can be made in this place."""
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise StoreError("store.exists", directory=str(directory))


def new_secret(
    shell: Shell, key_file: Path | None, *, passphrase_prompt: bool, generate: bool
) -> Secret:
    """What is to open a new post: a key file, made if wished, or a passphrase, asked for."""
    from ..store import keys, opening

    key_file = key_file or shell.key_file
    if passphrase_prompt and key_file is not None:
        raise LocalError("usage.passphrase_or_key_file")
    if generate and key_file is None:
        raise LocalError("usage.generate")
    if key_file is None:
        return keys.Passphrase(new_passphrase(shell, "ask.new_passphrase"))
    if generate:
        opening.make_key_file(key_file, clock.entropy)
    return keys.KeyFile(key_file)


def new_passphrase(shell: Shell, key: str) -> str:
    """Ask twice for a new passphrase, the first time in the words of `key`. Raises LocalError."""
    said = shell.ask(key, hidden=True, characters=PASSPHRASE_CHARACTERS_MIN)
    if len(said) < PASSPHRASE_CHARACTERS_MIN:
        raise LocalError("init.short_passphrase", characters_min=PASSPHRASE_CHARACTERS_MIN)
    if shell.ask("ask.passphrase_again", hidden=True) != said:
        raise LocalError("init.passphrases_differ")
    return said


@command("serve")
@pass_shell
def serve(shell: Shell) -> None:
    """Run the post until it is stopped."""
    from ..serve import main_serve

    main_serve(shell.directory, shell.secret())


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
    _stop(shell)
    opening.zeroise(shell.directory, key_file=shell.key_file)
    shell.say("zeroise.done")
    if shell.directory.exists():
        for path in sorted(shell.directory.iterdir()):
            shell.say("zeroise.left", path=str(path))


def _stop(shell: Shell) -> None:
    """Stop a running post and wait until it has let go."""
    pause = threading.Event()
    try:
        shell.call("stop")
        for _ in range(STOP_POLLS):
            pause.wait(STOP_POLL_S)
            shell.call("ping")
    except LocalError as error:
        if error.code not in ("post.not_running", "post.went_away"):
            raise
