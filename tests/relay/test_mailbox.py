"""The mailboxes on disk: tokens, quotas, ages, a disk that fails, one commit for many."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from openline.clock import Now
from openline.errors import OpenlineError, RemoteError, StoreError
from openline.relay.mailbox import (
    ENTRIES_MAX,
    FILE_NAME,
    Bounds,
    Entry,
    MailboxStore,
    Quota,
    add_tokens,
)

DAY_MS = 86_400_000
NAME = hashlib.sha256(b"a name").digest()
OTHER = hashlib.sha256(b"another name").digest()
TOKENS = [hashlib.sha256(b"token %d" % n).digest() for n in range(4)]
BOUNDS = Bounds(reserve_bytes=0)


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.mono_ms = 5_000_000

    def __call__(self) -> Now:
        """The instant shown; wall time jumps about and decides nothing."""
        return Now(self.mono_ms, self.mono_ms % 7919)


class Keeper:
    """A store in a directory that can be closed and opened again."""

    def __init__(self, directory: Path, bounds: Bounds = BOUNDS) -> None:
        self.directory = directory
        self.bounds = bounds
        self.clock = Clock()
        self.store = MailboxStore(directory, bounds, self.clock)

    def reopen(self) -> None:
        """Close and open, as a restart does; the monotonic clock starts anew."""
        self.store.close()
        self.clock.mono_ms = 17
        self.store = MailboxStore(self.directory, self.bounds, self.clock)

    def run(self, *calls: Awaitable[object]) -> list[object]:
        """The results of calls made at the same time; refusals are results here."""

        async def together() -> list[object]:
            return list(await asyncio.gather(*calls, return_exceptions=True))

        return asyncio.run(together())

    def one(self, call: Awaitable[object]) -> object:
        """The result of one call, or the code of its refusal."""
        (result,) = self.run(call)
        if isinstance(result, OpenlineError):
            return result.code
        assert not isinstance(result, BaseException), result
        return result

    def taken(self, name: bytes = NAME, after: int = 0) -> list[bytes]:
        """The bodies a taker would get."""
        entries = self.one(self.store.take(name, after))
        assert isinstance(entries, list)
        return [entry.body for entry in entries]


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Keeper]:
    """An open store with one open mailbox, NAME, and three tokens left."""
    add_tokens(tmp_path, TOKENS, Quota())
    made = Keeper(tmp_path)
    assert made.one(made.store.open(NAME, TOKENS[0])) is True
    yield made
    made.store.close()


def test_what_was_deposited_is_taken_in_order_until_acknowledged(keeper: Keeper) -> None:
    """Ids rise from 1; taking deletes nothing; acknowledging deletes just that."""
    for body in (b"one", b"two", b"three"):
        assert keeper.one(keeper.store.deposit(NAME, body)) is None
    expected = [Entry(1, b"one"), Entry(2, b"two"), Entry(3, b"three")]
    assert keeper.one(keeper.store.take(NAME)) == expected
    assert keeper.one(keeper.store.take(NAME)) == expected
    assert keeper.one(keeper.store.take(NAME, 2)) == expected[2:]
    keeper.one(keeper.store.acknowledge(NAME, [2, 99]))
    assert keeper.taken() == [b"one", b"three"]


def test_ids_are_not_used_again_after_all_is_acknowledged(keeper: Keeper) -> None:
    """A late acknowledgement hits nothing new, also after a restart."""
    keeper.one(keeper.store.deposit(NAME, b"old"))
    keeper.one(keeper.store.acknowledge(NAME, [1]))
    keeper.reopen()
    keeper.one(keeper.store.deposit(NAME, b"new"))
    keeper.one(keeper.store.acknowledge(NAME, [1]))
    assert keeper.one(keeper.store.take(NAME)) == [Entry(2, b"new")]


def test_everything_survives_a_restart(keeper: Keeper) -> None:
    """Mailboxes, datagrams and unspent tokens."""
    keeper.one(keeper.store.deposit(NAME, b"kept"))
    keeper.reopen()
    assert keeper.taken() == [b"kept"]
    assert keeper.one(keeper.store.open(OTHER, TOKENS[1])) is True


def test_a_token_opens_one_mailbox_once(keeper: Keeper) -> None:
    """Spent or unknown is refused alike; an open mailbox needs none and spends none."""
    assert keeper.one(keeper.store.open(OTHER, TOKENS[0])) == "relay.token"
    assert keeper.one(keeper.store.open(OTHER, b"?" * 32)) == "relay.token"
    assert keeper.one(keeper.store.open(OTHER, None)) == "relay.token"
    assert keeper.one(keeper.store.open(NAME, TOKENS[1])) is False
    assert keeper.one(keeper.store.open(OTHER, TOKENS[1])) is True


def test_of_two_who_spend_one_token_at_once_one_is_refused(keeper: Keeper) -> None:
    """In whatever order they come."""
    names = [hashlib.sha256(b"%d" % n).digest() for n in range(20)]
    results = keeper.run(*[keeper.store.open(name, TOKENS[1]) for name in names])
    assert results.count(True) == 1
    assert sum(isinstance(result, RemoteError) for result in results) == 19


def test_a_mailbox_holds_no_more_than_its_quota(tmp_path: Path) -> None:
    """By number and by bytes; acknowledging makes room."""
    add_tokens(tmp_path, TOKENS[:1], Quota(datagrams_max=3, bytes_max=100))
    keeper = Keeper(tmp_path)
    keeper.one(keeper.store.open(NAME, TOKENS[0]))
    assert keeper.one(keeper.store.deposit(NAME, b"x" * 90)) is None
    assert keeper.one(keeper.store.deposit(NAME, b"x" * 11)) == "relay.quota"
    assert keeper.one(keeper.store.deposit(NAME, b"x" * 9)) is None
    assert keeper.one(keeper.store.deposit(NAME, b"x")) is None
    assert keeper.one(keeper.store.deposit(NAME, b"x")) == "relay.quota"
    keeper.one(keeper.store.acknowledge(NAME, [1]))
    assert keeper.one(keeper.store.deposit(NAME, b"x" * 90)) is None
    keeper.store.close()


def test_a_mailbox_that_is_not_open_takes_nothing(keeper: Keeper) -> None:
    """Whatever is asked of it."""
    assert keeper.one(keeper.store.deposit(OTHER, b"x")) == "relay.not_open"
    assert keeper.one(keeper.store.take(OTHER)) == "relay.not_open"
    assert keeper.one(keeper.store.acknowledge(OTHER, [1])) == "relay.not_open"


def test_one_take_is_bounded(keeper: Keeper) -> None:
    """In number and in bytes; the rest comes after."""
    keeper.run(*[keeper.store.deposit(NAME, b"%d" % n) for n in range(100)])
    assert len(keeper.taken()) == ENTRIES_MAX
    assert len(keeper.taken(after=ENTRIES_MAX)) == 100 - ENTRIES_MAX
    keeper.one(keeper.store.open(OTHER, TOKENS[1]))
    keeper.run(*[keeper.store.deposit(OTHER, bytes(4096)) for _ in range(30)])
    assert len(keeper.taken(OTHER)) == 16


def test_two_hundred_deposits_at_once_share_commits(keeper: Keeper) -> None:
    """Each is on disk before it is answered, and the disk is synced far less than 200 times."""
    before = keeper.store.commits
    results = keeper.run(*[keeper.store.deposit(NAME, b"%d" % n) for n in range(200)])
    assert results == [None] * 200
    assert keeper.store.commits - before < 50
    assert count_datagrams(keeper.directory) == 200


def test_a_refusal_leaves_the_others_of_its_group(keeper: Keeper) -> None:
    """Deposits into a closed mailbox share a commit with good ones."""
    calls = [keeper.store.deposit(NAME if n % 2 else OTHER, b"%d" % n) for n in range(40)]
    results = keeper.run(*calls)
    assert results.count(None) == 20
    assert len(keeper.taken()) == 20


def test_datagrams_expire_by_the_time_the_relay_ran(keeper: Keeper) -> None:
    """Thirty days of running, over restarts; wall time has no say."""
    keeper.one(keeper.store.deposit(NAME, b"old"))
    keeper.clock.mono_ms += 20 * DAY_MS
    keeper.one(keeper.store.deposit(NAME, b"young"))
    keeper.reopen()
    assert keeper.one(keeper.store.expire()) == 0
    keeper.clock.mono_ms += 11 * DAY_MS
    assert keeper.one(keeper.store.expire()) == 1
    assert keeper.taken() == [b"young"]


def test_expiry_of_many_gives_way_between_commits(tmp_path: Path) -> None:
    """More than one commit's worth goes, and the mailbox counts right after."""
    add_tokens(tmp_path, TOKENS[:1], Quota(datagrams_max=2500))
    keeper = Keeper(tmp_path)
    keeper.one(keeper.store.open(NAME, TOKENS[0]))
    keeper.run(*[keeper.store.deposit(NAME, b"x") for _ in range(2500)])
    assert keeper.one(keeper.store.deposit(NAME, b"x")) == "relay.quota"
    keeper.clock.mono_ms += 31 * DAY_MS
    assert keeper.one(keeper.store.expire()) == 2500
    assert keeper.one(keeper.store.deposit(NAME, b"x")) is None
    keeper.store.close()


