"""Enrolment by hand: `card`, `pair`.

Theory of operation: files go from hand to hand, words by voice, and each side checks the other's
words; the checks themselves are enrolment's and pairing's. Files are never made over another. What
concerns the tape is in tapes.py.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click

from .. import files, spoken
from ..errors import LocalError, reason
from .shell import Shell, pass_shell
from .wording import as_json, command

QR_MODULE = 4
"""Pixels to one module of a QR code on screen and on paper."""

ROTATE_WORD = "ROTATE"
"""What a person types to have a new card, in every language."""

_FILE_BYTES_MAX = 1 << 20


def create(path: Path, data: bytes, mode: int) -> None:
    """Write a new file, durable, with exactly these rights, or nothing. Raises LocalError:
    local.exists, local.io.
    """
    with creating(path, mode) as file:
        file.write(data)


@contextmanager
def creating(path: Path, mode: int) -> Iterator[BinaryIO]:
    """A new file to write in the block, there whole after it or not at all. Raises as `create`."""
    try:
        with files.writing_new(path, mode) as file:
            os.fchmod(file.fileno(), mode)
            yield file
    except FileExistsError:
        raise LocalError("local.exists", path=str(path)) from None
    except OSError as error:
        # A write that fails does not say of which file.
        raise LocalError("local.io", path=str(path), reason=reason(error)) from error


def read(path: Path) -> bytes:
    """A file, cut where no file of ours is so long."""
    with path.open("rb") as file:
        return file.read(_FILE_BYTES_MAX)


@command("card")
@click.option("--out", type=click.Path(path_type=Path))
@click.option("--qr", type=click.Path(path_type=Path))
@click.option("--rotate", is_flag=True)
@click.option("--yes", is_flag=True)
@as_json
@pass_shell
def card(
    shell: Shell, out: Path | None, qr: Path | None, rotate: bool, yes: bool, as_json: bool
) -> None:
    """Our card as a file or a QR code, and its twelve words; a new one if asked for."""
    if rotate:
        if not yes and shell.ask("card.rotate_ask", word=ROTATE_WORD).strip() != ROTATE_WORD:
            raise LocalError("card.not_rotated")
        shell.call("rotate", offline=True)
        shell.note("card.rotated")
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


@command("pair")
@click.argument("card", type=click.Path(path_type=Path))
@click.option("--name", "label")
@click.option("--replaces")
@click.option("--tape", type=click.Path(path_type=Path))
@click.option("--card-only", is_flag=True)
@click.option("--words")
@pass_shell
def pair(
    shell: Shell,
    card: Path,
    label: str | None,
    replaces: str | None,
    tape: Path | None,
    card_only: bool,
    words: str | None,
) -> None:
    """Make a line with the party whose card this is."""
    from ..sealing.keys import Card

    if bool(label) == bool(replaces):
        raise LocalError("usage.name_or_replaces")
    name = label or replaces or ""
    if card_only == (tape is not None):
        raise LocalError("usage.tape_or_card_only")
    theirs = read(card)
    material = None if tape is None else read(tape)
    if card_only:
        shell.note("pair.weaker")
    ours = shell.call("card", offline=True)
    if Card.decode(theirs).data.hex() == ours["card"]:
        raise LocalError("enrolment.own_card")
    if words is None:
        shell.note("pair.read_aloud")
        for row in spoken.rows(ours["words"]):
            click.echo("  " + row, err=True)
        words = shell.ask("pair.words_heard", line=name)
    shell.call(
        "pair",
        offline=True,
        label=label,
        replaces=replaces,
        card=theirs.hex(),
        tape=None if material is None else material.hex(),
        words=spoken.heard(words),
    )
    shell.say("pair.succeeds" if replaces else "pair.done", line=name)
    if tape is not None:
        shell.say("pair.tape_kept", path=str(tape))
