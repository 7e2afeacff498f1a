"""The people of a post: who they are, what they may, and how they show it.

Theory of operation: a person is a name, roles, perhaps a Unix user that acts as them, and
credentials; each is a named blob in the state of line 0 ("person/NAME"). Every act on people is an
input of the post's step, so that the act, its entry in the audit log and its effect are one commit.
`caller` is the one place that says who asks and what they may: by a sign-in, else by the Unix user.
A post without people is its own Unix user's alone, who may do everything; from the first person on,
Unix users act as the person they are bound to, and the post's own user, if bound to nobody, keeps
what is needed to set people right. Names are never given twice, for the audit log speaks of them.
People are not part of a backup: a restored post begins without. What roles mean lives in rights.py,
how sign-ins end in signins.py, wording and sockets elsewhere.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any, NamedTuple

from . import passkeys
from .core.events import Now
from .core.precedence import Precedence
from .errors import LocalError
from .inputs import (
    AddPasskey,
    AddPerson,
    AskPasskey,
    ChangePerson,
    EndPerson,
    MakeLink,
    Prove,
    RemovePasskey,
    SetPassphrase,
    SignedOut,
    SignIn,
    SignOut,
    SignOutAll,
)
from .passkeys import Answer, Purpose, Secrets
from .person import LINK_S, Link, Person
from .rights import CONFIRMED, EVERYTHING, KEEPER, ROLES, WAYS_IN, rights_of, subject
from .signins import (
    COST,
    IDLE_S,
    SALT_BYTES,
    TOKEN_BYTES,
    Age,
    Lock,
    SignIns,
    Token,
    Tries,
    digest,
)
from .store.base import Audit, Batch
from .store.keys import Cost

PEOPLE_MAX = 1000
"""People of a post, those who have left included."""

CHALLENGE_S = 120
"""How long a device may take to answer."""

PROOF_S = 60
"""How long somebody who has just confirmed an act may take to do it."""

ASKED_MAX = 1024
"""Challenges, and proofs, given out at a time."""

PASSKEYS_MAX = 16
"""Of one person."""

LABEL_CHARACTERS_MAX = 64
"""Longest name of a passkey."""

UID_MAX = 2**32 - 2

_STATE = "person/"
_DECOY = "people"
"""Makes the salts of names of nobody."""
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")
_OWN_NAME = "post"
"""No person's: what the post itself might be called in its own log."""

_STRANGER = rights_of(())


class Caller(NamedTuple):
    """Who asks something of the post."""

    actor: str
    """The person's name, or "uid:N", as it stands in the audit log."""
    rights: frozenset[str]
    how: str = ""
    """By what they signed in: "passphrase", "passkey", "link"; "" for a Unix user."""

    def view(self) -> dict[str, Any]:
        """As JSON."""
        return {"name": self.actor, "rights": sorted(self.rights), "how": self.how}


class Rules(NamedTuple):
    """What the operator decides of people (post.toml)."""

    sign_in_idle_s: int = IDLE_S
    """How long a sign-in may stay unused."""
    two_persons: frozenset[Precedence] = frozenset()
    """What nobody may release who wrote it."""


RULES = Rules()
"""Those of a post without a post.toml."""


