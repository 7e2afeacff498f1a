"""Nobody asks the desk more than it bears, and nobody spends for another."""

from __future__ import annotations

import pytest

from openline.core.events import Now
from openline.desk.app import DOOR_BURST
from openline.desk.pace import NAMES_MAX, Pace
from openline.errors import LocalError

from .scene import Scene


def spent(pace: Pace, name: str, mono_ms: int) -> int:
    """How many requests are granted at this instant."""
    for count in range(100_000):
        try:
            pace.spend(name, Now(mono_ms, 0))
        except LocalError:
            return count
    raise AssertionError("no end")


def test_a_burst_and_then_so_many_a_second() -> None:
    pace = Pace(20, 5)
    assert spent(pace, "one", 7) == 20
    with pytest.raises(LocalError, match=r"desk\.too_many seconds=1"):
        pace.spend("one", Now(7, 0))
    assert spent(pace, "one", 7 + 199) == 0
    assert spent(pace, "one", 7 + 1_000) == 5
    assert spent(pace, "one", 7 + 3_600_000) == 20


def test_nobody_spends_for_another() -> None:
    pace = Pace(20, 5)
    assert spent(pace, "one", 0) == spent(pace, "two", 0) == 20


def test_names_are_forgotten_before_they_fill_the_memory() -> None:
    pace = Pace(2, 1)
    assert spent(pace, "one", 0) == 2
    for number in range(NAMES_MAX):
        pace.spend(f"other-{number}", Now(0, 0))
    assert spent(pace, "one", 0) == 2


def test_a_crowd_at_the_door_is_told_to_wait_and_does_not_disturb_who_is_in(scene: Scene) -> None:
    with scene.browser("duty") as inside, scene.browser() as crowd:
        for _ in range(40 * DOOR_BURST):
            answer = crowd.post("/sign-in/passkey", data={"what": "sign_in"})
            if answer.status_code == 429:
                break
        assert answer.status_code == 429
        assert "wait" in answer.text
        assert inside.get("/").status_code == 200
        said = {"what": "passkey_add"}
        assert inside.post("/passkey", data=said).status_code == 200


@pytest.mark.parametrize("path", ["/sign-in", "/enter"])
def test_the_door_itself_is_shown_to_everybody(scene: Scene, path: str) -> None:
    with scene.browser() as crowd:
        assert crowd.get(path).status_code == 200
