"""People of a post, as inputs of its step: who may, who is who, what ends, what is kept."""

from __future__ import annotations

import pytest

from openline import inputs
from openline.backup import collect
from openline.core.events import Now
from openline.errors import LocalError
from openline.inputs import (
    AddPerson,
    ChangePerson,
    EndPerson,
    MakeLink,
    SetPassphrase,
    SignIn,
    SignOut,
)
from openline.passkeys import Passkey
from openline.people import PEOPLE_MAX, Caller, People
from openline.person import LINK_S, Person
from openline.rights import EVERYTHING, KEEPER, ROLES, rights_of
from openline.signins import IDLE_S, Lock, Tries, stretched
from openline.store.base import Batch
from openline.store.keys import Cost
from tests.staff import CHEAP, ME, OWN, SALT, Staff, code, signed_in, wait_s

# -- who asks -----------------------------------------------------------------------------------


def test_without_people_the_posts_own_user_may_do_everything_and_others_nothing(
    staff: Staff,
) -> None:
    assert staff.caller(OWN) == Caller(ME, EVERYTHING)
    assert staff.caller(0) == Caller("uid:0", frozenset())


def test_once_there_is_a_person_unix_users_act_as_the_person_they_are_bound_to(
    staff: Staff,
) -> None:
    staff.add("desk-one", "administrator", uid=7)
    staff.add("desk-two", "duty", "releaser", uid=8)
    assert staff.caller(7) == Caller("desk-one", ROLES["administrator"])
    assert staff.caller(8) == Caller("desk-two", ROLES["duty"] | ROLES["releaser"])
    assert staff.caller(OWN) == Caller(ME, KEEPER)
    assert staff.caller(9) == Caller("uid:9", frozenset({"sign_in"}))


@pytest.mark.parametrize("role", sorted(ROLES))
def test_the_posts_own_user_never_gets_more_than_a_role_but_to_set_people_right(
    staff: Staff, role: str
) -> None:
    staff.add("desk-one", role, uid=OWN)
    kept = role == "administrator"
    assert staff.caller().rights == ROLES[role] | (frozenset() if kept else KEEPER)
    staff.add("desk-two", "administrator", uid=7)
    assert staff.caller().rights == ROLES[role]
    staff.do(EndPerson(ME, "desk-two"))
    assert "people" in staff.caller().rights


def test_roles_change_what_may_be_asked_at_once(staff: Staff) -> None:
    staff.add("desk-one", "drafter", uid=7)
    staff.give_passphrase("desk-one", "correct horse battery")
    token = staff.sign_in("desk-one", "correct horse battery")
    staff.do(ChangePerson(ME, "desk-one", roles=("auditor",)))
    assert staff.caller(7).rights == staff.caller(3, token).rights == ROLES["auditor"]
    staff.do(ChangePerson(ME, "desk-one", unbind=True))
    assert staff.caller(7).rights == rights_of(())
    staff.do(ChangePerson(ME, "desk-one", uid=9))
    assert staff.caller(9) == Caller("desk-one", ROLES["auditor"])


def test_who_has_left_can_do_nothing_and_the_name_is_not_given_again(staff: Staff) -> None:
    staff.add("desk-one", "duty", uid=7)
    staff.give_passphrase("desk-one", "correct horse battery")
    token, link = staff.sign_in("desk-one", "correct horse battery"), staff.link("desk-one")
    staff.do(EndPerson(ME, "desk-one"))
    assert staff.caller(7) == Caller("uid:7", frozenset({"sign_in"}))
    with pytest.raises(LocalError, match=r"people\.signed_out"):
        staff.caller(7, token)
    assert code(staff, SignIn("page", link=link)) == "people.link_void"
    with pytest.raises(LocalError, match=r"people\.wrong"):
        staff.sign_in("desk-one", "correct horse battery")
    assert code(staff, AddPerson(ME, "desk-one", ("duty",))) == "people.name_taken"
    assert code(staff, ChangePerson(ME, "desk-one", ("duty",))) == "people.ended"
    staff.add("desk-two", "duty", uid=7)
    assert staff.caller(7).actor == "desk-two"


