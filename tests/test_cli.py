"""The command line as people use it: enrolment without a daemon, help, errors, exit codes."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest
import zxingcpp
from PIL import Image

from openline import cli, i18n, spoken
from openline.commands import COMMANDS, SECTIONS
from openline.commands.bearers import bearer
from openline.enrolment import words
from openline.relay.app import relay
from openline.sealing.keys import CARD_BYTES, MAGIC
from openline.store import opening
from openline.store.lock import Lock

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """No terminal, no wishes of the tester's own environment, a small reserve on the disk."""
    for name in ("OPENLINE_DIR", "OPENLINE_KEY_FILE", "OPENLINE_LANG", "LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setattr(opening.create, "__kwdefaults__", {**_kw(opening.create), **_SMALL})
    monkeypatch.setattr(opening.open_store, "__kwdefaults__", {**_kw(opening.open_store), **_SMALL})


_SMALL = {"ballast_bytes": 4096}
TAPE = [("tape", name) for name in ("new", "add", "burn", "status")]


def _kw(function: object) -> dict[str, object]:
    return dict(getattr(function, "__kwdefaults__", None) or {})


def openline(*arguments: object) -> int:
    """Run one command line; the exit code."""
    return cli.run([str(argument) for argument in arguments])


class Party:
    """One side with its post, made by the command line."""

    def __init__(self, place: Path, name: str) -> None:
        self.place = place
        self.key = place / f"{name}.key"
        self.directory = place / name
        self.card = place / f"{name}.card"
        assert self("init", "--key-file", self.key, "--generate") == 0
        assert self("card", "--out", self.card) == 0

    def __call__(self, *arguments: object) -> int:
        """Run a command on this post."""
        head = () if arguments[0] == "init" else ("--key-file", self.key)
        return openline("--dir", self.directory, *head, *arguments)

    @property
    def words(self) -> str:
        """The twelve words of its card, as this side reads them aloud."""
        return " ".join(words(self.card.read_bytes()))


@pytest.fixture
def ours(tmp_path: Path, capsys: Captured) -> Party:
    """Our side."""
    party = Party(tmp_path, "ours")
    capsys.readouterr()
    return party


@pytest.fixture
def theirs(tmp_path: Path, capsys: Captured) -> Party:
    """The other side."""
    party = Party(tmp_path, "theirs")
    capsys.readouterr()
    return party


@pytest.fixture
def tape(tmp_path: Path, capsys: Captured) -> Path:
    """A tape both sides hold."""
    path = tmp_path / "the.tape"
    assert openline("tape", "new", path, "--pages", "4") == 0
    capsys.readouterr()
    return path


# -- enrolment ----------------------------------------------------------------------------------


def test_a_card_comes_back_from_its_qr_code(ours: Party, tmp_path: Path) -> None:
    assert ours("card", "--qr", tmp_path / "card.png") == 0
    found = zxingcpp.read_barcodes(Image.open(tmp_path / "card.png"))
    assert found[0].bytes == ours.card.read_bytes()
    assert len(found[0].bytes) == CARD_BYTES


def test_a_card_is_drawn_as_svg_and_as_nothing_else(ours: Party, tmp_path: Path) -> None:
    assert ours("card", "--qr", tmp_path / "card.svg") == 0
    assert "<svg" in (tmp_path / "card.svg").read_text()
    assert ours("card", "--qr", tmp_path / "card.gif") == cli.EXIT_USAGE


def test_words_are_shown_in_latin_and_in_russian_also_in_cyrillic(
    ours: Party, capsys: Captured
) -> None:
    assert ours("card") == 0
    english = capsys.readouterr().out
    assert all(word in english for word in ours.words.split())
    assert openline("--lang", "ru", "--dir", ours.directory, "--key-file", ours.key, "card") == 0
    russian = capsys.readouterr().out
    for word, same in zip(ours.words.split(), spoken.cyrillic(ours.words.split()), strict=True):
        assert word in russian
        assert same in russian


def test_what_is_heard_is_understood_in_both_alphabets() -> None:
    said = ["bada", "chosh" + "i", "zuta"]
    assert spoken.heard("1. BADA, 2) choshi; zuta") == said
    assert spoken.heard(" ".join(spoken.cyrillic(said))) == said


def test_two_posts_pair_by_card_tape_and_words(
    ours: Party, theirs: Party, tape: Path, capsys: Captured
) -> None:
    pairing = ("pair", theirs.card, "--name", "moscow", "--tape", tape)
    assert ours(*pairing, "--words", theirs.words) == 0
    assert theirs("pair", ours.card, "--name", "home", "--tape", tape, "--words", ours.words) == 0
    assert str(tape) in capsys.readouterr().out
    again = ("pair", theirs.card, "--name", "other", "--tape", tape, "--words", theirs.words)
    assert ours(*again) == cli.EXIT_LOCAL
    assert "already" in capsys.readouterr().err


def test_words_are_asked_for_after_ours_are_shown(
    ours: Party, theirs: Party, tape: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(theirs.words + "\n"))
    assert ours("pair", theirs.card, "--name", "moscow", "--tape", tape) == 0
    asked = capsys.readouterr().err
    assert set(ours.words.split()) <= set(asked.split())
    assert not set(theirs.words.split()) <= set(asked.split())


def test_a_wrong_word_is_named_by_its_position(
    ours: Party, theirs: Party, tape: Path, capsys: Captured
) -> None:
    said = theirs.words.split()
    said[6] = "baba" if said[6] != "baba" else "dada"
    pairing = ("pair", theirs.card, "--name", "moscow", "--tape", tape, "--words", " ".join(said))
    assert ours(*pairing) == cli.EXIT_LOCAL
    refused = capsys.readouterr().err
    assert "Word 7" in refused
    assert theirs.words.split()[6] not in refused
    assert ours("pair", theirs.card, "--name", "moscow", "--tape", tape, "--words", "ba da") == 1


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda card, own: card[:-1], "1634 bytes"),
        (lambda card, own: b"", "not an Openline card"),
        (lambda card, own: b"PK" + card[2:], "not an Openline card"),
        (lambda card, own: MAGIC + bytes(32) + card[35:], "damaged"),
        (lambda card, own: own, "our own card"),
    ],
    ids=["truncated", "empty", "another file", "low order", "own"],
)
def test_a_bad_card_is_refused(  # type: ignore[no-untyped-def]
    ours: Party, theirs: Party, tape: Path, capsys: Captured, spoil, said: str
) -> None:
    bad = ours.place / "bad.card"
    bad.write_bytes(spoil(theirs.card.read_bytes(), ours.card.read_bytes()))
    pairing = ("pair", bad, "--name", "moscow", "--tape", tape, "--words", theirs.words)
    assert ours(*pairing) == cli.EXIT_LOCAL
    assert said in capsys.readouterr().err


