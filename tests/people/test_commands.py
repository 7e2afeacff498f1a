"""People as those who run a post see them: commands, sign-ins, on a post that is a process."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from openline import cli
from openline.client import Client
from openline.commands import people as commands
from tests.authenticator import Device
from tests.test_serve import Process, pair, until

__all__ = ["pair"]

Captured = pytest.CaptureFixture[str]
PASSPHRASE = "correct horse battery staple"
OWN = str(os.getuid())


class Terminal:
    """A person before the terminal of a post."""

    def __init__(
        self, process: Process, monkeypatch: pytest.MonkeyPatch, capsys: Captured, place: Path
    ) -> None:
        self.process = process
        self.sign_in_file = place / "sign-in"
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: object, typed: str = "", code: int = 0) -> str:
        """What a command prints, given what is typed, which ends with this code."""
        typed_in = io.TextIOWrapper(io.BytesIO(typed.encode()), encoding="utf-8")
        self._monkeypatch.setattr(sys, "stdin", typed_in)
        directory = self.process.directory
        head = ("--dir", directory, "--key-file", directory.with_suffix(".key"))
        self._capsys.readouterr()
        ended = cli.run([str(argument) for argument in (*head, *arguments)])
        told = self._capsys.readouterr()
        assert ended == code, told.err
        return told.out if code == 0 else told.err

    def json(self, *arguments: object) -> Any:
        """What a command prints as JSON."""
        return json.loads(self(*arguments, "--json"))

    def act_as(self, *, signed_in: bool) -> None:
        """Let the commands that follow be the Unix user's or those of who signed in."""
        if signed_in:
            self._monkeypatch.setenv("OPENLINE_SIGN_IN", str(self.sign_in_file))
        else:
            self._monkeypatch.delenv("OPENLINE_SIGN_IN", raising=False)

    def give_passphrase(self, name: str, passphrase: str = PASSPHRASE) -> None:
        """An administrator makes a link; the person sets a passphrase with it."""
        link = self.json("people", "link", name)["token"]
        self("people", "passphrase", "--link", typed=f"{link}\n{passphrase}\n{passphrase}\n")


@pytest.fixture
def near(
    pair: tuple[Process, Process],
    monkeypatch: pytest.MonkeyPatch,
    capsys: Captured,
    tmp_path: Path,
) -> Terminal:
    """The terminal of a post that does not run yet; English."""
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("OPENLINE_LANG", "OPENLINE_DIR", "OPENLINE_KEY_FILE", "OPENLINE_SIGN_IN"):
        monkeypatch.delenv(name, raising=False)
    return Terminal(pair[0], monkeypatch, capsys, tmp_path)


def acts(near: Terminal) -> list[tuple[str, str]]:
    """(actor, act) of the whole log of acts."""
    return [(each["actor"], each["act"]) for each in near.json("audit", "--limit", "1000")]


def test_a_post_gets_people_who_sign_in_write_are_killed_with_it_and_are_signed_out(
    near: Terminal, pair: tuple[Process, Process]
) -> None:
    for process in pair:
        process.start()
    near("people", "add", "keeper", "-r", "administrator", "-r", "auditor", "--unix-user", OWN)
    near("people", "add", "desk-one", "-r", "duty", "-r", "releaser")
    assert "You have no right" in near("send", "other", "not mine to send", code=1)
    near.give_passphrase("desk-one")
    near.act_as(signed_in=True)
    near("people", "sign-in", "desk-one", typed=PASSPHRASE + "\n")
    assert near.sign_in_file.stat().st_mode & 0o777 == 0o600
    assert "fit" in near("send", "other", "not confirmed", typed="something else\n", code=1)
    near("send", "other", "Bonjour", typed=PASSPHRASE + "\n")
    near.process.end(signal.SIGKILL)
    near.process.start()
    near("send", "other", "still me", typed=PASSPHRASE + "\n")
    assert [each["name"] for each in near.json("people", "signed-in")] == ["desk-one"]
    assert "no right" in near("audit", code=1)
    assert "1 sign-in ended" in near("people", "sign-out", "--all")
    assert "signed out" in near("send", "other", "too late", code=1)
    until(lambda: pair[1].texts() == ["Bonjour", "still me"])
    near.act_as(signed_in=False)
    assert ("desk-one", "sign_in") in acts(near)
    assert [actor for actor, act in acts(near) if act == "release"] == ["desk-one"] * 2
    near("audit", "--verify")
    log = near.process.log.read_text()
    for secret in ("desk-one", "keeper", PASSPHRASE, near.sign_in_file.read_text().strip()):
        assert secret not in log


