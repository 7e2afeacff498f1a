"""The inbox over a real Dovecot, one that knows little, and servers and strangers that mean ill."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from bench.posts import until
from openline.bearers import imap, letter
from openline.bearers.account import Where
from openline.bearers.base import Pause

from .between import Rule, between
from .contract import End
from .labour import grows_no_faster
from .provider import Provider, needs_dovecot
from .test_mail import FAR, NEAR, QUICK, bearer
from .test_mail_faults import crosses, ends, play

pytestmark = needs_dovecot


@pytest.fixture
def provider() -> Iterator[Provider]:
    """A provider that runs, without encryption."""
    made = Provider()
    made.start()
    yield made
    made.close()


def test_a_server_without_idle_and_uidplus_serves_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imap, "POLL_S", 0.1)
    made = Provider(capability="IMAP4rev1")
    made.start()
    made.put("far", b"From: x@example.net\r\nSubject: old\r\n\r\nmarked by its reader\r\n")

    def mark(act: str) -> None:
        with made.reader("far") as client:
            client.store("1", act, r"\Deleted")

    async def scene(near: End, far: End) -> None:
        await asyncio.to_thread(mark, "+FLAGS")
        await crosses(near, far, b"beside a marked one")
        await asyncio.to_thread(mark, "-FLAGS")
        await crosses(near, far, b"alone")
        await asyncio.to_thread(until, lambda: len(made.mails("far")) == 1)

    try:
        play(*ends(made), scene)
        assert b"marked by its reader" in made.mails("far")[0]
    finally:
        made.close()


def opened(provider: Provider) -> imap.Inbox:
    """The inbox of a user."""
    inbox = imap.Inbox("near", "INBOX", letter.MAIL_BYTES_MAX)
    where = Where("127.0.0.1", provider.imap_port, None)
    inbox.open(where, provider.password_file.read_text().strip())
    return inbox


def test_a_mail_that_others_delete_meanwhile_keeps_nothing_from_being_seen(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    for count in range(2):
        provider.put("near", b"Subject: %d\r\n\r\n" % count)
    inbox = opened(provider)
    search = imap._Mailbox.uids

    def interrupted(*arguments: Any) -> list[str]:
        found = search(*arguments)
        with provider.reader("near") as client:
            client.store("1", "+FLAGS", r"\Deleted")
            client.expunge()
        return found

    monkeypatch.setattr(imap._Mailbox, "uids", interrupted)
    assert inbox.look()[-1].structure
    inbox.close()


def test_a_folder_of_many_mails_is_looked_at_once(provider: Provider) -> None:
    with provider.reader("near") as client:
        for count in range(imap.SLICE + 20):
            client.append("INBOX", "", "", b"Subject: %d\r\n\r\n" % count)
    inbox = opened(provider)
    seen = 0
    while found := inbox.look():
        seen += len(found)
        inbox.passed(found[-1].uid)
    assert seen == imap.SLICE + 20
    assert inbox.look() == []
    inbox.close()


def test_mails_of_countless_parts_keep_nothing_from_coming(provider: Provider) -> None:
    part = b"--b\r\n\r\n"
    strange = b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n' + part * 30_000
    assert len(strange) < letter.MAIL_BYTES_MAX
    for _ in range(12):
        provider.put("far", strange)

    async def scene(near: End, far: End) -> None:
        await crosses(near, far, b"beside them")
        await asyncio.to_thread(until, lambda: len(provider.mails("far")) == 12)

    play(*ends(provider), scene)


def test_a_structure_made_to_be_slow_to_read_is_not() -> None:
    def strip(size: int) -> bytes:
        return imap._QUOTED.sub(b"", b'1 (UID 1 BODYSTRUCTURE ("name" "' + b'\\"' * size)

    assert grows_no_faster(strip, 2000)


def test_the_words_of_a_mail_are_not_taken_for_those_of_the_server(provider: Provider) -> None:
    strange = b'x" RFC822.SIZE 7 (UID 9 BODYSTRUCTURE'
    provider.put(
        "near",
        b'Content-Type: text/plain; name="\xe9'
        + strange.replace(b'"', b'\\"')
        + b'"\r\n\r\nlunch?\r\n',
    )
    inbox = opened(provider)
    [seen] = inbox.look()
    assert seen.uid == 1
    assert strange.replace(b'"', b"") in seen.structure
    inbox.close()


def test_a_stranger_cannot_make_the_post_stand_still(provider: Provider) -> None:
    """In the structure all these are quoted, and the one that ends the string is not there."""
    value = b"\r\n ".join([b'\\\\\\"' * 200] * 250)
    strange = (
        b"Subject: s\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/mixed; boundary="b";\r\n x="\xe9\\"\r\n ' + value + b'"\r\n\r\n'
        b"--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--\r\n"
    )
    provider.put("far", strange)

    async def scene(near: End, far: End) -> None:
        await crosses(near, far, b"beside it")
        await asyncio.to_thread(until, lambda: provider.mails("far") == [strange])

    play(*ends(provider), scene)


@pytest.fixture
def stranger(provider: Provider) -> bytes:
    """A mail of a stranger, the first in the far mailbox."""
    mail = b"From: x@example.net\r\nSubject: s\r\n\r\nlunch?\r\n"
    provider.put("far", mail)
    return mail


@pytest.mark.parametrize("what", [b"RFC822.SIZE", b"BODYSTRUCTURE"])
def test_a_mail_that_the_server_cannot_describe_holds_up_no_other(
    provider: Provider, stranger: bytes, what: bytes
) -> None:
    for _ in range(4):
        provider.put("far", stranger)

    def rule(command: bytes) -> bytes | None:
        said = command.split()
        broken = said[:2] == [b"UID", b"FETCH"] and what in command and b"2" in said[2].split(b",")
        return b"NO [SERVERBUG] it does not parse" if broken else None

    scene_through(provider, rule, crossing=3)
    assert len(provider.mails("far")) == 5


def test_a_mail_that_the_server_does_not_give_is_asked_for_again_next_time(
    provider: Provider, stranger: bytes
) -> None:
    asked = list[bytes]()

    def rule(command: bytes) -> bytes | None:
        if b"BODY.PEEK" in command:
            asked.append(command)
            return b"NO it is busy" if len(asked) == 1 else None
        if command.startswith(b"IDLE") and len(asked) == 1:
            return b""
        return None

    scene_through(provider, rule, crossing=1)
    assert provider.mails("far") == [stranger]


def test_a_mail_that_the_server_does_not_delete_holds_up_no_other_and_goes_later(
    provider: Provider, stranger: bytes
) -> None:
    stores = list[bytes]()

    def rule(command: bytes) -> bytes | None:
        if b"STORE" in command:
            stores.append(command)
            return b"NO not now" if command.split()[2] == stores[0].split()[2] else None
        if command.startswith(b"IDLE") and len(stores) == 3:
            stores[0] = b"UID STORE 0"
            return b""
        return None

    scene_through(provider, rule, crossing=3)
    assert provider.mails("far") == [stranger]
    assert len(stores) == 4


def scene_through(provider: Provider, rule: Rule, crossing: int) -> None:
    """So many datagrams cross, one by one, to a post before whose server somebody stands; in the
    end none of their mails is left.
    """

    async def whole() -> None:
        strange = len(provider.mails("far"))
        near, far = ends(provider)
        account = provider.account("far", "near")
        async with between(provider.imap_port, rule) as port:
            far = End(bearer(account._replace(imap=account.imap._replace(port=port)), FAR))
            far.start()
            near.start()
            try:
                await near.port.until(lambda: near.port.is_up)
                for count in range(crossing):
                    await crosses(near, far, b"beside it %d" % count)
                await asyncio.to_thread(until, lambda: len(provider.mails("far")) == strange)
                assert set(far.port.offered) == set(far.port.arrived)
                assert len(far.port.arrived) == crossing
            finally:
                await near.stop()
                await far.stop()

    asyncio.run(whole())


@pytest.mark.parametrize("answer", [b"", b"BAD no"])
def test_a_server_that_fails_at_idle_is_asked_now_and_then_instead(
    provider: Provider, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    monkeypatch.setattr(imap, "POLL_S", 0.1)
    heard = list[bytes]()

    def rule(command: bytes) -> bytes | None:
        heard.append(command.split()[0].strip())
        return answer if heard[-1] == b"IDLE" else None

    scene_through(provider, rule, crossing=5)
    assert heard.count(b"IDLE") == 2
    assert heard.count(b"AUTHENTICATE") + heard.count(b"LOGIN") == 3


def test_a_connection_that_is_cut_again_and_again_is_made_ever_more_rarely(
    provider: Provider,
) -> None:
    heard = list[bytes]()

    def rule(command: bytes) -> bytes | None:
        heard.append(command)
        return None if command else b""  # only what ends IDLE is a line of one word

    async def whole() -> None:
        account = provider.account("near", "far")
        async with between(provider.imap_port, rule) as port:
            account = account._replace(imap=account.imap._replace(port=port))
            pace = QUICK._replace(knock=Pause(0.1, 60.0), idle_s=0.1)
            near = End(bearer(account, NEAR, pace))
            near.start()
            await asyncio.sleep(4)
            await near.stop()

    asyncio.run(whole())
    assert 2 <= sum(each.startswith(b"LOGIN") for each in heard) <= 6


def test_a_mail_that_could_not_be_had_is_offered_until_it_was_looked_at(provider: Provider) -> None:
    provider.put("near", b"Subject: x\r\n\r\n")
    inbox = opened(provider)
    where, password = Where("127.0.0.1", provider.imap_port, None), provider.password_file

    def again() -> list[int]:
        inbox.open(where, password.read_text().strip())
        return [seen.uid for seen in inbox.look() if seen.structure]

    [uid] = [seen.uid for seen in inbox.look()]
    inbox._untold.add(uid)
    inbox.passed(uid)
    assert again() == [uid]
    # The connection is lost before it is read.
    assert again() == [uid]
    inbox.passed(uid)
    assert again() == []
    inbox.close()


def test_a_folder_is_searched_once_for_all_that_is_in_it(
    provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imap, "SLICE", 2)
    for count in range(9):
        provider.put("near", b"Subject: %d\r\n\r\n" % count)
    searched, search = list[object](), imap._Mailbox.uids

    def counted(*arguments: Any) -> list[str]:
        searched.append(arguments)
        return search(*arguments)

    monkeypatch.setattr(imap._Mailbox, "uids", counted)
    inbox = opened(provider)
    looked = [seen.uid for _ in range(5) for seen in inbox.look()]
    assert looked == [*range(1, 10)]
    assert len(searched) == 1
    inbox.passed(9)
    assert inbox.look() == []
    inbox.close()


def test_what_a_server_says_unasked_is_not_kept(provider: Provider) -> None:
    inbox = opened(provider)
    assert inbox._box is not None
    kept = inbox._box.client.untagged_responses
    for count in range(20):
        kept.setdefault("FLAGS", []).append(b"%d" % count)
        inbox.look()
        assert len(kept.get("FLAGS", [])) == 0
    inbox.close()


def test_a_server_that_says_nothing_or_dribbles_holds_nothing_at_the_end(
    provider: Provider,
) -> None:
    waited, left = asyncio.Event(), asyncio.Event()

    async def dribble(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                waited.set()
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.2)
        except OSError:
            writer.transport.abort()
            left.set()

    async def whole() -> None:
        server = await asyncio.start_server(dribble, "127.0.0.1", 0)
        account = provider.account("near", "far")
        port = server.sockets[0].getsockname()[1]
        before = threading.active_count()
        near = End(bearer(account._replace(imap=account.imap._replace(port=port)), NEAR))
        async with server:
            near.start()
            await waited.wait()
            await near.stop()
            await asyncio.to_thread(
                until, lambda: threading.active_count() <= before + 1, patience_s=10
            )
            await left.wait()
            await asyncio.sleep(0.05)

    asyncio.run(whole())


async def endless(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that does not come to an end."""
    try:
        writer.write(b"* OK IMAP4rev1 ")
        while True:
            writer.write(bytes([65]) * 65536)
            await writer.drain()
    except OSError:
        writer.close()


def test_a_server_that_never_ends_an_answer_is_left(provider: Provider) -> None:
    async def whole() -> None:
        server = await asyncio.start_server(endless, "127.0.0.1", 0)
        account = provider.account("near", "far")
        port = server.sockets[0].getsockname()[1]
        near = End(bearer(account._replace(imap=account.imap._replace(port=port)), NEAR))
        async with server:
            near.start()
            await near.port.until(lambda: near.port.states[-1:] == ["bearer.closed"])
            await near.stop()

    asyncio.run(whole())
