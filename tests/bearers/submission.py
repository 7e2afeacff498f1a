"""A mail server of a provider, as a process: it takes mails by SMTP and delivers them by LMTP.

It is told how to behave by a file that the test may change at any time, and says what it did by
appending lines to another. Arguments: the directory of both, port, port of LMTP, "tls", "starttls"
or "none".
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import smtplib
import ssl
import sys
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope

PASSWORD = "secret"


class Provider:
    """The hooks of the server."""

    def __init__(self, place: Path, lmtp_port: int) -> None:
        self.place = place
        self.lmtp_port = lmtp_port

    def told(self, what: str) -> Any:
        """What the test wants of `what` now."""
        with contextlib.suppress(OSError, ValueError):
            return json.loads((self.place / "policy.json").read_text()).get(what)
        return None

    def note(self, what: str) -> None:
        """Say what happened."""
        with (self.place / "did").open("a") as did:
            did.write(what + "\n")

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _peer: Any, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """A recipient, taken or not."""
        answer = self.told("rcpt")
        self.note("rcpt " + (answer or "250"))
        if answer:
            return str(answer)
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(  # noqa: N802
        self, _server: SMTP, _peer: Any, envelope: Envelope
    ) -> str:
        """A mail: delivered before it is said to be taken, unless the test wants it otherwise."""
        most = self.told("bytes_max")
        content = envelope.original_content or b""
        if most and len(content) > most:
            self.note("data 552")
            return "552 5.3.4 too long"
        await asyncio.sleep(self.told("data_s") or 0)
        if self.told("swallow"):
            self.note("data swallowed")
            return "250 OK"
        sender, recipients = envelope.mail_from or "", envelope.rcpt_tos
        if self.told("keep"):
            count = len([*self.place.glob("mail-*")])
            (self.place / f"mail-{count:04d}").write_bytes(content)
        answer = "250 OK"
        for _ in range(self.told("copies") or 1):
            answer = await asyncio.to_thread(self.deliver, sender, recipients, content)
        self.note("data " + answer)
        return answer

    def deliver(self, sender: str, recipients: list[str], content: bytes) -> str:
        """Pass a mail on; the answer of who took it, or did not."""
        try:
            with smtplib.LMTP("127.0.0.1", self.lmtp_port, timeout=20) as lmtp:
                lmtp.sendmail(sender, recipients, b"Received: by example.org\r\n" + content)
        except smtplib.SMTPRecipientsRefused as refused:
            code, text = next(iter(refused.recipients.values()))
            return f"{code} {text.decode('utf-8', 'replace').splitlines()[0]}"
        except smtplib.SMTPResponseException as refused:
            said = refused.smtp_error
            said = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
            return f"{refused.smtp_code} {said.splitlines()[0]}"
        except OSError:
            return "451 4.4.1 later"
        return "250 OK"


async def main(place: Path, port: int, lmtp_port: int, security: str) -> None:
    """Serve until killed."""
    provider = Provider(place, lmtp_port)
    tls = None
    if security != "none":
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(place / "cert.pem", place / "key.pem")

    def authenticate(
        _server: SMTP, _peer: Any, _envelope: Envelope, _mechanism: str, given: Any
    ) -> AuthResult:
        good = given.password == PASSWORD.encode()
        provider.note("login" if good else "login refused")
        return AuthResult(success=good, handled=False)

    def server() -> SMTP:
        return SMTP(
            provider,
            data_size_limit=provider.told("size") or 1 << 25,
            authenticator=authenticate,
            auth_required=True,
            auth_require_tls=security == "starttls",
            require_starttls=security == "starttls",
            tls_context=tls if security == "starttls" else None,
            hostname="mail.example.org",
        )

    listening = await asyncio.get_running_loop().create_server(
        server, "127.0.0.1", port, ssl=tls if security == "tls" else None
    )
    print("ready", flush=True)
    async with listening:
        await listening.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
