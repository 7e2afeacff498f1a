"""One folder of a mailbox by IMAP: what is new in it, one mail of it, and taking mails away.

Theory of operation: every call blocks and belongs in a thread; `kill` may be called from any other
and ends whatever a call waits for, as soon as there is a connection. The client is imap-tools over
the standard library's, with the reading replaced: no answer may be longer than a bound, for a
mailbox is in the hands of strangers, and what no command asked for is dropped before the next.
Mails are looked at by size and structure first; what was looked at is remembered by its UID for as
long as the folder's UIDVALIDITY stands, so that a mail of somebody else's is not asked for again. A
mail that the server cannot describe, give or delete holds up no other: it is passed over, and
looked at again over the next connection. Taking away touches the mails named and no others: where
the server cannot expunge by UID, nothing is expunged while anything else is marked as deleted. A
server that does not know IDLE, or failed at it twice, is asked every minute. What is in a mail, and
what to do when something fails, do not live here.
"""

from __future__ import annotations

import imaplib
import re
import select
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from imap_tools import MailboxFolderSelectError, MailboxLoginError
from imap_tools.errors import ImapToolsError
from imap_tools.mailbox import BaseMailBox

from openline.errors import BearerError

from .account import Where

TIMEOUT_S = 30.0
"""Seconds an answer may take."""

ANSWER_BYTES_MAX = 8 << 20
"""Longest answer to one command: a search in a folder of a million mails."""

SLICE = 100
"""Mails looked at with one command."""

POLL_S = 60.0
"""Seconds between two questions to a server that does not know IDLE."""

IDLE_FAILURES_MAX = 2
"""Times in a row that IDLE may fail to begin, before it is not asked for any more."""

_CHUNK_BYTES = 64 * 1024
_UID = re.compile(rb"\bUID (\d{1,10})\b")
# Never gives back what it took, and takes a string without an end too: else a mail of a stranger's
# could have it begin anew at each of its characters.
_QUOTED = re.compile(rb'"(?:[^"\\]|\\.?)*+"?', re.DOTALL)
_SIZE = re.compile(rb"\bRFC822\.SIZE (\d{1,19})\b")
_NOT_NOW = re.compile(rb"\[(?:UNAVAILABLE|INUSE|LIMIT)\]", re.IGNORECASE)
"""How a server says that a command fails for a reason that will pass (RFC 5530)."""


_Piece = bytes | tuple[bytes, bytes]
"""A line of an answer, or one that ends in a literal, and that."""


class Seen(NamedTuple):
    """A mail as it is listed."""

    uid: int
    structure: bytes
    """BODYSTRUCTURE as the server said it, names of attachments in it; b"" if it was not asked, or
    could not say."""


