"""A post and its people, in memory, for the tests of who may do what."""

from __future__ import annotations

import json
from typing import Any

import pytest

from openline import inputs
from openline.core.events import Now
from openline.errors import LocalError
from openline.inputs import (
    AddPerson,
    MakeLink,
    SetPassphrase,
    SignIn,
)
from openline.people import Caller
from openline.post import Post
from openline.signins import Token, stretched
from openline.store.keys import Cost
from tests.pair import LinePair

CHEAP = Cost(64, 1, 1)
SALT = bytes(16)
OWN = 1000
"""The Unix user that the post runs as."""
ME = "uid:1000"


class Staff:
    """The people of post "a", on a clock in the test's hand."""

    def __init__(self) -> None:
        self.pair = LinePair()

    @property
    def post(self) -> Post:
        """The post as it is after any restart."""
        return self.pair.posts["a"]

    @property
    def now(self) -> Now:
        """The present."""
        return self.pair.now

    def do(self, given: inputs.Input) -> Any:
        """One step; its result, raised if it is an error."""
        return self.pair.do("a", given)

    def add(self, name: str, *roles: str, uid: int | None = None) -> None:
        """A new person."""
        self.do(AddPerson(ME, name, roles or ("duty",), uid))

    def link(self, name: str) -> str:
        """A link for a person."""
        token = self.do(MakeLink(ME, name))
        assert isinstance(token, Token)
        return token.text

    def give_passphrase(self, name: str, passphrase: str) -> None:
        """A person sets a passphrase."""
        key = stretched(passphrase, SALT, CHEAP)
        self.do(SetPassphrase(ME, SALT, CHEAP, key, self.link(name)))

    def sign_in(self, name: str, passphrase: str) -> str:
        """The token that a passphrase gives."""
        salt, cost = self.post.people.salt(name, self.now)
        token = self.do(SignIn("page", name, stretched(passphrase, salt, cost)))
        assert isinstance(token, Token)
        return token.text

    def caller(self, uid: int = OWN, token: str = "") -> Caller:
        """Who this is to the post."""
        return self.post.people.caller(uid, OWN, self.now, token)

    def acts(self, *which: str) -> list[tuple[str, str, dict[str, Any]]]:
        """(actor, act, details) of the audit log for these acts."""
        log = (each.entry for each in self.pair.stores["a"].audit())
        return [(e.actor, e.act, json.loads(e.details)) for e in log if e.act in which]


def code(staff: Staff, given: inputs.Input) -> str:
    """The code of the error that an input ends in."""
    with pytest.raises(LocalError) as caught:
        staff.do(given)
    return caught.value.code


def wait_s(staff: Staff, name: str) -> int:
    """How long a try under this name has to wait."""
    try:
        staff.post.people.salt(name, staff.now)
    except LocalError as error:
        return int(str(error.details["seconds"]))
    return 0


def signed_in(staff: Staff, token: str) -> bool:
    """Whether a token still says who somebody is."""
    try:
        return staff.caller(3, token).actor == "desk-one"
    except LocalError:
        return False
