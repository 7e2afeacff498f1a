"""What carries a line: `bearer add`, `bearer list`, `bearer remove`.

Theory of operation: bearers stand in post.toml, which people may edit as well; a running post takes
a change at once, otherwise it waits in the file. Which bearers are up is `status` and `lines`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from .. import display
from ..errors import LocalError
from .shell import Shell, pass_shell
from .wording import Group, as_json


@click.group("bearer", cls=Group)
def bearer() -> None:
    """Bearers of lines."""


@bearer.command("add")
@click.argument("line")
@click.option("--tcp", "address")
@click.option("--relay", "url")
@click.option("--tokens", type=click.Path(path_type=Path))
@click.option("--ca-file", type=click.Path(path_type=Path))
@click.option("--name", "label")
@pass_shell
def add(
    shell: Shell,
    line: str,
    address: str | None,
    url: str | None,
    tokens: Path | None,
    ca_file: Path | None,
    label: str | None,
) -> None:
    """Let a bearer carry a line."""
    if (address is None) == (url is None):
        raise LocalError("usage.tcp_or_relay")
    if address is not None and (tokens or ca_file):
        raise LocalError("usage.relay_only")
    shell.call(
        "bearer_add",
        offline=True,
        line=line,
        kind="tcp" if url is None else "relay",
        address=address,
        url=url,
        tokens=None if tokens is None else str(tokens.absolute()),
        ca_file=None if ca_file is None else str(ca_file.absolute()),
        name=label,
    )
    shell.say("bearer.added", line=line)


@bearer.command("list")
@click.argument("line", required=False)
@as_json
@pass_shell
def list_(shell: Shell, line: str | None, as_json: bool) -> None:
    """The bearers written down for each line."""
    found = [
        each for each in shell.call("bearers", offline=True) if line is None or each["line"] == line
    ]
    if as_json:
        shell.json(found)
    elif not found:
        shell.say("bearer.none")
    else:
        headings = ("head.line", "head.bearer", "head.kind", "head.address")
        rows = (
            (*(display.safe(each[key]) for key in ("line", "name", "kind")), _where(each))
            for each in found
        )
        shell.table(headings, rows)


def _where(each: dict[str, Any]) -> str:
    """Where a bearer goes: an address, a relay, or nowhere for those who call us."""
    return display.safe(str(each.get("address") or each.get("url") or ""))


@bearer.command("remove")
@click.argument("line")
@click.argument("name")
@pass_shell
def remove(shell: Shell, line: str, name: str) -> None:
    """Take a bearer away from a line."""
    shell.call("bearer_remove", offline=True, line=line, name=name)
    shell.say("bearer.removed", line=line, name=name)
