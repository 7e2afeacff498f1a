"""By hand alone: two posts that were never online, and a stick between them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bench.posts import LINE, Process, key_of, make_pair, until
from openline import cli
from openline.client import Client
from openline.config import CONFIG_FILE
from tests.command_line import Captured


class Party:
    """One side: its post runs, and nothing carries its line."""

    def __init__(self, directory: Path) -> None:
        (directory / CONFIG_FILE).unlink()
        self.directory = directory
        self.process = Process(directory)
        self.process.start()

    def __call__(self, *arguments: object) -> int:
        """Run a command on this post; the exit code."""
        where = ("--dir", self.directory, "--key-file", key_of(self.directory).path)
        return cli.run([str(argument) for argument in (*where, *arguments)])


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    """No wishes of the tester's own environment."""
    for name in ("OPENLINE_DIR", "OPENLINE_KEY_FILE", "OPENLINE_LANG", "LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "C.UTF-8")


@pytest.fixture(scope="module")
def parties(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Party, Party]]:
    """Two sides, paired with a tape, that know no wire."""
    near, far = make_pair(tmp_path_factory.mktemp("parties"))
    ours, theirs = Party(near), Party(far)
    yield ours, theirs
    for party in (ours, theirs):
        party.process.stop()


@pytest.fixture
def stick(tmp_path: Path) -> Path:
    """A stick with a file of its owner's on it."""
    path = tmp_path / "stick"
    path.mkdir()
    (path / "holiday.jpg").write_bytes(b"\xff\xd8")
    return path


def asked(capsys: Captured, party: Party, *arguments: object) -> Any:
    """The JSON that a command of a party prints."""
    capsys.readouterr()
    assert party(*arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)


def came(capsys: Captured, party: Party, text: str) -> int:
    """How often a text of the other side stands in the record of a party."""
    found = asked(capsys, party, "inbox", "--all")
    return sum(each.get("text") == text and each["side"] == "theirs" for each in found)


def heads(capsys: Captured, party: Party) -> list[tuple[str, int]]:
    """Of both chains, a party's own first: its head, and how many records lead to it."""
    capsys.readouterr()
    assert party("transcript", LINE, "--json") == 0
    end = json.loads(capsys.readouterr().out.splitlines()[-1])
    return [(end[side]["head"], end[side]["records"]) for side in ("ours", "theirs")]


def carried(stick: Path, sender: Party, reader: Party) -> None:
    """The stick goes from one to the other."""
    assert sender("carry", "out", stick) == 0
    assert reader("carry", "in", stick) == 0


def written(stick: Path) -> dict[str, tuple[int, bytes]]:
    """What is on the stick: of each name when it was written, and its content."""
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in stick.iterdir()}


def parcels(stick: Path) -> list[Path]:
    """The files that posts wrote."""
    return [path for path in stick.iterdir() if path.name != "holiday.jpg"]


def test_a_line_lives_by_stick_alone_and_both_records_agree(
    parties: tuple[Party, Party], stick: Path, capsys: Captured
) -> None:
    ours, theirs = parties
    assert ours("send", LINE, "-p", "flash", "The first text, by hand.") == 0
    assert theirs("send", LINE, "They cross in the bag.") == 0
    carried(stick, ours, theirs)
    carried(stick, theirs, ours)
    assert came(capsys, theirs, "The first text, by hand.") == 1
    assert came(capsys, ours, "They cross in the bag.") == 1
    for _ in range(8):
        # Machines too have something to say to what came, until both have heard it all.
        if heads(capsys, ours) == heads(capsys, theirs)[::-1]:
            break
        carried(stick, ours, theirs)
        carried(stick, theirs, ours)
    assert heads(capsys, ours) == heads(capsys, theirs)[::-1]
    assert (stick / "holiday.jpg").exists()


def test_the_first_bag_of_all_is_read_whole_though_it_fills_many_parcels(
    tmp_path_factory: pytest.TempPathFactory, stick: Path, capsys: Captured
) -> None:
    ours, theirs = (Party(place) for place in make_pair(tmp_path_factory.mktemp("strangers")))
    plan = stick.parent / "plan.bin"
    plan.write_bytes(os.urandom(600_000))
    try:
        assert ours("send", LINE, "With a plan.", "--attach", plan) == 0
        carried(stick, ours, theirs)
        assert len(parcels(stick)) > 8
        [text] = [each for each in asked(capsys, theirs, "inbox") if each.get("text")]
        place = stick.parent / "saved"
        until(lambda: theirs("attachment", "save", LINE, text["number"], place) == 0)
        assert place.read_bytes() == plan.read_bytes()
    finally:
        for party in (ours, theirs):
            party.process.stop()


def test_it_is_held_only_when_the_stick_has_come_back(
    parties: tuple[Party, Party], stick: Path, capsys: Captured
) -> None:
    ours, theirs = parties
    number = asked(capsys, ours, "send", LINE, "Is it held?")["serial"]["number"]

    def state() -> str:
        return str(asked(capsys, ours, "show", LINE, f"ours:{number}")["state"])

    carried(stick, ours, theirs)
    assert state() == "queued"
    carried(stick, theirs, ours)
    assert state() == "held"


