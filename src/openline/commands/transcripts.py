"""The record both sides hold: `transcript`, its export and its proof.

Theory of operation: pages are asked of the post and written as they come, so that a record of any
length fits. `--verify` recomputes both chains here from the bytes (verification.py), then asks the
other side whether it holds the same; `--export jsonl` gives the bytes and heads of every record, so
that an outsider can do the same with docs/protocol.md §7 in hand.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import click

from .. import display, dtg
from ..clock import now
from ..core.events import Serial
from ..errors import LocalError
from ..verification import Anchors, RecordCheck
from .cards import creating
from .lines import comparison
from .reading import kind, mark_line, special
from .shell import Shell, pass_shell
from .wording import as_json, command

PAPER_CELLS = 80
"""Width of the readable export."""

Write = Callable[[str], int]
"""What takes a piece of an export."""

ANSWER_POLLS = 50
ANSWER_POLL_S = 0.2
"""How long the other side is given to answer: 10 s."""


@command("transcript")
@click.argument("line")
@click.option("--verify", is_flag=True)
@click.option("--export", "form", type=click.Choice(["text", "jsonl"]), default="text")
@click.option("--out", type=click.Path(path_type=Path))
@click.option("--all", "everything", is_flag=True)
@as_json
@pass_shell
def transcript(
    shell: Shell,
    line: str,
    verify: bool,
    form: str,
    out: Path | None,
    everything: bool,
    as_json: bool,
) -> None:
    """The record of a line for reading, for proof, for paper."""
    # Several records stand under one label when a line has succeeded another: each is whole.
    records = [Place(line, record) for record in shell.call("records", line=line)]
    if verify:
        _verify(shell, records, as_json=as_json)
        return
    with _written(out) as write:
        for place in records:
            start = anchors(shell.call("anchors", **place._asdict()))
            if form == "jsonl" or as_json:
                _write_jsonl(shell, place, start, write)
            else:
                _write_text(shell, place, start, write, everything=everything)
    if out:
        shell.say("transcript.written", path=str(out))


@contextmanager
def _written(out: Path | None) -> Iterator[Write]:
    """What writes text to a new file, there whole or not at all, or to standard output."""
    if out is None:
        yield sys.stdout.write
        return
    with creating(out, 0o600) as file:
        yield lambda text: file.write(text.encode())


class Place(NamedTuple):
    """One record: the label, and the number of its line."""

    line: str
    record: int


def anchors(said: dict[str, Any] | None) -> Anchors | None:
    """What the post says both chains start from; None for a revoked line."""
    if said is None:
        return None
    genesis = said["genesis"]
    heads = bytes.fromhex(genesis["ours"]), bytes.fromhex(genesis["theirs"])
    return Anchors(bytes.fromhex(said["line_id"]), bool(said["first"]), heads)


def _records(shell: Shell, where: Place, check: RecordCheck) -> Iterator[dict[str, Any]]:
    """Every entry of the transcript in reading order, page by page, put through the check on the
    way.
    """
    start = {"ours": 0, "theirs": 0}
    for entry in shell.listed("transcript", start, **where._asdict(), raw=True):
        if entry["type"] == "message":
            serial = Serial(entry["incarnation"], entry["number"])
            head = bytes.fromhex(entry["head"]) if entry["head"] else None
            chain = check.chains[("ours", "theirs").index(entry["side"])]
            chain.take(serial, bytes.fromhex(entry["record"]), head)
        yield entry


# -- proof --------------------------------------------------------------------------------------


def _verify(shell: Shell, records: list[Place], *, as_json: bool) -> None:
    """Recompute every record under the label; the other side is asked about the one in charge."""
    line = records[-1].line
    checks = [_recomputed(shell, place) for place in records]
    check = checks.pop()
    found = _ask_other_side(shell, records[-1])
    if as_json:
        before = [_summary(each) for each in checks]
        shell.json({**_summary(check), "comparison": found, "former": before})
    else:
        for each in [*checks, check]:
            ours, theirs = (str(chain.serial.number) for chain in each.chains)
            shell.say("transcript.sound", ours=ours, theirs=theirs)
            for row in _digest_rows(each):
                shell.line(row)
        shell.line(comparison(shell, found))
    if found["agree"] is False:
        raise LocalError("record.differs", line=line)
    if found["agree"] is None:
        raise LocalError("compare.no_answer", line=line)


def _recomputed(shell: Shell, place: Place) -> RecordCheck:
    """Both chains of a record, recomputed; raises LocalError("record.broken")."""
    check = RecordCheck(anchors(shell.call("anchors", **place._asdict())))
    for _ in _records(shell, place, check):
        pass
    for side, chain in zip(("ours", "theirs"), check.chains, strict=True):
        if (number := chain.finish()) is not None:
            whose = shell.text(f"compare.{side}")
            raise LocalError("record.broken", whose=whose, number=number)
    return check


def _ask_other_side(shell: Shell, place: Place) -> dict[str, Any]:
    """Ask, and wait until the other side has answered and a difference is found, or time is up."""
    shell.call("compare", **place._asdict())
    pause = threading.Event()
    found: dict[str, Any] = {}
    for _ in range(ANSWER_POLLS):
        views = {view["line"]: view for view in shell.call("lines")}
        found = views[place.record]["comparison"] or {"agree": None, "first_difference": None}
        if found["agree"] or found["first_difference"]:
            break
        pause.wait(ANSWER_POLL_S)
    return found


def _summary(check: RecordCheck) -> dict[str, Any]:
    digest = check.digest()
    summary: dict[str, Any] = {"digest": digest.hex() if digest else None}
    for side, chain in zip(("ours", "theirs"), check.chains, strict=True):
        head = chain.head.hex() if chain.head else None
        summary[side] = {"serial": str(chain.serial), "records": chain.records, "head": head}
    return summary


def _digest_rows(check: RecordCheck) -> list[str]:
    digest = check.digest()
    shown = digest.hex() if digest else ""
    groups = [shown[at : at + 4] for at in range(0, len(shown), 4)]
    return ["  " + " ".join(groups[at : at + 8]) for at in range(0, len(groups), 8)]


# -- for machines -------------------------------------------------------------------------------


def _write_jsonl(shell: Shell, place: Place, start: Anchors | None, write: Write) -> None:
    """A first line with the anchors, one line per record or gap, a last line with the digest."""
    check = RecordCheck(start)
    first: dict[str, Any] = {"type": "openline transcript 1", "label": place.line}
    if start is not None:
        ours, theirs = (head.hex() for head in start.genesis)
        first["line_id"] = start.line_id.hex()
        first["first_party"] = "ours" if start.first else "theirs"
        first["genesis"] = {"ours": ours, "theirs": theirs}
    write(json.dumps(first) + "\n")
    for entry in _records(shell, place, check):
        write(json.dumps(entry) + "\n")
    write(json.dumps({"type": "end", **_summary(check)}) + "\n")


# -- for paper ----------------------------------------------------------------------------------


def _write_text(
    shell: Shell, place: Place, start: Anchors | None, write: Write, *, everything: bool
) -> None:
    check = RecordCheck(start)
    write(shell.text("paper.title", line=place.line, at=dtg.group(now().wall_s)) + "\n")
    for entry in _records(shell, place, check):
        rows = _entry_rows(shell, entry, everything=everything)
        write("".join(row.rstrip() + "\n" for row in rows))
    aside = [*shell.listed("off_chain", {}, **place._asdict())]
    if aside:
        write("=" * PAPER_CELLS + "\n" + shell.words.count("paper.aside", len(aside)) + "\n")
        for entry in aside:
            write("".join(row.rstrip() + "\n" for row in _message_rows(shell, entry)))
    write("=" * PAPER_CELLS + "\n")
    if digest := _digest_rows(check):
        ours, theirs = (str(chain.serial) for chain in check.chains)
        write(shell.text("paper.digest", ours=ours, theirs=theirs) + "\n")
        write("".join(row + "\n" for row in digest))


def _entry_rows(shell: Shell, entry: dict[str, Any], *, everything: bool) -> Iterator[str]:
    if entry["type"] != "message":
        first, last = entry["first"], entry["last"]
        numbers = str(first) if first == last else f"{first}–{last}"
        wording = shell.words.count(f"inbox.{entry['type']}", entry["count"], numbers=numbers)
        yield "-" * PAPER_CELLS
        yield wording.center(PAPER_CELLS)
    elif entry["kind"] == "chunk" and not everything:
        return
    elif not entry["service"] or (everything and entry["text"]):
        yield from _message_rows(shell, entry)
    else:
        refs = " ".join(_reference(shell, ref) for ref in entry["references"])
        whose = shell.text(f"from.{entry['side']}")
        row = f"· {entry['arrived_group']}  {whose} {entry['serial']}  "
        yield from _cut(row + kind(shell, entry["kind"]) + (f" → {refs}" if refs else ""))


def _reference(shell: Shell, ref: dict[str, Any]) -> str:
    return shell.text(f"ref.{ref['side']}", serial=ref["serial"])


def _cut(row: str) -> Iterator[str]:
    yield from display.wrap(row, PAPER_CELLS)


def _message_rows(shell: Shell, entry: dict[str, Any]) -> Iterator[str]:
    yield "-" * PAPER_CELLS
    whose = shell.text(f"from.{entry['side']}")
    heading = f"{whose} {entry['serial']}"
    right = f"{display.precedence(entry['precedence'], shell.words)}  {entry['dtg_group']}"
    room = PAPER_CELLS - display.cells(right) - 2
    yield display.brief(heading, room).ljust(room) + "  " + right
    arrived = shell.text(f"paper.{entry['side']}", at=entry["arrived_group"])
    filed = shell.text("paper.filed", at=entry["filed_group"])
    doubt = f"; {shell.text('show.doubtful')}" if entry["doubts"] else ""
    yield from _cut(f"{filed}; {arrived}{doubt}")
    notes = [_reference(shell, ref) for ref in entry["references"]]
    if notes:
        yield from _cut(shell.text("paper.references", refs=", ".join(notes)))
    if entry["due"]:
        yield shell.text("paper.due", at=entry["due_group"])
    if standing := special(entry):
        yield shell.text(f"standing.{standing}")
    language = display.language(entry["language"], shell.words)
    yield shell.text("paper.language", language=language)
    if entry["subject"]:
        yield from _cut(shell.text("paper.subject", subject=entry["subject"].replace("\n", " ")))
    yield ""
    yield from display.wrap(entry["text"], PAPER_CELLS)
    yield ""
    for each in entry["attachments"]:
        told = {name: each[name] for name in ("file", "name", "bytes", "sha256")}
        yield from _cut(shell.text("paper.file", **told))
    for mark in entry["marks"]:
        yield f"  {mark_line(shell, entry, mark)}"
