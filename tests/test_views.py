"""What people see of the record: in place, in order, and marked where it is odd."""

from __future__ import annotations

import json
from typing import Any

import pytest

from openline import audited, verbs, views
from openline.core import receipts
from openline.core.envelope import Record, encode_record
from openline.core.events import Reference, Serial
from openline.core.inbound import Begin
from openline.core.precedence import Precedence
from openline.core.transcript import Segment, next_head
from openline.errors import LocalError
from openline.inputs import Compare, Receive, Release, Revoke
from openline.store.base import ABANDONED, OURS, THEIRS, Batch, Row
from openline.verification import ChainCheck, RecordCheck
from tests.pair import LinePair, reworded

DAY_S = 86_400


@pytest.fixture
def pair() -> LinePair:
    """Two posts whose line is open and quiet."""
    pair = LinePair()
    pair.flow()
    pair.wait(2)
    pair.flow()
    return pair


def inbox(pair: LinePair, name: str, *, everything: bool = False) -> list[views.View]:
    """The inbox of one post."""
    store, post = pair.stores[name], pair.posts[name]
    listed: list[views.View] = views.inbox(store, post, None, pair.now, everything=everything)[
        "records"
    ]
    return listed


def message(pair: LinePair, name: str, side: int, serial: Serial) -> views.View:
    """One message as one post sees it."""
    return views.message(pair.stores[name], pair.posts[name], 1, side, serial, pair.now)


def test_a_text_is_seen_on_both_sides_with_what_became_of_it(pair: LinePair) -> None:
    serial = pair.say("a", "Standing by?", Precedence.FLASH)
    assert message(pair, "a", OURS, serial)["state"] == "queued"
    pair.flow()
    assert message(pair, "a", OURS, serial)["state"] == "held"
    there = message(pair, "b", THEIRS, serial)
    assert (there["text"], there["precedence"]) == ("Standing by?", "FLASH")
    assert (there["state"], there["standing"]) == ("arrived", "chained")
    for kind in (receipts.DELIVERED, receipts.SHOWN, receipts.OPENED):
        pair.do("b", Receive(1, "test", kind, serial))
    pair.flow()
    ours = message(pair, "a", OURS, serial)
    assert ours["state"] == "shown"
    assert [mark["kind"] for mark in ours["marks"]] == ["delivered", "shown", "opened"]
    assert message(pair, "b", THEIRS, serial)["state"] == "shown"


def test_a_holding_reply_shows_until_when(pair: LinePair) -> None:
    serial = pair.say("a", "Answer please")
    pair.flow()
    due_s = pair.now.wall_s + 3600
    pair.do("b", Receive(1, "test", receipts.HOLDING, serial, due_s, "soon"))
    pair.flow()
    mark = message(pair, "a", OURS, serial)["marks"][0]
    assert (mark["kind"], mark["due"]) == ("holding", "2023-11-14T23:13:22Z")


def test_a_view_is_json_with_the_documented_keys(pair: LinePair) -> None:
    pair.say("a", "x")
    pair.flow()
    view = inbox(pair, "b")[0]
    assert json.loads(json.dumps(view)) == view
    assert list(view) == [
        *("type", "line", "label", "side", "serial", "number", "incarnation", "variant"),
        *("precedence", "kind", "service", "language", "subject", "text"),
        *("dtg", "dtg_group", "filed", "filed_group", "due", "due_group"),
        *(
            "arrived",
            "arrived_group",
            "references",
            "state",
            "bearers",
            "sent",
            "held",
            "held_group",
            "marks",
            "authorship",
            "standing",
            "restored",
        ),
        *("forks", "doubts", "attachments", "bytes", "head"),
    ]


def test_service_records_are_left_out_unless_asked_for(pair: LinePair) -> None:
    pair.say("a", "one")
    pair.flow()
    assert [view["kind"] for view in inbox(pair, "b")] == ["text"]
    kinds = {view["kind"] for view in inbox(pair, "b", everything=True)}
    assert {"text", "begin"} < kinds