def test_cards_alone_must_be_wanted_and_are_said_to_be_weaker(
    ours: Party, theirs: Party, capsys: Captured
) -> None:
    pairing = ("pair", theirs.card, "--name", "moscow", "--words", theirs.words)
    assert ours(*pairing) == cli.EXIT_USAGE
    assert "--card-only" in capsys.readouterr().err
    assert ours(*pairing, "--card-only") == 0
    assert "quantum" in capsys.readouterr().err


def test_a_tape_is_for_its_owner_alone_and_never_overwrites(tape: Path, capsys: Captured) -> None:
    assert tape.stat().st_mode & 0o777 == 0o600
    assert tape.stat().st_size == 4 * 32
    before = tape.read_bytes()
    assert openline("tape", "new", tape, "--pages", "4") == cli.EXIT_LOCAL
    assert tape.read_bytes() == before
    assert "not overwritten" in capsys.readouterr().err
    assert openline("tape", "new", tape.with_suffix(".new"), "--pages", "1") == cli.EXIT_USAGE


def test_a_post_is_never_made_over_something(ours: Party, capsys: Captured) -> None:
    assert ours("init", "--key-file", ours.key) == cli.EXIT_LOCAL
    assert "nothing was made" in capsys.readouterr().err


def test_a_short_or_mistyped_passphrase_makes_no_post(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    for typed in ("short\n", "long enough to be taken\nlong enough to be takem\n"):
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        assert openline("--dir", tmp_path / "post", "init") == cli.EXIT_LOCAL
    assert not (tmp_path / "post").exists()
    assert "long enough" not in capsys.readouterr().err


def test_the_wrong_key_opens_nothing(ours: Party, theirs: Party, capsys: Captured) -> None:
    wrong = ("--dir", ours.directory, "--key-file", theirs.key)
    assert openline(*wrong, "card") == cli.EXIT_LOCAL
    assert "does not fit" in capsys.readouterr().err
    assert openline("--dir", ours.directory, "card") == cli.EXIT_LOCAL
    assert "key file, not with a passphrase" in capsys.readouterr().err


def test_what_to_type_next_has_the_options_in_use(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, key = tmp_path / "our post", tmp_path / "post.key"
    assert openline("--dir", place, "init", "--key-file", key, "--generate") == 0
    assert f"openline --dir '{place}' --key-file {key} card --out" in capsys.readouterr().out
    assert openline("--dir", place, "--key-file", key, "inbox") == cli.EXIT_NO_POST
    assert f"Start it: openline --dir '{place}' --key-file {key} serve" in capsys.readouterr().err
    monkeypatch.setenv("OPENLINE_DIR", str(place))
    monkeypatch.setenv("OPENLINE_KEY_FILE", str(key))
    assert openline("inbox") == cli.EXIT_NO_POST
    assert "Start it: openline serve" in capsys.readouterr().err


def test_what_takes_a_value_says_so_in_every_language() -> None:
    untold = []

    def look(command: click.Command, path: str) -> None:
        if isinstance(command, click.Group):
            for name in command.list_commands(click.Context(command)):
                look(command.commands[name], f"{path} {name}")
        for param in command.params:
            key = f"metavar.{param.metavar or param.name}"
            flag = isinstance(param, click.Option) and param.is_flag
            if not flag and not i18n.catalogue("fr").has(key):
                untold.append(f"{path} {key}")

    look(cli.openline, "openline")
    look(relay, "openline-relay")
    assert untold == []


def test_french_headings_have_their_space_before_the_colon(capsys: Captured) -> None:
    assert openline("--lang", "fr", "bearer", "--help") == 0
    shown = capsys.readouterr().out
    assert "Options :" in shown
    assert "Commandes :" in shown
    assert "--folder RÉPERTOIRE" in help_of("fr", capsys, "bearer", "add")
    assert "--folder КАТАЛОГ" in help_of("ru", capsys, "bearer", "add")


def help_of(language: str, capsys: Captured, *command: str) -> str:
    """The help of a command."""
    capsys.readouterr()
    assert openline("--lang", language, *command, "--help") == 0
    return capsys.readouterr().out


def test_a_desk_for_no_post_is_refused(tmp_path: Path, capsys: Captured) -> None:
    assert openline("--dir", tmp_path / "nothere", "desk") == cli.EXIT_LOCAL
    assert "There is no post in" in capsys.readouterr().err


def test_zeroise_says_what_it_cannot_erase_and_wants_the_word(
    ours: Party, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("yes\n"))
    assert ours("zeroise") == cli.EXIT_LOCAL
    said = capsys.readouterr().err
    assert "backups" in said
    assert "nothing was erased" in said
    monkeypatch.setattr(sys, "stdin", io.StringIO("ZEROISE\n"))
    assert ours("zeroise") == 0
    assert not ours.directory.exists()
    assert not ours.key.exists()


def test_zeroise_takes_what_the_configuration_names_here_and_names_what_stays(
    ours: Party, capsys: Captured, tmp_path: Path
) -> None:
    inside = ("relay.tokens", "mail.password", "relay.pem", "post.toml", "relay.tokens.new")
    for name in inside:
        (ours.directory / name).write_text("secret")
    elsewhere, stranger = tmp_path / "elsewhere.password", ours.directory / "notes"
    elsewhere.write_text("secret")
    stranger.write_text("a person's own")
    entries = [f'tokens = "{inside[0]}"\nca_file = "relay.pem"', f'password_file = "{inside[1]}"']
    entries += [f'password_file = "{elsewhere}"']
    text = "".join(f"[[bearer]]\n{entry}\n" for entry in entries)
    (ours.directory / "post.toml").write_text(text)
    held = [(ours.directory / name).open("rb") for name in inside]
    assert ours("zeroise", "--yes") == 0
    told = capsys.readouterr().out
    assert [path.name for path in ours.directory.iterdir()] == ["notes"]
    assert str(stranger) in told
    assert str(elsewhere) in told
    assert elsewhere.read_text() == "secret"
    for file in held:
        with file:
            assert not any(file.read())


def test_zeroise_goes_on_while_somebody_has_the_post_open_and_says_so(
    ours: Party, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openline.commands.ending.STOP_POLLS", 2)
    lock = Lock(ours.directory)
    assert ours("zeroise", "--yes") == 0
    assert "end it" in capsys.readouterr().err
    assert not ours.directory.exists()
    lock.release()


# -- help, errors, exit codes -------------------------------------------------------------------


@pytest.mark.parametrize("language", i18n.LANGUAGES)
def test_every_command_has_help_in_every_language(language: str, capsys: Captured) -> None:
    assert openline("--lang", language, "--help") == 0
    for name in [*COMMANDS, *(("bearer", name) for name in bearer.commands), *TAPE]:
        path = (name,) if isinstance(name, str) else name
        assert openline("--lang", language, *path, "--help") == 0
    said = capsys.readouterr().out
    assert re.findall(r"(?:help|metavar|click|section)\.[a-z.]+", said) == []
    assert max(map(len, said.splitlines())) <= 80


def test_every_command_stands_in_one_section() -> None:
    assert sorted(name for names in SECTIONS.values() for name in names) == sorted(COMMANDS)


READ = (("inbox",), ("status",), ("send", "moscow", "text"), ("transcript", "moscow"))


def test_without_a_daemon_reading_says_how_to_start_it(ours: Party, capsys: Captured) -> None:
    for command in READ:
        assert openline("--dir", ours.directory, *command) == cli.EXIT_NO_POST
        assert f"openline --dir {ours.directory} serve" in capsys.readouterr().err


def test_where_there_is_no_post_nothing_is_said_to_be_startable(
    tmp_path: Path, capsys: Captured
) -> None:
    for place in (tmp_path, tmp_path / "mistyped"):
        for command in READ:
            assert openline("--dir", place, *command) == cli.EXIT_NO_POST
            first, second = capsys.readouterr().err.splitlines()
            assert first == f"No post runs in {place}, and none is kept there."
            assert "--dir" in second
            assert f"openline --dir {place} init" in second


def test_a_language_that_is_not_there_is_named_with_where_it_was_set(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert openline("--lang", "de", "status") == cli.EXIT_USAGE
    assert "Correct --lang." in capsys.readouterr().err
    monkeypatch.setenv("OPENLINE_LANG", "xx")
    assert openline("status") == cli.EXIT_USAGE
    assert "Correct OPENLINE_LANG." in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ("nothing",),
        ("send",),
        ("inbox", "--no-such"),
        ("inbox", "--limit"),
        ("inbox", "--limit", "0"),
        ("show", "moscow", "seventeen"),
        ("send", "moscow", "text", "-p", "loud"),
        ("send", "moscow", "text", "--file", "x"),
        ("receipt", "moscow", "17"),
        ("receipt", "moscow", "17", "--opened", "--answer-by", "+1h"),
        ("receipt", "moscow", "ours:17", "--opened"),
        ("transcript", "moscow", "--export", "pdf"),
        ("--lang", "de", "inbox"),
        ("pair", "x.card", "--tape", "x"),
        ("bearer", "add", "moscow", "--tcp", "a:1", "--mail", "a@example.org"),
        ("bearer", "add", "moscow", "--tcp", "a:1", "--mailbox", "x"),
        ("bearer", "add", "moscow", "--mail", "a@example.org", "--from", "b@example.org"),
    ],
)
@pytest.mark.parametrize("language", i18n.LANGUAGES)
def test_a_mistake_in_asking_is_said_in_two_lines(
    language: str, arguments: tuple[str, ...], capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENLINE_LANG", language)
    assert openline(*arguments) == cli.EXIT_USAGE
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 2
    assert "{" not in said.err
    assert "None" not in said.err


def test_no_traceback_reaches_people(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert openline("--dir", tmp_path, "pair", tmp_path, "--name", "x", "--card-only") == 1
    assert "Traceback" not in capsys.readouterr().err

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("openline.commands.shell.Shell.call", broken)
    assert openline("status") == cli.EXIT_LOCAL
    said = capsys.readouterr().err
    assert "ZeroDivisionError" in said
    assert "Traceback" not in said


def test_an_error_shows_hostile_details_escaped(capsys: Captured) -> None:
    assert openline("inbox", "--limit", "\x1b[2J") == cli.EXIT_USAGE
    assert "\x1b" not in capsys.readouterr().err


def test_help_loads_nothing_heavy() -> None:
    """So it comes at once; how fast is measured in bench/."""
    command = [sys.executable, "-X", "importtime", "-m", "openline.cli", "--help"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in told.splitlines()}
    heavy = {"sqlalchemy", "alembic", "rich", "segno", "cryptography", "pydantic", "asyncio"}
    assert "click" in loaded
    assert heavy & loaded == set()


def test_the_entry_point_ends_with_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["openline", "--version"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 0
    assert os.environ["LANG"] == "C.UTF-8"
