"""Bytes on the wire and sealing by itself: two posts in memory, joined by a list of datagrams.

Theory of operation: the posts are the production ones over a store in memory, so that what is
counted is what a bearer would carry. Overheads are counted with padding off, on a line that is
established (both runs confirmed, numbers of two bytes); first contact as shipped, with padding.
Sealing is timed on the seals of that pair, and the bare AEAD in turn with it.
"""

from __future__ import annotations

from statistics import median
from time import process_time
from typing import NamedTuple

from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV

from openline import clock
from openline.bearers.base import BearerProfile
from openline.core.compression import deflate
from openline.core.events import Now, Reference, Serial
from openline.core.precedence import Precedence
from openline.enrolment import new_tape, words
from openline.inputs import Arrived, BearerUp, Initialise, Input, Pair, Release, Tick
from openline.post import Post
from openline.sealing.seal import LIGHT, OPENING_BYTES
from openline.sim.chance import noise, stream
from openline.sim.disk import MemoryStore

from .posts import LINE, NUMBER, TAPE_PAGES

BEARER = "tcp"
MTU_BYTES = 4096
TEXT = noise(stream(1, "text"), 200)
SENT_BYTES = len(deflate(TEXT.encode(), "en"))
"""Of its body as sent: deflating takes little of it. Overheads are what goes beyond these."""

ESTABLISHED = 100
"""Records said each way before overheads are counted."""

PAIRINGS = 8
"""First contacts tried: which side is the first party falls with its card."""

ROUNDS_MAX = 1000
"""Crossings of the wire after which a pair that is not silent never will be."""

_NONCE = bytes(12)


