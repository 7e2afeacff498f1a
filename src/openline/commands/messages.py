"""Writing on a line: `send` and `receipt`.

Theory of operation: what is typed is read and checked here (times against the present, a file as
UTF-8), the rest by the post. A message counts as released when the post has it on disk and gave it
a serial.
"""

from __future__ import annotations

import sys
import unicodedata
from pathlib import Path
from typing import Any

import click

from .. import dtg
from ..clock import now
from ..core.limits import BODY_BYTES_MAX
from ..errors import LocalError
from .attachments import attach_option, laid_in
from .kinds import PRECEDENCE, SERIAL, SerialSaid
from .shell import Shell, pass_shell
from .wording import as_json, command

_READ_BYTES_MAX = 4 * BODY_BYTES_MAX
"""Of what is to be a text: composed letters and line ends without returns make it shorter."""


def text_given(shell: Shell, said: str | None, path: Path | None) -> str:
    """The text to send from the argument, a file or standard input (-), in NFC, without the last
    line end. Raises LocalError.
    """
    if said == "-" and path is None:
        said, path = None, Path("-")
    if said is not None and path is not None:
        raise LocalError("usage.text_twice")
    if said is None:
        if path is None and sys.stdin.isatty():
            shell.note("send.type_text")
        if path is None or str(path) == "-":
            raw = sys.stdin.buffer.read(_READ_BYTES_MAX)
        else:
            with path.open("rb") as file:
                raw = file.read(_READ_BYTES_MAX)
        if len(raw) == _READ_BYTES_MAX:
            raise LocalError("message.over", bytes_max=BODY_BYTES_MAX)
        try:
            said = raw.decode("utf-8-sig").replace("\r\n", "\n").removesuffix("\n")
        except UnicodeDecodeError as error:
            raise LocalError("message.not_utf8", at=error.start) from None
    if not said.strip():
        raise LocalError("message.empty")
    said = unicodedata.normalize("NFC", said)
    if len(said.encode("utf-8", "surrogateescape")) > BODY_BYTES_MAX:
        raise LocalError("message.over", bytes_max=BODY_BYTES_MAX)
    return said


@command("send")
@click.argument("line")
@click.argument("text", required=False)
@click.option("--file", "path", type=click.Path(path_type=Path))
@click.option("--precedence", "-p", type=PRECEDENCE, default="ROUTINE")
@click.option("--subject", "-s", default="")
@click.option("--language", "-l", envvar="OPENLINE_LANGUAGE", default="")
@click.option("--dtg", "dtg_said")
@click.option("--reply-by")
@click.option("--ref", "references", type=SERIAL, multiple=True)
@attach_option
@as_json
@pass_shell
def send(shell: Shell, /, line: str, text: str | None, as_json: bool, **said: Any) -> None:
    """Release a text on a line."""
    present_s = now().wall_s
    references: tuple[SerialSaid, ...] = said["references"]
    body = text_given(shell, text, said["path"])
    answer = shell.call(
        "send",
        line=line,
        text=body,
        precedence=said["precedence"],
        subject=unicodedata.normalize("NFC", said["subject"]),
        language=said["language"],
        dtg_s=instant(said["dtg_said"], present_s),
        due_s=instant(said["reply_by"], present_s),
        references=[{"ours": ref.side == "ours", **ref.args()} for ref in references],
        files=laid_in(shell, said["attached"]) or None,
    )
    if as_json:
        shell.json(answer)
        return
    serial = answer["serial"]
    shown = f"{serial['number']}.{serial['incarnation']:06x}"
    precedence = shell.text(f"precedence.{said['precedence']}")
    shell.say("send.released", serial=shown, line=line, precedence=precedence)


def instant(said: str | None, present_s: int) -> int | None:
    """Unix seconds of a time as typed, None for none."""
    return None if said is None else dtg.parse(said, present_s)


@command("receipt")
@click.argument("line")
@click.argument("serial", type=SERIAL)
@click.option("--delivered", "kind", flag_value="delivered")
@click.option("--opened", "kind", flag_value="opened")
@click.option("--shown", "kind", flag_value="shown")
@click.option("--declined", "kind", flag_value="declined")
@click.option("--holding", "kind", flag_value="holding")
@click.option("--answer-by")
@click.option("--note", default="")
@as_json
@pass_shell
def receipt(
    shell: Shell,
    line: str,
    serial: SerialSaid,
    kind: str | None,
    answer_by: str | None,
    note: str,
    as_json: bool,
) -> None:
    """Tell the other side what our people did with a message of theirs."""
    if kind is None:
        raise LocalError("usage.receipt_kind")
    if serial.side == "ours":
        raise LocalError("usage.receipt_ours")
    if (kind == "holding") != (answer_by is not None):
        raise LocalError("usage.answer_by")
    due_s = instant(answer_by, now().wall_s)
    answer = shell.call("receipt", line=line, kind=kind, due_s=due_s, note=note, **serial.args())
    if as_json:
        shell.json(answer)
        return
    done = shell.text(f"state.theirs.{kind}")
    key = "receipt.released" if answer.get("serial") else "receipt.said_before"
    shell.say(key, kind=done, number=serial.number, line=line)
