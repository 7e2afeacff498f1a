"""The inbox over a real Dovecot, one that knows little, and servers and strangers that mean ill."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from bench.posts import until
from openline.bearers import imap, letter

from .contract import End
from .labour import grows_no_faster
from .provider import Provider, needs_dovecot
from .test_mail import NEAR, bearer
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
    where = imap.Where("127.0.0.1", provider.imap_port, None)
    inbox = imap.Inbox(where, "near", "INBOX", letter.MAIL_BYTES_MAX)
    inbox.open(provider.password_file.read_text().strip())
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
