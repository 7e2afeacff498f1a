"""Two real posts: one loses its disk and asks, the other agrees, both are killed meanwhile."""

from __future__ import annotations

import shutil
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from openline import cli, clock
from openline.store.base import Batch
from openline.store.keys import KeyFile
from openline.store.opening import create, open_store
from tests import test_serve
from tests.healing import KIT
from tests.test_serve import Process, until

TEXTS = 70

pair = test_serve.pair


def key_of(directory: Path) -> KeyFile:
    """The key that opens a post of these tests."""
    return KeyFile(directory.with_suffix(".key"))


def remake_from_kit(directory: Path) -> None:
    """A new disk with nothing but the kit and the operator's file."""
    store = open_store(directory, key_of(directory))
    kept = {(0, "identity"): store.state(0)["identity"]}
    kept |= {(1, name): store.state(1)[name] for name in KIT}
    store.close()
    config = (directory / "post.toml").read_text()
    shutil.rmtree(directory)
    fresh = create(directory, key_of(directory), clock.entropy)
    fresh.commit(Batch(state=dict(kept)))
    fresh.close()
    (directory / "post.toml").write_text(config)


def talk(near: Process, far: Process, first: int, count: int) -> None:
    """Texts both ways, all arrived."""
    for number in range(first, first + count):
        near.call("send", line="other", text=f"near says {number}")
        far.call("send", line="other", text=f"far says {number}")
    until(lambda: f"near says {first + count - 1}" in far.texts())
    until(lambda: f"far says {first + count - 1}" in near.texts())


def asked(post: Process, whose: str) -> dict[str, Any]:
    """What a post says of healing in one direction."""
    found: dict[str, Any] = post.call("heal_status", line="other")[whose] or {}
    return found


def tend(near: Process, far: Process) -> bool:
    """What people do: clear an alarm, agree if somebody asks; whether all was given and taken.

    A restored post that is killed before new keys are made raises the alarm once more.
    """
    for post in (near, far):
        if post.line()["alarm"]:
            post.call("clear_alarm", line="other")
    request = asked(near, "theirs")
    if request and not request["agreed"]:
        with suppress(KeyError):
            near.call("heal_give", line="other")
    return bool(request and request["complete"] and asked(far, "ours")["complete"])


@pytest.mark.parametrize(
    "loss", ["old database", pytest.param("kit alone", marks=pytest.mark.long)]
)
def test_a_lost_history_comes_back_through_kills_and_verifies(
    pair: tuple[Process, Process], loss: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    near, far = pair
    near.start()
    far.start()
    talk(near, far, 0, 2)
    far.end()
    saved = tmp_path / "saved"
    shutil.copytree(far.directory, saved, ignore=shutil.ignore_patterns("*.sock"))
    far.start()
    talk(near, far, 2, TEXTS)
    far.end()
    if loss == "kit alone":
        remake_from_kit(far.directory)
    else:
        shutil.rmtree(far.directory)
        shutil.copytree(saved, far.directory)
    far.start()
    until(lambda: bool(far.line()["lost"]))
    until(lambda: f"near says {TEXTS}" not in far.texts())
    tend(near, far)
    far.call("heal_ask", line="other")
    until(lambda: bool(asked(near, "theirs")))
    tend(near, far)
    for post in (near, far, near, far):
        post.end(signal.SIGKILL)
        post.start()
    until(lambda: tend(near, far))
    until(lambda: far.line()["lost"] == [])
    assert {f"near says {n}" for n in range(TEXTS + 2)} <= set(far.texts())
    aside = far.call("off_chain", line="other")["records"]
    assert {f"far says {n}" for n in range(2, TEXTS + 2)} <= {view["text"] for view in aside}
    for post in pair:
        assert cli.run(["--dir", str(post.directory), "transcript", "other", "--verify"]) == 0
    assert cli.run(["--dir", str(far.directory), "show", "other", f"{first_lost(far)}"]) == 0
    assert "restored from the other side's record" in capsys.readouterr().out
    assert {"heal_give", "heal_given"} <= acts(near)
    assert {"heal_ask", "healed"} <= acts(far)


def acts(post: Process) -> set[str]:
    """What stands in the log of acts."""
    return {entry["act"] for entry in post.call("audit", limit=10_000)}


def first_lost(post: Process) -> str:
    """The serial of a restored text."""
    views = post.call("inbox", limit=1000)["records"]
    return str(next(v["serial"] for v in views if v["type"] == "message" and v["restored"]))
