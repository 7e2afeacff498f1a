"""The simulator's store keeps the contract and gives the world its faults."""

from __future__ import annotations

import pytest

from openline.errors import StoreError
from openline.sim.disk import MemoryStore
from openline.store.audit import verify
from openline.store.base import OURS, Batch

from .contract import StoreContract, act, record_row


class CrashError(Exception):
    """The world ends the post."""


@pytest.fixture
def store() -> MemoryStore:
    """An empty store."""
    return MemoryStore()


class TestMemoryStore(StoreContract):
    """The contract on the store in memory."""


@pytest.mark.parametrize(("instant", "kept"), [("before", False), ("after", True)])
def test_crash_around_a_commit_keeps_all_or_nothing(
    store: MemoryStore, instant: str, kept: bool
) -> None:
    def fault(reached: str) -> None:
        if reached == instant:
            raise CrashError

    store.fault = fault
    with pytest.raises(CrashError):
        store.commit(Batch(state={(1, "a"): b"x"}, rows=[record_row(1)], audit=[act(1)]))
    following = store.reopen()
    assert (following.row(1, OURS, 1, 7) is not None) is kept
    assert (following.lines() == [1]) is kept
    assert len(list(following.audit())) == int(kept)


def test_dead_process_cannot_write(store: MemoryStore) -> None:
    following = store.reopen()
    with pytest.raises(StoreError):
        store.commit(Batch(audit=[act(1)]))
    following.commit(Batch(audit=[act(1)]))


def test_full_disk_takes_nothing_and_works_again_when_there_is_room(store: MemoryStore) -> None:
    store.full = True
    with pytest.raises(StoreError) as raised:
        store.commit(Batch(rows=[record_row(1)]))
    assert raised.value.code == "store.disk_full"
    assert store.free_bytes() == 0
    store.full = False
    store.commit(Batch(rows=[record_row(1)]))
    assert store.arrivals(None, 0, 10) == [record_row(1, arrival=1)]


def test_restored_snapshot_puts_back_old_state_more_than_once(store: MemoryStore) -> None:
    store.commit(Batch(state={(1, "a"): b"old"}, rows=[record_row(1)], audit=[act(1)]))
    snapshot = store.snapshot()
    for _again in range(2):
        store.commit(Batch(state={(1, "a"): b"new"}, rows=[record_row(2)], audit=[act(2)]))
        assert len(list(store.audit())) == 2
        store.restore(snapshot)
        assert store.state(1) == {"a": b"old"}
        assert store.row(1, OURS, 2, 7) is None
        assert len(list(store.audit())) == 1
        assert verify(store) is None
