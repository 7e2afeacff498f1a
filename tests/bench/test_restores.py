"""The benchmark of restores: worlds are repeatable, and every figure has its place."""

from __future__ import annotations

import pytest

from bench import report, restore


@pytest.mark.parametrize("seed", [0, 1], ids=["tape", "cards"])
def test_a_month_old_backup_brings_the_line_back_with_an_alarm(seed: int) -> None:
    found = restore.live(seed, 2, 0.0)
    assert found == restore.live(seed, 2, 0.0)
    for trial in found:
        assert trial.alarms
        assert trial.alike
        assert trial.tries[1] == 1
        assert trial.blind or trial.tries[0] == 1


def test_loss_and_restarts_alone_raise_no_alarm() -> None:
    assert restore.unrestored(2, 2, restore.LOSS) == [False, False]


def test_every_figure_has_its_place_in_the_report() -> None:
    trials = [
        restore.Trial(True, False, (1, 2), frozenset({"other"}), True, False),
        restore.Trial(False, True, (2, 1), frozenset(), True, False),
        restore.Trial(False, False, (None, 1), frozenset(), False, False),
    ]
    figures = restore._figures(trials)
    assert set(figures) <= {name for part in report.MEASURES.values() for name in part}
    assert figures["restore_at_once_tape"] == 0.5
    assert figures["restore_worst_tries_tape"] == 2
    assert figures["restore_dead"] == 1
    assert figures["restore_at_once_cards"] == pytest.approx(2 / 3)
    assert figures["restore_blind_second_cards"] == 1
