"""Facts about bytes: varints, records and frames mean one thing each, or are refused."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openline.core import limits, receipts
from openline.core.envelope import (
    DEFLATED,
    Ack,
    Frame,
    FrameType,
    Reader,
    Record,
    decode_frames,
    decode_record,
    encode_frames,
    encode_record,
    pack_language,
    peek_serial,
    svarint,
    unpack_language,
    varint,
)
from openline.core.events import Reference, Serial
from openline.core.inbound import Begin
from openline.core.precedence import Precedence
from openline.core.transcript import Segment
from openline.errors import LocalError, RemoteError
from tests.vectors.make import deflate
from tests.vectors.scribe import raw_record

VALUES = st.integers(0, 2**62 - 1)
NUMBERS = st.integers(1, 2**62 - 1)
INCARNATIONS = st.integers(1, 0xFFFFFF)
SERIALS = st.builds(Serial, INCARNATIONS, NUMBERS)
FAR = limits.OFFSET_S_MAX


@st.composite
def records(draw: st.DrawFn) -> Record:
    """Any record that may be released."""
    filed = draw(st.integers(0, 2**32 - 1))
    references = st.builds(
        Reference, st.booleans(), st.builds(Serial, INCARNATIONS, st.integers(1, 2**61 - 1))
    )
    return Record(
        draw(INCARNATIONS),
        draw(NUMBERS),
        draw(st.sampled_from(Precedence)),
        draw(st.integers(0, 255)),
        draw(st.text("abcxyz", max_size=3) | st.sampled_from(["en", "fr", "ru"])),
        filed,
        filed + draw(st.integers(-FAR, FAR)),
        draw(st.none() | st.integers(0, FAR).map(lambda offset: filed + offset)),
        tuple(draw(st.lists(references, max_size=limits.REFERENCES_MAX))),
        draw(st.text(max_size=100)),
        draw(st.binary(max_size=300) | st.text(max_size=200).map(str.encode)),
    )


def refused(data: bytes) -> str:
    with pytest.raises(RemoteError) as raised:
        decode_record(data)
    return str(raised.value.details["part"])


# -- varints ----------------------------------------------------------------------------------


@given(VALUES)
def test_a_varint_reads_as_it_was_written_and_in_no_other_form(value: int) -> None:
    written = varint(value)
    reader = Reader(written)
    assert reader.varint() == value
    assert not reader.more()
    for power in range(4):
        longer = (
            (value | power << (8 * (1 << power) - 2)) if value < 1 << 8 * (1 << power) - 2 else -1
        )
        data = longer.to_bytes(1 << power, "big") if longer >= 0 else b""
        if len(data) > len(written):
            with pytest.raises(RemoteError):
                Reader(data).varint()


@given(st.integers(-(2**61), 2**61 - 1))
def test_a_signed_varint_reads_as_it_was_written(value: int) -> None:
    assert Reader(svarint(value)).svarint() == value


@pytest.mark.parametrize("data", [b"", b"\x40", b"\x80\0\0", b"\xc0" + bytes(6)])
def test_a_varint_that_is_cut_is_malformed(data: bytes) -> None:
    with pytest.raises(RemoteError):
        Reader(data).varint()


# -- records ----------------------------------------------------------------------------------


@given(records())
def test_a_record_reads_as_it_was_written(record: Record) -> None:
    data = encode_record(record)
    assert decode_record(data) == record
    assert encode_record(decode_record(data)) == data
    assert peek_serial(data) == record.serial


@given(records(), st.data())
def test_a_record_that_is_cut_is_another_record_or_none(
    record: Record, data: st.DataObject
) -> None:
    whole = encode_record(record)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    try:
        read = decode_record(cut)
    except RemoteError:
        return
    assert read._replace(body=b"") == record._replace(body=b"")
    assert record.body.startswith(read.body)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_and_what_is_read_means_the_same_again(data: bytes) -> None:
    try:
        read = decode_record(data)
    except RemoteError:
        return
    assert read.number > 0
    assert len(read.body) <= limits.BODY_BYTES_MAX
    flags_at = 3 + (1 << (data[3] >> 6))
    spoken = read.subject.isascii() and "\\x" not in read.subject
    if spoken and (read.due_s is None or read.due_s >= read.filed_s):
        written = encode_record(read)
        assert decode_record(written) == read
        if not (data[flags_at] | written[flags_at]) & DEFLATED:
            assert written == data


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (raw_record(0), "class"),
        (raw_record(7, 0), "class"),
        (raw_record(flags=1), "class"),
        (raw_record(flags=0x20, optional=b"\0"), "time"),
        (raw_record(flags=0x20, optional=svarint(FAR + 1)), "time"),
        (raw_record(flags=0x20, optional=svarint(-FAR - 1)), "time"),
        (raw_record(flags=0x10, optional=varint(FAR + 1)), "time"),
        (raw_record(flags=8, optional=b"\0"), "references"),
        (raw_record(flags=8, optional=b"\x11" + b"\5\0\0\7" * 17), "references"),
        (raw_record(flags=4, optional=b"\0"), "subject"),
        (raw_record(flags=4, optional=varint(513) + bytes(513)), "subject"),
        (raw_record(flags=4, optional=b"\x09", body=b"eight..."), "length"),
        (raw_record(body=bytes(65_537)), "body"),
        (raw_record(flags=2, body=deflate(bytes(65_537))), "deflate"),
        (raw_record(flags=2, body=deflate(b"text")[:-1]), "deflate"),
        (raw_record(flags=2, body=deflate(b"text") + b"!"), "deflate"),
        (raw_record(flags=2, body=b"\0\xff\xff"), "deflate"),
        (raw_record(flags=2, body=b"\4" + deflate(b"text")[1:]), "deflate"),
        (raw_record(flags=2, body=b""), "deflate"),
        (raw_record(language=27), "language"),
        (raw_record(language=27**3), "language"),
        (raw_record()[:11], "length"),
        (b"", "length"),
        (b"\0\0\7\x40\x05" + raw_record()[4:], "varint"),
    ],
)
def test_a_record_that_breaks_a_rule_is_malformed(data: bytes, part: str) -> None:
    assert refused(data) == part


def test_a_deflated_body_reads_up_to_its_bound() -> None:
    assert decode_record(raw_record(flags=2, body=deflate(bytes(65_536)))).body == bytes(65_536)
    assert decode_record(raw_record(flags=2, body=deflate(b""))).body == b""


def test_text_that_is_not_utf_8_reads_as_escapes() -> None:
    assert decode_record(raw_record(body=b"a\xff\xfe")).text == "a\\xff\\xfe"
    subject = decode_record(raw_record(flags=4, optional=b"\2\xff\xfe")).subject
    assert subject == "\\xff\\xfe"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"body": bytes(65_537)}, "message.too_long"),
        ({"subject": "x" * 513}, "message.subject_too_long"),
        ({"subject": "я" * 257}, "message.subject_too_long"),
        ({"references": (Reference(True, Serial(1, 1)),) * 17}, "message.references"),
        ({"dtg_s": 1000 + FAR + 1}, "message.time"),
        ({"due_s": 1000 + FAR + 1}, "message.time"),
        ({"due_s": 999}, "message.due_past"),
        ({"filed_s": 2**32}, "message.filed"),
        ({"language": "engl"}, "message.language"),
        ({"language": "é"}, "message.language"),
    ],
)
def test_our_own_mistake_is_told_before_it_is_released(change: dict[str, Any], code: str) -> None:
    good = Record(7, 1, Precedence.ROUTINE, 1, "en", 1000, 1000, None, (), "", b"")
    with pytest.raises(LocalError) as raised:
        encode_record(good._replace(**change))
    assert raised.value.code == code


@given(st.text("abcdefghijklmnopqrstuvwxyz", max_size=3))
def test_a_language_reads_as_it_was_written(tag: str) -> None:
    assert unpack_language(pack_language(tag)) == tag


def test_every_language_code_reads_as_one_tag_or_none() -> None:
    tags: dict[str, int] = {}
    for code in range(1 << 16):
        try:
            tag = unpack_language(code)
        except RemoteError:
            continue
        assert tags.setdefault(tag, code) == code
        assert pack_language(tag) == code
    assert len(tags) == 1 + 26 + 26**2 + 26**3


@st.composite
def begins(draw: st.DrawFn) -> tuple[Serial, Begin]:
    """A BEGIN as an honest author might write it, and its serial."""
    made = draw(st.lists(INCARNATIONS, min_size=1, max_size=20, unique=True))
    later = draw(st.sets(st.integers(2, 1 << 61), min_size=len(made), max_size=len(made)))
    firsts = [1, *sorted(later)]
    path = tuple(Segment(*pair) for pair in zip(made[1:], firsts, strict=False))
    number = firsts[len(path)]
    floor = draw(st.integers(0, number - 1))
    head = draw(st.binary(min_size=32, max_size=32))
    return Serial(made[0], number), Begin(floor, head, draw(INCARNATIONS), draw(VALUES), path)


@given(begins())
def test_a_begin_reads_as_it_was_written(told: tuple[Serial, Begin]) -> None:
    serial, begin = told
    assert Begin.decode(_begin(serial, begin)) == begin
    with pytest.raises(RemoteError):
        Begin.decode(_begin(serial, begin)._replace(body=begin.encode() + b"\0"))
    with pytest.raises(RemoteError):
        Begin.decode(_begin(serial, begin)._replace(body=begin.encode()[:-1]))


def _begin(serial: Serial, begin: Begin) -> Record:
    flash, body = Precedence.FLASH, begin.encode()
    return Record(*serial, flash, receipts.BEGIN, "", 0, 0, None, (), "", body)


# -- frames -----------------------------------------------------------------------------------

FRAMES = st.lists(
    st.builds(Frame, st.integers(1, 127), st.binary(max_size=80)), min_size=1, max_size=8
)


@given(FRAMES, st.integers(0, 40))
def test_frames_read_as_they_were_written_behind_any_padding(
    frames: list[Frame], padding: int
) -> None:
    assert list(decode_frames(bytes(padding) + encode_frames(frames))) == frames


@given(st.binary(max_size=200))
def test_any_inner_is_read_to_its_end_or_to_a_fault(inner: bytes) -> None:
    read: list[Frame] = []
    with suppress(RemoteError):
        for frame in decode_frames(inner):
            read.append(frame)
    assert sum(len(frame.payload) for frame in read) <= len(inner)


def test_padding_alone_holds_no_frame() -> None:
    assert list(decode_frames(bytes(64))) == list(decode_frames(b"")) == []


def test_frames_before_a_broken_one_stand() -> None:
    reader = decode_frames(b"\4\4abcd\5\x09efgh")
    assert next(reader) == Frame(FrameType.RUN, b"abcd")
    with pytest.raises(RemoteError):
        next(reader)


@given(
    INCARNATIONS,
    st.integers(0, 2**40),
    st.lists(st.tuples(st.integers(1, 2**30), st.integers(1, 2**30)), max_size=limits.GAPS_MAX),
)
def test_an_ack_reads_as_it_was_written(
    incarnation: int, contiguous: int, pairs: list[tuple[int, int]]
) -> None:
    held, at = [], contiguous
    for missing, count in pairs:
        held.append((at + missing + 1, at + missing + count))
        at += missing + count
    ack = Ack(incarnation, contiguous, tuple(held))
    assert Ack.decode(ack.encode()) == ack


@pytest.mark.parametrize("pairs", [b"\0\1", b"\1\0", b"\1", b"\1\1" * 513, b"\x40\1\1"])
def test_an_ack_that_breaks_its_layout_is_malformed(pairs: bytes) -> None:
    with pytest.raises(RemoteError):
        Ack.decode(b"\0\0\7\x05" + pairs)
