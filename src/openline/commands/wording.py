"""Help and usage in the interface language: click's commands with every word taken from the
catalogue.

Theory of operation: click formats help when asked, long after the decorators ran; these classes ask
the catalogue of the Shell in the context then. The wording of a command `bearer add` is
"help.bearer.add" (its first line is the short help), of its parameter `line`
"help.bearer.add.line", or "help.any.line" where all commands mean the same. Nothing else lives
here.
"""

from __future__ import annotations

from collections import UserDict
from collections.abc import Callable
from importlib import import_module
from typing import Any

import click

from ..i18n import Catalogue
from . import COMMANDS, SECTIONS


def catalogue(ctx: click.Context) -> Catalogue:
    """The catalogue that the root context carries."""
    words: Catalogue = ctx.find_root().obj.words
    return words


def _path(ctx: click.Context) -> str:
    parts: list[str] = []
    while ctx.parent is not None:
        parts.append(ctx.info_name or "")
        ctx = ctx.parent
    return ".".join(["help", *reversed(parts)])


def metavar(words: Catalogue, param: click.Parameter) -> str:
    """What a parameter is called where its value stands."""
    key = f"metavar.{param.name}"
    return words.text(key) if words.has(key) else (param.name or "").upper()


def _help(words: Catalogue, path: str, param: click.Parameter) -> str:
    if "--help" in param.opts:
        return words.text("help.any.help")
    own = f"{path}.{param.name}"
    return words.text(own if words.has(own) else f"help.any.{param.name}")


class Command(click.Command):
    """A command whose help is in the catalogue."""

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
                with formatter.section(words.text(title)):
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
        self._section("click.commands", self.list_commands(ctx), ctx, formatter)

    def _section(
        self, title: str, names: Any, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        words, path = catalogue(ctx), _path(ctx)
        with formatter.section(words.text(title)):
            formatter.write_dl(
                [(name, words.text(f"{path}.{name}").partition("\n")[0]) for name in names]
            )


class OnDemand(UserDict[str, click.Command]):
    """The commands of COMMANDS by name, each imported when it is asked for."""

    def __contains__(self, name: object) -> bool:
        return name in COMMANDS

    def __getitem__(self, name: str) -> click.Command:
        module = import_module(f"openline.commands.{COMMANDS[name]}")
        command: click.Command = getattr(module, name.replace("-", "_"))
        return command


class Root(Group):
    """The root: its commands are imported when they run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands in the order of COMMANDS."""
        return list(COMMANDS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands by what they are for."""
        for title, names in SECTIONS.items():
            self._section(title, names, ctx, formatter)


def command(name: str) -> Callable[[Callable[..., Any]], click.Command]:
    """Declare a command of ours."""
    return click.command(name, cls=Command)


as_json = click.option("--json", "as_json", is_flag=True)
"""The listing as JSON with stable keys (docs/operating/commands.md)."""
