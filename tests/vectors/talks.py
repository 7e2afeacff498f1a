"""The conversations among the vectors: what reaches readers in order, and what it brings them.

Purpose: `Talk` gives each datagram to the product's own reading (witness.py), takes what it brought
for the expectation, and demands that a refusal is the one the vector names. Each function below
makes one vector. What stands in a file is decided here and in make.py alone.
"""

from __future__ import annotations

from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from openline.core import receipts
from openline.core.envelope import Frame, FrameType, varint
from openline.core.events import Serial
from openline.core.precedence import Precedence
from openline.delivery.assembly import Piece, check_of
from openline.inputs import Compare, Receive, Release
from openline.sealing.keys import Kit
from openline.sealing.roots import Root
from openline.sealing.runs import SendingRun
from openline.sim.chance import noise, stream
from tests.pair import LinePair

from .scribe import ATTACKER, NOW, A, B, Scribe, raw_record, receipt_fields
from .witness import Json, Witness, record, same_refusal, shared_digest

FLOOR_HEAD = b"\x33" * 32


class Talk:
    """One conversation in the making."""

    def __init__(self, name: str, what: str, readers: list[Json]) -> None:
        """Begin with readers as docs/vectors.md §3 writes them."""
        self.name, self.what, self.given = name, what, readers
        self.witnesses = [Witness(reader) for reader in readers]
        self.steps: list[Json] = []

    def give(
        self,
        datagram: bytes,
        to: int = 0,
        *,
        refused: str | None = None,
        outcomes: list[str] | None = None,
        fault: str | None = None,
    ) -> Json:
        """A datagram reaches a reader; where a rule is broken, its name is given."""
        step: Json = {"to": to, "datagram": datagram.hex()}
        found = self.witnesses[to].step(step)
        if refused is not None:
            if not same_refusal(refused, found.get("refused", "none")):
                raise AssertionError(f"{self.name}: {refused} expected, not {found}")
            self.steps.append(step | {"refused": refused})
            return found
        for names, at in ((outcomes, "outcomes"), ([fault] if fault else None, "fault")):
            if names is not None:
                was = found[at] if at == "outcomes" else [found[at]]
                if len(was) != len(names) or not all(map(_alike, names, was)):
                    raise AssertionError(f"{self.name}: {names} expected, not {was}")
                found[at] = names if at == "outcomes" else names[0]
        for frame in found["frames"]:
            whole = frame["type"] == FrameType.RECORD and "malformed" not in (outcomes or ())
            if whole and len(found["frames"]) < 20:
                frame["decoded"] = record(bytes.fromhex(frame["record"]))
        self.steps.append(step | {"expected": found})
        return found

    def tell(self, to: int = 0, **step: Json) -> None:
        """A reader learns of a `key`, a `root`, or that it may `drop` a run."""
        self.witnesses[to].step(step)
        self.steps.append({"to": to} | step)

    def done(self, digest: Json = None) -> Json:
        """The vector."""
        return {
            "name": self.name,
            "what": self.what,
            "about": "conversation",
            "given": {"readers": self.given, "steps": self.steps},
            "expected": {"chains": [each.held() for each in self.witnesses], "digest": digest},
        }


def _alike(name: str, found: str | None) -> bool:
    return name == found or (found is not None and "." in found and same_refusal(name, found))


# -- two posts that talk ----------------------------------------------------------------------


