"""What the operator of a post decides: `post.toml` in the post's directory.

Theory of operation: the file is read as a whole and every fault in it is told at once, each with
where it is and a stable code. Everything has a default: a post without the file listens nowhere and
carries nothing. `planned` changes the text, not a copy of it, so that a person's comments stay; the
new text must mean exactly what was asked, or nothing is written. Secrets stand in files of their
own, but for what a `proxy` may hold; what an entry may say is in entries.py, who may do what in
people.py.

    listen = "0.0.0.0:7100"          # where other posts may dial us
    control_group = "duty"           # a Unix group that may reach the control socket

    sign_in_idle_min = 60            # how long a sign-in may stay unused

    [release]
    two_persons = ["FLASH"]          # what nobody may release who wrote it

    [[bearer]]
    line = "moscow"                  # label of the line
    kind = "tcp"
    address = "post.example:7100"
    cost = 5                         # what is known better here than by the bearer itself:
    latency_ms = 300                 # also rate_bytes_s, loss_permille
    paused_by = "uid:1000"           # carries nothing while this stands

    [[bearer]]
    line = "moscow"
    kind = "relay"
    url = "https://relay.example"
    tokens = "relay.tokens"          # admission tokens in hex, one per line, removed as spent

    [[bearer]]
    line = "moscow"
    kind = "folder"
    path = "/srv/shared"             # a share or a synchronised directory that both posts reach

    [[bearer]]
    line = "moscow"
    kind = "serial"
    device = "/dev/ttyUSB0"          # a cable, or a modem that passes bytes through
    baud = 9600                      # of the device; what the wire behind it carries: rate_bytes_s

    [[bearer]]
    line = "moscow"
    kind = "kiss"
    address = "localhost:8001"       # a radio's controller
    callsign = "N0CALL-1"            # ours and theirs
    to = "N0CALL-2"
    tx_delay_ms = 300                # keying-up time, told to the controller; also room_ms

    [[bearer]]
    line = "moscow"
    kind = "mail"
    to = "b@example.net"             # the mailbox of the other post
    sender = "a@example.org"         # and ours
    smtp = "smtp.example.org:465"
    imap = "imap.example.org:993"
    password_file = "mail.password"  # for its owner alone
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Container, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import BeforeValidator, Field, ValidationError

from . import files
from .core.precedence import Precedence
from .entries import Address, BearerEntry, Strict, address
from .errors import LocalError
from .people import Rules
from .signins import IDLE_S
from .tokens import tokens_in

CONFIG_FILE = "post.toml"
"""Name of the file in the post's directory."""

FILE_BYTES_MAX = 1 << 20
BEARERS_MAX = 256


def _precedence(value: object) -> Precedence:
    if isinstance(value, Precedence):
        return value
    if not isinstance(value, str) or value not in Precedence.__members__:
        raise ValueError("config.precedence")
    return Precedence[value]


class ReleaseRules(Strict):
    """[release]."""

    two_persons: tuple[Annotated[Precedence, BeforeValidator(_precedence)], ...] = ()
    """What nobody may release who wrote it."""


class Config(Strict):
    """The whole file."""

    listen: Annotated[Address, BeforeValidator(address)] | None = None
    control: Path = Path("control.sock")
    """The control socket, relative to the post's directory."""
    control_group: str | None = None
    padding: bool = True
    """Whether datagrams are brought to buckets (R15) where a bearer does not say otherwise."""
    release: ReleaseRules = ReleaseRules()
    sign_in_idle_min: Annotated[int, Field(ge=1, le=720)] = IDLE_S // 60
    """Minutes after which a sign-in that nobody uses ends."""
    bearer: Annotated[
        tuple[Annotated[BearerEntry, Field(discriminator="kind")], ...],
        Field(max_length=BEARERS_MAX),
    ] = ()

    @property
    def rules(self) -> Rules:
        """What of it concerns people."""
        return Rules(60 * self.sign_in_idle_min, frozenset(self.release.two_persons))


_CODES = {
    "missing": "config.missing",
    "extra_forbidden": "config.unknown",
    "union_tag_not_found": "config.missing",
    "union_tag_invalid": "config.kind",
    "too_long": "config.too_many",
}


