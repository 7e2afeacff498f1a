"""Letters: mails that are parcels, and reports about them; what is hostile costs nothing."""

from __future__ import annotations

import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openline.bearers import letter, parcel
from openline.bearers.account import Addressed
from openline.bearers.framing import LineKey
from openline.errors import BearerError

from .labour import grows_no_faster

NEAR = LineKey(1, bytes(range(32)), 1)
FAR = NEAR._replace(direction=2)
ADDRESSED = Addressed("a@example.org", "b@example.net")


def written(*datagrams: bytes, line: LineKey = NEAR) -> bytes:
    """A letter of a side."""
    return letter.compose(line, ADDRESSED, list(datagrams), 1_700_000_000, os.urandom)


def name_in(mail: bytes) -> str:
    """The name of the parcel in a letter."""
    found = re.search(rb'filename="([0-9a-f]{32})\.bin"', mail)
    assert found is not None
    return found[1].decode()


@given(st.lists(st.binary(min_size=1, max_size=4096), min_size=1, max_size=12))
def test_what_was_written_is_read_by_the_other_side_alone(datagrams: list[bytes]) -> None:
    mail = written(*datagrams)
    assert letter.opened(FAR, mail) == datagrams
    assert letter.opened(NEAR, mail) == []
    assert letter.opened(FAR._replace(key=bytes(32)), mail) == []


def test_servers_may_add_headers_and_parts_and_change_the_ends_of_lines() -> None:
    mail = written(b"a datagram")
    changed = b"Received: from x\r\n\tby y\r\nX-Spam-Score: 0\r\n" + mail
    assert letter.opened(FAR, changed) == [b"a datagram"]
    assert letter.opened(FAR, mail.replace(b"\r\n", b"\n")) == [b"a datagram"]
    boundary = re.search(rb'boundary="([^"]+)"', mail)
    assert boundary is not None
    footer = b"--" + boundary[1] + b"\r\nContent-Type: text/plain\r\n\r\nSent by a list.\r\n"
    assert letter.opened(FAR, mail.replace(b"--" + boundary[1], footer + b"--" + boundary[1], 1))


def test_the_number_of_a_mail_is_not_the_name_of_its_parcel_and_proves_to_be_ours() -> None:
    mail = written(b"x")
    names = [*letter.names_in(NEAR, mail, 1)]
    assert len(names) == 3
    assert names[1] == names[2] == name_in(mail) != names[0]
    assert [*letter.names_in(FAR, mail, 2)] == []


def test_a_damaged_or_renamed_letter_gives_nothing() -> None:
    mail = written(bytes(4000), bytes(1000))
    assert letter.opened(FAR, mail[:5000]) == []
    other = parcel.name_of(NEAR, os.urandom(8)).encode()
    assert letter.opened(FAR, mail.replace(name_in(mail).encode(), other)) == []


def test_a_mail_made_to_confuse_gives_nothing() -> None:
    name = parcel.name_of(NEAR, os.urandom(8))
    deep = b"".join(
        b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (n, n)
        for n in range(3000)
    )
    odd = [
        deep + b'Content-Disposition: attachment; filename="%s.bin"\r\n\r\nAA' % name.encode(),
        b"Content-Disposition: attachment; filename*=nowhere'x'%s\r\n\r\nAA" % name.encode(),
        b"Content-Disposition: attachment; filename*0*=%%ff; filename*1=%s" % name.encode(),
        b"Content-Transfer-Encoding: base64\r\nContent-Type: a/b; name=%s\r\n\r\n!" % name.encode(),
        b"\0\xff" * 1000,
    ]
    for mail in odd:
        assert letter.opened(FAR, mail) == []


