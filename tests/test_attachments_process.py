"""Files between two running posts, by the commands people use."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.posts import LINE, Places, key_of, make_pair, running, until
from openline import cli
from tests.command_line import Captured


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    """No wishes of the tester's own environment."""
    for name in ("OPENLINE_DIR", "OPENLINE_KEY_FILE", "OPENLINE_LANG", "LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    """Two posts that talk over TCP."""
    found = make_pair(tmp_path_factory.mktemp("posts"))
    with running(found):
        yield found


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """Something of some size to send."""
    path = tmp_path / "the map.png"
    path.write_bytes(random.Random(1).randbytes(300_000))
    return path


def run(directory: Path, *arguments: object) -> int:
    """Run a command on a post; the exit code."""
    where = ("--dir", directory, "--key-file", key_of(directory).path)
    return cli.run([str(argument) for argument in (*where, *arguments)])


def arrived(capsys: Captured, directory: Path, text: str) -> dict[str, object]:
    """The message with this text, once all of its files are there."""
    found: list[dict[str, object]] = []

    def whole() -> bool:
        capsys.readouterr()
        assert run(directory, "inbox", "--json") == 0
        found[:] = [each for each in json.loads(capsys.readouterr().out) if each["text"] == text]
        return bool(found) and all(f["state"] == "whole" for f in found[0]["attachments"])  # type: ignore[attr-defined]

    until(whole)
    return found[0]


def test_a_file_is_sent_shown_and_saved(places: Places, picture: Path, capsys: Captured) -> None:
    near, far = places
    assert run(near, "send", LINE, "See the map.", "--attach", picture, "-a", __file__) == 0
    serial = arrived(capsys, far, "See the map.")["serial"]
    assert run(far, "show", LINE, serial) == 0
    shown = capsys.readouterr().out
    assert "1  the map.png  300 kB  here, checked" in shown
    assert "2  test_attachments_process.py" in shown
    place = picture.with_name("saved")
    assert run(far, "attachment", "save", LINE, serial, place) == 0
    assert place.read_bytes() == picture.read_bytes()
    assert place.stat().st_mode & 0o777 == 0o600
    assert run(far, "attachment", "save", LINE, serial, place) == 1
    assert "left as it is" in capsys.readouterr().err
    second = picture.with_name("second")
    assert run(far, "attachment", "save", LINE, serial, second, "-n", 2) == 0
    assert second.read_bytes() == Path(__file__).read_bytes()
    assert run(far, "attachment", "save", LINE, serial, picture.with_name("x"), "-n", 3) == 1
    assert not picture.with_name("x").exists()


def test_bars_show_how_far_files_are(places: Places, picture: Path, capsys: Captured) -> None:
    near, far = places
    assert run(near, "send", LINE, "Bars.", "--attach", picture) == 0
    serial = arrived(capsys, far, "Bars.")["serial"]
    for directory, whose in ((near, "ours"), (far, "theirs")):
        capsys.readouterr()
        assert run(directory, "attachment", "watch", LINE, f"{whose}:{serial}") == 0
        shown = capsys.readouterr().out
        assert "the map.png" in shown
        assert "100%" in shown


def test_a_draft_is_released_with_its_files(
    places: Places, picture: Path, capsys: Captured
) -> None:
    near, far = places
    made = ("draft", "new", LINE, "With files.", "--attach", picture, "--hand", "--json")
    capsys.readouterr()
    assert run(near, *made) == 0
    draft = json.loads(capsys.readouterr().out)["draft"]
    assert run(near, "draft", "edit", draft, "--attach", __file__, "--json") == 0
    capsys.readouterr()
    assert run(near, "draft", "show", draft, "--json") == 0
    view = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in view["files"]] == ["the map.png", Path(__file__).name]
    assert run(near, "draft", "release", draft, "--yes", "--hash", view["hash"]) == 0
    found = arrived(capsys, far, "With files.")
    assert [each["sha256"] for each in found["attachments"]] == [  # type: ignore[attr-defined]
        each["sha256"] for each in view["files"]
    ]


@pytest.mark.parametrize(
    ("size", "told"),
    [(0, "The file file is empty."), ((16 << 20) + 1, "A file may have 1 to 16777216 bytes.")],
)
def test_a_file_of_no_size_or_too_much_is_refused(
    places: Places, tmp_path: Path, size: int, told: str, capsys: Captured
) -> None:
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(size)
    assert run(places[0], "send", LINE, "text", "--attach", path) == 1
    assert told in capsys.readouterr().err
    assert run(places[0], "send", LINE, "text", "--attach", tmp_path / "none") == 1
    assert "no such file" in capsys.readouterr().err


def test_a_printed_record_names_files_and_passes_over_their_parts(
    places: Places, picture: Path, capsys: Captured
) -> None:
    near, far = places
    assert run(near, "send", LINE, "For paper.", "--attach", picture) == 0
    arrived(capsys, far, "For paper.")
    capsys.readouterr()
    assert run(far, "transcript", LINE) == 0
    shown = capsys.readouterr().out
    assert "File 1: the map.png, 300000 bytes, SHA-256" in shown.replace("\n", " ")
    assert "part of a file" not in shown
