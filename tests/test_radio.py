"""By radio alone: two posts, two real controllers, and sound at 1200 baud between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bench.posts import LINE, Process, make_pair, settled, until
from openline import clock
from openline.client import Client
from openline.config import CONFIG_FILE
from tests.air import CALLS, Air, missing, on_the_air

PATIENCE_S = 600.0
"""A text that is lost is sent again after 15 s or more."""

HISS = 4_200
"""Noise that costs a frame now and then (of 3,500 none, of 6,000 all), as samples are."""

TEXT = (
    "The delegation proposes to meet on Thursday at ten in the small hall, to go through the list "
    "of prisoners line by line, and asks that both doctors be there. An answer is wanted before "
    "noon tomorrow."
)


@pytest.fixture(autouse=True)
def _program() -> None:
    if (lacking := missing()) is not None:
        pytest.skip(lacking)


class Party:
    """One side."""

    def __init__(self, directory: Path, air: Air, name: str) -> None:
        other = "far" if name == "near" else "near"
        entry = {
            "line": LINE,
            "kind": "kiss",
            "address": f"127.0.0.1:{air.stations[name].port}",
            "callsign": CALLS[name],
            "to": CALLS[other],
        }
        lines = ["[[bearer]]", *(f'{key} = "{value}"' for key, value in entry.items()), ""]
        (directory / CONFIG_FILE).write_text("\n".join(lines))
        self.process = Process(directory)
        self.process.start()
        self.asking = Client(directory)

    def send(self, text: str, precedence: str = "ROUTINE") -> dict[str, Any]:
        """Release a text; its serial."""
        said = self.asking.call("send", line=LINE, text=text, precedence=precedence)
        serial: dict[str, Any] = said["serial"]
        return serial

    def arrived(self, text: str) -> list[dict[str, Any]]:
        """The texts of the other side that say this."""
        return [
            each
            for each in self.asking.call("inbox", all=True)["records"]
            if each.get("text") == text and each["side"] == "theirs"
        ]

    def stop(self) -> None:
        """End it."""
        self.asking.close()
        self.process.stop()


@contextmanager
def parties(place: Path, noise: int = 0) -> Iterator[tuple[Air, Party, Party]]:
    """Two sides that were paired with a tape and never spoke."""
    places = make_pair(place)
    made: list[Party] = []
    with on_the_air(place, noise) as air:
        try:
            for directory, name in zip(places, CALLS, strict=True):
                made.append(Party(directory, air, name))
            yield air, made[0], made[1]
        finally:
            for party in made:
                party.stop()


def within(true: Callable[[], object]) -> float:
    """Wait until it is true; how long that was, in seconds."""
    began_s = clock.precise_s()
    until(lambda: bool(true()), patience_s=PATIENCE_S)
    return clock.precise_s() - began_s


def test_a_first_text_goes_by_radio_and_its_receipt_comes_back(tmp_path: Path) -> None:
    with parties(tmp_path) as (_, near, far):
        serial = near.send(TEXT, "FLASH")
        within(lambda: far.arrived(TEXT))
        far.asking.call("receipt", line=LINE, kind="opened", **serial)

        def receipts() -> list[str]:
            view = near.asking.call("show", line=LINE, side="ours", **serial)
            return [mark["kind"] for mark in view["marks"]]

        within(lambda: "opened" in receipts())
        assert len(far.arrived(TEXT)) == 1


@pytest.mark.long
def test_what_is_lost_in_noise_or_jammed_is_sent_again(tmp_path: Path) -> None:
    with parties(tmp_path, HISS) as (air, near, far):
        air.stations["near"].jammed = 2
        near.send(TEXT)
        within(lambda: far.arrived(TEXT))
        assert air.stations["near"].keyed > 2
        air.stations["far"].jammed = 2
        far.send("They read you.")
        within(lambda: near.arrived("They read you."))
        within(lambda: settled(near.asking) and settled(far.asking))
        assert len(far.arrived(TEXT)) == len(near.arrived("They read you.")) == 1


@pytest.mark.long
def test_how_long_a_text_of_200_characters_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with parties(tmp_path) as (air, near, far):
        took = [f"first contact, to the first text read: {_took(near, far, TEXT):.1f} s"]
        within(lambda: settled(near.asking) and settled(far.asking))
        quiet(air)
        for turn in range(6):
            sender, reader = (near, far) if turn % 2 else (far, near)
            text = f"{TEXT[:190]} {turn:09d}"
            took.append(f"{len(text)} characters: {_took(sender, reader, text):.1f} s")
            within(lambda: settled(sender.asking))  # noqa: B023 - awaited within the turn
            quiet(air)
    with capsys.disabled():
        print("", *took, sep="\n")


def _took(sender: Party, reader: Party, text: str) -> float:
    sender.send(text)
    return within(lambda: reader.arrived(text))


def quiet(air: Air) -> None:
    """Wait until nobody has sent for longer than anybody waits before sending again."""
    last_s, before = clock.precise_s(), -1.0

    def nobody() -> bool:
        nonlocal last_s, before
        sent = sum(station.keyed_s for station in air.stations.values())
        if sent != before:
            last_s, before = clock.precise_s(), sent
        return clock.precise_s() - last_s > 25

    within(nobody)
