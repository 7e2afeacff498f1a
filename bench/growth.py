"""Cost per message at different lengths of the transcript: it must not grow.

Theory of operation: a pair of posts on disk is given a transcript of the wanted length by writing
the rows of one author, with valid chain heads, straight into both stores, together with the state
of the line that goes with them. Then both posts run in this process, joined by a list of
datagrams, and texts are sent in small steps: release, commit, seal, open, commit, acknowledge,
commit. Processor time of all of it is counted, which is what may grow; waiting for the disk is
the same at every length. The lengths are measured in turn, round after round.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from statistics import median
from time import process_time
from typing import NamedTuple

from openline import clock
from openline.bearers.base import BearerProfile
from openline.core.envelope import Record, encode_record
from openline.core.line import Line
from openline.core.precedence import Precedence
from openline.core.receipts import TEXT as TEXT_KIND
from openline.core.transcript import OURS, THEIRS, next_head
from openline.inputs import Arrived, BearerUp, Release, Tick
from openline.lane import Lane
from openline.post import Post
from openline.sealing.keys import Identity
from openline.store.base import Batch, Row
from openline.store.sql import SqlStore

from .durable import TEXT, TEXT_BYTES
from .posts import NUMBER, Places, make_pair, opened

BEARER = "tcp"
ROWS_PER_COMMIT = 5_000
STEP_TEXTS = 16
"""Texts released in one step."""

Progress = Callable[[float], None]
"""Told what part of the work is done, 0 to 1."""


def lengthen(places: Places, length: int, progress: Progress) -> None:
    """Give both posts so many records of the near one in all."""
    with ExitStack() as stack:
        stores = [stack.enter_context(closing(opened(each))) for each in places]
        near, far = (line_of_store(store) for store in stores)
        incarnation, body, wall_s = (
            near.branch[-1].incarnation,
            TEXT[:TEXT_BYTES],
            clock.now().wall_s,
        )
        first = number = near.number
        while number < length:
            rows: list[Row] = []
            while number < length and len(rows) < ROWS_PER_COMMIT:
                number += 1
                at = (TEXT_KIND, "en", wall_s, wall_s, None, (), "", body.encode())
                data = encode_record(Record(incarnation, number, Precedence.ROUTINE, *at))
                near.head = next_head(near.head, data)
                kept = (number, incarnation, data, near.head, wall_s, TEXT_KIND, 0)
                rows.append(Row(NUMBER, OURS, *kept))
            near.number = near.acked = number
            far.reception.contiguous = far.reception.top = number
            far.reception.head = near.head
            stores[0].commit(Batch({(NUMBER, "line"): near.save()}, rows))
            theirs = [row._replace(side=THEIRS) for row in rows]
            stores[1].commit(Batch({(NUMBER, "line"): far.save()}, theirs))
            progress((number - first) / (length - first))


def line_of_store(store: SqlStore, number: int = NUMBER) -> Line:
    """A line as its post left it, without the beginning of a new process."""
    identity = Identity.decode(store.state(0)["identity"])
    return Lane(store, number, store.state(number), identity, clock.entropy, clock.now()).line


class Talk:
    """Two posts in this process over their stores on disk."""

    def __init__(self, places: Places) -> None:
        self._stores = [opened(each) for each in places]
        self._posts = [Post(store, clock.entropy, clock.now()) for store in self._stores]
        for post in self._posts:
            profile = BearerProfile(BEARER, 5, 4096, 60_000, 60_000, 10, padded=False)
            post.step([BearerUp(NUMBER, BEARER, profile)], clock.now())
        self.cross()

    def cross(self) -> None:
        """Let datagrams cross until both posts are silent."""
        near, far = self._posts
        silent = False
        while not silent:
            silent = True
            for post, other in ((near, far), (far, near)):
                taken = [each.data for each in post.take(NUMBER, BEARER, clock.now())]
                if taken:
                    silent = False
                    other.step([Arrived(NUMBER, BEARER, taken)], clock.now())

    def send(self, texts: int) -> None:
        """Send so many texts, in steps of STEP_TEXTS; returns when all are held."""
        release = Release(NUMBER, "bench", Precedence.ROUTINE, "en", "", TEXT[:TEXT_BYTES])
        for _ in range(texts // STEP_TEXTS):
            self._posts[0].step([release] * STEP_TEXTS, clock.now())
            self.cross()
        self._posts[0].step([Tick()], clock.now())
        if self._posts[0].status(NUMBER, clock.now()).outbox:
            raise TimeoutError("texts are not acknowledged")

    def digests(self) -> set[str]:
        """The digests of both records."""
        return {post.status(NUMBER, clock.now()).digest for post in self._posts}

    def close(self) -> None:
        """Close both stores."""
        for store in self._stores:
            store.close()


class Cost(NamedTuple):
    """What one message costs at one length of the transcript."""

    length: int
    cpu_us: float
    """Processor time of both posts; median."""
    wall_us: float
    """With waiting for the disk; median."""
    open_s: float
    """Seconds to open both posts."""
    megabytes: float
    """Size of one post's record on disk."""


def measure(
    place: Path, lengths: list[int], rounds: int, texts: int, progress: Progress
) -> list[Cost]:
    """Measure each length in turn, round after round."""
    pairs = [_long_pair(place / str(length), length) for length in lengths]
    total = sum(lengths)
    done = 0
    for places, length in zip(pairs, lengths, strict=True):
        lengthen(places, length, partial(_told, progress, done / total, length / total))
        done += length
    costs: list[Cost] = []
    with ExitStack() as stack:
        talks, opening = [], []
        for places in pairs:
            began_s = clock.precise_s()
            talks.append(stack.enter_context(closing(Talk(places))))
            opening.append(clock.precise_s() - began_s)
        taken = [[_timed(talk, texts) for talk in talks] for _ in range(rounds + 1)][1:]
        for at, (talk, length) in enumerate(zip(talks, lengths, strict=True)):
            if len(talk.digests()) != 1:
                raise ValueError("the records differ")
            cpu, wall = zip(*(each[at] for each in taken), strict=True)
            size = (pairs[at].near / "post.db").stat().st_size / 2**20
            costs.append(Cost(length, median(cpu), median(wall), opening[at], size))
    return costs


def _told(progress: Progress, done: float, share: float, part: float) -> None:
    progress(done + share * part)


def _long_pair(place: Path, length: int) -> Places:
    """A pair whose first records are held, in a directory of its own."""
    place.mkdir()
    places = make_pair(place)
    with closing(Talk(places)) as talk:
        talk.send(STEP_TEXTS)
    if length <= 2 * STEP_TEXTS:
        raise ValueError("too short a transcript")
    return places


def _timed(talk: Talk, texts: int) -> tuple[float, float]:
    """Microseconds of processor and wall time per message."""
    cpu_s, wall_s = process_time(), clock.precise_s()
    talk.send(texts)
    return (process_time() - cpu_s) / texts * 1e6, (clock.precise_s() - wall_s) / texts * 1e6
