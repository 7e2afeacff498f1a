"""A post's directory is made whole or not at all, opened by its secrets alone, and erased."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from openline.clock import entropy
from openline.errors import StoreError
from openline.store import opening
from openline.store.ballast import BALLAST_FILE
from openline.store.checkpoint import CHECKPOINT_FILE
from openline.store.lock import LOCK_FILE, Lock
from openline.store.opening import (
    DATABASE,
    KEY_DOCUMENT,
    KeyFile,
    Passphrase,
    Secret,
    add_secret,
    create,
    make_key_file,
    methods,
    open_store,
    remove_secret,
    zeroise,
)
from openline.store.sql import SqlStore

from .workload import CHEAP, SECRET, SMALL_BALLAST, batch, batches_held


def make(directory: Path, secret: Secret = SECRET) -> SqlStore:
    """A new post."""
    return create(directory, secret, entropy, cost=CHEAP, ballast_bytes=SMALL_BALLAST)


def reopen(directory: Path, secret: Secret = SECRET) -> SqlStore:
    """The post again."""
    return open_store(directory, secret, ballast_bytes=SMALL_BALLAST)


def refusal(code: str) -> pytest.RaisesExc[StoreError]:
    """Refused with this code."""
    return pytest.raises(StoreError, check=lambda error: error.code == code)


@pytest.fixture
def post(tmp_path: Path) -> Path:
    """A post with three batches, closed."""
    with closing(make(tmp_path / "post")) as store:
        for k in (1, 2, 3):
            store.commit(batch(k))
    return tmp_path / "post"


def test_directory_holds_what_is_documented_for_its_owner_alone(post: Path) -> None:
    names = {path.name for path in post.iterdir()}
    assert names == {KEY_DOCUMENT, DATABASE, CHECKPOINT_FILE, LOCK_FILE, BALLAST_FILE}
    assert post.stat().st_mode & 0o777 == 0o700
    with closing(reopen(post)):
        for path in post.iterdir():
            assert path.stat().st_mode & 0o077 == 0, path.name


def test_nothing_is_made_over_what_is_there(post: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_bytes(b"x")
    for name in ("post", "file", "other"):
        with refusal("store.exists"):
            make(tmp_path / name)
    with closing(reopen(post)) as store:
        assert batches_held(store) == 3


def test_empty_directory_and_missing_parents_are_taken(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    make(tmp_path / "empty").close()
    make(tmp_path / "a" / "b" / "post").close()
    assert methods(tmp_path / "a" / "b" / "post") == ["passphrase"]


@pytest.mark.parametrize("step", ["files.create", "_make_database", "files.sync", "_open"])
def test_init_that_dies_at_any_step_leaves_nothing_or_a_whole_post(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The copy stands for what a crash leaves: nothing of the process tidies up."""
    left = tmp_path / "left"

    def die(*_: object) -> None:
        shutil.copytree(tmp_path / "here", left)
        raise KeyboardInterrupt

    (tmp_path / "here").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(f"{opening.__name__}.{step}", die)
        with pytest.raises(KeyboardInterrupt):
            make(tmp_path / "here" / "post")
    if (left / "post").exists():
        reopen(left / "post").close()
    else:
        with refusal("store.absent"):
            reopen(left / "post")
        make(left / "post").close()
    assert [path.name for path in left.iterdir()] == ["post"]
    assert [path.name for path in (tmp_path / "here").iterdir()] in ([], ["post"])


def test_second_process_making_the_same_post_is_refused(tmp_path: Path) -> None:
    making = tmp_path / ".post.making"
    making.mkdir()
    lock = Lock(making)
    with refusal("store.busy"):
        make(tmp_path / "post")
    lock.release()
    make(tmp_path / "post").close()


def test_post_is_in_use_from_its_making_on(tmp_path: Path) -> None:
    with closing(make(tmp_path / "post")), refusal("store.busy"):
        reopen(tmp_path / "post")
    reopen(tmp_path / "post").close()


def test_failed_opening_lets_the_lock_go(post: Path) -> None:
    with refusal("store.wrong_passphrase"):
        reopen(post, Passphrase("wrong"))
    reopen(post).close()


