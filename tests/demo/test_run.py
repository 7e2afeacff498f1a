"""The demonstration as a process: what it shows and writes, and that it leaves nothing behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.demo.runs import ROOT, directory_of, processes_in, read_until, start


def by_subject(result: dict[str, Any], subject: str) -> dict[str, Any]:
    """The message with this subject."""
    [found] = [each for each in result["messages"] if each["subject"] == subject]
    message: dict[str, Any] = found
    return message


def check_story(result: dict[str, Any]) -> None:
    """Everything the conversation is there to show is in its result."""
    assert result["digests_equal"] is True
    assert len({each["digest"] for each in result["digests"].values()}) == 1
    assert all(each["compared"] is True for each in result["digests"].values())
    assert {each["language"] for each in result["messages"]} == {"en", "fr", "ru"}
    stages = ("released", "arrived", "delivered", "opened")
    for message in result["messages"]:
        times = [message["times"][f"{stage}_ms"] for stage in stages]
        assert None not in times, message
        assert times[0] <= times[2] <= times[3], message
    happened = [each["name"] for each in result["events"]]
    cut = next(each for each in result["events"] if each["name"] == "wire.cut")
    assert 0 < cut["frame_bytes_passed"] < cut["frame_bytes"]
    long = by_subject(result, "Notified flights of the week")
    assert long["bearers"] == ["tcp", "relay"]
    assert long["times"]["released_ms"] <= cut["at_ms"] <= long["times"]["delivered_ms"]
    assert happened.index("post.killed") < happened.index("post.restarted")
    flash = by_subject(result, "Unexplained launch")
    killed = next(each for each in result["events"] if each["name"] == "post.killed")
    assert flash["precedence"] == "FLASH"
    assert flash["times"]["released_ms"] <= killed["at_ms"] < flash["times"]["sent_ms"]
    for subject in ("Notified flights, second part", "Correction to the flight list"):
        earlier = by_subject(result, subject)
        assert earlier["number"] < flash["number"]
        assert earlier["times"]["arrived_ms"] >= flash["times"]["arrived_ms"]


def test_the_whole_conversation_is_run_and_kept_until_a_signal(tmp_path: Path) -> None:
    out = tmp_path / "result.json"
    with start("--terminal", "--keep", "--json", str(out)) as process:
        shown = read_until(process, "Ctrl-C here ends all")
        directory = directory_of(shown)
        check_story(json.loads(out.read_text()))
        assert max(map(len, shown.splitlines())) <= 100
        for part in ("cut in the middle", "kill -9", "FLASH arrived first", "On a time axis"):
            assert part in shown
        assert "Both posts hold the same record." in shown
        command = [sys.executable, "-m", "openline.cli", "--dir", str(directory / "moscow")]
        listed = subprocess.run(
            [*command, "inbox", "--json"], check=True, capture_output=True, text=True
        )
        assert len(json.loads(listed.stdout)) >= 8
        assert len(processes_in(directory)) == 4
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert processes_in(directory) == []
    assert not directory.exists()


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_during_set_up_ends_every_process(sign: signal.Signals) -> None:
    with start() as process:
        directory = directory_of(read_until(process, "washington init"))
        assert directory.exists()
        process.send_signal(sign)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 128 + sign
    assert "Traceback" not in errors
    assert processes_in(directory) == []
    assert not directory.exists()


def test_a_reader_that_goes_away_ends_every_process() -> None:
    with start() as process:
        assert process.stdout is not None
        assert process.stderr is not None
        directory = directory_of(process.stdout.readline())
        process.stdout.close()
        errors = process.stderr.read()
        process.wait(timeout=30)
    assert process.returncode == 1
    assert errors == ""
    assert processes_in(directory) == []
    assert not directory.exists()


def test_what_cannot_start_is_told_with_its_last_lines(tmp_path: Path) -> None:
    deep = tmp_path / ("deep" * 30)  # no Unix socket can have so long a path
    deep.mkdir()
    with start(TMPDIR=str(deep)) as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "ended by itself" in errors
    assert "  | " in errors
    assert "Traceback" not in errors
    assert list(deep.iterdir()) == []


EXCHANGE = [
    {
        "from": "Duty desk (Aubelle)",
        "to": "Watch room (Vesna)",
        "sent": "1971-05-02T08:00:00+01:00",
        "received": "1971-05-02T08:04:00+01:00",
        "language": "fr",
        "text": "Nous avons perdu de vue deux de vos navires. Sont-ils rentrés au port ?",
        "sight_translation": "1971-05-02T08:10:00+01:00",
        "seen_by_principal": "1971-05-02T08:15:00+01:00",
    },
    {
        "from": "First secretary (Vesna)",
        "to": "Duty desk (Aubelle)",
        "sent": None,
        "received": None,
        "approved": "1971-05-02T10:30:00+02:00",
        "language": "ru",
        "text": "They are in port; the weather kept them silent.",
        "text_language": "en",
    },
    {
        "from": "Watch room (Vesna)",
        "to": "Duty desk (Aubelle)",
        "sent": "1971-05-02T09:00:00Z",
        "received": "1971-05-02T09:10:00Z",
        "language": "en",
        "text": "Line closed for the day at our end.",
    },
]


def test_an_exchange_is_replayed_with_its_times(tmp_path: Path) -> None:
    path, out = tmp_path / "exchange.jsonl", tmp_path / "result.json"
    path.write_text("\n".join(json.dumps(each) for each in EXCHANGE) + "\n\n")
    args = ("--replay", str(path), "--limit-seconds", "2", "--json", str(out), "--lang", "fr")
    with start(*args) as process:
        shown, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    result = json.loads(out.read_text())
    assert result["digests_equal"] is True
    assert set(result["digests"]) == {"aubelle", "vesna"}
    first, second, third = result["messages"]
    assert [each["from"] for each in result["messages"]] == ["aubelle", "vesna", "vesna"]
    assert [each["language"] for each in result["messages"]] == ["fr", "ru", "en"]
    assert [each["wire_then_s"] for each in result["messages"]] == [240, None, 600]
    assert first["dtg_s"] == 42_015_600
    assert second["dtg_s"] - first["dtg_s"] == 5400
    assert first["times"]["shown_ms"] >= first["times"]["opened_ms"]
    assert all(0 < each["wire_now_s"] < 30 for each in (first, second, third))
    assert result["replay"]["factor"] == pytest.approx(2 * 3600 / 2)
    assert result["replay"]["median_wire_then_s"] == 420
    assert "médiane" in shown
    assert "020700ZMAY71" in shown


def test_a_faulty_file_is_told_by_its_line_before_anything_starts(tmp_path: Path) -> None:
    path = tmp_path / "exchange.jsonl"
    path.write_text(json.dumps(EXCHANGE[0]) + "\n{}\n")
    ended = subprocess.run(
        [sys.executable, "-m", "demo", "--replay", str(path), "--lang", "en"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.startswith('Line 2: "from" is missing.\n')
    assert "Traceback" not in ended.stderr
