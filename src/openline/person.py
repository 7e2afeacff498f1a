"""One of ours as a value: name, roles, ways in, how that is kept and what of it is shown.

Theory of operation: a person is frozen; each act on people makes another value (people.py). Nothing
that opens is kept or shown: of a link and a passphrase there are hashes, of a passkey its public
half.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hmac import compare_digest
from typing import Any, NamedTuple, Self

from . import dtg
from .core.events import Now
from .passkeys import Passkey
from .signins import Age, Lock, digest

LINK_S = 24 * 3600
"""How long a link may be used."""


class Link(NamedTuple):
    """A way in that works once."""

    hash: str
    age: Age

    def open(self, token: str, now: Now) -> bool:
        """Whether this token fits and is not too old."""
        return compare_digest(self.hash, digest(token)) and self.age.ms(now) < 1000 * LINK_S


@dataclass(frozen=True)
class Person:
    """One of ours."""

    name: str
    roles: tuple[str, ...]
    uid: int | None = None
    """The Unix user that acts as this person."""
    ended_s: int | None = None
    """When the person left, by the clock on the wall."""
    lock: Lock | None = None
    passkeys: tuple[Passkey, ...] = ()
    link: Link | None = None

    def saved(self, now: Now) -> bytes:
        """As kept in the store."""
        told = {
            "roles": self.roles,
            "uid": self.uid,
            "ended_s": self.ended_s,
            "lock": self.lock and self.lock.saved(),
            "passkeys": [[k.ident.hex(), k.public_key.hex(), *k[2:]] for k in self.passkeys],
            "link": self.link and [self.link.hash, self.link.age.saved(now)],
        }
        return json.dumps(told).encode()

    @classmethod
    def load(cls, name: str, saved: bytes, now: Now) -> Self:
        """The reverse of `saved`."""
        told = json.loads(saved)
        keys = told["passkeys"]
        return cls(
            name,
            tuple(told["roles"]),
            told["uid"],
            told["ended_s"],
            Lock.load(told["lock"]) if told["lock"] else None,
            tuple(Passkey(bytes.fromhex(i), bytes.fromhex(k), *rest) for i, k, *rest in keys),
            Link(told["link"][0], Age.load(told["link"][1], now)) if told["link"] else None,
        )

    def view(self, now: Now) -> dict[str, Any]:
        """The person as JSON, without anything that opens."""
        return {
            "name": self.name,
            "roles": list(self.roles),
            "uid": self.uid,
            "ended_s": self.ended_s,
            "ended_group": None if self.ended_s is None else dtg.group(self.ended_s),
            "passphrase": self.lock is not None,
            "passkeys": [_shown(key) for key in self.passkeys],
            "link": self.link is not None and self.link.age.ms(now) < 1000 * LINK_S,
        }


def _shown(key: Passkey) -> dict[str, Any]:
    added = dtg.group(key.added_s) if key.added_s else None
    return {"passkey": key.short, "label": key.label, "added_group": added}
