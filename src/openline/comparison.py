"""Do our records agree? One exchange says yes; a few more name the first difference
(docs/protocol.md §7).

Theory of operation: who asks sends a CLAIM for a point of both chains; the other answers with its
own digest at the same point. If they differ, the asker narrows the first differing number of each
chain with LOOK, sixteen ways at a time, against its own heads. All of it only reads: a false claim
can only be shown to people (R28), which is why it need not be part of the core. Answering is
rationed, since it costs lookups.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

from .core import limits
from .core.envelope import Frame, FrameType, Reader, malformed, varint
from .core.events import Now, Serial
from .core.transcript import OURS, THEIRS, Ledger

_ANSWERS_PER_S_MAX = 20
_AGAIN_MS = 4_000
_TRIES_MAX = 8
_BLANK = bytes(16)


def digest(line_id: bytes, first_head: bytes, second_head: bytes) -> bytes:
    """The digest of both chains: 32 bytes; the first party's head comes first."""
    return sha256(b"openline/1 digest" + line_id + first_head + second_head).digest()


@dataclass(slots=True)
class Comparison:
    """A question put to the other side, and what came of it."""

    asked_s: int
    own: Serial
    peer: Serial
    digest: bytes
    """32 bytes: ours at (own, peer)."""
    agree: bool | None = None
    answered_s: int | None = None
    first_difference: tuple[int, int] | None = None
    """(side, number), side 0 for our chain, once it is found."""


