"""The handshake and the frames of direct TCP, without a socket."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openline.bearers.framing import (
    ANSWER_BYTES,
    CONFIRM_BYTES,
    FRAME_BYTES_MAX,
    HELLO_BYTES,
    KEEP_ALIVE,
    Answerer,
    Caller,
    FrameDecoder,
    LineKey,
    encode_frames,
)
from openline.core.limits import DATAGRAM_BYTES_MAX
from openline.errors import BearerError, InvariantError, RemoteError

KEY = bytes(range(32))
OTHER_KEY = bytes(range(1, 33))
NONCE = b"n" * 16
NONCE_BACK = b"m" * 16
FIRST = LineKey(7, KEY, 1)
SECOND = LineKey(3, KEY, 2)


def proof(*parts: bytes) -> bytes:
    """HMAC(bk, …)[:16] as docs/protocol.md §10 writes it."""
    return hmac.new(KEY, b"".join(parts), hashlib.sha256).digest()[:16]


def test_handshake_bytes_are_those_of_the_protocol() -> None:
    caller, answerer = Caller(FIRST, NONCE), Answerer([SECOND], NONCE_BACK)
    hello = caller.hello()
    assert hello == NONCE + proof(b"c", b"\x01", NONCE)
    answer = answerer.answer(hello)
    assert answer == NONCE_BACK + proof(b"s", NONCE, NONCE_BACK)
    confirm = caller.confirm(answer)
    assert confirm == proof(b"k", NONCE, NONCE_BACK)
    assert (len(hello), len(answer), len(confirm)) == (HELLO_BYTES, ANSWER_BYTES, CONFIRM_BYTES)
    assert answerer.accept(confirm) == SECOND


def test_the_line_is_found_among_many() -> None:
    others = [LineKey(number, bytes([number]) * 32, 1 + number % 2) for number in range(20)]
    caller, answerer = Caller(FIRST, NONCE), Answerer([*others, SECOND], NONCE_BACK)
    assert answerer.accept(caller.confirm(answerer.answer(caller.hello()))) == SECOND


def test_a_caller_of_another_line_gets_no_answer() -> None:
    stranger = Caller(LineKey(7, OTHER_KEY, 1), NONCE)
    with pytest.raises(BearerError, match=r"bearer\.stranger"):
        Answerer([SECOND], NONCE_BACK).answer(stranger.hello())


def test_our_own_hello_sent_back_to_us_gets_no_answer() -> None:
    with pytest.raises(BearerError, match=r"bearer\.stranger"):
        Answerer([FIRST], NONCE_BACK).answer(Caller(FIRST, NONCE).hello())


def test_an_answer_without_the_key_is_refused() -> None:
    impostor = Answerer([LineKey(3, OTHER_KEY, 2)], NONCE_BACK)
    answer = impostor.answer(Caller(LineKey(7, OTHER_KEY, 1), NONCE).hello())
    with pytest.raises(BearerError, match=r"bearer\.stranger"):
        Caller(FIRST, NONCE).confirm(answer)


def test_a_recorded_conversation_does_not_pass_again() -> None:
    caller, answerer = Caller(FIRST, NONCE), Answerer([SECOND], NONCE_BACK)
    hello = caller.hello()
    confirm = caller.confirm(answerer.answer(hello))
    later = Answerer([SECOND], b"o" * 16)
    later.answer(hello)
    with pytest.raises(BearerError, match=r"bearer\.stranger"):
        later.accept(confirm)


def test_every_flipped_bit_of_the_handshake_is_refused() -> None:
    hello = Caller(FIRST, NONCE).hello()
    answer = Answerer([SECOND], NONCE_BACK).answer(hello)
    for position in range(8 * HELLO_BYTES):
        with pytest.raises(BearerError):
            Answerer([SECOND], NONCE_BACK).answer(_flipped(hello, position))
        with pytest.raises(BearerError):
            Caller(FIRST, NONCE).confirm(_flipped(answer, position))


def test_a_confirmation_before_any_hello_is_our_own_mistake() -> None:
    with pytest.raises(InvariantError):
        Answerer([SECOND], NONCE_BACK).accept(bytes(CONFIRM_BYTES))


def test_the_longest_frame_is_the_longest_datagram() -> None:
    assert FRAME_BYTES_MAX == DATAGRAM_BYTES_MAX


@given(
    st.lists(st.binary(min_size=1, max_size=300), max_size=20),
    st.lists(st.integers(1, 200), min_size=1),
)
def test_frames_survive_any_cutting_of_the_stream(datagrams: list[bytes], cuts: list[int]) -> None:
    stream = encode_frames(datagrams)
    decoder, out, at, turn = FrameDecoder(), [], 0, 0
    while at < len(stream):
        size = cuts[turn % len(cuts)]
        out += decoder.feed(stream[at : at + size])
        at, turn = at + size, turn + 1
    assert out == datagrams


def test_keep_alives_are_swallowed_anywhere() -> None:
    decoder = FrameDecoder()
    assert decoder.feed(KEEP_ALIVE) == []
    stream = KEEP_ALIVE + encode_frames([b"one"]) + KEEP_ALIVE * 3 + encode_frames([b"two"])
    assert decoder.feed(stream) == [b"one", b"two"]


def test_a_length_beyond_the_limit_is_refused_before_its_bytes_come() -> None:
    with pytest.raises(RemoteError) as caught:
        FrameDecoder().feed((FRAME_BYTES_MAX + 1).to_bytes(2, "big"))
    assert caught.value.code == "bearer.frame_length"


def test_a_stream_of_the_longest_frames_passes_byte_by_byte() -> None:
    decoder, datagram = FrameDecoder(), b"x" * FRAME_BYTES_MAX
    stream = encode_frames([datagram, datagram])
    out = [each for at in range(len(stream)) for each in decoder.feed(stream[at : at + 1])]
    assert out == [datagram, datagram]


@pytest.mark.parametrize("length", [0, FRAME_BYTES_MAX + 1])
def test_what_no_frame_can_carry_is_our_own_mistake(length: int) -> None:
    with pytest.raises(InvariantError):
        encode_frames([bytes(length)])


def _flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)