class _Client(imaplib.IMAP4):
    """The standard library's, with bounded reading and a socket that others may end."""

    def __init__(self, where: Where, connected: Callable[[socket.socket], None]) -> None:
        """`connected` is told of the connection before anything is said over it."""
        self._where = where
        self._connected = connected
        self._buffer = bytearray()
        self._taken = 0
        super().__init__(where.host, where.port, TIMEOUT_S)

    def open(self, host: str = "", port: int = 0, timeout: float | None = None) -> None:
        """Connect, over TLS if it is to be from the start."""
        self.host, self.port = host, port
        self.sock = socket.create_connection((host, port), timeout)
        try:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            self._connected(self.sock)
        except BaseException:
            self.sock.close()
            raise
        if self._where.tls is not None and not self._where.starttls:
            self._encrypt(self._where.tls)

    def _encrypt(self, tls: ssl.SSLContext) -> None:
        plain = self.sock
        try:
            self.sock = tls.wrap_socket(plain, server_hostname=self._where.host)
        except BaseException:
            plain.close()
            raise

    def upgrade(self, tls: ssl.SSLContext) -> None:
        """STARTTLS; what was said before it counts for nothing."""
        kind, _ = self._simple_command("STARTTLS")
        if kind != "OK" or self._buffer:
            raise ssl.SSLError("no encryption")
        self._encrypt(tls)
        self._get_capabilities()

    def begin(self) -> None:
        """Another command: its answer may be as long as any, and what came unasked is dropped."""
        self._taken = 0
        self.untagged_responses.clear()

    def pending(self) -> bool:
        """Whether something of an answer is here already."""
        if self._buffer:
            return True
        return isinstance(self.sock, ssl.SSLSocket) and self.sock.pending() > 0

    def _more(self) -> None:
        chunk = self.sock.recv(_CHUNK_BYTES)
        if not chunk:
            raise self.abort("end of stream")
        self._taken += len(chunk)
        if self._taken > ANSWER_BYTES_MAX:
            raise self.abort("too long an answer")
        self._buffer += chunk

    def read(self, size: int) -> bytes:
        """Exactly so many bytes."""
        if size > ANSWER_BYTES_MAX:
            raise self.abort("too long an answer")
        while len(self._buffer) < size:
            self._more()
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def readline(self) -> bytes:
        """A line with its end."""
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            self._more()
        return self.read(end + 1)

    def shutdown(self) -> None:
        """Close the connection."""
        self.sock.close()


class _Mailbox(BaseMailBox):
    def __init__(self, where: Where, connected: Callable[[socket.socket], None]) -> None:
        self._where = where
        self._connected = connected
        super().__init__()

    def _get_mailbox_client(self) -> _Client:
        return _Client(self._where, self._connected)


