"""What carries a line: `bearer add`, `list`, `change`, `pause`, `resume`, `remove`, `test`.

Theory of operation: bearers stand in post.toml, which people may edit as well; a running post takes
a change at once, otherwise it waits in the file. `list` shows what each declares and what the post
has measured; why the post chooses as it does is `status --why`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from .. import display, entries
from ..errors import LocalError
from ..usage import EXIT_LOCAL, check_text
from .kinds import CountType
from .shell import Shell, pass_shell
from .why import standing
from .wording import Group, as_json

if TYPE_CHECKING:
    from pydantic import BaseModel

_WHERE = (
    click.option("--tcp", "address"),
    click.option("--relay", "url"),
    click.option("--folder", "path", metavar="folder", type=click.Path(path_type=Path)),
    click.option("--serial", "device", type=click.Path(path_type=Path)),
    click.option("--baud", type=CountType(50, 4_000_000)),
    click.option("--kiss", "controller"),
    click.option("--callsign"),
    click.option("--to"),
    click.option("--tx-delay", "tx_delay_ms", type=CountType(0, 2_550)),
    click.option("--mail", "recipient"),
    click.option("--from", "sender"),
    click.option("--smtp"),
    click.option("--imap"),
    click.option("--user"),
    click.option("--password-file", type=click.Path(path_type=Path)),
    click.option("--security", type=click.Choice(["tls", "starttls", "none"])),
    click.option("--mailbox"),
    click.option("--mails-per-hour", type=CountType(5, 100_000)),
    click.option("--tokens", type=click.Path(path_type=Path)),
    click.option("--ca-file", type=click.Path(path_type=Path)),
    click.option("--cost", type=CountType(0, 1_000_000)),
    click.option("--latency", "latency_ms", type=CountType(0, 86_400_000)),
    click.option("--rate", "rate_bytes_s", type=CountType(1, 1 << 40)),
    click.option("--loss", "loss_permille", type=CountType(0, 1000)),
)
"""What `add` and `change` may be told of a bearer."""


_PLACES = {
    "tcp": "address",
    "relay": "url",
    "folder": "path",
    "serial": "device",
    "kiss": "controller",
    "mail": "recipient",
}
"""What says where each kind of bearer goes."""

_ENTRY_NAMES = {"controller": "address", "recipient": "to", "label": "name"}
"""Options that have another name in post.toml, which some have in common."""

_INDENT = "    "

_MAIL_NEEDS = ("sender", "smtp", "imap", "password_file")

_ONLY = {
    "relay": ("tokens",),
    "serial": ("baud",),
    "kiss": ("callsign", "to", "tx_delay_ms"),
    "mail": (*_MAIL_NEEDS, "user", "security", "mailbox", "mails_per_hour"),
}
"""What one kind of bearer may be told, and no other."""


def _where(function: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_WHERE):
        function = option(function)
    return function


@click.group("bearer", cls=Group)
def bearer() -> None:
    """Bearers of lines."""


@bearer.command("add")
@click.argument("line")
@_where
@click.option("--name", "label")
@pass_shell
def add(shell: Shell, /, line: str, label: str | None, **said: Any) -> None:
    """Let a bearer carry a line."""
    kinds = [kind for kind, place in _PLACES.items() if said[place] is not None]
    if len(kinds) != 1:
        raise LocalError("usage.one_place")
    [kind] = kinds
    for only, names in _ONLY.items():
        if kind != only and any(said[name] is not None for name in names):
            raise LocalError(f"usage.{only}_only")
    if kind not in ("relay", "mail") and said["ca_file"] is not None:
        raise LocalError("usage.relay_only")
    if kind == "mail" and any(said[name] is None for name in _MAIL_NEEDS):
        raise LocalError("usage.mail_needs")
    said["label"] = label
    _check(shell, kind, said, whole=True)
    shell.call("bearer_add", offline=True, line=line, kind=kind, **_told(said))
    shell.say("bearer.added", line=line)


@bearer.command("change")
@click.argument("line")
@click.argument("name")
@_where
@pass_shell
def change(shell: Shell, /, line: str, name: str, **said: Any) -> None:
    """Change what a bearer is told, in its place."""
    if all(value is None for value in said.values()):
        raise LocalError("usage.nothing_to_change")
    told = _told(dict(said))
    named = {key for key, value in told.items() if value is not None}
    for kind, model in _models().items():
        if named <= model.model_fields.keys():
            _check(shell, kind, said, whole=False)
            break
    shell.call("bearer_change", offline=True, line=line, name=name, **told)
    shell.say("bearer.changed", line=line, name=name)


def _told(said: dict[str, Any]) -> dict[str, Any]:
    """The options under the names of post.toml, with paths that hold wherever the post runs.
    Raises LocalError("usage.encoding"): post.toml is text, paths in it too.
    """
    for option, name in _ENTRY_NAMES.items():
        if (value := said.pop(option, None)) is not None:
            said[name] = value
    told = {
        key: str(value.absolute()) if isinstance(value, Path) else value
        for key, value in said.items()
    }
    for key, value in told.items():
        if isinstance(value, str):
            check_text(_options().get(key, key), value)
    return told


def _options() -> dict[str | None, str]:
    """How the options of the command that runs are typed, by name."""
    return {param.name: param.opts[0] for param in click.get_current_context().command.params}


def _models() -> dict[str, type[BaseModel]]:
    """What post.toml may say of each kind of bearer."""
    models = get_args(entries.BearerEntry)
    return {get_args(model.model_fields["kind"].annotation)[0]: model for model in models}


def _check(shell: Shell, kind: str, said: dict[str, Any], *, whole: bool) -> None:
    """Name the option that cannot be so, or if this is all of an entry the one that is missing;
    what else is wrong, the post says. Raises LocalError: usage.option_fault, usage.missing.
    """
    from pydantic import ValidationError

    options = _options()
    given = {_ENTRY_NAMES.get(name, name): name for name in said if said[name] is not None}
    try:
        _models()[kind].model_validate({"kind": kind, **{at: said[given[at]] for at in given}})
    except ValidationError as error:
        for fault in (each for each in error.errors() if each["loc"]):
            at = str(fault["loc"][0])
            if at in given:
                code = str(fault.get("ctx", {}).get("error", "config.value"))
                told = {"said": str(said[given[at]]), "why": shell.text(code)}
                raise LocalError("usage.option_fault", option=options[given[at]], **told) from None
            if whole and at in _ONLY.get(kind, ()):
                raise LocalError("usage.missing", name=options[at]) from None


@bearer.command("list")
@click.argument("line", required=False)
@as_json
@pass_shell
def list_(shell: Shell, line: str | None, as_json: bool) -> None:
    """The bearers of each line: where they go, what they declare, what was measured."""
    found = [
        each for each in shell.call("bearers", offline=True) if line is None or each["line"] == line
    ]
    if as_json:
        shell.json(found)
    elif not found:
        if line is not None and all(
            each["label"] != line for each in shell.call("lines", offline=True)
        ):
            raise LocalError("line.unknown", label=line)
        shell.say("bearer.none")
    else:
        for each in found:
            # What people type or dial is never cut: it stands alone, and a terminal may fold it.
            shell.line("  ".join(filter(None, (each["line"], each["name"], _place(each)))))
            seen = "; ".join((standing(shell, each), *_figures(shell, each)))
            for row in display.wrap(seen, shell.console.width - len(_INDENT)):
                shell.line(_INDENT + row)


def _place(each: dict[str, Any]) -> str:
    """Where a bearer goes: an address, a relay, or nowhere for those who call us."""
    return display.safe(str(next((each[key] for key in _PLACES.values() if each.get(key)), "")))


def _figures(shell: Shell, each: dict[str, Any]) -> Iterator[str]:
    if each["rtt_ms"] is not None:
        yield shell.text("why.measured", ms=each["rtt_ms"], variation=each["variation_ms"])
    if each["declared"]:
        declared = each["declared"]
        expected = 2 * (declared["latency_ms"] + declared["human_ms"])
        yield shell.text("why.declared", ms=expected)
        if declared["rate_bytes_s"] is not None:
            yield shell.text("why.rate", rate=declared["rate_bytes_s"])
        yield shell.text("why.cost", cost=declared["cost"])
        yield shell.text("why.loss", percent=each["loss_permille"] // 10)
    if each["sent_bytes"] or each["heard_bytes"]:
        yield shell.text("why.bytes", sent=each["sent_bytes"], heard=each["heard_bytes"])


@bearer.command("pause")
@click.argument("line")
@click.argument("name")
@pass_shell
def pause(shell: Shell, line: str, name: str) -> None:
    """Have a bearer carry nothing until it is resumed."""
    shell.call("bearer_pause", offline=True, line=line, name=name)
    shell.say("bearer.now_paused", line=line, name=name)


@bearer.command("resume")
@click.argument("line")
@click.argument("name")
@pass_shell
def resume(shell: Shell, line: str, name: str) -> None:
    """Have a paused bearer carry again."""
    shell.call("bearer_resume", offline=True, line=line, name=name)
    shell.say("bearer.resumed", line=line, name=name)


@bearer.command("remove")
@click.argument("line")
@click.argument("name")
@click.option("--yes", is_flag=True)
@pass_shell
def remove(shell: Shell, line: str, name: str, yes: bool) -> None:
    """Take a bearer away from a line; the last one only if that is meant."""
    if not yes:
        _confirm_last(shell, line, name)
    shell.call("bearer_remove", offline=True, line=line, name=name)
    shell.say("bearer.removed", line=line, name=name)


def _confirm_last(shell: Shell, line: str, name: str) -> None:
    """Say what it means if this bearer is the last that the line has in post.toml, and have its
    name typed. Raises LocalError("bearer.not_confirmed").
    """
    listed = [each for each in shell.call("bearers", offline=True) if each["line"] == line]
    configured = [each for each in listed if _place(each)]
    if {each["name"] for each in configured} != {name}:
        return
    shell.note("bearer.last", line=line, name=name)
    # A line that is taking the place of another has the same bearer once more.
    if records := sum(each["records"] for each in configured):
        shell.note("bearer.unacknowledged", records=records)
    if shell.ask("bearer.confirm", name=name).strip() != name:
        raise LocalError("bearer.not_confirmed")


@bearer.command("test")
@click.argument("line")
@click.argument("name")
@click.option("--wait", "wait_s", type=CountType(1, 25), default=10)
@as_json
@click.pass_context
def test(ctx: click.Context, line: str, name: str, wait_s: int, as_json: bool) -> None:
    """Whether a bearer carries both ways, and how fast."""
    shell: Shell = ctx.find_root().obj
    found = shell.call("bearer_test", line=line, name=name, wait_s=wait_s)
    if as_json:
        shell.json(found)
        ctx.exit(0 if found["answered"] else EXIT_LOCAL)
    if not found["answered"]:
        raise LocalError("bearer.unanswered", line=line, name=name, seconds=wait_s)
    shell.say("bearer.answered", line=line, name=name, ms=found["took_ms"])
