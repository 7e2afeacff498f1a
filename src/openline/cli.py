"""The command `openline`: finds the interface language, hands over to a command, words what went
wrong.

Theory of operation: the language must be known before click formats anything, so it is read out of
the arguments first. Every error that leaves a command is shown as one line of what happened and one
of what to do next, never as a traceback; the exit code says whose turn it is: 1 something here, 2
the way it was asked, 3 the records differ, 4 the post is not running.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from . import display, i18n
from .commands.shell import Shell
from .commands.wording import OnDemand, Root, metavar
from .errors import InvariantError, LocalError, OpenlineError

EXIT_LOCAL = 1
EXIT_USAGE = 2
EXIT_DIFFERS = 3
EXIT_NO_POST = 4
EXIT_INTERRUPTED = 130


def language_asked(arguments: Sequence[str]) -> str | None:
    """The language named by --lang, before anything is parsed; None if there is none."""
    for at, argument in enumerate(arguments):
        if argument == "--lang":
            return arguments[at + 1] if at + 1 < len(arguments) else None
        if argument.startswith("--lang="):
            return argument.removeprefix("--lang=")
    return None


@click.group("openline", cls=Root, commands=OnDemand(), no_args_is_help=True)
@click.option("--dir", "directory", envvar="OPENLINE_DIR", type=click.Path(path_type=Path))
@click.option("--key-file", envvar="OPENLINE_KEY_FILE", type=click.Path(path_type=Path))
@click.option("--lang", envvar="OPENLINE_LANG")
@click.version_option(None, "--version", package_name="openline", message="%(prog)s %(version)s")
@click.pass_obj
def openline(shell: Shell, directory: Path | None, key_file: Path | None, lang: str | None) -> None:
    """Set where the post lives; the language was read before."""
    if lang is not None and lang not in i18n.LANGUAGES:
        raise LocalError("usage.language", said=lang, known=" ".join(i18n.LANGUAGES))
    if directory is not None:
        shell.directory = directory
    shell.key_file = key_file


def _usage(words: i18n.Catalogue, error: click.UsageError) -> str:
    """What was wrong with the way it was asked, in the interface language."""
    param = getattr(error, "param", None)
    name = "" if param is None else metavar(words, param)
    if isinstance(param, click.Option):
        name = param.opts[0]
    said: dict[type[click.UsageError], tuple[str, object]] = {
        click.NoSuchOption: ("usage.no_such_option", getattr(error, "option_name", "")),
        click.exceptions.NoSuchCommand: (
            "usage.no_such_command",
            getattr(error, "command_name", ""),
        ),
        click.BadOptionUsage: ("usage.option_value", getattr(error, "option_name", "")),
        click.MissingParameter: ("usage.missing", name),
        click.BadParameter: ("usage.value", name),
    }
    key, value = said.get(type(error), ("usage.other", error.format_message()))
    return words.text(key, name=display.safe(str(value)))


def complain(words: i18n.Catalogue, error: OpenlineError) -> int:
    """Say what happened and what to do next on standard error; the exit code."""
    details = {
        name: display.safe(str(value)) if not isinstance(value, int) else value
        for name, value in error.details.items()
    }
    key = error.code if words.has(error.code) else "error.unknown"
    click.echo(words.text(key, **{**details, "code": display.safe(error.code)}), err=True)
    if words.has(f"{key}.next"):
        click.echo(words.text(f"{key}.next", **details), err=True)
    if error.code == "post.not_running":
        return EXIT_NO_POST
    if error.code == "record.differs":
        return EXIT_DIFFERS
    return EXIT_USAGE if error.code.startswith("usage.") else EXIT_LOCAL


def run(arguments: Sequence[str]) -> int:
    """Run one command line (without the program's name); the exit code."""
    words = i18n.catalogue(i18n.choose(language_asked(arguments), os.environ))
    shell = Shell(words, Path.home() / ".openline")
    try:
        with openline.make_context("openline", list(arguments), obj=shell) as context:
            openline.invoke(context)
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo(words.text("cli.interrupted"), err=True)
        return EXIT_INTERRUPTED
    except Exception as error:  # the edge of the process: no traceback reaches a duty officer
        if os.environ.get("OPENLINE_TRACEBACK"):
            raise
        return failed(words, error)
    finally:
        shell.close()
    return 0


def failed(words: i18n.Catalogue, error: Exception) -> int:
    """Word whatever ended a command; the exit code."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message())
        return EXIT_USAGE
    if isinstance(error, click.UsageError):
        click.echo(_usage(words, error), err=True)
        path = error.ctx.command_path if error.ctx else "openline"
        click.echo(words.text("usage.next", command=path), err=True)
        return EXIT_USAGE
    if isinstance(error, BrokenPipeError):
        # Who read our output has gone; keep Python from complaining about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_LOCAL
    if isinstance(error, OSError):
        reason = error.strerror or type(error).__name__
        error = LocalError("local.io", path=str(error.filename or ""), reason=reason)
    if not isinstance(error, OpenlineError):
        error = InvariantError("internal.fault", kind=type(error).__name__)
    return complain(words, error)


def main() -> None:
    """The entry point of the `openline` command."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
