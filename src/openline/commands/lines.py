"""How the lines stand: `status`, `lines`, `clear-alarm`, `revoke`.

Theory of operation: `status` says first what needs a person, then each line in a row; `lines` says
everything about each line. What is said of the other side is what it claims or what a machine
measured, and is worded so.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from .. import display
from ..errors import LocalError
from .kinds import CountType
from .shell import Shell, pass_shell
from .voice import by_voice
from .why import explain, reason, standing
from .wording import as_json, command

if TYPE_CHECKING:
    from rich.text import Text

STALE_S = 24 * 3600
"""A line not heard for so long looks louder than a calm one."""


def age(shell: Shell, seconds: int | None) -> str:
    """How long ago, in the largest unit that fits."""
    return display.age(seconds, shell.words)


def ranges(found: list[list[int]]) -> str:
    """Ranges of numbers as people write them."""
    return ", ".join(str(a) if a == b else f"{a}–{b}" for a, b in found)


@command("status")
@click.option("--why", is_flag=True)
@as_json
@pass_shell
def status(shell: Shell, why: bool, as_json: bool) -> None:
    """What needs a person, then the lines at a glance; why each bearer is chosen or not."""
    found = shell.call("status")
    if as_json:
        shell.json(found)
        return
    states = ("alarms", "full", "differing", "forked", "flooded", "asking", "silent")
    for name in (*states, "other_version"):
        for label in found.get(name, ()):
            shell.say(f"status.{name}", line=label)
    if not found["lines"]:
        shell.say("lines.none")
        return
    headings = ("head.line", "head.state", "head.sent", "head.received", "head.heard")
    shell.table(headings, (_row(shell, line) for line in found["lines"]))
    if why:
        _explain(shell, found["lines"])


def _explain(shell: Shell, lines: list[dict[str, Any]]) -> None:
    """Why each line's bearers are chosen or not, and when those that are down are tried again."""
    listed = shell.call("bearers")
    for line in lines:
        if line["state"] not in ("revoked", "retired"):
            own = (each for each in listed if each["line"] == line["label"])
            retries = {each["name"]: each.get("retry_ms") for each in own}
            shell.line()
            shell.line(line["label"])
            for said in explain(shell, line, retries):
                shell.line(said)


def _row(shell: Shell, line: dict[str, Any]) -> tuple[str | Text, ...]:
    from rich.text import Text

    heard = line["heard_age_s"]
    stale = line["state"] == "open" and (heard is None or heard > STALE_S)
    missing = sum(last - first + 1 for first, last in line["gaps"])
    received = str(line["peer_number"]) + (f" (− {missing})" if missing else "")
    return (
        display.brief(line["label"], 24),
        shell.text(f"line.state_{line['state']}"),
        f"{line['acked_number']}/{line['own_number']}",
        received,
        Text(age(shell, heard), "bold yellow" if stale else ""),
    )


@command("lines")
@click.argument("line", required=False)
@as_json
@pass_shell
def lines(shell: Shell, line: str | None, as_json: bool) -> None:
    """Everything known of each line."""
    found = shell.call("lines")
    if line is not None:
        found = [view for view in found if view["label"] == line]
        if not found:
            raise LocalError("line.unknown", label=line)
    if as_json:
        shell.json(found)
        return
    if not found:
        shell.say("lines.none")
    for at, view in enumerate(found):
        if at:
            shell.line()
        shell.say(
            "lines.title", line=view["label"], state=shell.text(f"line.state_{view['state']}")
        )
        if sum(other["label"] == view["label"] for other in found) > 1:
            shell.say("lines.record", record=view["line"])
        if view["paired_by"] is not None:
            shell.fields(_fields(shell, view))
        if view["alarm"]:
            by_voice(shell, view["label"])


def _fields(shell: Shell, view: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "field.paired", shell.text(f"paired.{view['paired_by']}")
    if view["alarm"]:
        yield "field.alarm", shell.text("lines.alarm")
    own, acked = view["own_number"], view["acked_number"]
    yield "field.sent", shell.words.count("lines.sent", view["outbox"], own=own, acked=acked)
    yield "field.received", shell.text("lines.received", number=view["peer_number"])
    if view["gaps"]:
        yield "field.missing", ranges(view["gaps"])
    if view["lost"]:
        yield "field.lost", ranges(view["lost"])
    yield "field.heard", age(shell, view["heard_age_s"])
    if view.get("peer_version") is not None:
        yield "field.version", str(view["peer_version"])
    for bearer in view["bearers"]:
        said = standing(shell, bearer)
        if bearer["rtt_ms"] is not None:
            said += ", " + shell.text("span.milliseconds", count=bearer["rtt_ms"])
        yield "field.bearer", shell.text("pair.said", name=bearer["name"], said=said)
    for refused in view["refused"]:
        why = shell.text(f"refused.{refused['refusal']}")
        yield "field.refused", shell.text("pair.said", name=refused["serial"], said=why)
    if view["forks"]:
        yield "field.forks", shell.words.count("lines.forks", view["forks"])
    for code, count in view["faults"].items():
        yield "field.faults", f"{count} × {reason(shell, code)}"
    if view["comparison"]:
        yield "field.comparison", comparison(shell, view["comparison"])
    yield from healing(shell, view["healing"])


def healing(shell: Shell, found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What either side asked to be given back, and how far it is."""
    for whose in ("ours", "theirs"):
        if not (asked := found[whose]):
            continue
        state = "complete" if asked["complete"] else "giving" if asked["agreed"] else "waiting"
        said = {name: asked[name] for name in ("wanted", "ours", "theirs")}
        wording = shell.text(f"heal.{whose}_{state}", at=asked["asked_group"], **said)
        yield f"field.healing_{whose}", wording
        if asked["unproven"]:
            yield "field.unproven", ranges(asked["unproven"])
        if asked["paused"]:
            yield "field.paused", reason(shell, asked["paused"])


def comparison(shell: Shell, found: dict[str, Any]) -> str:
    """What came of asking the other side whether the records agree."""
    values = {"own": found["own"], "peer": found["peer"], "digest": found["digest"][:32]}
    if found["agree"] is None:
        return shell.text("compare.unanswered", asked=found["asked"], **values)
    if found["agree"]:
        return shell.text("compare.agree", answered=found["answered"], **values)
    if not found["first_difference"]:
        return shell.text("compare.differ", **values)
    whose = shell.text(f"compare.{found['first_difference']['side']}")
    number = found["first_difference"]["number"]
    return shell.text("compare.differ_at", number=number, whose=whose, **values)


@command("clear-alarm")
@click.argument("line")
@pass_shell
def clear_alarm(shell: Shell, line: str) -> None:
    """A person has verified the line by voice."""
    found = [view for view in shell.call("lines") if view["label"] == line]
    if found and not any(view["alarm"] for view in found):
        shell.say("clear_alarm.none", line=line)
        return
    shell.call("clear_alarm", line=line)
    shell.say("clear_alarm.done", line=line)


@command("revoke")
@click.argument("line")
@click.option("--record", type=CountType(1, 1 << 31))
@click.option("--yes", is_flag=True)
@pass_shell
def revoke(shell: Shell, line: str, record: int | None, yes: bool) -> None:
    """End a line for ever: its keys are erased, its record stays."""
    if not yes and shell.ask("revoke.ask", line=line).strip() != line:
        raise LocalError("revoke.not_confirmed")
    shell.call("revoke", offline=True, line=line, record=record)
    shell.say("revoke.done", line=line)
