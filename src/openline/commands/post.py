"""The post itself: `init` and `serve`.

Theory of operation: `init` makes the directory, the encrypted record and the identity in one go;
`serve` hands over to the runner and returns when it stops. How a post ends is in ending.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .. import clock
from ..errors import LocalError, StoreError
from .shell import Shell, pass_shell
from .wording import command

if TYPE_CHECKING:
    from ..store.keys import Secret

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

    shell.directory = directory or shell.directory
    refuse_unless_empty(shell.directory)
    secret = new_secret(shell, key_file, passphrase_prompt=passphrase_prompt, generate=generate)
    shell.key_file = key_file or shell.key_file
    make(shell.directory, secret)
    shell.say("init.done", directory=str(shell.directory))
    if generate:
        shell.say("init.key_file", path=str(shell.key_file))
    shell.say("init.next", program=shell.program())


def refuse_unless_empty(directory: Path) -> None:
    """Raise StoreError("store.exists") unless a new post can be made in this place."""
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise StoreError("store.exists", directory=str(directory))


def checked_key_file(
    shell: Shell, key_file: Path | None, *, passphrase_prompt: bool, generate: bool
) -> Path | None:
    """The key file that is to open a new post, None for a passphrase. Raises LocalError for options
    that exclude one another.
    """
    key_file = key_file or shell.key_file
    if passphrase_prompt and key_file is not None:
        raise LocalError("usage.passphrase_or_key_file")
    if generate and key_file is None:
        raise LocalError("usage.generate")
    return key_file


def new_secret(
    shell: Shell, key_file: Path | None, *, passphrase_prompt: bool, generate: bool
) -> Secret:
    """What is to open a new post: a key file, made if wished, or a passphrase, asked for."""
    from ..store import keys, opening

    key_file = checked_key_file(
        shell, key_file, passphrase_prompt=passphrase_prompt, generate=generate
    )
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
