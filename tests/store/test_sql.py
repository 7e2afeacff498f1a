"""The store on SQLCipher keeps the contract, stays encrypted, and says clearly what hinders it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool
from sqlcipher3 import dbapi2

from openline.clock import entropy
from openline.errors import StoreError
from openline.store import migrations, sql, tables
from openline.store.audit import verify
from openline.store.ballast import BALLAST_FILE
from openline.store.base import OURS, OVERHEAD_BYTES, THEIRS, Batch, Mark, Store
from openline.store.checkpoint import unmoved_pages
from openline.store.cipher import connect
from openline.store.opening import DATABASE, create, open_store
from openline.store.sql import SqlStore

from .contract import StoreContract, act, record_row
from .workload import CHEAP, SECRET, SMALL_BALLAST, batch, batches_held


def make(directory: Path, ballast_bytes: int = SMALL_BALLAST) -> SqlStore:
    """A new post, cheaply wrapped."""
    return create(directory, SECRET, entropy, cost=CHEAP, ballast_bytes=ballast_bytes)


def reopen(directory: Path) -> SqlStore:
    """The post again."""
    return open_store(directory, SECRET, ballast_bytes=SMALL_BALLAST)


def connect_new(path: Path) -> dbapi2.Connection:
    """A connection to a new database without tables."""
    path.touch()
    return connect(path, bytes(32))


@pytest.fixture
def post(tmp_path: Path) -> Path:
    """Where the post is."""
    return tmp_path / "post"


@pytest.fixture
def store(post: Path) -> Iterator[SqlStore]:
    """A new post's store."""
    made = make(post)
    yield made
    made.close()


class TestSqlStore(StoreContract):
    """The contract on SQLCipher."""

    @pytest.fixture
    def store(self, post: Path) -> Iterator[Store]:
        made = make(post)
        yield made
        made.close()


def test_everything_is_there_again_after_closing_and_opening(store: SqlStore, post: Path) -> None:
    for k in range(1, 8):
        store.commit(batch(k))
    store.close()
    assert not (post / f"{DATABASE}-wal").exists()
    again = reopen(post)
    assert batches_held(again) == 7
    again.commit(batch(8))
    assert batches_held(again) == 8
    again.close()


def test_no_file_shows_a_word_of_the_record(store: SqlStore, post: Path) -> None:
    store.commit(Batch(state={(1, "run"): b"SECRETSTATE"}, rows=[record_row(1, record=b"GEHEIM")]))
    in_the_log = b"".join(path.read_bytes() for path in post.iterdir())
    store.close()
    for content in (in_the_log, (post / DATABASE).read_bytes()):
        assert len(content) > 8192
        for word in (b"SECRETSTATE", b"GEHEIM", b"duty officer", b"SQLite format", b"record_key"):
            assert word not in content


def test_settings_are_those_the_design_names(store: SqlStore) -> None:
    settings = {
        "synchronous": 2,
        "journal_mode": "wal",
        "locking_mode": "exclusive",
        "temp_store": 2,
        "secure_delete": 1,
        "cipher_page_size": "4096",
        "wal_autocheckpoint": 0,
        "trusted_schema": 0,
    }
    for name, value in settings.items():
        assert store._connection.execute(f"PRAGMA {name}").fetchone() == (value,), name
    cipher = [text for (text,) in store._connection.execute("PRAGMA cipher_settings")]
    assert "PRAGMA cipher_use_hmac = 1;" in cipher
    assert "PRAGMA cipher_hmac_algorithm = HMAC_SHA512;" in cipher


