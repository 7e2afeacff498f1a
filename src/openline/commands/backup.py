"""The kit of a post put away, looked at and brought back: `backup`, `restore`.

Theory of operation: the passphrase becomes a key here, and the post, running or opened here, seals
its kit under it: neither the passphrase nor the kit in the clear crosses the control socket. A
backup is a file, or sheets of paper whose codes a scanner turns into lines of text. `restore`
makes a post in an empty place and puts the kit into it; the line itself then does the rest. What a
backup holds, and what can be wrong with one, is in backup.py.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .. import clock, display, spoken
from ..config import CONFIG_FILE
from ..errors import LocalError
from .cards import create
from .post import checked_key_file, new_passphrase, new_secret, refuse_unless_empty
from .shell import Shell, pass_shell
from .wording import command

if TYPE_CHECKING:
    from ..backup import Backup

SHEETS_FILE = "sheets.html"
"""All pages in one file, in the directory of the sheets."""


@command("backup")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, allow_dash=True))
@click.option("--sheets", type=click.Path(path_type=Path))
@click.option("--check", is_flag=True)
@pass_shell
def backup(shell: Shell, files: tuple[Path, ...], sheets: Path | None, check: bool) -> None:
    """Put the kit away under a passphrase, or look whether that was done well."""
    if check:
        _check(shell, files)
        return
    if len(files) > 1 or not (files or sheets):
        raise LocalError("usage.backup_target")
    card = shell.call("card", offline=True)
    data = _sealed(shell)
    for path in files:
        create(path, data, 0o600)
        shell.say("backup.written", path=str(path))
    if sheets is not None:
        _print(shell, sheets, data, card["words"])
    shell.say("backup.next")


def _sealed(shell: Shell) -> bytes:
    """Have the post seal its kit under a passphrase asked for twice."""
    from ..backup import Wrapping

    passphrase = new_passphrase(shell, "ask.backup_passphrase")
    wrapping = Wrapping.new(clock.now(), clock.entropy)
    answer = shell.call(
        "backup",
        offline=True,
        wrapping=wrapping.encode().hex(),
        key=wrapping.key(passphrase).hex(),
        config=_configuration(shell),
    )
    return bytes.fromhex(answer["sealed"])


def _configuration(shell: Shell) -> str:
    """The text of post.toml, so that a restored post knows how to reach the others."""
    from ..backup import CONFIG_BYTES_MAX

    path = shell.directory / CONFIG_FILE
    if not path.exists():
        return ""
    text = path.read_text(encoding="utf-8")
    if len(text.encode()) > CONFIG_BYTES_MAX:
        shell.note("backup.without_config", path=str(path))
        return ""
    return text


def _print(shell: Shell, directory: Path, data: bytes, words: Sequence[str]) -> None:
    """Write the sheets into a new directory that their owner alone can read."""
    from ..backup import codes, wrapping_of
    from . import sheets

    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise LocalError("local.exists", path=str(directory))
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    made, parts, pages = display.moment(wrapping_of(data).made_s), codes(data), []
    total = sheets.count(parts)
    for number in range(1, total + 1):
        title = shell.text("sheets.title", number=number, total=total)
        head = [title, shell.text("sheets.made", made=made, set=parts[0].set_name)]
        head += [shell.text("sheets.words"), *spoken.rows(words), shell.text("sheets.how")]
        first = (number - 1) * sheets.CODES_PER_PAGE
        pages.append(sheets.page(parts[first : first + sheets.CODES_PER_PAGE], head))
        create(directory / f"page-{number}.svg", pages[-1].encode(), 0o600)
    whole = sheets.document(shell.text("sheets.document"), pages)
    create(directory / SHEETS_FILE, whole.encode(), 0o600)
    shell.say_count("backup.sheets", total, path=str(directory / SHEETS_FILE))


# -- reading ------------------------------------------------------------------------------------


def _read(files: Sequence[Path]) -> bytes:
    """A backup from its file or from what a scanner made of its sheets."""
    from ..backup import FILE_BYTES_MAX, gather, scanned

    texts: list[str] = []
    for path in files:
        if str(path) == "-":
            texts += _typed()
            continue
        with path.open("rb") as file:
            data = file.read(4 * FILE_BYTES_MAX)
        if lines := scanned(data):
            texts += lines
        elif len(files) > 1 and not data.strip():
            continue
        elif len(files) > 1:
            raise LocalError("usage.backup_files", path=str(path))
        else:
            return data
    return gather(texts)


def _typed() -> list[str]:
    """What comes from a scanner that types, up to an empty line or the end."""
    texts: list[str] = []
    for line in sys.stdin:
        if not line.strip():
            break
        texts.append(line)
    return texts


def _opened(shell: Shell, files: Sequence[Path]) -> Backup:
    """A backup, opened; everything that needs no passphrase is found wrong before it is asked."""
    from ..backup import unseal, wrapping_of

    if not files:
        raise LocalError("usage.missing", name=shell.text("metavar.file"))
    data = _read(files)
    wrapping_of(data)
    return unseal(data, shell.ask("ask.passphrase_of_backup", hidden=True))


def _check(shell: Shell, files: Sequence[Path]) -> None:
    found = _opened(shell, files)
    _tell(shell, found)
    try:
        card, lines = shell.call("card")["card"], shell.call("lines")
    except LocalError as error:
        if error.code not in ("post.not_running", "post.nowhere", "post.not_yours"):
            raise
        shell.say("backup.alone")
        return
    if card != found.card.hex():
        raise LocalError("backup.other_post")
    held = {view["label"] for view in lines if view["state"] != "revoked"}
    missing = sorted(held - set(found.labels()))
    if missing:
        raise LocalError("backup.lines_missing", lines=", ".join(missing))
    shell.say("backup.complete")


def _tell(shell: Shell, found: Backup) -> None:
    """Whose backup it is, when it was made, and what lines are in it."""
    from ..enrolment import words

    shell.say("backup.made", made=display.moment(found.made_s))
    for row in spoken.rows(words(found.card)):
        shell.line("  " + row)
    shell.say_count("backup.lines", len(found.labels()))
    for label in found.labels():
        shell.line("  " + label)


@command("restore")
@click.argument("files", nargs=-1, type=click.Path(path_type=Path, allow_dash=True))
@click.option("--passphrase-prompt", is_flag=True)
@click.option("--key-file", type=click.Path(path_type=Path))
@click.option("--generate", is_flag=True)
@click.option("--serve", is_flag=True)
@pass_shell
def restore(
    shell: Shell,
    files: tuple[Path, ...],
    passphrase_prompt: bool,
    key_file: Path | None,
    generate: bool,
    serve: bool,
) -> None:
    """Make a post again from its backup."""
    from .opened import restored

    refuse_unless_empty(shell.directory)
    chosen = {"passphrase_prompt": passphrase_prompt, "generate": generate}
    checked_key_file(shell, key_file, **chosen)
    found = _opened(shell, files)
    secret = new_secret(shell, key_file, **chosen)
    restored(shell.directory, secret, found)
    _tell(shell, found)
    if found.config:
        create(shell.directory / CONFIG_FILE, found.config.encode(), 0o600)
    else:
        shell.note("restore.without_config")
    shell.say("restore.done", directory=str(shell.directory))
    shell.key_file = key_file or shell.key_file
    shell.say("restore.next", program=shell.program())
    shell.say("restore.since", made=display.moment(found.made_s))
    if serve:
        from ..serve import main_serve

        main_serve(shell.directory, secret)
