"""Facts about bytes on the wire: what a text and its ack cost on an established line, padding
off."""

from __future__ import annotations

from typing import Any

from openline.core.compression import deflate
from openline.core.envelope import Ack, Frame, FrameType, encode_frames
from openline.core.events import Reference
from openline.core.precedence import Precedence
from openline.inputs import Release
from openline.sealing.seal import OVERHEAD_BYTES, PLAIN
from openline.sim.chance import noise, stream
from tests.pair import LinePair

TEXT = noise(stream(1, "text"), 200)
SENT_BYTES = len(deflate(TEXT.encode(), "en"))
"""Of its body as sent: deflating takes little of it. What is counted is beyond these."""


def established(texts: int) -> LinePair:
    """A line in use for an hour: both runs confirmed and opened to receive keys, so many texts
    each way."""
    pair = LinePair(seed=3)
    for number in range(texts):
        pair.say("a", f"{number}")
        pair.say("b", f"{number}")
        pair.flow()
    pair.wait(1)
    pair.flow()
    return pair


def sizes(pair: LinePair, **header: Any) -> tuple[int, int]:
    """Bytes of the one datagram that carries a text, and of the one that acknowledges it."""
    act = Release(1, "watch", Precedence.FLASH, "en", "", TEXT)._replace(**header)
    pair.do("a", act)
    (carried,) = pair.take("a")
    pair.give("b", [carried])
    (acknowledged,) = pair.take("b")
    pair.give("a", [acknowledged])
    assert pair.texts("b")[-1] == TEXT
    status = pair.posts["a"].status(1, pair.now)
    assert status.acked_number == status.own_number
    return len(carried) - SENT_BYTES, len(acknowledged)


def settled(texts: int) -> LinePair:
    """Past any ratchet that is due: the next datagrams carry no opening."""
    pair = established(texts)
    for _ in range(3):
        pair.say("a", "before")
        pair.flow()
        pair.say("b", "before")
        pair.flow()
    return pair


def test_a_bare_text_costs_55_bytes_and_its_ack_47() -> None:
    assert sizes(settled(5)) == (55, 47)


def fields(pair: LinePair, *, due_s: int = 7200) -> dict[str, object]:
    """Every header field: DTG ten minutes before filing, reply due, one reference to theirs."""
    at = pair.now.wall_s
    last = pair.posts["a"].status(1, pair.now).peer_serial
    assert last is not None
    return {"dtg_s": at - 600, "due_s": at + due_s, "references": (Reference(False, last),)}


def test_every_header_field_costs_64_bytes_while_numbers_are_small() -> None:
    pair = settled(5)
    assert sizes(pair, **fields(pair)) == (64, 47)


def test_every_header_field_costs_66_bytes_and_an_ack_48_from_number_64_on() -> None:
    pair = settled(70)
    assert sizes(pair, **fields(pair)) == (66, 48)


def test_a_reply_due_beyond_four_hours_takes_two_bytes_more() -> None:
    pair = settled(70)
    assert sizes(pair, **fields(pair, due_s=86_400)) == (68, 48)


def test_an_ack_with_the_greatest_honest_numbers_stays_within_56() -> None:
    ack = Ack(0xFFFFFF, 2**30, ())
    frames = encode_frames([Frame(FrameType.ACK, ack.encode())])
    assert OVERHEAD_BYTES[PLAIN] + len(frames) == 54
