"""The command line against a running post: writing, reading, proving, in three languages."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from openline import cli, i18n
from openline.bearers.base import BearerProfile
from openline.core import receipts
from openline.core.precedence import Precedence
from openline.delivery.choice import Why
from openline.delivery.explain import BearerStatus, bearer_view
from openline.inputs import ClearAlarm
from openline.store.base import ABANDONED, THEIRS, Batch, Row
from tests.answering import Answering
from tests.command_line import Captured, answered, openline, said, type_in
from tests.pair import LinePair, reworded


@pytest.fixture
def pair() -> LinePair:
    """Two posts whose line is open and quiet."""
    pair = LinePair()
    pair.flow()
    pair.wait(2)
    pair.flow()
    return pair


@pytest.fixture(autouse=True)
def running(pair: LinePair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Answering]:
    """Post "a" answers to commands."""
    with answered(pair, tmp_path, monkeypatch, columns=80) as answering:
        yield answering


# -- writing ------------------------------------------------------------------------------------


def test_a_text_goes_out_with_everything_said_of_it(pair: LinePair, capsys: Captured) -> None:
    question = pair.say("b", "Are you standing by?")
    pair.flow()
    options = ("-p", "f", "-s", "Answer", "-l", "en", "--ref", question.number)
    times = ("--dtg", "150000ZNOV23", "--reply-by", "2023-11-15T06:00Z")
    out = said(capsys, "send", "other", "We are.", *options, *times, "--json")
    serial = json.loads(out)["serial"]
    view = json.loads(said(capsys, "show", "other", f"ours:{serial['number']}", "--json"))
    assert (view["text"], view["precedence"]) == ("We are.", "FLASH")
    assert (view["subject"], view["language"]) == ("Answer", "en")
    assert (view["dtg"], view["due"]) == ("2023-11-15T00:00:00Z", "2023-11-15T06:00:00Z")
    assert [ref["serial"] for ref in view["references"]] == [str(question)]
    assert pair.texts("b") == ["We are."]
    # When it left over which bearer, and when the other machine had it, stands on the page.
    page = " ".join(said(capsys, "show", "other", f"ours:{serial['number']}").split())
    assert f"Sent over {view['sent'][0]['at_group']} tcp" in page
    assert f"Held by them {view['held_group']} {view['held']}" in page


@pytest.mark.parametrize("precedence", [p.name for p in Precedence])
def test_every_precedence_can_be_said_in_full_or_by_its_first_letter(
    precedence: str, capsys: Captured
) -> None:
    for form in (precedence, precedence.lower(), precedence[0], precedence[:3].lower()):
        if form not in ("P", "p"):
            number = json.loads(said(capsys, "send", "other", "x", "-p", form, "--json"))
            number = number["serial"]["number"]
            view = json.loads(said(capsys, "show", "other", f"ours:{number}", "--json"))
            assert view["precedence"] == precedence


def test_an_error_of_the_daemon_is_worded_here(capsys: Captured) -> None:
    assert openline("--lang", "fr", "send", "nowhere", "x") == cli.EXIT_LOCAL
    assert capsys.readouterr().err.startswith("Il n'y a pas de ligne de ce nom.")
    assert openline("show", "other", "99") == cli.EXIT_LOCAL
    assert "99" in capsys.readouterr().err
    assert openline("send", "other", "x", "--reply-by", "2020-01-01T00:00Z") == cli.EXIT_LOCAL
    assert openline("send", "other", "x", "--dtg", "tomorrow") == cli.EXIT_LOCAL


def test_receipts_reach_the_other_side(pair: LinePair, capsys: Captured) -> None:
    serial = pair.say("b", "Read this")
    pair.flow()
    assert openline("receipt", "other", serial, "--opened") == 0
    hold = ("receipt", "other", serial.number, "--holding", "--answer-by", "2030-01-01T00:00Z")
    assert openline(*hold, "--note", "soon") == 0
    marks = pair.stores["b"].marks(1, 0, serial.number, serial.incarnation)
    kinds = [mark.kind for mark in marks if mark.kind in receipts.RECEIPTS]
    assert kinds == [receipts.OPENED, receipts.HOLDING]
    assert "said before" in said(capsys, "receipt", "other", serial.number, "--opened")


# -- reading ------------------------------------------------------------------------------------


def test_an_inbox_shows_flash_loudly_and_gaps_in_place(pair: LinePair, capsys: Captured) -> None:
    pair.say("b", "first")
    pair.flow()
    pair.say("b", "lost on the way")
    assert pair.take("b")
    pair.say("b", "URGENT \x1b[2J words", Precedence.FLASH)
    pair.give("a", pair.take("b"))
    listing = said(capsys, "inbox")
    assert "▲▲ FLASH" in listing
    assert "1 missing" in listing
    assert listing.index("first") < listing.index("missing") < listing.index("URGENT")
    assert "\x1b" not in listing
    assert "⟨U+001B⟩[2J" in listing
    assert max(map(len, listing.splitlines())) <= 90
    entries = json.loads(said(capsys, "inbox", "other", "--json"))
    assert [entry["type"] for entry in entries] == ["message", "gap", "message"]


@pytest.mark.parametrize("language", i18n.LANGUAGES)
def test_every_listing_reads_in_every_language(
    language: str, pair: LinePair, capsys: Captured
) -> None:
    serial = pair.say("b", "Готовы ли вы?", Precedence.IMMEDIATE)
    pair.say("a", "Oui.")
    pair.flow()
    assert openline("receipt", "other", serial.number, "--shown") == 0
    listings = [("inbox",), ("inbox", "--all"), ("show", "other", serial), ("lines",), ("status",)]
    listings += [("transcript", "other"), ("transcript", "other", "--all"), ("audit",)]
    for listing in listings:
        text = said(capsys, "--lang", language, *listing)
        assert "{" not in text
        for prefix in ("state.", "kind.", "field.", "head.", "side.", "standing.", "paper."):
            assert prefix not in text


def test_showing_tells_everything_and_both_texts_of_a_fork(
    pair: LinePair, capsys: Captured
) -> None:
    serial = pair.say("b", "the first text")
    pair.flow()
    row = pair.stores["a"].row(1, THEIRS, serial.number, serial.incarnation)
    assert row is not None
    false = reworded(row.record, "the other text")
    other = row._replace(record=false, head=None, variant=1, standing=2)
    pair.stores["a"].commit(Batch(rows=[other]))
    page = said(capsys, "show", "other", serial)
    assert "the first text" in page
    assert "the other text" in page
    assert "ANOTHER TEXT" in page
    assert "the other text" in said(capsys, "transcript", "other")


def test_lines_and_status_are_json_too(capsys: Captured) -> None:
    (line,) = json.loads(said(capsys, "lines", "--json"))
    assert line["label"] == "other"
    assert json.loads(said(capsys, "lines", "other", "--json")) == [line]
    assert json.loads(said(capsys, "status", "--json"))["lines"] == [line]
    assert openline("lines", "nowhere") == cli.EXIT_LOCAL


def test_colour_is_for_terminals(
    pair: LinePair, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair.say("b", "loud", Precedence.FLASH)
    pair.flow()
    assert "\x1b[" not in said(capsys, "inbox")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    assert "\x1b[" in said(capsys, "inbox")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "41m" not in said(capsys, "inbox")


# -- the record ---------------------------------------------------------------------------------


def converse(pair: LinePair) -> None:
    """A few messages both ways, held by both."""
    for at in range(4):
        pair.say("ab"[at % 2], f"message {at}\nwith a second line {'long ' * 30}")
        pair.flow()
    pair.wait(30)
    pair.flow()


def test_a_record_is_recomputed_and_compared(pair: LinePair, capsys: Captured) -> None:
    converse(pair)
    text = said(capsys, "transcript", "other", "--verify")
    assert "the same record" in text
    found = json.loads(said(capsys, "transcript", "other", "--verify", "--json"))
    assert found["comparison"]["agree"] is True
    assert found["digest"] == pair.posts["b"].status(1, pair.now).digest


def test_records_that_differ_end_with_exit_code_3(pair: LinePair, capsys: Captured) -> None:
    converse(pair)
    rows = pair.stores["b"].chain(1, THEIRS, 1, 100)
    batch = Batch()
    for row in rows:
        head = sha256(row.record).digest()
        batch.heads.append((1, THEIRS, row.number, row.incarnation, head, row.standing))
    pair.stores["b"].commit(batch)
    assert openline("transcript", "other", "--verify") == cli.EXIT_DIFFERS
    assert "differ" in capsys.readouterr().err


def test_a_broken_record_here_is_named(pair: LinePair, capsys: Captured) -> None:
    converse(pair)
    row = pair.stores["a"].chain(1, THEIRS, 3, 1)[0]
    broken = (1, THEIRS, row.number, row.incarnation, bytes(32), 0)
    pair.stores["a"].commit(Batch(heads=[broken]))
    assert openline("transcript", "other", "--verify") == cli.EXIT_LOCAL
    assert f"number {row.number} of their chain" in capsys.readouterr().err


def test_no_answer_is_not_taken_for_agreement(
    pair: LinePair, running: Answering, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    converse(pair)
    monkeypatch.setattr("openline.commands.transcripts.ANSWER_POLL_S", 0.0)
    running.cut = True
    assert openline("transcript", "other", "--verify") == cli.EXIT_LOCAL
    assert "has not answered" in capsys.readouterr().err


def test_the_export_for_paper_fits_it(pair: LinePair, tmp_path: Path, capsys: Captured) -> None:
    converse(pair)
    path = tmp_path / "record.txt"
    said(capsys, "transcript", "other", "--out", path)
    text = path.read_text(encoding="utf-8")
    assert max(map(len, text.splitlines())) <= 80
    digest = pair.posts["a"].status(1, pair.now).digest
    assert digest in text.replace(" ", "").replace("\n", "")
    assert text.index("message 0") < text.index("message 1") < text.index("message 2")
    assert openline("transcript", "other", "--out", path) == cli.EXIT_LOCAL


def test_an_outsider_can_check_the_export_for_machines(pair: LinePair, capsys: Captured) -> None:
    """With nothing but SHA-256 and docs/protocol.md §7."""
    converse(pair)
    lines = [json.loads(line) for line in said(capsys, *EXPORT).splitlines()]
    first, *records, last = lines
    heads = {side: bytes.fromhex(head) for side, head in first["genesis"].items()}
    for record in records:
        side = record["side"]
        heads[side] = sha256(heads[side] + bytes.fromhex(record["record"])).digest()
        assert heads[side].hex() == record["head"]
    order = ("ours", "theirs") if first["first_party"] == "ours" else ("theirs", "ours")
    line_id = bytes.fromhex(first["line_id"])
    joined = b"openline/1 digest" + line_id + b"".join(heads[side] for side in order)
    assert sha256(joined).hexdigest() == last["digest"]
    assert last["digest"] == pair.posts["b"].status(1, pair.now).digest


EXPORT = ("transcript", "other", "--export", "jsonl")


def test_a_revoked_line_can_still_be_exported(pair: LinePair, capsys: Captured) -> None:
    converse(pair)
    assert openline("revoke", "other", "--yes") == 0
    assert "message 3" in said(capsys, "transcript", "other")
    assert "revoked" in said(capsys, "lines")
    assert openline("send", "other", "x") == cli.EXIT_LOCAL
    assert "revoked" in capsys.readouterr().err


def test_revoking_wants_the_name_of_the_line(
    pair: LinePair, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    type_in(monkeypatch, b"another\n")
    assert openline("revoke", "other") == cli.EXIT_LOCAL
    assert pair.posts["a"].open_lines() == [1]
    type_in(monkeypatch, b"")
    assert openline("revoke", "other") == cli.EXIT_USAGE


def test_the_log_of_acts_is_listed_and_checked(pair: LinePair, capsys: Captured) -> None:
    said(capsys, "send", "other", "not for the log", "-p", "F")
    text = said(capsys, "audit")
    assert "release" in text
    assert "not for the log" not in text
    entries = json.loads(said(capsys, "audit", "--after", "2", "--json"))
    assert [entry["position"] for entry in entries] == [3]
    found = json.loads(said(capsys, "audit", "--verify", "--json"))
    assert found == {"entries": 3, "hash": entries[-1]["hash"]}


def test_forms_of_address_are_set_shown_and_taken_back(capsys: Captured) -> None:
    assert "Nobody has said" in said(capsys, "address", "other")
    evil = "The\u202e Chairman"
    assert "The\u27e8U+202E\u27e9 Chairman" in said(capsys, "address", "other", "--set", evil)
    assert "Chairman" in said(capsys, "address", "other")
    assert "Nobody has said" in said(capsys, "address", "other", "--set", "")


def test_an_alarm_is_cleared_by_a_person(pair: LinePair, capsys: Captured) -> None:
    pair.posts["a"]._lanes[1].seal.raise_alarm()
    assert "cleared" in said(capsys, "clear-alarm", "other")


def test_what_two_persons_clear_at_once_is_logged_once(pair: LinePair, capsys: Captured) -> None:
    pair.posts["a"]._lanes[1].seal.raise_alarm()
    for _ in range(2):
        pair.do("a", ClearAlarm(1, "duty"))
    acts = [entry["act"] for entry in json.loads(said(capsys, "audit", "--json"))]
    assert acts.count("clear_alarm") == 1
    assert "no alarm" in said(capsys, "clear-alarm", "other").casefold()


SLOW = {
    "profile": BearerProfile("relay", 200, 4096, 0, 60_000, 20, rate_bytes_s=40),
    **{"records": 3, "queue_bytes": 900, "repeat_ms": 12_000, "loss_permille": 250},
}

ODD_BEARERS: list[tuple[str, bool, str, str, dict[str, Any]]] = [
    ("tcp", False, "bearer.refused", "", {}),
    ("radio", False, "bearer.paused", "uid:7", {}),
    *(
        (f"relay-{why.value}", True, "", "", {"why": why.value, "expected": 90_000, **SLOW})
        for why in Why
    ),
]
"""A bearer for every reason not to take it, and one to take it."""

ODD_LINE: dict[str, Any] = {
    **{"line": 1, "label": "other", "state": "open", "paired_by": "card", "alarm": True},
    **{"own_number": 9, "acked_number": 4, "outbox": 5, "peer_number": 3, "peer_highest": 9},
    **{"gaps": [[4, 4], [6, 8]], "lost": [[1, 2]], "heard": None, "heard_age_s": 3 * 86_400},
    **{"flood": True, "full": True, "faults": {"wire.malformed": 2, "never.worded": 1}, "forks": 2},
    **{"differs_at": 3, "own_serial": None, "peer_serial": None, "digest": None},
    "bearers": [
        bearer_view(name, BearerStatus(up, code, 40, None, actor=actor, **figures), 9_000)
        for name, up, code, actor, figures in ODD_BEARERS
    ],
    "refused": [{"serial": "5.00000a", "number": 5, "incarnation": 10, "refusal": "no_room"}],
    "healing": {
        "ours": None,
        "theirs": {
            **{"asked_group": "221954ZNOV26", "wanted": 70, "ours": 7, "theirs": 0},
            **{"complete": False, "agreed": False, "paused": "store.no_room"},
            "unproven": [[11, 12]],
        },
    },
    "comparison": {
        **{"asked": "2026-11-22T19:54:14Z", "answered": "2026-11-22T19:54:15Z", "agree": False},
        **{"own": "4.00000a", "peer": "3.00000b", "digest": "ab" * 32},
        "first_difference": {"side": "theirs", "number": 2},
    },
}


@pytest.mark.parametrize("language", i18n.LANGUAGES)
def test_everything_odd_about_a_line_is_worded(
    language: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("alarms", "full", "forked", "differing", "flooded", "asking", "silent")
    status = {**{name: ["other"] for name in names}, "lines": [ODD_LINE]}

    heard = {"ours": ["bada"] * 12, "theirs": ["zuta"] * 12, "ours_last": None, "theirs_last": None}
    tried = [{"line": "other", "name": "tcp", "retry_ms": 1600}]
    answers = {"status": status, "lines": [ODD_LINE], "voice": heard, "bearers": tried}

    def call(_: object, verb: str, **__: object) -> object:
        return answers[verb]

    monkeypatch.setattr("openline.commands.shell.Shell.call", call)
    glance = said(capsys, "--lang", language, "status", "--why")
    assert glance.count("other") >= 8
    for shown in ("relay-best", "relay-stuck", "uid:7", "90 ", "25 %", "900", "1600 "):
        assert shown in glance
    assert re.findall(r"(?:why|span|bearer)\.[a-z_]+", glance) == []
    whole = said(capsys, "--lang", language, "lines")
    words = i18n.catalogue(language)
    for key in ("bearer.refused", "refused.no_room", "lines.alarm", "wire.malformed"):
        assert words.text(key).split()[-1] in whole
    for shown in ("4, 6–8", "1–2", "11–12", "221954ZNOV26", "never.worded", "5.00000a"):
        assert shown in whole
    assert "{" not in glance + whole


@pytest.mark.parametrize("language", i18n.LANGUAGES)
def test_what_is_on_the_last_bearer_is_said_before_it_goes(
    language: str, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those who dial us are no bearer that could be added or removed."""
    words = i18n.catalogue(language)
    seen = [bearer_view(name, BearerStatus(True, "", 40, None, records=3), 0) for name in "ab"]
    relay = {**seen[0], "name": "relay", "line": "other", "url": "https://relay.example"}
    caller = {**seen[1], "name": "tcp-in", "line": "other"}
    asked: list[str] = []

    def call(_: object, verb: str, **__: object) -> object:
        asked.append(verb)
        return [relay, caller]

    monkeypatch.setattr("openline.commands.shell.Shell.call", call)
    type_in(monkeypatch, b"no\n")
    capsys.readouterr()
    assert openline("--lang", language, "bearer", "remove", "other", "relay") == cli.EXIT_LOCAL
    shown = capsys.readouterr().err
    for wording in ("bearer.last", "bearer.unacknowledged", "bearer.confirm"):
        assert words.text(wording, line="other", name="relay", records=3) in shown
    assert asked == ["bearers"]


