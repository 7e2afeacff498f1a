"""What was lost comes back from the other side's record: `heal ask`, `heal give`, `heal status`.

Theory of operation: both acts are a releaser's. Asking and agreeing return at once; the post goes
on by itself, through restarts, and `heal status` says how far it is. Whoever gives a history away
types the name of the line, and only after the continuity alarm was cleared by voice.
"""

from __future__ import annotations

import threading

import click

from ..errors import LocalError
from .lines import healing
from .shell import Shell, pass_shell
from .wording import Group, as_json

POLL_S = 0.5
"""How often `--wait` looks how far it is."""


@click.group("heal", cls=Group)
def heal() -> None:
    """Restoring records from the other side's."""


@heal.command("ask")
@click.argument("line")
@click.option("--yes", is_flag=True)
@pass_shell
def ask(shell: Shell, line: str, yes: bool) -> None:
    """Ask the other side for what is lost here; with --yes for what it alone may know of."""
    found = [view for view in shell.call("lines") if view["label"] == line]
    if found and not yes and not any(view["lost"] for view in found):
        raise LocalError("heal.nothing_lost", line=line)
    shell.call("heal_ask", line=line)
    asked = shell.call("heal_status", line=line)["ours"]
    shell.say_count("heal.asked", asked["wanted"], line=line)


@heal.command("give")
@click.argument("line")
@click.option("--yes", is_flag=True)
@click.option("--wait", is_flag=True)
@pass_shell
def give(shell: Shell, line: str, yes: bool, wait: bool) -> None:
    """Let the other side have what it lost."""
    found = shell.call("heal_status", line=line)
    asked = found["theirs"]
    if asked is not None and not yes:
        shell.note("heal.asks", line=line, ours=asked["wanted"], theirs=found["aside"])
        if shell.ask("heal.confirm", line=line).strip() != line:
            raise LocalError("heal.not_confirmed")
    shell.call("heal_give", line=line)
    shell.say("heal.agreed", line=line)
    if wait:
        _wait(shell, line, found["aside"])


def _wait(shell: Shell, line: str, aside: int) -> None:
    """Show how far it is until all is given, or consent ends."""
    from rich.progress import Progress

    pause = threading.Event()
    with Progress(console=shell.console) as progress:
        task = progress.add_task(shell.text("heal.giving", line=line), total=None)
        while True:
            asked = shell.call("heal_status", line=line)["theirs"]
            given = asked["ours"] + asked["theirs"]
            total = given if asked["complete"] else max(given, asked["wanted"] + aside)
            progress.update(task, completed=given, total=total)
            if asked["complete"] or not asked["agreed"]:
                break
            pause.wait(POLL_S)
    if not asked["complete"]:
        raise LocalError("heal.stopped")


@heal.command("status")
@click.argument("line")
@as_json
@pass_shell
def status(shell: Shell, line: str, as_json: bool) -> None:
    """What either side asked for, and how far it is."""
    found = shell.call("heal_status", line=line)
    if as_json:
        shell.json(found)
    elif not (found["ours"] or found["theirs"]):
        shell.say("heal.nothing", line=line)
    else:
        shell.fields(healing(shell, found))
