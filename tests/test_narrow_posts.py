"""Two posts with nothing but a serial line between them, whose plug is pulled again and again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from bench.modem import Modems
from bench.posts import LINE, make_pair, until
from tests.command_line import Captured
from tests.test_carry import Party, asked, came, heads

BAUD = 1_000_000
BIT_S = 400_000
"""Of the wire: a megabyte takes 20 seconds."""
FILE_BYTES = 1_000_000
PATIENCE_S = 240.0


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    """No wishes of the tester's own environment."""
    for name in ("OPENLINE_DIR", "OPENLINE_KEY_FILE", "OPENLINE_LANG", "LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", "C.UTF-8")


@pytest.fixture
def modems(tmp_path: Path) -> Iterator[Modems]:
    """Two devices and the wire between them."""
    place = tmp_path / "devices"
    place.mkdir()
    with Modems(place, bit_s=BIT_S, latency_s=0.05) as made:
        yield made


@pytest.fixture
def parties(tmp_path: Path, modems: Modems) -> Iterator[tuple[Party, Party]]:
    """Two sides, paired with a tape, each with its device."""
    places = make_pair(tmp_path)
    made = [Party(place) for place in places]
    for party, device in zip(made, modems.devices.values(), strict=True):
        said = ("--serial", device, "--baud", BAUD, "--rate", BIT_S // 8, "--latency", 50)
        assert party("bearer", "add", LINE, *said) == 0
    yield made[0], made[1]
    for party in made:
        party.process.stop()


def test_a_flash_and_its_receipt_go_over_a_serial_line(
    parties: tuple[Party, Party], capsys: Captured
) -> None:
    ours, theirs = parties
    serial = asked(capsys, ours, "send", LINE, "-p", "flash", "Over the wire.")["serial"]
    until(lambda: came(capsys, theirs, "Over the wire.") == 1)
    found = asked(capsys, theirs, "inbox")
    [message] = [each for each in found if each.get("text") == "Over the wire."]
    assert theirs("receipt", LINE, message["serial"], "--shown") == 0

    def state() -> str:
        return str(asked(capsys, ours, "show", LINE, f"ours:{serial['number']}")["state"])

    until(lambda: state() == "shown")
    [bearer] = asked(capsys, ours, "bearer", "list")
    assert (bearer["kind"], bearer["up"]) == ("serial", True)


def test_a_megabyte_arrives_whole_and_once_however_often_the_plug_is_pulled(
    parties: tuple[Party, Party],
    modems: Modems,
    tmp_path: Path,
    capsys: Captured,
    long_run: bool,
) -> None:
    """The bar: 20 tears in the long run; in the sample 3, and a part of the file."""
    ours, theirs = parties
    tears = 20 if long_run else 3
    random, pause = Random(tears), threading.Event()
    sent = tmp_path / "map.bin"
    sent.write_bytes(random.randbytes(FILE_BYTES * tears // 20))
    assert ours("send", LINE, "The map.", "--attach", sent) == 0
    for _ in range(tears):
        pause.wait(random.uniform(0.2, 1.0))
        end = random.choice([*modems.devices])
        modems.pull(end)
        pause.wait(random.uniform(0.0, 0.2))
        modems.plug(end)
    until(lambda: came(capsys, theirs, "The map.") == 1, patience_s=PATIENCE_S)
    found = asked(capsys, theirs, "inbox")
    number = next(each["number"] for each in found if each.get("text") == "The map.")
    saved = tmp_path / "saved.bin"
    capsys.readouterr()
    until(
        lambda: theirs("attachment", "save", LINE, str(number), saved) == 0,
        patience_s=PATIENCE_S,
    )
    assert saved.read_bytes() == sent.read_bytes()
    until(lambda: heads(capsys, ours) == heads(capsys, theirs)[::-1], patience_s=PATIENCE_S)
    found = asked(capsys, theirs, "inbox")
    assert sum(each.get("text") == "The map." for each in found) == 1
