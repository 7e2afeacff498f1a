"""One suite of facts that every Store must show.

The tests of each store inherit it and give the `store` fixture.
"""

from __future__ import annotations

import hashlib

import pytest

from openline.errors import InvariantError, OpenlineError, StoreError
from openline.store.audit import START, link, verify
from openline.store.base import (
    ABANDONED,
    CHAINED,
    FORKED,
    OURS,
    OVERHEAD_BYTES,
    THEIRS,
    Audit,
    Batch,
    Mark,
    Row,
    Store,
)

TEXT = 1
RECEIPT = 16


def record_row(number: int, **changes: object) -> Row:
    """A row of line 1, side OURS, incarnation 7, whose record and head are made from its number."""
    head = hashlib.sha256(number.to_bytes(8)).digest()
    row = Row(1, OURS, number, 7, b"record %d" % number, head, 1000 + number, TEXT, 0)
    return row._replace(**changes)  # type: ignore[arg-type]


def act(number: int) -> Audit:
    """An audit entry."""
    return Audit(1000 + number, "duty officer", "release", f'{{"number":{number}}}')


class StoreContract:
    """The facts."""

    def test_new_store_is_empty(self, store: Store) -> None:
        assert store.lines() == []
        assert store.state(0) == {}
        assert store.row(1, OURS, 1, 7) is None
        assert store.head(1, OURS, 1) is None
        assert store.chain(1, OURS, 1, 10) == []
        assert store.arrivals(None, 0, 10) == []
        assert store.marks(1, OURS, 1, 7) == []
        assert store.bytes_used(1, OURS) == 0
        assert list(store.audit()) == []
        assert store.free_bytes() > 0

    def test_empty_batch_changes_nothing(self, store: Store) -> None:
        store.commit(Batch())
        assert list(store.audit()) == []

    def test_state_is_set_replaced_and_deleted(self, store: Store) -> None:
        store.commit(Batch(state={(1, "run"): b"a", (1, "keys"): b"", (0, "identity"): b"\0\xff"}))
        assert store.state(1) == {"run": b"a", "keys": b""}
        store.commit(Batch(state={(1, "run"): b"b" * 100_000, (1, "keys"): None}))
        assert store.state(1) == {"run": b"b" * 100_000}
        assert store.state(0) == {"identity": b"\0\xff"}

    def test_contents_are_set_replaced_and_deleted(self, store: Store) -> None:
        assert store.content("a", 0) is None
        store.commit(Batch(contents={("a", 0): b"x" * 60_000, ("a", 1): b"", ("b", 0): b"\0"}))
        store.commit(Batch(contents={("a", 0): b"y" * 61_440, ("b", 0): None, ("c", 9): None}))
        assert store.content("a", 0) == b"y" * 61_440
        assert store.content("a", 1) == b""
        assert store.content("b", 0) is None
        assert store.lines() == []
        with pytest.raises(InvariantError):
            store.commit(Batch(contents={("a", 0): None}, heads=[(1, OURS, 1, 7, None, CHAINED)]))
        assert store.content("a", 0) is not None, "the whole batch or nothing of it"

    def test_deleting_absent_state_is_harmless(self, store: Store) -> None:
        store.commit(Batch(state={(3, "run"): None}))
        assert store.lines() == []

    def test_lines_are_those_with_state_without_the_post(self, store: Store) -> None:
        store.commit(Batch(state={(9, "a"): b"", (2, "a"): b"", (2, "b"): b"", (0, "a"): b""}))
        assert store.lines() == [2, 9]
        store.commit(Batch(state={(9, "a"): None}))
        assert store.lines() == [2]

    def test_row_is_read_back_as_written_with_its_arrival(self, store: Store) -> None:
        first, second = record_row(1), record_row(2, head=None, precedence=3, standing=ABANDONED)
        store.commit(Batch(rows=[first, second]))
        assert store.row(1, OURS, 1, 7) == first._replace(arrival=1)
        assert store.row(1, OURS, 2, 7) == second._replace(arrival=2)
        assert store.row(1, OURS, 2, 8) is None
        assert store.row(1, OURS, 2, 7, 1) is None

    def test_largest_numbers_are_kept_exactly(self, store: Store) -> None:
        row = record_row(2**62 - 1, incarnation=2**24 - 1, wall_s=2**32 - 1)
        store.commit(Batch(rows=[row]))
        assert store.row(1, OURS, 2**62 - 1, 2**24 - 1) == row._replace(arrival=1)

    def test_arrival_rises_over_all_lines(self, store: Store) -> None:
        store.commit(Batch(rows=[record_row(5), record_row(4, line=2)]))
        store.commit(Batch(rows=[record_row(1, line=3)]))
        assert [row.arrival for row in store.arrivals(None, 0, 10)] == [1, 2, 3]

    @pytest.mark.parametrize("same_batch", [True, False])
    def test_duplicate_row_is_an_invariant_error_and_nothing_of_the_batch_stays(
        self, store: Store, same_batch: bool
    ) -> None:
        store.commit(Batch(rows=[record_row(1)]))
        twice = [record_row(2), record_row(2 if same_batch else 1)]
        with pytest.raises(InvariantError) as raised:
            store.commit(Batch(state={(1, "a"): b"x"}, rows=twice, audit=[act(1)]))
        assert raised.value.code == "store.duplicate_row"
        assert store.row(1, OURS, 2, 7) is None
        assert store.state(1) == {}
        assert list(store.audit()) == []
        store.commit(Batch(rows=[record_row(2)]))
        assert store.arrivals(None, 1, 10) == [record_row(2, arrival=2)]

    def test_same_number_may_differ_in_side_line_incarnation_or_variant(self, store: Store) -> None:
        rows = [
            record_row(1),
            record_row(1, side=THEIRS),
            record_row(1, line=2),
            record_row(1, incarnation=3),
            record_row(1, variant=1, standing=FORKED, record=b"another text"),
        ]
        store.commit(Batch(rows=rows))
        held = store.variants(1, OURS, 1)
        assert [(row.incarnation, row.variant) for row in held] == [(3, 0), (7, 0), (7, 1)]

    def test_head_of_an_existing_row_is_set(self, store: Store) -> None:
        store.commit(Batch(rows=[record_row(1, head=None), record_row(1, variant=1, head=None)]))
        assert store.head(1, OURS, 1) is None
        store.commit(Batch(heads=[(1, OURS, 1, 7, b"h" * 32, CHAINED)]))
        assert store.head(1, OURS, 1) == b"h" * 32
        forked = store.row(1, OURS, 1, 7, 1)
        assert forked is not None
        assert forked.head is None

    def test_head_of_a_row_of_the_same_batch_is_set(self, store: Store) -> None:
        batch = Batch(rows=[record_row(1)])
        batch.heads.append((1, OURS, 1, 7, None, ABANDONED))
        store.commit(batch)
        assert store.row(1, OURS, 1, 7) == record_row(1, head=None, standing=ABANDONED, arrival=1)

    def test_head_of_an_absent_row_is_an_invariant_error(self, store: Store) -> None:
        batch = Batch(rows=[record_row(1)])
        batch.heads += [(1, OURS, 1, 7, None, CHAINED), (1, OURS, 2, 7, None, CHAINED)]
        with pytest.raises(InvariantError) as raised:
            store.commit(batch)
        assert raised.value.code == "store.no_row"
        assert store.row(1, OURS, 1, 7) is None

    def test_abandoned_row_gives_no_head(self, store: Store) -> None:
        store.commit(Batch(rows=[record_row(1, standing=ABANDONED), record_row(1, incarnation=8)]))
        assert store.head(1, OURS, 1) == record_row(1).head
        store.commit(Batch(heads=[(1, OURS, 1, 8, None, ABANDONED)]))
        assert store.head(1, OURS, 1) is None

    def test_chain_is_in_number_order_without_forks_and_abandoned(self, store: Store) -> None:
        rows = [
            record_row(3, head=None),
            record_row(1),
            record_row(2),
            record_row(2, variant=1, standing=FORKED),
            record_row(2, incarnation=3, standing=ABANDONED),
            record_row(4, side=THEIRS),
            record_row(5, incarnation=1),
        ]
        store.commit(Batch(rows=rows))
        assert [row.number for row in store.chain(1, OURS, 1, 10)] == [1, 2, 3, 5]
        assert [row.number for row in store.chain(1, OURS, 2, 2)] == [2, 3]
        assert store.chain(1, OURS, 6, 10) == []
        assert store.chain(1, OURS, 1, 0) == []

    def test_arrivals_are_filtered_and_paged(self, store: Store) -> None:
        rows = [
            record_row(n, side=n % 2, kind=TEXT if n % 3 else RECEIPT, line=1 + (n == 8))
            for n in range(1, 13)
        ]
        store.commit(Batch(rows=rows))

        def numbers(*where: object, **which: object) -> list[int]:
            return [row.number for row in store.arrivals(*where, **which)]  # type: ignore[arg-type]

        assert numbers(None, 0, 3) == [1, 2, 3]
        assert numbers(None, 7, 3) == [8, 9, 10]
        assert numbers(1, 7, 3) == [9, 10, 11]
        assert numbers(1, 0, 3, newest=True) == [10, 11, 12]
        assert numbers(1, 11, 3, newest=True) == [12]
        assert numbers(1, 0, 99, side=THEIRS) == [1, 3, 5, 7, 9, 11]
        assert numbers(1, 0, 99, side=THEIRS, kinds=[TEXT]) == [1, 5, 7, 11]
        assert numbers(None, 0, 2, kinds=[RECEIPT, 99], newest=True) == [9, 12]
        assert numbers(1, 0, 99, kinds=[]) == []
        assert numbers(4, 0, 99) == []

    def test_arrivals_off_the_chain_are_found_alone(self, store: Store) -> None:
        rows = [record_row(n) for n in range(1, 6)]
        rows.append(record_row(2, standing=FORKED, head=None, variant=1, record=b"another"))
        store.commit(Batch(rows=rows))
        store.commit(Batch(heads=[(1, OURS, 4, 7, None, ABANDONED)]))

        def off(after: int = 0, limit: int = 99) -> list[tuple[int, int]]:
            found = store.arrivals(1, after, limit, aside=True)
            return [(row.number, row.variant) for row in found]

        assert off() == [(4, 0), (2, 1)]
        assert (off(4), off(limit=1)) == ([(2, 1)], [(4, 0)])
        store.commit(Batch(heads=[(1, OURS, 4, 7, bytes(32), CHAINED)]))
        assert off() == [(2, 1)]

    def test_marks_come_back_in_order_and_repeats_are_ignored(self, store: Store) -> None:
        first = Mark(1, OURS, 1, 7, 17, 50, None, 3, 9)
        second = Mark(1, OURS, 1, 7, 16, 40, 99, 4, 9)
        store.commit(Batch(marks=[first, second, first._replace(wall_s=60)]))
        third = second._replace(by_number=5)
        store.commit(Batch(marks=[second._replace(due_s=None), third, first._replace(number=2)]))
        assert store.marks(1, OURS, 1, 7) == [first, second, third]
        assert store.marks(1, OURS, 2, 7) == [first._replace(number=2)]

    def test_what_bears_none_of_some_marks_is_found_in_order_of_arrival(self, store: Store) -> None:
        texts = [record_row(n, side=THEIRS) for n in range(1, 6)]
        aside = record_row(6, side=THEIRS, standing=ABANDONED)
        others = [record_row(7), record_row(8, side=THEIRS, kind=RECEIPT)]
        marks = [Mark(1, THEIRS, 1, 7, 17, 50), Mark(1, THEIRS, 2, 7, 16, 50)]
        marks += [Mark(1, THEIRS, 3, 8, 17, 50), Mark(2, THEIRS, 4, 7, 17, 50)]
        store.commit(Batch(rows=[*texts, aside, *others], marks=marks))

        def waiting(after: int = 0, limit: int = 10) -> list[int]:
            rows = store.unmarked(after, limit, side=THEIRS, kind=TEXT, marks=[17, 18])
            return [row.number for row in rows]

        assert waiting() == [2, 3, 4, 5]
        assert waiting(limit=2) == [2, 3]
        second = store.unmarked(0, 1, side=THEIRS, kind=TEXT, marks=[17])[0]
        assert waiting(second.arrival) == [3, 4, 5]

    def test_bytes_used_counts_records_and_overhead_of_line_and_side(self, store: Store) -> None:
        store.commit(Batch(rows=[record_row(1, record=b"1234"), record_row(2, record=b"")]))
        store.commit(Batch(rows=[record_row(3, record=b"12"), record_row(1, side=THEIRS)]))
        assert store.bytes_used(1, OURS) == 6 + 3 * OVERHEAD_BYTES
        assert store.bytes_used(1, THEIRS) == len(b"record 1") + OVERHEAD_BYTES
        assert store.bytes_used(2, OURS) == 0

    def test_audit_log_is_chained_from_the_first_entry(self, store: Store) -> None:
        entries = [act(1), Audit(-5, "", "père", "{}"), act(3)]
        store.commit(Batch(audit=entries[:2]))
        store.commit(Batch(audit=entries[2:]))
        read = list(store.audit())
        assert [(kept.position, kept.entry) for kept in read] == list(enumerate(entries, 1))
        hash_1 = link(START, entries[0])
        assert [kept.hash for kept in read[:2]] == [hash_1, link(hash_1, entries[1])]
        assert list(store.audit(after=2)) == read[2:]
        assert verify(store) is None

    def test_closed_store_refuses(self, store: Store) -> None:
        store.close()
        store.close()
        for use in (
            lambda: store.commit(Batch(audit=[act(1)])),
            lambda: store.state(1),
            lambda: list(store.audit()),
        ):
            with pytest.raises(OpenlineError) as raised:
                use()
            assert isinstance(raised.value, StoreError)
            assert raised.value.code == "store.closed"
