"""The key tape: `tape new`, `tape add`, `tape burn`, `tape status`.

Theory of operation: a tape is made as a file for the owner alone and does not touch the post until
a line is paired with it or given it. Pages that may have been seen are burned on either side alone;
what cannot be undone is asked for first.
"""

from __future__ import annotations

from pathlib import Path

import click

from ..clock import entropy
from ..enrolment import PAGES_MAX, PAGES_MIN, new_tape
from ..errors import LocalError
from .cards import create, read
from .kinds import PAGES, CountType
from .shell import Shell, pass_shell
from .wording import Group, as_json


@click.group("tape", cls=Group)
def tape() -> None:
    """Key tapes."""


@tape.command("new")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--pages", type=CountType(PAGES_MIN, PAGES_MAX), default=64)
@pass_shell
def new(shell: Shell, out: Path, pages: int) -> None:
    """A fresh key tape, to be carried by hand."""
    create(out, new_tape(pages, entropy), 0o600)
    shell.say_count("tape.written", pages, path=str(out))


@tape.command("add")
@click.argument("line")
@click.argument("file", type=click.Path(path_type=Path))
@pass_shell
def add(shell: Shell, line: str, file: Path) -> None:
    """Give a line the pages of one tape more."""
    added = shell.call("tape_add", offline=True, line=line, tape=read(file).hex())
    shell.say_count("tape.added", added["count"], line=line)
    shell.say("pair.tape_kept", path=str(file))


@tape.command("burn")
@click.argument("line")
@click.argument("pages", type=PAGES, nargs=-1)
@click.option("--reserve", is_flag=True)
@click.option("--yes", is_flag=True)
@pass_shell
def burn(
    shell: Shell, line: str, pages: tuple[tuple[int, ...], ...], reserve: bool, yes: bool
) -> None:
    """Erase pages that may have been seen."""
    chosen = sorted({page for each in pages for page in each})
    if not chosen and not reserve:
        raise LocalError("usage.missing", name="PAGES")
    if not yes and shell.ask("tape.burn_ask", line=line).strip() != line:
        raise LocalError("tape.not_burned")
    burned = shell.call("tape_burn", offline=True, line=line, pages=chosen, reserve=reserve)
    shell.say_count("tape.burned", burned["count"], line=line)


@tape.command("status")
@click.argument("line")
@as_json
@pass_shell
def status(shell: Shell, line: str, as_json: bool) -> None:
    """What is left of a line's tape."""
    found = shell.call("tape", offline=True, line=line)
    if as_json:
        shell.json(found)
        return
    shell.say_count("tape.left", len(found["pages"]), line=line)
    if found["pages"]:
        shell.line("  " + _ranges(found["pages"]))
    shell.say("tape.reserve" if found["reserve"] else "tape.without_reserve")


def _ranges(pages: list[int]) -> str:
    """Page numbers with runs drawn together: 3 5-9."""
    shown: list[list[int]] = []
    for page in pages:
        if shown and page == shown[-1][1] + 1:
            shown[-1][1] = page
        else:
            shown.append([page, page])
    return " ".join(str(a) if a == b else f"{a}-{b}" for a, b in shown)