def test_a_doubtful_and_an_unknown_record_are_marked(pair: LinePair, capsys: Captured) -> None:
    filed_s = pair.now.wall_s + 30 * 86_400
    head = bytes((0xAB, 0xCD, 0xEF, 0x3F, 0xC0, 99, 0, 0)) + filed_s.to_bytes(4, "big")
    row = Row(1, THEIRS, 0x3F, 0xABCDEF, head + b"later", None, pair.now.wall_s, 99, 3, ABANDONED)
    pair.stores["a"].commit(Batch(rows=[row]))
    listing = said(capsys, "inbox")
    assert "unknown kind 99" in listing
    assert "ZDEC23 ?" in listing
    page = said(capsys, "show", "other", "63.abcdef")
    assert "doubtful" in page
    assert "abandoned by its author" in page
    paper = said(capsys, "transcript", "other")
    assert "1 record kept off the chain" in paper
    assert "later" in paper


def test_an_export_is_there_whole_or_not_at_all(
    pair: LinePair, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    converse(pair)
    place = tmp_path / "stick" / "record.jsonl"
    place.parent.mkdir()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    export = ("transcript", "other", "--export", "jsonl", "--out", place)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        assert openline(*export) == cli.EXIT_LOCAL
    assert f"{place}: no space left on the disk." in capsys.readouterr().err
    assert list(place.parent.iterdir()) == []
    assert openline(*export) == 0
    assert json.loads(place.read_text().splitlines()[-1])["type"] == "end"
    assert openline(*export) == cli.EXIT_LOCAL
    assert "exists already and is not overwritten" in capsys.readouterr().err
