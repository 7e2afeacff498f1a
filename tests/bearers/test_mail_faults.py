"""What goes wrong with mail, over a real Dovecot and a real SMTP server: told, and mended."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from email import message_from_bytes

import pytest

from bench.posts import until
from openline.bearers import letter, smtp
from openline.bearers.account import Addressed
from openline.bearers.base import URGENT, Pause
from openline.bearers.framing import LineKey

from .contract import End
from .provider import DOMAIN, Provider, make_certificates, needs_dovecot
from .test_mail import FAR, NEAR, QUICK, bearer

pytestmark = needs_dovecot

NEVER = Pause(1000, 1000)

HEADERS = {
    "date",
    "from",
    "to",
    "message-id",
    "subject",
    "mime-version",
    "content-type",
    "content-disposition",
    "content-transfer-encoding",
}


@pytest.fixture
def provider() -> Iterator[Provider]:
    """A provider that runs, without encryption."""
    made = Provider()
    made.start()
    yield made
    made.close()


Scene = Callable[[End, End], Awaitable[None]]


def play(near: End, far: End, scene: Scene, *, up: bool = True) -> None:
    """Run a scene with two bearers; they are up unless it is not to be waited for."""

    async def whole() -> None:
        try:
            far.start()
            near.start()
            for end in (near, far) if up else ():
                await end.port.until_up()
            await scene(near, far)
        finally:
            await near.stop()
            await far.stop()

    asyncio.run(whole())


def ends(provider: Provider, **said: object) -> tuple[End, End]:
    """Both ends of a line, each with a mailbox; `said` as of the near account."""
    near = provider.account("near", "far")._replace(**said)  # type: ignore[arg-type]
    return End(bearer(near, NEAR)), End(bearer(provider.account("far", "near"), FAR))


async def crosses(near: End, far: End, datagram: bytes) -> None:
    """A datagram sent now arrives."""
    near.port.send(datagram)
    await far.port.until(lambda: datagram in far.port.arrived)


def report(named: bytes, status: str = "5.1.1", action: str = "failed") -> bytes:
    """A report that a mail did not arrive, with some text of that mail in it."""
    return (
        b"From: MAILER-DAEMON@example.net\r\nTo: near@example.org\r\nSubject: Undelivered\r\n"
        b"MIME-Version: 1.0\r\n"
        b'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
        b"--b\r\nContent-Type: text/plain\r\n\r\nIt did not arrive.\r\n"
        b"--b\r\nContent-Type: message/delivery-status\r\n\r\n"
        b"Reporting-MTA: dns; mx.example.net\r\n\r\n"
        b"Final-Recipient: rfc822; far@example.org\r\n"
        + f"Action: {action}\r\nStatus: {status}\r\n\r\n".encode()
        + b"--b\r\nContent-Type: text/rfc822-headers\r\n\r\n"
        + named
        + b"\r\n--b--\r\n"
    )


@pytest.mark.parametrize("security", ["none", "starttls"])
def test_it_crosses_without_encryption_on_loopback_and_with_starttls(security: str) -> None:
    made = Provider(security="starttls" if security == "starttls" else "none")
    made.start()
    try:
        play(*ends(made), lambda near, far: crosses(near, far, b"there"))
    finally:
        made.close()


def test_a_server_that_proves_nothing_is_told_no_password() -> None:
    made = Provider(security="tls")
    made.start()

    async def scene(near: End, _far: End) -> None:
        await near.port.until(lambda: "bearer.tls" in near.port.states)
        assert "up" not in near.port.states

    try:
        near = End(bearer(made.account("near", "far")._replace(ca_file=None), NEAR))
        play(near, ends(made)[1], scene, up=False)
        assert made.did().count("login") <= 1  # the far end's
        assert "user=<near>" not in (made.place / "dovecot.log").read_text()
    finally:
        made.close()


def test_a_renewed_authority_is_noticed_while_the_bearer_runs() -> None:
    made = Provider(security="tls")
    made.start()

    async def scene(near: End, far: End) -> None:
        await crosses(near, far, b"under the old one")
        await asyncio.to_thread(made.kill)
        made.ca_file.unlink()
        made.ca_file.write_text("half of a fi")
        await near.port.until(lambda: near.port.states[-1] == "bearer.mail_ca_file")
        make_certificates(made.place)
        await asyncio.to_thread(made.start)
        for end in (near, far):
            await end.port.until_up()
        await crosses(near, far, b"under the new one")
        assert near.running

    try:
        play(*ends(made), scene)
    finally:
        made.close()


def test_what_is_put_off_is_tried_again_and_arrives(provider: Provider) -> None:
    async def scene(near: End, far: End) -> None:
        provider.behave(rcpt="450 4.2.0 greylisted, come again")
        near.port.send(b"patience")
        await near.port.until(lambda: near.port.states[-1] == "bearer.mail_later")
        provider.behave()
        await far.port.until(lambda: far.port.arrived == [b"patience"])
        await near.port.until(lambda: near.port.is_up)

    play(*ends(provider), scene)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("550 5.1.1 no such user", "bearer.mail_no_mailbox"),
        ("550 5.7.1 not welcome", "bearer.mail_refused"),
        ("452 4.2.2 quota exceeded", "bearer.mail_full"),
    ],
)
def test_a_refusal_is_told_for_what_it_is_and_tried_rarely(
    provider: Provider, answer: str, code: str
) -> None:
    near, far = ends(provider)
    near = End(
        bearer(provider.account("near", "far"), NEAR, QUICK._replace(later=NEVER, rarely=NEVER))
    )

    async def scene(near: End, _far: End) -> None:
        provider.behave(rcpt=answer)
        near.port.send(b"refused")
        await near.port.until(lambda: near.port.states[-1] == code)
        near.port.send(b"not taken while down for long")

    play(near, far, scene)
    assert [what for what in provider.did() if what.startswith("rcpt")] == [f"rcpt {answer}"]


def test_a_mail_too_long_is_made_shorter(provider: Provider) -> None:
    async def scene(near: End, far: End) -> None:
        provider.behave(bytes_max=30_000)
        sent = [bytes([n]) * 4096 for n in range(30)]
        near.port.send(*sent)
        await far.port.until(lambda: sorted(far.port.arrived) == sent)
        assert set(near.port.states) == {"up"}

    play(*ends(provider), scene)


def test_a_server_that_says_what_it_takes_is_given_no_more(provider: Provider) -> None:
    provider.behave(size=30_000)

    async def scene(near: End, far: End) -> None:
        sent = [bytes([n]) * 4096 for n in range(30)]
        near.port.send(*sent)
        await far.port.until(lambda: sorted(far.port.arrived) == sent)

    play(*ends(provider), scene)
    assert not [what for what in provider.did() if "552" in what]


def test_a_mail_that_was_put_off_and_is_too_long_then_is_made_shorter(provider: Provider) -> None:
    sent = [bytes([n]) * 4096 for n in range(14)]

    async def scene(near: End, far: End) -> None:
        provider.behave(rcpt="452 4.3.1 no room just now")
        near.port.send(*sent)
        await near.port.until(lambda: near.port.states[-1] == "bearer.mail_later")
        provider.behave(bytes_max=30_000)
        await near.port.until(lambda: near.port.is_up)
        near.port.send(*sent)
        await far.port.until(lambda: sorted(set(far.port.arrived)) == sent)

    play(*ends(provider), scene)


def test_a_server_that_takes_its_time_over_a_mail_is_waited_for(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smtp, "TIMEOUT_S", 1.0)
    provider.behave(data_s=3)

    async def scene(near: End, far: End) -> None:
        await crosses(near, far, b"looked into")
        assert set(near.port.states) == {"up"}

    play(*ends(provider), scene)


@pytest.mark.parametrize("host", ["mail..example.org", "x" * 70 + ".example.org"])
def test_a_host_that_is_no_name_is_told_as_one(provider: Provider, host: str) -> None:
    account = provider.account("near", "far")
    account = account._replace(smtp=account.smtp._replace(host=host))

    async def scene(near: End, _far: End) -> None:
        await near.port.until(lambda: "bearer.no_address" in near.port.states)
        assert near.running

    play(End(bearer(account, NEAR)), ends(provider)[1], scene, up=False)


def test_where_even_the_shortest_mail_is_too_long_it_is_told(provider: Provider) -> None:
    provider.behave(bytes_max=1000)

    async def scene(near: End, _far: End) -> None:
        near.port.send(b"x")
        await near.port.until(lambda: near.port.states[-1] == "bearer.mail_too_long")

    play(*ends(provider), scene)


def test_a_full_mailbox_is_told_and_carries_again_when_room_is_made() -> None:
    made = Provider(quota_kb=60)
    made.start()
    made.put("far", b"From: x@example.net\r\nSubject: pictures\r\n\r\n" + b"x" * 57_000)

    async def scene(near: End, far: End) -> None:
        near.port.send(b"no room")
        await near.port.until(lambda: near.port.states[-1] == "bearer.mail_full")
        await asyncio.to_thread(made.empty, "far")
        await far.port.until(lambda: far.port.arrived == [b"no room"])
        await near.port.until(lambda: near.port.is_up)

    try:
        play(*ends(made), scene)
    finally:
        made.close()


def test_a_folder_that_vanishes_is_told_and_serves_again_when_it_is_back(
    provider: Provider,
) -> None:
    far = provider.account("far", "near")._replace(folder="Line")
    near = provider.account("near", "far")
    near = near._replace(addressed=near.addressed._replace(recipient=f"far+Line@{DOMAIN}"))

    def folder(act: str) -> None:
        with provider.reader("far") as client:
            getattr(client, act)("Line")

    async def scene(near: End, far: End) -> None:
        await far.port.until(lambda: far.port.states[-1:] == ["bearer.mail_folder"])
        await asyncio.to_thread(folder, "create")
        await far.port.until(lambda: far.port.is_up)
        for count in range(2):
            await crosses(near, far, b"into the folder %d" % count)
            await asyncio.to_thread(folder, "delete")
            await far.port.until(lambda: far.port.states[-1] == "bearer.mail_folder")
            await asyncio.to_thread(folder, "create")
            await far.port.until(lambda: far.port.is_up)

    play(End(bearer(near, NEAR)), End(bearer(far, FAR)), scene, up=False)


def test_a_wrong_password_is_told_tried_once_and_taken_when_corrected(provider: Provider) -> None:
    wrong = provider.place / "wrong"
    wrong.write_text("guess\n")
    wrong.chmod(0o600)
    account = provider.account("near", "far")._replace(password_file=wrong)
    near = End(bearer(account, NEAR, QUICK._replace(rarely=NEVER, password_s=0.05)))

    async def scene(near: End, far: End) -> None:
        await near.port.until(lambda: near.port.states[-1:] == ["bearer.mail_login"])
        await asyncio.to_thread(until, lambda: "login refused" in provider.did())
        new = provider.place / "new"
        new.write_text(provider.password_file.read_text())
        new.chmod(0o600)
        new.rename(wrong)
        await near.port.until(lambda: near.port.is_up)
        await crosses(near, far, b"let in")

    play(near, ends(provider)[1], scene, up=False)
    assert provider.did().count("login refused") <= 2  # once each way of proving it
    assert 1 <= (provider.place / "dovecot.log").read_text().count("auth failed") <= 2


def test_a_password_that_others_can_read_is_not_used(provider: Provider) -> None:
    provider.password_file.chmod(0o644)

    async def scene(near: End, _far: End) -> None:
        await near.port.until(lambda: near.port.states == ["bearer.mail_password_file"])
        await asyncio.to_thread(provider.password_file.chmod, 0o600)
        await near.port.until(lambda: near.port.is_up)

    play(*ends(provider), scene, up=False)


def test_mails_that_come_many_times_all_go_and_change_nothing(provider: Provider) -> None:
    provider.behave(copies=3)

    async def scene(near: End, far: End) -> None:
        await crosses(near, far, b"thrice")
        await asyncio.to_thread(until, lambda: not provider.mails("far"))
        assert set(far.port.arrived) == {b"thrice"}

    play(*ends(provider), scene)


def test_what_is_not_of_the_line_stays_and_is_not_marked_as_read(provider: Provider) -> None:
    stranger = LineKey(2, bytes(32), 1)
    addressed = Addressed("x@example.net", f"far@{DOMAIN}")
    foreign = letter.compose(stranger, addressed, [b"not ours"], 0, os.urandom)
    # A copy of a real one that was changed on its way: proven by name, and damaged.
    real = letter.compose(NEAR, addressed, [b"ours"], 0, os.urandom).splitlines(keepends=True)
    damaged = b"".join([*real[:20], b"AAAA" + real[20][4:], *real[21:]])
    others = [foreign, damaged, b"From: a@example.net\r\nSubject: \r\n\r\nlunch?\r\n"]
    for mail in others:
        provider.put("far", mail)

    async def scene(near: End, far: End) -> None:
        await crosses(near, far, b"ours")
        await asyncio.to_thread(until, lambda: len(provider.mails("far")) == len(others))
        assert far.port.offered == [b"ours"]

    play(*ends(provider), scene)
    assert provider.mails("far") == others
    with provider.reader("far") as client:
        assert len(client.search(None, "UNSEEN")[1][0].split()) == len(others)


def test_a_report_about_a_mail_of_ours_is_heard_once_and_deleted(provider: Provider) -> None:
    provider.behave(keep=True)

    async def scene(near: End, far: End) -> None:
        await crosses(near, far, b"it did arrive, but never mind")
        [mail] = provider.kept()
        number = next(each for each in mail.splitlines() if each.startswith(b"Message-ID"))
        near.port.states.clear()
        for _ in range(2):
            await asyncio.to_thread(provider.put, "near", report(number))
            await asyncio.to_thread(until, lambda: not provider.mails("near"))
        await near.port.until(lambda: near.port.is_up)
        assert near.port.states == ["bearer.mail_no_mailbox", "up"]

    play(*ends(provider), scene)


def test_a_report_that_is_made_up_is_left_alone(provider: Provider) -> None:
    forged = [
        report(b"Message-ID: <%s@example.org>" % os.urandom(16).hex().encode()),
        report(b"Subject: yours"),
    ]

    async def scene(near: End, far: End) -> None:
        for each in forged:
            await asyncio.to_thread(provider.put, "near", each)
        await crosses(far, near, b"after them")
        assert set(near.port.states) == {"up"}

    play(*ends(provider), scene)
    assert provider.mails("near")[: len(forged)] == forged


def test_nothing_in_a_mail_tells_what_it_is(provider: Provider) -> None:
    provider.behave(keep=True)
    play(*ends(provider), lambda near, far: crosses(near, far, b"what is said"))
    [raw] = provider.kept()
    mail = message_from_bytes(raw)
    found = {name.lower() for part in mail.walk() for name in part.keys()}  # noqa: SIM118
    assert found <= HEADERS
    assert mail["subject"].strip() == ""
    assert mail["from"] == f"near@{DOMAIN}"
    telling = (b"openline", b"parcel", b"moscow", b"python", b"line", b"seal", b"urgent", b"x-")
    lines = raw.lower().split(b"\r\n\r\n")
    readable = b"\r\n".join(part for part in lines if b" " in part)
    assert not [word for word in telling if word in readable.replace(b"near@", b"")]
    assert b"what is said" not in raw
    received = next(part for part in mail.walk() if part.get_filename())
    assert len(received.get_payload(decode=True) or b"") % 4096 == 16
    log = (provider.place / "dovecot.log").read_text().lower()
    assert "openline" not in log


def test_two_lines_share_a_mailbox(provider: Provider) -> None:
    other_near = LineKey(2, bytes(32), 1)
    other_far = other_near._replace(direction=2)
    accounts = provider.account("near", "far"), provider.account("far", "near")
    others = End(bearer(accounts[0], other_near)), End(bearer(accounts[1], other_far))

    async def scene(near: End, far: End) -> None:
        for end in others:
            end.start()
        try:
            for end in others:
                await end.port.until_up()
            for count in range(3):
                await crosses(near, far, b"one %d" % count)
                await crosses(others[0], others[1], b"two %d" % count)
            assert all(each.startswith(b"one") for each in far.port.offered)
            assert all(each.startswith(b"two") for each in others[1].port.offered)
            await asyncio.to_thread(until, lambda: not provider.mails("far"))
        finally:
            for end in others:
                await end.stop()

    play(*ends(provider), scene)


def test_what_is_urgent_waits_for_nothing_and_takes_the_rest_with_it(provider: Provider) -> None:
    slow = QUICK._replace(gather_s=1000)
    near = End(bearer(provider.account("near", "far"), NEAR, slow))

    async def scene(near: End, far: End) -> None:
        near.port.send(b"routine")
        await near.port.until(lambda: near.port.taken == 1)
        near.port.send(b"flash", rank=URGENT)
        await far.port.until(lambda: len(far.port.arrived) == 2)
        assert far.port.batches == [2]
        assert far.port.arrived == [b"flash", b"routine"]

    play(near, ends(provider)[1], scene)


def test_what_is_urgent_does_not_wait_for_all_that_the_hand_can_hold(provider: Provider) -> None:
    near = End(bearer(provider.account("near", "far", mails_per_hour=5), NEAR))

    async def scene(near: End, far: End) -> None:
        near.port.send(*[bytes([n % 256]) * 4096 for n in range(600)])
        await near.port.until(lambda: near.port.taken > 250)
        near.port.send(b"flash", rank=URGENT)
        await far.port.until(lambda: b"flash" in far.port.arrived)

    play(near, ends(provider)[1], scene)


def test_an_hour_has_so_many_mails_and_some_are_kept_for_what_is_urgent(
    provider: Provider,
) -> None:
    near = End(bearer(provider.account("near", "far", mails_per_hour=5), NEAR))

    async def scene(near: End, far: End) -> None:
        for count in range(4):
            await crosses(near, far, b"routine %d" % count)
        near.port.send(b"one too many")
        await near.port.until(lambda: near.port.taken == 5)
        near.port.send(b"flash", rank=URGENT)
        await far.port.until(lambda: b"flash" in far.port.arrived)
        near.port.send(b"flash too many", rank=URGENT)
        await near.port.until(lambda: near.port.taken == 7)

    play(near, ends(provider)[1], scene)
    assert len([what for what in provider.did() if what == "data 250 OK"]) == 5
