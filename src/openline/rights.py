"""Who may ask what of a running post: verbs need rights, roles give rights, Unix users have roles.

Theory of operation: three tables and one question. Every verb of the control socket stands in
RIGHTS with the right it needs; a verb that does not stand there cannot be asked. A later role binds
the socket by standing in ROLES. The control socket asks `rights_of` once for each connection and
checks every request in one place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

RIGHTS = {
    "ping": "observe",
    "status": "observe",
    "lines": "observe",
    "bearers": "observe",
    "watch": "observe",
    "card": "observe",
    "voice": "observe",
    "inbox": "read",
    "show": "read",
    "transcript": "read",
    "off_chain": "read",
    "anchors": "read",
    "heal_status": "observe",
    "records": "read",
    "tape": "observe",
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
    "stop": "administer",
    "audit": "audit",
}
"""Verb → the right it needs. Marking what is read as delivered or opened needs "receive" besides.
"""

ROLES = {
    "duty": frozenset({"observe", "read", "receive", "compare"}),
    "releaser": frozenset({"observe", "read", "release"}),
    "administrator": frozenset({"observe", "administer"}),
    "auditor": frozenset({"observe", "audit"}),
}
"""Role → the rights it gives."""


def rights_of(uid: int, own_uid: int, roles: Mapping[int, Sequence[str]] | None) -> frozenset[str]:
    """The rights of a Unix user; without a mapping, the user the post runs as has every right and
    others have none.
    """
    if roles is None:
        return frozenset(RIGHTS.values()) if uid == own_uid else frozenset()
    return frozenset[str]().union(*(ROLES[role] for role in roles.get(uid, ())))
