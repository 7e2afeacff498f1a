"""Reading a line: `inbox` and `show`.

Theory of operation: the views come from the post as they are; here they become a table or a page.
Gaps stand in the table where the missing numbers belong. Reading says nothing to
the other side unless a person asks for it (`--seen`, `--open`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from .. import display
from .attachments import rows
from .kinds import SERIAL, CountType, SerialSaid
from .shell import Shell, pass_shell
from .wording import as_json, command

if TYPE_CHECKING:
    from rich.text import Text


SUMMARY_CELLS = 110
"""How much of a message a listing shows, in columns."""


@command("inbox")
@click.argument("line", required=False)
@click.option("--limit", "-n", type=CountType(1, 10_000), default=50)
@click.option("--all", "everything", is_flag=True)
@click.option("--seen", is_flag=True)
@as_json
@pass_shell
def inbox(
    shell: Shell, line: str | None, limit: int, everything: bool, seen: bool, as_json: bool
) -> None:
    """The newest messages of the other sides."""
    asked = {"line": line, "all": everything, "seen": seen}
    entries = [*shell.listed("inbox", {"limit": limit}, **asked)]
    if as_json:
        shell.json(entries)
    elif not entries:
        shell.say("inbox.empty")
    else:
        headings = ("head.number", "head.precedence", "head.dtg", "head.line", "head.text")
        shell.table(headings, _rows(shell, entries))
        waiting = [e for e in entries if e["type"] == "message" and _unopened(e)]
        if waiting:
            shell.say_count("inbox.unopened", len(waiting))


def _unopened(entry: dict[str, Any]) -> bool:
    return entry["state"] in ("arrived", "delivered") and not entry["service"]


def _rows(shell: Shell, entries: list[dict[str, Any]]) -> Iterator[tuple[str | Text, ...]]:
    from rich.text import Text

    for entry in entries:
        if entry["type"] != "message":
            numbers = _range(entry)
            wording = shell.words.count(f"inbox.{entry['type']}", entry["count"], numbers=numbers)
            style = "yellow" if entry["type"] == "gap" else "dim"
            yield numbers, "", "", display.brief(entry["label"], 16), Text(wording, style)
            continue
        doubtful = "dtg" in entry["doubts"] or "filed" in entry["doubts"]
        at = (entry["dtg_group"] or "") + (" ?" if doubtful else "")
        style = "bold" if _unopened(entry) else ""
        yield (
            Text(str(entry["number"]), style),
            shell.precedence(entry),
            at,
            display.brief(entry["label"], 16),
            Text(summary(shell, entry, SUMMARY_CELLS), style),
        )


def _range(entry: dict[str, Any]) -> str:
    first, last = entry["first"], entry["last"]
    return str(first) if first == last else f"{first}–{last}"


def summary(shell: Shell, view: dict[str, Any], cells_max: int) -> str:
    """A message on one line: what is odd about it, kind if not text, subject or first words."""
    parts = []
    if standing := special(view):
        parts.append(f"[{shell.text(f'standing.{standing}')}]")
    if other_texts := forked(view):
        parts.append(f"[{shell.text(f'standing.{other_texts}')}]")
    if view["kind"] != "text":
        parts.append(f"[{kind(shell, view['kind'])}]")
    if view["attachments"]:
        parts.append(f"[{shell.words.count('file.count', len(view['attachments']))}]")
    if view["language"]:
        parts.append(f"({view['language']})")
    parts.append(view["subject"] or view["text"])
    return display.brief(" ".join(parts), cells_max)


def special(view: dict[str, Any]) -> str | None:
    """How a record stands, if it does not simply stand in the chain."""
    if view["restored"] and view["standing"] != "fork":
        return "restored" if view["standing"] == "chained" else "restored_aside"
    return None if view["standing"] == "chained" else str(view["standing"])


def forked(view: dict[str, Any]) -> str | None:
    """Whose other texts there are for the serial of a record, if there are any."""
    if not view["forks"]:
        return None
    return "disputed" if view["side"] == "ours" else "forked"


def kind(shell: Shell, name: str) -> str:
    """The wording of a kind of record."""
    known, _, number = name.partition(" ")
    return shell.text(f"kind.{known}", number=number)


@command("show")
@click.argument("line")
@click.argument("serial", type=SERIAL)
@click.option("--open", "opening", is_flag=True)
@as_json
@pass_shell
def show(shell: Shell, line: str, serial: SerialSaid, opening: bool, as_json: bool) -> None:
    """One message with everything known of it."""
    side = serial.side or "theirs"
    view = shell.call("show", line=line, side=side, open=opening, **serial.args())
    if as_json:
        shell.json(view)
        return
    page(shell, view)
    for other in view["other_texts"]:
        shell.line()
        shell.say("show.other_text", serial=view["serial"])
        page(shell, other)


def page(shell: Shell, view: dict[str, Any]) -> None:
    """A message as a page: heading, fields, text, marks."""
    from rich.rule import Rule
    from rich.text import Text

    title = Text.assemble(
        shell.text(f"side.{view['side']}", line=view["label"]),
        f" {view['serial']}  ",
        shell.precedence(view),
    )
    shell.show(title)
    shell.fields(_fields(shell, view))
    if view["text"]:
        shell.show(Rule(style="dim"))
        for line in display.wrap(view["text"], shell.console.width):
            click.echo(line)
        shell.show(Rule(style="dim"))
    for row in rows(shell, view["attachments"], view["side"]):
        shell.line(row)
    for mark in view["marks"]:
        shell.line(mark_line(shell, view, mark))


def mark_line(shell: Shell, view: dict[str, Any], mark: dict[str, Any]) -> str:
    """When which people did what with a message, on one line."""
    wording = shell.text(f"state.{view['side']}.{mark['kind']}")
    due = f" → {mark['due_group']}" if mark["due"] else ""
    return f"{mark['at_group']}  {wording}{due}"


def _fields(shell: Shell, view: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if view["subject"]:
        yield "field.subject", view["subject"]
    for name in ("dtg", "filed", "due", "arrived"):
        if view[name] and not (name == "arrived" and view["side"] == "ours"):
            doubt = f"  ? {shell.text('show.doubtful')}" if name in view["doubts"] else ""
            yield f"field.{name}", f"{view[f'{name}_group']}  {view[name]}{doubt}"
    if view["kind"] != "text":
        yield "field.kind", kind(shell, view["kind"])
    if not view["service"]:
        yield "field.language", display.language(view["language"], shell.words)
    if view["references"]:
        refs = (shell.text(f"ref.{r['side']}", serial=r["serial"]) for r in view["references"])
        yield "field.references", ", ".join(refs)
    if not view["service"]:
        yield "field.state", shell.state(view)
    if told := view["authorship"]:
        yield "field.drafted_by", f"{', '.join(told['drafted_by'])}  {told['drafted_group']}"
        by = told["released_by"]
        released = shell.text("show.one_person", by=by) if told["one_person"] else by
        yield "field.released_by", f"{released}  {told['released_group']}"
    for sent in view["sent"]:
        yield "field.sent_over", f"{sent['at_group']}  {sent['bearer']}"
    if view["held"]:
        yield "field.held", f"{view['held_group']}  {view['held']}"
    standing = special(view) or forked(view)
    if standing:
        yield "field.standing", shell.text(f"standing.{standing}")