def test_who_leaves_in_the_same_step_sets_no_passphrase(staff: Staff) -> None:
    staff.add("desk-one")
    passphrase = SetPassphrase("desk-one", SALT, CHEAP, bytes(32))
    _, result = staff.post.step([EndPerson(ME, "desk-one"), passphrase], staff.now)
    assert isinstance(result, LocalError)
    assert result.code == "people.nobody"
    assert not staff.post.people.views(staff.now)[0]["passphrase"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (AddPerson(ME, "Desk", ("duty",)), "people.name"),
        (AddPerson(ME, "", ("duty",)), "people.name"),
        (AddPerson(ME, "-desk", ("duty",)), "people.name"),
        (AddPerson(ME, "d" * 33, ("duty",)), "people.name"),
        (AddPerson(ME, "uid:7", ("duty",)), "people.name"),
        (AddPerson(ME, "post", ("duty",)), "people.name"),
        (AddPerson(ME, "desk", ()), "people.role"),
        (AddPerson(ME, "desk", ("admiral",)), "people.role"),
        (AddPerson(ME, "desk", ("duty",), 2**32), "people.uid"),
        (AddPerson(ME, "desk", ("duty",), 7), "people.uid_taken"),
        (AddPerson(ME, "desk-one", ("duty",)), "people.name_taken"),
        (ChangePerson(ME, "nobody", ("duty",)), "people.unknown"),
        (EndPerson(ME, "nobody"), "people.unknown"),
        (MakeLink(ME, "nobody"), "people.unknown"),
        (SignOut(ME, "nobody"), "people.unknown"),
        (SetPassphrase(ME, SALT, CHEAP, bytes(32)), "people.nobody"),
        (SetPassphrase("desk-one", SALT, Cost(7, 1, 1), bytes(32)), "control.argument"),
        (SetPassphrase("desk-one", SALT, Cost(1 << 30, 1, 1), bytes(32)), "control.argument"),
        (SetPassphrase("desk-one", b"", CHEAP, bytes(32)), "control.argument"),
        (SetPassphrase("desk-one", SALT, CHEAP, b""), "control.argument"),
    ],
)
def test_what_cannot_be_is_refused_and_changes_nothing(
    staff: Staff, given: inputs.Input, expected: str
) -> None:
    staff.add("desk-one", "duty", uid=7)
    before = staff.post.people.views(staff.now)
    assert code(staff, given) == expected
    assert staff.post.people.views(staff.now) == before


def test_there_is_a_most_of_people(staff: Staff) -> None:
    people = People(staff.pair.random.randbytes, IDLE_S)
    people.begin(Batch())
    add = people.takers[AddPerson]
    for number in range(PEOPLE_MAX):
        add(AddPerson(ME, f"desk-{number}", ("duty",)), staff.now)
    with pytest.raises(LocalError, match=r"people\.too_many"):
        add(AddPerson(ME, "one-more", ("duty",)), staff.now)


# -- passphrases and links ----------------------------------------------------------------------


def test_a_link_works_once_and_not_for_ever(staff: Staff) -> None:
    staff.add("desk-one")
    link = staff.link("desk-one")
    token = staff.do(SignIn("page", link=f" {link}\n"))
    assert staff.caller(3, token.text).actor == "desk-one"
    assert code(staff, SignIn("page", link=link)) == "people.link_void"
    former, late = staff.link("desk-one"), staff.link("desk-one")
    assert code(staff, SignIn("page", link=former)) == "people.link_void"
    staff.pair.wait(LINK_S)
    assert code(staff, SignIn("page", link=late)) == "people.link_void"


def test_a_passphrase_opens_and_no_other_does(staff: Staff) -> None:
    staff.add("desk-one")
    staff.give_passphrase("desk-one", "ame\u0301lie a vingt chats")
    token = staff.sign_in("desk-one", "am\u00e9lie a vingt chats")
    assert staff.caller(3, token).actor == "desk-one"
    for name, said in (("desk-one", "amelie"), ("nobody", "amelie"), ("nobody", "")):
        with pytest.raises(LocalError, match=r"people\.wrong"):
            staff.sign_in(name, said)


