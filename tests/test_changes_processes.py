"""Ordinary changes as people type them, on posts and relays that are processes and are killed."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from openline import cli
from openline.enrolment import words
from openline.relay.mailbox import Quota
from tests.relay.process import RelayProcess
from tests.test_serve import Process, pair, until

__all__ = ["pair"]


def openline(process: Process, *arguments: object) -> int:
    """Run a command on a post; the exit code."""
    head = ("--dir", process.directory, "--key-file", process.directory.with_suffix(".key"))
    return cli.run([str(argument) for argument in (*head, *arguments)])


def asked(
    process: Process, capsys: pytest.CaptureFixture[str], *arguments: object
) -> dict[str, Any]:
    """What a command that succeeds prints as JSON."""
    capsys.readouterr()
    assert openline(process, *arguments, "--json") == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def states(process: Process) -> dict[int, str]:
    """Line → how it stands."""
    return {view["line"]: view["state"] for view in process.call("lines")}


def texts(process: Process) -> list[str]:
    """The texts of the other side under the label, on whatever line."""
    listed = process.call("inbox", line="other", limit=1000)["records"]
    return [view["text"] for view in listed if view["type"] == "message"]  # a gap has none


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """English, whatever the tester speaks."""
    monkeypatch.setenv("LANG", "C.UTF-8")
    for name in ("OPENLINE_LANG", "OPENLINE_DIR", "OPENLINE_KEY_FILE", "LC_ALL"):
        monkeypatch.delenv(name, raising=False)


def test_a_card_is_rotated_while_both_posts_run_are_killed_and_write(
    pair: tuple[Process, Process], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    near, far = pair
    near.start()
    far.start()
    near.call("send", line="other", text="before")
    tape = tmp_path / "new.tape"
    new, old = tmp_path / "new.card", tmp_path / "far.card"
    assert openline(near, "card", "--rotate", "--yes", "--out", new) == 0
    assert openline(near, "tape", "new", tape, "--pages", "4") == 0
    assert openline(far, "card", "--out", old) == 0
    near.end(signal.SIGKILL)
    near.start()
    heard = " ".join(words(old.read_bytes()))
    pairing = ("pair", old, "--replaces", "other", "--tape", tape, "--words", heard)
    assert openline(near, *pairing) == 0
    near.call("send", line="other", text="while one side has it")
    until(lambda: texts(far) == ["before", "while one side has it"])
    until(lambda: states(near) == {1: "open", 2: "successor"})
    near.end(signal.SIGKILL)
    heard = " ".join(words(new.read_bytes()))
    pairing = ("pair", new, "--replaces", "other", "--tape", tape, "--words", heard)
    assert openline(far, *pairing) == 0
    far.call("send", line="other", text="while one side is dead")
    far.end(signal.SIGKILL)
    far.start()
    near.start()
    near.call("send", line="other", text="in the middle")
    over = {1: "retired", 2: "open"}
    until(lambda: states(near) == states(far) == over)
    near.call("send", line="other", text="after")
    until(lambda: len(texts(far)) == 4)
    assert texts(far) == ["before", "while one side has it", "in the middle", "after"]
    assert texts(near) == ["while one side is dead"]
    until(lambda: near.line()["outbox"] == far.line()["outbox"] == 0)
    found = asked(near, capsys, "transcript", "other", "--verify")
    assert found["comparison"]["agree"] is True
    assert len(found["former"]) == 1
    acts = [entry["act"] for entry in near.call("audit")]
    assert {"rotate_card", "pair"} <= set(acts)


def test_a_burned_page_is_gone_and_an_added_one_there_by_command(
    pair: tuple[Process, Process], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    near, _ = pair
    assert openline(near, "tape", "burn", "other", "2-3", "5", "--yes") == 0
    assert asked(near, capsys, "tape", "status", "other") == {"pages": [1, 4, 6], "reserve": True}
    tape = tmp_path / "more.tape"
    assert openline(near, "tape", "new", tape, "--pages", "2") == 0
    near.start()
    assert openline(near, "tape", "add", "other", tape) == 0
    near.end(signal.SIGKILL)
    assert openline(near, "tape", "add", "other", tape) == cli.EXIT_LOCAL
    assert openline(near, "tape", "burn", "other", "5", "--yes") == cli.EXIT_LOCAL
    assert openline(near, "tape", "burn", "other", "x", "--yes") == cli.EXIT_USAGE
    assert openline(near, "tape", "burn", "other", "--reserve", "--yes") == 0
    left = asked(near, capsys, "tape", "status", "other")
    assert (left["pages"][:3], len(left["pages"]), left["reserve"]) == ([1, 4, 6], 5, False)
    assert openline(near, "tape", "status", "other") == 0
    assert "5 pages are left" in capsys.readouterr().out


@pytest.fixture
def relays(tmp_path: Path) -> Iterator[tuple[RelayProcess, RelayProcess]]:
    """Two relays."""
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    with RelayProcess(tmp_path / "old") as old, RelayProcess(tmp_path / "new") as new:
        yield old, new


def carry_by(process: Process, relay: RelayProcess, name: str) -> None:
    """Give a post's line a bearer over a relay."""
    tokens = process.directory.with_suffix(f".{name}")
    tokens.write_text("".join(token.hex() + "\n" for token in relay.tokens(32, Quota())))
    process.call(
        "bearer_add", line="other", kind="relay", url=relay.url, tokens=str(tokens), name=name
    )


def is_up(process: Process, name: str) -> bool:
    """Whether a bearer is up."""
    return any(each["name"] == name and each["up"] for each in process.call("bearers"))


def test_a_relay_gives_way_to_another_with_mail_waiting_in_both_directions(
    pair: tuple[Process, Process], relays: tuple[RelayProcess, RelayProcess]
) -> None:
    near, far = pair
    old, new = relays
    (near.directory / "post.toml").unlink()
    (far.directory / "post.toml").unlink()
    near.start()
    far.start()
    for process in pair:
        carry_by(process, old, "old")
    near.call("send", line="other", text="0")
    until(lambda: texts(far) == ["0"])
    until(lambda: near.line()["outbox"] == far.line()["outbox"] == 0)
    far.end(signal.SIGKILL)
    for number in range(1, 4):
        near.call("send", line="other", text=str(number))
    until(lambda: old.held() > 0)
    # The sender goes over at once, with mail lying in the old relay; the reader knows nothing yet.
    carry_by(near, new, "new")
    until(lambda: is_up(near, "new"))
    near.call("bearer_remove", line="other", name="old")
    near.end(signal.SIGKILL)
    far.start()
    far.call("send", line="other", text="into the old relay alone")
    near.start()
    near.call("send", line="other", text="4")
    old.kill()
    carry_by(far, new, "new")
    until(lambda: sorted(texts(far)) == ["0", "1", "2", "3", "4"])
    until(lambda: texts(near) == ["into the old relay alone"])
    far.call("bearer_remove", line="other", name="old")
    near.call("send", line="other", text="5")
    until(lambda: near.line()["outbox"] == far.line()["outbox"] == 0)
    assert sorted(texts(far)) == ["0", "1", "2", "3", "4", "5"]
