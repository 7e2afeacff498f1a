"""A backup holds the kit and nothing else; everything that can be wrong with one is told apart."""

from __future__ import annotations

import json
import random
import zlib
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from openline import backup
from openline.core.events import Now
from openline.enrolment import words
from openline.errors import LocalError
from openline.inputs import BackUp, Pair, Revoke, Rotate
from openline.post import Post
from openline.sim.disk import MemoryStore
from openline.store.keys import Cost
from tests.changing import Parties
from tests.pair import LinePair

PASSPHRASE = "six words drawn by dice"
CHEAP = Cost(64, 1, 1)


@pytest.fixture(scope="module")
def pair() -> LinePair:
    """Two posts that have talked, with later roots, receive keys and tape pages on disk."""
    made = LinePair()
    made.say("a", "a text that is history")
    made.flow()
    made.wait(70)
    made.flow()
    return made


def backed_up(pair: LinePair, config: str = "", cost: Cost = CHEAP) -> bytes:
    """A backup of post a, made by the post itself."""
    wrapping = backup.Wrapping.new(pair.now, random.Random(7).randbytes, cost)
    sealed = pair.do("a", BackUp("test", wrapping.encode(), wrapping.key(PASSPHRASE), config))
    assert isinstance(sealed, bytes)
    return sealed


@pytest.fixture(scope="module")
def data(pair: LinePair) -> bytes:
    """A backup of post a."""
    return backed_up(pair, "# how to reach them\n")


def code_of(data: bytes, passphrase: str = PASSPHRASE) -> str:
    """The code with which a backup is refused."""
    with pytest.raises(LocalError) as refused:
        backup.unseal(data, passphrase)
    return refused.value.code


def checked(data: bytes) -> bytes:
    """The same with a right length and check, as if it had been made so."""
    data = data[:5] + len(data).to_bytes(4, "big") + data[9:-16]
    return data + sha256(data).digest()[:16]


def test_a_backup_comes_back_whole(pair: LinePair, data: bytes) -> None:
    found = backup.unseal(data, PASSPHRASE)
    assert found.card == pair.posts["a"].card()
    assert found.labels() == ["other"]
    assert found.config == "# how to reach them\n"
    assert found.made_s == pair.now.wall_s


def test_a_backup_holds_the_kit_and_no_secret_of_today(pair: LinePair, data: bytes) -> None:
    found, state = backup.unseal(data, PASSPHRASE), pair.stores["a"].state(1)
    assert {"label", "card", "kit", "anchors"} <= set(found.lines[1]) <= set(backup.KEPT)
    assert any(name.startswith("tape/") for name in state)
    assert any(name.startswith("run/") for name in state)
    held = repr(found)
    roots = json.loads(state["seal"])["roots"]["later"]
    assert roots
    assert not any(root["key"] in held for root in roots)


def test_the_act_is_in_the_log_of_the_post(pair: LinePair, data: bytes) -> None:
    entries = [each.entry for each in pair.stores["a"].audit() if each.entry.act == "backup"]
    assert json.loads(entries[0].details) == {"lines": 1, "made_s": pair.now.wall_s}
    assert PASSPHRASE not in repr(entries)


def test_a_restored_store_is_the_post_again_and_alarmed_until_people_have_checked(
    pair: LinePair, data: bytes
) -> None:
    store = MemoryStore()
    store.commit(backup.unseal(data, PASSPHRASE).batch("test", pair.now))
    post = Post(store, random.Random(1).randbytes, pair.now)
    assert post.card() == pair.posts["a"].card()
    status = post.status(1, pair.now)
    assert (status.label, status.tape, status.alarm) == ("other", True, True)
    assert [each.entry.act for each in store.audit()] == ["restore"]


def test_a_card_that_was_rotated_away_is_our_own_after_a_restore_too() -> None:
    pair = LinePair()
    card = pair.posts["a"].card() or b""
    pair.do("a", Rotate("test"))
    store = MemoryStore()
    store.commit(backup.unseal(backed_up(pair), PASSPHRASE).batch("test", pair.now))
    post = Post(store, random.Random(1).randbytes, pair.now)
    refused = post.step([Pair("self", "test", card, None, words(card))], pair.now)[0]
    assert isinstance(refused, LocalError)
    assert refused.code == "enrolment.own_card"


def test_a_revoked_line_stays_revoked() -> None:
    pair = LinePair()
    pair.do("a", Revoke(1, "test"))
    store = MemoryStore()
    store.commit(backup.unseal(backed_up(pair), PASSPHRASE).batch("test", pair.now))
    post = Post(store, random.Random(1).randbytes, pair.now)
    card = pair.posts["b"].card() or b""
    again = post.step([Pair("again", "test", card, None, words(card))], pair.now)[0]
    assert isinstance(again, LocalError)
    assert again.code == "enrolment.revoked_card"