class People:
    """The people of one post and their sign-ins."""

    def __init__(self, entropy: Callable[[int], bytes], sign_in_idle_s: int) -> None:
        self.sign_ins = SignIns(entropy, sign_in_idle_s)
        self._entropy = entropy
        self._tries, self._passkey_tries = Tries(), Tries()
        self._at_door = Secrets(entropy, CHALLENGE_S, ASKED_MAX)
        """Challenges to sign in with, apart: whoever reaches a desk can make them."""
        self._challenges = Secrets(entropy, CHALLENGE_S, ASKED_MAX)
        self._proofs = Secrets(entropy, PROOF_S, ASKED_MAX)
        self._people: dict[str, Person] = {}
        self._batch = Batch()
        self._decoy = b""
        self.takers: dict[type, Callable[[Any, Now], object]] = {
            AddPerson: self._add,
            ChangePerson: self._change,
            EndPerson: self._end,
            MakeLink: self._make_link,
            SetPassphrase: self._set_passphrase,
            SignIn: self._sign_in,
            SignOut: self._sign_out,
            SignOutAll: self._sign_out_all,
            AskPasskey: self._ask_passkey,
            AddPasskey: self._add_passkey,
            RemovePasskey: self._remove_passkey,
            Prove: self._prove,
        }
        """Input → what takes it."""

    def load(self, state: Mapping[str, bytes], now: Now) -> None:
        """Know what the state of line 0 holds, and nothing else."""
        names = [name.removeprefix(_STATE) for name in state if name.startswith(_STATE)]
        self._people = {name: Person.load(name, state[_STATE + name], now) for name in names}
        self._decoy = state.get(_DECOY, b"")
        self.sign_ins.load(state, now)

    def begin(self, batch: Batch) -> None:
        """A step begins: changes go into its batch."""
        self._batch = batch
        self.sign_ins.begin(batch)

    def prepare(self) -> None:
        """Get ready to verify passkeys, if anybody has one: for a post that is about to run."""
        if any(person.passkeys for person in self._living()):
            passkeys.prepare()

    def finish(self, now: Now) -> None:
        """Before the commit of a step."""
        self.sign_ins.finish(now)

    # -- questions ----------------------------------------------------------------------------

    def caller(
        self, uid: int, own_uid: int, now: Now, token: str = "", *, at_work: bool = True
    ) -> Caller:
        """Who asks: by a sign-in if a token is shown, else by Unix user; `own_uid` is the user
        that the post runs as. A sign-in that is not `at_work` goes on being idle. Raises
        LocalError("people.signed_out").
        """
        if token:
            signed_in = self.sign_ins.standing(token, now, at_work=at_work)
            person = self._people[signed_in.name]
            return Caller(person.name, rights_of(person.roles), signed_in.how)
        if not self._people:
            return Caller(f"uid:{uid}", EVERYTHING if uid == own_uid else frozenset())
        bound = next((each for each in self._living() if each.uid == uid), None)
        own = KEEPER if uid == own_uid and (bound is None or not self._kept()) else _STRANGER
        if bound is None:
            return Caller(f"uid:{uid}", own)
        return Caller(bound.name, rights_of(bound.roles) | own)

    def confirm(
        self, caller: Caller, verb: str, args: Mapping[str, object], proof: str, now: Now
    ) -> None:
        """Raise LocalError("people.proof_needed") if the verb is one that a sign-in alone does not
        open (rights.CONFIRMED), and `proof` is not one for these very arguments. It is then used.
        """
        if not caller.how or verb not in CONFIRMED:
            return
        if caller.how == "link" and verb in WAYS_IN:
            return  # who came by a link has it instead of what they are about to set
        purpose = Purpose("act", caller.actor, subject(verb, args))
        try:
            found = self._proofs.take(bytes.fromhex(proof), now)
        except ValueError:
            found = None
        if found != purpose:
            raise LocalError("people.proof_needed", verb=verb)

    def salt(self, name: str, now: Now) -> tuple[bytes, Cost]:
        """What to stretch a passphrase with; the same look for names of nobody. Raises
        LocalError("people.wait", seconds=…) while no try is allowed.
        """
        self._tries.check(_tried(name), now)
        person = self._people.get(name)
        if person is None or person.lock is None:
            return sha256(self._decoy + name.encode(errors="replace")).digest()[:SALT_BYTES], COST
        return person.lock.salt, person.lock.cost

    def views(self, now: Now) -> list[dict[str, Any]]:
        """Everybody, those who have left last."""
        order = sorted(self._people.values(), key=lambda p: (p.ended_s is not None, p.name))
        return [person.view(now) for person in order]

    def _living(self) -> list[Person]:
        return [each for each in self._people.values() if each.ended_s is None]

    def _kept(self) -> bool:
        """Whether somebody who can get in may set people right."""
        return any(
            "people" in rights_of(each.roles)
            and (each.uid is not None or each.lock is not None or each.passkeys)
            for each in self._living()
        )

    def _acting(self, actor: str) -> Person:
        """The person who acts."""
        person = self._people.get(actor)
        if person is None or person.ended_s is not None:
            raise LocalError("people.nobody")
        return person

    def _person(self, name: str) -> Person:
        person = self._people.get(name)
        if person is None:
            raise LocalError("people.unknown")
        if person.ended_s is not None:
            raise LocalError("people.ended")
        return person

    # -- acts ---------------------------------------------------------------------------------

    def _add(self, given: AddPerson, now: Now) -> None:
        if not _NAME.fullmatch(given.name) or given.name == _OWN_NAME:
            raise LocalError("people.name")
        if given.name in self._people:
            raise LocalError("people.name_taken")
        if len(self._people) >= PEOPLE_MAX:
            raise LocalError("people.too_many", most=PEOPLE_MAX)
        person = Person(given.name, _roles(given.roles), self._uid(given.uid))
        if not self._decoy:
            self._decoy = self._batch.state[0, _DECOY] = self._entropy(SALT_BYTES)
        self._put(person, now)
        self._audit(now, given.actor, "person_add", person, roles=person.roles, uid=person.uid)

    def _change(self, given: ChangePerson, now: Now) -> None:
        person = self._person(given.name)
        if given.roles is not None:
            person = replace(person, roles=_roles(given.roles))
        if given.unbind:
            person = replace(person, uid=None)
        elif given.uid is not None and given.uid != person.uid:
            person = replace(person, uid=self._uid(given.uid))
        self._put(person, now)
        self._audit(now, given.actor, "person_change", person, roles=person.roles, uid=person.uid)

    def _end(self, given: EndPerson, now: Now) -> None:
        person = self._person(given.name)
        # Without credentials, a Unix user, a link: nothing is left that could act as them.
        person = Person(person.name, person.roles, ended_s=now.wall_s)
        self._put(person, now)
        count = self.sign_ins.end(person.name)
        self._audit(now, given.actor, "person_end", person, signed_out=count)

    def _make_link(self, given: MakeLink, now: Now) -> Token:
        person = self._person(given.name)
        token = self._entropy(TOKEN_BYTES).hex()
        self._put(replace(person, link=Link(digest(token), Age(now))), now)
        self._tries.forget(person.name)
        self._audit(now, given.actor, "person_link", person)
        return Token(token, LINK_S)

    def _set_passphrase(self, given: SetPassphrase, now: Now) -> object:
        found = self._by_link(given, now) if given.link else self._acting(given.actor)
        if isinstance(found, LocalError):
            return found
        lock = Lock.of(given.salt, Cost(*given.cost), given.key)
        link = None if given.link else found.link
        self._put(replace(found, lock=lock, link=link), now)
        count = self.sign_ins.end(found.name)
        actor, by = (found.name, "link") if given.link else (given.actor, "self")
        self._audit(now, actor, "passphrase", found, by=by, signed_out=count)
        return None

    def _sign_in(self, given: SignIn, now: Now) -> object:
        if given.link:
            how, found = "link", self._by_link(given, now)
        elif given.answer:
            how, found = "passkey", self._by_passkey(given, now)
        else:
            how, found = "passphrase", self._by_key(given.actor, given.name, given.key, now)
        if not isinstance(found, Person):
            return found
        if given.link:
            self._put(replace(found, link=None), now)
        token = self.sign_ins.new(found.name, how, now)
        self._audit(now, found.name, "sign_in", found, how=how, asked=given.actor)
        return token

    def _by_key(self, actor: str, name: str, key: bytes, now: Now) -> Person | LocalError:
        self._tries.check(_tried(name), now)
        person = self._people.get(name)
        if person is not None and person.lock is not None and person.lock.fits(key):
            self._tries.forget(person.name)
            return person
        self._tries.missed(_tried(name), now)
        return self._refused(LocalError("people.wrong"), actor, "passphrase", person, now)

    def _by_link(self, given: SignIn | SetPassphrase, now: Now) -> Person | LocalError:
        self._tries.check("", now)
        for person in self._living():
            if person.link is not None and person.link.open(given.link, now):
                return person
        self._tries.missed("", now)
        return self._refused(LocalError("people.link_void"), given.actor, "link", None, now)

    def _by_passkey(self, given: SignIn, now: Now) -> Person | LocalError:
        answer = Answer(given.answer)
        purpose = self._at_door.take(answer.challenge, now)
        if purpose is None:
            raise LocalError("people.challenge_over")
        for person in self._living():
            if any(key.ident == answer.ident for key in person.passkeys):
                return self._signed(person, answer, purpose, given.actor, now)
        # Not written: anybody may make up as many as they like.
        raise LocalError("people.passkey_unknown")

    def _signed(
        self, person: Person, answer: Answer, purpose: Purpose, actor: str, now: Now
    ) -> Person | LocalError:
        """The person, if a device of theirs signed this challenge."""
        self._passkey_tries.check(person.name, now)
        key = next((key for key in person.passkeys if key.ident == answer.ident), None)
        if key is None:
            raise LocalError("people.passkey_unknown")
        try:
            used = answer.signed(purpose, key)
        except LocalError as error:
            self._passkey_tries.missed(person.name, now)
            return self._refused(error, actor, "passkey", person, now)
        self._passkey_tries.forget(person.name)
        keys = tuple(used if each is key else each for each in person.passkeys)
        person = replace(person, passkeys=keys)
        self._put(person, now)
        return person

    def _refused(
        self, error: LocalError, actor: str, how: str, person: Person | None, now: Now
    ) -> LocalError:
        """A wrong try is given back, not raised, for that it was made is to be committed. A name
        of nobody is not written: it may be a passphrase typed in the wrong place.
        """
        self._audit(now, actor, "sign_in_refused", person, how=how, code=error.code)
        return error

    # -- passkeys, and acts confirmed ---------------------------------------------------------

    def _ask_passkey(self, given: AskPasskey, now: Now) -> passkeys.Options:
        at = passkeys.host(given.origin)
        if given.what == "sign_in":
            # Of nobody in particular: which passkeys there are is not told at the door.
            challenge = self._at_door.give(Purpose(given.what, origin=given.origin), now)
            return passkeys.request(challenge, at, ())
        person = self._acting(given.actor)
        if given.what == "act" and not person.passkeys:
            raise LocalError("people.no_passkey")
        purpose = Purpose(given.what, person.name, given.subject, given.origin)
        challenge = self._challenges.give(purpose, now)
        if given.what == "act":
            return passkeys.request(challenge, at, person.passkeys)
        handle = sha256(self._decoy + b"/" + person.name.encode()).digest()
        return passkeys.creation(challenge, at, person.name, handle, person.passkeys)

    def _answered(self, answer: Answer, asked: Purpose, now: Now) -> Purpose:
        """What the challenge of this answer was given out for: the same as is `asked`."""
        purpose = self._challenges.take(answer.challenge, now)
        if purpose is None or purpose._replace(origin="") != asked:
            raise LocalError("people.challenge_over")
        return purpose

    def _add_passkey(self, given: AddPasskey, now: Now) -> None:
        person, answer, label = self._acting(given.actor), Answer(given.answer), given.label.strip()
        if not label.isprintable() or not 0 < len(label) <= LABEL_CHARACTERS_MAX:
            raise LocalError("people.passkey_label", most=LABEL_CHARACTERS_MAX)
        if len(person.passkeys) >= PASSKEYS_MAX:
            raise LocalError("people.passkeys", most=PASSKEYS_MAX)
        purpose = self._answered(answer, Purpose("passkey_add", person.name), now)
        made = answer.created(purpose, label, now)
        held = [key.ident for each in self._living() for key in each.passkeys]
        if made.ident in held:
            raise LocalError("people.passkey_refused")
        self._put(replace(person, passkeys=(*person.passkeys, made)), now)
        self.sign_ins.shown(person.name, "passkey", now)
        self._audit(now, given.actor, "passkey_add", person, passkey=made.short)

    def _remove_passkey(self, given: RemovePasskey, now: Now) -> SignedOut:
        own = given.name == given.actor
        person = self._acting(given.name) if own else self._person(given.name)
        left = tuple(key for key in person.passkeys if key.short != given.which)
        if left == person.passkeys:
            raise LocalError("people.passkey_unknown")
        self._put(replace(person, passkeys=left), now)
        count = self.sign_ins.end(person.name)
        told = {"passkey": given.which, "signed_out": count}
        self._audit(now, given.actor, "passkey_remove", person, **told)
        return SignedOut(count)

    def _prove(self, given: Prove, now: Now) -> object:
        person = self._acting(given.actor)
        asked = Purpose("act", person.name, given.subject)
        if given.answer:
            how, answer = "passkey", Answer(given.answer)
            purpose = self._answered(answer, asked, now)
            found = self._signed(person, answer, purpose, given.actor, now)
        else:
            how, found = "passphrase", self._by_key(given.actor, person.name, given.key, now)
        if isinstance(found, LocalError):
            return found
        self._audit(now, given.actor, "confirm", person, how=how, verb=given.verb)
        return Token(self._proofs.give(asked, now).hex(), PROOF_S)

    # -- ends ---------------------------------------------------------------------------------

    def _sign_out(self, given: SignOut, now: Now) -> SignedOut:
        person = self._people.get(given.name)
        if person is None:
            raise LocalError("people.unknown" if given.name != given.actor else "people.nobody")
        count = self.sign_ins.end(given.name, given.which)
        self._audit(now, given.actor, "sign_out", person, count=count)
        return SignedOut(count)

    def _sign_out_all(self, given: SignOutAll, now: Now) -> SignedOut:
        count = self.sign_ins.end()
        self._audit(now, given.actor, "sign_out_all", None, count=count)
        return SignedOut(count)

    def _uid(self, uid: int | None) -> int | None:
        """A Unix user who is nobody else."""
        if uid is not None and not 0 <= uid <= UID_MAX:
            raise LocalError("people.uid")
        if uid is not None and any(each.uid == uid for each in self._living()):
            raise LocalError("people.uid_taken", uid=uid)
        return uid

    def _put(self, person: Person, now: Now) -> None:
        self._people[person.name] = person
        self._batch.state[0, _STATE + person.name] = person.saved(now)

    def _audit(
        self, now: Now, actor: str, act: str, person: Person | None, **details: object
    ) -> None:
        named = {} if person is None else {"name": person.name}
        self._batch.audit.append(Audit(now.wall_s, actor, act, json.dumps(named | details)))


def _tried(name: str) -> str:
    """The name under which a try counts: none for what can be nobody's, however long it is."""
    return name if _NAME.fullmatch(name) else ""


def _roles(said: Sequence[str]) -> tuple[str, ...]:
    """Roles that there are, each once, in the order of the table."""
    unknown = [role for role in said if role not in ROLES]
    if unknown or not said:
        raise LocalError("people.role", known=" ".join(ROLES))
    return tuple(role for role in ROLES if role in said)