def test_a_stick_lost_twice_and_one_that_comes_again_change_nothing(
    parties: tuple[Party, Party], stick: Path, tmp_path: Path, capsys: Captured
) -> None:
    ours, theirs = parties
    assert ours("send", LINE, "one") == 0
    assert ours("carry", "out", stick) == 0
    late = shutil.copytree(stick, tmp_path / "late")
    assert ours("send", LINE, "two") == 0
    carried(stick, ours, theirs)
    assert theirs("carry", "in", stick) == 0
    assert theirs("carry", "in", late) == 0
    assert [came(capsys, theirs, text) for text in ("one", "two")] == [1, 1]


def test_a_new_bag_takes_the_place_of_our_last_and_leaves_what_others_wrote(
    parties: tuple[Party, Party], stick: Path, capsys: Captured
) -> None:
    ours, theirs = parties
    assert theirs("send", LINE, "from them") == 0
    assert theirs("carry", "out", stick) == 0
    from_them = {path.name for path in parcels(stick)}
    assert ours("carry", "out", stick) == 0
    first = {path.name for path in parcels(stick)} - from_them
    assert ours("carry", "out", stick) == 0
    left = {path.name for path in parcels(stick)}
    assert from_them < left
    assert not first & left
    assert ours("carry", "in", stick, "--remove") == 0
    assert not from_them & {path.name for path in parcels(stick)}
    assert came(capsys, ours, "from them") == 1


def test_half_a_file_is_said_to_be_one_and_its_text_comes_with_the_next_bag(
    parties: tuple[Party, Party], stick: Path, capsys: Captured
) -> None:
    ours, theirs = parties
    assert ours("send", LINE, "whole or not at all") == 0
    assert ours("carry", "out", stick) == 0
    for path in parcels(stick):
        os.truncate(path, path.stat().st_size // 2)
    capsys.readouterr()
    assert theirs("carry", "in", stick, "--remove") == cli.EXIT_LOCAL
    assert "not copied to their end" in capsys.readouterr().err
    assert came(capsys, theirs, "whole or not at all") == 0
    carried(stick, ours, theirs)
    assert came(capsys, theirs, "whole or not at all") == 1


def test_nothing_is_written_to_what_is_only_read(
    parties: tuple[Party, Party], stick: Path, capsys: Captured
) -> None:
    ours, theirs = parties
    assert ours("send", LINE, "read only") == 0
    assert ours("carry", "out", stick) == 0
    stick.chmod(0o555)  # which binds everybody but root, for whom the comparison remains
    before = written(stick)
    assert theirs("carry", "in", stick) == 0
    assert written(stick) == before
    stick.chmod(0o755)
    assert came(capsys, theirs, "read only") == 1


def test_a_place_that_takes_no_files_is_said_and_everything_still_waits(
    parties: tuple[Party, Party], stick: Path, capsys: Captured
) -> None:
    ours, theirs = parties
    assert ours("send", LINE, "patience") == 0
    assert ours("carry", "out", stick / "nowhere") == cli.EXIT_LOCAL
    assert "mounted" in capsys.readouterr().err
    assert ours("carry", "out", "/proc/self") == cli.EXIT_LOCAL
    assert "take another stick" in capsys.readouterr().err
    carried(stick, ours, theirs)
    assert came(capsys, theirs, "patience") == 1


def test_names_say_nothing_and_nothing_of_anybody_elses_is_taken(
    parties: tuple[Party, Party], stick: Path, tmp_path: Path, capsys: Captured
) -> None:
    ours, _ = parties
    (tmp_path / "elsewhere").mkdir()
    stranger = Party(make_pair(tmp_path / "elsewhere").near)
    assert ours("send", LINE, "UNMISTAKABLE") == 0
    assert ours("carry", "out", stick) == 0
    assert all(len(path.name) == 32 for path in parcels(stick))
    assert b"UNMISTAKABLE" not in b"".join(path.read_bytes() for path in parcels(stick))
    capsys.readouterr()
    assert stranger("carry", "in", stick) == 0
    assert "Nothing there is for this post." in capsys.readouterr().out
    stranger.process.stop()


def test_a_folder_that_both_reach_carries_the_line_by_itself(
    parties: tuple[Party, Party], tmp_path: Path, capsys: Captured
) -> None:
    ours, theirs = parties
    shared = tmp_path / "shared"
    shared.mkdir()
    for party in parties:
        assert party("bearer", "add", LINE, "--folder", shared) == 0
    number = asked(capsys, ours, "send", LINE, "without hands")["serial"]["number"]
    until(lambda: asked(capsys, ours, "show", LINE, f"ours:{number}")["state"] == "held")
    assert came(capsys, theirs, "without hands") == 1
    until(lambda: not any(shared.iterdir()))
    for party in parties:
        assert party("bearer", "remove", LINE, "folder", "--yes") == 0


def test_two_bags_filled_at_once_each_hold_all(parties: tuple[Party, Party]) -> None:
    near, _ = parties
    assert near("send", LINE, "in every bag") == 0

    def filled(_: int) -> list[dict[str, str]]:
        with Client(near.directory) as asking:
            found: list[dict[str, str]] = asking.call("carry_out")
            return found

    with ThreadPoolExecutor(8) as threads:
        bags = list(threads.map(filled, range(8)))
    assert {len(bag) for bag in bags} == {len(bags[0])} != {0}
