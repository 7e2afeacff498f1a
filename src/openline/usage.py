"""Command lines in the interface language: help, mistakes in asking, errors, exit codes.

Theory of operation: click formats help when asked, long after the decorators ran; these classes ask
the catalogue then, which the object of the root context carries as `words`. The wording of a
command `bearer add` is "help.bearer.add" (its first line is the short help), of its parameter
`line` "help.bearer.add.line", or "help.any.line" where all commands mean the same; another program
than `openline` has another key than "help". The language must be known before click formats
anything, so it is read out of the arguments first. Every error that leaves a command is shown as
one line of what happened and one of what to do next, never as a traceback; the exit code says whose
turn it is: 1 something here, 2 the way it was asked, 3 the records differ, 4 the post is not
running. What commands there are does not live here.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Protocol

import click
from click.core import ParameterSource

from . import display
from .errors import LocalError, OpenlineError, reason, unforeseen
from .i18n import LANGUAGES, Catalogue, choose
from .i18n import catalogue as catalogue_of

EXIT_LOCAL = 1
EXIT_USAGE = 2
EXIT_DIFFERS = 3
EXIT_NO_POST = 4
EXIT_INTERRUPTED = 130


class Carrying(Protocol):
    """What the root context of a program carries."""

    @property
    def words(self) -> Catalogue:
        """In the interface language."""


def catalogue(ctx: click.Context) -> Catalogue:
    """The catalogue that the root context carries."""
    words: Catalogue = ctx.find_root().obj.words
    return words


def _path(ctx: click.Context) -> str:
    parts: list[str] = []
    while ctx.parent is not None:
        parts.append(ctx.info_name or "")
        ctx = ctx.parent
    root = ctx.command.key if isinstance(ctx.command, Command) else Command.key
    return ".".join([root, *reversed(parts)])


def metavar(words: Catalogue, param: click.Parameter) -> str:
    """What a parameter is called where its value stands: by its metavar, else by its name."""
    key = f"metavar.{param.metavar or param.name}"
    return words.text(key) if words.has(key) else (param.name or "").upper()


def _name(words: Catalogue, param: click.Parameter) -> str:
    """What a parameter is called in a complaint."""
    return param.opts[0] if isinstance(param, click.Option) else metavar(words, param)


def _title(words: Catalogue, key: str) -> str:
    """A heading as it stands before the colon that click puts there."""
    return words.text("click.title", title=words.text(key))


def _help(words: Catalogue, path: str, param: click.Parameter) -> str:
    if "--help" in param.opts:
        return words.text("help.any.help")
    own = f"{path}.{param.name}"
    return words.text(own if words.has(own) else f"help.any.{param.name}")


class Command(click.Command):
    """A command whose help is in the catalogue."""

    key = "help"
    """Of the root: where the wordings of its commands begin."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments; names of files may be any bytes, all else is text. Raises
        LocalError("usage.encoding")."""
        rest = super().parse_args(ctx, args)
        for param in self.get_params(ctx):
            value = ctx.params.get(param.name or "")
            for said in value if isinstance(value, tuple) else (value,):
                if isinstance(said, str):
                    check_text(_name(catalogue(ctx), param), said)
        return rest

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """[OPTIONS] and the arguments, brackets around what may be left out."""
        words = catalogue(ctx)
        pieces = [words.text("click.options_metavar")]
        for param in self.params:
            if isinstance(param, click.Argument):
                name = metavar(words, param)
                pieces.append(name if param.required else f"[{name}]")
        return pieces

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The usage line."""
        pieces = " ".join(self.collect_usage_pieces(ctx))
        prefix = catalogue(ctx).text("click.usage") + " "
        formatter.write_usage(ctx.command_path, pieces, prefix=prefix)

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """What the command does."""
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(catalogue(ctx).text(_path(ctx)))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Arguments, then options."""
        words, path = catalogue(ctx), _path(ctx)
        arguments, options = [], []
        for param in self.get_params(ctx):
            wording = _help(words, path, param)
            if isinstance(param, click.Argument):
                arguments.append((metavar(words, param), wording))
            elif isinstance(param, click.Option):
                names = ", ".join([*param.opts, *param.secondary_opts])
                takes = "" if param.is_flag else f" {metavar(words, param)}"
                options.append((names + takes, wording))
        for title, entries in (("click.arguments", arguments), ("click.options", options)):
            if entries:
                with formatter.section(_title(words, title)):
                    formatter.write_dl(entries)


class Group(Command, click.Group):
    """A group whose help is in the catalogue."""

    command_class = Command

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """[OPTIONS] COMMAND."""
        return [*super().collect_usage_pieces(ctx), catalogue(ctx).text("click.command_metavar")]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Options, then the commands."""
        super().format_options(ctx, formatter)
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands of this group with their short helps."""
        self.section("click.commands", self.list_commands(ctx), ctx, formatter)

    def section(
        self, title: str, names: Iterable[str], ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """Some commands under a title."""
        words, path = catalogue(ctx), _path(ctx)
        with formatter.section(_title(words, title)):
            formatter.write_dl(
                [(name, words.text(f"{path}.{name}").partition("\n")[0]) for name in names]
            )


def check_text(name: str, said: str) -> None:
    """Raise LocalError("usage.encoding") for an argument whose bytes are no text in UTF-8, which
    Python passes on as letters that can be written nowhere."""
    try:
        said.encode()
    except UnicodeEncodeError:
        raise LocalError("usage.encoding", name=name, said=said) from None


def language_asked(arguments: Sequence[str]) -> str | None:
    """The language named by --lang, before anything is parsed; None if there is none."""
    for at, argument in enumerate(arguments):
        if argument == "--lang":
            return arguments[at + 1] if at + 1 < len(arguments) else None
        if argument.startswith("--lang="):
            return argument.removeprefix("--lang=")
    return None


def words_for(arguments: Sequence[str]) -> Catalogue:
    """The catalogue in which a command line is answered, by --lang and the environment."""
    return catalogue_of(choose(language_asked(arguments), os.environ))


def check_language(lang: str | None) -> None:
    """Raise LocalError("usage.language") unless --lang, or the variable in its place, names a
    language of the interface.
    """
    if lang is not None and lang not in LANGUAGES:
        typed = click.get_current_context().get_parameter_source("lang")
        by = "OPENLINE_LANG" if typed is ParameterSource.ENVIRONMENT else "--lang"
        raise LocalError("usage.language", said=lang, known=" ".join(LANGUAGES), by=by)


def perform(root: click.Command, name: str, arguments: Sequence[str], carried: Carrying) -> int:
    """Run one command line (without the program's name) of a program; the exit code."""
    try:
        with root.make_context(name, list(arguments), obj=carried) as context:
            root.invoke(context)
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo(carried.words.text("cli.interrupted"), err=True)
        return EXIT_INTERRUPTED
    except Exception as error:  # the edge of the process: no traceback reaches a duty officer
        if os.environ.get("OPENLINE_TRACEBACK"):
            raise
        return failed(carried.words, error, name)
    return 0


def _usage(words: Catalogue, error: click.UsageError) -> str:
    """What was wrong with the way it was asked, in the interface language."""
    param = getattr(error, "param", None)
    name = "" if param is None else _name(words, param)
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


def complain(words: Catalogue, error: OpenlineError) -> int:
    """Say what happened and what to do next on standard error; the exit code."""
    details = {
        name: display.safe(str(value)) if not isinstance(value, int) else value
        for name, value in error.details.items()
    }
    key = error.code if words.has(error.code) else "error.unknown"
    click.echo(words.text(key, **{**details, "code": display.safe(error.code)}), err=True)
    then = "post.in_doubt" if error.details.get("in_doubt") else f"{key}.next"
    if words.has(then):
        click.echo(words.text(then, **details), err=True)
    if error.code in ("post.not_running", "post.nowhere"):
        return EXIT_NO_POST
    if error.code == "record.differs":
        return EXIT_DIFFERS
    return EXIT_USAGE if error.code.startswith("usage.") else EXIT_LOCAL


def failed(words: Catalogue, error: Exception, program: str = "openline") -> int:
    """Word whatever ended a command of a program; the exit code."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message())
        return EXIT_USAGE
    if isinstance(error, click.UsageError):
        click.echo(_usage(words, error), err=True)
        if isinstance(error, click.NoSuchOption) and not re.match(r"--\w", error.option_name):
            # More likely a text than an option mistyped.
            click.echo(words.text("usage.dash"), err=True)
        path = error.ctx.command_path if error.ctx else program
        click.echo(words.text("usage.next", command=path), err=True)
        return EXIT_USAGE
    if isinstance(error, BrokenPipeError):
        # Who read our output has gone; keep Python from complaining about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_LOCAL
    if isinstance(error, OSError):
        error = LocalError("local.io", path=str(error.filename or ""), reason=reason(error))
    if not isinstance(error, OpenlineError):
        error = unforeseen(error)
    return complain(words, error)
