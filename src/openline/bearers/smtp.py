"""Handing mails to a server by SMTP.

Theory of operation: a `Hatch` is one connection, signed in, over which mails are handed over one by
one. What the server answers is told apart in two: `TurnedDownError` is its word about this mail,
with its number and text; a BearerError is that there is no server to speak of. The name of this
machine is told to nobody: the greeting is that of an address without a name. When to try again does
not live here, nor what a mail is.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from contextlib import suppress
from types import TracebackType
from typing import Self

import aiosmtplib

from openline.errors import BearerError

from .account import Where

GREETING = "[127.0.0.1]"
"""By what we call ourselves, as many mail programs do."""

TIMEOUT_S = 30.0
"""Seconds an answer may take."""

MAIL_TIMEOUT_S = 600.0
"""Seconds that a mail may take until it is the server's: over a slow wire, and through what looks
into it (RFC 5321 section 4.5.3.2.6)."""


class TurnedDownError(Exception):
    """The server does not take a mail: `status` is its number, `text` what it says."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(status)
        self.status = status
        self.text = text


class Hatch:
    """A connection, made on entering and ended on leaving. BearerError, TurnedDownError."""

    def __init__(self, where: Where, user: str, password: str) -> None:
        self._user = user
        self._password = password
        self._client = aiosmtplib.SMTP(
            hostname=where.host,
            port=where.port,
            local_hostname=GREETING,
            timeout=TIMEOUT_S,
            use_tls=where.tls is not None and not where.starttls,
            start_tls=where.tls is not None and where.starttls,
            tls_context=where.tls,
        )

    async def __aenter__(self) -> Self:
        try:
            await self._client.connect()
            await self._client.login(self._user, self._password)
        except BaseException as error:
            self._client.close()
            await _closed()
            raise _failure(error) from None
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                with suppress(aiosmtplib.SMTPException, OSError):
                    await self._client.quit()
        finally:
            self._client.close()
            await _closed()

    @property
    def mail_bytes_max(self) -> int | None:
        """Longest mail the server says it takes; None if it does not say."""
        said = self._client.esmtp_extensions.get("size", "").strip()
        return int(said) if said.isdecimal() and int(said) > 0 else None

    async def give(self, sender: str, recipient: str, mail: bytes) -> None:
        """Hand one mail over; it is the server's when this returns."""
        size = [f"SIZE={len(mail)}"] if self._client.supports_extension("size") else []
        try:
            await self._client.mail(sender, options=size)
            await self._client.rcpt(recipient)
            await self._client.data(mail, timeout=MAIL_TIMEOUT_S)
        except aiosmtplib.SMTPResponseException as error:
            with suppress(aiosmtplib.SMTPException, OSError):
                await self._client.rset()
            raise TurnedDownError(error.code, error.message) from None
        except (aiosmtplib.SMTPException, OSError) as error:
            raise _failure(error) from None


async def _closed() -> None:
    """Let the loop close what was closed."""
    await asyncio.sleep(0)


def _failure(error: BaseException) -> BaseException:
    """What failed as an error of ours; what is none of the mail's is left as it is."""
    if isinstance(error, aiosmtplib.SMTPAuthenticationError) and error.code >= 500:
        return BearerError("bearer.mail_login", retry=True)
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return TurnedDownError(error.code if error.code > 0 else 400, error.message)
    cause: BaseException | None = error
    while cause is not None:
        for kind, code in _CODES:
            if isinstance(cause, kind):
                return BearerError(code, retry=True)
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, aiosmtplib.SMTPTimeoutError | TimeoutError):
        return BearerError("bearer.no_answer", retry=True)
    if isinstance(error, aiosmtplib.SMTPServerDisconnected):
        return BearerError("bearer.closed", retry=True)
    if isinstance(error, aiosmtplib.SMTPException) and not isinstance(error, OSError):
        # It knows no encryption, or no way to sign in that we know.
        return BearerError("bearer.mail_fault", retry=True)
    if isinstance(error, OSError):
        return BearerError("bearer.unreachable", retry=True)
    return error


_CODES: list[tuple[type[BaseException], str]] = [
    (ssl.SSLError, "bearer.tls"),
    (ConnectionRefusedError, "bearer.refused"),
    (socket.gaierror, "bearer.no_address"),
    (UnicodeError, "bearer.no_address"),
]