def test_an_empty_mailbox_closes_only_when_nobody_uses_it(keeper: Keeper) -> None:
    """A taker that looks keeps it open; ninety days without are its end."""
    for _ in range(5):
        keeper.clock.mono_ms += 60 * DAY_MS
        keeper.one(keeper.store.expire())
        assert keeper.taken() == []
    keeper.clock.mono_ms += 91 * DAY_MS
    keeper.one(keeper.store.expire())
    assert keeper.one(keeper.store.take(NAME)) == "relay.not_open"


def test_a_database_that_may_not_grow_refuses_deposits_and_lets_the_rest_pass(
    tmp_path: Path,
) -> None:
    """relay.full; taking and acknowledging go on, and make room."""
    add_tokens(tmp_path, TOKENS[:1], Quota())
    keeper = Keeper(tmp_path, BOUNDS._replace(disk_bytes_max=256 * 1024))
    keeper.one(keeper.store.open(NAME, TOKENS[0]))
    results = [keeper.one(keeper.store.deposit(NAME, bytes(4000))) for _ in range(80)]
    assert "relay.full" in results
    accepted = results.index("relay.full")
    assert set(results[accepted:]) == {"relay.full"}
    entries = keeper.one(keeper.store.take(NAME))
    assert isinstance(entries, list)
    assert keeper.one(keeper.store.acknowledge(NAME, [entry.id for entry in entries])) is None
    assert keeper.one(keeper.store.deposit(NAME, bytes(4000))) is None
    keeper.reopen()
    assert len(keeper.taken(after=entries[-1].id)) > 0
    keeper.store.close()


