"""Enrolment by hand: `card`, `tape`, `pair`.

Theory of operation: files go from hand to hand, words by voice, and each side checks the other's
words; the checks themselves are enrolment's. Secret files are made for the owner alone and never
over another file. A tape does not touch the post until it is used to pair.
"""

from __future__ import annotations

import os
from pathlib import Path

import click

from .. import spoken
from ..clock import entropy
from ..errors import LocalError
from .kinds import CountType
from .shell import Shell, pass_shell
from .wording import as_json, command

QR_MODULE = 4
"""Pixels to one module of a QR code on screen and on paper."""

PAGES_MAX = 3000
"""Longest tape: weekly rekeys for 57 years, and it still fits one request to a running post."""

_FILE_BYTES_MAX = 1 << 20


def create(path: Path, data: bytes, mode: int) -> None:
    """Write a new file, durable, with exactly these rights; raises LocalError("local.exists")."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, mode)
    except FileExistsError:
        raise LocalError("local.exists", path=str(path)) from None
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_FILE_BYTES_MAX)


@command("card")
@click.option("--out", type=click.Path(path_type=Path))
@click.option("--qr", type=click.Path(path_type=Path))
@as_json
@pass_shell
def card(shell: Shell, out: Path | None, qr: Path | None, as_json: bool) -> None:
    """Our card as a file or a QR code, and its twelve words."""
    found = shell.call("card", offline=True)
    data = bytes.fromhex(found["card"])
    if out is not None:
        create(out, data, 0o644)
    if qr is not None:
        create(qr, _qr(data, qr), 0o644)
    if as_json:
        shell.json(found)
        return
    shell.say("card.words")
    for row in spoken.rows(found["words"]):
        shell.line("  " + row)
    if shell.words.language == "ru":
        for row in spoken.rows(spoken.cyrillic(found["words"])):
            shell.line("  " + row)
    for path in (out, qr):
        if path is not None:
            shell.say("card.written", path=str(path))


def _qr(data: bytes, path: Path) -> bytes:
    """A card as a QR code: SVG or PNG by the name of the file."""
    import io

    import segno

    kind = path.suffix.lower().lstrip(".")
    if kind not in ("png", "svg"):
        raise LocalError("usage.qr", path=str(path))
    image = io.BytesIO()
    segno.make_qr(data, mode="byte", error="l").save(image, kind=kind, scale=QR_MODULE)
    return image.getvalue()


@command("tape")
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--pages", type=CountType(2, PAGES_MAX), default=64)
@pass_shell
def tape(shell: Shell, out: Path, pages: int) -> None:
    """A fresh key tape, to be carried by hand."""
    from ..enrolment import new_tape

    create(out, new_tape(pages, entropy), 0o600)
    shell.say_count("tape.written", pages, path=str(out))


@command("pair")
@click.argument("card", type=click.Path(path_type=Path))
@click.option("--name", "label")
@click.option("--tape", type=click.Path(path_type=Path))
@click.option("--card-only", is_flag=True)
@click.option("--words")
@pass_shell
def pair(
    shell: Shell,
    card: Path,
    label: str | None,
    tape: Path | None,
    card_only: bool,
    words: str | None,
) -> None:
    """Make a line with the party whose card this is."""
    from ..sealing.keys import Card

    if not label:
        raise LocalError("usage.missing", name="--name")
    if card_only == (tape is not None):
        raise LocalError("usage.tape_or_card_only")
    theirs = _read(card)
    material = None if tape is None else _read(tape)
    if card_only:
        shell.note("pair.weaker")
    ours = shell.call("card", offline=True)
    if Card.decode(theirs).data.hex() == ours["card"]:
        raise LocalError("enrolment.own_card")
    if words is None:
        shell.note("pair.read_aloud")
        for row in spoken.rows(ours["words"]):
            click.echo("  " + row, err=True)
        words = shell.ask("pair.words_heard", line=label)
    shell.call(
        "pair",
        offline=True,
        label=label,
        card=theirs.hex(),
        tape=None if material is None else material.hex(),
        words=spoken.heard(words),
    )
    shell.say("pair.done", line=label)
    if tape is not None:
        shell.say("pair.tape_kept", path=str(tape))
