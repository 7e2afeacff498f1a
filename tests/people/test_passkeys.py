"""Passkeys at the post: made, used, counted, taken away; and acts that a sign-in alone does not
open."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from openline.errors import LocalError
from openline.inputs import (
    AddPasskey,
    AskPasskey,
    Prove,
    RemovePasskey,
    SignedOut,
    SignIn,
)
from openline.passkeys import Answer, Purpose, Secrets, host
from openline.people import ASKED_MAX, CHALLENGE_S, PASSKEYS_MAX, PROOF_S, Caller
from openline.rights import CONFIRMED, RIGHTS, WAYS_IN, subject
from openline.signins import Token, stretched
from tests.authenticator import PRESENT, Device, octets, text
from tests.staff import ME, OWN, Staff, code

ARGS: dict[str, object] = {"draft": "h7k2qd", "revision": 2, "hash": "ab" * 32}
ACT = subject("draft_release", ARGS)


def options(staff: Staff, actor: str, what: str, device: Device, about: str = "") -> dict[str, Any]:
    found = staff.do(AskPasskey(actor, what, device.origin, about))
    assert isinstance(found, dict)
    return found


def enrol(staff: Staff, name: str, device: Device, label: str = "the blue one") -> str:
    """A person makes a passkey on a device; its short name."""
    made = device.create(options(staff, name, "passkey_add", device))
    staff.do(AddPasskey(name, made, label))
    return str(passkeys(staff, name)[-1]["passkey"])


def passkeys(staff: Staff, name: str) -> list[dict[str, Any]]:
    views = staff.post.people.views(staff.now)
    found: list[dict[str, Any]] = next(each for each in views if each["name"] == name)["passkeys"]
    return found


def answer(staff: Staff, device: Device) -> str:
    """What the device answers at the door."""
    return device.get(options(staff, "page", "sign_in", device))


def refused(staff: Staff, given: str) -> str:
    return code(staff, SignIn("page", answer=given))


def proof(staff: Staff, name: str, device: Device, about: str = ACT) -> str:
    """That a person has confirmed an act with a device."""
    asked = options(staff, name, "act", device, about)
    token = staff.do(Prove(name, "draft_release", about, answer=device.get(asked)))
    assert isinstance(token, Token)
    return token.text


def may(staff: Staff, caller: Caller, given: str, args: Mapping[str, object] = ARGS) -> bool:
    try:
        staff.post.people.confirm(caller, "draft_release", args, given, staff.now)
    except LocalError:
        return False
    return True


@pytest.fixture
def device(desk: Staff) -> Device:
    """A device with a passkey of desk-one."""
    made = Device()
    enrol(desk, "desk-one", made)
    return made


# -- signing in ---------------------------------------------------------------------------------


def test_a_passkey_signs_in_without_a_name_and_outlives_a_restart(
    desk: Staff, device: Device
) -> None:
    desk.pair.restart("a")
    token = desk.do(SignIn("page", answer=answer(desk, device)))
    caller = desk.caller(3, token.text)
    assert (caller.actor, caller.how) == ("desk-one", "passkey")
    (said,) = desk.acts("sign_in")
    assert said == ("desk-one", "sign_in", {"name": "desk-one", "how": "passkey", "asked": "page"})


def test_one_person_has_several_and_each_opens(desk: Staff, device: Device) -> None:
    other = Device()
    enrol(desk, "desk-one", other, "at the other desk")
    assert [key["label"] for key in passkeys(desk, "desk-one")] == [
        "the blue one",
        "at the other desk",
    ]
    for each in (device, other):
        assert desk.do(SignIn("page", answer=answer(desk, each)))


def test_the_door_names_no_passkey_and_a_device_that_holds_one_is_not_given_another(
    desk: Staff, device: Device
) -> None:
    assert options(desk, "page", "sign_in", device)["allowCredentials"] == []
    asked = options(desk, "desk-one", "passkey_add", device)
    assert [octets(each["id"]) for each in asked["excludeCredentials"]] == [*device.keys]
    assert asked["user"]["name"] == "desk-one"
    assert b"desk-one" not in octets(asked["user"]["id"])


def test_an_answer_works_once_and_in_time(desk: Staff, device: Device) -> None:
    given = answer(desk, device)
    desk.do(SignIn("page", answer=given))
    assert refused(desk, given) == "people.challenge_over"
    late = answer(desk, device)
    desk.pair.wait(CHALLENGE_S)
    assert refused(desk, late) == "people.challenge_over"


def test_a_challenge_is_random_and_for_one_purpose(desk: Staff, device: Device) -> None:
    asked = [options(desk, "desk-one", "act", device, ACT)["challenge"] for _ in range(2)]
    assert len({*asked}) == 2
    assert {len(octets(each)) for each in asked} == {32}
    to_release = device.get(options(desk, "desk-one", "act", device, ACT))
    assert refused(desk, to_release) == "people.challenge_over"
    to_sign_in = Prove("desk-one", "draft_release", ACT, answer=answer(desk, device))
    assert code(desk, to_sign_in) == "people.challenge_over"


def test_what_another_page_a_thief_or_a_stranger_has_signed_opens_nothing(
    desk: Staff, device: Device
) -> None:
    asked = options(desk, "page", "sign_in", device)
    device.origin = "http://desk.localhost:9999"
    assert refused(desk, device.get(asked)) == "people.passkey_refused"
    device.origin, device.flags = "http://desk.localhost:8470", PRESENT
    assert refused(desk, answer(desk, device)) == "people.passkey_refused"
    stranger = Device()
    stranger.create(options(desk, "desk-one", "passkey_add", stranger))
    assert refused(desk, answer(desk, stranger)) == "people.passkey_unknown"
    (ident,) = device.keys
    stranger.keys[ident] = next(iter(stranger.keys.values()))
    forged = stranger.get(options(desk, "page", "sign_in", stranger), ident)
    assert refused(desk, forged) == "people.passkey_refused"
    log = [details["code"] for _, _, details in desk.acts("sign_in_refused")]
    assert log == ["people.passkey_refused"] * 3


def test_a_count_that_goes_back_is_refused_and_in_the_log(desk: Staff, device: Device) -> None:
    desk.do(SignIn("page", answer=answer(desk, device)))
    copied = Device(signed=device.signed - 1, keys=device.keys)
    assert refused(desk, answer(desk, copied)) == "people.passkey_copied"
    ((actor, _, details),) = desk.acts("sign_in_refused")
    assert (actor, details["code"], details["name"]) == (
        "page",
        "people.passkey_copied",
        "desk-one",
    )
    assert desk.do(SignIn("page", answer=answer(desk, device)))


def test_a_device_that_does_not_count_is_let_in(desk: Staff) -> None:
    silent = Device(counts=False)
    enrol(desk, "desk-one", silent)
    for _ in range(2):
        assert desk.do(SignIn("page", answer=answer(desk, silent)))


def test_wrong_passphrases_do_not_keep_a_passkey_waiting(desk: Staff, device: Device) -> None:
    for _ in range(4):
        assert code(desk, SignIn("page", "desk-one", bytes(32))) == "people.wrong"
    assert code(desk, SignIn("page", "desk-one", bytes(32))) == "people.wait"
    assert desk.do(SignIn("page", answer=answer(desk, device)))


@pytest.mark.parametrize(
    "said",
    ["", "{", "[]", "7", '{"rawId": 7}', '{"rawId": "AA", "response": {}}', "[" * 20_000]
    + [json.dumps({"rawId": "AA", "response": {"clientDataJSON": text(b)}}) for b in (b"{}", b"[")],
)
def test_what_is_no_answer_is_refused_in_words(desk: Staff, said: str) -> None:
    with pytest.raises(LocalError, match=r"people\.passkey_refused"):
        Answer(said)


def test_an_answer_garbled_anywhere_is_one_refusal(desk: Staff, device: Device) -> None:
    for name in ("authenticatorData", "signature"):
        for garbled in ("", "AAAA", text(bytes(300))):
            said = json.loads(answer(desk, device))
            said["response"][name] = garbled
            assert refused(desk, json.dumps(said)) in ("people.passkey_refused", "people.wait")
            desk.pair.wait(60)


# -- a new passkey ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["attestationObject", "clientDataJSON"])
def test_a_passkey_garbled_on_its_way_is_none(desk: Staff, name: str) -> None:
    device = Device()
    said = json.loads(device.create(options(desk, "desk-one", "passkey_add", device)))
    for garbled in ("", "AAAA", text(b"\xbf" * 200)):
        said["response"][name] = garbled
        with pytest.raises(LocalError):
            desk.do(AddPasskey("desk-one", json.dumps(said), "x"))
    assert passkeys(desk, "desk-one") == []


def test_a_passkey_is_made_for_the_person_who_asked_and_with_a_name(desk: Staff) -> None:
    desk.add("desk-two")
    device = Device()
    made = device.create(options(desk, "desk-two", "passkey_add", device))
    assert code(desk, AddPasskey("desk-one", made, "x")) == "people.challenge_over"
    for label in ("", " ", "x" * 65, "a\nb", "a\u202eb"):
        made = device.create(options(desk, "desk-one", "passkey_add", device))
        assert code(desk, AddPasskey("desk-one", made, label)) == "people.passkey_label"
    assert code(desk, AskPasskey("nobody", "passkey_add", device.origin)) == "people.nobody"
    assert code(desk, AskPasskey("desk-one", "act", device.origin, ACT)) == "people.no_passkey"
    for origin in (
        "",
        "desk.localhost",
        "ftp://desk.localhost",
        "http://[",
        "http://",
        "http://127.0.0.1:8",
        "http://[::1]:8",
    ):
        assert code(desk, AskPasskey("page", "sign_in", origin)) == "people.passkey_origin"


def test_a_statement_of_the_maker_is_not_read(desk: Staff) -> None:
    device = Device()
    made = device.create(options(desk, "desk-one", "passkey_add", device), fmt="tpm")
    assert code(desk, AddPasskey("desk-one", made, "x")) == "people.passkey_refused"


def test_there_is_a_most_of_passkeys(desk: Staff) -> None:
    for _ in range(PASSKEYS_MAX):
        enrol(desk, "desk-one", Device())
    with pytest.raises(LocalError, match=r"people\.passkeys"):
        enrol(desk, "desk-one", Device())


def test_a_passkey_taken_away_opens_nothing_and_signs_out(desk: Staff, device: Device) -> None:
    token = desk.do(SignIn("page", answer=answer(desk, device)))
    which = passkeys(desk, "desk-one")[0]["passkey"]
    assert code(desk, RemovePasskey(ME, "desk-one", "00000000")) == "people.passkey_unknown"
    assert code(desk, RemovePasskey(ME, "nobody", which)) == "people.unknown"
    assert code(desk, RemovePasskey(ME, ME, which)) == "people.nobody"
    assert desk.do(RemovePasskey("desk-one", "desk-one", which)) == SignedOut(1)
    assert refused(desk, answer(desk, device)) == "people.passkey_unknown"
    with pytest.raises(LocalError, match=r"people\.signed_out"):
        desk.caller(3, token.text)
    acts = [act for _, act, _ in desk.acts("passkey_add", "passkey_remove")]
    assert acts == ["passkey_add", "passkey_remove"]


# -- acts confirmed -----------------------------------------------------------------------------


@pytest.fixture
def caller(desk: Staff, device: Device) -> Caller:
    """desk-one, signed in by passkey."""
    return desk.caller(3, desk.do(SignIn("page", answer=answer(desk, device))).text)


def test_a_sign_in_alone_does_not_open_what_is_to_be_confirmed(desk: Staff, caller: Caller) -> None:
    assert {*RIGHTS} >= CONFIRMED
    for verb in RIGHTS:
        if verb in CONFIRMED:
            with pytest.raises(LocalError, match=r"people\.proof_needed"):
                desk.post.people.confirm(caller, verb, {}, "", desk.now)
        else:
            desk.post.people.confirm(caller, verb, {}, "", desk.now)
    unix = desk.caller(OWN)
    assert all(may(desk, unix, said) for said in ("", "nonsense"))


def test_a_touch_is_for_one_act_of_one_person_once_and_soon(
    desk: Staff, device: Device, caller: Caller
) -> None:
    given = proof(desk, "desk-one", device)
    assert may(desk, caller, given)
    assert not may(desk, caller, given)
    for wrong in ({**ARGS, "revision": 3}, {**ARGS, "draft": "another"}, {}):
        assert not may(desk, caller, proof(desk, "desk-one", device), wrong)
    desk.add("desk-two", "releaser")
    desk.give_passphrase("desk-two", "correct horse battery")
    other = desk.caller(3, desk.sign_in("desk-two", "correct horse battery"))
    assert not may(desk, other, proof(desk, "desk-one", device))
    late = proof(desk, "desk-one", device)
    desk.pair.wait(PROOF_S)
    assert not may(desk, caller, late)
    assert not may(desk, caller, "no proof")
    log = desk.acts("confirm")
    assert {details["how"] for _, _, details in log} == {"passkey"}
    assert {(actor, details["verb"]) for actor, _, details in log} == {
        ("desk-one", "draft_release")
    }


def test_a_passphrase_confirms_as_well_and_a_wrong_one_counts(desk: Staff) -> None:
    caller = desk.caller(3, desk.sign_in("desk-one", "correct horse battery"))
    salt, cost = desk.post.people.salt("desk-one", desk.now)
    key = stretched("correct horse battery", salt, cost)
    given = desk.do(Prove("desk-one", "draft_release", ACT, key))
    assert may(desk, caller, given.text)
    for _ in range(4):
        wrong = Prove("desk-one", "draft_release", ACT, bytes(32))
        assert code(desk, wrong) == "people.wrong"
    assert code(desk, wrong) == "people.wait"
    assert code(desk, Prove(ME, "draft_release", ACT, key)) == "people.nobody"


def test_nothing_of_what_a_device_signed_is_kept(desk: Staff, device: Device) -> None:
    asked = options(desk, "desk-one", "act", device, ACT)
    said = json.loads(device.get(asked))
    desk.do(Prove("desk-one", "draft_release", ACT, answer=json.dumps(said)))
    store = desk.pair.stores["a"]
    kept = b"".join(store.state(0).values()).decode("latin-1") + str([*store.audit()])
    for secret in (said["response"]["signature"], asked["challenge"], ACT.split()[1]):
        assert secret not in kept
        assert octets(secret).hex() not in kept


def test_who_came_by_a_link_sets_a_way_in_and_then_confirms_like_others(desk: Staff) -> None:
    token = desk.do(SignIn("page", link=desk.link("desk-one"))).text
    people = desk.post.people
    for verb in sorted(CONFIRMED):
        if verb in WAYS_IN:
            people.confirm(desk.caller(3, token), verb, {}, "", desk.now)
        else:
            with pytest.raises(LocalError, match=r"people\.proof_needed"):
                people.confirm(desk.caller(3, token), verb, {}, "", desk.now)
    enrol(desk, "desk-one", Device())
    assert desk.caller(3, token).how == "passkey"
    with pytest.raises(LocalError, match=r"people\.proof_needed"):
        people.confirm(desk.caller(3, token), "passphrase", {}, "", desk.now)


def test_arguments_are_told_apart_and_nothing_given_is_nothing() -> None:
    assert subject("send", {"a": 1, "b": None}) == subject("send", {"a": 1})
    assert subject("send", {"a": 1}) != subject("send", {"a": 2})
    assert subject("send", {"a": 1}) != subject("draft_release", {"a": 1})
    assert subject("passphrase", {"key": "1"}) == subject("passphrase", {})


def test_secrets_given_out_have_a_bound_and_the_oldest_goes(desk: Staff) -> None:
    secrets = Secrets(desk.pair.random.randbytes, 60, ASKED_MAX)
    first, *others = (secrets.give(Purpose("sign_in"), desk.now) for _ in range(ASKED_MAX + 1))
    assert secrets.take(first, desk.now) is None
    assert secrets.take(others[0], desk.now) == Purpose("sign_in")
    assert secrets.take(others[0], desk.now) is None
    of_two = secrets.give(Purpose("act", "desk-two"), desk.now)
    of_one = [secrets.give(Purpose("act", "desk-one"), desk.now) for _ in range(ASKED_MAX)]
    held = [secret for secret in of_one if secrets.take(secret, desk.now)]
    assert held == of_one[-Secrets.PER_PERSON_MAX :]
    assert secrets.take(of_two, desk.now)


def test_a_passkey_belongs_to_the_name_of_the_desk_and_not_to_its_port() -> None:
    assert host("http://washington.localhost:8470") == host("http://washington.localhost:1")
    assert host("https://desk.example") == "desk.example"