class Inbox:
    """The folder; not to be used from two threads at a time, but for `kill`.

    Every method but `kill` and `close` raises BearerError.
    """

    def __init__(self, user: str, folder: str, bytes_max: int) -> None:
        """A mail longer than `bytes_max` is looked at no further."""
        self._bytes_max = bytes_max
        self._user = user
        self._folder = folder
        self._box: _Mailbox | None = None
        self._handle: socket.socket | None = None
        """The connection once more, for `kill`: a TLS socket is not to be touched from two threads.
        """
        self._killed = False
        self._idle_failures = 0
        self._validity = b""
        self._marked: set[int] = set()
        """UIDs that we marked as deleted, where that is all that can be done."""
        self.taken: set[int] = set()
        """UIDs of mails that were taken in and are still to be deleted."""
        self._dark: set[int] = set()
        """UIDs of mails that the server could not describe or give when they were last passed."""
        self._untold: set[int] = set()
        """UIDs of those that it does not describe or give over this connection."""
        self._found: list[int] = []
        """UIDs that are to be looked at next, in order."""
        self._last = 0
        """Up to this UID everything was looked at."""

    def open(self, where: Where, password: str) -> None:
        """Connect, sign in and select the folder."""
        self.close()
        with _told():
            self._box = _Mailbox(where, self._connected)
            client = self._client()
            if where.tls is not None and where.starttls:
                client.upgrade(where.tls)
            client.begin()
            if (self._user + password).isascii():
                self._box.login(self._user, password, None)
            else:
                self._box.login_utf8(self._user, password, None)
            client._get_capabilities()
            self._box.folder.set(self._folder)
            validity = (client.response("UIDVALIDITY")[1] or [b""])[-1] or b""
            if validity != self._validity:
                self._validity, self._last = validity, 0
                self.taken.clear()
                self._dark.clear()
                self._marked.clear()
        self._untold.clear()
        self._found = sorted(self.taken | self._dark)

    def _connected(self, connection: socket.socket) -> None:
        self._handle = connection.dup()
        if self._killed:
            raise BearerError("bearer.closed", retry=True)

    def _client(self) -> _Client:
        client = None if self._box is None else self._box.client
        if not isinstance(client, _Client):
            raise BearerError("bearer.closed", retry=True)
        client.begin()
        return client

    def kill(self) -> None:
        """End what another thread waits for, for good."""
        self._killed = True
        handle = self._handle
        if handle is not None:
            with suppress(OSError):
                handle.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection, without a word."""
        box, self._box = self._box, None
        handle, self._handle = self._handle, None
        with suppress(OSError):
            if box is not None:
                box.client.shutdown()
        if handle is not None:
            handle.close()

    def look(self) -> list[Seen]:
        """The next mails that were not yet `passed`, SLICE at most, in the order they came, after
        those that are `taken` or could not be had; without structure those that are too long.
        """
        with _told():
            if not self._found:
                self._client().noop()
                box = self._box
                found = [] if box is None else box.uids(f"UID {self._last + 1}:*", None)
                self._found = sorted({int(uid) for uid in found if int(uid) > self._last})
            new, self._found = self._found[:SLICE], self._found[SLICE:]
            sizes = self._asked(
                [each for each in new if each not in self.taken], "RFC822.SIZE", _SIZE
            )
            structures: dict[int, bytes] = {}
            for some in _together(sizes, self._bytes_max):
                structures |= self._asked(some, "BODYSTRUCTURE", None)
        return [Seen(uid, structures.get(uid, b"")) for uid in new]

    def passed(self, uid: int) -> None:
        """This mail and those before it need not be looked at again, over this connection."""
        self._last = max(self._last, uid)
        (self._dark.add if uid in self._untold else self._dark.discard)(uid)

    def _asked(
        self, uids: list[int], what: str, said: re.Pattern[bytes] | None
    ) -> dict[int, bytes]:
        """Something of each of these mails, by UID: what `said` finds in it, or all."""
        found: dict[int, bytes] = {}
        if not uids:
            return found
        client, numbers = self._client(), ",".join(map(str, uids))
        kind, answer = client.uid("FETCH", numbers, f"(UID {what})")
        if kind == "NO" and b"[EXPUNGEISSUED]" in (answer[0] or b""):
            # Somebody else deleted one of them meanwhile; what is said of the others holds.
            kind, answer = "OK", client.response("FETCH")[1]
        if _refused(kind, answer):
            if len(uids) == 1:
                self._untold.update(uids)
                return found
            half = len(uids) // 2
            return self._asked(uids[:half], what, said) | self._asked(uids[half:], what, said)
        for each in _joined(_need((kind, answer))):
            bare = _QUOTED.sub(b"", each)
            uid, value = _UID.search(bare), said.search(bare) if said else None
            if uid is not None and int(uid[1]) in uids and (value or not said):
                found[int(uid[1])] = value[1] if value else each
        return found

    def read(self, uid: int, bytes_max: int) -> bytes:
        """A mail, or its first bytes; b"" if it cannot be had. It is not marked as read."""
        with _told():
            told = self._client().uid("FETCH", str(uid), f"(BODY.PEEK[]<0.{bytes_max}>)")
            if _refused(*told):
                self._untold.add(uid)
                return b""
            said = _need(told)
        return b"".join(each[1] for each in said if isinstance(each, tuple))

    def delete(self, uid: int) -> None:
        """Take a mail away, and no other; it is `taken` from now on, for as long as the server does
        not let it go.
        """
        self.taken.add(uid)
        with _told():
            client = self._client()
            told = client.uid("STORE", str(uid), "+FLAGS.SILENT", r"(\Deleted)")
            if not _refused(*told):
                _need(told)
                told = self._expunged(client, uid)
            if not _refused(*told):
                _need(told)
                self.taken.discard(uid)

    def _expunged(self, client: _Client, uid: int) -> tuple[str, list[Any]]:
        """Have a mail that is marked as deleted go, with others that we marked."""
        if "UIDPLUS" in client.capabilities:
            return client.uid("EXPUNGE", str(uid))
        self._marked.add(uid)
        said = _need(client.uid("SEARCH", "DELETED"))
        lines = [line for line in said if isinstance(line, bytes)]
        marked = {int(each) for line in lines for each in line.split()}
        return client.expunge() if marked <= self._marked else ("OK", [])

    def wait(self, seconds: float) -> None:
        """Return when something has come, or after so long at the most (a minute without IDLE)."""
        with _told():
            client, box = self._client(), self._box
            idles = "IDLE" in client.capabilities and self._idle_failures < IDLE_FAILURES_MAX
            if box is None or not idles:
                _readable(client.sock, min(seconds, POLL_S))
                return
            self._idle_failures += 1
            box.idle.start()  # type: ignore[no-untyped-call]
            self._idle_failures = 0
            if not client.pending():
                _readable(client.sock, seconds)
            box.idle.stop()  # type: ignore[no-untyped-call]


def _readable(sock: socket.socket, seconds: float) -> None:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    poll.poll(seconds * 1000)


def _together(sizes: dict[int, bytes], bytes_max: int) -> Iterator[list[int]]:
    """The mails that are no longer than that, in portions that a bounded answer can describe: many
    parts in many mails would make it any length.
    """
    some: list[int] = []
    total = 0
    for uid, said in sizes.items():
        size = int(said)
        if size > bytes_max:
            continue
        if some and total + size > bytes_max:
            yield some
            some, total = [], 0
        some.append(uid)
        total += size
    if some:
        yield some


def _refused(kind: str, said: list[Any]) -> bool:
    """Whether a server said NO, and not that it might do otherwise soon."""
    return kind == "NO" and not any(_NOT_NOW.search(each) for each in said if each)


def _need(said: tuple[str, list[Any]]) -> list[_Piece]:
    """What a command was answered with, if it did what it should."""
    kind, data = said
    if kind != "OK":
        raise BearerError("bearer.mail_fault", retry=True)
    return [each for each in data if each is not None]


def _joined(said: list[_Piece]) -> Iterator[bytes]:
    """An answer to FETCH, one piece for each mail, strings that came as literals put back as ones
    in quotes, so that nothing in them is taken for the server's own word.
    """
    pieces: list[bytes] = []
    for each in said:
        head, literal = each if isinstance(each, tuple) else (each, None)
        if pieces and re.match(rb"\d+ \(", head):
            yield b" ".join(pieces)
            pieces.clear()
        pieces.append(head)
        if literal is not None:
            pieces.append(b'"' + re.sub(rb'["\\]', b"", literal) + b'"')
    if pieces:
        yield b" ".join(pieces)


@contextmanager
def _told() -> Iterator[None]:
    """What goes wrong, as a BearerError without the words of the server."""
    try:
        yield
    except Exception as error:
        # All that a server can make the library stumble over; what is not known is raised as it is.
        code = _code(error)
        if code is None:
            raise
        raise BearerError(code, retry=True) from None


def _code(error: BaseException) -> str | None:
    codes: list[tuple[type[BaseException], str]] = [
        (BearerError, ""),
        (MailboxLoginError, "bearer.mail_login"),
        (MailboxFolderSelectError, "bearer.mail_folder"),
        (ssl.SSLError, "bearer.tls"),
        (ConnectionRefusedError, "bearer.refused"),
        (TimeoutError, "bearer.no_answer"),
        (socket.gaierror, "bearer.no_address"),
        (OSError, "bearer.unreachable"),
        (imaplib.IMAP4.readonly, "bearer.mail_folder"),
        (imaplib.IMAP4.abort, "bearer.closed"),
        (imaplib.IMAP4.error, "bearer.mail_fault"),
        (ImapToolsError, "bearer.mail_fault"),
        (ValueError, "bearer.mail_fault"),
    ]
    code = next((code for kind, code in codes if isinstance(error, kind)), None)
    if code == "bearer.mail_login" and "UNAVAILABLE" in str(error):
        return "bearer.mail_fault"
    return code or None
