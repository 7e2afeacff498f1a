"""Writing that others review and release: `draft new`, `list`, `show`, `edit`, `hand`, `comment`,
`return`, `release`, `drop`.

Theory of operation: a draft is named by its id. What `edit` is not told to change stays, and it
names the revision it read, so that nobody's text is overwritten unseen. `release` first shows all
that is about to be said and to whom, then asks for the name of the line; a script gives the hash of
what it means to release instead, and any other text is refused.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from .. import display
from ..clock import now
from ..errors import LocalError
from .attachments import attach_option, laid_in
from .kinds import PRECEDENCE, SERIAL, CountType, SerialSaid
from .messages import instant, text_given
from .shell import Shell, pass_shell
from .wording import Group, as_json

_REVISION = CountType(1, 1 << 31)
_CLEARED: dict[str, tuple[str, Any]] = {
    "subject": ("subject", ""),
    "dtg": ("dtg_s", None),
    "reply-by": ("due_s", None),
    "refs": ("references", []),
    "action": ("action", []),
    "info": ("information", []),
    "files": ("files", []),
}
"""What --clear may name: the argument of the verb, and what it is then."""
_BEGINNING_CELLS = 60


@click.group("draft", cls=Group)
def draft() -> None:
    """Texts that are not released yet."""


def _content(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say what a draft says beside its text."""
    for option in (
        attach_option,
        click.option("--info", "information", multiple=True),
        click.option("--action", multiple=True),
        click.option("--ref", "references", type=SERIAL, multiple=True),
        click.option("--reply-by"),
        click.option("--dtg", "dtg_said"),
        click.option("--language", "-l", envvar="OPENLINE_LANGUAGE"),
        click.option("--subject", "-s"),
        click.option("--precedence", "-p", type=PRECEDENCE),
        click.option("--file", "path", type=click.Path(path_type=Path)),
    ):
        function = option(function)
    return function


def _said(shell: Shell, said: dict[str, Any]) -> dict[str, Any]:
    """The arguments of the verb for the options that were given."""
    present_s = now().wall_s
    references: Sequence[SerialSaid] = said["references"]
    given = {
        "precedence": said["precedence"],
        "subject": None if said["subject"] is None else _nfc(said["subject"]),
        "language": said["language"],
        "dtg_s": instant(said["dtg_said"], present_s),
        "due_s": instant(said["reply_by"], present_s),
        "references": [{"ours": ref.side == "ours", **ref.args()} for ref in references],
        "action": [_nfc(name) for name in said["action"]],
        "information": [_nfc(name) for name in said["information"]],
        "files": laid_in(shell, said["attached"]),
    }
    return {name: value for name, value in given.items() if value not in (None, [])}


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _told(shell: Shell, key: str, answer: dict[str, Any], as_json: bool) -> None:
    if as_json:
        shell.json(answer)
    else:
        shell.say(key, draft=answer["draft"], revision=answer["revision"])


@draft.command("new")
@click.argument("line")
@click.argument("text", required=False)
@_content
@click.option("--hand", is_flag=True)
@as_json
@pass_shell
def new(shell: Shell, /, line: str, text: str | None, path: Path | None, **options: Any) -> None:
    """Begin a draft."""
    body = text_given(shell, text, path)
    answer = shell.call("draft_save", line=line, text=body, **_said(shell, options))
    if options["hand"]:
        answer = shell.call("draft_hand", **answer)
    key = "draft.is_handed" if options["hand"] else "draft.is_saved"
    _told(shell, key, answer, options["as_json"])


@draft.command("list")
@click.argument("line", required=False)
@click.option("--all", "everything", is_flag=True)
@as_json
@pass_shell
def list_(shell: Shell, line: str | None, everything: bool, as_json: bool) -> None:
    """The drafts that are under way."""
    found = shell.call("drafts", line=line, all=everything)
    if as_json:
        shell.json(found)
    elif not found:
        shell.say("draft.none")
    else:
        columns = ("head.draft", "head.state", "head.line", "head.precedence", "head.actor")
        shell.table((*columns, "head.text"), _rows(shell, found))


