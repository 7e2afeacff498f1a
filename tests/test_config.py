"""post.toml: every fault told at once, and changes that keep what a person wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from openline.config import CHANGES, Config, load, planned
from openline.entries import Address, MailEntry, RelayEntry, TcpEntry
from openline.errors import LocalError

WHOLE = """\
# Kept by the duty engineer.
listen = "[::1]:7100"   # where they dial us
control_group = "duty"
padding = false
sign_in_idle_min = 20

[[bearer]]
line = "moscow"         # the cable
kind = "tcp"
address = "post.example:7100"

# and through the relay
[[bearer]]
line = "moscow"
kind = "relay"
url = "https://relay.example/x"
tokens = "relay.tokens"
streams = false
padding = true
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "post.toml").write_text(WHOLE)
    return tmp_path


def refused(directory: Path, text: str) -> LocalError:
    """The error that a file with this text gives."""
    (directory / "post.toml").write_text(text)
    with pytest.raises(LocalError) as caught:
        load(directory)
    return caught.value


def test_a_post_without_a_file_has_defaults(tmp_path: Path) -> None:
    assert load(tmp_path) == Config()
    assert Config().control == Path("control.sock")
    assert Config().padding
    assert Config().sign_in_idle_min == 60


def test_a_whole_file_is_understood(directory: Path) -> None:
    config = load(directory)
    assert config.listen == Address("::1", 7100)
    assert config.sign_in_idle_min == 20
    assert not config.padding
    cable, relay = config.bearer
    assert isinstance(cable, TcpEntry)
    assert (cable.name, cable.address) == ("tcp", Address("post.example", 7100))
    assert isinstance(relay, RelayEntry)
    assert (relay.name, relay.tokens, relay.streams) == ("relay", Path("relay.tokens"), False)
    assert relay.padding is True


def test_every_fault_is_told_at_once_with_its_place(tmp_path: Path) -> None:
    error = refused(
        tmp_path,
        """
        listen = "nowhere"
        colour = "red"
        sign_in_idle_min = 0
        [[bearer]]
        line = "moscow"
        kind = "pigeon"
        [[bearer]]
        line = "moscow"
        kind = "tcp"
        address = "post.example:70000"
        name = "tcp-in"
        [[bearer]]
        line = ""
        kind = "relay"
        url = "ftp://relay.example"
        proxy = "socks5://localhost:9050"
        [[bearer]]
        line = "moscow"
        kind = "relay"
        url = "https://relay.example"
        proxy = "localhost:3128"
        """,
    )
    assert error.code == "config.invalid"
    assert error.details["errors"] == [
        {"at": "listen", "code": "config.address"},
        {"at": "sign_in_idle_min", "code": "config.value"},
        {"at": "bearer[1]", "code": "config.kind"},
        {"at": "bearer[2].address", "code": "config.address"},
        {"at": "bearer[2].name", "code": "config.name_taken"},
        {"at": "bearer[3].line", "code": "config.label"},
        {"at": "bearer[3].url", "code": "config.url"},
        {"at": "bearer[3].proxy", "code": "config.proxy"},
        {"at": "bearer[4].proxy", "code": "config.proxy"},
        {"at": "colour", "code": "config.unknown"},
    ]
    assert "bearer[2].address (config.address)" in str(error.details["faults"])


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("listen = ", "config.syntax"),
        ("listen = 7100", "config.invalid"),
        ('[roles]\n1000 = ["duty"]', "config.invalid"),
        ('sign_in_idle_min = "long"', "config.invalid"),
        ("[[bearer]]", "config.invalid"),
        ("# " + "x" * (1 << 20), "config.too_long"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, text: str, code: str) -> None:
    assert refused(tmp_path, text).code == code


def test_bytes_that_are_not_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "post.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(LocalError, match=r"config\.unreadable"):
        load(tmp_path)


def test_two_bearers_of_one_line_need_two_names(tmp_path: Path) -> None:
    bearer = '[[bearer]]\nline = "moscow"\nkind = "tcp"\naddress = "a:1"\n'
    error = refused(tmp_path, bearer + bearer)
    assert error.details["errors"] == [{"at": "bearer[2].name", "code": "config.name_taken"}]


LABELS = {"moscow", "pékin", "paris"}
"""The lines that there are."""


def changed(directory: Path, verb: str, **args: object) -> Config:
    """Make a change of the file; what it means then."""
    return planned(directory, verb, args, "uid:7", LABELS).make()


def test_a_bearer_is_added_below_what_was_written(directory: Path) -> None:
    entry = {"line": "pékin", "kind": "tcp", "address": "[::1]:99", "name": None}
    after = changed(directory, "bearer_add", **entry)
    assert after == load(directory)
    assert after.bearer[-1].line == "pékin"
    text = (directory / "post.toml").read_text()
    assert text.startswith(WHOLE)
    assert (directory / "post.toml").stat().st_mode & 0o777 == 0o600


