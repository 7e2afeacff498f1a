"""Carried by hand: `carry out`, `carry in`.

Theory of operation: the person at the keyboard holds the stick, so files are read and written here,
with that person's rights; the post makes parcels and takes them in. A parcel is whole under its
name or not there at all. What we left on the stick before is taken off once the new parcels are on
it, for they carry all of it; what others left stays. Taking in changes nothing on the stick unless
that is asked for.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from ..bearers.folder import put, sync
from ..bearers.parcel import PARCEL_BYTES_MAX, is_name
from ..carrying import NAMES_MAX
from ..errors import LocalError, reason
from ..files import NEW
from .shell import Shell, pass_shell
from .wording import Group, as_json

_DIRECTORY = click.argument("directory", type=click.Path(path_type=Path))


@click.group("carry", cls=Group)
def carry() -> None:
    """Parcels for a stick or a bag."""


@carry.command("out")
@_DIRECTORY
@click.argument("line", required=False)
@as_json
@pass_shell
def out(shell: Shell, directory: Path, line: str | None, as_json: bool) -> None:
    """Write all that waits for the other side into a directory."""
    left = _ours(shell, _names(directory))
    made = shell.call("carry_out", line=line)
    try:
        for parcel in made:
            put(directory, parcel["name"], bytes.fromhex(parcel["data"]))
        sync(directory)
        for name in left:
            (directory / name).unlink(missing_ok=True)
    except OSError as error:
        raise LocalError("carry.not_written", path=str(directory), reason=reason(error)) from None
    _report(shell, "carry.written", Counter(parcel["line"] for parcel in made), as_json)


@carry.command("in")
@_DIRECTORY
@click.option("--remove", is_flag=True)
@as_json
@pass_shell
def in_(shell: Shell, directory: Path, remove: bool, as_json: bool) -> None:
    """Take in what came in a directory."""
    came, damaged = Counter[str](), 0
    for name in _theirs(shell, _names(directory)):
        try:
            with (directory / name).open("rb") as file:
                data = file.read(PARCEL_BYTES_MAX + 1)
            found = shell.call("carry_in", name=name, data=data.hex())
        except (OSError, LocalError) as error:
            if isinstance(error, LocalError) and error.code != "carry.damaged":
                raise
            damaged += 1
            continue
        came[found["line"]] += 1
        if remove:
            with suppress(OSError):
                (directory / name).unlink()
    _report(shell, "carry.taken", came, as_json)
    if damaged:
        raise LocalError("carry.some_damaged", count=damaged, path=str(directory))


def _report(shell: Shell, key: str, counted: Counter[str], as_json: bool) -> None:
    if as_json:
        shell.json({"parcels": dict(counted)})
        return
    for line, count in sorted(counted.items()):
        shell.say_count(key, count, line=line)
    if not counted:
        shell.say(f"{key}_none")


def _names(directory: Path) -> list[str]:
    """What lies in the directory under names that parcels have. Raises LocalError."""
    try:
        found = [entry.name for entry in os.scandir(directory) if entry.is_file()]
    except OSError as error:
        raise LocalError("carry.no_directory", path=str(directory), reason=reason(error)) from None
    return sorted(name for name in found if is_name(name.removesuffix(NEW)))


def _portions(names: list[str]) -> Iterable[list[str]]:
    return (names[at : at + NAMES_MAX] for at in range(0, len(names), NAMES_MAX))


def _theirs(shell: Shell, names: list[str]) -> Iterator[str]:
    """Parcels to us."""
    for some in _portions([name for name in names if is_name(name)]):
        yield from _whose(shell, some)["theirs"]


def _ours(shell: Shell, names: list[str]) -> list[str]:
    """What we wrote there before, also what was never finished."""
    found = []
    for some in _portions(names):
        own = set(_whose(shell, [name.removesuffix(NEW) for name in some])["ours"])
        found += [name for name in some if name.removesuffix(NEW) in own]
    return found


def _whose(shell: Shell, names: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = shell.call("carry_names", names=names)
    return found