def test_a_gap_stands_where_the_missing_numbers_belong(pair: LinePair) -> None:
    first = pair.say("a", "first")
    pair.flow()
    pair.say("a", "lost on the way")
    assert pair.take("a")
    pair.say("a", "after", Precedence.FLASH)
    pair.give("b", pair.take("a"))
    listing = inbox(pair, "b")
    assert [entry["type"] for entry in listing] == ["message", "gap", "message"]
    gap = listing[1]
    assert (gap["first"], gap["last"], gap["count"]) == (first.number + 1, first.number + 1, 1)
    assert listing[2]["standing"] == "waiting"
    store, post = pair.stores["b"], pair.posts["b"]
    page = views.transcript(store, post, 1, pair.now)["records"]
    place = next(at for at, entry in enumerate(page) if entry["type"] == "gap")
    assert page[place + 1]["text"] == "after"


def test_two_texts_under_one_serial_are_both_shown(pair: LinePair) -> None:
    serial = pair.say("a", "the first text")
    pair.flow()
    store = pair.stores["b"]
    row = store.row(1, THEIRS, serial.number, serial.incarnation)
    assert row is not None
    other = reworded(row.record, "the other text")
    store.commit(Batch(rows=[row._replace(record=other, head=None, variant=1, standing=2)]))
    view = message(pair, "b", THEIRS, serial)
    assert (view["text"], view["forks"]) == ("the first text", 1)
    assert [other["text"] for other in view["other_texts"]] == ["the other text"]
    assert view["other_texts"][0]["standing"] == "fork"
    aside = views.off_chain(store, pair.posts["b"], 1, pair.now)["records"]
    assert [entry["text"] for entry in aside] == ["the other text"]


def test_an_unknown_kind_is_shown_as_such(pair: LinePair) -> None:
    row = _foreign(pair, kind=99, body=b"from a later version")
    pair.stores["b"].commit(Batch(rows=[row]))
    view = inbox(pair, "b")[-1]
    assert (view["kind"], view["text"]) == ("unknown 99", "from a later version")


def test_bad_utf8_and_an_impossible_date_are_shown_and_marked(pair: LinePair) -> None:
    row = _foreign(pair, kind=1, body=b"\xff\xfe", filed_s=pair.now.wall_s + 30 * DAY_S)
    pair.stores["b"].commit(Batch(rows=[row]))
    view = inbox(pair, "b")[-1]
    assert (view["text"], view["doubts"]) == ("\\xff\\xfe", ["filed"])
    assert view["standing"] == "abandoned"


def _foreign(pair: LinePair, kind: int, body: bytes, filed_s: int | None = None) -> Row:
    """A record of the other side that no post of this version writes, off the chain."""
    filed_s = pair.now.wall_s if filed_s is None else filed_s
    head = bytes((0xAB, 0xCD, 0xEF, 0x3F, 0x00, kind, 0, 0))
    record = head + filed_s.to_bytes(4, "big") + body
    return Row(1, THEIRS, 0x3F, 0xABCDEF, record, None, pair.now.wall_s, kind, 0, ABANDONED)


def test_a_number_alone_is_enough_where_it_is_unique(pair: LinePair) -> None:
    serial = pair.say("a", "x")
    store = pair.stores["a"]
    assert views.resolve(store, 1, OURS, serial.number, None) == serial
    assert views.resolve(store, 1, OURS, serial.number, serial.incarnation) == serial
    for number, incarnation in ((999, None), (serial.number, 1)):
        with pytest.raises(LocalError) as refused:
            views.resolve(store, 1, OURS, number, incarnation)
        assert refused.value.code == "message.unknown"
    row = store.row(1, OURS, serial.number, serial.incarnation)
    assert row is not None
    twin = row._replace(incarnation=0x123456, head=None, standing=ABANDONED)
    store.commit(Batch(rows=[twin]))
    with pytest.raises(LocalError) as refused:
        views.resolve(store, 1, OURS, serial.number, None)
    assert refused.value.code == "message.ambiguous"
    assert "123456" in str(refused.value.details["choices"])