@pytest.mark.parametrize("place", ["none", "none/deeper", "file", "empty"])
def test_absent_post_is_told_and_nothing_is_made(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    with refusal("store.absent") as raised:
        reopen(tmp_path / place)
    assert raised.value.details["directory"] == str(tmp_path / place)
    assert not (tmp_path / "none").exists()
    assert list((tmp_path / "empty").iterdir()) == []


def test_missing_key_document_is_told(post: Path) -> None:
    (post / KEY_DOCUMENT).unlink()
    with refusal("store.key_missing"):
        reopen(post)


def test_damaged_key_document_is_told(post: Path) -> None:
    (post / KEY_DOCUMENT).write_bytes((post / KEY_DOCUMENT).read_bytes()[:-20])
    with refusal("store.key_damaged"):
        reopen(post)


def test_key_document_of_another_post_does_not_fit(post: Path, tmp_path: Path) -> None:
    make(tmp_path / "other").close()
    shutil.copy(tmp_path / "other" / KEY_DOCUMENT, post)
    with refusal("store.damaged"):
        reopen(post)


def test_secret_is_added_used_alone_and_the_other_removed(post: Path, tmp_path: Path) -> None:
    make_key_file(tmp_path / "key", entropy)
    key_file = KeyFile(tmp_path / "key")
    add_secret(post, SECRET, key_file, entropy)
    assert methods(post) == ["key file", "passphrase"]
    remove_secret(post, key_file, "passphrase")
    with refusal("store.no_such_method"):
        reopen(post)
    with closing(reopen(post, key_file)) as store:
        assert batches_held(store) == 3
        with refusal("store.busy"):
            add_secret(post, key_file, SECRET, entropy, cost=CHEAP)


def test_secrets_cannot_be_changed_without_one(post: Path) -> None:
    before = (post / KEY_DOCUMENT).read_bytes()
    with refusal("store.wrong_passphrase"):
        add_secret(post, Passphrase("wrong"), Passphrase("mine"), entropy, cost=CHEAP)
    with refusal("store.wrong_passphrase"):
        remove_secret(post, Passphrase("wrong"), "passphrase")
    assert (post / KEY_DOCUMENT).read_bytes() == before


# Without the right to write

NOBODY = 65534


@contextmanager
def unprivileged() -> Iterator[None]:
    """Without root's right to write everywhere."""
    was_root = os.geteuid() == 0
    if was_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if was_root:
            os.seteuid(0)


@pytest.fixture
def bare_post() -> Iterator[Path]:
    """A post of an unprivileged user, where that user can reach it."""
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        with closing(make(directory / "post")) as store:
            store.commit(batch(1))
        if os.geteuid() == 0:
            for path in (directory, *directory.rglob("*")):
                os.chown(path, NOBODY, NOBODY)
        yield directory / "post"
        directory.chmod(0o700)
        (directory / "post").chmod(0o700)


@pytest.mark.parametrize("locked_before", [True, False])
def test_read_only_directory_is_told(bare_post: Path, locked_before: bool) -> None:
    if not locked_before:
        (bare_post / LOCK_FILE).unlink()
    bare_post.chmod(0o500)
    with unprivileged(), refusal("store.read_only"):
        reopen(bare_post)
    bare_post.chmod(0o700)
    with unprivileged(), closing(reopen(bare_post)) as store:
        assert batches_held(store) == 1


@pytest.mark.parametrize("name", [DATABASE, LOCK_FILE])
def test_read_only_file_is_told(bare_post: Path, name: str) -> None:
    (bare_post / name).chmod(0o400)
    with unprivileged(), refusal("store.read_only"):
        reopen(bare_post)


def test_read_only_parent_is_told(bare_post: Path) -> None:
    bare_post.parent.chmod(0o500)
    with unprivileged(), refusal("store.read_only"):
        make(bare_post.parent / "another")


# Erasing


def test_zeroise_leaves_nothing_in_the_place(post: Path, tmp_path: Path) -> None:
    make_key_file(tmp_path / "key", entropy)
    add_secret(post, SECRET, KeyFile(tmp_path / "key"), entropy)
    zeroise(post, key_file=tmp_path / "key")
    assert list(tmp_path.iterdir()) == []


def test_zeroise_overwrites_keys_first_and_can_be_called_again(
    post: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = {path.name: os.open(path, os.O_RDONLY) for path in post.iterdir()}
    overwritten: list[str] = []
    overwrite = opening._overwrite

    def watch(path: Path) -> None:
        if len(overwritten) == 2:
            raise KeyboardInterrupt
        overwritten.append(path.name)
        overwrite(path)

    with monkeypatch.context() as patch:
        patch.setattr(opening, "_overwrite", watch)
        with pytest.raises(KeyboardInterrupt):
            zeroise(post)
    assert overwritten == [KEY_DOCUMENT, DATABASE]
    zeroise(post)
    assert not post.exists()
    for name, fd in held.items():
        assert not any(os.read(fd, 1 << 20)), name
        os.close(fd)


def test_zeroise_of_a_post_in_use_needs_force(post: Path) -> None:
    store = reopen(post)
    with refusal("store.busy"):
        zeroise(post)
    assert (post / KEY_DOCUMENT).exists()
    zeroise(post, force=True)
    assert not post.exists()
    with pytest.raises(StoreError):
        store.close()


def test_zeroise_of_nothing_is_told(tmp_path: Path) -> None:
    with refusal("store.absent") as raised:
        zeroise(tmp_path / "none")
    assert raised.value.details["directory"] == str(tmp_path / "none")


def test_zeroise_keeps_files_that_are_not_ours(post: Path) -> None:
    (post / "notes.txt").write_bytes(b"x")
    zeroise(post)
    assert [path.name for path in post.iterdir()] == ["notes.txt"]