def test_a_bearer_gets_a_name_that_is_free_on_its_line(directory: Path) -> None:
    entry = {"line": "moscow", "kind": "relay", "url": "https://other.example"}
    assert changed(directory, "bearer_add", **entry).bearer[-1].name == "relay-2"
    with pytest.raises(LocalError, match=r"config\.bearer_exists"):
        changed(directory, "bearer_add", **entry, name="relay-2")
    entry["line"] = "pékin"
    assert changed(directory, "bearer_add", **entry).bearer[-1].name == "relay"


def test_a_line_dials_the_other_post_once(directory: Path) -> None:
    """A second dialler is refused, what a person wrote is read; a changed address is no second."""
    entry = {"kind": "tcp", "address": "other:1", "name": "cable"}
    with pytest.raises(LocalError, match=r"config\.second_tcp name=tcp"):
        changed(directory, "bearer_add", line="moscow", **entry)
    assert (directory / "post.toml").read_text() == WHOLE
    changed(directory, "bearer_change", line="moscow", name="tcp", address="other:1")
    changed(directory, "bearer_add", line="pékin", **entry)
    changed(directory, "bearer_remove", line="moscow", name="tcp")
    changed(directory, "bearer_add", line="moscow", **entry)
    with (directory / "post.toml").open("a") as file:
        file.write('[[bearer]]\nline = "moscow"\nkind = "tcp"\naddress = "a:1"\n')
    assert [each.name for each in load(directory).bearer if each.kind == "tcp"] == [
        *("cable", "cable", "tcp"),
    ]


def test_a_file_of_tokens_that_is_named_has_some(directory: Path) -> None:
    entry: dict[str, object] = {"line": "pékin", "kind": "relay", "url": "https://other.example"}
    (directory / "rubbish").write_text("rubbish\n")
    for tokens in ("absent", "rubbish", "."):
        with pytest.raises(LocalError, match=r"config\.no_tokens"):
            changed(directory, "bearer_add", **entry, tokens=tokens)
        with pytest.raises(LocalError, match=r"config\.no_tokens"):
            changed(directory, "bearer_change", line="moscow", name="relay", tokens=tokens)
    assert (directory / "post.toml").read_text() == WHOLE
    (directory / "good").write_text("ab" * 32 + "\n")
    assert changed(directory, "bearer_add", **entry, tokens="good") == load(directory)
    changed(directory, "bearer_change", line="moscow", name="relay", cost=3)


@pytest.mark.parametrize(
    "entry",
    [
        {"line": "moscow", "kind": "tcp", "address": "nowhere"},
        {"line": "moscow", "kind": "tcp", "address": 'a:1"\n[roles]\n0 = ["duty'},
        {"line": "a\x7fb", "kind": "tcp", "address": "a:1"},
        {"line": "moscow", "kind": "tcp", "address": "a:1", "colour": "red"},
        {"line": "moscow", "kind": "tcp", "address": "a:1", "padding": []},
        {"line": "moscow", "kind": "tcp", 'address = "a:1"\n[roles]\n0 = ["duty"]\n#': "x"},
        {"line": "moscow"},
    ],
)
def test_a_bearer_that_is_none_changes_nothing(directory: Path, entry: dict[str, object]) -> None:
    with pytest.raises(LocalError):
        changed(directory, "bearer_add", **entry)
    assert (directory / "post.toml").read_text() == WHOLE


def test_a_bearer_is_removed_and_the_rest_stays(directory: Path) -> None:
    before = load(directory)
    after = changed(directory, "bearer_remove", line="moscow", name="tcp")
    assert after.bearer == before.bearer[1:]
    assert after == load(directory)
    text = (directory / "post.toml").read_text()
    assert text.startswith(WHOLE[: WHOLE.index("[[bearer]]")])
    assert changed(directory, "bearer_remove", line="moscow", name="relay").bearer == ()
    with pytest.raises(LocalError, match=r"config\.bearer_unknown"):
        changed(directory, "bearer_remove", line="moscow", name="relay")


def test_a_bearer_written_inline_is_left_to_a_person(tmp_path: Path) -> None:
    text = 'bearer = [{line = "moscow", kind = "tcp", address = "a:1"}]\n'
    (tmp_path / "post.toml").write_text(text)
    with pytest.raises(LocalError, match=r"config\.cannot_change"):
        changed(tmp_path, "bearer_remove", line="moscow", name="tcp")
    with pytest.raises(LocalError):
        changed(tmp_path, "bearer_add", line="moscow", kind="tcp", address="b:1")
    assert (tmp_path / "post.toml").read_text() == text


def test_a_file_that_cannot_be_written_is_told(directory: Path) -> None:
    (directory / "post.toml.new").mkdir()
    with pytest.raises(LocalError, match=r"config\.unwritable"):
        changed(directory, "bearer_remove", line="moscow", name="tcp")
    assert (directory / "post.toml").read_text() == WHOLE


def test_a_pause_stands_in_the_file_with_who_asked_for_it(directory: Path) -> None:
    before = load(directory)
    after = changed(directory, "bearer_pause", line="moscow", name="relay")
    assert [each.paused_by for each in after.bearer] == [None, "uid:7"]
    assert after == load(directory)
    text = (directory / "post.toml").read_text()
    assert text.replace('paused_by = "uid:7"\n', "") == WHOLE
    assert changed(directory, "bearer_pause", line="moscow", name="relay") == after
    assert changed(directory, "bearer_resume", line="moscow", name="relay") == before
    assert (directory / "post.toml").read_text() == WHOLE