def test_log_is_moved_when_it_is_long(store: SqlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store._log_pages_next = 30
    monkeypatch.setattr(sql, "LOG_PAGES_MAX", 30)
    unmoved = []
    for k in range(1, 21):
        store.commit(batch(k))
        unmoved.append(unmoved_pages(store._connection))
    assert max(unmoved) < 30
    assert unmoved.count(0) >= 3
    assert store._database.with_name(f"{DATABASE}-wal").stat().st_size < 100 * 4096
    assert batches_held(store) == 20


def test_migrations_make_the_tables_that_the_code_names(tmp_path: Path) -> None:
    migrated = connect_new(tmp_path / "migrated.db")
    migrations.bring_up(migrated)
    stated = connect_new(tmp_path / "stated.db")
    tables.METADATA.create_all(
        create_engine("sqlite://", module=dbapi2, creator=lambda: stated, poolclass=StaticPool)
    )

    def shape(connection: dbapi2.Connection) -> dict[str, object]:
        names = "SELECT name FROM sqlite_master WHERE name NOT IN ('alembic_version') ORDER BY name"
        return {
            name: (
                connection.execute(f"PRAGMA table_info('{name}')").fetchall(),
                connection.execute(f"PRAGMA index_info('{name}')").fetchall(),
                sorted(row[1:] for row in connection.execute(f"PRAGMA index_list('{name}')")),
            )
            for (name,) in connection.execute(names).fetchall()
            if not name.startswith("sqlite_autoindex_alembic")
        }

    assert shape(migrated) == shape(stated)
    assert migrations.revision(migrated) == tables.SCHEMA
    migrated.close()
    stated.close()


def test_totals_of_a_former_version_are_brought_to_count_the_overhead(
    store: SqlStore, post: Path
) -> None:
    rows = [record_row(1), record_row(2), record_row(1, line=2), record_row(1, side=THEIRS)]
    store.commit(Batch(rows=rows))
    places = [(1, OURS), (2, OURS), (1, THEIRS)]
    used = [store.bytes_used(*place) for place in places]
    store._checkpoint()
    store.commit(Batch(rows=[record_row(3)]))  # not in the totals yet
    with closing(store._connection.cursor()) as cursor:
        for line, side in places:
            told = sum(len(row.record) for row in rows if row[:2] == (line, side))
            cursor.execute("UPDATE total SET bytes=? WHERE line=? AND side=?", (told, line, side))
        cursor.execute("CREATE TABLE erasing (line INTEGER NOT NULL PRIMARY KEY)")
        cursor.execute("UPDATE alembic_version SET version_num = '0003'")
    store._refusal = StoreError("store.closed")  # killed: closing would write the totals anew
    store.close()
    again = reopen(post)
    assert [again.bytes_used(*place) for place in places] == [
        used[0] + len(record_row(3).record) + OVERHEAD_BYTES,
        *used[1:],
    ]
    again.close()


def test_a_record_takes_no_more_of_the_disk_than_it_counts(store: SqlStore, post: Path) -> None:
    before = (post / DATABASE).stat().st_size
    for first in range(0, 4000, 1000):
        numbers = range(first, first + 1000)
        rows = [record_row(number, side=THEIRS, record=bytes(16)) for number in numbers]
        marks = [Mark(1, OURS, number, 7, 16, 1, None, number, 7) for number in numbers]
        store.commit(Batch(rows=rows, marks=marks))
    store.close()
    took = (post / DATABASE).stat().st_size - before
    assert 16 * 4000 < took < (16 + OVERHEAD_BYTES) * 4000


def test_queries_use_their_indexes(store: SqlStore) -> None:
    for statement, index in (
        (tables.ROW, "record_key"),
        (tables.HEAD, "record_key"),
        (tables.CHAIN, "record_key"),
        (tables.MARKS, "mark_key"),
        (tables.UNCOUNTED, "PRIMARY KEY"),
        (tables.arrivals(line=True, side=True, kinds=2, newest=True), "record_arrival"),
        (tables.arrivals(line=True, side=False, kinds=None, newest=False), "record_arrival"),
        (
            tables.arrivals(line=True, side=False, kinds=None, newest=False, aside=True),
            "record_aside",
        ),
        (tables.arrivals(line=False, side=False, kinds=None, newest=True), "PRIMARY KEY"),
    ):
        places = (1,) * statement.sql.count("?")
        plan = store._connection.execute(f"EXPLAIN QUERY PLAN {statement.sql}", places).fetchall()
        told = " / ".join(step[3] for step in plan)
        assert index in told
        sorted_in_memory = "TEMP B-TREE" in told
        assert sorted_in_memory is (statement in (tables.HEAD, tables.MARKS)), told


# What hinders


def refusal(code: str) -> pytest.RaisesExc[StoreError]:
    """The store refuses with this code."""
    return pytest.raises(StoreError, check=lambda error: error.code == code)


def test_second_opening_of_the_same_post_is_refused(store: SqlStore, post: Path) -> None:
    with refusal("store.busy"):
        reopen(post)
    store.commit(batch(1))


def test_newer_schema_is_refused_and_untouched(store: SqlStore, post: Path) -> None:
    store._connection.execute("UPDATE alembic_version SET version_num = '9999'")
    store.close()
    before = (post / DATABASE).read_bytes()
    with refusal("store.newer_schema"):
        reopen(post)
    assert (post / DATABASE).read_bytes() == before


def test_interrupted_migration_leaves_the_old_schema(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = connect_new(tmp_path / "a.db")
    monkeypatch.setattr(migrations, "SCHEMA", "no such revision")
    with pytest.raises(Exception, match="no such revision"):
        migrations.bring_up(connection)
    assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    connection.close()


def test_pages_limit_gives_disk_full_and_nothing_of_the_batch(store: SqlStore) -> None:
    for k in (1, 2):
        store.commit(batch(k))
    (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
    store._connection.execute(f"PRAGMA max_page_count = {pages + 3}").fetchall()
    with refusal("store.disk_full"):
        store.commit(batch(3))
    assert batches_held(store) == 2
    store._connection.execute("PRAGMA max_page_count = 1000000").fetchall()
    store.commit(batch(3))
    assert batches_held(store) == 3


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a small file system needs root and mount(8)")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: Path) -> Path:
    """A file that takes all that is left."""
    rest = disk / "rest"
    with rest.open("wb", buffering=0) as file:
        for block in (1 << 16, 4096):
            try:
                while file.write(bytes(block)):
                    pass
            except OSError:
                continue
    return rest


def test_full_disk_takes_nothing_and_the_reserve_passes_what_is_urgent(small_disk: Path) -> None:
    store = make(small_disk / "post", ballast_bytes=2 << 20)
    store.commit(batch(1))
    rest = fill(small_disk)
    k = 2
    with refusal("store.disk_full"):
        for k in range(2, 1000):
            store.commit(batch(k))
    assert batches_held(store) == k - 1
    assert store.full

    urgent = batch(k)
    urgent.urgent = True
    store.commit(urgent)
    assert (small_disk / "post" / BALLAST_FILE).stat().st_size == 0
    with refusal("store.disk_full"):
        store.commit(batch(k + 1))
    assert batches_held(store) == k
    assert store.full

    rest.unlink()
    assert not store.full
    store.commit(batch(k + 1))
    assert (small_disk / "post" / BALLAST_FILE).stat().st_size == 2 << 20
    store.close()
    again = open_store(small_disk / "post", SECRET, ballast_bytes=2 << 20)
    assert batches_held(again) == k + 1
    again.close()


def test_post_killed_on_a_full_disk_opens_again(small_disk: Path) -> None:
    store = make(small_disk / "post", ballast_bytes=2 << 20)
    fill(small_disk)
    k = 1
    with refusal("store.disk_full"):
        for k in range(1, 1000):
            store.commit(batch(k))
    copy = small_disk.parent / "copy"
    subprocess.run(["cp", "-r", str(small_disk / "post"), str(copy)], check=True)
    again = reopen(copy)
    assert batches_held(again) == k - 1
    again.close()
    store.close()


def test_failing_device_stops_the_store_until_it_is_opened_anew(
    store: SqlStore, post: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.commit(batch(1))

    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(store, "_transact", fail)
        with refusal("store.io_failed"):
            store.commit(batch(2))
    with refusal("store.io_failed"):
        store.commit(batch(2))
    with refusal("store.io_failed"):
        store.lines()
    store.close()
    again = reopen(post)
    assert batches_held(again) == 1
    again.close()


def test_flipped_byte_in_a_page_is_told_as_damage(store: SqlStore, post: Path) -> None:
    for k in range(1, 30):
        store.commit(batch(k))
    store.close()
    content = bytearray((post / DATABASE).read_bytes())
    for page in range(1, len(content) // 4096):
        content[page * 4096 + 1000] ^= 1
    (post / DATABASE).write_bytes(content)
    with refusal("store.damaged"):
        batches_held(reopen(post))


def test_blank_last_page_of_a_long_value_is_told_as_damage(store: SqlStore, post: Path) -> None:
    long = bytes(range(256)) * 40
    store.commit(Batch(state={(1, "run"): long}, rows=[record_row(1, record=long)]))
    store.close()
    content = (post / DATABASE).read_bytes()
    told = []
    for page in range(1, len(content) // 4096):
        blanked = content[: page * 4096] + bytes(4096) + content[(page + 1) * 4096 :]
        (post / DATABASE).write_bytes(blanked)
        try:
            with closing(reopen(post)) as again:
                assert again.state(1) == {"run": long}
                assert again.arrivals(None, 0, 9) == [record_row(1, record=long, arrival=1)]
        except StoreError as error:
            told.append(error.code)
    assert len(told) > 6
    assert set(told) == {"store.damaged"}


def test_changed_audit_log_is_found_at_the_place(store: SqlStore) -> None:
    store.commit(Batch(audit=[act(n) for n in range(1, 2500)]))
    assert verify(store) is None
    store._connection.execute("UPDATE audit SET details = '{}' WHERE position = 2000")
    assert verify(store) == 2000
    store._connection.execute("DELETE FROM audit WHERE position = 1200")
    assert verify(store) == 1200
    store._connection.execute("DELETE FROM audit WHERE position = 1")
    assert verify(store) == 1