def test_the_transcript_reads_in_serial_order_and_after_what_is_referred_to(
    pair: LinePair,
) -> None:
    question = pair.say("a", "question")
    pair.flow()
    reference = (Reference(False, question),)
    pair.do("b", Release(1, "test", Precedence.ROUTINE, "ru", "", "answer", references=reference))
    pair.flow()
    pair.say("a", "thanks")
    pair.flow()
    for name in "ab":
        page = views.transcript(pair.stores[name], pair.posts[name], 1, pair.now)
        texts = [entry["text"] for entry in page["records"] if not entry["service"]]
        assert texts == ["question", "answer", "thanks"]
        for side in views.SIDES:
            numbers = [entry["number"] for entry in page["records"] if entry["side"] == side]
            assert numbers == list(range(1, len(numbers) + 1))


def test_pages_of_the_transcript_join_without_loss(pair: LinePair) -> None:
    for at in range(20):
        pair.say("ab"[at % 2], f"text {at}")
        pair.flow()
    store, post = pair.stores["a"], pair.posts["a"]
    whole = views.transcript(store, post, 1, pair.now, limit=1000)["records"]
    pieces: list[views.View] = []
    place: dict[str, Any] | None = {"ours": 0, "theirs": 0}
    while place is not None:
        page = views.transcript(store, post, 1, pair.now, limit=7, **place)
        pieces += page["records"]
        place = page["next"]
    assert sorted(pieces, key=_key) == sorted(whole, key=_key)
    assert len(pieces) == len(whole)


def _key(view: views.View) -> tuple[str, int]:
    return view["side"], view["number"]


def test_a_line_is_described_without_its_messages(pair: LinePair) -> None:
    pair.say("a", "never shown here")
    pair.flow()
    pair.do("a", Compare(1, "test"))
    pair.flow()
    (view,) = views.lines(pair.posts["a"], pair.now)
    assert "never shown here" not in json.dumps(view)
    assert (view["label"], view["paired_by"], view["gaps"]) == ("other", "tape", [])
    assert view["bearers"][0]["up"] is True
    assert view["comparison"]["agree"] is True
    assert view["own_number"] == view["acked_number"]


def test_status_names_lines_that_need_a_person(pair: LinePair) -> None:
    found = views.status(pair.posts["a"], pair.now)
    assert (found["alarms"], found["forked"], found["silent"]) == ([], [], [])
    pair.restart("b")
    assert views.status(pair.posts["b"], pair.now)["silent"] == []


def test_a_revoked_line_stays_readable(pair: LinePair) -> None:
    serial = pair.say("a", "stays")
    pair.flow()
    pair.do("a", Revoke(1, "test"))
    view = message(pair, "a", OURS, serial)
    assert (view["text"], view["state"]) == ("stays", "unknown")
    assert views.lines(pair.posts["a"], pair.now)[0]["paired_by"] is None
    store, post = pair.stores["a"], pair.posts["a"]
    assert len(verbs.read(store, post, "anchors", {"line": "other"}, pair.now)["line_id"]) == 32


def test_acts_are_listed_without_text(pair: LinePair) -> None:
    pair.say("a", "secret text")
    entries = audited.audit(pair.stores["a"])
    assert [entry["act"] for entry in entries] == ["initialise", "pair", "release"]
    assert "secret" not in json.dumps(entries)
    assert audited.audit(pair.stores["a"], after=2, limit=5) == entries[2:]


def check_of(pair: LinePair, name: str) -> RecordCheck:
    """Both chains of a post put through the check, from raw pages."""
    store, post = pair.stores[name], pair.posts[name]
    said = verbs.read(store, post, "anchors", {"line": "other"}, pair.now)
    from openline.commands.transcripts import anchors

    check = RecordCheck(anchors(said))
    for entry in views.transcript(store, post, 1, pair.now, limit=1000, raw=True)["records"]:
        serial = Serial(entry["incarnation"], entry["number"])
        head = bytes.fromhex(entry["head"])
        side = views.SIDES.index(entry["side"])
        check.chains[side].take(serial, bytes.fromhex(entry["record"]), head)
    return check