def test_people_are_managed_where_no_post_runs_under_the_same_rules(near: Terminal) -> None:
    near("revoke", "nobody", "--yes", code=1)
    near("people", "add", "desk-one", "-r", "drafter", "--unix-user", OWN)
    near("people", "add", "keeper", "-r", "administrator", "--unix-user", int(OWN) + 1)
    assert "no right" in near("people", "add", "desk-two", "-r", "duty", code=1)
    assert "no right" in near("revoke", "other", "--yes", code=1)
    assert [each["name"] for each in near.json("people", "list")] == ["desk-one", "keeper"]


def test_the_posts_own_user_can_always_set_people_right_and_nothing_else(near: Terminal) -> None:
    near("people", "add", "keeper", "-r", "administrator", "--unix-user", int(OWN) + 1)
    near("people", "change", "keeper", "-r", "auditor", "--no-unix-user")
    near("people", "end", "keeper", typed="keeper\n")
    near("people", "add", "desk-one", "-r", "administrator")
    (first, last) = near.json("people", "list")
    assert (first["name"], first["roles"]) == ("desk-one", ["administrator"])
    assert (last["name"], last["roles"], last["uid"]) == ("keeper", ["auditor"], None)
    assert last["ended_s"] > 0
    near.process.start()
    assert "no right" in near("audit", code=1)
    near("zeroise", "--yes")


def test_who_is_here_and_who_is_signed_in_is_listed_in_every_language(near: Terminal) -> None:
    near.process.start()
    assert "Nobody yet" in near("people", "list")
    assert "Nobody is signed in" in near("people", "signed-in")
    near("people", "add", "keeper", "-r", "administrator", "--unix-user", OWN)
    near("people", "add", "desk-one", "-r", "duty")
    near("people", "add", "desk-two", "-r", "duty")
    near("people", "end", "desk-two", "--yes")
    near.give_passphrase("desk-one")
    link = near("people", "link", "desk-one").splitlines()[-1]
    near("people", "sign-in", "--link", "--out", near.sign_in_file, typed=link + "\n")
    near("people", "link", "keeper")
    for language in ("en", "fr", "ru"):
        for command in ("list", "signed-in"):
            told = near("--lang", language, "people", command)
            assert "desk-one" in told
            assert not [word for word in told.split() if word.startswith(("people.", "head."))]
    (one,) = near.json("people", "signed-in")
    assert "1 sign-in" in near("people", "sign-out", "desk-one", "--one", one["sign_in"])


def test_a_person_signs_out_here_and_changes_the_passphrase(near: Terminal) -> None:
    near.process.start()
    near("people", "add", "keeper", "-r", "administrator", "--unix-user", OWN)
    near("people", "add", "desk-one", "-r", "duty")
    near.give_passphrase("desk-one")
    near.act_as(signed_in=True)
    for _ in range(2):
        near("people", "sign-in", "desk-one", typed=PASSPHRASE + "\n")
    assert "1 sign-in" in near("people", "sign-out")
    assert "signed out" in near("status", code=1)
    near("people", "sign-in", "desk-one", typed=PASSPHRASE + "\n")
    new = "another passphrase altogether"
    near("people", "passphrase", typed=f"{new}\n{new}\n{PASSPHRASE}\n")
    assert "signed out" in near("status", code=1)
    assert "do not fit" in near("people", "sign-in", "desk-one", typed="wrong\n", code=1)
    near("people", "sign-in", "desk-one", typed=new + "\n")
    near("status")
    near.act_as(signed_in=False)
    assert "0 sign-ins" in near("people", "sign-out")