def load(directory: Path) -> Config:
    """The post's configuration; defaults if there is no file.

    Raises LocalError: config.unreadable, config.syntax, or config.invalid with every fault in
    `errors` (a list of {"at", "code"}) and, to be read at a glance, in `faults`.
    """
    return _parse(_read(directory / CONFIG_FILE), directory / CONFIG_FILE)


@dataclass(frozen=True)
class Change:
    """A change of the file, worked out and not yet made."""

    path: Path
    text: str
    config: Config
    """What the file will mean."""
    entry: BearerEntry
    """The entry added, changed or removed."""

    def make(self) -> Config:
        """Write the file. Raises LocalError("config.unwritable")."""
        try:
            files.replace(self.path, self.text.encode())
        except OSError as error:
            raise LocalError("config.unwritable", path=str(self.path)) from error
        return self.config


CHANGES = ("bearer_add", "bearer_change", "bearer_pause", "bearer_resume", "bearer_remove")
"""What `planned` can do; the verbs of the control socket have the same names."""


def planned(
    directory: Path, verb: str, args: Mapping[str, Any], actor: str, lines: Container[object]
) -> Change:
    """Work out one of CHANGES; `actor` is who asks for it, `lines` are the names of the lines that
    there are. Nothing is written before `Change.make`.

    `args` names the bearer by `line` and `name`; to add or change one, the other keys of its entry
    follow (None: leave as it is). Raises LocalError as `load` does, line.unknown,
    config.bearer_exists, config.bearer_unknown, config.second_tcp, config.no_tokens, and
    config.cannot_change if the file is written in a way that only a person can change (an inline
    array).
    """
    path = directory / CONFIG_FILE
    text = _read(path)
    before = _parse(text, path)
    line, name = args.get("line"), args.get("name")
    # The file may name lines that are still to be paired, and those that have ended.
    if line not in lines and (
        verb == "bearer_add" or all(each.line != line for each in before.bearer)
    ):
        raise LocalError("line.unknown", label=str(line))
    if (tokens := args.get("tokens")) is not None:
        _check_tokens(directory / str(tokens))
    if verb == "bearer_add":
        return _added(path, text, before, args)
    at = [n for n, each in enumerate(before.bearer) if (each.line, each.name) == (line, name)]
    if not at:
        raise LocalError("config.bearer_unknown", name=name)
    if verb == "bearer_remove":
        return _edited(path, text, before, at[0], None)
    said = {key: value for key, value in args.items() if key not in ("line", "name")}
    values: dict[str, Any] = {key: value for key, value in said.items() if value is not None}
    if verb in ("bearer_pause", "bearer_resume"):
        values = {"paused_by": actor if verb == "bearer_pause" else None}
    return _edited(path, text, before, at[0], values)


def _added(path: Path, text: str, before: Config, args: Mapping[str, Any]) -> Change:
    said = {name: value for name, value in args.items() if value is not None}
    _check_names(said)
    taken = {each.name: each.kind for each in before.bearer if each.line == said.get("line")}
    if "name" in said and said["name"] in taken:
        raise LocalError("config.bearer_exists", name=said["name"])
    if said.get("kind") == "tcp" and "tcp" in taken.values():
        # The other post keeps the newest connection of a line: each would end the other for ever.
        dialling = next(name for name in taken if taken[name] == "tcp")
        raise LocalError("config.second_tcp", name=dialling)
    base = str(said.get("kind"))
    free = (f"{base}-{count}" if count > 1 else base for count in range(1, BEARERS_MAX + 2))
    said.setdefault("name", next(name for name in free if name not in taken))
    lines = [f"{name} = {_toml(value)}" for name, value in said.items()]
    text = text + ("\n" if text else "") + "\n".join(["[[bearer]]", *lines, ""])
    after = _parse(text, path)
    _check_meaning(path, after, before, (*before.bearer, after.bearer[-1]))
    return Change(path, text, after, after.bearer[-1])


