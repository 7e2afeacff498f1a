"""Facts about runs: any order, once each, nothing unless it opens, and no key twice."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV, AESSIV

from openline.core import limits
from openline.core.events import Now
from openline.errors import LocalError, SealError
from openline.sealing import seal as seal_module
from openline.sealing.keys import Card, Identity, Kit
from openline.sealing.seal import BUCKETS, HEADER_BYTES, PLAIN, Unreadable

from .ends import PAGES, End, frames, pair, rekey, talk


@pytest.fixture(params=[True, False], ids=["tape", "cards"])
def ends(request: pytest.FixtureRequest) -> tuple[End, End]:
    return pair(tape=request.param)


def state(end: End) -> Any:
    return (
        {run_id: run.encode() for run_id, run in end.seal.runs.items()},
        end.seal.state,
        list(end.seal._retired),
    )


# -- opening ----------------------------------------------------------------------------------


def test_any_order_opens(ends: tuple[End, End]) -> None:
    a, b = ends
    sent = [a.send(b"%d" % n) for n in range(60)]
    a.chance.shuffle(sent)
    opened = [b.open(datagram) for datagram in sent]
    assert sorted(int(o.inner) for o in opened if o) == list(range(60))


def test_a_used_index_is_ignored_also_after_a_restart(ends: tuple[End, End]) -> None:
    a, b = ends
    sent = [a.send(b"%d" % n) for n in range(5)]
    assert all(b.open(datagram) for datagram in reversed(sent))
    assert [b.open(datagram) for datagram in sent] == [None] * 5
    b.restart()
    assert [b.open(datagram) for datagram in sent] == [None] * 5


@pytest.mark.parametrize("confirmed", [False, True], ids=["opening", "plain"])
def test_a_body_that_does_not_open_changes_nothing(ends: tuple[End, End], confirmed: bool) -> None:
    a, b = ends
    if confirmed:
        talk(a, b)
    datagram = a.send(b"true")
    before = state(b)
    for at in (-1, -16, -20):
        spoiled = bytearray(datagram)
        spoiled[at] ^= 1
        with pytest.raises(SealError):
            b.seal.open(bytes(spoiled), b.now)
    assert state(b) == before
    assert not b.seal.dirty
    opened = b.open(datagram)
    assert opened is not None
    assert opened.inner == b"true"


def test_what_is_foreign_or_misshapen_is_dropped(ends: tuple[End, End]) -> None:
    a, b = ends
    good = a.send()
    for bad in (b"", good[:41], good + bytes(4097), bytes(100), good[1:], bytes(4096)):
        with pytest.raises(SealError) as raised:
            b.seal.open(bad, b.now)
        assert not isinstance(raised.value, Unreadable)
    assert not b.seal.runs


def test_our_own_datagram_sent_back_to_us_is_foreign(ends: tuple[End, End]) -> None:
    a, _ = ends
    with pytest.raises(SealError):
        a.seal.open(a.send(), a.now)


def test_light_opening_on_root0_without_tape_is_unreadable() -> None:
    a, b = pair(tape=False)
    a.seal.kit = Kit(a.kit.secret, a.kit.identity, a.kit.peer, tape=True)
    with pytest.raises(Unreadable):
        b.seal.open(a.send(), b.now)
    assert not b.seal.runs


def test_a_line_by_tape_opens_light_and_a_line_by_cards_full() -> None:
    for tape, kind in ((True, 1), (False, 2)):
        a, b = pair(tape=tape)
        assert len(a.send(b"x")) == HEADER_BYTES[kind] + 4 + 1 + 16
        talk(a, b)
        talk(a, b)
        assert len(a.send(b"x")) == HEADER_BYTES[PLAIN] + 4 + 1 + 16


# -- keys of skipped indexes, runs ------------------------------------------------------------


def test_skipped_keys_are_bounded_and_deleted_when_used(ends: tuple[End, End]) -> None:
    a, b = ends
    sent = [a.send(b"") for _ in range(limits.RUN_DATAGRAMS_MAX)]
    assert b.open(sent[-1])
    (run,) = b.seal.runs.values()
    assert len(run.skipped) == limits.RUN_DATAGRAMS_MAX - 1
    for datagram in sent[:100]:
        assert b.open(datagram)
    assert len(run.skipped) == limits.RUN_DATAGRAMS_MAX - 101
    assert not set(run.skipped) & set(range(100))


def test_a_run_that_is_used_up_gives_way_to_another(ends: tuple[End, End]) -> None:
    a, b = ends
    for _ in range(limits.RUN_DATAGRAMS_MAX):
        last = a.send(b"")
    first_run = a.seal.candidates[-1]
    assert first_run.index == limits.RUN_DATAGRAMS_MAX
    fresh = a.send(b"fresh")
    assert a.seal.candidates[-1].run_id != first_run.run_id
    assert b.open(last)
    assert b.open(fresh)
    assert len(b.seal.runs) == 2


def test_a_confirmed_run_is_never_used_beyond_its_end() -> None:
    a, b = pair()
    talk(a, b)
    for _ in range(limits.RUN_DATAGRAMS_MAX + 200):
        assert b.open(a.send(b"")) is not None
    assert all(run.next_index <= limits.RUN_DATAGRAMS_MAX for run in b.seal.runs.values())


def test_a_datagram_of_a_dropped_run_is_ignored_for_ever(ends: tuple[End, End]) -> None:
    a, b = ends
    old = [a.send(b""), a.send(b"")]
    assert b.open(old[0])
    (run_id,) = b.seal.runs
    b.seal._retire(run_id)
    b.commit()
    assert b.open(old[1]) is None
    b.restart()
    assert b.open(old[0]) is None
    assert b.open(old[1]) is None
    assert not b.seal.runs


def test_runs_unused_for_eight_days_go_but_never_the_last(ends: tuple[End, End]) -> None:
    a, b = ends
    b.open(a.send(b""))
    b.pass_time(limits.KEEP_S + 1)
    a.restart()
    assert b.open(a.send(b""))
    assert len(b.seal.runs) == 1
    assert len(b.seal._retired) == 1


def test_runs_are_bounded_and_the_newest_stay() -> None:
    a, b = pair()
    for _ in range(limits.RUNS_MAX + 10):
        a.restart()
        b.pass_time(1)
        last = a.send(b"")
        assert b.open(last)
    assert len(b.seal.runs) == limits.RUNS_MAX
    assert len(b.seal._retired) == 10
    assert b.open(a.send(b"still")) is not None


def test_a_seal_read_from_disk_opens_what_the_former_would(ends: tuple[End, End]) -> None:
    a, b = ends
    talk(a, b)
    rekey(a, b)
    talk(a, b)
    sent = [a.send(b"%d" % n) for n in range(30)]
    for datagram in sent[::3]:
        assert b.open(datagram)
    b.restart()
    for datagram in sent[1::3] + sent[2::3]:
        opened = b.open(datagram)
        assert opened is not None
    assert b.open(sent[0]) is None


# -- ratchet, rekey ---------------------------------------------------------------------------


def test_a_run_gives_way_after_24_datagrams_once_the_peer_announced_a_key() -> None:
    a, b = pair()
    talk(a, b, 8)
    run = a.confirmed
    assert not run.to_card
    talk(a, b, limits.RATCHET_DATAGRAMS + 8)
    assert a.confirmed.run_id != run.run_id
    assert run.index >= limits.RATCHET_DATAGRAMS
    assert a.confirmed.key_id != run.key_id


def test_a_run_gives_way_after_an_hour() -> None:
    a, b = pair()
    talk(a, b, 8)
    run = a.confirmed
    talk(a, b, 2)
    assert a.confirmed is run
    a.pass_time(limits.RATCHET_S)
    b.pass_time(limits.RATCHET_S)
    talk(a, b, 4)
    assert a.confirmed.run_id != run.run_id


def test_a_rekey_makes_one_root_on_both_sides_and_burns_a_page() -> None:
    a, b = pair()
    talk(a, b)
    rekey(a, b)
    assert a.seal.roots.later[0].key == b.seal.roots.later[0].key
    for end in (a, b):
        assert 1 not in end.seal.pages
        assert "tape/0001" not in end.disk
        assert end.seal.state.epoch_own == 2
    talk(a, b)
    assert b.seal.roots.later[0].shown
    assert a.confirmed.root_id == b.confirmed.root_id != bytes(2)
    rekey(a, b)
    assert {1, 2}.isdisjoint(a.seal.pages)
    assert len({root.key for root in a.seal.roots.later}) == 2


def test_a_page_that_one_side_lacks_is_not_used() -> None:
    a, b = pair()
    del b.seal.pages[1]
    rekey(a, b)
    assert a.seal.roots.later[0].key == b.seal.roots.later[0].key
    talk(a, b)
    assert a.confirmed.root_id == b.confirmed.root_id != bytes(2)


def test_the_reserve_page_is_never_taken() -> None:
    a, b = pair()
    for _ in range(12):
        rekey(a, b)
    assert not a.seal.pages
    assert a.seal.roots.later[0].key == b.seal.roots.later[0].key
    assert len(a.seal.roots.later) == limits.ROOTS_MAX


def test_offers_of_the_second_party_and_answers_to_none_are_ignored() -> None:
    a, b = pair()
    assert a.seal.answer(b.seal.offer(b.now), a.now) is None
    body = b.seal.answer(a.seal.offer(a.now), b.now)
    assert body is not None
    a.seal.complete(body, a.now)
    made = a.seal.roots.later[0].key
    a.seal.complete(body, a.now)
    assert [root.key for root in a.seal.roots.later] == [made]


def test_reopen_leads_back_to_the_permanent_root_and_raises_no_alarm() -> None:
    a, b = pair()
    talk(a, b)
    rekey(a, b)
    talk(a, b)
    assert a.seal.reopen(a.confirmed.run_id, a.now)
    assert a.seal.candidates[-1].root_id == bytes(2)
    talk(a, b)
    assert not b.seal.state.alarm


def test_a_disk_that_was_lost_raises_the_alarm_and_the_line_goes_on() -> None:
    a, b = pair()
    talk(a, b)
    rekey(a, b)
    talk(a, b)
    lost = End(a.kit, a.chance)
    assert b.open(lost.send(b"")) is not None
    assert b.seal.state.alarm
    b.seal.clear_alarm()
    assert b.open(lost.send(b"")) is not None
    assert not b.seal.state.alarm


# -- what a relay sees ------------------------------------------------------------------------


def test_padded_datagrams_have_the_length_of_a_bucket(ends: tuple[End, End]) -> None:
    a, b = ends
    lengths = set()
    for size in range(0, 1900, 37):
        datagram = a.send(frames(size), pad_to=4096)
        lengths.add(len(datagram))
        opened = b.open(datagram)
        assert opened is not None
        assert opened.inner.lstrip(b"\0").endswith(bytes(size))
    assert lengths <= set(BUCKETS)


def test_repeated_openings_have_no_bytes_in_common(ends: tuple[End, End]) -> None:
    a, _ = ends
    sent = [a.send(b"\0", pad_to=4096) for _ in range(200)]
    run = a.seal.candidates[-1]
    blocks = Counter(d[at : at + 8] for d in sent for at in range(0, len(d) - 7, 4))
    assert max(blocks.values()) == 1
    for datagram in sent:
        assert run.run_id not in datagram
        assert run.opening[5:37] not in datagram
    for at in range(16, 126):
        assert len({datagram[at] for datagram in sent}) > 50


def test_no_key_and_nonce_meet_twice_over_restarts(monkeypatch: pytest.MonkeyPatch) -> None:
    bodies: Counter[tuple[bytes, bytes]] = Counter()
    headers: Counter[tuple[bytes, bytes, bytes]] = Counter()

    class Body:
        def __init__(self, key: bytes) -> None:
            self.key, self.cipher = key, AESGCMSIV(key)
            self.decrypt = self.cipher.decrypt

        def encrypt(self, nonce: bytes, data: bytes, associated: bytes) -> bytes:
            bodies[self.key, nonce] += 1
            return self.cipher.encrypt(nonce, data, associated)

    class Header:
        def __init__(self, key: bytes) -> None:
            self.key, self.cipher = key, AESSIV(key)
            self.decrypt = self.cipher.decrypt

        def encrypt(self, data: bytes, associated: list[bytes]) -> bytes:
            headers[self.key, data, associated[0]] += 1
            return self.cipher.encrypt(data, associated)

    monkeypatch.setattr(seal_module, "AESGCMSIV", Body)
    monkeypatch.setattr(seal_module, "AESSIV", Header)
    a, b = pair()
    for turn in range(30):
        saved = {end: dict(end.disk) for end in (a, b)}
        talk(a, b, 5)
        a.send(b"never arrives")
        if turn % 3 == 0:
            a.disk = saved[a]
        if turn % 5 == 0:
            b.disk = saved[b]
        a.restart()
        b.restart()
    assert len(bodies) > 300
    assert len({key for key, _ in bodies}) == len(bodies)
    assert set(bodies.values()) == set(headers.values()) == {1}


# -- kits -------------------------------------------------------------------------------------


def test_both_sides_make_the_same_kit_and_the_tape_changes_it() -> None:
    a, b = pair()
    bare, _ = pair(tape=False)
    assert a.kit.secret == b.kit.secret
    assert a.kit.secret != bare.kit.secret
    assert (a.kit.direction, b.kit.direction) == (1, 2)
    for direction in (1, 2):
        assert a.kit.header_key(direction) == b.kit.header_key(direction)
        assert a.kit.genesis(direction) == b.kit.genesis(direction)
    assert a.kit.header_key(1) != a.kit.header_key(2)


def test_identity_survives_the_disk() -> None:
    a, _ = pair()
    again = Identity.decode(a.kit.identity.encode())
    assert again.card == a.kit.identity.card


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda card: card[:-1], "enrolment.truncated_card"),
        (lambda card: card + b"\0", "enrolment.truncated_card"),
        (lambda card: b"", "enrolment.not_a_card"),
        (lambda card: b"OL\x02" + card[3:], "enrolment.not_a_card"),
        (lambda card: card[:35] + b"\xff" * 1568 + card[1603:], "enrolment.damaged_card"),
        (lambda card: card[:3] + bytes(32) + card[35:], "enrolment.damaged_card"),
    ],
)
def test_a_card_that_is_none_is_refused(change: Any, code: str) -> None:
    a, b = pair()
    with pytest.raises(LocalError, match=code.replace(".", r"\.")):
        Kit.make(a.kit.identity, Card.decode(change(b.kit.identity.card)), PAGES[0])


def test_running_time_goes_on_over_restarts_and_no_clock_turns_it_back() -> None:
    a, b = pair()
    b.open(a.send())
    b.pass_time(500)
    b.open(a.send())
    b.seal._dirty = True
    b.commit()
    b.now = Now(5, 0)
    b.restart()
    assert b.seal.running_s(b.now) == 500