def _rows(shell: Shell, found: list[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    for view in found:
        yield (
            f"{view['draft']}.{view['revision']}",
            shell.text(f"draft.state.{view['state']}"),
            display.brief(view["label"], 16),
            display.precedence(view["precedence"], shell.words),
            display.brief(", ".join(view["writers"]), 20),
            display.brief(view["subject"] or view["beginning"], _BEGINNING_CELLS),
        )


@draft.command("show")
@click.argument("draft_id")
@click.option("--revision", type=_REVISION)
@click.option("--since", type=_REVISION)
@as_json
@pass_shell
def show(
    shell: Shell, draft_id: str, revision: int | None, since: int | None, as_json: bool
) -> None:
    """One draft with its revisions, changes and comments."""
    view = shell.call("draft_show", draft=draft_id, revision=revision, since=since)
    if as_json:
        shell.json(view)
        return
    _page(shell, view)
    if view["changes"] is not None and view["changes"]["lines"]:
        shell.say("draft.changes", since=view["changes"]["since"], revision=view["shown"])
        _show_changes(shell, view["changes"])
    for each in view["comments"]:
        told = {name: each[name] for name in ("by", "at_group", "revision")}
        shell.say("draft.comment_line", **told)
        shell.line(f"    {display.brief(each['text'], 2000)}")


def _page(shell: Shell, view: dict[str, Any]) -> None:
    """What a draft says and to whom, as a page."""
    from rich.rule import Rule

    shell.fields(_fields(shell, view))
    if not view["text"]:  # it has ended: the text is in the record alone
        return
    shell.show(Rule(style="dim"))
    for line in display.wrap(view["text"], shell.console.width):
        click.echo(line)
    shell.show(Rule(style="dim"))


def _fields(shell: Shell, view: dict[str, Any]) -> Iterator[tuple[str, str]]:
    state = shell.text(f"draft.state.{view['state']}")
    yield "field.draft", f"{view['draft']}.{view['shown']}  {state}"
    if view["serial"]:
        yield "field.released", f"{view['label']} {view['serial']}"
    yield "field.to", view["label"]
    yield "field.precedence", shell.text(f"precedence.{view['precedence']}")
    if view["subject"]:
        yield "field.subject", view["subject"]
    yield "field.language", display.language(view["language"], shell.words)
    for name in ("dtg", "due"):
        if view[name]:
            yield f"field.{name}", f"{view[f'{name}_group']}  {view[name]}"
    if view["references"]:
        refs = (shell.text(f"ref.{r['side']}", serial=r["serial"]) for r in view["references"])
        yield "field.references", ", ".join(refs)
    for name in ("action", "information"):
        if view[name]:
            yield f"field.{name}", ", ".join(view[name])
    for each in view["files"]:
        told = f"{each['name']}  {display.size(each['bytes'], shell.words)}  {each['sha256']}"
        yield "field.file", told
    yield "field.writers", ", ".join(view["writers"])
    for step in view["steps"]:
        yield f"field.did_{step['act']}", f"{step['by']}  {step['at_group']}"
    if view["aside"]:
        yield "field.aside", ", ".join(map(str, view["aside"]))
    if view["two_persons"] and view["state"] in ("draft", "review"):
        yield "field.two_persons", shell.text("draft.two_persons")
    if view["shown"] == view["revision"]:
        yield "field.hash", view["hash"]


def _show_changes(shell: Shell, changes: dict[str, Any]) -> None:
    from rich.text import Text

    styles = {"=": "dim", "-": "red", "+": "green"}
    for each in changes["fields"]:
        name = shell.text(f"draft.field.{each['field']}")
        before, after = (_value(each[side]) for side in ("before", "after"))
        said = shell.text("pair.said", name=name, said=f"{before} → {after}")
        shell.show(Text(f"  {said}"))
    for sign, line in changes["lines"]:
        mark = " " if sign == "=" else sign
        shell.show(Text(f"  {mark} {display.safe(line)}", styles[sign]))


def _value(value: object) -> str:
    if isinstance(value, list):
        named = (_named(each) if isinstance(each, dict) else str(each) for each in value)
        return display.safe(", ".join(named)) or "–"
    return display.safe(str(value or "")) or "–"


def _named(each: dict[str, Any]) -> str:
    """A message by its serial, a file by its name and hash."""
    return f"{each['name']} {each['sha256'][:16]}" if "name" in each else str(each["serial"])


@draft.command("edit")
@click.argument("draft_id")
@click.argument("text", required=False)
@_content
@click.option("--clear", type=click.Choice([*_CLEARED]), multiple=True)
@click.option("--revision", type=_REVISION)
@as_json
@pass_shell
def edit(shell: Shell, /, draft_id: str, text: str | None, path: Path | None, **said: Any) -> None:
    """Change a draft; what is not named stays."""
    view = shell.call("draft_show", draft=draft_id)
    body = view["text"]
    if text is not None or path is not None:
        body = text_given(shell, text, path)
    kept = {
        "precedence": view["precedence"],
        "subject": view["subject"],
        "language": view["language"],
        "dtg_s": _seconds(view["dtg"]),
        "due_s": _seconds(view["due"]),
        "references": [
            {"ours": ref["side"] == "ours", **{n: ref[n] for n in ("number", "incarnation")}}
            for ref in view["references"]
        ],
        "action": view["action"],
        "information": view["information"],
        "files": view["files"],
    }
    changes = _said(shell, said)
    if "files" in changes and "files" not in said["clear"]:
        changes["files"] = [*view["files"], *changes["files"]]
    changed = {**kept, **dict(_CLEARED[name] for name in said["clear"]), **changes}
    revision = said["revision"] or view["revision"]
    answer = shell.call("draft_save", draft=draft_id, revision=revision, text=body, **changed)
    _told(shell, "draft.is_changed", answer, said["as_json"])


def _seconds(at: str | None) -> int | None:
    return instant(at, 0)


@draft.command("hand")
@click.argument("draft_id")
@click.option("--revision", type=_REVISION)
@as_json
@pass_shell
def hand(shell: Shell, draft_id: str, revision: int | None, as_json: bool) -> None:
    """Hand a draft to those who release."""
    current = revision or shell.call("draft_show", draft=draft_id)["revision"]
    answer = shell.call("draft_hand", draft=draft_id, revision=current)
    _told(shell, "draft.is_handed", answer, as_json)


@draft.command("comment")
@click.argument("draft_id")
@click.argument("text")
@as_json
@pass_shell
def comment(shell: Shell, draft_id: str, text: str, as_json: bool) -> None:
    """Say something of a draft."""
    answer = shell.call("draft_comment", draft=draft_id, text=_nfc(text))
    _told(shell, "draft.is_commented", answer, as_json)


@draft.command("return")
@click.argument("draft_id")
@click.argument("text", required=False)
@as_json
@pass_shell
def return_(shell: Shell, draft_id: str, text: str | None, as_json: bool) -> None:
    """Give a draft back to who writes it."""
    answer = shell.call("draft_return", draft=draft_id, text=_nfc(text or ""))
    _told(shell, "draft.is_returned", answer, as_json)


@draft.command("release")
@click.argument("draft_id")
@click.option("--hash", "hash_")
@click.option("--yes", is_flag=True)
@as_json
@pass_shell
def release(shell: Shell, draft_id: str, hash_: str | None, yes: bool, as_json: bool) -> None:
    """Release a draft, after a look at all it says."""
    if yes and hash_ is None:
        raise LocalError("usage.hash")
    view = shell.call("draft_show", draft=draft_id)
    if view["state"] == "draft":
        raise LocalError("draft.not_handed", draft=draft_id)
    if not yes and view["serial"] is None:
        _page(shell, view)
        values = {"precedence": shell.text(f"precedence.{view['precedence']}")}
        shell.note("draft.will", line=view["label"], **values)
        if shell.ask("draft.confirm", line=view["label"]).strip() != view["label"]:
            raise LocalError("draft.not_confirmed", draft=draft_id)
    said, revision = hash_ or view["hash"], view["revision"]
    answer = shell.call("draft_release", draft=draft_id, revision=revision, hash=said)
    if as_json:
        shell.json(answer)
        return
    ended = shell.call("draft_show", draft=draft_id)
    by = next(step["by"] for step in ended["steps"] if step["act"] == "release")
    precedence = shell.text(f"precedence.{ended['precedence']}")
    told = {"serial": ended["serial"], "line": ended["label"], "precedence": precedence}
    shell.say("draft.is_released", by=by, **told)


@draft.command("drop")
@click.argument("draft_id")
@click.option("--others", is_flag=True)
@click.option("--yes", is_flag=True)
@pass_shell
def drop(shell: Shell, draft_id: str, others: bool, yes: bool) -> None:
    """Erase a draft, as it stood before the question."""
    revision = shell.call("draft_show", draft=draft_id)["revisions"][-1]["revision"]
    if not yes and shell.ask("draft.confirm_drop", draft=draft_id).strip() != draft_id:
        raise LocalError("draft.not_dropped", draft=draft_id)
    shell.call("draft_drop", draft=draft_id, revision=revision, others=others)
    shell.say("draft.is_dropped", draft=draft_id)