def test_a_bearer_is_changed_in_its_place_and_the_rest_stays(directory: Path) -> None:
    change = {"line": "moscow", "name": "tcp", "address": "other.example:9", "cost": 5}
    after = changed(directory, "bearer_change", **change, latency_ms=None)
    assert after.bearer[0].declared() == {"cost": 5}
    assert isinstance(after.bearer[0], TcpEntry)
    assert after.bearer[0].address == Address("other.example", 9)
    assert after.bearer[1:] == load(directory).bearer[1:]
    text = (directory / "post.toml").read_text()
    assert "# Kept by the duty engineer." in text
    assert "# the cable" in text


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"name": "nothing", "cost": 1}, "config.bearer_unknown"),
        ({"name": "tcp", "cost": -1}, "config.invalid"),
        ({"name": "tcp", "kind": "relay"}, "config.invalid"),
        ({"name": "tcp", "url": "https://relay.example"}, "config.invalid"),
        ({"name": "relay", "cost]": 1}, "config.unknown"),
    ],
)
def test_a_change_that_is_none_changes_nothing(
    directory: Path, change: dict[str, object], code: str
) -> None:
    with pytest.raises(LocalError, match=code.replace(".", r"\.")):
        changed(directory, "bearer_change", line="moscow", **change)
    assert (directory / "post.toml").read_text() == WHOLE


MAIL = """\
[[bearer]]
line = "moscow"
kind = "mail"
to = "b@example.net"
sender = "a@example.org"
smtp = "smtp.example.org:587"
imap = "imap.example.org:993"
password_file = "mail.password"
"""


def test_a_mailbox_needs_little_and_its_ports_say_how_encryption_begins(tmp_path: Path) -> None:
    (tmp_path / "post.toml").write_text(MAIL)
    [entry] = load(tmp_path).bearer
    assert isinstance(entry, MailEntry)
    assert [entry.security_at(each.port) for each in (entry.smtp, entry.imap)] == [
        "starttls",
        "tls",
    ]
    assert (entry.mailbox, entry.mails_per_hour, entry.name) == ("INBOX", 60, "mail")
    assert entry.shown()["smtp"] == "smtp.example.org:587"
    (tmp_path / "post.toml").write_text(MAIL + 'security = "tls"\n')
    [entry] = load(tmp_path).bearer
    assert isinstance(entry, MailEntry)
    assert entry.security_at(587) == "tls"


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("b@example.net", "b", ("bearer[1].to", "config.mail_address")),
        ("b@example.net", "b@example.net>", ("bearer[1].to", "config.mail_address")),
        ("b@example.net", "b@example.net\\r\\nX: y", ("bearer[1].to", "config.mail_address")),
        ("a@example.org", "ä@example.org", ("bearer[1].sender", "config.mail_address")),
        ('"mail.password"', '"p"\nsecurity = "none"', ("bearer[1]", "config.mail_plain")),
        ('"mail.password"', '"p"\nmailbox = ""', ("bearer[1].mailbox", "config.mailbox")),
        ("password_file", "password", ("bearer[1].password_file", "config.missing")),
    ],
)
def test_a_mailbox_that_cannot_be_used_is_said_so(
    tmp_path: Path, old: str, new: str, fault: tuple[str, str]
) -> None:
    found = refused(tmp_path, MAIL.replace(old, new)).details["errors"]
    assert isinstance(found, list)
    assert {"at": fault[0], "code": fault[1]} in found


def test_without_encryption_only_this_machine_is_spoken_with(tmp_path: Path) -> None:
    here = MAIL.replace("smtp.example.org", "127.0.0.1").replace("imap.example.org", "localhost")
    (tmp_path / "post.toml").write_text(here + 'security = "none"\n')
    assert load(tmp_path).bearer


def test_half_a_character_is_refused_and_nothing_is_written(directory: Path) -> None:
    before = (directory / "post.toml").read_bytes()
    with pytest.raises(LocalError, match=r"config\.value"):
        changed(directory, "bearer_add", line="moscow", kind="folder", path="/srv/f\udcff")
    assert (directory / "post.toml").read_bytes() == before


@pytest.mark.parametrize("verb", [verb for verb in CHANGES if verb != "bearer_add"])
def test_a_line_that_is_not_there_is_told_from_a_bearer_that_is_not(
    directory: Path, verb: str
) -> None:
    with pytest.raises(LocalError, match=r"line\.unknown"):
        changed(directory, verb, line="nowhere", name="tcp")
    with pytest.raises(LocalError, match=r"config\.bearer_unknown"):
        changed(directory, verb, line="paris", name="tcp")


def test_the_bearer_of_a_line_that_has_ended_is_removed(directory: Path) -> None:
    left = planned(directory, "bearer_remove", {"line": "moscow", "name": "tcp"}, "uid:7", ())
    assert [each.name for each in left.make().bearer] == ["relay"]
