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
    trusted = ("--ca-file", provider.ca_file)
    add(ours, "near", "far", provider, provider, *trusted)
    add(theirs, "far", "near", provider, provider, *trusted)
    yield ours, theirs
    for party in (ours, theirs):
        party.process.stop()


def add(party: Party, own: str, other: str, smtp: Provider, imap: Provider, *more: object) -> None:
    """A bearer by mail for a side that sends by one provider and reads at one."""
    said = {
        "--mail": f"{other}@{DOMAIN}",
        "--from": f"{own}@{DOMAIN}",
        "--user": own,
        "--smtp": f"127.0.0.1:{smtp.smtp_port}",
        "--imap": f"127.0.0.1:{imap.imap_port}",
        "--password-file": imap.password_file,
        "--mails-per-hour": 10_000,
    }
    parts = [part for pair in said.items() for part in pair]
    assert party("bearer", "add", LINE, *parts, *more) == 0


def test_a_flash_goes_out_while_nothing_can_be_fetched_and_status_says_why(
    tmp_path: Path, capsys: Captured
) -> None:
    """Each side reads at a provider of its own, to which the other sends."""
    near, far = make_pair(tmp_path)
    ours, theirs = Party(near), Party(far)
    here, there = Provider(), Provider()

    def why(*question: str) -> str:
        capsys.readouterr()
        assert ours(*question) == 0
        return capsys.readouterr().out

    def deaf() -> str:
        [mail] = [each for each in asked(capsys, ours, "bearer", "list") if each["kind"] == "mail"]
        return str(mail["code"]) if mail["up"] else "down"

    try:
        for each in (here, there):
            each.start()
        add(ours, "near", "far", there, here, "--security", "none")
        add(theirs, "far", "near", here, there, "--security", "none")
        until(lambda: deaf() == "")
        here.kill_imap()
        until(lambda: deaf() not in ("", "down"))
        assert "sends only: " in why("status", "--why")
        assert "sends only: " in why("bearer", "list")
        assert ours("send", LINE, "-p", "flash", "Can you hear us?") == 0
        until(lambda: came(capsys, theirs, "Can you hear us?") == 1)
        assert deaf() not in ("", "down")
        here.start()
        until(lambda: deaf() == "")
    finally:
        for party in (ours, theirs):
            party.process.stop()
        for each in (here, there):
            each.close()


def tear(provider: Provider, random: Random, most_s: float) -> None:
    """Kill some or all of the provider within so many seconds, and have it back soon."""
    pause = threading.Event()
    pause.wait(random.uniform(0, most_s))
    random.choice((provider.kill, provider.kill_smtp, provider.kill_imap))()
    pause.wait(random.uniform(0, 1))
    provider.start()


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
    random = Random(20 + tears)
    texts = [f"{count:02d} " + random.randbytes(TEXT_BYTES // 2).hex() for count in range(tears)]
    assert ours("send", LINE, "first") == 0
    until(lambda: came(capsys, theirs, "first") == 1)
    for text in texts:
        assert ours("send", LINE, text) == 0
        tear(provider, random, 4)

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
    random = Random(7)
    sent, saved = tmp_path / "sent.bin", tmp_path / "saved.bin"
    sent.write_bytes(random.randbytes(FILE_BYTES))
    assert ours("send", LINE, "The map.", "--attach", sent) == 0
    for _ in range(20):
        tear(provider, random, 3)

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
