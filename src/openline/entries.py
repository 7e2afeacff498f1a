"""What one [[bearer]] of post.toml may say, for each kind of bearer.

Theory of operation: an entry says where a bearer goes and what the operator knows better than the
bearer itself; every fault has a stable code. What stands in the file around the entries, and how it
is changed, is in config.py; what a bearer does with its entry does not live here.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

LISTENER = "tcp-in"
"""Name of the bearer that the listening socket is to each line; no entry may take it."""

BY_HAND = "by-hand"
"""The name under which a bag stands among the bearers of a line while it is packed; neither."""

_CALLSIGN = "[A-Za-z0-9]{1,6}(?:-(?:[1-9]|1[0-5]))?"
_MAIL_ADDRESS = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9-]*\.?[A-Za-z0-9])*"
)
_STARTTLS_PORTS = (25, 143, 587)
"""Where encryption begins after a greeting, unless the entry says otherwise."""


class Address(NamedTuple):
    """Where to dial or listen: host name or number, and TCP port."""

    host: str
    port: int


def address(value: object) -> Address:
    """An address as written, host:port or [host]:port. Raises ValueError."""
    if isinstance(value, Address):
        return value
    said = re.fullmatch(r"(?:\[([0-9a-fA-F:.%]+)\]|([^\s:\[\]]+)):(\d{1,5})", str(value))
    if not isinstance(value, str) or said is None or int(said[3]) > 65535:
        raise ValueError("config.address")
    return Address(said[1] or said[2], int(said[3]))


def _http(value: object) -> tuple[str, SplitResult] | None:
    """The address of an HTTP server, and its parts; None if it is none."""
    try:
        parts = urlsplit(value if isinstance(value, str) else "")
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return (value, parts) if good and isinstance(value, str) else None


def _url(value: object) -> str:
    said = _http(value)
    if said is None or said[1].query or said[1].fragment or said[1].username:
        raise ValueError("config.url")
    return said[0]


def _proxy(value: object) -> str:
    """An HTTP proxy, with name and password in it or not: http(s)://[user:password@]host[:port]."""
    said = _http(value)
    if said is None or said[1].path not in ("", "/") or said[1].query:
        raise ValueError("config.proxy")
    return said[0]


