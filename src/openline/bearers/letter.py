"""Mails that are parcels, and mails that say one did not arrive (docs/protocol.md §14).

Theory of operation: sans-IO. A letter is a mail with one parcel as its attachment. The attachment
has the parcel's name; the number of the mail (Message-ID) is another name of the same making, which
only the two posts can tell from chance. So whatever comes back to us with one of our names in it
answers a mail of ours, also after a restart, and a stranger cannot make such a thing up: nothing
needs to be remembered. What is not proven by a name is nobody's business here. A mail is written by
hand, line by line, because the usual libraries sign their work; it is read by one, and whatever
that stumbles over is no letter. What it would labour over is taken out before it reads, for the
time it takes grows with the square of a header's length, and with the depth of parts within parts.
Servers, sockets and clocks must not live here.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from email import message_from_bytes
from email.message import Message
from email.utils import formatdate
from typing import NamedTuple

from openline.errors import BearerError

from . import parcel
from .account import Addressed
from .framing import LineKey

MAIL_BYTES_MAX = 256 * 1024
"""Longest mail that is read: the longest parcel in base64, and room for what servers add."""

BOUNCE_BYTES = 64 * 1024
"""How much of a report is read."""

NAMES_MAX = 64
"""Names in one mail that are looked at."""

HEADER_BYTES_MAX = 1000
"""Length of a header that names a file, or a part's end; ours have a tenth of it."""

PARTED_MAX = 16
"""How often a mail may be cut in parts; ours is once, and a server or a list may wrap it."""

OVERHEAD_BYTES = 2048
"""Bytes of a mail beside its attachment, at most."""

SUFFIX = ".bin"

_NAME = re.compile(rb"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])")
_REPORT = re.compile(rb'"report"\s{0,8}\(', re.IGNORECASE)
_LONG = re.compile(
    rb"(?<![^\r\n])content-(?:type|disposition):(?:[^\r\n]|[\r\n]++[ \t]){%d}" % HEADER_BYTES_MAX,
    re.IGNORECASE,
)
_ACTION = re.compile(rb"^action:[ \t]*([a-z]+)", re.IGNORECASE | re.MULTILINE)
_STATUS = re.compile(rb"^status:[ \t]*([245]\.\d{1,3}\.\d{1,3})", re.IGNORECASE | re.MULTILINE)
_ENHANCED = re.compile(r"\s*[245]\.(\d{1,3})\.(\d{1,3})\b")
_FULL = re.compile(r"quota|full|storage", re.IGNORECASE)


class Bounce(NamedTuple):
    """A report about a mail of ours."""

    name: str
    """By which it was known."""
    code: str
    """What went wrong; "" where nothing has yet (a delay), or nothing did."""


def compose(
    line: LineKey,
    addressed: Addressed,
    datagrams: list[bytes],
    wall_s: int,
    entropy: Callable[[int], bytes],
) -> bytes:
    """The mail that carries these datagrams (one load of `parcel.loads`), lines ended by CR LF."""
    name, content = parcel.pack(line, datagrams, entropy(parcel.SALT_BYTES))
    number = parcel.name_of(line, entropy(parcel.SALT_BYTES))
    boundary = entropy(12).hex()
    attachment = f'"{name}{SUFFIX}"'
    lines = [
        f"Date: {formatdate(wall_s)}",
        f"From: {addressed.sender}",
        f"To: {addressed.recipient}",
        f"Message-ID: <{number}@{addressed.sender.rpartition('@')[2]}>",
        "Subject: ",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/mixed; boundary="{boundary}"',
        "",
        f"--{boundary}",
        "Content-Type: text/plain; charset=us-ascii",
        "",
        "",
        f"--{boundary}",
        f"Content-Type: application/octet-stream; name={attachment}",
        f"Content-Disposition: attachment; filename={attachment}",
        "Content-Transfer-Encoding: base64",
        "",
        *base64.encodebytes(content).decode("ascii").splitlines(),
        f"--{boundary}--",
        "",
    ]
    return "\r\n".join(lines).encode("ascii")


def plain_bytes_within(mail_bytes: int) -> int:
    """How many bytes of frames fit into a mail of this length, in whole buckets of a parcel."""
    # 57 bytes become a line of 78; 16 are the parcel's seal.
    content = (mail_bytes - OVERHEAD_BYTES) // 78 * 57 - 16
    return max(0, content) // parcel.BUCKET_BYTES * parcel.BUCKET_BYTES


def names_in(line: LineKey, text: bytes, direction: int) -> Iterator[str]:
    """The names in some text that prove to be of this line and direction."""
    for count, found in enumerate(_NAME.finditer(text)):
        if count >= NAMES_MAX:
            return
        name = found[0].decode("ascii")
        if parcel.direction_of(line, name) == direction:
            yield name


def may_be_report(structure: bytes) -> bool:
    """Whether the structure of a mail (IMAP's BODYSTRUCTURE) is that of a delivery report."""
    return b"delivery-status" in structure.lower() and _REPORT.search(structure) is not None


def opened(line: LineKey, mail: bytes) -> list[bytes]:
    """The datagrams that a mail of the other side carries; none if it is no letter to us, or one
    that was damaged on its way.
    """
    found: list[bytes] = []
    for said, content in _attachments(mail):
        for name in names_in(line, said, 3 - line.direction):
            try:
                found += parcel.unpack(line, name, content)
            except BearerError:
                continue
    return found


def bounce(line: LineKey, mail: bytes) -> Bounce | None:
    """What a report says about a mail of ours; None if it names none."""
    name = next(names_in(line, mail, line.direction), None)
    if name is None:
        return None
    action, status = _ACTION.search(mail), _STATUS.search(mail)
    if action is not None and action[1].lower() != b"failed":
        return Bounce(name, "")
    if status is None:
        return Bounce(name, "bearer.mail_bounced")
    code = meaning(int(status[1][:1]) * 100, status[1].decode("ascii"))
    return Bounce(name, "bearer.mail_bounced" if code in _UNSPECIFIC else code)


def meaning(status: int, text: str) -> str:
    """The code of what a mail server answered: its number, and its text with the finer number of
    RFC 3463 where it gives one.
    """
    finer = _ENHANCED.match(text)
    subject, detail = (int(finer[1]), int(finer[2])) if finer else (0, 0)
    if (subject, detail) == (3, 4) or (subject, detail) == (2, 3):
        return "bearer.mail_too_long"
    if (subject, detail) == (2, 2) or (status in (452, 552) and _FULL.search(text)):
        return "bearer.mail_full"
    if status == 552 and not finer:
        return "bearer.mail_too_long"
    if status >= 500 and (subject == 1 or (subject, detail) == (2, 1)):
        return "bearer.mail_no_mailbox"
    return _UNSPECIFIC[status >= 500]


_UNSPECIFIC = ("bearer.mail_later", "bearer.mail_refused")


def _attachments(mail: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Of each part of a mail that has a file name: that name, and the content."""
    mail = _LONG.sub(b"x:", mail[:MAIL_BYTES_MAX])
    if mail.lower().count(b"multipart/") > PARTED_MAX:
        return
    try:
        for part in _parts(message_from_bytes(mail)):
            content = part.get_payload(decode=True)
            if isinstance(content, bytes):
                yield (part.get_filename() or "").encode("ascii", "replace"), content
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError):
        # A mail made to confuse the library that reads it.
        return


def _parts(mail: Message) -> Iterator[Message]:
    return (part for part in mail.walk() if not part.is_multipart() and part.get_filename())
