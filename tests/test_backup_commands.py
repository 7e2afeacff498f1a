"""`backup` and `restore` as people type them, with files, sheets and a scanner."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import zxingcpp
from PIL import Image, ImageDraw

from openline import backup, cli
from openline.clock import Now
from openline.commands import sheets
from openline.config import CONFIG_FILE
from openline.enrolment import words
from openline.post import Post
from openline.sealing.keys import Entropy
from openline.sim.disk import MemoryStore
from openline.store import opening
from openline.store.keys import Cost, KeyFile
from tests.answering import Answering
from tests.pair import LinePair

Captured = pytest.CaptureFixture[str]
PASSPHRASE = "six words drawn by dice"
_QR = zxingcpp.BarcodeFormat.QRCode
TWICE = f"{PASSPHRASE}\n{PASSPHRASE}\n"


class Person:
    """Types commands, and answers what they ask."""

    def __init__(self, patch: pytest.MonkeyPatch, place: Path) -> None:
        self._patch = patch
        self.place = place

    def __call__(self, *arguments: object, typing: str = "", post: str = "post") -> int:
        """Run a command on a post of this place; the exit code."""
        self._patch.setattr(sys, "stdin", io.StringIO(typing))
        key = [] if arguments[0] == "init" else ["--key-file", str(self.place / "key")]
        where = ["--dir", str(self.place / post), *key]
        said = [str(argument) for argument in arguments]
        return cli.run([*where, *said])


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Person:
    """Someone at a machine with one post, whose passphrases cost little."""
    for name in ("OPENLINE_DIR", "OPENLINE_KEY_FILE", "OPENLINE_LANG", "LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "C.UTF-8")

    def cheap(now: Now, entropy: Entropy) -> backup.Wrapping:
        return backup.Wrapping(now.wall_s, Cost(64, 1, 1), entropy(16), entropy(12))

    monkeypatch.setattr(backup.Wrapping, "new", cheap)
    someone = Person(monkeypatch, tmp_path)
    assert someone("init", "--key-file", tmp_path / "key", "--generate") == 0
    return someone


def acts(place: Path, post: str) -> list[str]:
    """The log of acts of a post that does not run."""
    store = opening.open_store(place / post, KeyFile(place / "key"))
    try:
        return [each.entry.act for each in store.audit()]
    finally:
        store.close()


def card_of(someone: Person, captured: Captured, post: str) -> str:
    """What `card` says."""
    captured.readouterr()
    assert someone("card", "--json", post=post) == 0
    return captured.readouterr().out


def test_a_post_comes_back_from_its_file(person: Person, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "post" / CONFIG_FILE).write_text('listen = "127.0.0.1:7100"\n')
    assert person("backup", tmp_path / "kit", typing=TWICE) == 0
    assert (tmp_path / "kit").stat().st_mode & 0o777 == 0o600
    assert person("restore", tmp_path / "kit", typing=PASSPHRASE + "\n", post="again") == 0
    assert card_of(person, capsys, "again") == card_of(person, capsys, "post")
    assert (tmp_path / "again" / CONFIG_FILE).read_text() == 'listen = "127.0.0.1:7100"\n'
    assert acts(tmp_path, "post") == ["initialise", "backup"]
    assert acts(tmp_path, "again") == ["restore"]


def test_a_backup_is_not_written_over_another(person: Person, tmp_path: Path) -> None:
    (tmp_path / "kit").write_text("mine")
    assert person("backup", tmp_path / "kit", typing=TWICE) == cli.EXIT_LOCAL
    assert (tmp_path / "kit").read_text() == "mine"


def test_nothing_is_restored_over_a_post_and_no_passphrase_asked(
    person: Person, tmp_path: Path, capsys: Captured
) -> None:
    assert person("backup", tmp_path / "kit", typing=TWICE) == 0
    capsys.readouterr()
    assert person("restore", tmp_path / "kit") == cli.EXIT_LOCAL
    said = capsys.readouterr().err
    assert "nothing was made" in said
    assert "Passphrase" not in said


def test_options_that_do_not_go_together_are_told_before_a_passphrase_is_asked(
    person: Person, tmp_path: Path, capsys: Captured
) -> None:
    kit = tmp_path / "kit.olb"
    assert person("backup", kit, typing=TWICE) == 0
    capsys.readouterr()
    assert cli.run(["--dir", str(tmp_path / "other"), "restore", "--generate", str(kit)]) == 2
    assert "assphrase" not in capsys.readouterr().err


def test_a_wrong_passphrase_makes_nothing(person: Person, tmp_path: Path, capsys: Captured) -> None:
    assert person("backup", tmp_path / "kit", typing=TWICE) == 0
    assert person("restore", tmp_path / "kit", typing="wrong\n", post="again") == cli.EXIT_LOCAL
    assert "of the backup, not of the post" in capsys.readouterr().err
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize(
    ("typing", "said"),
    [("short\nshort\n", "shorter than 12"), (PASSPHRASE + "\nanother one\n", "differ")],
)
def test_a_new_passphrase_is_long_enough_and_typed_twice(
    person: Person, tmp_path: Path, capsys: Captured, typing: str, said: str
) -> None:
    assert person("backup", tmp_path / "kit", typing=typing) == cli.EXIT_LOCAL
    assert said in capsys.readouterr().err
    assert not (tmp_path / "kit").exists()


@pytest.mark.parametrize("arguments", [("backup",), ("backup", "a", "b"), ("restore",)])
def test_what_was_not_said_is_asked_for(
    person: Person, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    assert person(*arguments, post="none") == cli.EXIT_USAGE


def test_several_files_that_are_no_codes_are_refused(person: Person, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_bytes(b"OLBK")
    assert person("backup", "--check", tmp_path / "a", tmp_path / "b") == cli.EXIT_USAGE


def test_damage_is_found_before_the_passphrase_is_asked(
    person: Person, tmp_path: Path, capsys: Captured
) -> None:
    assert person("backup", tmp_path / "kit", typing=TWICE) == 0
    data = (tmp_path / "kit").read_bytes()
    (tmp_path / "kit").write_bytes(data[:-3] + b"xxx")
    capsys.readouterr()
    assert person("backup", "--check", tmp_path / "kit") == cli.EXIT_LOCAL
    said = capsys.readouterr().err
    assert "damaged" in said
    assert "Passphrase" not in said


# -- against a running post -----------------------------------------------------------------------


@pytest.fixture
def answering(tmp_path: Path, person: Person) -> Iterator[LinePair]:
    """A post that runs in "running"."""
    pair = LinePair()
    (tmp_path / "running").mkdir()
    with Answering(pair, "a", tmp_path / "running"):
        yield pair


def test_a_running_post_is_backed_up_and_its_backup_checked(
    person: Person, answering: LinePair, tmp_path: Path, capsys: Captured
) -> None:
    assert person("backup", tmp_path / "kit", typing=TWICE, post="running") == 0
    checking = ("backup", "--check", tmp_path / "kit")
    assert person(*checking, typing=PASSPHRASE + "\n", post="running") == 0
    said = capsys.readouterr().out
    assert "  other\n" in said
    assert "has every line" in said
    assert [each.entry.act for each in answering.stores["a"].audit()][-1] == "backup"


def test_a_backup_older_than_a_pairing_is_told(
    person: Person, answering: LinePair, tmp_path: Path, capsys: Captured
) -> None:
    kit = backup.collect(answering.stores["a"])
    wrapping = backup.Wrapping(0, Cost(64, 1, 1), bytes(16), bytes(12))
    older = backup.Backup(0, kit.identity, {}, "")
    sealed = backup.seal(older, wrapping.encode(), wrapping.key(PASSPHRASE))
    (tmp_path / "old").write_bytes(sealed)
    checking = ("backup", "--check", tmp_path / "old")
    assert person(*checking, typing=PASSPHRASE + "\n", post="running") == cli.EXIT_LOCAL
    assert "older than these lines: other" in capsys.readouterr().err


def test_the_backup_of_another_post_is_told(
    person: Person, answering: LinePair, tmp_path: Path, capsys: Captured
) -> None:
    assert person("backup", tmp_path / "kit", typing=TWICE) == 0
    checking = ("backup", "--check", tmp_path / "kit")
    assert person(*checking, typing=PASSPHRASE + "\n", post="running") == cli.EXIT_LOCAL
    assert "another post" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("language", "said"),
    [("en", "by DTG (number)"), ("fr", "par GDH (numéro)"), ("ru", "по ГДВ (номеру)")],
)
def test_while_an_alarm_stands_what_to_check_by_voice_is_shown(
    person: Person, answering: LinePair, capsys: Captured, language: str, said: str
) -> None:
    serials = answering.say("a", "the last text of a"), answering.say("b", "the last text of b")
    answering.flow()
    answering.wait(70)
    answering.flow()
    kit = backup.collect(answering.stores["b"])
    answering.stores["b"] = MemoryStore()
    answering.stores["b"].commit(kit.batch("test", answering.now))
    answering.posts["b"] = Post(answering.stores["b"], os.urandom, answering.now)
    answering.up("b")
    answering.flow()
    assert person("--lang", language, "status", post="running") == 0
    assert "openline lines other" in capsys.readouterr().out
    assert person("--lang", language, "lines", "other", post="running") == 0
    shown = " ".join(capsys.readouterr().out.split())
    for name in "ab":
        assert all(word in shown for word in words(answering.posts[name].card() or b""))
    assert said in shown
    assert all(f"({serial})" in shown for serial in serials)
    assert "openline clear-alarm other" in shown


# -- on paper -------------------------------------------------------------------------------------


def scanned(page: Path) -> list[str]:
    """What a scanner reads on a page: its paths, drawn and read again."""
    drawn = page.read_text(encoding="utf-8")
    scale = 8
    size = (sheets.PAGE_MM[0] * scale, sheets.PAGE_MM[1] * scale)
    image = Image.new("L", size, 255)
    pen = ImageDraw.Draw(image)
    form = r'<path transform="translate\((\d+) (\d+)\) scale\(([\d.]+)\)" d="([^"]*)"'
    for left, top, factor, path in re.findall(form, drawn):
        step = float(factor) * scale
        for x, y, length in re.findall(r"M(\d+) (\d+)h(\d+)v1", path):
            x0, y0 = int(left) * scale + int(x) * step, int(top) * scale + int(y) * step
            pen.rectangle((x0, y0, x0 + int(length) * step - 1, y0 + step - 1), fill=0)
    return [found.text for found in zxingcpp.read_barcodes(image) if found.format == _QR]


def test_a_post_comes_back_from_its_sheets_scanned_in_any_order(
    person: Person, answering: LinePair, tmp_path: Path, capsys: Captured
) -> None:
    assert person("backup", "--sheets", tmp_path / "paper", typing=TWICE, post="running") == 0
    pages = sorted((tmp_path / "paper").glob("page-*.svg"))
    texts = [text for page in pages for text in scanned(page)]
    assert len(texts) == 6
    typing = "\n".join([*texts[3:], *texts[:3], "", PASSPHRASE, ""])
    assert person("restore", "-", typing=typing, post="again") == 0
    assert "  other\n" in capsys.readouterr().out
    (tmp_path / "one").write_text("\n".join(texts[:2]), encoding="utf-16")
    (tmp_path / "two").write_text("\n".join(["Kit", *texts[2:]]), encoding="utf-8-sig")
    codes = (tmp_path / "two", tmp_path / "one")
    assert person("backup", "--check", *codes, typing=PASSPHRASE + "\n") == 0


def test_sheets_tell_page_post_and_set_and_are_for_their_owner_alone(
    person: Person, tmp_path: Path
) -> None:
    assert person("backup", "--sheets", tmp_path / "paper", typing=TWICE) == 0
    assert (tmp_path / "paper").stat().st_mode & 0o777 == 0o700
    page = tmp_path / "paper" / "page-1.svg"
    assert page.stat().st_mode & 0o777 == 0o600
    said = page.read_text(encoding="utf-8")
    [text] = scanned(page)
    assert "page 1 of 1" in said
    assert backup.Code.read(text).set_name in said
    assert page.read_text() in (tmp_path / "paper" / "sheets.html").read_text()


def test_sheets_are_not_put_among_other_files(person: Person, tmp_path: Path) -> None:
    assert person("backup", "--sheets", tmp_path, typing=TWICE) == cli.EXIT_LOCAL


def test_a_missing_code_is_named_with_its_number(
    person: Person, answering: LinePair, tmp_path: Path, capsys: Captured
) -> None:
    assert person("backup", tmp_path / "kit", typing=TWICE, post="running") == 0
    texts = [code.text for code in backup.codes((tmp_path / "kit").read_bytes())]
    (tmp_path / "codes").write_text("\n".join(texts[:3] + texts[4:]))
    assert person("restore", tmp_path / "codes", post="again") == cli.EXIT_LOCAL
    assert "Codes are missing: 4 of 6" in capsys.readouterr().err