def _callsign(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(_CALLSIGN, value):
        raise ValueError("config.callsign")
    return value.upper()


def _mail_address(value: object) -> str:
    if isinstance(value, str) and len(value) <= 254 and _MAIL_ADDRESS.fullmatch(value):
        return value
    raise ValueError("config.mail_address")


def _folder_name(value: object) -> str:
    if isinstance(value, str) and 0 < len(value) <= 255 and value.isprintable():
        return value
    raise ValueError("config.mailbox")


def _name(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,31}", value):
        raise ValueError("config.name")
    if value in (LISTENER, BY_HAND):
        raise ValueError("config.name_taken")
    return value


def label(value: object) -> str:
    """A label of a line or a person. Raises ValueError."""
    if not isinstance(value, str) or not value or len(value) > 64 or not value.isprintable():
        raise ValueError("config.label")
    return value


class Strict(BaseModel):
    """A part of post.toml, in which nothing unknown may stand."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class _Entry(Strict):
    narrow: ClassVar[bool] = False
    """Whether the bearer is one where every byte counts: not padded unless that is said of it."""
    line: Annotated[str, BeforeValidator(label)]
    padding: bool | None = None
    """None: as the post, or not where it is narrow."""
    paused_by: Annotated[str, BeforeValidator(label)] | None = None
    """Who paused it; it carries nothing while somebody stands here."""
    cost: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    """This and the following: in place of what the bearer declares (BearerProfile)."""
    latency_ms: Annotated[int, Field(ge=0, le=86_400_000)] | None = None
    rate_bytes_s: Annotated[int, Field(ge=1, le=1 << 40)] | None = None
    loss_permille: Annotated[int, Field(ge=0, le=1000)] | None = None

    def declared(self) -> dict[str, Any]:
        """What the operator declares in place of the bearer."""
        names = ("cost", "latency_ms", "rate_bytes_s", "loss_permille")
        said = ((name, getattr(self, name)) for name in names)
        return {name: value for name, value in said if value is not None}

    def padded(self, post: bool) -> bool:
        """Whether datagrams are brought to buckets on it, given what holds for the post."""
        return (post and not self.narrow) if self.padding is None else self.padding

    def shown(self) -> dict[str, Any]:
        """The entry as JSON, without what may hold a password."""
        return self.model_dump(mode="json", exclude_none=True, exclude={"proxy"})


class TcpEntry(_Entry):
    """A bearer that dials the other post."""

    kind: Literal["tcp"]
    address: Annotated[Address, BeforeValidator(address)]
    name: Annotated[str, BeforeValidator(_name)] = "tcp"
    """Unique on its line."""

    def shown(self) -> dict[str, Any]:
        """The entry as JSON."""
        return {**super().shown(), "address": f"{self.address.host}:{self.address.port}"}


class RelayEntry(_Entry):
    """A bearer through a relay. Paths are relative to the post's directory."""

    kind: Literal["relay"]
    url: Annotated[str, BeforeValidator(_url)]
    tokens: Path | None = None
    ca_file: Path | None = None
    proxy: Annotated[str, BeforeValidator(_proxy)] | None = None
    streams: bool = True
    """False: long polls only."""
    name: Annotated[str, BeforeValidator(_name)] = "relay"


class FolderEntry(_Entry):
    """A bearer through a folder that both posts reach."""

    kind: Literal["folder"]
    path: Path
    """Relative to the post's directory."""
    name: Annotated[str, BeforeValidator(_name)] = "folder"


class SerialEntry(_Entry):
    """A bearer over a serial device."""

    narrow: ClassVar[bool] = True
    kind: Literal["serial"]
    device: Path
    baud: Annotated[int, Field(ge=50, le=4_000_000)] = 9600
    name: Annotated[str, BeforeValidator(_name)] = "serial"


class KissEntry(_Entry):
    """A bearer over a radio behind a KISS controller."""

    narrow: ClassVar[bool] = True
    kind: Literal["kiss"]
    address: Annotated[Address, BeforeValidator(address)]
    callsign: Annotated[str, BeforeValidator(_callsign)]
    to: Annotated[str, BeforeValidator(_callsign)]
    tx_delay_ms: Annotated[int, Field(ge=0, le=2_550)] | None = None
    """None: as the controller is set."""
    room_ms: Annotated[int, Field(ge=0, le=60_000)] | None = None
    name: Annotated[str, BeforeValidator(_name)] = "kiss"

    def shown(self) -> dict[str, Any]:
        """The entry as JSON."""
        return {**super().shown(), "address": f"{self.address.host}:{self.address.port}"}


class MailEntry(_Entry):
    """A bearer through mailboxes at any provider. Paths are relative to the post's directory."""

    kind: Literal["mail"]
    to: Annotated[str, BeforeValidator(_mail_address)]
    """The mailbox of the other post."""
    sender: Annotated[str, BeforeValidator(_mail_address)]
    """Ours."""
    smtp: Annotated[Address, BeforeValidator(address)]
    imap: Annotated[Address, BeforeValidator(address)]
    user: Annotated[str, BeforeValidator(label)] | None = None
    """None: as the sender."""
    password_file: Path
    security: Literal["tls", "starttls", "none"] | None = None
    """None: as is customary at the port; with "none" both servers are on this machine."""
    ca_file: Path | None = None
    mailbox: Annotated[str, BeforeValidator(_folder_name)] = "INBOX"
    """The folder of ours in which mails arrive."""
    mails_per_hour: Annotated[int, Field(ge=5, le=100_000)] = 60
    name: Annotated[str, BeforeValidator(_name)] = "mail"

    @model_validator(mode="after")
    def _only_here_in_the_clear(self) -> MailEntry:
        if self.security == "none" and not (_here(self.smtp.host) and _here(self.imap.host)):
            raise ValueError("config.mail_plain")
        return self

    def security_at(self, port: int) -> Literal["tls", "starttls", "none"]:
        """How a server at this port is spoken with."""
        return self.security or ("starttls" if port in _STARTTLS_PORTS else "tls")

    def shown(self) -> dict[str, Any]:
        """The entry as JSON."""
        where = {"smtp": self.smtp, "imap": self.imap}
        return {**super().shown(), **{name: f"{at.host}:{at.port}" for name, at in where.items()}}


def _here(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


BearerEntry = TcpEntry | RelayEntry | FolderEntry | SerialEntry | KissEntry | MailEntry
"""One [[bearer]]."""
