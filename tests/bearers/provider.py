"""A provider of mail for tests: a real Dovecot and a real SMTP server, as processes on loopback.

Any user signs in with one password. Both can be killed and started again at the same ports; mails
stay. Where Dovecot is missing, tests are skipped with what to type.
"""

from __future__ import annotations

import datetime
import imaplib
import ipaddress
import json
import os
import pwd
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bench.posts import until
from openline import clock
from openline.bearers.account import Account, Addressed, Security, Server

from .submission import PASSWORD

DOMAIN = "example.org"

DOVECOT = shutil.which("dovecot", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")

needs_dovecot = pytest.mark.skipif(
    DOVECOT is None,
    reason="a real mail server is wanted: sudo apt-get install dovecot-imapd dovecot-lmtpd",
)

CONFIG = """
base_dir = {place}/run
state_dir = {place}/state
log_path = {place}/dovecot.log
protocols = imap lmtp
listen = 127.0.0.1
default_login_user = {login}
default_internal_user = {internal}
default_internal_group = {group}
ssl = {ssl}
ssl_cert = <{place}/cert.pem
ssl_key = <{place}/key.pem
disable_plaintext_auth = no
auth_failure_delay = 0
mail_location = maildir:{place}/mail/%n:INDEX=MEMORY
mailbox_list_index = no
mail_uid = {uid}
mail_gid = {gid}
first_valid_uid = 1
first_valid_gid = 0
mail_fsync = never
lmtp_save_to_detail_mailbox = yes
imap_capability = {capability}
mail_plugins = quota
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = home={place}/mail/%n
}}
plugin {{
  quota = maildir:all
  quota_grace = 0
  quota_rule = *:storage={quota_kb}K
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {imap_port}
    ssl = {imap_ssl}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    port = {lmtp_port}
  }}
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  chroot =
}}
protocol imap {{
  mail_max_userip_connections = 1000
}}
"""


class Provider:
    """Both servers in a directory of their own."""

    def __init__(
        self, *, security: Security = "none", quota_kb: int = 0, capability: str = "+"
    ) -> None:
        self.security = security
        self.place = Path(tempfile.mkdtemp(prefix="mail-"))
        self.place.chmod(0o755)
        self.smtp_port, self.imap_port, self.lmtp_port = _free_ports(3)
        self._smtp: subprocess.Popen[bytes] | None = None
        self._imap: subprocess.Popen[bytes] | None = None
        make_certificates(self.place)
        self.ca_file = self.place / "ca.pem"
        self._configure(quota_kb, capability)
        self.behave()
        self.password_file = self.place / "password"
        self.password_file.write_text(PASSWORD + "\n")
        self.password_file.chmod(0o600)

    def _configure(self, quota_kb: int, capability: str) -> None:
        own = pwd.getpwuid(os.getuid())
        names = [own.pw_name] * 2
        mail = own
        if os.getuid() == 0:
            names, mail = ["dovenull", "dovecot"], pwd.getpwnam("nobody")
        for name in ("run", "state", "mail"):
            (self.place / name).mkdir()
        os.chown(self.place / "mail", mail.pw_uid, mail.pw_gid)
        config = CONFIG.format(
            place=self.place,
            login=names[0],
            internal=names[1],
            group=names[1],
            uid=mail.pw_uid,
            gid=mail.pw_gid,
            ssl="no" if self.security == "none" else "required",
            imap_ssl="yes" if self.security == "tls" else "no",
            password=PASSWORD,
            quota_kb=quota_kb,
            capability=capability,
            imap_port=self.imap_port,
            lmtp_port=self.lmtp_port,
        )
        (self.place / "dovecot.conf").write_text(config)

    def account(self, user: str, other: str, *, mails_per_hour: int = 100_000) -> Account:
        """The mailbox of a user who writes to another."""
        return Account(
            Addressed(f"{user}@{DOMAIN}", f"{other}@{DOMAIN}"),
            Server("127.0.0.1", self.smtp_port, self.security),
            Server("127.0.0.1", self.imap_port, self.security),
            user,
            self.password_file,
            None if self.security == "none" else self.ca_file,
            mails_per_hour=mails_per_hour,
        )

    def behave(self, **policy: object) -> None:
        """How the SMTP server behaves from now on; nothing: as it should."""
        new = self.place / "policy.new"
        new.write_text(json.dumps(policy))
        new.rename(self.place / "policy.json")

    def did(self) -> list[str]:
        """What the SMTP server did so far."""
        with suppress(FileNotFoundError):
            return (self.place / "did").read_text().splitlines()
        return []

    def kept(self) -> list[bytes]:
        """The mails that it was told to keep a copy of."""
        return [path.read_bytes() for path in sorted(self.place.glob("mail-*"))]

    def start(self) -> None:
        """Start what does not run; returns when both answer."""
        self.start_imap()
        self.start_smtp()

    def start_imap(self) -> None:
        """Start Dovecot."""
        if self._imap is None:
            (self.place / "run" / "master.pid").unlink(missing_ok=True)
            for lock in (self.place / "mail").glob("*/*.lock"):
                # A process that was killed leaves it, and others would wait a minute for it.
                lock.unlink(missing_ok=True)
            command = [str(DOVECOT), "-F", "-c", str(self.place / "dovecot.conf")]
            with (self.place / "dovecot.err").open("ab") as err:
                self._imap = subprocess.Popen(command, stderr=err, start_new_session=True)
            for port in (self.imap_port, self.lmtp_port):
                until(lambda port=port: _answers(port))  # type: ignore[misc]

    def start_smtp(self) -> None:
        """Start the SMTP server."""
        if self._smtp is None:
            command = [sys.executable, "-m", "tests.bearers.submission", str(self.place)]
            command += [str(self.smtp_port), str(self.lmtp_port), self.security]
            with (self.place / "smtp.err").open("ab") as err:
                self._smtp = subprocess.Popen(
                    command, stdout=subprocess.PIPE, stderr=err, start_new_session=True
                )
            assert self._smtp.stdout is not None
            assert self._smtp.stdout.readline(), (self.place / "smtp.err").read_text()

    def kill_smtp(self) -> None:
        """Kill the SMTP server."""
        process, self._smtp = self._smtp, None
        _kill(process)

    def kill_imap(self) -> None:
        """Kill Dovecot, with all its processes."""
        process, self._imap = self._imap, None
        _kill(process)

    def kill(self) -> None:
        """Kill both."""
        self.kill_smtp()
        self.kill_imap()

    def close(self) -> None:
        """Kill both and delete what they kept."""
        self.kill()
        shutil.rmtree(self.place, ignore_errors=True)

    @contextmanager
    def reader(self, user: str) -> Iterator[imaplib.IMAP4]:
        """A mail program of a user, signed in, the inbox selected."""
        trusted = ssl.create_default_context(cafile=self.ca_file)
        with (
            imaplib.IMAP4_SSL("127.0.0.1", self.imap_port, ssl_context=trusted)
            if self.security == "tls"
            else imaplib.IMAP4("127.0.0.1", self.imap_port)
        ) as client:
            if self.security == "starttls":
                client.starttls(trusted)
            client.login(user, PASSWORD)
            client.select()
            yield client

    def put(self, user: str, mail: bytes) -> None:
        """A mail of somebody else's comes into a user's mailbox."""
        with self.reader(user) as client:
            client.append("INBOX", "", "", mail)

    def empty(self, user: str) -> None:
        """A user deletes all mails."""
        with self.reader(user) as client:
            client.store("1:*", "+FLAGS", r"\Deleted")
            client.expunge()

    def mails(self, user: str) -> list[bytes]:
        """What lies in a user's inbox."""
        with self.reader(user) as client:
            found = client.search(None, "ALL")[1][0].decode().split()
            answers = [client.fetch(number, "(BODY.PEEK[])")[1][0] for number in found]
            return [bytes(answer[1]) for answer in answers if isinstance(answer, tuple)]


def make_certificates(place: Path) -> None:
    """A throw-away authority (ca.pem) and what it signed for 127.0.0.1 (cert.pem, key.pem)."""
    start = datetime.datetime.fromtimestamp(clock.now().wall_s, datetime.UTC)
    start -= datetime.timedelta(days=1)

    def builder(name: str, issuer: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(start + datetime.timedelta(days=30))
        )

    authority, own = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    basic = x509.BasicConstraints(ca=True, path_length=0)
    root = builder("authority", "authority", authority).add_extension(basic, critical=True)
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    leaf = builder("mail", "authority", own).add_extension(names, critical=False)
    pem = serialization.Encoding.PEM
    (place / "ca.pem").write_bytes(root.sign(authority, hashes.SHA256()).public_bytes(pem))
    (place / "cert.pem").write_bytes(leaf.sign(authority, hashes.SHA256()).public_bytes(pem))
    (place / "key.pem").write_bytes(
        own.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def _free_ports(count: int) -> list[int]:
    """Ports that stay ours while nobody listens there: not of those that connections are given."""
    random, found = Random(os.urandom(8)), set[int]()
    while len(found) < count:
        port = random.randrange(20_000, 32_000)
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.add(port)
    return list(found)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _kill(process: subprocess.Popen[bytes] | None) -> None:
    if process is None:
        return
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()