@pytest.mark.parametrize(
    ("arguments", "typed", "said", "code"),
    [
        (("add", "desk-one"), "", "Roles are: administrator", 1),
        (("add", "Desk", "-r", "duty"), "", "1 to 32", 1),
        (("add", "desk-one", "-r", "duty", "--unix-user", "no-such-user"), "", "Unix user", 2),
        (("add", "desk-one", "-r", "duty", "--unix-user", "9" * 12), "", "9999", 2),
        (("change", "desk-one"), "", "Nothing is said", 2),
        (("change", "desk-one", "-r", "duty"), "", "nobody of this name", 1),
        (("end", "desk-one"), "desk-two\n", "not typed", 1),
        (("link", "desk-one"), "", "nobody of this name", 1),
        (("passphrase",), "short\n", "shorter than 12", 1),
        (("passphrase",), f"{PASSPHRASE}\n{PASSPHRASE}\n", "not one of the people", 1),
        (("passphrase", "--link"), f"x\n{PASSPHRASE}\n{PASSPHRASE}\n", "does not work", 1),
        (("sign-in", "--out", "token"), "", "Say a name, or --link", 2),
        (("sign-in", "desk-one"), "", "--out", 2),
        (("sign-out", "desk-one", "--all"), "", "--all", 2),
    ],
)
def test_what_cannot_be_is_told_and_what_to_do(
    near: Terminal, arguments: tuple[str, ...], typed: str, said: str, code: int
) -> None:
    assert said in near("people", *arguments, typed=typed, code=code)


@pytest.mark.parametrize("language", ["en", "fr", "ru"])
def test_every_command_about_people_has_help(near: Terminal, language: str) -> None:
    for name in commands.people.commands:
        told = near("--lang", language, "people", name, "--help")
        assert re.findall(r"(?:help|metavar|click)\.[a-z.]+", told) == []
        assert max(map(len, told.splitlines())) <= 80


def test_unix_users_are_known_by_name() -> None:
    assert commands.UnixUserType().convert("root", None, None) == 0


def test_passkeys_are_listed_and_taken_away_by_their_owner_or_an_administrator(
    near: Terminal,
) -> None:
    near.process.start()
    near("people", "add", "keeper", "-r", "administrator", "--unix-user", OWN)
    near("people", "add", "desk-one", "-r", "duty")
    assert "No passkeys" in near("people", "passkey", "list")
    device, directory = Device(), near.process.directory

    def enrol(label: str) -> str:
        link = near.json("people", "link", "desk-one")["token"]
        with Client(directory) as asking:
            token = str(asking.call("sign_in", link=link)["token"])
        with Client(directory, token) as asking:
            asked = {"what": "passkey_add", "origin": device.origin}
            made = device.create(asking.call("passkey_ask", **asked)["options"])
            asking.call("passkey_add", answer=made, label=label)
        near.sign_in_file.write_text(token)
        return str(near.json("people", "passkey", "list", "desk-one")[0]["passkey"])

    which = enrol("the blue one")
    for shown in (near("people", "passkey", "list"), near("people", "list")):
        assert "the blue one" in shown
    near("people", "passkey", "list", "nobody", code=1)
    near("people", "passkey", "remove", "00000000", "desk-one", code=1)
    near("people", "passkey", "remove", which, "desk-one")
    assert near.json("people", "passkey", "list") == []
    which = enrol("the red one")
    near.process.end(signal.SIGTERM)
    near.process.start()  # one that knows a passkey from the start
    near.act_as(signed_in=True)
    assert "1 sign-in ended" in near("people", "passkey", "remove", which)
    assert "signed out" in near("status", code=1)


@pytest.mark.parametrize("signed_in", [False, True])
def test_in_an_emergency_no_role_stands_between_the_files_and_who_owns_them(
    near: Terminal, pair: tuple[Process, Process], *, signed_in: bool
) -> None:
    near.process.start()
    near("people", "add", "desk-one", "-r", "duty", "--unix-user", OWN)
    near("people", "add", "keeper", "-r", "administrator", "--unix-user", int(OWN) + 1)
    if signed_in:
        near.sign_in_file.write_text("0" * 64)
    near.act_as(signed_in=signed_in)
    key = near.process.directory.with_suffix(".key")
    near("zeroise", "--yes")
    assert not near.process.directory.exists()
    assert not key.exists()
    assert near.process.end(None) == 0


def test_a_post_that_does_not_listen_is_killed_before_it_is_erased(
    near: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("openline.commands.ending.STOP_POLL_S", 0.001)
    near.process.start()
    near.process.send(signal.SIGSTOP)
    near("zeroise", "--yes")
    assert not near.process.directory.exists()
    assert near.process.end(None) == -signal.SIGKILL


def test_a_post_is_stopped_by_a_command_and_by_whoever_may(near: Terminal) -> None:
    near("stop", code=4)
    near.process.start()
    assert "stopped" in near("stop")
    assert near.process.end(None) == 0
    near.process.start()
    near("people", "add", "desk-one", "-r", "duty", "--unix-user", OWN)
    near("people", "add", "keeper", "-r", "administrator", "--unix-user", int(OWN) + 1)
    assert "no right" in near("stop", code=1)
