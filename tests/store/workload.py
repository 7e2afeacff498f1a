"""Batches that can be recognised: what a store holds after batch k is known, and nothing between
two batches looks whole.

Run as a program (`python -m tests.store.workload DIRECTORY COUNT`) it opens the post and commits
batches for ever or COUNT times, and says each number on stdout after its commit has returned.
"""

from __future__ import annotations

import hashlib
import os
import sys
from itertools import count
from pathlib import Path

from openline.store.audit import verify
from openline.store.base import (
    CHAINED,
    OURS,
    OVERHEAD_BYTES,
    THEIRS,
    Audit,
    Batch,
    Mark,
    Row,
    Store,
)
from openline.store.opening import Cost, Passphrase, open_store

CHEAP = Cost(memory_kib=8, passes=1, lanes=1)
SECRET = Passphrase("correct horse")
SMALL_BALLAST = 64 << 10


def filler(seed: int, length: int) -> bytes:
    """Bytes that no other seed has."""
    block = hashlib.sha256(b"%d" % seed).digest()
    return (block * (length // len(block) + 1))[:length]


def batch(k: int) -> Batch:
    """Batch k: one to four rows a side, one of them long, state short and long, marks, heads,
    audit.
    """
    rows = [
        Row(1, side, 4 * k + n, 7, filler(4 * k + n, 9000 if n == 3 else 300), None, k, 1, n % 4)
        for side in (OURS, THEIRS)
        for n in range(1 + k % 4)
    ]
    return Batch(
        state={
            (0, "count"): b"%d" % k,
            (1, "run"): filler(k, 700),
            (1, "keys"): filler(-k, 20_000),
        },
        rows=rows,
        heads=[(1, OURS, 4 * k, 7, filler(k, 32), CHAINED)],
        marks=[Mark(1, OURS, 4 * k, 7, 16 + n, k) for n in range(2)],
        audit=[Audit(k, "duty officer", "release", f'{{"number":{n}}}') for n in range(3)],
    )


def batches_held(store: Store) -> int:
    """How many batches the store holds, having checked that they are whole and nothing else is."""
    k = int(store.state(0).get("count", b"0"))
    expected_rows: list[Row] = []
    used = {OURS: 0, THEIRS: 0}
    for made in map(batch, range(1, k + 1)):
        for row in made.rows:
            head = made.heads[0][4] if (row.side, row.number) == made.heads[0][1:3] else None
            expected_rows.append(row._replace(head=head, arrival=len(expected_rows) + 1))
            used[row.side] += len(row.record) + OVERHEAD_BYTES
        assert store.marks(*made.heads[0][:4]) == made.marks
    assert store.arrivals(None, 0, 1 << 30) == expected_rows
    assert store.arrivals(1, 0, 1 << 30, side=OURS) == [r for r in expected_rows if not r.side]
    for row in expected_rows:
        assert store.row(*row[:4]) == row
    assert store.chain(1, OURS, 0, 1 << 30) == [row for row in expected_rows if not row.side]
    assert store.lines() == ([1] if k else [])
    last = batch(k).state if k else {}
    assert store.state(1) == {name: value for (line, name), value in last.items() if line}
    assert {side: store.bytes_used(1, side) for side in used} == used
    assert [kept.entry for kept in store.audit()] == [
        entry for made in map(batch, range(1, k + 1)) for entry in made.audit
    ]
    assert verify(store) is None
    return k


def main() -> None:
    """Commit, say so, go on."""
    directory, times = Path(sys.argv[1]), int(sys.argv[2])
    store = open_store(directory, SECRET, ballast_bytes=SMALL_BALLAST)
    first = int(store.state(0).get("count", b"0")) + 1
    for k in count(first) if times == 0 else range(first, first + times):
        store.commit(batch(k))
        os.write(1, b"committed %d\n" % k)


if __name__ == "__main__":
    main()