def test_a_new_passphrase_ends_the_sign_ins_that_the_old_one_gave(staff: Staff) -> None:
    staff.add("desk-one")
    staff.give_passphrase("desk-one", "the old passphrase")
    token = staff.sign_in("desk-one", "the old passphrase")
    key = stretched("the new passphrase", SALT, CHEAP)
    staff.do(SetPassphrase("desk-one", SALT, CHEAP, key))
    with pytest.raises(LocalError, match=r"people\.signed_out"):
        staff.caller(3, token)
    assert staff.sign_in("desk-one", "the new passphrase")


def test_salts_do_not_tell_who_exists(staff: Staff) -> None:
    staff.add("desk-one")
    salts = [staff.post.people.salt(name, staff.now)[0] for name in ("desk-one", "x", "x", "y")]
    staff.pair.restart("a")
    assert staff.post.people.salt("x", staff.now)[0] == salts[1] == salts[2]
    assert len(set(salts)) == 3


def test_wrong_passphrases_wait_longer_and_longer_up_to_a_minute(staff: Staff) -> None:
    staff.add("desk-one")
    staff.give_passphrase("desk-one", "the right passphrase")
    waits = []
    for _ in range(12):
        (result,) = staff.post.step([SignIn("page", "desk-one", bytes(32))], staff.now)
        assert isinstance(result, LocalError)
        assert result.code == "people.wrong"
        waits.append(wait_s(staff, "desk-one"))
        staff.pair.wait(waits[-1])
    assert waits == [0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert staff.sign_in("desk-one", "the right passphrase")


def test_while_a_name_waits_even_the_right_passphrase_is_not_tried(staff: Staff) -> None:
    staff.add("desk-one")
    staff.give_passphrase("desk-one", "the right passphrase")
    key = stretched("the right passphrase", SALT, CHEAP)
    wrong = SignIn("page", "desk-one", bytes(32))
    results = staff.post.step([wrong] * 6 + [SignIn("page", "desk-one", key)], staff.now)
    codes = [each.code for each in results if isinstance(each, LocalError)]
    assert codes == ["people.wrong"] * 4 + ["people.wait"] * 3
    assert len(staff.acts("sign_in_refused")) == 4


def test_a_link_ends_the_waiting_of_its_person(staff: Staff) -> None:
    staff.add("desk-one")
    staff.give_passphrase("desk-one", "the right passphrase")
    staff.post.step([SignIn("page", "desk-one", bytes(32))] * 4, staff.now)
    assert code(staff, SignIn("page", "desk-one", bytes(32))) == "people.wait"
    staff.link("desk-one")
    assert staff.sign_in("desk-one", "the right passphrase")


def test_any_text_may_be_said_for_a_name_a_link_or_a_token(staff: Staff) -> None:
    staff.add("desk-one")
    for said in ("\ud800", "\x00", "x" * 100_000):
        assert staff.post.people.salt(said, staff.now)
        assert code(staff, SignIn("page", said, b"")) == "people.wrong"
        assert code(staff, SignIn("page", link=said)) == "people.link_void"
        with pytest.raises(LocalError, match=r"people\.signed_out"):
            staff.caller(3, said)


def test_what_can_be_nobodys_name_waits_with_all_and_is_not_kept(staff: Staff) -> None:
    for number in range(20):
        assert code(staff, SignIn("page", f"{number} " * 1000, bytes(32))) == "people.wrong"
    assert wait_s(staff, "x" * 1000) == 0
    assert code(staff, SignIn("page", "X", bytes(32))) == "people.wrong"
    assert wait_s(staff, "x" * 1000) == wait_s(staff, "desk-one") == 1


def test_guessing_over_many_names_slows_all_down_but_for_seconds_only() -> None:
    tries, now = Tries(), Now(0, 0)
    for number in range(3000):
        tries.missed(f"desk-{number}", now)
    with pytest.raises(LocalError) as caught:
        tries.check("duty", now)
    assert caught.value.details["seconds"] == 8
    tries.check("duty", Now(8_000, 0))


# -- what is kept -------------------------------------------------------------------------------


def test_all_that_is_known_of_a_person_is_kept(staff: Staff) -> None:
    lock = Lock.of(SALT, CHEAP, bytes(32))
    keys = (Passkey(b"ident", b"public", 3, "the blue one"),)
    whole = Person("desk-one", ("duty", "auditor"), 7, None, lock, keys)
    again = Person.load("desk-one", whole.saved(staff.now), staff.now)
    assert again == whole
    (shown,) = again.view(staff.now)["passkeys"]
    assert (shown["passkey"], shown["label"]) == (keys[0].short, "the blue one")


def test_people_and_sign_ins_are_there_after_a_restart(desk: Staff) -> None:
    link = desk.link("desk-one")
    token = desk.sign_in("desk-one", "correct horse battery")
    before = desk.post.people.views(desk.now), desk.post.people.sign_ins.views(desk.now)
    desk.pair.restart("a")
    after = desk.post.people.views(desk.now), desk.post.people.sign_ins.views(desk.now)
    assert after == before
    assert signed_in(desk, token)
    assert desk.do(SignIn("page", link=link))


def test_what_could_not_be_committed_did_not_happen(desk: Staff) -> None:
    store = desk.pair.stores["a"]
    given: list[inputs.Input] = [AddPerson(ME, "desk-two", ("duty",), 8), EndPerson(ME, "desk-one")]
    before = desk.post.people.views(desk.now)
    store.full = True
    results = desk.post.step(given, desk.now)
    store.full = False
    assert [getattr(each, "code", "") for each in results] == ["store.disk_full"] * 2
    assert desk.post.people.views(desk.now) == before
    assert desk.caller(8).actor == "uid:8"


def test_the_store_holds_nothing_that_opens(desk: Staff) -> None:
    link = desk.link("desk-one")
    token = desk.sign_in("desk-one", "correct horse battery")
    key = stretched("correct horse battery", SALT, CHEAP)
    held = b"".join(desk.pair.stores["a"].state(0).values())
    log = "".join(each.entry.details for each in desk.pair.stores["a"].audit())
    for secret in (link, token, key.hex(), "correct horse battery"):
        assert secret.encode() not in held
        assert secret not in log


def test_every_act_on_people_is_in_the_audit_log_with_who_did_it(desk: Staff) -> None:
    token = desk.sign_in("desk-one", "correct horse battery")
    assert token
    desk.do(ChangePerson("desk-two", "desk-one", ("auditor",)))
    desk.do(SignOut("desk-one", "desk-one"))
    desk.do(EndPerson("desk-two", "desk-one"))
    assert code(desk, SignIn("uid:9", "my passphrase", bytes(32))) == "people.wrong"
    names = ["person_add", "person_link", "passphrase", "sign_in", "person_change"]
    assert desk.acts(*names, "sign_out", "person_end", "sign_in_refused") == [
        (ME, "person_add", {"name": "desk-one", "roles": ["duty"], "uid": None}),
        (ME, "person_link", {"name": "desk-one"}),
        ("desk-one", "passphrase", {"name": "desk-one", "by": "link", "signed_out": 0}),
        ("desk-one", "sign_in", {"name": "desk-one", "how": "passphrase", "asked": "page"}),
        ("desk-two", "person_change", {"name": "desk-one", "roles": ["auditor"], "uid": None}),
        ("desk-one", "sign_out", {"name": "desk-one", "count": 1}),
        ("desk-two", "person_end", {"name": "desk-one", "signed_out": 0}),
        ("uid:9", "sign_in_refused", {"how": "passphrase", "code": "people.wrong"}),
    ]


def test_a_backup_takes_the_kit_and_no_people(desk: Staff) -> None:
    batch = collect(desk.pair.stores["a"]).batch("test", desk.now)
    assert not [name for line, name in batch.state if line == 0 and name != "identity"]
