"""The command `openline`: finds the interface language, hands over to a command, words what went
wrong.

Theory of operation: one `Shell` carries the words and the place of the post to every command, and
is closed whatever happens. Help, errors and exit codes are usage.py's.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from .commands.shell import Shell
from .commands.wording import OnDemand, Root
from .usage import (
    EXIT_DIFFERS,
    EXIT_INTERRUPTED,
    EXIT_LOCAL,
    EXIT_NO_POST,
    EXIT_USAGE,
    check_language,
    perform,
    words_for,
)

__all__ = [
    "EXIT_DIFFERS",
    "EXIT_INTERRUPTED",
    "EXIT_LOCAL",
    "EXIT_NO_POST",
    "EXIT_USAGE",
    "main",
    "openline",
    "run",
]


@click.group("openline", cls=Root, commands=OnDemand(), no_args_is_help=True)
@click.option("--dir", "directory", envvar="OPENLINE_DIR", type=click.Path(path_type=Path))
@click.option("--key-file", envvar="OPENLINE_KEY_FILE", type=click.Path(path_type=Path))
@click.option("--lang", envvar="OPENLINE_LANG")
@click.version_option(None, "--version", package_name="openline", message="%(prog)s %(version)s")
@click.pass_obj
def openline(shell: Shell, directory: Path | None, key_file: Path | None, lang: str | None) -> None:
    """Set where the post lives; the language was read before."""
    check_language(lang)
    if directory is not None:
        shell.directory = directory
    shell.key_file = key_file


def run(arguments: Sequence[str]) -> int:
    """Run one command line (without the program's name); the exit code."""
    shell = Shell(words_for(arguments), Path.home() / ".openline")
    try:
        return perform(openline, "openline", arguments, shell)
    finally:
        shell.close()


def main() -> None:
    """The entry point of the `openline` command."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
