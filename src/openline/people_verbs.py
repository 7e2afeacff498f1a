"""The verbs about people: their arguments, and the input or the answer that each means.

Theory of operation: as in verbs.py, whose tables take these in. Arguments, by verb:

    people          -                                  signed_in  -
    person_add      name roles (list) [uid]            person_end name
    person_change   name [roles] [uid] [unbind]        person_link name
    passphrase      salt (hex) cost (list) key (hex) [link]
    sign_in_salt    name                               sign_in name key (hex), or link, or answer
    sign_out        name [sign_in]                     sign_out_own [sign_in]
    sign_out_all    -                                  prove act about key (hex), or answer
    passkey_ask     origin what ("sign_in", "passkey_add", or "act" with act about)
    passkey_add     answer label
    passkey_remove  name passkey                       passkey_remove_own passkey

`answer` is what a browser's device answered to what passkey_ask gave (passkeys.py). `prove` gives
what a request for the verb `act` with arguments `about` carries as its "proof", where it stands in
rights.CONFIRMED.

`key` is what signins.stretched makes of a passphrase with salt and cost: no passphrase comes over
the socket. What the acts do lives in people.py.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from . import inputs
from .arguments import Args, get, octets
from .core.events import Now
from .errors import LocalError
from .passkeys import Options
from .people import People
from .rights import CONFIRMED, subject
from .signins import Token
from .store.base import Store


class Staffed(Protocol):
    """What these verbs ask of a post."""

    @property
    def people(self) -> People:
        """Its people."""


def _listed(args: Args, name: str, kind: type, default: Any = ...) -> Any:
    said = get(args, name, list, default)
    if said is not None and not all(type(each) is kind for each in said):
        raise LocalError("control.argument", name=name)
    return said


def _add(_store: Store, _post: Staffed, actor: str, args: Args) -> inputs.Input:
    roles, uid = _listed(args, "roles", str), get(args, "uid", int, None)
    return inputs.AddPerson(actor, get(args, "name", str), roles, uid)


def _change(_store: Store, _post: Staffed, actor: str, args: Args) -> inputs.Input:
    roles, uid = _listed(args, "roles", str, None), get(args, "uid", int, None)
    unbind = get(args, "unbind", bool, False)
    return inputs.ChangePerson(actor, get(args, "name", str), roles, uid, unbind)


def _end(_store: Store, _post: Staffed, actor: str, args: Args) -> inputs.Input:
    return inputs.EndPerson(actor, get(args, "name", str))


def _link(_store: Store, _post: Staffed, actor: str, args: Args) -> inputs.Input:
    return inputs.MakeLink(actor, get(args, "name", str))


def _passphrase(_store: Store, _post: Staffed, actor: str, args: Args) -> inputs.Input:
    cost = _listed(args, "cost", int)
    if len(cost) != 3:
        raise LocalError("control.argument", name="cost")
    salt, key = octets(args, "salt"), octets(args, "key")
    return inputs.SetPassphrase(actor, salt, cost, key, get(args, "link", str, ""))


def _sign_in(_store: Store, _post: Staffed, actor: str, args: Args) -> inputs.Input:
    link = get(args, "link", str, "")
    name, key = get(args, "name", str, ""), octets(args, "key", b"")
    return inputs.SignIn(actor, name, key, link, get(args, "answer", str, ""))


def _sign_out(_store: Store, _post: Staffed, actor: str, args: Args) -> inputs.Input:
    return inputs.SignOut(actor, get(args, "name", str), get(args, "sign_in", str, ""))


def _sign_out_own(_store: Store, _post: Staffed, actor: str, args: Args) -> inputs.Input:
    return inputs.SignOut(actor, actor, get(args, "sign_in", str, ""))


def _sign_out_all(_store: Store, _post: Staffed, actor: str, _args: Args) -> inputs.Input:
    return inputs.SignOutAll(actor)


def _subject(args: Args) -> tuple[str, str]:
    verb, about = get(args, "act", str), get(args, "about", dict, {})
    if verb not in CONFIRMED:
        raise LocalError("control.argument", name="act")
    return verb, subject(verb, about)


def _ask(_store: Store, _post: Staffed, actor: str, args: Args) -> inputs.Input:
    what, origin = get(args, "what", str), get(args, "origin", str)
    if what not in ("sign_in", "passkey_add", "act"):
        raise LocalError("control.argument", name="what")
    return inputs.AskPasskey(actor, what, origin, _subject(args)[1] if what == "act" else "")


def _add_passkey(_store: Store, _post: Staffed, actor: str, args: Args) -> inputs.Input:
    return inputs.AddPasskey(actor, get(args, "answer", str), get(args, "label", str))


def _remove(_store: Store, _post: Staffed, actor: str, args: Args) -> inputs.Input:
    return inputs.RemovePasskey(actor, get(args, "name", str), get(args, "passkey", str))


def _remove_own(_store: Store, _post: Staffed, actor: str, args: Args) -> inputs.Input:
    return inputs.RemovePasskey(actor, actor, get(args, "passkey", str))


def _prove(_store: Store, _post: Staffed, actor: str, args: Args) -> inputs.Input:
    key, answer = octets(args, "key", b""), get(args, "answer", str, "")
    return inputs.Prove(actor, *_subject(args), key, answer)


ACTS: dict[str, Callable[[Store, Staffed, str, Args], inputs.Input]] = {
    "person_add": _add,
    "person_change": _change,
    "person_end": _end,
    "person_link": _link,
    "passphrase": _passphrase,
    "sign_in": _sign_in,
    "sign_out": _sign_out,
    "sign_out_own": _sign_out_own,
    "sign_out_all": _sign_out_all,
    "passkey_ask": _ask,
    "passkey_add": _add_passkey,
    "passkey_remove": _remove,
    "passkey_remove_own": _remove_own,
    "prove": _prove,
}
"""Verbs that change something: each makes one input for `Post.step`."""


def acted(result: inputs.SignedOut | Token | Options) -> dict[str, Any]:
    """The answer to an act that has one."""
    if isinstance(result, dict):
        return {"options": result}
    if isinstance(result, Token):
        return {"token": result.text, "expires_s": result.expires_s}
    return {"count": result.number}


def _people(_store: Store, post: Staffed, _args: Args, now: Now) -> Any:
    return post.people.views(now)


def _signed_in(_store: Store, post: Staffed, _args: Args, now: Now) -> Any:
    return post.people.sign_ins.views(now)


def _sign_in_salt(_store: Store, post: Staffed, args: Args, now: Now) -> Any:
    salt, cost = post.people.salt(get(args, "name", str), now)
    return {"salt": salt.hex(), "cost": list(cost)}


READINGS: dict[str, Callable[[Store, Staffed, Args, Now], Any]] = {
    "people": _people,
    "signed_in": _signed_in,
    "sign_in_salt": _sign_in_salt,
}
"""Verbs that only read."""
