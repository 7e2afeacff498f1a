"""Facts: whatever bytes come, the reader reads them or refuses them by name."""

from __future__ import annotations

import contextlib
import random

from .chain import Chain
from .frames import read_inner, read_record
from .test_layouts import START, begin, record
from .test_reader import Sender, receiver
from .wire import RefusedError


def spoiled(chance: random.Random, data: bytes) -> bytes:
    """Return bytes with one to three of them changed, put in or taken out."""
    out = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(out))
        match chance.randrange(3):
            case 0:
                out[at] = chance.randrange(256)
            case 1:
                out.insert(at, chance.randrange(256))
            case _ if len(out) > 1:
                del out[at]
    return bytes(out)


def test_spoiled_frames_and_records_are_read_or_refused() -> None:
    chance = random.Random(1)
    inner = b"\x04\x04abcd\x83\x00\x00\x07\x09\x02\x01"
    full = record(7, 3, b"hi", flags=0xFC, extra=b"\x03\x09\x01\x0b\0\0\x09\x02hi")
    for _ in range(3000):
        for found in read_inner(spoiled(chance, inner)).frames:
            assert found.fields
        with contextlib.suppress(RefusedError):
            assert read_record(spoiled(chance, full)).number > 0


def test_spoiled_datagrams_never_open() -> None:
    chance, sender, held = random.Random(2), Sender(), receiver()
    good = sender.seal(3, b"inner")
    for _ in range(300):
        bad = spoiled(chance, good)
        with contextlib.suppress(RefusedError):
            assert bad == good or held.open(bad).inner is None
    assert held.runs == {}


def any_begin(chance: random.Random) -> bytes:
    """A BEGIN of incarnations 1 to 5 and numbers 1 to 8 whose path, mostly, breaks no layout."""
    number = chance.randint(1, 8)
    floor = chance.randint(0, number - 1)
    size = chance.randint(0, min(4, number - 1))
    own, *named = chance.sample(range(1, 6), 1 + size)
    firsts = sorted(chance.sample(range(1, number), size))
    return begin(own, number, list(zip(named, firsts, strict=True)), floor)


def test_any_order_of_records_keeps_the_chain_whole() -> None:
    for seed in range(300):
        chance, chain = random.Random(seed), Chain(START)
        told = [begin(chance.randint(1, 5), 1, [], 0)]
        for _ in range(20):
            told.append(any_begin(chance))
            told.append(record(chance.randint(1, 5), chance.randint(1, 8)))
        chance.shuffle(told)
        for each in told:
            with contextlib.suppress(RefusedError):
                chain.take(each)
        assert chain.contiguous in chain.heads
        lost = {n for first, last in chain.lost for n in range(first, last + 1)}
        for number in range(1, chain.contiguous + 1):
            serial = (chain.incarnation_at(number), number)
            stands = serial in chain.records and serial not in chain.abandoned
            assert stands != (number in lost)
