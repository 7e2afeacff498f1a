"""By mail alone: two posts, each with a mailbox at a provider, and no other way between them."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from bench.posts import LINE, make_pair, until
from tests.bearers.provider import DOMAIN, Provider, needs_dovecot
from tests.command_line import Captured
from tests.test_carry import Party, asked, came, heads

pytestmark = needs_dovecot

PATIENCE_S = 600.0
"""A tear may cost a knock, and what was on its way then goes again."""

FILE_BYTES = 1_000_000
TEXT_BYTES = 52_500
"""Of one text; twenty are more than a megabyte."""


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    """No wishes of the tester's own environment."""
    for name in ("OPENLINE_DIR", "OPENLINE_KEY_FILE", "OPENLINE_LANG", "LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "C.UTF-8")


@pytest.fixture
def provider() -> Iterator[Provider]:
    """A provider with TLS."""
    made = Provider(security="tls")
    made.start()
    yield made
    made.close()


@pytest.fixture
def parties(tmp_path: Path, provider: Provider) -> Iterator[tuple[Party, Party]]:
    """Two sides, paired with a tape, with a mailbox each."""
    near, far = make_pair(tmp_path)
    ours, theirs = Party(near), Party(far)
    for party, own, other in ((ours, "near", "far"), (theirs, "far", "near")):
        said = {
            "--mail": f"{other}@{DOMAIN}",
            "--from": f"{own}@{DOMAIN}",
            "--user": own,
            "--smtp": f"127.0.0.1:{provider.smtp_port}",
            "--imap": f"127.0.0.1:{provider.imap_port}",
            "--password-file": provider.password_file,
            "--ca-file": provider.ca_file,
            "--mails-per-hour": 10_000,
        }
        assert party("bearer", "add", LINE, *[part for pair in said.items() for part in pair]) == 0
    yield ours, theirs
    for party in (ours, theirs):
        party.process.stop()


def test_a_message_and_its_receipts_go_by_mail_alone(
    parties: tuple[Party, Party], provider: Provider, capsys: Captured
) -> None:
    ours, theirs = parties
    provider.behave(keep=True)
    number = asked(capsys, ours, "send", LINE, "-p", "flash", "By mail.")["serial"]["number"]

    def state() -> str:
        return str(asked(capsys, ours, "show", LINE, f"ours:{number}")["state"])

    until(lambda: came(capsys, theirs, "By mail.") == 1)
    until(lambda: state() == "held")
    [message] = asked(capsys, theirs, "inbox")
    assert theirs("receipt", LINE, message["serial"], "--shown") == 0
    until(lambda: heads(capsys, ours) == heads(capsys, theirs)[::-1])
    until(lambda: not provider.mails("near") and not provider.mails("far"))
    assert b"By mail." not in b"".join(provider.kept())
    [bearer] = [each for each in asked(capsys, ours, "bearer", "list") if each["kind"] == "mail"]
    assert bearer["up"]
    assert "secret" not in json.dumps(bearer) + ours.process.log.read_text()


def test_a_megabyte_arrives_whole_and_once_however_often_mail_is_torn_away(
    parties: tuple[Party, Party], provider: Provider, capsys: Captured, long_run: bool
) -> None:
    """The bar: 20 tears in the long run; in the sample 3, and as many texts."""
    ours, theirs = parties
    tears = 20 if long_run else 3
    random, pause = Random(20 + tears), threading.Event()
    texts = [f"{count:02d} " + random.randbytes(TEXT_BYTES // 2).hex() for count in range(tears)]
    assert ours("send", LINE, "first") == 0
    until(lambda: came(capsys, theirs, "first") == 1)
    for text in texts:
        assert ours("send", LINE, text) == 0
        pause.wait(random.uniform(0, 4))
        tear = random.choice((provider.kill, provider.kill_smtp, provider.kill_imap))
        tear()
        pause.wait(random.uniform(0, 1))
        provider.start()

    def taken() -> list[str]:
        found = asked(capsys, theirs, "inbox", "--all")
        return [each["text"] for each in found if each["side"] == "theirs" and each.get("text")]

    until(lambda: len(taken()) >= 1 + len(texts), patience_s=PATIENCE_S)
    until(lambda: heads(capsys, ours) == heads(capsys, theirs)[::-1], patience_s=PATIENCE_S)
    arrived = sorted(taken())
    assert arrived == sorted(["first", *texts])
    digests = [hashlib.sha256("".join(each).encode()).hexdigest() for each in (arrived[:-1], texts)]
    assert digests[0] == digests[1]
    until(lambda: not provider.mails("near") and not provider.mails("far"))


@pytest.mark.long
def test_a_file_of_a_megabyte_arrives_whole_however_often_mail_is_torn_away(
    parties: tuple[Party, Party], provider: Provider, capsys: Captured, tmp_path: Path
) -> None:
    ours, theirs = parties
    random, pause = Random(7), threading.Event()
    sent, saved = tmp_path / "sent.bin", tmp_path / "saved.bin"
    sent.write_bytes(random.randbytes(FILE_BYTES))
    assert ours("send", LINE, "The map.", "--attach", sent) == 0
    for _ in range(20):
        pause.wait(random.uniform(0, 3))
        tear = random.choice((provider.kill, provider.kill_smtp, provider.kill_imap))
        tear()
        pause.wait(random.uniform(0, 1))
        provider.start()

    def there() -> list[int]:
        found = asked(capsys, theirs, "inbox")
        return [each["number"] for each in found if each.get("text") == "The map."]

    until(lambda: bool(there()), patience_s=PATIENCE_S)
    [number] = there()
    until(
        lambda: theirs("attachment", "save", LINE, str(number), saved) == 0,
        patience_s=PATIENCE_S,
    )
    assert saved.read_bytes() == sent.read_bytes()
    until(lambda: heads(capsys, ours) == heads(capsys, theirs)[::-1], patience_s=PATIENCE_S)