class _Posts:
    """Two posts whose datagrams are given to readers 0 ("a") and 1 ("b") as well."""

    def __init__(self, name: str, what: str, pair: LinePair) -> None:
        self.pair = pair
        self.talk = Talk(name, what, [self._reader("a", "b"), self._reader("b", "a")])
        self.known: set[str] = set()

    def _reader(self, own: str, peer: str) -> Json:
        identity = self.pair.posts[own].identity
        assert identity is not None
        page0 = self.pair.page0
        return {
            "identity": identity.agreement.hex(),
            "kem_seed": identity.kem.hex(),
            "own_card": identity.card.hex(),
            "peer_card": (self.pair.posts[peer].card() or b"").hex(),
            "page0": page0.hex(),
            "keys": {},
            "roots": [],
            "confirmed": [],
        }

    def _learn(self, name: str) -> None:
        """Tell a reader what its post has made for itself meanwhile."""
        seal, to = self.pair.posts[name]._lanes[1].seal, "ab".index(name)
        for key_id, (private, _) in seal.state.receive_keys.items():
            if name + private not in self.known:
                self.known.add(name + private)
                self.talk.tell(to, key=[key_id, private])
        for root in reversed(seal.roots.later):
            if name + root.key not in self.known:
                self.known.add(name + root.key)
                self.talk.tell(to, root=root.key)

    def flow(self) -> None:
        """Let everything cross."""
        for _ in range(20):
            crossing = {name: self.pair.take(name) for name in "ab"}
            if not any(crossing.values()):
                return
            for name, other in ("ab", "ba"):
                for datagram in crossing[name]:
                    self._learn(other)
                    self.talk.give(datagram, "ab".index(other))
                    self.pair.give(other, [datagram])

    def done(self) -> Json:
        """The vector, with the digest both posts show."""
        status = {name: self.pair.posts[name].status(1, self.pair.now) for name in "ab"}
        a, b = status["a"].own_serial, status["b"].own_serial
        assert a is not None
        assert b is not None
        first = self.talk.witnesses[0].kit.first
        made = shared_digest(self.talk.witnesses, list(a if first else b), list(b if first else a))
        assert status["a"].digest == status["b"].digest == made["digest"]
        return self.talk.done(made)


def with_tape() -> Json:
    """Two posts by tape: texts, a long one in pieces, receipts, a rekey, a comparison."""
    what = "Two parties with a tape talk in both directions, rekey, and share one digest."
    posts = _Posts("talk-tape", what, LinePair(seed=11, padded=True))
    pair = posts.pair
    posts.flow()
    serial = pair.say("a", "The line is open.", Precedence.FLASH)
    pair.do("b", Release(1, "b", Precedence.PRIORITY, "ru", "Ответ", "Линия открыта."))
    posts.flow()
    pair.do("b", Receive(1, "b", receipts.OPENED, serial))
    pair.do("b", Receive(1, "b", receipts.HOLDING, serial, pair.now.wall_s + 3600, "At noon."))
    pair.say("a", noise(stream(1, "text"), 6000))
    posts.flow()
    pair.wait(3600)
    pair.say("a", "Under the new root.", Precedence.IMMEDIATE)
    posts.flow()
    pair.do("a", Compare(1, "a"))
    posts.flow()
    return posts.done()


def by_cards() -> Json:
    """Two posts by cards alone: full openings both ways."""
    what = "Two parties paired by cards alone begin with full openings and share one digest."
    posts = _Posts("talk-cards", what, LinePair(tape=False, seed=12))
    posts.flow()
    posts.pair.say("b", "By cards alone.")
    posts.flow()
    return posts.done()


# -- what a reader must refuse ----------------------------------------------------------------


def refusals() -> Json:
    """Every datagram that a reader refuses, and the true one after each."""
    talk = Talk(
        "refused-datagrams", "No spoiled datagram opens or changes anything.", [B.reader(A)]
    )
    scribe = Scribe(A, B)
    run, other = scribe.open_run(), Scribe(A, B, seed=8)
    texts = [scribe.begin(7, 1, [], 0), *(scribe.record(7, n) for n in range(2, 5))]
    first = scribe.datagram(run, texts[0])
    talk.give(bytes([first[0] ^ 1]) + first[1:], refused="foreign")
    talk.give(first[:41], refused="foreign")
    talk.give(first + bytes(4097 - len(first)), refused="foreign")
    for how in ("kind-mismatch", "kind-three"):
        talk.give(scribe.spoiled(how, run), refused="kind-mismatch")
    for how in ("wrong-run-id", "unknown-version", "unknown-root", "unknown-key", "bad-opening"):
        talk.give(scribe.spoiled(how, run), refused=how)
    talk.give(scribe.spoiled("low-order", run), refused="bad-opening")
    public = other.seal._receive_key()[1]
    other.seal._receive_key = lambda: (b"\0\0", public)  # type: ignore[method-assign]
    talk.give(other.datagram(other.open_run(), texts[0]), refused="bad-payload")
    other.seal._receive_key = lambda: (b"\1\2", bytes(32))  # type: ignore[method-assign]
    talk.give(other.datagram(other.open_run(), texts[0]), refused="bad-opening")
    talk.give(scribe.datagram(run, texts[1], bare=True), refused="unknown-run")
    talk.give(first[:-1] + bytes([first[-1] ^ 1]), refused="bad-tag")
    talk.give(first)
    talk.give(first, refused="used-index")
    second = scribe.datagram(run, texts[1], bare=True)
    talk.give(second[:-1] + bytes([second[-1] ^ 0x80]), refused="bad-tag")
    talk.give(second)
    talk.give(second, refused="used-index")
    talk.tell(drop=run.run_id.hex())
    talk.give(scribe.datagram(run, texts[2]), refused="dropped-run")
    talk.give(scribe.datagram(scribe.open_run(), texts[2]))
    return talk.done()