def test_deposits_stop_before_the_disk_is_full(tmp_path: Path) -> None:
    """What is reserved stays free for acknowledgements."""
    add_tokens(tmp_path, TOKENS, Quota())
    keeper = Keeper(tmp_path)
    keeper.one(keeper.store.open(NAME, TOKENS[0]))
    keeper.one(keeper.store.deposit(NAME, b"in"))
    keeper.store.close()
    keeper = Keeper(tmp_path, Bounds(reserve_bytes=1 << 60))
    assert keeper.one(keeper.store.deposit(NAME, b"x")) == "relay.full"
    assert keeper.one(keeper.store.open(OTHER, TOKENS[1])) == "relay.full"
    assert keeper.taken() == [b"in"]
    assert keeper.one(keeper.store.acknowledge(NAME, [1])) is None
    keeper.store.close()


def test_an_operation_that_breaks_does_not_stop_the_thread(keeper: Keeper) -> None:
    """A number SQLite cannot hold is our fault; it is told, and the next is served."""
    assert keeper.one(keeper.store.acknowledge(NAME, [1 << 70])) == "relay.invariant"
    assert keeper.one(keeper.store.deposit(NAME, b"x")) is None


def test_a_cancelled_call_stops_nothing(keeper: Keeper) -> None:
    """Neither the thread nor the calls beside it."""

    async def scene() -> None:
        calls = [asyncio.create_task(keeper.store.deposit(NAME, b"%d" % n)) for n in range(50)]
        await asyncio.sleep(0)
        for call in calls[::2]:
            call.cancel()
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert results[1::2] == [None] * 25

    asyncio.run(scene())
    assert len(keeper.taken()) >= 25


def refusal(action: Callable[[], object]) -> StoreError:
    """The StoreError an action ends in."""
    with pytest.raises(StoreError) as refused:
        action()
    return refused.value


def test_a_database_of_a_newer_relay_is_refused(tmp_path: Path) -> None:
    """With both versions in the refusal."""
    Keeper(tmp_path).store.close()
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.execute("PRAGMA user_version = 2")
    connection.close()
    error = refusal(lambda: MailboxStore(tmp_path))
    assert error.code == "relay.newer_schema"
    assert error.details == {"found": 2, "known": 1}
    assert refusal(lambda: add_tokens(tmp_path, TOKENS, Quota())).code == "relay.newer_schema"


def test_a_file_that_is_not_a_relays_is_refused(tmp_path: Path) -> None:
    """Another's database, and no database at all; neither is touched."""
    (tmp_path / FILE_NAME).write_bytes(b"not a database" * 400)
    assert refusal(lambda: MailboxStore(tmp_path)).code == "relay.not_a_relay"
    (tmp_path / FILE_NAME).unlink()
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.execute("CREATE TABLE accounts (name TEXT)")
    connection.close()
    before = (tmp_path / FILE_NAME).read_bytes()
    assert refusal(lambda: MailboxStore(tmp_path)).code == "relay.not_a_relay"
    assert (tmp_path / FILE_NAME).read_bytes() == before


def test_a_second_relay_on_the_same_directory_is_refused(keeper: Keeper) -> None:
    """While tokens may be issued beside the first."""
    assert refusal(lambda: MailboxStore(keeper.directory)).code == "relay.in_use"
    late = [hashlib.sha256(b"late").digest()]
    add_tokens(keeper.directory, late, Quota())
    assert keeper.one(keeper.store.open(OTHER, late[0])) is True


def test_a_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """With the number of the reason."""
    (tmp_path / "file").write_text("in the way")
    assert refusal(lambda: MailboxStore(tmp_path / "file" / "x")).code == "relay.directory"


def count_datagrams(directory: Path) -> int:
    """Datagrams committed, as another process sees them."""
    connection = sqlite3.connect(directory / FILE_NAME)
    try:
        return int(connection.execute("SELECT count(*) FROM datagram").fetchone()[0])
    finally:
        connection.close()
