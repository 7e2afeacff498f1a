"""Sealing one line: datagrams to frames and back (docs/protocol.md §4).

Theory of operation: `open` tries a datagram and changes nothing unless its body opens; `choose`
gives the run the next datagram goes in, opening a new one where the rules ask for it, and `seal`
seals frames in it. What must survive a restart (receiving runs, receive keys, roots) is collected
in `changes` and committed by the post with the step; sending runs live in memory alone. Receiving
only ever adds: no datagram, and no loss of one, can close a line. Frames are not read here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM1024PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV, AESSIV

from ..core import limits
from ..core.events import Now
from ..core.states import Event
from ..errors import SealError
from .keys import Entropy, Kit, extract, label
from .noise import exchange, read, write
from .openings import CARD_KEY, VERSION, Opening, Payload, prologue, run_id_of
from .roots import PERMANENT, Roots
from .runs import ReceivingRun, SendingRun

PLAIN, LIGHT, FULL = 0, 1, 2
OPENING_BYTES = {PLAIN: 0, LIGHT: 104, FULL: 104 + 1568}
HEADER_BYTES = {kind: 22 + extra for kind, extra in OPENING_BYTES.items()}
OVERHEAD_BYTES = {kind: size + 4 + 16 for kind, size in HEADER_BYTES.items()}
_SIZES = "64 96 128 160 192 256 384 512 768 1024 1280 1536 1792 2048 2560 3072 4096"
BUCKETS = tuple(map(int, _SIZES.split()))
_CARRY_MS = 1_000
_SPARE_DATAGRAMS = 96
"""How long a run may serve records beyond its turn where every byte counts (R12)."""
_ANNOUNCED_MAX = 64
_CANDIDATES_MAX = 4


class Unreadable(SealError):
    """A datagram of the other side that we have no key for (R10); `run_id` names its run."""

    def __init__(self, run_id: bytes) -> None:
        super().__init__()
        self.run_id = run_id


class Opened(NamedTuple):
    """The frames of a datagram, and the run to confirm with RUN if it carried an opening."""

    inner: bytes
    confirm: bytes | None


@dataclass
class State:
    """What sealing remembers beside runs, roots and tape; hex strings, as it is stored."""

    peer_key: str
    """The receive key that the peer announced last; its card key before that."""
    peer_key_id: str = "0000"
    announced: list[str] = field(default_factory=list)
    """Receive keys the peer announced: one who announces them again has not lost its disk."""
    receive_keys: dict[str, tuple[str, int | None]] = field(default_factory=dict)
    """Id → (private key, running time since it was superseded), oldest first."""
    epoch_own: int = 1
    epoch_told: int = 0
    """The last that a run confirmed by the peer announced."""
    epoch_peer: int = 0
    alarm: bool = False
    next_page: int = 1
    running_s: int = 0
    saved_s: int = 0
    """Unix time when this was saved last."""


class Seal:
    """The sealing of one line. `saved` are the named blobs that `changes` gave, all of them."""

    def __init__(self, kit: Kit, saved: Mapping[str, bytes], entropy: Entropy, now: Now) -> None:
        self.kit = kit
        self.entropy = entropy
        own = kit.direction
        self._own_header = AESSIV(kit.header_key(own))
        self._peer_header = AESSIV(kit.header_key(3 - own))
        state = json.loads(saved["seal"]) if "seal" in saved else {}
        self.roots = Roots.decode(state.pop("roots")) if state else Roots()
        self.state = State(**(state or {"peer_key": kit.peer.identity.hex()}))
        self.pages = {int(n[5:]): page for n, page in saved.items() if n.startswith("tape/")}
        # Keys as old as this the other side may have let go: the wall clock only hints (R12).
        self._stale = bool(state) and now.wall_s - self.state.saved_s >= limits.KEEP_S
        keys = self.state.receive_keys
        for key_id in list(keys)[-1:] if self._stale else ():
            keys[key_id] = (keys[key_id][0], self.state.running_s)
        self._running_base_s = self.state.running_s
        self._started_ms = now.mono_ms
        runs = {bytes.fromhex(n[4:]): run for n, run in saved.items() if n.startswith("run/")}
        self.runs = {run_id: ReceivingRun.decode(run) for run_id, run in runs.items()}
        retired = saved.get("retired", b"")
        self._retired = [retired[i : i + 4] for i in range(0, len(retired), 4)]
        self.confirmed: SendingRun | None = None
        self.candidates: list[SendingRun] = []
        self._changed: dict[str, bytes | None] = {}
        self._dirty = not state
        self.events: list[tuple[str, dict[str, object]]] = []

    def running_s(self, now: Now) -> int:
        """Seconds this line has been running, over all processes; no clock can turn it back."""
        return self._running_base_s + (now.mono_ms - self._started_ms) // 1000

    @property
    def dirty(self) -> bool:
        """Whether `changes` has anything."""
        return self._dirty or bool(self._changed)

    def changes(self, now: Now) -> dict[str, bytes | None]:
        """Named blobs to commit (None: delete), since the last call."""
        changed, self._changed = self._changed, {}
        if self._dirty:
            self._dirty = False
            self.state.running_s, self.state.saved_s = self.running_s(now), now.wall_s
            state = vars(self.state) | {"roots": self.roots.encode()}
            changed["seal"] = json.dumps(state, separators=(",", ":")).encode()
        return changed

    def open(self, datagram: bytes, now: Now) -> Opened | None:
        """Open a datagram; None for a duplicate. Raises Unreadable (R10), SealError for what is
        foreign or damaged."""
        kind, plain, size = self._header(datagram)
        run_id = plain[:4]
        index = int.from_bytes(plain[4:6], "big") & 0xFFF
        run, payload, opening = self.runs.get(run_id), None, None
        if run is None:
            if run_id in self._retired:
                return None
            if kind == PLAIN:
                raise Unreadable(run_id)
            opening = Opening.decode(plain[6:])
            if run_id_of(opening.ephemeral) != run_id:  # R5
                raise SealError
            payload, chain_key = self._read(opening, run_id)
            run = ReceivingRun(chain_key)
        found = run.find(index)
        if found is None:
            return None
        nonce = datagram[size : size + 4] + bytes(8)
        try:
            inner = AESGCMSIV(found.key).decrypt(nonce, datagram[size + 4 :], datagram[:size])
        except InvalidTag:
            raise SealError from None
        run.use(index, found, self.running_s(now))
        if opening is not None and payload is not None:
            self._take(run_id, run, opening, payload, now)
        self._changed["run/" + run_id.hex()] = run.encode()
        return Opened(inner, run_id if kind != PLAIN else None)

    def _header(self, datagram: bytes) -> tuple[int, bytes, int]:
        """(kind, header plaintext, header size); raises SealError for a foreign datagram (R3)."""
        if len(datagram) <= limits.DATAGRAM_BYTES_MAX:
            for kind, size in HEADER_BYTES.items():
                if len(datagram) < size + 20:
                    break
                try:
                    salt = datagram[size : size + 4]
                    plain = self._peer_header.decrypt(datagram[:size], [salt])
                except InvalidTag:
                    continue
                if plain[4] >> 4 == kind:
                    return kind, plain, size
                break
        raise SealError

    def _read(self, opening: Opening, run_id: bytes) -> tuple[Payload, bytes]:
        """The payload and first chain key of an opening; raises Unreadable if we lack what it was
        made with."""
        root = self.roots.key(opening.root_id, self.kit.root)
        if opening.key_id == CARD_KEY:
            private: X25519PrivateKey | None = self.kit.identity.agreement_key
        else:
            kept = self.state.receive_keys.get(opening.key_id.hex())
            private = X25519PrivateKey.from_private_bytes(bytes.fromhex(kept[0])) if kept else None
        weak = opening.root_id == PERMANENT and not self.kit.tape and not opening.ciphertext
        if root is None or private is None or weak or opening.version != VERSION:
            raise Unreadable(run_id)
        shared = (
            self.kit.identity.kem_key.decapsulate(opening.ciphertext) if opening.ciphertext else b""
        )
        binding = prologue(self.kit.line_id, 3 - self.kit.direction, opening)
        psk = label(extract(root, shared), "psk")
        try:
            data, chain_key = read(binding, psk, private, self.kit.peer.identity, opening.message)
            exchange(private, data[-32:])
        except SealError:
            raise Unreadable(run_id) from None
        return Payload.decode(data), chain_key

    def _take(
        self, run_id: bytes, run: ReceivingRun, opening: Opening, payload: Payload, now: Now
    ) -> None:
        """A new run has shown itself genuine: keep it, and what its opening announces."""
        running_s = self.running_s(now)
        self.runs[run_id] = run
        while len(self.runs) > limits.RUNS_MAX:  # R9
            others = (other for other in self.runs if other != run_id)
            self._retire(min(others, key=lambda other: self.runs[other].used_s))
        root = self.roots.find(opening.root_id)
        if root is not None:
            if self.roots.confirm(root, running_s):
                self.events.append(("rekeyed", {}))
        elif payload.key.hex() not in self.state.announced and not self.roots.continues(
            payload.continuity, opening.ephemeral
        ):
            self.roots.doubt()
            if opening.key_id == CARD_KEY:
                self._give_up(everything=True)
            self.raise_alarm()
        self.state.peer_key_id, self.state.peer_key = payload.key_id.hex(), payload.key.hex()
        self.state.epoch_peer = payload.epoch
        if payload.key.hex() not in self.state.announced:
            self.state.announced = [*self.state.announced, payload.key.hex()][-_ANNOUNCED_MAX:]
        newest = next(reversed(self.state.receive_keys), None)
        if opening.key_id.hex() == newest:
            private, _ = self.state.receive_keys[newest]
            self.state.receive_keys[newest] = (private, running_s)
        self._age(running_s)
        self._dirty = True
        top = payload.top_version
        self.events.append(("run.opened", {"full": bool(opening.ciphertext), "top": top}))

    def _retire(self, run_id: bytes) -> None:
        del self.runs[run_id]
        self._changed["run/" + run_id.hex()] = None
        self._retired = [*self._retired, run_id][-limits.RETIRED_RUNS_MAX :]
        self._changed["retired"] = b"".join(self._retired)

    def _age(self, running_s: int) -> None:
        """R13, R8: let go what was superseded long ago."""
        self.roots.age(running_s)
        keys = self.state.receive_keys
        old = [k for k, (_, s) in keys.items() if s is not None and running_s - s >= limits.KEEP_S]
        for key_id in old + list(keys)[: -limits.RECEIVE_KEYS_MAX]:
            keys.pop(key_id, None)
        newest = max(self.runs, key=lambda r: self.runs[r].used_s)
        for run_id in [r for r in self.runs if r != newest]:
            if running_s - self.runs[run_id].used_s >= limits.KEEP_S:
                self._retire(run_id)

    def choose(self, now: Now, *, carry_ms: int = 0, spare: bool = False) -> SendingRun:
        """The run for the next datagram; a new one is opened where the rules ask for it.

        An opening is carried again after `carry_ms`, and where a running one can do (`spare`) not
        by this datagram. When `dirty` afterwards, commit `changes` before anything sealed in it is
        sent.
        """
        if self.confirmed is None or self.confirmed.index >= limits.RUN_DATAGRAMS_MAX:
            if not self.candidates or self.candidates[-1].index >= limits.RUN_DATAGRAMS_MAX:
                self._open_run(now, to_card=self._stale)
                self._stale = False
            return self.candidates[-1]
        if self._ratchet_due(self.confirmed, now) and not self.candidates:
            self._open_run(now)
        for newest in self.candidates[-1:]:
            if spare and self.confirmed.index < _SPARE_DATAGRAMS:
                break
            since_ms = now.mono_ms - (newest.carried_ms or 0)
            waited = newest.carried_ms is None or since_ms >= max(carry_ms, _CARRY_MS)
            if waited and newest.index < limits.RUN_DATAGRAMS_MAX:
                return newest
        return self.confirmed

    def _ratchet_due(self, run: SendingRun, now: Now) -> bool:
        """R12."""
        if run.index >= limits.RUN_DATAGRAMS_MAX - 64:
            return True
        usable = self.roots.usable
        newer_root = usable is not None and usable.id != run.root_id.hex()
        if run.key_id.hex() == self.state.peer_key_id and not newer_root:
            return False
        old = now.mono_ms - run.born_ms >= limits.RATCHET_S * 1000
        return newer_root or run.to_card or run.index >= limits.RATCHET_DATAGRAMS or old

    def _open_run(self, now: Now, *, to_card: bool = False) -> None:
        root = None if to_card else self.roots.usable
        root_id = bytes.fromhex(root.id) if root else PERMANENT
        root_key = bytes.fromhex(root.key) if root else self.kit.root
        announced = bytes.fromhex(self.state.peer_key_id), bytes.fromhex(self.state.peer_key)
        key_id, key = (CARD_KEY, self.kit.peer.identity) if to_card else announced
        shared = ciphertext = b""
        if root is None and not self.kit.tape:
            recipient = MLKEM1024PublicKey.from_public_bytes(self.kit.peer.kem)
            shared, ciphertext = recipient.encapsulate()
        own_id, own_public = self._receive_key()
        ephemeral, public, run_id = self._ephemeral(root_key + key + own_public + b"%d %d" % now)
        opening = Opening(VERSION, root_id, key_id, public + bytes(67), ciphertext)
        proof, epoch = self.roots.continuity(public), self.state.epoch_own
        payload = Payload(VERSION, now.wall_s, proof, epoch, own_id, own_public)
        message, chain_key = write(
            prologue(self.kit.line_id, self.kit.direction, opening),
            label(extract(root_key, shared), "psk"),
            self.kit.identity.agreement_key,
            ephemeral,
            key,
            payload.encode(),
        )
        kind = FULL if ciphertext else LIGHT
        encoded = opening._replace(message=message).encode()
        run = SendingRun(run_id, chain_key, kind, encoded, key_id, root_id, epoch, now.mono_ms)
        self.candidates = [*self.candidates, run][-_CANDIDATES_MAX:]

    def _ephemeral(self, context: bytes) -> tuple[X25519PrivateKey, bytes, bytes]:
        """A fresh key hedged with the identity and the purpose (RFC 8937): (private, public, run
        id)."""
        taken = {c.run_id for c in self.candidates}
        while True:
            seed = extract(self.kit.identity.agreement, self.entropy(32))
            private = X25519PrivateKey.from_private_bytes(label(seed, "ephemeral", context))
            public = private.public_key().public_bytes_raw()
            if run_id_of(public) not in taken:
                return private, public, run_id_of(public)

    def _receive_key(self) -> tuple[bytes, bytes]:
        """(id, public key) of our newest receive key; a fresh one once the other side has used the
        last."""
        newest = next(reversed(self.state.receive_keys), None)
        if newest is None or self.state.receive_keys[newest][1] is not None:
            newest = CARD_KEY.hex()
            while newest == CARD_KEY.hex() or newest in self.state.receive_keys:
                newest = self.entropy(2).hex()
            self.state.receive_keys[newest] = (self.entropy(32).hex(), None)
            self._dirty = True
        private = bytes.fromhex(self.state.receive_keys[newest][0])
        public = X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()
        return bytes.fromhex(newest), public

    def room(self, run: SendingRun, mtu_bytes: int, grain_bytes: int) -> int:
        """Bytes of frames that a datagram of this run can hold, with no more than fit a plain one
        of `grain_bytes`."""
        return min(mtu_bytes - OVERHEAD_BYTES[run.kind], grain_bytes - OVERHEAD_BYTES[PLAIN])

    def seal(self, run: SendingRun, frames: bytes, now: Now, *, pad_to: int = 0) -> bytes:
        """Seal frames in a run, padded to a bucket of at most `pad_to` bytes (R15; 0: not)."""
        index, key = run.step()
        total = OVERHEAD_BYTES[run.kind] + len(frames)
        bucket = min(next((b for b in BUCKETS if b >= total), total), pad_to)
        if bucket > total:
            frames = bytes(bucket - total) + frames
        salt = self.entropy(4)
        selector = run.run_id + (run.kind << 12 | index).to_bytes(2, "big")
        header = self._own_header.encrypt(selector + run.opening, [salt])
        body = AESGCMSIV(key).encrypt(salt + bytes(8), frames, header)
        run.carried_ms = now.mono_ms
        return header + salt + body

    def confirm(self, run_id: bytes) -> None:
        """The other side holds a run of ours (frame RUN): its openings need no repeating."""
        run = next((c for c in self.candidates if c.run_id == run_id), None)
        if run is None:
            return
        run.move(Event.CONFIRM)
        run.kind, run.opening = PLAIN, b""
        self._dirty |= self.state.epoch_told != run.epoch
        self.state.epoch_told = run.epoch
        at = self.candidates.index(run)
        for older in self.candidates[:at] + ([self.confirmed] if self.confirmed else []):
            older.move(Event.REPLACE)
        self.candidates, self.confirmed = self.candidates[at + 1 :], run
        self.events.append(("run.confirmed", {}))

    def reopen(self, run_id: bytes, now: Now) -> bool:
        """The other side cannot read a run of ours (REOPEN, R11); whether that is one in use."""
        ours = [*self.candidates, *([self.confirmed] if self.confirmed else [])]
        if not any(run.run_id == run_id for run in ours):
            return False
        self.roots.doubt()
        self._dirty = True
        self._give_up()
        self.show(now)
        return True

    def renew(self, now: Now) -> None:
        """Nothing we send is answered: begin a new run, in case this one is not heard (R11)."""
        self._give_up()
        self._open_run(now)

    def show(self, now: Now) -> None:
        """Open a run that the other side can read whatever it has lost (R10)."""
        self._open_run(now, to_card=True)

    def _give_up(self, *, everything: bool = False) -> None:
        given_up = [self.confirmed] if self.confirmed else []
        if everything:
            given_up, self.candidates = given_up + self.candidates, []
        for run in given_up:
            run.move(Event.REPLACE)
        self.confirmed = None

    def offer(self, now: Now) -> bytes:
        """The body of an OFFER; takes the next tape page, if there is one besides the reserve."""
        page = min((n for n in self.pages if n >= self.state.next_page), default=0)
        self.state.next_page = max(self.state.next_page, page + 1)
        self._dirty = True
        return self.roots.make_offer(page, self.entropy, self.running_s(now))

    def answer(self, offer: bytes, now: Now) -> bytes | None:
        """The body of the ANSWER to an OFFER of the first party; None: do not answer."""
        if self.kit.first:
            return None
        body = self.roots.answer(offer, self.kit.root, self.pages, self.running_s(now))
        if body is not None:
            self._renewed(int.from_bytes(body[2:4], "big"))
        return body

    def complete(self, answer: bytes, now: Now) -> None:
        """Take the second party's ANSWER; the next run is opened on the new root."""
        offer = self.roots.offer
        if self.roots.complete(answer, self.kit.root, self.pages, self.running_s(now)):
            self._renewed(offer.page if offer else 0)
            self.events.append(("rekeyed", {}))

    def _renewed(self, page: int) -> None:
        """A root was made: burn the page that went in, and let the mailbox change its name."""
        self.state.epoch_own += self.state.epoch_told == self.state.epoch_own
        self.keep_page(page, None)

    def keep_page(self, number: int, page: bytes | None) -> None:
        """Take one more page; None erases one that went into a root or may have been seen."""
        self.pages.pop(number, None)
        self.pages.update({number: page} if page else {})
        self._changed[f"tape/{number:04d}"], self._dirty = page, True

    def raise_alarm(self) -> None:
        """R14: a lost disk or a thief; people must check by voice."""
        self.events += [] if self.state.alarm else [("alarm", {})]
        self.state.alarm = self._dirty = True

    def clear_alarm(self) -> None:
        """A person has checked by voice."""
        self.state.alarm, self._dirty = False, True