def _edited(
    path: Path, text: str, before: Config, at: int, values: Mapping[str, Any] | None
) -> Change:
    """Put these values into an entry, taking out what is None; without values, the entry goes."""
    sections = re.split(r"(?m)^(?=[ \t]*\[)", text)
    bearers = [n for n, each in enumerate(sections) if re.match(r"[ \t]*\[\[ *bearer *\]\]", each)]
    if len(bearers) != len(before.bearer):
        raise LocalError("config.cannot_change", path=str(path))
    left, entry, right = before.bearer[:at], before.bearer[at], before.bearer[at + 1 :]
    if values is None:
        del sections[bearers[at]]
    else:
        _check_names(values)
        sections[bearers[at]] = _with(sections[bearers[at]], values)
    text = "".join(sections)
    after = _parse(text, path)
    if values is None:
        _check_meaning(path, after, before, (*left, *right))
        return Change(path, text, after, entry)
    undone = (
        each.model_copy(update={name: getattr(entry, name) for name in values})
        for each in after.bearer[at : at + 1]
    )
    _check_meaning(path, after, before, (*left, *after.bearer[at : at + 1], *right))
    if [*undone] != [entry]:
        raise LocalError("config.cannot_change", path=str(path))
    return Change(path, text, after, after.bearer[at])


def _check_tokens(path: Path) -> None:
    """Somebody who names a file of tokens now means one that has some."""
    with suppress(OSError):
        if tokens_in(path):
            return
    raise LocalError("config.no_tokens", path=str(path))


def _check_names(values: Mapping[str, Any]) -> None:
    if not all(re.fullmatch("[a-z_]+", name) for name in values):
        raise LocalError("config.unknown")


def _check_meaning(
    path: Path, after: Config, before: Config, wanted: tuple[BearerEntry, ...]
) -> None:
    """The text must mean what was asked and nothing else."""
    if after != before.model_copy(update={"bearer": wanted}):
        raise LocalError("config.cannot_change", path=str(path))


def _with(section: str, values: Mapping[str, Any]) -> str:
    """A [[bearer]] section with these values in place of its own; None takes a line out."""
    for name, value in values.items():
        line = "" if value is None else f"{name} = {_toml(value)}\n"
        old = re.compile(rf"(?m)^[ \t]*{name}[ \t]*=.*(?:\n|\Z)")
        if old.search(section):
            section = old.sub(line.replace("\\", r"\\"), section, count=1)
        else:
            heading, end, rest = section.partition("\n")
            section = f"{heading}\n{line}{rest}" if end else f"{heading}\n{line}"
    return section


def _toml(value: object) -> str:
    if isinstance(value, bool | int | str):
        # A JSON string, kept in UTF-8, is a TOML string; half a surrogate pair is in neither.
        with suppress(UnicodeEncodeError):
            return json.dumps(value, ensure_ascii=False).encode().decode()
    raise LocalError("config.value")


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
        if len(data) > FILE_BYTES_MAX:
            raise LocalError("config.too_long", path=str(path))
        return data.decode()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise LocalError("config.unreadable", path=str(path)) from error


def _parse(text: str, path: Path) -> Config:
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise LocalError("config.syntax", path=str(path), reason=str(error)) from error
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        found = [
            (_place(each["loc"]), str(each.get("ctx", {}).get("error") or each["type"]))
            for each in error.errors()
        ]
        raise _invalid(path, found) from None
    names = [(each.line, each.name) for each in config.bearer]
    twice = [n for n, name in enumerate(names) if name in names[:n]]
    if twice:
        raise _invalid(path, [(f"bearer[{n + 1}].name", "config.name_taken") for n in twice])
    return config


def _place(location: tuple[int | str, ...]) -> str:
    """Where in the file, counting from 1: bearer[2].address."""
    kinds = {get_args(entry.model_fields["kind"].annotation)[0] for entry in get_args(BearerEntry)}
    steps = [step for at, step in enumerate(location) if not (at == 2 and step in kinds)]
    shown = "".join(f"[{step + 1}]" if isinstance(step, int) else f".{step}" for step in steps)
    return shown.removeprefix(".").removesuffix(".[key]")


def _invalid(path: Path, found: list[tuple[str, str]]) -> LocalError:
    errors = [
        {"at": at, "code": kind if kind.startswith("config.") else _CODES.get(kind, "config.value")}
        for at, kind in found
    ]
    faults = ", ".join(f"{each['at']} ({each['code']})" for each in errors)
    return LocalError("config.invalid", path=str(path), faults=faults, errors=errors)