class Comparer:
    """Asks and answers for one line. `first` says whether we are the first party."""

    def __init__(self, ledger: Ledger, line_id: bytes, *, first: bool) -> None:
        self._ledger = ledger
        self._line_id = line_id
        self._first = first
        self._span: tuple[int, int, int] | None = None
        """(side, highest number that agrees, lowest known to differ) while narrowing."""
        self._answered: tuple[int, int] = (0, 0)
        self._asked: Frame | None = None
        """The question that awaits its answer, asked again a few times."""
        self._tries = 0
        self._again_ms = 0
        self.latest: Comparison | None = None
        self.told: bool | None = None
        """What the other side's latest own question showed us: whether we agreed."""

    def _digest(self, own_head: bytes, peer_head: bytes) -> bytes:
        heads = (own_head, peer_head) if self._first else (peer_head, own_head)
        return digest(self._line_id, *heads)

    def digest_at(self, own: Serial, peer: Serial) -> bytes | None:
        """The digest at a point of both chains; None if we do not hold it."""
        own_head = self._ledger.head(OURS, own.number)
        peer_head = self._ledger.head(THEIRS, peer.number)
        return self._digest(own_head, peer_head) if own_head and peer_head else None

    def ask(self, own: Serial, peer: Serial, now: Now) -> Frame | None:
        """The CLAIM that asks; None if there is nothing to compare yet."""
        ours = self.digest_at(own, peer)
        if ours is None:
            return None
        self.latest = Comparison(now.wall_s, own, peer, ours)
        self._span = None
        return self._put(_claim(1, own, peer, ours[:16]), now)

    def _put(self, question: Frame, now: Now) -> Frame:
        self._asked, self._tries = question, 0
        self._again_ms = now.mono_ms + _AGAIN_MS
        return question

    def again(self, now: Now) -> Frame | None:
        """The question to repeat now, if an answer has been waited for long enough."""
        if self._asked is None or now.mono_ms < self._again_ms:
            return None
        self._tries += 1
        self._again_ms = now.mono_ms + (_AGAIN_MS << self._tries)
        question, self._asked = self._asked, None if self._tries >= _TRIES_MAX else self._asked
        return question

    def deadline(self) -> int | None:
        """When to ask `again`, monotonic milliseconds; None if nothing is asked."""
        return None if self._asked is None else self._again_ms

    def take(self, frame: Frame, now: Now) -> list[Frame]:
        """Take a CLAIM, LOOK or HEADS; the frames that answer. Raises RemoteError."""
        if frame.type == FrameType.CLAIM:
            return self._claimed(frame.payload, now)
        if frame.type == FrameType.LOOK:
            return self._look_at(frame.payload, now)
        return self._heads(frame.payload, now)

    def _claimed(self, payload: bytes, now: Now) -> list[Frame]:
        """Take a CLAIM; the frames that answer."""
        reader = Reader(payload)
        asks = reader.uint(1)
        author = Serial(reader.uint(3), reader.varint())
        other = Serial(reader.uint(3), reader.varint())
        said = reader.take(16)
        if asks > 1 or reader.more():
            raise malformed("claim")
        if not asks:
            return self._answer(author, other, said, now)
        if not self._may_answer(now):
            return []
        ours = self.digest_at(other, author)
        self.told = None if ours is None else ours[:16] == said
        return [_claim(0, other, author, ours[:16] if ours else _BLANK)]

    def _answer(self, author: Serial, other: Serial, said: bytes, now: Now) -> list[Frame]:
        asked = self.latest
        if asked is None or asked.answered_s or (other, author) != (asked.own, asked.peer):
            return []
        if said == _BLANK:
            return []
        self._asked = None
        asked.answered_s = now.wall_s
        asked.agree = said == asked.digest[:16]
        if asked.agree:
            return []
        self._span = (OURS, 0, asked.own.number)
        return [self._look(now)]

    def _look(self, now: Now) -> Frame:
        side, low, high = self._span or (OURS, 0, 0)
        parts = min(limits.HEADS_PER_LOOK_MAX, high - low)
        numbers = [low + (high - low) * (i + 1) // parts for i in range(parts)]
        payload = bytes((side,)) + b"".join(map(varint, numbers))
        return self._put(Frame(FrameType.LOOK, payload), now)

    def _look_at(self, payload: bytes, now: Now) -> list[Frame]:
        """Answer a LOOK with our heads."""
        reader = Reader(payload)
        whose = reader.uint(1)
        numbers = []
        while reader.more():
            numbers.append(reader.varint())
        if whose > 1 or not 0 < len(numbers) <= limits.HEADS_PER_LOOK_MAX:
            raise malformed("look")
        if not self._may_answer(now):
            return []
        out = bytes((whose,))
        for number in numbers:
            head = self._ledger.head(THEIRS if whose == 0 else OURS, number)
            out += varint(number) + (head[:16] if head else _BLANK)
        return [Frame(FrameType.HEADS, out)]

    def _heads(self, payload: bytes, now: Now) -> list[Frame]:
        """Narrow the difference by the other side's heads; old answers are passed over."""
        if self._span is None or self.latest is None:
            return []
        reader = Reader(payload)
        side, low, high = self._span
        if reader.uint(1) != side:
            return []
        if not reader.more():
            raise malformed("heads")
        for _ in range(limits.HEADS_PER_LOOK_MAX):
            if not reader.more():
                break
            number, head = reader.varint(), reader.take(16)
            if not low < number <= high:
                return []
            ours = self._ledger.head(side, number)
            if ours is not None and ours[:16] == head:
                low = number
            else:
                high = number
                break
        else:
            if reader.more():
                raise malformed("heads")
        self._asked = None
        return self._narrow(side, low, high, now)

    def _narrow(self, side: int, low: int, high: int, now: Now) -> list[Frame]:
        latest = self.latest
        if latest is None:
            return []
        if low == high and side == OURS:
            self._span = (THEIRS, 0, latest.peer.number)
            return [self._look(now)] if latest.peer.number else []
        if high - low <= 1:
            # Equal heads after a differing digest: the claim was false, nothing to name.
            latest.first_difference = (side, high) if low < high else None
            self._span = None
            return []
        self._span = (side, low, high)
        return [self._look(now)]

    def _may_answer(self, now: Now) -> bool:
        now_s = now.mono_ms // 1000
        second, count = self._answered
        self._answered = (now_s, count + 1 if second == now_s else 1)
        return self._answered[1] <= _ANSWERS_PER_S_MAX


def _claim(asks: int, author: Serial, other: Serial, said: bytes) -> Frame:
    out = bytes((asks,))
    for incarnation, number in (author, other):
        out += incarnation.to_bytes(3, "big") + varint(number)
    return Frame(FrameType.CLAIM, out + said)
