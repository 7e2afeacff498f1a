"""Sign-ins: that somebody has shown who they are, for how long it holds, and how often one may try.

Theory of operation: a sign-in is a random token that its bearer keeps and of which the post keeps
the hash. It ends by age, by idleness, or because somebody ends it: one, all of a person's, or all
at shift change. Ages count running time, since the clock on the wall may lie; over the time in
which no process ran the wall clock is believed, for it can only make a sign-in older. When a
sign-in was last used is written at most once a minute, with whatever else is committed. Passphrases
are kept as a check on what Argon2id makes of them; the making takes a good part of a second and
happens outside the step. Wrong ones are slowed down, each person's and all together, doubling up to
a bound, so that nobody can lock a duty officer out for good. Who people are lives in people.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from typing import Any, NamedTuple, Self

from . import dtg
from .core.events import Now
from .errors import LocalError, StoreError
from .store import keys
from .store.base import Audit, Batch
from .store.keys import Cost

COST = Cost(64 * 1024, 3, 4)
"""What a passphrase costs to try: 64 MiB, the second choice of RFC 9106, for many may sign in."""

COST_MAX = Cost(256 * 1024, 16, 16)

SALT_BYTES = 16
KEY_BYTES = 32
TOKEN_BYTES = 16

AGE_S = 12 * 3600
"""A sign-in is never older than this."""

IDLE_S = 3600
"""Nor longer unused than this, unless the operator says otherwise."""

PER_PERSON_MAX = 16
"""Sign-ins of one person at a time; one more ends the oldest."""

_SAVE_MS = 60_000
_STATE = "signin/"


def stretched(passphrase: str, salt: bytes, cost: Cost) -> bytes:
    """The key of a passphrase, 32 bytes, as keys.stretched makes it. Raises LocalError."""
    try:
        return keys.stretched(passphrase, salt, cost)
    except StoreError:
        raise LocalError("people.no_memory", memory_kib=cost.memory_kib) from None


class Lock(NamedTuple):
    """What tells a right passphrase from a wrong one and does not give it away."""

    salt: bytes
    cost: Cost
    check: bytes
    """SHA-256 of the key: who reads the store cannot sign in with what stands there."""

    @classmethod
    def of(cls, salt: bytes, cost: Cost, key: bytes) -> Self:
        """Around the key that `stretched` gives with this salt and cost. Raises LocalError."""
        bounded = all(1 <= said <= most for said, most in zip(cost, COST_MAX, strict=True))
        # A thread needs eight blocks of memory: Argon2's own rule (RFC 9106).
        if not bounded or cost.memory_kib < 8 * cost.lanes:
            raise LocalError("control.argument", name="cost")
        if len(salt) != SALT_BYTES or len(key) != KEY_BYTES:
            raise LocalError("control.argument", name="key")
        return cls(salt, cost, sha256(key).digest())

    def fits(self, key: bytes) -> bool:
        """Whether this is the key."""
        return compare_digest(sha256(key).digest(), self.check)

    def saved(self) -> list[Any]:
        """As JSON."""
        return [self.salt.hex(), list(self.cost), self.check.hex()]

    @classmethod
    def load(cls, saved: list[Any]) -> Self:
        """The reverse of `saved`."""
        salt, cost, check = saved
        return cls(bytes.fromhex(salt), Cost(*cost), bytes.fromhex(check))


class Age:
    """How long ago something began."""

    def __init__(self, now: Now, before_ms: int = 0) -> None:
        self._since_ms = now.mono_ms - before_ms

    def ms(self, now: Now) -> int:
        """Milliseconds of running time, with what went by while no process ran."""
        return now.mono_ms - self._since_ms

    def saved(self, now: Now) -> list[int]:
        """As JSON: how old, and when by the clock on the wall."""
        return [self.ms(now), now.wall_s]

    @classmethod
    def load(cls, saved: list[int], now: Now) -> Self:
        """The reverse of `saved`, maybe in another process."""
        before_ms, wall_s = saved
        return cls(now, before_ms + 1000 * max(0, now.wall_s - wall_s))


class Token(NamedTuple):
    """What is shown once to whom it is for: a sign-in, or a link to sign in with once."""

    text: str
    expires_s: int
    """After so many seconds, at the latest."""


def digest(token: str) -> str:
    """What the post keeps of a token; of any text, for anything may be shown as one."""
    return sha256(token.strip().encode(errors="replace")).hexdigest()


# -- wrong passphrases ----------------------------------------------------------------------------


class Delay:
    """How long the next try waits: nothing for the first few wrong ones, then one second,
    doubling up to a bound. A quiet quarter of an hour forgets them.
    """

    QUIET_MS = 900_000

    def __init__(self, free: int, most_ms: int) -> None:
        self._free = free
        self._most_ms = most_ms
        self._wrong = 0
        self._last_ms = 0
        self._until_ms = 0

    def left_ms(self, now: Now) -> int:
        """How long it still waits."""
        return max(0, self._until_ms - now.mono_ms)

    def missed(self, now: Now) -> None:
        """One more was wrong."""
        if now.mono_ms - self._last_ms > self.QUIET_MS:
            self._wrong = 0
        self._wrong, self._last_ms = self._wrong + 1, now.mono_ms
        if self._wrong > self._free:
            wait_ms = 1000 << min(self._wrong - self._free - 1, 20)
            self._until_ms = now.mono_ms + min(wait_ms, self._most_ms)


class Tries:
    """Tries at passphrases, by the name that was said and over all names.

    Names of nobody are counted like others, so that waiting does not tell who exists; "" is a try
    that named nobody, with a link. In memory: whoever guesses cannot restart the post.
    """

    NAMES_MAX = 1024

    def __init__(self) -> None:
        self._all = Delay(20, 8_000)
        self._by_name: dict[str, Delay] = {}

    def check(self, name: str, now: Now) -> None:
        """Raise LocalError("people.wait", seconds=…) unless a try is allowed now."""
        delays = [self._all, self._by_name.get(name, self._all)]
        left_ms = max(delay.left_ms(now) for delay in delays)
        if left_ms:
            raise LocalError("people.wait", seconds=-(-left_ms // 1000))

    def missed(self, name: str, now: Now) -> None:
        """A try was wrong."""
        self._all.missed(now)
        if not name:
            return
        self._by_name.setdefault(name, Delay(3, 60_000)).missed(now)
        if len(self._by_name) > self.NAMES_MAX:
            del self._by_name[next(iter(self._by_name))]

    def forget(self, name: str) -> None:
        """It was right, or an administrator has seen to it."""
        self._by_name.pop(name, None)


# -- sign-ins -------------------------------------------------------------------------------------


@dataclass
class SignedIn:
    """One sign-in."""

    name: str
    how: str
    """"passphrase", "passkey" or "link"."""
    since_s: int
    """A label; `age` decides."""
    age: Age
    idle: Age
    saved_ms: int
    """When `idle` was last written, by monotonic time."""

    def saved(self, now: Now) -> bytes:
        """As kept in the store."""
        told = {"name": self.name, "how": self.how, "since_s": self.since_s}
        told |= {"age": self.age.saved(now), "idle": self.idle.saved(now)}
        return json.dumps(told).encode()

    @classmethod
    def load(cls, saved: bytes, now: Now) -> Self:
        """The reverse of `saved`."""
        told = json.loads(saved)
        age, idle = Age.load(told["age"], now), Age.load(told["idle"], now)
        return cls(told["name"], told["how"], told["since_s"], age, idle, now.mono_ms)


class SignIns:
    """All sign-ins of a post, kept in the state of line 0 under "signin/HASH"."""

    def __init__(self, entropy: Callable[[int], bytes], idle_s: int) -> None:
        self.idle_s = idle_s
        """How long one may stay unused."""
        self._entropy = entropy
        self._all: dict[str, SignedIn] = {}
        self._batch = Batch()

    def load(self, state: Mapping[str, bytes], now: Now) -> None:
        """Know what the store holds, and nothing else."""
        self._all = {
            name.removeprefix(_STATE): SignedIn.load(saved, now)
            for name, saved in state.items()
            if name.startswith(_STATE)
        }

    def begin(self, batch: Batch) -> None:
        """A step begins: changes go into its batch."""
        self._batch = batch

    def new(self, name: str, how: str, now: Now) -> Token:
        """Somebody signs in."""
        own = [key for key, each in self._all.items() if each.name == name]
        youngest_first = sorted(own, key=lambda key: self._all[key].age.ms(now))
        for key in youngest_first[PER_PERSON_MAX - 1 :]:
            self._drop(key)
        text = self._entropy(TOKEN_BYTES).hex()
        key = digest(text)
        self._all[key] = SignedIn(name, how, now.wall_s, Age(now), Age(now), now.mono_ms)
        self._batch.state[0, _STATE + key] = self._all[key].saved(now)
        return Token(text, AGE_S)

    def standing(self, token: str, now: Now, *, at_work: bool = True) -> SignedIn:
        """The sign-in of this token; `at_work`, it is no longer idle. Raises
        LocalError("people.signed_out").
        """
        found = self._all.get(digest(token))
        if found is None or self._over(found, now):
            raise LocalError("people.signed_out")
        if at_work:
            found.idle = Age(now)
        return found

    def shown(self, name: str, how: str, now: Now) -> None:
        """Who came by a link has got another way in: their sign-ins are from now on by that."""
        for key, each in self._all.items():
            if each.name == name and each.how == "link":
                each.how = how
                self._batch.state[0, _STATE + key] = each.saved(now)

    def end(self, name: str | None = None, which: str = "") -> int:
        """End those of a person (None: of everybody), or the one whose short name `which` is; how
        many ended.
        """
        ended = [
            key
            for key, each in self._all.items()
            if name in (None, each.name) and key.startswith(which)
        ]
        for key in ended:
            self._drop(key)
        return len(ended)

    def finish(self, now: Now) -> None:
        """Before the commit: end what is over, write what was used."""
        for key, each in [*self._all.items()]:
            if why := self._over(each, now):
                self._drop(key)
                details = json.dumps({"why": why, "sign_in": short(key)})
                self._batch.audit.append(Audit(now.wall_s, each.name, "signed_out", details))
            elif each.saved_ms + _SAVE_MS <= now.mono_ms - each.idle.ms(now):
                self._batch.state[0, _STATE + key] = each.saved(now)
                each.saved_ms = now.mono_ms

    def views(self, now: Now) -> list[dict[str, Any]]:
        """Who is signed in, oldest first."""
        standing = [(key, each) for key, each in self._all.items() if not self._over(each, now)]
        return [
            {
                "sign_in": short(key),
                "name": each.name,
                "how": each.how,
                "since_s": each.since_s,
                "since_group": dtg.group(each.since_s),
                "age_s": each.age.ms(now) // 1000,
                "idle_s": each.idle.ms(now) // 1000,
            }
            for key, each in sorted(standing, key=lambda pair: -pair[1].age.ms(now))
        ]

    def _over(self, each: SignedIn, now: Now) -> str:
        """Why a sign-in has ended by itself; "" if it has not."""
        if each.age.ms(now) >= 1000 * AGE_S:
            return "age"
        return "idle" if each.idle.ms(now) >= 1000 * self.idle_s else ""

    def _drop(self, key: str) -> None:
        del self._all[key]
        self._batch.state[0, _STATE + key] = None


def short(key: str) -> str:
    """What people call a sign-in: the beginning of its hash, which opens nothing."""
    return key[:8]