def light_without_tape() -> Json:
    """R7: on a line of cards alone, root0 needs ML-KEM."""
    what = "A light opening on root0 of a line without tape cannot be opened; a full one can."
    talk = Talk("refused-light-without-tape", what, [B.reader(A, b"")])
    light, full = Scribe(A, B, b"", seed=9), Scribe(A, B, b"")
    light.seal.kit = Kit(light.kit.secret, light.kit.identity, light.kit.peer, tape=True)
    data = full.begin(7, 1, [], 0)
    talk.give(light.datagram(light.open_run(), data), refused="light-without-tape")
    talk.give(full.datagram(full.open_run(), data))
    return talk.done()


def man_in_the_middle() -> Json:
    """The attacker's card in place of the true one, on one side."""
    what = "A was given the attacker's card in place of B's: nothing crosses between A and B."
    talk = Talk("man-in-the-middle", what, [A.reader(ATTACKER), B.reader(A), ATTACKER.reader(A)])
    a, b = Scribe(A, ATTACKER), Scribe(B, A, seed=8)
    sent = a.datagram(a.open_run(), a.begin(7, 1, [], 0), a.record(7, 2))
    talk.give(sent, 1, refused="foreign")
    talk.give(b.datagram(b.open_run(), b.begin(9, 1, [], 0)), 0, refused="foreign")
    forged = Scribe(ATTACKER, A, seed=8)
    passed_on = forged.datagram(forged.open_run(), forged.begin(9, 1, [], 0))
    talk.give(passed_on, 1, refused="foreign")
    talk.give(sent, 2)
    return talk.done()


def inner_faults() -> Json:
    """What is broken inside a datagram that opens (R16, R17, R22, R26)."""
    what = (
        "A broken record does not end the reading, a broken frame does, an unknown one is passed."
    )
    talk = Talk("faults-inside", what, [B.reader(A)])
    scribe = Scribe(A, B)
    run = scribe.open_run()
    broken = raw_record(number=2, flags=1)
    unknown, bad = Frame(77, b"from a later version"), Frame(FrameType.ACK, b"\0\0\7\1\0\1")
    two, three = scribe.record(7, 2), scribe.record(7, 3)
    talk.give(scribe.datagram(run, two), outcomes=["not-taken"])
    frames = (scribe.begin(7, 1, [], 0), broken, unknown, two)
    talk.give(scribe.datagram(run, *frames), outcomes=["taken", "malformed", "taken"])
    talk.give(scribe.datagram(run, three, bad, two), fault="malformed")
    far = scribe.record(7, 3 + 1_048_577)
    talk.give(scribe.datagram(run, far), outcomes=["serial-jump"])
    talk.give(scribe.datagram(run, three, pad_to=4096), outcomes=["duplicate"])
    talk.give(scribe.datagram(run))
    return talk.done()


def gaps() -> Json:
    """R26: 512 gaps and no more."""
    talk = Talk("gaps", "512 gaps are kept; what would make one more is refused.", [B.reader(A)])
    scribe = Scribe(A, B)
    run = scribe.open_run()
    talk.give(scribe.datagram(run, scribe.begin(7, 1, [], 0)))
    odd = [raw_record(7, number, body=b"") for number in range(3, 3 + 2 * 512, 2)]
    for at in range(0, 512, 171):
        talk.give(scribe.datagram(run, *odd[at : at + 171]))
    talk.give(scribe.datagram(run, raw_record(7, 1030, body=b"")), outcomes=["gaps"])
    talk.give(scribe.datagram(run, raw_record(7, 2, body=b"")))
    return talk.done()


# -- order ------------------------------------------------------------------------------------


