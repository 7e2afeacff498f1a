"""The ways to the database key: each opens, and each fault has its name."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from openline.clock import entropy
from openline.errors import StoreError
from openline.store import keys
from openline.store.keys import Cost, Credential, KeyFile, Passphrase, Secret, unwrap, wrap
from openline.store.opening import make_key_file

CHEAP = Cost(memory_kib=8, passes=1, lanes=1)
KEY = bytes(range(32))


def refusal(code: str) -> pytest.RaisesExc[StoreError]:
    """Refused with this code."""
    return pytest.raises(StoreError, check=lambda error: error.code == code)


def wrapped(*secrets: Secret) -> bytes:
    """A key.json that all of them open."""
    document = None
    for secret in secrets:
        document = wrap(document, KEY, secret, entropy, CHEAP)
    assert document is not None
    return document


@pytest.fixture
def key_file(tmp_path: Path) -> KeyFile:
    """A new key file."""
    make_key_file(tmp_path / "key", entropy)
    return KeyFile(tmp_path / "key")


@pytest.fixture
def credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Credential:
    """A credential as the service manager hands it over."""
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / keys.CREDENTIAL).write_bytes(entropy(32))
    (tmp_path / keys.CREDENTIAL).chmod(0o440)
    return Credential()


def test_every_method_opens_beside_the_others(key_file: KeyFile) -> None:
    document = wrapped(Passphrase("a b c"), key_file)
    assert unwrap(document, Passphrase("a b c")) == KEY
    assert unwrap(document, key_file) == KEY
    assert keys.methods(document) == ["key file", "passphrase"]


def test_credential_opens_as_a_key_file(credential: Credential, tmp_path: Path) -> None:
    document = wrapped(credential)
    assert unwrap(document, credential) == KEY
    (tmp_path / keys.CREDENTIAL).chmod(0o400)
    assert unwrap(document, KeyFile(tmp_path / keys.CREDENTIAL)) == KEY


def test_nothing_of_key_or_passphrase_stands_in_the_document() -> None:
    document = wrapped(Passphrase("correct horse")).decode()
    assert KEY.hex() not in document
    assert "horse" not in document
    assert "horse" not in repr(Passphrase("correct horse"))


def test_production_cost_is_256_mib_and_is_recorded() -> None:
    assert Cost(memory_kib=256 * 1024, passes=3, lanes=4) == keys.COST
    (recorded,) = json.loads(wrap(None, KEY, Passphrase("x"), entropy))["wrappings"]
    assert {name: recorded[name] for name in Cost._fields} == keys.COST._asdict()


def test_passphrase_typed_with_another_keyboard_opens() -> None:
    assert (
        unwrap(wrapped(Passphrase("caf\u00e9 \u0439")), Passphrase("cafe\u0301 \u0438\u0306"))
        == KEY
    )


def test_wrong_passphrase_is_told() -> None:
    with refusal("store.wrong_passphrase"):
        unwrap(wrapped(Passphrase("right")), Passphrase("wrong"))


def test_wrong_key_file_is_told(key_file: KeyFile, tmp_path: Path) -> None:
    make_key_file(tmp_path / "other", entropy)
    with refusal("store.wrong_key"):
        unwrap(wrapped(key_file), KeyFile(tmp_path / "other"))


def test_missing_method_is_told_with_those_that_there_are(key_file: KeyFile) -> None:
    with refusal("store.no_such_method") as raised:
        unwrap(wrapped(Passphrase("x")), key_file)
    assert raised.value.details == {"methods": ["passphrase"]}


def test_new_passphrase_replaces_the_old(key_file: KeyFile) -> None:
    document = wrapped(Passphrase("old"), key_file, Passphrase("new"))
    assert unwrap(document, Passphrase("new")) == KEY
    assert unwrap(document, key_file) == KEY
    with refusal("store.wrong_passphrase"):
        unwrap(document, Passphrase("old"))


def test_last_method_cannot_be_removed(key_file: KeyFile) -> None:
    document = keys.without(wrapped(Passphrase("x"), key_file), "passphrase")
    assert keys.methods(document) == ["key file"]
    with refusal("store.no_such_method"):
        keys.without(document, "passphrase")
    with refusal("store.last_method"):
        keys.without(document, "key file")


# Key files


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o644, 0o610])
def test_key_file_open_to_others_is_refused(key_file: KeyFile, mode: int) -> None:
    key_file.path.chmod(mode)
    with refusal("store.key_exposed"):
        wrapped(key_file)


@pytest.mark.parametrize("mode", [0o444, 0o460, 0o404])
def test_credential_open_to_others_is_refused(
    credential: Credential, tmp_path: Path, mode: int
) -> None:
    (tmp_path / keys.CREDENTIAL).chmod(mode)
    with refusal("store.key_exposed"):
        wrapped(credential)


@pytest.mark.parametrize("length", [0, 31, 4097])
def test_key_file_of_wrong_length_is_refused(key_file: KeyFile, length: int) -> None:
    key_file.path.write_bytes(bytes(length))
    with refusal("store.key_damaged"):
        wrapped(key_file)


def test_longest_key_file_is_taken(key_file: KeyFile) -> None:
    key_file.path.write_bytes(bytes(4096))
    assert unwrap(wrapped(key_file), key_file) == KEY


def test_missing_key_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with refusal("store.key_missing"):
        wrapped(KeyFile(tmp_path / "none"))
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with refusal("store.key_missing"):
        wrapped(Credential())


def test_pipe_or_directory_in_place_of_a_key_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    (tmp_path / "directory").mkdir(mode=0o700)
    for name in ("pipe", "directory"):
        with refusal("store.key_damaged"):
            wrapped(KeyFile(tmp_path / name))


def test_key_file_is_made_for_its_owner_alone_and_never_over_another(tmp_path: Path) -> None:
    path = tmp_path / "key"
    make_key_file(path, entropy)
    content = path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(content) == 32
    with refusal("store.exists"):
        make_key_file(path, entropy)
    assert path.read_bytes() == content


# The document


def test_any_changed_byte_of_the_document_is_told_as_damage() -> None:
    document, told = wrapped(Passphrase("x")), set()
    for seed in range(300):
        chance = random.Random(seed)
        changed = bytearray(document)
        place = chance.randrange(len(changed))
        changed[place] ^= chance.randrange(1, 256)
        try:
            key = unwrap(bytes(changed), Passphrase("x"))
        except StoreError as error:
            told.add(error.code)
        else:
            # A byte between two values may mean the same.
            assert key == KEY
    assert told == {"store.key_damaged"}


@pytest.mark.parametrize("length", range(0, 300, 13))
def test_cut_document_is_told_as_damage(length: int) -> None:
    with refusal("store.key_damaged"):
        unwrap(wrapped(Passphrase("x"))[:length], Passphrase("x"))


def forged(change: Callable[[dict[str, object]], object]) -> bytes:
    """A document whose sum fits, with something changed in its one wrapping."""
    document = json.loads(wrapped(Passphrase("x")))
    change(document["wrappings"][0])
    document["sum"] = keys._sum(document["wrappings"])
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    "changes",
    [
        {"memory_kib": (1 << 20) + 1},
        {"memory_kib": 1 << 60},
        {"memory_kib": 7},
        {"memory_kib": -1},
        {"memory_kib": True},
        {"memory_kib": 8.0},
        {"memory_kib": "8"},
        {"passes": 0},
        {"passes": 17},
        {"lanes": 17},
        {"lanes": 2},
        {"salt": ""},
        {"salt": "zz" * 16},
        {"nonce": "00" * 11},
        {"wrapped": "00" * 49},
        {"wrapped": None},
        {"method": "rot13"},
        {"method": ["passphrase"]},
    ],
)
def test_values_beyond_their_bounds_are_refused_before_use(changes: dict[str, object]) -> None:
    with refusal("store.key_damaged"):
        unwrap(forged(lambda wrapping: wrapping.update(changes)), Passphrase("x"))


def test_lowered_cost_does_not_open() -> None:
    with refusal("store.wrong_passphrase"):
        unwrap(forged(lambda wrapping: wrapping.update(passes=2)), Passphrase("x"))


@pytest.mark.parametrize(
    "document",
    [b"", b"[]", b"{}", b"null", b"[" * 9000, b"\xff", b'{"wrappings":{}}', b" " * 20_000],
)
def test_what_is_no_key_document_is_told_as_damage(document: bytes) -> None:
    with refusal("store.key_damaged"):
        unwrap(document, Passphrase("x"))
