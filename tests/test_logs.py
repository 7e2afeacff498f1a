"""Logs hold events, numbers and codes, whatever a careless caller passes."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator

import pytest
import structlog

from openline.errors import unforeseen
from openline.logs import EventLog, configure, log
from openline.status import PostEvent


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    configure(stream)
    yield stream
    structlog.reset_defaults()


def entries(stream: io.StringIO) -> list[dict[str, object]]:
    """What was written."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_numbers_truth_and_codes_pass(stream: io.StringIO) -> None:
    log().info("serving", lines=2, took_ms=1.5, padded=True, code="bearer.closed", held=None)
    (entry,) = entries(stream)
    assert isinstance(entry.pop("at"), int)
    assert entry == {
        "event": "serving",
        "level": "info",
        "lines": 2,
        "took_ms": 1.5,
        "padded": True,
        "code": "bearer.closed",
        "held": None,
    }


def test_text_keys_and_names_do_not_pass_under_any_name(stream: io.StringIO) -> None:
    log().error(
        "careless",
        text="the fleet sails",
        key=b"\x00" * 32,
        label="moscow",
        code="the fleet sails",
        numbers=[1, 2],
    )
    (entry,) = entries(stream)
    assert "fleet" not in stream.getvalue()
    assert "moscow" not in stream.getvalue()
    assert entry["text"] == entry["label"] == entry["code"] == "<str>"
    assert entry["key"] == "<bytes>"
    assert entry["numbers"] == "<list>"


def test_what_happens_to_every_message_is_counted(stream: io.StringIO) -> None:
    events = EventLog()
    events.take([PostEvent("arrived", 1, {"number": number}) for number in range(500)])
    events.take([PostEvent("sent", 2, {"number": 1}), PostEvent("fork", 1, {"number": 7})])
    assert [entry["event"] for entry in entries(stream)] == ["fork"]
    events.flush()
    first, second = entries(stream)[1:]
    assert (first["event"], first["line"], first["arrived"]) == ("traffic", 1, 500)
    assert (second["event"], second["line"], second["sent"]) == ("traffic", 2, 1)
    events.flush()
    assert len(entries(stream)) == 3


def test_a_fault_of_ours_is_logged_with_when_it_was_and_where_in_the_source(
    stream: io.StringIO,
) -> None:
    try:
        raise KeyError("what a message says")
    except KeyError as error:
        log().error("control.fault", **unforeseen(error).details)
    (entry,) = entries(stream)
    assert isinstance(entry["at"], int)
    assert entry["kind"] == "KeyError"
    assert str(entry["place"]).startswith("tests.test_logs:")
    assert "message" not in stream.getvalue()
