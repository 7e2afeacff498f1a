"""Forms of address: `address`."""

from __future__ import annotations

import click

from .shell import Shell, pass_shell
from .wording import command


@command("address")
@click.argument("line")
@click.option("--set", "text")
@pass_shell
def address(shell: Shell, line: str, text: str | None) -> None:
    """How those at the other end of a line are to be addressed."""
    if text is not None:
        shell.call("address_set", line=line, text=text)
    found = shell.call("address", line=line)["text"]
    for each in found.splitlines():
        shell.line(each)
    if not found:
        shell.say("address.none", line=line)