def test_recomputed_records_agree_with_the_post_and_with_each_other(pair: LinePair) -> None:
    for at in range(6):
        pair.say("ab"[at % 2], f"text {at}")
        pair.flow()
    pair.wait(60)
    pair.flow()
    checks = {name: check_of(pair, name) for name in "ab"}
    for name, check in checks.items():
        assert [chain.finish() for chain in check.chains] == [None, None]
        digest = check.digest()
        assert digest is not None
        assert digest.hex() == pair.posts[name].status(1, pair.now).digest
    assert checks["a"].digest() == checks["b"].digest()


def test_a_changed_byte_breaks_the_chain_where_it_is(pair: LinePair) -> None:
    serial = pair.say("a", "text")
    pair.say("a", "more")
    pair.flow()
    rows = pair.stores["a"].chain(1, OURS, 1, 100)
    chain = ChainCheck(None)
    for row in rows:
        mine = row.number == serial.number
        record = reworded(row.record, "tent") if mine else row.record
        chain.take(Serial(row.incarnation, row.number), record, row.head)
    assert chain.finish() == serial.number


def test_a_chain_goes_on_from_what_a_begin_gives_and_only_then() -> None:
    given, path = bytes(range(32)), (Segment(2, 1),)
    later = _record(6, receipts.TEXT, b"after the loss")
    for floor_head, broken in ((given, None), (bytes(32), 7)):
        head = next_head(given, later)
        begin = _record(7, receipts.BEGIN, Begin(5, floor_head, 0, 0, path).encode())
        chain = ChainCheck(bytes(32))
        chain.take(Serial(1, 6), later, head)
        assert ChainCheck.finish(chain) == 6
        chain = ChainCheck(bytes(32))
        chain.take(Serial(1, 6), later, head)
        chain.take(Serial(1, 7), begin, next_head(head, begin))
        assert chain.finish() == broken


def test_bytes_under_another_serial_break_the_chain() -> None:
    record = _record(1, receipts.TEXT, b"x")
    for serial, data in ((Serial(1, 2), record), (Serial(2, 1), record), (Serial(1, 1), b"x")):
        chain = ChainCheck(None)
        chain.take(serial, data, next_head(bytes(32), data))
        assert chain.finish() == serial.number


def _record(number: int, kind: int, body: bytes) -> bytes:
    record = Record(1, number, Precedence.ROUTINE, kind, "", 9, 9, None, (), "", body)
    return encode_record(record)


def test_a_wrong_argument_is_our_own_error(pair: LinePair) -> None:
    store, post, now = pair.stores["a"], pair.posts["a"], pair.now
    wrong: list[tuple[str, dict[str, object]]] = [
        ("inbox", {"line": 5}),
        ("inbox", {"limit": -1}),
        ("inbox", {"limit": True}),
        ("show", {"line": "other", "number": "x"}),
        ("show", {"line": "other", "side": "mine", "number": 1}),
        ("transcript", {"line": "other", "ours": 1 << 70}),
    ]
    for verb, args in wrong:
        with pytest.raises(LocalError) as refused:
            verbs.read(store, post, verb, args, now)
        assert refused.value.code == "control.argument"
    acts: list[tuple[str, dict[str, object]]] = [
        ("send", {"line": "other", "text": 1}),
        ("send", {"line": "other", "text": "x", "precedence": "LOUD"}),
        ("send", {"line": "other", "text": "x", "references": [1]}),
        ("receipt", {"line": "other", "number": 1, "kind": "text"}),
        ("pair", {"label": "x", "card": "zz", "words": []}),
        ("pair", {"label": "x", "card": "00", "words": [1]}),
    ]
    for verb, args in acts:
        with pytest.raises(LocalError) as refused:
            verbs.act(store, post, "test", verb, args)
        assert refused.value.code == "control.argument"
    with pytest.raises(LocalError) as refused:
        verbs.read(store, post, "inbox", {"line": "nowhere"}, now)
    assert refused.value.code == "line.unknown"
