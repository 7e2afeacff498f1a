"""Roots and rekeys: the secrets under which openings are made (docs/protocol.md §9).

Theory of operation: the permanent root always lets either side open again. Later roots come from a
rekey: the first party offers a fresh ML-KEM key, the second answers with a ciphertext, a tape page
may be burned into it. A root is *confirmed* to us by an opening of the other side on it; only then
do we open on it ourselves, except that the first party may use the root it has just made. When the
other side may have lost its roots, ours are unconfirmed again, not forgotten: they still prove
continuity.
"""

from __future__ import annotations

import hmac
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric.mlkem import (
    MLKEM1024PrivateKey,
    MLKEM1024PublicKey,
)

from ..core import limits
from .keys import Entropy, extract, label
from .noise import mac

PERMANENT = b"\0\0"
OFFER_BYTES = 2 + 2 + 1568


@dataclass(slots=True)
class Root:
    """A later root. Hex strings, so that it is stored as it stands."""

    id: str
    key: str
    usable: bool
    """Whether our openings may use it."""
    shown: bool = False
    """Whether the other side has opened on it."""
    superseded_s: int | None = None


@dataclass(slots=True)
class Offer:
    """The offer of ours that awaits its answer."""

    seed: str
    base: str
    page: int
    digest: str
    made_s: int


@dataclass
class Roots:
    """All later roots of a line, newest first; `offer` only on the first party's side."""

    later: list[Root] = field(default_factory=list)
    offer: Offer | None = None
    made_s: int | None = None
    """Running time at which the newest root was made."""

    def encode(self) -> dict[str, Any]:
        """For the store; secret."""
        return asdict(self)

    @classmethod
    def decode(cls, saved: dict[str, Any]) -> Roots:
        """The reverse of `encode`."""
        offer = saved["offer"]
        later = [Root(**root) for root in saved["later"]]
        return cls(later, Offer(**offer) if offer else None, saved["made_s"])

    def find(self, root_id: bytes) -> Root | None:
        """A later root by its id."""
        return next((r for r in self.later if r.id == root_id.hex()), None)

    @property
    def usable(self) -> Root | None:
        """The newest root our openings may use; None: the permanent one."""
        return next((r for r in self.later if r.usable), None)

    def confirm(self, root: Root, running_s: int) -> bool:
        """The other side opened on it; older ones begin to age. Whether that is news."""
        news = not root.usable
        root.usable = root.shown = True
        for older in self.later[self.later.index(root) + 1 :]:
            if older.superseded_s is None:
                older.superseded_s = running_s
        return news

    def doubt(self) -> None:
        """The other side may have lost its roots: open on the permanent one until it shows a later
        one."""
        for root in self.later:
            root.usable = False

    def age(self, running_s: int) -> None:
        """Delete what was superseded long ago (R13)."""
        until_s = running_s - limits.KEEP_S
        self.later = [r for r in self.later if r.superseded_s is None or r.superseded_s > until_s]

    def continuity(self, ephemeral: bytes) -> bytes:
        """What an opening says to prove that we are no restored backup, by a root both have."""
        both = next((root for root in self.later if root.usable or root.shown), None)
        return _continuity(both.key, ephemeral) if both else bytes(8)

    def continues(self, said: bytes, ephemeral: bytes) -> bool:
        """Whether an opening on the permanent root proves continuity, if it need at all (R14)."""
        proven = any(hmac.compare_digest(said, _continuity(r.key, ephemeral)) for r in self.later)
        return proven or not any(root.shown for root in self.later)

    def make_offer(self, page: int, entropy: Entropy, running_s: int) -> bytes:
        """The body of an OFFER, with tape page number `page` (0: none)."""
        seed = entropy(64)
        base = bytes.fromhex(self.usable.id) if self.usable else PERMANENT
        kem = MLKEM1024PrivateKey.from_seed_bytes(seed).public_key().public_bytes_raw()
        body = base + page.to_bytes(2, "big") + kem
        self.offer = Offer(seed.hex(), base.hex(), page, sha256(body).hexdigest(), running_s)
        return body

    def answer(
        self, offer: bytes, permanent: bytes, pages: dict[int, bytes], running_s: int
    ) -> bytes | None:
        """The body of the ANSWER to an OFFER, and the new root taken; None if it cannot be
        answered."""
        base = self.key(offer[:2], permanent)
        page = int.from_bytes(offer[2:4], "big")
        if len(offer) != OFFER_BYTES or base is None:
            return None
        page = page if page in pages else 0
        try:
            recipient = MLKEM1024PublicKey.from_public_bytes(offer[4:])
        except ValueError:
            return None
        while True:
            shared, ciphertext = recipient.encapsulate()
            body = offer[:2] + page.to_bytes(2, "big") + ciphertext
            root = _make(base, shared + pages.get(page, b""), sha256(offer).digest(), body)
            if self.find(bytes.fromhex(root.id)) is None:
                break
        self._take(root, running_s)
        return body

    def complete(
        self, answer: bytes, permanent: bytes, pages: dict[int, bytes], running_s: int
    ) -> bool:
        """Take the ANSWER to our offer; whether a root was made of it."""
        offer = self.offer
        if offer is None or len(answer) != OFFER_BYTES or answer[:2].hex() != offer.base:
            return False
        base = self.key(answer[:2], permanent)
        page = int.from_bytes(answer[2:4], "big")
        if base is None or page not in (0, offer.page):
            return False
        private = MLKEM1024PrivateKey.from_seed_bytes(bytes.fromhex(offer.seed))
        material = private.decapsulate(answer[4:]) + (pages.get(page, b"") if page else b"")
        root = _make(base, material, bytes.fromhex(offer.digest), answer)
        root.usable = True
        self.offer = None
        self._take(root, running_s)
        return True

    def _take(self, root: Root, running_s: int) -> None:
        self.later.insert(0, root)
        while len(self.later) > limits.ROOTS_MAX:
            # Answers that led to nothing go first: they must not push out a root in use.
            idle = (r for r in self.later[:0:-1] if not (r.usable or r.shown))
            self.later.remove(next(idle, self.later[-1]))
        self.made_s = running_s

    def key(self, root_id: bytes, permanent: bytes) -> bytes | None:
        """The key of a root by its id; None if we do not hold it."""
        if root_id == PERMANENT:
            return permanent
        root = self.find(root_id)
        return bytes.fromhex(root.key) if root else None


def _continuity(key: str, ephemeral: bytes) -> bytes:
    return mac(label(bytes.fromhex(key), "continuity"), ephemeral)[:8]


def _make(base: bytes, material: bytes, offer_digest: bytes, answer: bytes) -> Root:
    context = offer_digest + sha256(answer).digest()
    key = label(extract(base, material), "root", context)
    root_id = label(key, "root id", count=2)
    return Root((root_id if root_id != PERMANENT else b"\0\1").hex(), key.hex(), usable=False)
