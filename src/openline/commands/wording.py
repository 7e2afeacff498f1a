"""The commands of `openline` as click sees them: imported when they run, listed by their purpose.

Theory of operation: `COMMANDS` of the package says in which module a command is, `SECTIONS` under
which title of the help. How help is worded is in usage.py, for every program of ours alike.
"""

from __future__ import annotations

from collections import UserDict
from collections.abc import Callable
from importlib import import_module
from typing import Any

import click

from ..usage import Command, Group
from . import COMMANDS, SECTIONS

__all__ = ["Command", "Group", "OnDemand", "Root", "as_json", "command"]


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
            self.section(title, names, ctx, formatter)


def command(name: str) -> Callable[[Callable[..., Any]], click.Command]:
    """Declare a command of ours."""
    return click.command(name, cls=Command)


as_json = click.option("--json", "as_json", is_flag=True)
"""The listing as JSON with stable keys (docs/operating/commands.md)."""