HARD = {
    "a name of quotes": lambda n: (
        b'Content-Disposition: attachment;\r\n filename="' + b'\\";' * n + b'"\r\n\r\nAA'
    ),
    "a boundary of quotes": lambda n: (
        b'Content-Type: multipart/mixed; boundary="' + b'\\";\r ' * n + b'"\r\n\r\nAA'
    ),
    "parts within parts": lambda n: (
        b"".join(
            b"Content-Type: multipart/mixed; boundary=%d\r\n\r\n--%d\r\n" % (depth, depth)
            for depth in range(n // 50)
        )
        + b"--\r\n" * n
    ),
}
"""Mails that are hard to read, by size."""


@pytest.mark.parametrize("hard", HARD)
def test_a_mail_made_to_be_slow_to_read_is_not(hard: str) -> None:
    assert grows_no_faster(lambda n: letter.opened(FAR, HARD[hard](n)), 1000)


def test_a_structure_made_to_be_slow_to_search_is_not() -> None:
    def look(size: int) -> None:
        assert not letter.may_be_report(b"delivery-status" + b'"report"' * size)

    assert grows_no_faster(look, 1000)


def test_headers_of_usual_length_are_read_wherever_their_lines_are_broken() -> None:
    mail = written(b"a datagram").replace(b"; ", b";\r\n\t")
    assert letter.opened(FAR, mail) == [b"a datagram"]
    footer = b"Content-Type: text/plain; name=" + b"x" * 3000 + b"\r\n\r\nSent by a list.\r\n"
    boundary = re.search(rb'boundary="([^"]+)"', mail)
    assert boundary is not None
    part = b"--" + boundary[1] + b"\r\n" + footer + b"--" + boundary[1]
    assert letter.opened(FAR, mail.replace(b"--" + boundary[1], part, 1)) == [b"a datagram"]


@given(st.binary(max_size=2000))
def test_any_bytes_are_read_without_a_fault(mail: bytes) -> None:
    assert letter.opened(FAR, mail) == []
    assert letter.bounce(FAR, mail) is None
    letter.may_be_report(mail)


@pytest.mark.parametrize(
    ("status", "text", "code"),
    [
        (450, "4.2.0 greylisted", "bearer.mail_later"),
        (421, "too many connections", "bearer.mail_later"),
        (452, "4.2.2 over quota", "bearer.mail_full"),
        (552, "5.2.2 mailbox is full", "bearer.mail_full"),
        (552, "mailbox full", "bearer.mail_full"),
        (552, "5.3.4 message size exceeds fixed limit", "bearer.mail_too_long"),
        (552, "message exceeds fixed maximum size", "bearer.mail_too_long"),
        (550, "5.1.1 no such user", "bearer.mail_no_mailbox"),
        (550, "5.2.1 mailbox disabled", "bearer.mail_no_mailbox"),
        (450, "4.1.1 unverified", "bearer.mail_later"),
        (550, "go away", "bearer.mail_refused"),
        (554, "5.7.1 refused", "bearer.mail_refused"),
    ],
)
def test_what_a_server_answers_is_understood(status: int, text: str, code: str) -> None:
    assert letter.meaning(status, text) == code


def test_a_report_says_what_went_wrong_or_that_nothing_did() -> None:
    mail = written(b"x")

    def report(action: bytes, status: bytes) -> bytes:
        return b"Action: %s\r\nStatus: %s\r\n\r\n" % (action, status) + mail

    found = letter.bounce(NEAR, report(b"failed", b"5.2.2"))
    assert found is not None
    assert found.code == "bearer.mail_full"
    assert [
        (letter.bounce(NEAR, report(*said)) or letter.Bounce("", "none")).code
        for said in ((b"failed", b"5.4.4"), (b"delayed", b"4.4.1"), (b"relayed", b"2.0.0"))
    ] == ["bearer.mail_bounced", "", ""]
    assert letter.bounce(FAR, report(b"failed", b"5.1.1")) is None


def test_a_parcel_with_frames_that_cannot_be_is_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parcel, "encode_frames", lambda _: b"\xff\xff")
    name, content = parcel.pack(NEAR, [b"x"], os.urandom(8))
    with pytest.raises(BearerError, match="damaged"):
        parcel.unpack(FAR, name, content)


def test_parcels_have_the_bytes_that_a_server_lets_them() -> None:
    for most in (1 << 14, 1 << 16, 100_000):
        within = letter.plain_bytes_within(most)
        addressed = Addressed("a" * 64 + "@example.org", "b@example.org")
        load = next(parcel.loads([bytes(1000)] * 200, within))
        assert len(letter.compose(NEAR, addressed, load, 0, os.urandom)) <= most
