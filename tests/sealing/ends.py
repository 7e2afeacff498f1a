"""Two seals of one line, joined by nothing: what tests of sealing seal with and open with."""

from __future__ import annotations

import random

from openline.core.envelope import Frame, FrameType, encode_frames
from openline.core.events import Now
from openline.sealing.keys import Card, Identity, Kit
from openline.sealing.runs import SendingRun
from openline.sealing.seal import Opened, Seal, Unreadable

PAGES = {number: bytes((number,)) * 32 for number in range(8)}


class End:
    """One side: its kit, its seal, and what it has committed."""

    def __init__(self, kit: Kit, chance: random.Random) -> None:
        """A fresh line."""
        self.kit, self.chance = kit, chance
        self.disk: dict[str, bytes] = {}
        if kit.tape:
            self.disk |= {f"tape/{n:04d}": page for n, page in PAGES.items() if 0 < n < 7}
        self.now = Now(1_000_000, 1_790_000_000)
        self.seal = Seal(kit, self.disk, chance.randbytes, self.now)
        self.commit()

    def commit(self) -> None:
        """Write down what changed."""
        for name, blob in self.seal.changes(self.now).items():
            if blob is None:
                self.disk.pop(name, None)
            else:
                self.disk[name] = blob

    def restart(self) -> None:
        """The process ends; another opens the disk."""
        self.seal = Seal(self.kit, dict(self.disk), self.chance.randbytes, self.now)

    def send(self, inner: bytes = b"\0", *, pad_to: int = 0) -> bytes:
        """A datagram, committed as the rules ask before it may be sent."""
        run = self.seal.choose(self.now)
        self.commit()
        return self.seal.seal(run, inner, self.now, pad_to=pad_to)

    def open(self, datagram: bytes) -> Opened | None:
        """Open and commit."""
        opened = self.seal.open(datagram, self.now)
        self.commit()
        return opened

    def pass_time(self, seconds: int) -> None:
        """Let time pass here."""
        self.now = Now(self.now.mono_ms + seconds * 1000, self.now.wall_s + seconds)

    @property
    def confirmed(self) -> SendingRun:
        """The run the other side has confirmed."""
        assert self.seal.confirmed is not None
        return self.seal.confirmed


def pair(*, tape: bool = True, seed: int = 1) -> tuple[End, End]:
    """Both ends of a fresh line, the first party first."""
    chance = random.Random(seed)
    ours, theirs = Identity.new(chance.randbytes), Identity.new(chance.randbytes)
    page0 = PAGES[0] if tape else b""
    kits = [
        Kit.make(ours, Card.decode(theirs.card), page0),
        Kit.make(theirs, Card.decode(ours.card), page0),
    ]
    kits.sort(key=lambda kit: kit.direction)
    return End(kits[0], chance), End(kits[1], chance)


def talk(a: End, b: End, rounds: int = 4) -> None:
    """Each sends the other a datagram; RUN and REOPEN are told in answer."""
    for _ in range(rounds):
        for sender, reader in ((a, b), (b, a)):
            try:
                opened = reader.open(sender.send())
            except Unreadable as unreadable:
                sender.seal.reopen(unreadable.run_id, sender.now)
                continue
            if opened is not None and opened.confirm is not None:
                sender.seal.confirm(opened.confirm)


def rekey(first: End, second: End) -> None:
    """One whole rekey, the records of which have crossed."""
    body = second.seal.answer(first.seal.offer(first.now), second.now)
    assert body is not None
    first.seal.complete(body, first.now)
    for end in (first, second):
        end.commit()


def frames(size: int = 10) -> bytes:
    """An inner of about so many bytes."""
    return encode_frames([Frame(FrameType.RECORD, bytes(size))])
