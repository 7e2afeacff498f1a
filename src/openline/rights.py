"""Who may ask what of a post: verbs need rights, roles give rights.

Theory of operation: tables and two questions. Every verb of the control socket stands in RIGHTS
with the right it needs; a verb that does not stand there cannot be asked. Some verbs need another
right where an argument says so: NARROWER. Who has which role is a matter of people.py; every way to
the post (socket, command on an opened post) asks `needed` for each request in one place.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from hashlib import sha256

RIGHTS = {
    "ping": "observe",
    "status": "observe",
    "lines": "observe",
    "bearers": "observe",
    "watch": "observe",
    "waiting": "observe",
    "caller": "sign_in",
    "card": "observe",
    "voice": "observe",
    "inbox": "read",
    "show": "read",
    "transcript": "read",
    "off_chain": "read",
    "anchors": "read",
    "heal_status": "observe",
    "records": "read",
    "pending": "read",
    "thread": "read",
    "search": "read",
    "address": "observe",
    "address_set": "administer",
    "tape": "observe",
    "drafts": "draft",
    "draft_show": "draft",
    "draft_save": "draft",
    "draft_hand": "draft",
    "draft_comment": "draft",
    "draft_return": "draft",
    "draft_drop": "draft",
    "file_begin": "draft",
    "file_portion": "draft",
    "file_read": "read",
    "file_stop": "release",
    "draft_release": "release",
    "send": "release",
    "heal_ask": "release",
    "heal_give": "release",
    "receipt": "receive",
    "compare": "compare",
    "clear_alarm": "compare",
    "pair": "administer",
    "backup": "administer",
    "rotate": "administer",
    "tape_burn": "administer",
    "tape_add": "administer",
    "revoke": "administer",
    "bearer_test": "administer",
    "bearer_add": "administer",
    "bearer_change": "administer",
    "bearer_pause": "administer",
    "bearer_resume": "administer",
    "bearer_remove": "administer",
    "carry_names": "carry",
    "carry_out": "carry",
    "carry_in": "carry",
    "stop": "stop",
    "audit": "audit",
    "people": "observe",
    "person_add": "people",
    "person_change": "people",
    "person_end": "people",
    "person_link": "people",
    "passphrase": "sign_in",
    "sign_in_salt": "sign_in",
    "sign_in": "sign_in",
    "signed_in": "observe",
    "sign_out": "people",
    "sign_out_all": "relieve",
    "sign_out_own": "sign_in",
    "passkey_ask": "sign_in",
    "passkey_add": "sign_in",
    "passkey_remove": "people",
    "passkey_remove_own": "sign_in",
    "prove": "sign_in",
}
"""Verb → the right it needs. Marking what is read as delivered or opened needs "receive" besides.
"""

NARROWER = {
    ("receipt", "kind", "shown"): "show",
    ("draft_drop", "others", True): "release",
}
"""(verb, argument, value) → the right needed in place of the verb's."""

REPEATABLE = frozenset(
    {verb for verb, right in RIGHTS.items() if right in ("observe", "read", "audit")}
    | {"caller", "drafts", "draft_show", "sign_in_salt", "prove", "carry_names", "bearer_test"}
)
"""Verbs that may be asked once more without harm where no answer came."""

WAYS_IN = frozenset({"passphrase", "passkey_add"})
"""Verbs that give a person another way in."""

CONFIRMED = WAYS_IN | {
    "send",
    "draft_release",
    "heal_ask",
    "heal_give",
    "person_add",
    "person_change",
    "person_link",
    "backup",
    "rotate",
    "pair",
    "revoke",
    "tape_add",
    "tape_burn",
}
"""Verbs that a sign-in alone does not open: who is signed in confirms each anew, by passkey or
passphrase. They speak for the post, give somebody the means to, or touch its keys. A Unix user
confirms nothing."""

_ANYBODY = frozenset({"sign_in"})
"""What everybody may who reaches the post at all: show who they are, and end that again."""

ROLES = {
    "administrator": _ANYBODY | {"observe", "administer", "carry", "people", "relieve", "stop"},
    "duty": _ANYBODY | {"observe", "read", "receive", "show", "compare", "carry", "relieve"},
    "drafter": _ANYBODY | {"observe", "read", "draft"},
    "releaser": _ANYBODY | {"observe", "read", "draft", "release"},
    "translator": _ANYBODY | {"observe", "read", "draft"},
    "principal": _ANYBODY | {"observe", "read", "show"},
    "auditor": _ANYBODY | {"observe", "audit"},
}
"""Role → the rights it gives. "relieve" ends all sign-ins at shift change; "show" says that the
principal has seen a message; "draft" writes, hands over and comments drafts."""

EVERYTHING = frozenset[str]().union(*ROLES.values())
"""Every right there is: what the post's own Unix user has while there are no people."""

KEEPER = _ANYBODY | {"observe", "people", "stop"}
"""What the post's own Unix user keeps once there are people: enough to set people right, and to
stop a process that it could kill anyway."""


def needed(verb: str, args: Mapping[str, object]) -> str:
    """The right that a request needs; the verb stands in RIGHTS."""
    for (narrowed, name, value), right in NARROWER.items():
        if verb == narrowed and args.get(name) == value:
            return right
    return RIGHTS[verb]


def rights_of(roles: Iterable[str]) -> frozenset[str]:
    """The rights of somebody with these roles; one of a newer version gives none."""
    return _ANYBODY.union(*(ROLES.get(role, _ANYBODY) for role in roles))


def subject(verb: str, args: Mapping[str, object]) -> str:
    """What stands for an act where it is confirmed: the verb, and a hash of its arguments. Those of
    a new way in are made only when it was confirmed, and left out."""
    told = {} if verb in WAYS_IN else {k: args[k] for k in args if args[k] is not None}
    return f"{verb} {sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()}"