def disorder() -> Json:
    """The second datagram opens the run; records come in any order, twice, with a gap."""
    what = (
        "A later datagram of a run opens it; records chain in number order; one is missing still."
    )
    talk = Talk("disorder", what, [B.reader(A)])
    scribe = Scribe(A, B)
    run = scribe.open_run()
    begin, *texts = scribe.begin(7, 1, [], 0), *(scribe.record(7, n) for n in range(2, 8))
    sent = [scribe.datagram(run, begin)] + [scribe.datagram(run, text) for text in texts]
    bare = scribe.datagram(run, texts[0], bare=True)
    for at in (3, 0, 2, 6):
        talk.give(sent[at])
    talk.give(bare)
    talk.give(sent[1])
    talk.give(sent[4])
    return talk.done()


def pieces() -> Json:
    """A record in pieces, in any order; pieces that do not agree."""
    talk = Talk("pieces", "Pieces make a record in any order, unless they differ.", [B.reader(A)])
    scribe = Scribe(A, B)
    run = scribe.open_run()
    talk.give(scribe.datagram(run, scribe.begin(7, 1, [], 0)))
    parts = scribe.pieces(raw_record(7, 2, body=b"in pieces " * 60), 200)
    for part in reversed(parts):
        talk.give(scribe.datagram(run, part))
    whole = raw_record(7, 3, body=b"shorter " * 30)
    parts = scribe.pieces(whole, 150)
    longer = Piece(Serial(7, 3), 999, check_of(whole), 0, b"x")
    other = scribe.pieces(raw_record(7, 3, body=b"another " * 30), 150)
    talk.give(scribe.datagram(run, parts[0]))
    talk.give(scribe.datagram(run, other[1]))
    talk.give(
        scribe.datagram(run, Frame(FrameType.PIECE, longer.encode())), outcomes=["pieces-differ"]
    )
    talk.give(scribe.datagram(run, parts[1]))
    return talk.done()


def branches() -> Json:
    """R21: a branch left, and followed again."""
    what = "A BEGIN leaves a branch, a later one leads back to it; what was left stands again."
    talk = Talk("branches", what, [B.reader(A)])
    scribe = Scribe(A, B)
    run = scribe.open_run()
    told = [scribe.begin(7, 1, [], 0), *(scribe.record(7, n) for n in (2, 3, 4))]
    talk.give(scribe.datagram(run, *told))
    restored = scribe.begin(8, 3, [(7, 1)], 2)
    left = raw_record(7, 6)
    living = scribe.begin(9, 5, [(7, 1)], 2)
    talk.give(scribe.datagram(run, restored, scribe.record(8, 4)))
    talk.give(scribe.datagram(run, left), outcomes=["abandoned"])
    talk.give(scribe.datagram(run, living, scribe.record(9, 6)))
    talk.give(scribe.datagram(run, raw_record(8, 7)), outcomes=["abandoned"])
    return talk.done()


def lost() -> Json:
    """R21: a floor passes over what is not held; what comes late stays off the chain."""
    what = "Numbers under a floor are lost here; the chain goes on from the head the author gives."
    talk = Talk("lost", what, [B.reader(A)])
    scribe = Scribe(A, B)
    run = scribe.open_run()
    told = [scribe.begin(7, 1, [], 0), *(scribe.record(7, n) for n in (2, 3, 4, 5, 6))]
    talk.give(scribe.datagram(run, told[0], told[1], told[4]))
    talk.give(scribe.datagram(run, scribe.begin(8, 7, [(7, 1)], 5)), outcomes=["held"])
    talk.give(scribe.datagram(run, told[5]), outcomes=["taken"])
    talk.give(scribe.datagram(run, told[3]), outcomes=["late"])
    return talk.done()


def between() -> Json:
    """R21: a path that names an incarnation never heard of, and its own BEGIN afterwards."""
    what = "A BEGIN names the branch it continues; what it names is known before it comes."
    talk = Talk("between", what, [B.reader(A)])
    scribe = Scribe(A, B)
    run = scribe.open_run()
    told = [scribe.begin(7, 1, [], 0), *(scribe.record(7, n) for n in range(2, 9))]
    middle = scribe.begin(8, 9, [(7, 1)], 6)
    scribe.record(8, 10)
    last = scribe.begin(9, 11, [(7, 1), (8, 9)], 6)
    talk.give(scribe.datagram(run, last), outcomes=["held"])
    talk.give(scribe.datagram(run, raw_record(8, 10)))
    talk.give(scribe.datagram(run, middle), outcomes=["held"])
    talk.give(scribe.datagram(run, *told[6:]), outcomes=["taken", "taken"])
    talk.give(scribe.datagram(run, raw_record(6, 12)), outcomes=["not-taken"])
    return talk.done()


