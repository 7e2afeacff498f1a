"""What the operator of a post decides: `post.toml` in the post's directory.

Theory of operation: the file is read as a whole and every fault in it is told at once, each with
where it is and a stable code. Everything has a default: a post without the file listens nowhere and
carries nothing. `add_bearer` and `remove_bearer` change the text, not a copy of it, so that a
person's comments stay; the new text must mean exactly what was asked, or nothing is written. No
secret stands in the file; what a bearer does with its entry, and who may do what, do not live here.

listen = "0.0.0.0:7100"          # where other posts may dial us control_group = "duty"           #
a Unix group that may reach the control socket; else its owner alone

[roles]                          # Unix user id → roles (rights.py); without it the owner has every
role 1000 = ["duty", "releaser"]

    [[bearer]]
    line = "moscow"                  # label of the line
    kind = "tcp"
    address = "post.example:7100"

[[bearer]] line = "moscow" kind = "relay" url = "https://relay.example" tokens = "relay.tokens"
# admission tokens, one in hex per line, removed as they are spent
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from .errors import LocalError
from .rights import ROLES

CONFIG_FILE = "post.toml"
"""Name of the file in the post's directory."""

FILE_BYTES_MAX = 1 << 20
BEARERS_MAX = 256

LISTENER = "tcp-in"
"""Name of the bearer that the listening socket is to each line; no entry may take it."""


class Address(NamedTuple):
    """Where to dial or listen: host name or number, and TCP port."""

    host: str
    port: int


def _address(value: object) -> Address:
    if isinstance(value, Address):
        return value
    said = re.fullmatch(r"(?:\[([0-9a-fA-F:.%]+)\]|([^\s:\[\]]+)):(\d{1,5})", str(value))
    if not isinstance(value, str) or said is None or int(said[3]) > 65535:
        raise ValueError("config.address")
    return Address(said[1] or said[2], int(said[3]))


def _url(value: object) -> str:
    try:
        parts = urlsplit(value if isinstance(value, str) else "")
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or not isinstance(value, str) or parts.query or parts.fragment or parts.username:
        raise ValueError("config.url")
    return value


def _name(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,31}", value):
        raise ValueError("config.name")
    if value == LISTENER:
        raise ValueError("config.name_taken")
    return value


def _label(value: object) -> str:
    if not isinstance(value, str) or not value or len(value) > 64 or not value.isprintable():
        raise ValueError("config.label")
    return value


def _role(value: object) -> str:
    if not isinstance(value, str) or value not in ROLES:
        raise ValueError("config.role")
    return value


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TcpEntry(_Strict):
    """A bearer that dials the other post."""

    line: Annotated[str, BeforeValidator(_label)]
    kind: Literal["tcp"]
    address: Annotated[Address, BeforeValidator(_address)]
    name: Annotated[str, BeforeValidator(_name)] = "tcp"
    """Unique on its line."""
    padding: bool | None = None
    """None: as the post."""


class RelayEntry(_Strict):
    """A bearer through a relay. Paths are relative to the post's directory."""

    line: Annotated[str, BeforeValidator(_label)]
    kind: Literal["relay"]
    url: Annotated[str, BeforeValidator(_url)]
    tokens: Path | None = None
    ca_file: Path | None = None
    proxy: str | None = None
    streams: bool = True
    """False: long polls only."""
    name: Annotated[str, BeforeValidator(_name)] = "relay"
    padding: bool | None = None


BearerEntry = TcpEntry | RelayEntry
"""One [[bearer]]."""

UserId = Annotated[int, Field(ge=0, le=2**32 - 2)]


class Config(_Strict):
    """The whole file."""

    listen: Annotated[Address, BeforeValidator(_address)] | None = None
    control: Path = Path("control.sock")
    """The control socket, relative to the post's directory."""
    control_group: str | None = None
    padding: bool = True
    """Whether datagrams are brought to buckets (R15) where a bearer does not say otherwise."""
    roles: dict[UserId, tuple[Annotated[str, BeforeValidator(_role)], ...]] | None = None
    """None: the user the post runs as has every role."""
    bearer: Annotated[
        tuple[Annotated[BearerEntry, Field(discriminator="kind")], ...],
        Field(max_length=BEARERS_MAX),
    ] = ()


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


def add_bearer(directory: Path, entry: Mapping[str, Any]) -> Config:
    """Append one [[bearer]] to the file and give the new configuration.

    Raises LocalError as `load` does, and config.bearer_exists if its name is taken on its line.
    """
    path = directory / CONFIG_FILE
    text = _read(path)
    before = _parse(text, path)
    said = {name: value for name, value in entry.items() if value is not None}
    if not all(re.fullmatch("[a-z_]+", name) for name in said):
        raise LocalError("config.unknown")
    taken = {each.name for each in before.bearer if each.line == said.get("line")}
    if "name" in said and said["name"] in taken:
        raise LocalError("config.bearer_exists", name=said["name"])
    base = str(said.get("kind"))
    free = (f"{base}-{count}" if count > 1 else base for count in range(1, BEARERS_MAX + 2))
    said.setdefault("name", next(name for name in free if name not in taken))
    lines = [f"{name} = {_toml(value)}" for name, value in said.items()]
    text = text + ("\n" if text else "") + "\n".join(["[[bearer]]", *lines, ""])
    after = _parse(text, path)
    if after != before.model_copy(update={"bearer": (*before.bearer, after.bearer[-1])}):
        raise LocalError("config.cannot_change", path=str(path))
    _replace(path, text)
    return after


def remove_bearer(directory: Path, line: str, name: str) -> Config:
    """Take one [[bearer]] out of the file and give the new configuration.

    Raises LocalError as `load` does, config.bearer_unknown, and config.cannot_change if the file is
    written in a way that only a person can change (an inline array).
    """
    path = directory / CONFIG_FILE
    text = _read(path)
    before = _parse(text, path)
    at = [n for n, each in enumerate(before.bearer) if (each.line, each.name) == (line, name)]
    if not at:
        raise LocalError("config.bearer_unknown", name=name)
    sections = re.split(r"(?m)^(?=[ \t]*\[)", text)
    bearers = [n for n, each in enumerate(sections) if re.match(r"[ \t]*\[\[ *bearer *\]\]", each)]
    if len(bearers) != len(before.bearer):
        raise LocalError("config.cannot_change", path=str(path))
    del sections[bearers[at[0]]]
    text = "".join(sections)
    after = _parse(text, path)
    left = before.bearer[: at[0]] + before.bearer[at[0] + 1 :]
    if after != before.model_copy(update={"bearer": left}):
        raise LocalError("config.cannot_change", path=str(path))
    _replace(path, text)
    return after


def _toml(value: object) -> str:
    if isinstance(value, bool | int | str):
        # A JSON string, kept in UTF-8, is a TOML string.
        return json.dumps(value, ensure_ascii=False)
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
    kinds = {"tcp", "relay"}
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


def _replace(path: Path, text: str) -> None:
    """Put the text in place of the file, so that the old or the new one is there whole."""
    new = path.with_name(path.name + ".new")
    try:
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        os.replace(new, path)
        parent = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(parent)
        finally:
            os.close(parent)
    except OSError as error:
        raise LocalError("config.unwritable", path=str(path)) from error
