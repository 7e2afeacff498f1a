"""What the bearer by mail is told: whose mailboxes, which servers, and how to take its time.

Theory of operation: values only, and two readings of files: the authority that TLS trusts, and the
password. Both are read anew for each connection, so that a renewed or corrected one is taken at
once; a password is not taken at all from a file that others can read. Nothing here speaks with a
server.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Literal, NamedTuple

from openline.errors import BearerError

from .base import Pause

PASSWORD_BYTES_MAX = 1024

Security = Literal["tls", "starttls", "none"]
"""Encryption from the first byte, after a greeting, or none."""


class Addressed(NamedTuple):
    """Who writes to whom: addresses as they stand in a mail, ASCII."""

    sender: str
    recipient: str


class Pace(NamedTuple):
    """How the bearer takes its time."""

    gather_s: float = 3.0
    """How long a mail waits for more to go with it."""
    knock: Pause = Pause(1.0, 60.0)
    """While a server cannot be reached."""
    later: Pause = Pause(60.0, 900.0)
    """After a refusal for now, and after a report."""
    rarely: Pause = Pause(900.0, 3600.0)
    """After a refusal for good, and after a password that was refused."""
    password_s: float = 5.0
    """How often it is seen whether a refused password has changed."""
    idle_s: float = 240.0
    """How long nothing may be heard from the folder before the connection is proven anew."""


PACE = Pace()


class Where(NamedTuple):
    """A server, and how to speak with it now."""

    host: str
    port: int
    tls: ssl.SSLContext | None
    """None: nothing is encrypted."""
    starttls: bool = False


class Server(NamedTuple):
    """Where a server is, and how it is spoken with."""

    host: str
    port: int
    security: Security

    def reached(self, ca_file: Path | None) -> Where:
        """How to reach it, for one connection. BearerError if the file of authorities cannot be
        read, or holds none.
        """
        tls = None
        try:
            if self.security != "none":
                tls = ssl.create_default_context(cafile=ca_file)
        except OSError:
            raise BearerError("bearer.mail_ca_file", retry=True) from None
        return Where(self.host, self.port, tls, self.security == "starttls")


class Account(NamedTuple):
    """What the operator says of a mailbox and of who reads the other."""

    addressed: Addressed
    smtp: Server
    imap: Server
    user: str
    password_file: Path
    ca_file: Path | None = None
    """The only authority trusted; None for the system's."""
    folder: str = "INBOX"
    mails_per_hour: int = 60


def password_in(path: Path) -> str:
    """The first line of a file that its owner alone may read. BearerError."""
    try:
        with path.open("rb") as file:
            mode = path.stat().st_mode
            said = file.read(PASSWORD_BYTES_MAX)
        if mode & 0o077:
            raise BearerError("bearer.mail_password_file", retry=True)
        return said.decode().split("\n")[0].rstrip("\r")
    except (OSError, UnicodeDecodeError):
        raise BearerError("bearer.mail_password_file", retry=True) from None
