"""Files arrive whole and once, whatever happens on the way, and nobody's text waits for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from openline.attached import StopFile
from openline.core import limits, receipts
from openline.core.events import Serial
from openline.core.precedence import Precedence
from openline.errors import LocalError, StoreError
from openline.inputs import BearerDown, HealAsk, HealGive
from openline.store.base import OURS
from openline.views import message
from tests.filing import lay_in, listed, read, send, states
from tests.pair import LinePair

MAP = "map of the crossing.png"


def test_a_file_arrives_with_its_text() -> None:
    pair = LinePair()
    data = pair.random.randbytes(100_000)
    serial = send(pair, "a", "See the map.", lay_in(pair, "a", MAP, data))
    pair.settle(3)
    assert pair.texts("b") == ["See the map."]
    [file] = listed(pair, "b", serial)
    assert (file["name"], file["bytes"], file["state"], file["percent"]) == (
        MAP,
        100_000,
        "whole",
        100,
    )
    assert read(pair.stores["b"], serial) == data
    assert states(pair, "a", serial, OURS) == ["whole"]
    assert read(pair.stores["a"], serial, side=OURS) == data
    one, other = pair.digests()
    assert one == other
    assert not pair.stores["a"]._disk.contents
    assert not any(name.startswith("content/") for name in pair.stores["a"].state(0))
    assert not pair.posts["b"].status(1, pair.now).faults


def test_eight_files_arrive_and_a_ninth_is_refused() -> None:
    pair = LinePair()
    contents = [pair.random.randbytes(1 + 4000 * number) for number in range(9)]
    files = [lay_in(pair, "a", f"{number}.bin", data) for number, data in enumerate(contents)]
    with pytest.raises(LocalError, match=r"attachment.too_many"):
        send(pair, "a", "All of them.", *files)
    before = pair.posts["a"].status(1, pair.now).own_number
    serial = send(pair, "a", "All but one.", *files[:8])
    assert serial.number == before + 1, "what was refused left nothing"
    pair.settle(3)
    for which, data in enumerate(contents[:8], 1):
        assert read(pair.stores["b"], serial, which) == data
    assert [each["name"] for each in listed(pair, "b", serial)] == [f"{n}.bin" for n in range(8)]


def test_many_small_files_that_come_in_one_step_all_arrive() -> None:
    pair = LinePair()
    pair.flow()
    contents = [pair.random.randbytes(500) for _ in range(5 * limits.FILES_MAX)]
    texts = []
    for number in range(0, len(contents), limits.FILES_MAX):
        some = contents[number : number + limits.FILES_MAX]
        texts.append(send(pair, "a", "x", *[lay_in(pair, "a", "x.bin", each) for each in some]))
    late: list[bytes] = []
    for _ in range(20):
        taken = pair.take("a")
        late += taken[:1] if not late else []
        for datagram in taken:
            if datagram not in late:
                pair.give("b", [datagram])
    pair.give("b", late)
    pair.settle(5)
    for _ in range(200):
        pair.wait(1)
    found = [read(pair.stores["b"], text, each + 1) for text in texts for each in range(8)]
    assert found == contents
    assert {state for text in texts for state in states(pair, "b", text)} == {"whole"}


def test_a_chunk_fills_one_datagram_and_is_never_cut() -> None:
    pair = LinePair(padded=True)
    send(pair, "a", "x", lay_in(pair, "a", MAP, pair.random.randbytes(40 * limits.CHUNK_BYTES)))
    outbox = pair.posts["b"]._lanes[1].outbox
    cut: list[bytes] = []

    def piece(payload: bytes, _now_ms: int) -> None:
        cut.append(payload)

    outbox.piece = piece  # type: ignore[assignment, method-assign]
    pair.settle(3)
    assert cut == []


# -- never delaying text --------------------------------------------------------------------------


def test_a_text_released_during_a_transfer_overtakes_what_waits() -> None:
    pair = LinePair()
    pair.flow()
    serial = send(pair, "a", "x", lay_in(pair, "a", MAP, pair.random.randbytes(1_000_000)))
    pair.flow(2)
    pair.say("a", "Stop the convoy.")
    pair.give("b", pair.take("a"))
    assert "Stop the convoy." in pair.texts("b"), "it goes with the next datagrams"
    assert states(pair, "b", serial) == ["coming"]
    pair.settle(3)
    assert states(pair, "b", serial) == ["whole"]


def test_few_chunks_stand_in_the_chain_before_a_text() -> None:
    pair = LinePair()
    pair.flow()
    pair.do("a", BearerDown(1, "tcp", "bearer.refused"))
    send(pair, "a", "x", lay_in(pair, "a", MAP, pair.random.randbytes(1_000_000)))
    for _ in range(50):
        pair.wait(1)
    assert pair.posts["a"].status(1, pair.now).outbox <= 2 + 2
    pair.up("a")
    most = 0
    while most < 10 or pair.posts["a"].status(1, pair.now).outbox > 10:
        pair.give("b", pair.take("a"))
        most = max(most, pair.posts["a"].status(1, pair.now).outbox)
        pair.give("a", pair.take("b"))
    assert most <= limits.CHUNKS_WAITING_MAX + 4


def test_bulk_leaves_half_of_a_window_and_a_text_has_it_all() -> None:
    pair = LinePair()
    pair.flow()
    send(pair, "a", "x", lay_in(pair, "a", MAP, pair.random.randbytes(1_000_000)))
    pair.flow(6)
    channel = pair.posts["a"]._lanes[1].outbox.channels["tcp"]
    while pair.take("a"):
        pass
    assert 0 < channel.bulk_bytes <= limits.WINDOW_BYTES_MAX // 2
    assert channel.fits(limits.WINDOW_BYTES_MAX - 100)
    assert not channel.fits(limits.WINDOW_BYTES_MAX // 2, bulk=True)


def test_slow_answers_make_bulk_smaller() -> None:
    pair = LinePair()
    pair.flow()
    send(pair, "a", "x", lay_in(pair, "a", MAP, pair.random.randbytes(1_000_000)))
    channel = pair.posts["a"]._lanes[1].outbox.channels["tcp"]
    pair.flow(4)
    quick = channel.bulk_records()
    for _ in range(4):
        crossing = pair.take("a")
        pair.now = pair.now._replace(mono_ms=pair.now.mono_ms + 1500)
        pair.give("b", crossing)
        pair.give("a", pair.take("b"))
    assert channel.bulk_records() < quick


def test_a_text_that_overtook_a_file_counts_as_held() -> None:
    pair = LinePair()
    pair.flow()
    send(pair, "a", "x", lay_in(pair, "a", MAP, pair.random.randbytes(500_000)))
    assert pair.take("a"), "lost on the way"
    serial = pair.say("a", "Come in.")
    pair.give("b", pair.take("a"))
    pair.give("a", pair.take("b"))
    assert pair.posts["a"].status(1, pair.now).acked_number < serial.number
    view = message(pair.stores["a"], pair.posts["a"], 1, OURS, serial, pair.now)
    assert view["state"] == "held"


def test_the_file_of_the_more_urgent_text_goes_first() -> None:
    pair = LinePair()
    pair.flow()
    slow = send(pair, "a", "later", lay_in(pair, "a", "a", pair.random.randbytes(800_000)))
    urgent = send(
        *(pair, "a", "now", lay_in(pair, "a", "b", pair.random.randbytes(200_000))),
        precedence=Precedence.FLASH,
    )
    while states(pair, "a", urgent, OURS) != ["whole"]:
        pair.flow(1)
    assert states(pair, "a", slow, OURS) == ["coming"]
    pair.settle(3)
    assert states(pair, "b", slow) == states(pair, "b", urgent) == ["whole"]


# -- restarts, restores, healing ------------------------------------------------------------------


class CrashError(BaseException):
    """The process is killed."""


def crash(at: str) -> Callable[[str], None]:
    """A fault of the disk that kills the process before or after a commit."""

    def fault(instant: str) -> None:
        if instant == at:
            raise CrashError

    return fault


def test_what_is_sent_goes_on_after_a_crash_at_any_point(long_run: bool) -> None:
    for seed in range(40 if long_run else 5):
        pair = LinePair(seed=seed)
        data = pair.random.randbytes(150_000)
        serial = send(pair, "a", "x", lay_in(pair, "a", MAP, data))
        for _ in range(12):
            pair.flow(pair.random.randrange(3))
            name = pair.random.choice("ab")
            if pair.random.random() < 0.3:
                pair.stores[name].fault = crash(pair.random.choice(("before", "after")))
                with pytest.raises(CrashError):
                    pair.say(name, "y")
                pair.stores[name].fault = lambda _instant: None
            pair.restart(name)
        pair.settle(4)
        assert read(pair.stores["b"], serial) == data
        assert pair.digests()[0] == pair.digests()[1]
        assert not pair.posts["b"].status(1, pair.now).faults


def test_a_sender_put_back_sends_again_and_the_file_is_whole() -> None:
    pair = LinePair()
    data = pair.random.randbytes(400_000)
    serial = send(pair, "a", "x", lay_in(pair, "a", MAP, data))
    pair.flow(3)
    saved = pair.stores["a"].snapshot()
    pair.flow(3)
    pair.restore("a", saved)
    pair.settle(6)
    assert read(pair.stores["b"], serial) == data
    assert states(pair, "a", serial, OURS) == ["whole"]
    assert not pair.posts["b"].status(1, pair.now).faults
    assert pair.digests()[0] == pair.digests()[1]


def test_a_file_whole_before_its_sender_was_put_back_stays_readable() -> None:
    pair = LinePair()
    data = pair.random.randbytes(200_000)
    serial = send(pair, "a", "x", lay_in(pair, "a", MAP, data))
    pair.flow(3)
    saved = pair.stores["a"].snapshot()
    pair.settle(2)
    assert states(pair, "b", serial) == ["whole"]
    pair.restore("a", saved)
    pair.give("b", pair.take("a")[:1])
    assert pair.stores["b"].arrivals(1, 0, 100, aside=True), "parts of it stand aside"
    assert read(pair.stores["b"], serial) == data
    pair.settle(6)
    assert read(pair.stores["b"], serial) == data
    assert not pair.posts["b"].status(1, pair.now).faults


def test_a_reader_put_back_is_given_the_file_again_by_healing() -> None:
    pair = LinePair()
    pair.flow()
    saved = pair.stores["b"].snapshot()
    data = pair.random.randbytes(100_000)
    serial = send(pair, "a", "x", lay_in(pair, "a", MAP, data))
    pair.settle(2)
    assert states(pair, "a", serial, OURS) == ["whole"]
    pair.restore("b", saved)
    pair.settle(4)
    assert pair.posts["b"].status(1, pair.now).lost
    for name in "ab":
        pair.posts[name]._lanes[1].seal.clear_alarm()
    pair.do("b", HealAsk(1, "test"))
    pair.settle(2)
    pair.do("a", HealGive(1, "test"))
    pair.settle(20)
    assert not pair.posts["b"].status(1, pair.now).lost
    assert read(pair.stores["b"], serial) == data
    assert not pair.posts["b"].status(1, pair.now).faults


def file_of(pair: LinePair) -> Serial:
    """The serial of the first FILE of a."""
    [row] = pair.stores["a"].arrivals(1, 0, 1, side=OURS, kinds=[receipts.FILE])
    return Serial(row.incarnation, row.number)


def test_a_file_that_is_stopped_comes_no_further() -> None:
    pair = LinePair()
    pair.flow()
    serial = send(pair, "a", "x", lay_in(pair, "a", MAP, pair.random.randbytes(900_000)))
    pair.flow(2)
    pair.do("a", StopFile(1, "test", file_of(pair)))
    pair.settle(3)
    assert states(pair, "a", serial, OURS) == states(pair, "b", serial) == ["stopped"]
    assert not pair.stores["a"]._disk.contents, "what waited is erased"
    with pytest.raises(LocalError, match=r"attachment.not_sending"):
        pair.do("a", StopFile(1, "test", file_of(pair)))
    with pytest.raises(LocalError, match=r"attachment.not_whole"):
        read(pair.stores["b"], serial)
    assert not pair.posts["b"].status(1, pair.now).faults


# -- disks ----------------------------------------------------------------------------------------


def test_a_full_disk_refuses_files_and_loses_nothing() -> None:
    pair = LinePair()
    data = pair.random.randbytes(300_000)
    serial = send(pair, "a", "x", lay_in(pair, "a", MAP, data))
    pair.flow(3)
    for name in "ab":
        pair.stores[name].full = True
        with pytest.raises(StoreError, match=r"store.disk_full"):
            pair.say(name, "no room")
        pair.stores[name].full = False
    pair.say("a", "We have room again.", Precedence.FLASH)
    pair.settle(8)
    assert "We have room again." in pair.texts("b")
    assert read(pair.stores["b"], serial) == data


def test_a_text_beside_chunks_may_use_what_chunks_may_not() -> None:
    pair = LinePair()
    pair.flow()
    send(pair, "a", "x", lay_in(pair, "a", MAP, pair.random.randbytes(300_000)))
    commit, store = pair.stores["a"].commit, pair.stores["a"]

    def reserve_only(batch: Any) -> None:
        if not batch.urgent:
            raise StoreError("store.disk_full")
        commit(batch)

    store.commit = reserve_only  # type: ignore[method-assign]
    with pytest.raises(StoreError):
        pair.say("a", "ROUTINE on a full disk.")
    pair.say("a", "FLASH on a full disk.", Precedence.FLASH)
    store.commit = commit  # type: ignore[method-assign]
    pair.settle(8)
    assert "FLASH on a full disk." in pair.texts("b")


def test_a_file_beyond_the_quota_is_refused_with_its_text() -> None:
    pair = LinePair()
    quota = pair.posts["a"]._lanes[1].quota
    quota.quota_bytes = quota.own_bytes + 50_000
    file = lay_in(pair, "a", MAP, bytes(60_000))
    before = pair.posts["a"].status(1, pair.now).own_number
    with pytest.raises(LocalError, match=r"store.no_room"):
        send(pair, "a", "x", file)
    assert pair.say("a", "Without it.").number == before + 1


def test_a_reader_whose_quota_is_full_still_takes_what_is_urgent() -> None:
    pair = LinePair()
    pair.flow()
    quota = pair.posts["b"]._lanes[1].quota
    quota.quota_bytes = quota.peer_bytes + 100_000
    serial = send(pair, "a", "x", lay_in(pair, "a", MAP, pair.random.randbytes(300_000)))
    pair.settle(2)
    assert states(pair, "b", serial) == ["coming"]
    pair.say("a", "Hear this.", Precedence.FLASH)
    pair.settle(2)
    assert "Hear this." in pair.texts("b")
    quota.quota_bytes += 1_000_000
    pair.settle(60)
    assert states(pair, "b", serial) == ["whole"]
