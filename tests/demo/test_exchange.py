"""A file with an exchange is read or refused by its line; its acts have their times."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from demo import exchange
from demo.__main__ import main
from demo.replay import acts, factor_for
from openline.errors import LocalError

GOOD: dict[str, Any] = {
    "from": "Duty desk (Aubelle)",
    "to": "Watch room (Vesna)",
    "sent": "1971-05-02T08:00:00Z",
    "received": "1971-05-02T08:04:00Z",
    "language": "fr",
    "text": "Rien à signaler.",
}


def lines(*messages: dict[str, Any]) -> bytes:
    """A file of these messages."""
    return b"".join(json.dumps(each).encode() + b"\n" for each in messages)


def but(**changed: object) -> bytes:
    """A good line and a line with these fields changed."""
    return lines(GOOD, {**GOOD, **changed})


def without(field: str) -> bytes:
    """A good line and a line without a field."""
    return lines(GOOD, {name: value for name, value in GOOD.items() if name != field})


BAD: list[tuple[bytes, str, int | None]] = [
    (b"", "replay.empty", None),
    (b"\n  \n", "replay.empty", None),
    (lines(GOOD) + b"\xff\xfe\n", "replay.not_utf8", 2),
    (lines(GOOD) + b'{"from": "A", \n', "replay.not_json", 2),
    (lines(GOOD) + b"[" * 100_000, "replay.not_json", 2),
    (lines(GOOD) + b"\n[1]\n", "replay.not_object", 3),
    *((without(field), "replay.missing", 2) for field in GOOD),
    (but(**{"from": 7}), "replay.party", 2),
    (but(to="  "), "replay.party", 2),
    (but(to="Harbour office (Aubelle)"), "replay.one_party", 2),
    (but(to="Harbour office (Third)"), "replay.parties", 2),
    (but(sent="yesterday"), "replay.time", 2),
    (but(sent=1971), "replay.time", 2),
    (but(received="1971-13-02T08:00:00Z"), "replay.time", 2),
    (but(seen_by_principal="soon"), "replay.time", 2),
    (but(sent="1971-05-02T08:00:00"), "replay.no_zone", 2),
    (but(sent="1771-05-02T08:00:00Z", received=None), "replay.far", 2),
    (but(sent="0001-01-01T00:00:00+23:00"), "replay.far", 2),
    (but(received="1971-05-02T07:59:59Z"), "replay.backwards", 2),
    (but(language="French"), "replay.language", 2),
    (but(language=None), "replay.language", 2),
    (but(text=""), "replay.no_text", 2),
    (but(text=["a"]), "replay.no_text", 2),
    (but(text="\ud800"), "replay.not_utf8", 2),
    (but(text="é" * 32_769), "replay.too_long", 2),
]


@pytest.mark.parametrize(("data", "code", "line"), BAD)
def test_a_faulty_file_is_refused_by_line(
    data: bytes, code: str, line: int | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "exchange.jsonl"
    path.write_bytes(data)
    with pytest.raises(LocalError) as refused:
        exchange.read(path)
    assert refused.value.code == code
    assert refused.value.details.get("line") == line
    assert main(["--replay", str(path), "--lang", "en"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert len(told.err.splitlines()) == 2
    assert "{" not in told.err
    assert told.err.startswith(f"Line {line}: " if line else str(path))


@pytest.mark.parametrize("name", ["none.jsonl", "."])
def test_what_is_no_file_is_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--replay", str(tmp_path / name), "--lang", "en"]) == 2
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--factor", "10"],
        ["--limit-seconds", "5"],
        ["--factor", "0", "--replay", "x"],
        ["--factor", "nan", "--replay", "x"],
        ["--limit-seconds", "-1", "--replay", "x"],
        ["--factor", "ten", "--replay", "x"],
        ["--json", "/no/such/place/out.json"],
        ["--lang", "tlh"],
        ["--conquer"],
        ["more"],
    ],
)
def test_a_faulty_command_line_is_told(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert 0 < len(told.err.splitlines()) <= 2


def read(tmp_path: Path, *messages: dict[str, Any]) -> exchange.Exchange:
    """These messages, read from a file."""
    path = tmp_path / "exchange.jsonl"
    path.write_bytes(lines(*messages))
    return exchange.read(path)


def test_a_message_at_the_bound_is_taken(tmp_path: Path) -> None:
    [message] = read(tmp_path, {**GOOD, "text": "é" * 32_768}).messages
    assert len(message.text) == 32_768


def test_people_of_one_place_are_one_party(tmp_path: Path) -> None:
    back = {**GOOD, "from": "Minister (Vesna)", "to": "Harbour office (Aubelle)"}
    found = read(tmp_path, GOOD, back, {**GOOD, "to": "Vesna"})
    assert found.parties == ("Aubelle", "Vesna")


def test_acts_come_at_their_times_and_untimed_messages_after_the_one_before(tmp_path: Path) -> None:
    seen = {
        "sight_translation": "1971-05-02T08:06:00Z",
        "seen_by_principal": "1971-05-02T09:00:00Z",
    }
    untimed = {**GOOD, "sent": None, "received": None}
    approved = {**untimed, "approved": "1971-05-02T08:30:00Z"}
    found = read(tmp_path, {**GOOD, **seen}, untimed, approved)
    plan = acts(found)
    first_s = plan[0].at_s
    assert [(act.kind, act.message, (act.at_s - first_s) // 60) for act in plan] == [
        ("send", 0, 0),
        ("send", 1, 0),
        ("open", 0, 6),
        ("send", 2, 30),
        ("show", 0, 60),
    ]
    assert [message.wire_s for message in found.messages] == [240, None, None]


@pytest.mark.parametrize(
    ("asked", "limit_s", "factor"),
    [
        (None, None, 144.0),
        (None, 10.0, 360.0),
        (7.0, None, 7.0),
        (7.0, 36.0, 100.0),
        (500.0, 36.0, 500.0),
    ],
)
def test_the_factor_is_as_asked_unless_it_takes_too_long(
    asked: float | None, limit_s: float | None, factor: float, tmp_path: Path
) -> None:
    later = {**GOOD, "sent": "1971-05-02T09:00:00Z", "received": None}
    assert factor_for(acts(read(tmp_path, GOOD, later)), asked, limit_s) == factor