def fork() -> Json:
    """R24, and a head(floor) that is not one's own."""
    what = "The same serial with other bytes is a fork; the first taken stays; heads may differ."
    talk = Talk("fork", what, [B.reader(A)])
    scribe = Scribe(A, B)
    run = scribe.open_run()
    talk.give(scribe.datagram(run, scribe.begin(7, 1, [], 0), scribe.record(7, 2)))
    talk.give(scribe.datagram(run, raw_record(7, 2, body=b"another text")), outcomes=["fork"])
    talk.give(scribe.datagram(run, scribe.begin(8, 3, [(7, 1)], 2, head=FLOOR_HEAD)))
    return talk.done()


# -- roots ------------------------------------------------------------------------------------


def later_root() -> Json:
    """§9, R14: a later root, a receive key, the continuity alarm and what prevents it."""
    what = "Only an opening on root0 that proves nothing by root or key raises the alarm."
    private, root_key = b"\x21" * 32, b"\x42" * 32
    talk = Talk("continuity", what, [B.reader(A)])
    scribe, thief = Scribe(A, B), Scribe(A, B, seed=9)
    public = X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()
    talk.give(scribe.datagram(scribe.open_run(), scribe.begin(7, 1, [], 0)))
    talk.tell(key=["1234", private.hex()])
    talk.tell(root=root_key.hex())
    root_id = talk.witnesses[0].seal.roots.later[0].id
    scribe.seal.roots.later.insert(0, Root(root_id, root_key.hex(), usable=True))
    scribe.seal.state.peer_key_id, scribe.seal.state.peer_key = "1234", public.hex()
    talk.give(scribe.datagram(_fresh(scribe), scribe.record(7, 2)))
    talk.give(scribe.datagram(_fresh(scribe, to_card=True), scribe.record(7, 3)))
    run = thief.open_run()
    first = talk.give(thief.datagram(run, raw_record(7, 4)))
    thief.seal.candidates.clear()
    second = talk.give(thief.datagram(thief.open_run(), raw_record(7, 5)))
    assert (first["alarm"], second["alarm"]) == (True, False)
    return talk.done()


def _fresh(scribe: Scribe, *, to_card: bool = False) -> SendingRun:
    """A run that announces a key of its own."""
    newest = list(scribe.seal.state.receive_keys)[-1]
    kept = scribe.seal.state.receive_keys
    kept[newest] = (kept[newest][0], 1)
    return scribe.open_run(to_card=to_card)


def frames_of_every_type() -> Json:
    """Receipts, references and each frame type, in a datagram."""
    what = "Each frame type, and records with receipts and references, inside one run."
    talk = Talk("frame-types", what, [B.reader(A)])
    scribe = Scribe(A, B)
    run = scribe.open_run()
    theirs = Serial(0x0A0B0C, 5)
    held = receipt_fields(receipts.HOLDING, theirs, NOW.wall_s + 7200)
    note = scribe.record(7, 3, b"Answer follows.", **held)
    opened = raw_record(
        7, 2, flags=0x08, kind=17, language=0, optional=b"\1\x0b\x0a\x0b\x0c", body=b""
    )
    side = [
        Frame(FrameType.ACK, b"\x0a\x0b\x0c\x05\x01\x02"),
        Frame(FrameType.RUN, b"\1\2\3\4"),
        Frame(FrameType.REOPEN, b"\5\6\7\x08"),
        Frame(FrameType.REFUSE, b"\x0a\x0b\x0c" + varint(70) + b"\3"),
        Frame(FrameType.CLAIM, b"\1\0\0\7\3\x0a\x0b\x0c\5" + bytes(range(16))),
        Frame(FrameType.LOOK, b"\0" + varint(1) + varint(300)),
        Frame(FrameType.HEADS, b"\1\3" + bytes(range(16)) + b"\5" + bytes(16)),
    ]
    talk.give(scribe.datagram(run, scribe.begin(7, 1, [], 0), opened, note, *side, pad_to=1024))
    return talk.done()


TALKS: list[Any] = [
    *(with_tape, by_cards, refusals, light_without_tape, man_in_the_middle, inner_faults, gaps),
    *(disorder, pieces, branches, lost, between, fork, later_root, frames_of_every_type),
]
