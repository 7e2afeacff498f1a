"""Facts about deflated bodies: whole or refused, never longer, and the dictionaries are what the
document prints."""

from __future__ import annotations

import json
import unicodedata
import zlib
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openline.core import compression, limits, receipts
from openline.core.compression import DICTIONARIES, deflate, inflate
from openline.core.envelope import DEFLATED, Record, decode_record, encode_record
from openline.core.precedence import Precedence
from openline.sim.chance import noise, stream
from tests.independent.dictionaries import printed

SOURCE = Path(compression.__file__).with_name("dictionaries")
LANGUAGES = ("en", "fr", "ru")
SAID = {
    "en": "Our frigate will leave the area before noon; please keep your aircraft clear of her.",
    "fr": "Notre frégate quittera la zone avant midi ; veuillez en tenir vos avions éloignés.",
    "ru": "Наш фрегат покинет район до полудня; просим держать ваши самолёты в стороне.",
}
MAX = limits.BODY_BYTES_MAX
FLAGS_AT = 4
"""Where the class stands in a record whose number takes one byte."""


def record(text: str | bytes, language: str = "en", kind: int = receipts.TEXT) -> Record:
    body = text.encode() if isinstance(text, str) else text
    return Record(7, 3, Precedence.ROUTINE, kind, language, 0, 0, None, (), "", body)


def sent(text: str | bytes, language: str = "en", kind: int = receipts.TEXT) -> tuple[int, bytes]:
    """(the number of the dictionary, or -1 if it is not deflated; the record)."""
    data = encode_record(record(text, language, kind))
    body_at = FLAGS_AT + 8
    return (data[body_at] if data[FLAGS_AT] & DEFLATED else -1), data


# -- what is sent -------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_text_travels_with_the_dictionary_of_its_language(language: str) -> None:
    number, data = sent(SAID[language], language)
    assert number == 1 + LANGUAGES.index(language)
    assert len(data) - 12 < 0.7 * len(SAID[language].encode())
    assert decode_record(data).text == SAID[language]


def test_a_tag_in_capitals_means_the_same() -> None:
    assert sent(SAID["fr"], "FR") == sent(SAID["fr"], "fr")


@pytest.mark.parametrize("language", ["", "de", "fra"])
def test_a_language_without_a_dictionary_does_without(language: str) -> None:
    repeated = "Die Linie steht. " * 20
    number, data = sent(repeated, language)
    assert number == 0
    assert decode_record(data).text == repeated
    assert sent(SAID["en"][:20], language)[0] == -1


@pytest.mark.parametrize("kind", [receipts.HOLDING, receipts.DECLINED])
def test_the_note_of_a_receipt_is_deflated_too(kind: int) -> None:
    number, data = sent(SAID["en"], "en", kind)
    assert number == 1
    assert decode_record(data).text == SAID["en"]


@pytest.mark.parametrize("kind", [receipts.BEGIN, receipts.COPY, receipts.OFFER, 200])
def test_what_machines_write_is_never_deflated(kind: int) -> None:
    number, data = sent(bytes(2000), "en", kind)
    assert number == -1
    assert data.endswith(bytes(2000))


def test_what_would_not_be_shorter_is_sent_as_it_is() -> None:
    for text in ("", "x", "№", "Zq8#", noise(stream(1, "text"), 40)):
        number, data = sent(text)
        assert number == -1
        assert data[12:] == text.encode()


BODIES = st.one_of(
    st.binary(max_size=400),
    st.text(max_size=400).map(str.encode),
    st.lists(
        st.sampled_from(["the", "of", "and", "\x00", "\u202e", "é’", "и", "не", "ssss"]),
        max_size=200,
    ).map(lambda words: " ".join(words).encode()),
    st.integers(0, MAX).map(bytes),
)


@given(BODIES, st.sampled_from(["en", "fr", "ru", "", "zz"]))
def test_any_body_comes_back_and_takes_no_more_bytes_than_it_has(body: bytes, tag: str) -> None:
    _, data = sent(body, tag)
    assert decode_record(data) == record(body, tag)
    assert len(data) <= 12 + len(body)
    assert encode_record(decode_record(data)) == data


@given(BODIES, st.sampled_from(["en", "fr", "ru", ""]))
def test_a_deflated_body_is_nothing_when_it_is_cut_or_goes_on(body: bytes, tag: str) -> None:
    whole = deflate(body, tag)
    assert inflate(whole, MAX) == body
    assert inflate(whole + b"\0", MAX) is None
    assert all(inflate(whole[:end], MAX) is None for end in {0, 1, len(whole) // 2, len(whole) - 1})


# -- what arrives -------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(len(DICTIONARIES)))
def test_a_bomb_is_refused_whatever_its_dictionary(number: int) -> None:
    machine = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=DICTIONARIES[number])
    bomb = bytes((number,)) + machine.compress(bytes(50_000_000)) + machine.flush()
    assert inflate(bomb, MAX) is None
    assert inflate(deflate(bytes(MAX + 1), ""), MAX) is None
    assert inflate(deflate(bytes(MAX), ""), MAX) == bytes(MAX)


def test_a_dictionary_with_no_such_number_is_refused() -> None:
    stream_of_text = deflate(b"text " * 20, "")[1:]
    assert inflate(b"\0" + stream_of_text, MAX) == b"text " * 20
    for number in range(len(DICTIONARIES), 256):
        assert inflate(bytes((number,)) + stream_of_text, MAX) is None


def test_what_reaches_back_beyond_the_dictionary_is_refused() -> None:
    with_english = deflate(DICTIONARIES[1][:300], "en")
    assert inflate(with_english, MAX) == DICTIONARIES[1][:300]
    assert inflate(b"\0" + with_english[1:], MAX) is None


@given(st.binary(max_size=300))
def test_any_bytes_inflate_within_the_bound_or_are_refused(data: bytes) -> None:
    for number in range(len(DICTIONARIES)):
        body = inflate(bytes((number,)) + data, 1000)
        assert body is None or len(body) <= 1000


# -- the dictionaries ---------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "language"), [*enumerate(LANGUAGES, 1)])
def test_the_document_prints_the_dictionary_byte_for_byte(number: int, language: str) -> None:
    data = (SOURCE / f"{language}.txt").read_bytes()
    assert data.replace(b"\n", b" ") == DICTIONARIES[number] == printed()[number]
    text = data.decode()
    assert unicodedata.is_normalized("NFC", text)
    assert max(map(len, text.splitlines())) <= 96
    assert not set(text) & set("\r\t`\u00a0")
    assert not any(line != line.strip() or "  " in line for line in text.splitlines())


def test_the_dictionaries_of_version_1_never_change() -> None:
    fixed = {
        1: "865c67ea660b0b2ee9a15302489928c115218bdc09840cffe750eea7eb31c09d",
        2: "9ee172fc3d0d6bab7a70fab1630105cf1c502ee22e7c719efa312cb8ba8d61f2",
        3: "ec79b206d79c881adcee954dc3b0f02252a7ed3c8cc353be8e9ecf8542a3e3a5",
    }
    assert {n: sha256(DICTIONARIES[n]).hexdigest() for n in (1, 2, 3)} == fixed


def test_every_dictionary_has_a_vector() -> None:
    folder = Path(__file__).parents[1] / "vectors"
    for number, language in enumerate(LANGUAGES, 1):
        vector = json.loads((folder / f"record-dictionary-{number}.json").read_text("utf-8"))
        data = bytes.fromhex(vector["given"]["record"])
        assert vector["expected"]["deflated"] is True
        assert data[FLAGS_AT + 8] == number
        assert decode_record(data).language == language