def test_a_line_paired_after_the_backup_comes_back_by_pairing_again_on_one_side_alone() -> None:
    pair = LinePair(tape=False)
    store = MemoryStore()
    found = backup.unseal(backed_up(pair), PASSPHRASE)
    store.commit(backup.Backup(found.made_s, found.identity, {}, "").batch("test", pair.now))
    pair.stores["a"] = store
    pair.posts["a"] = pair._post("a")
    card = pair.posts["b"].card() or b""
    pair.do("a", Pair("other", "test", card, None, words(card)))
    pair.up("a")
    pair.say("a", "back")
    pair.flow()
    assert pair.texts("b") == ["back"]


def test_a_wrong_passphrase_is_told_from_damage(data: bytes) -> None:
    assert code_of(data, "six words drawn by lot") == "backup.wrong_passphrase"


def test_a_passphrase_is_the_same_in_both_forms_of_unicode(pair: LinePair) -> None:
    wrapping = backup.Wrapping.new(pair.now, random.Random(7).randbytes, CHEAP)
    assert wrapping.key("caf\u00e9 au lait noir") == wrapping.key("cafe\u0301 au lait noir")


def test_every_flipped_bit_is_found_before_a_passphrase_is_asked(data: bytes) -> None:
    for at in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[at // 8] ^= 1 << at % 8
        with pytest.raises(LocalError) as refused:
            backup.wrapping_of(bytes(flipped))
        said = {"backup.foreign"} if at < 32 else {"backup.damaged", "backup.truncated"}
        assert refused.value.code in said


def test_a_backup_cut_anywhere_is_truncated(data: bytes) -> None:
    for length in range(1, len(data)):
        with pytest.raises(LocalError) as refused:
            backup.wrapping_of(data[:length])
        assert refused.value.code == "backup.truncated"
    assert code_of(data + b"\0") == "backup.damaged"


@pytest.mark.parametrize("foreign", [b"", b"PK\x03\x04 something", b"key.json", bytes(3000)])
def test_a_foreign_file_is_refused(foreign: bytes) -> None:
    assert code_of(foreign) == "backup.foreign"


def test_a_newer_backup_is_named_as_such(data: bytes) -> None:
    assert code_of(checked(data[:4] + b"\x02" + data[5:])) == "backup.newer"


@pytest.mark.parametrize("cost", [(1 << 21, 3, 4), (64, 200, 1), (64, 1, 32), (0, 1, 1), (8, 1, 4)])
def test_a_cost_nobody_should_pay_is_refused(data: bytes, cost: tuple[int, int, int]) -> None:
    memory, passes, lanes = cost
    said = memory.to_bytes(4, "big") + bytes((passes, lanes))
    assert code_of(checked(data[:17] + said + data[23:])) == "backup.damaged"


def test_a_changed_header_opens_nothing(data: bytes) -> None:
    later = (int.from_bytes(data[9:17], "big") + 1).to_bytes(8, "big")
    assert code_of(checked(data[:9] + later + data[17:])) == "backup.wrong_passphrase"


def test_a_too_short_body_is_damage(data: bytes) -> None:
    assert code_of(checked(data[:60])) == "backup.damaged"


@pytest.mark.parametrize(
    "told",
    [
        b"no json",
        b"[]",
        b'{"identity":"","lines":{},"config":""}',
        b'{"identity":"%s","lines":{"0":{}},"config":""}' % (b"00" * 160),
        b'{"identity":"%s","lines":{"1":{"label":"6f"}},"config":""}' % (b"00" * 160),
        b'{"identity":"%s","lines":{},"config":1}' % (b"00" * 160),
    ],
)
def test_what_opens_but_makes_no_post_is_damage(told: bytes) -> None:
    wrapping = backup.Wrapping(0, CHEAP, bytes(16), bytes(12))
    cipher = AESGCMSIV(wrapping.key(PASSPHRASE))
    associated = b"OLBK\x01" + wrapping.encode()
    body = wrapping.encode() + cipher.encrypt(wrapping.nonce, zlib.compress(told), associated)
    assert code_of(checked(b"OLBK\x01" + bytes(4) + body + bytes(16))) == "backup.damaged"


def test_an_empty_post_has_no_backup() -> None:
    with pytest.raises(LocalError, match="not_initialised"):
        backup.collect(MemoryStore())


def test_a_post_with_too_many_lines_is_told_so(pair: LinePair) -> None:
    kit = backup.collect(pair.stores["a"])
    noise = random.Random(1).randbytes
    lines = {n: {**kit.lines[1], "card": noise(1635)} for n in range(1, 1000)}
    wrapping = backup.Wrapping(0, CHEAP, bytes(16), bytes(12))
    with pytest.raises(LocalError, match="too_long"):
        backup.seal(backup.Backup(0, kit.identity, lines, ""), wrapping.encode(), bytes(32))


# -- on paper -------------------------------------------------------------------------------------


def texts_of(data: bytes) -> list[str]:
    """The texts of the codes."""
    return [code.text for code in backup.codes(data)]


def refused(texts: list[str]) -> LocalError:
    """How scanned texts are refused."""
    with pytest.raises(LocalError) as error:
        backup.gather(texts)
    return error.value


def test_codes_in_any_order_twice_and_in_small_letters_make_the_file(data: bytes) -> None:
    texts = [*texts_of(data), texts_of(data)[0], "", "  "]
    random.Random(3).shuffle(texts)
    assert backup.gather([f" {text.lower()}\r\n" for text in texts]) == data


@pytest.mark.parametrize(
    "coding", ["ascii", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-16 be marked"]
)
@pytest.mark.parametrize("heading", ["", "Codes of the kit\r\n\r\n"])
def test_codes_are_read_however_a_scanner_writes_text(
    data: bytes, coding: str, heading: str
) -> None:
    text = heading + "\r\n".join(texts_of(data))
    mark = "\ufeff" if coding.endswith("marked") else ""
    file = (mark + text).encode("utf-16-be" if mark else coding)
    assert backup.gather(backup.scanned(file)) == data


def test_a_heading_hides_no_damage_and_shifts_no_numbers(data: bytes) -> None:
    lines = ["Kit", *texts_of(data)]
    lines[2] = lines[2][:-3]
    error = refused(backup.scanned("\n".join(lines).encode("utf-8-sig")))
    assert (error.code, error.details["lines"]) == ("backup.code_damaged", "3")


def test_a_backup_and_a_strange_file_are_no_codes(data: bytes) -> None:
    assert backup.scanned(data) == []
    assert backup.scanned(b"") == []
    assert backup.scanned("Привет".encode("utf-16")) == []


def test_codes_are_of_the_alphanumeric_mode(data: bytes) -> None:
    assert all(
        set(text) <= set("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ/:") for text in texts_of(data)
    )


def test_missing_codes_are_named(data: bytes) -> None:
    texts = texts_of(data)
    error = refused([texts[0], *texts[2:4], *texts[5:]])
    assert (error.code, error.details) == (
        "backup.codes_missing",
        {"numbers": "2, 5", "total": len(texts)},
    )


def test_codes_of_another_set_are_named(pair: LinePair, data: bytes) -> None:
    other = texts_of(backed_up(pair, "another"))
    error = refused([*texts_of(data)[:2], other[2], *texts_of(data)[3:]])
    assert (error.code, error.details) == ("backup.other_set", {"lines": "3"})


def test_a_damaged_code_is_named_unless_it_was_read_once_more(data: bytes) -> None:
    texts = texts_of(data)
    damaged = texts[1][:100] + ("A" if texts[1][100] != "A" else "B") + texts[1][101:]
    error = refused([texts[0], damaged, *texts[2:]])
    assert (error.code, error.details) == ("backup.code_damaged", {"lines": "2"})
    assert backup.gather([damaged, *texts]) == data


@pytest.mark.parametrize("text", ["OLB:", "OLB:A:1/2:A:A", "OLB:A:x/2:AAAA:B", "hello", "::::"])
def test_what_is_no_code_is_no_code(text: str) -> None:
    assert refused([text]).code == "backup.code_damaged"


def test_nothing_scanned_is_told() -> None:
    assert refused(["", "\n"]).code == "backup.no_codes"


# -- lines that have ended ------------------------------------------------------------------------


def test_a_line_and_its_successor_are_backed_up_and_the_retired_one_stays_retired() -> None:
    parties = Parties()
    parties.a.do(Rotate("test"))
    tape = parties.new_tape()
    for name in "ab":
        assert parties.pair(name, tape, 1) == 2
    over = {1: "retired", 2: "open"}
    assert parties.settle(lambda: all(p.states() == over for p in (parties.a, parties.b)))
    kit = backup.collect(parties.a.store)
    assert kit.labels() == ["other"]
    store = MemoryStore()
    wrapping = backup.Wrapping(0, CHEAP, bytes(16), bytes(12))
    data = backup.seal(kit, wrapping.encode(), wrapping.key(PASSPHRASE))
    now = Now(1_000, 1_800_000_000)
    store.commit(backup.unseal(data, PASSPHRASE).batch("test", now))
    post = Post(store, random.Random(1).randbytes, now)
    assert post.open_lines() == [2]
    assert post.status(1, now).state == "retired"


def test_a_line_with_many_runs_behind_it_is_open_after_a_restart() -> None:
    """Sealing remembers dropped runs: that is no end of a line."""
    pair = LinePair()
    for count in range(40):
        pair.restart("b")
        pair.say("b", f"text {count}")
        pair.flow()
        pair.wait(70)
        pair.flow()
    assert "retired" in pair.stores["a"].state(1)
    pair.restart("a")
    assert pair.posts["a"].open_lines() == [1]