class Wire:
    """Two paired posts, "a" and "b"; `crossed` counts every datagram's bytes."""

    def __init__(self, *, tape: bool, padded: bool) -> None:
        self.now = clock.now()
        self.posts = {name: Post(MemoryStore(), clock.entropy, self.now) for name in "ab"}
        self.crossed: list[int] = []
        for name in "ab":
            self.do(name, Initialise("bench"))
        pages = new_tape(TAPE_PAGES, clock.entropy) if tape else None
        for name, other in ("ab", "ba"):
            card = self.posts[other].card() or b""
            self.do(name, Pair(LINE, "bench", card, pages, words(card)))
        for name in "ab":
            profile = BearerProfile(BEARER, 5, MTU_BYTES, 1000, 15_000, 10, padded)
            self.do(name, BearerUp(NUMBER, BEARER, profile))

    def do(self, name: str, *inputs: Input) -> object:
        """One step of a post; the last result, raised if it is an error."""
        result = self.posts[name].step(inputs, self.now)[-1]
        if isinstance(result, Exception):
            raise result
        return result

    def take(self, name: str) -> list[bytes]:
        """What a post sends now."""
        taken = [each.data for each in self.posts[name].take(NUMBER, BEARER, self.now)]
        self.crossed += map(len, taken)
        return taken

    def cross(self) -> None:
        """Let datagrams cross until both posts are silent."""
        for _ in range(ROUNDS_MAX):
            waiting = {name: self.take(name) for name in "ab"}
            if not any(waiting.values()):
                return
            for name, other in ("ab", "ba"):
                if waiting[name]:
                    self.do(other, Arrived(NUMBER, BEARER, waiting[name]))
        raise TimeoutError("the posts do not fall silent")

    def wait(self, ms: int) -> None:
        """Let time pass on both sides."""
        self.now = Now(self.now.mono_ms + ms, self.now.wall_s + ms // 1000)
        for name in "ab":
            self.do(name, Tick())

    def say(self, name: str, text: str = TEXT, release: Release | None = None) -> Serial:
        """Release a text."""
        said = release or Release(NUMBER, "bench", Precedence.ROUTINE, "en", "", text)
        serial = self.do(name, said)
        if not isinstance(serial, Serial):
            raise TypeError("a release gives a serial")
        return serial


def established() -> Wire:
    """A pair without padding that has said a few records each way, all of them held."""
    wire = Wire(tape=True, padded=False)
    for _ in range(ESTABLISHED):
        for name in "ab":
            wire.say(name)
        wire.cross()
        # New runs wait a moment for their confirmation.
        wire.wait(2_000)
        wire.cross()
    return wire


class Overhead(NamedTuple):
    """Bytes of datagrams on an established line."""

    text: int
    """Of a 200-byte text beyond its body as sent; no subject, no optional field."""
    text_all_fields: int
    """The same with a DTG ten minutes before filing, reply due in four hours, and a reference."""
    ack: int
    """Of the answering acknowledgement, whole."""


def overhead() -> Overhead:
    """Count overheads."""
    wire = established()
    before = wire.say("b")
    wire.cross()
    bare, ack = _one(wire, None)
    full = Release(
        *(NUMBER, "bench", Precedence.ROUTINE, "en", "", TEXT),
        dtg_s=wire.now.wall_s - 600,
        due_s=wire.now.wall_s + 4 * 3600,
        references=(Reference(False, before),),
    )
    return Overhead(bare - SENT_BYTES, _one(wire, full)[0] - SENT_BYTES, ack)


def _one(wire: Wire, release: Release | None) -> tuple[int, int]:
    """Bytes of the datagram of a text, and of the one that acknowledges it.

    A datagram that carries the opening of a new run is passed over: one in some dozens does.
    """
    while True:
        wire.wait(2_000)
        wire.cross()
        wire.say("a", release=release)
        there = wire.take("a")
        wire.do("b", Arrived(NUMBER, BEARER, there))
        back = wire.take("b")
        wire.do("a", Arrived(NUMBER, BEARER, back))
        sizes = [len(each) for each in there + back]
        if len(there) == len(back) == 1 and max(sizes) < len(TEXT) + OPENING_BYTES[LIGHT]:
            return sizes[0], sizes[1]


class FirstContact(NamedTuple):
    """Bytes of all datagrams both ways, from two paired posts that never spoke until the author
    knows that the first text is held: the most, for the first party may begin a rekey meanwhile.
    """

    tape: int
    cards: int
    tape_unpadded: int
    cards_unpadded: int


def first_contact() -> FirstContact:
    """Count first contact."""
    kinds = [(tape, padded) for padded in (True, False) for tape in (True, False)]
    return FirstContact(*(max(_contact(*kind) for _ in range(PAIRINGS)) for kind in kinds))


def _contact(tape: bool, padded: bool) -> int:
    wire = Wire(tape=tape, padded=padded)
    number = wire.say("a").number
    for _ in range(ROUNDS_MAX):
        for name, other in ("ab", "ba"):
            waiting = wire.take(name)
            if waiting:
                wire.do(other, Arrived(NUMBER, BEARER, waiting))
            if wire.posts["a"].status(NUMBER, wire.now).acked_number >= number:
                return sum(wire.crossed)
    raise TimeoutError("the first text is not acknowledged")


class Speed(NamedTuple):
    """Texts of 200 bytes sealed by one side and opened by the other, per second of one processor;
    medians.
    """

    ours: float
    aead: float
    ratio: float
    """Median of the ratios of neighbours."""


def speed(runs: int, texts: int) -> Speed:
    """Time sealing and opening, and AES-256-GCM-SIV alone on the same bytes, in turn."""
    wire = established()
    pairs = [(_sealing(wire, texts), _aead(texts)) for _ in range(runs + 1)][1:]
    ours, aead = zip(*pairs, strict=True)
    return Speed(median(ours), median(aead), median(o / a for o, a in pairs))


def _sealing(wire: Wire, texts: int) -> float:
    near, far = (wire.posts[name]._lane(NUMBER).seal for name in "ab")
    inner, now = TEXT.encode(), wire.now
    began_s = process_time()
    for _ in range(texts):
        opened = far.open(near.seal(near.choose(now), inner, now), now)
        if opened is not None and opened.confirm is not None:
            near.confirm(opened.confirm)
    took_s = process_time() - began_s
    for seal in (near, far):
        seal.changes(now)
    return texts / took_s


def _aead(texts: int) -> float:
    cipher, inner, associated = AESGCMSIV(clock.entropy(32)), TEXT.encode(), clock.entropy(22)
    began_s = process_time()
    for _ in range(texts):
        cipher.decrypt(_NONCE, cipher.encrypt(_NONCE, inner, associated), associated)
    return texts / (process_time() - began_s)
