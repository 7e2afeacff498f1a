"""The ranking of bearers, from how they stand alone."""

from __future__ import annotations

from typing import Any

import pytest

from openline.delivery.choice import Standing, Why, expected_ms, order


def at(name: str, **differing: Any) -> Standing:
    """A bearer that is quick and cheap, apart from what is said."""
    plain = Standing(name, 10, 40, 1000, 0, None, queue_bytes=0, room=True, stuck=False)
    return plain._replace(**differing)


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (at("other"), Why.EQUAL),
        (at("other", cost=20), Why.DEARER),
        (at("other", delay_ms=240, cost=20), Why.DEARER),
        (at("other", delay_ms=500, cost=1), Why.SLOWER),
        (at("other", delay_ms=41), Why.SLOWER),
        (at("other", loss_permille=500, cost=1), Why.SLOWER),
        (at("other", rate_bytes_s=100, cost=1), Why.SLOWER),
        (at("other", rate_bytes_s=10_000, queue_bytes=40_000, cost=1), Why.SLOWER),
        (at("other", room=False, cost=1), Why.FULL),
        (at("other", stuck=True, room=False, cost=1), Why.STUCK),
    ],
)
def test_what_is_worse_comes_second_and_says_why(other: Standing, why: Why) -> None:
    for standings in ([at("best"), other], [other, at("best")]):
        verdicts = order(standings, 300)
        assert [(verdict.name, verdict.why) for verdict in verdicts] == [
            ("best", Why.BEST),
            ("other", why),
        ]


def test_cost_decides_between_times_less_than_twice_apart() -> None:
    cheap, quick = at("cheap", delay_ms=900, cost=1), at("quick", delay_ms=600, cost=2)
    assert order([quick, cheap], 300)[0].name == "cheap"
    assert order([quick._replace(delay_ms=400), cheap], 300)[0].name == "quick"


def test_expected_time_counts_the_wire_what_is_on_it_and_the_repeats() -> None:
    assert expected_ms(at("a"), 1000) == 40
    assert expected_ms(at("a", rate_bytes_s=1000, queue_bytes=500), 1000) == 40 + 1500
    assert expected_ms(at("a", loss_permille=200), 1000) == 40 + 250
    assert expected_ms(at("a", loss_permille=1000), 1000) == 40 + 19_000


def test_no_bearers_are_ranked_too() -> None:
    assert order([], 300) == []
