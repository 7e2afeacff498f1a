"""Bytes are exact and so are tests; of what is timed, only that it is told under stable names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench import durable, growth, report, wire
from bench.__main__ import main
from bench.latency import quantile

NAMES = {
    "sealed_overhead_bytes_200",
    "ack_sealed_bytes",
    "first_contact_bytes",
    "text_ratio_en",
    "text_ratio_fr",
    "text_ratio_ru",
    "seal_open_per_s",
    "messages_per_s_durable",
    "commit_floor_per_s",
    "latency_p50_ms",
    "latency_p99_ms",
    "tcp_echo_p50_ms",
    "idle_memory_mb",
    "cold_start_s",
}
"""What others read from the JSON."""


def test_names_that_others_read_are_measures() -> None:
    assert NAMES | set(report.BARS) <= {name for part in report.MEASURES.values() for name in part}


def test_a_text_costs_at_most_66_bytes_and_an_ack_56() -> None:
    overhead = wire.overhead()
    # 42 bytes of header, salt and tag; 1 frame type; 13 or 23 of the record before its body.
    assert (overhead.text, overhead.text_all_fields) == (56, 66)
    # 42, 1 frame type, 3 incarnation, 2 number.
    assert overhead.ack == 48


def test_first_contact_by_tape_is_cheaper_than_by_cards() -> None:
    contact = wire.first_contact()
    assert 200 < contact.tape_unpadded <= contact.tape < 1_500
    assert 2 * 1_694 < contact.cards_unpadded <= contact.cards < 8_000


def test_written_transcripts_are_continued_and_agree(tmp_path: Path) -> None:
    costs = growth.measure(tmp_path, [100, 300], 1, growth.STEP_TEXTS, lambda _: None)
    assert [cost.length for cost in costs] == [100, 300]
    assert all(0 < cost.cpu_us <= cost.wall_us * 1.5 for cost in costs)


def test_a_bar_is_met_at_its_value() -> None:
    assert report.Bar(most=66).met(66)
    assert not report.Bar(most=66).met(67)
    assert report.Bar(least=0.4).met(0.4)
    assert not report.Bar(least=0.4).met(0.39)


def test_quantiles() -> None:
    assert (quantile([1, 2, 3, 4], 0.5), quantile([1, 2, 3], 0.99)) == (3, 3)


def test_the_file_system_is_named(tmp_path: Path) -> None:
    assert durable.file_system(tmp_path) != "unknown"
    assert durable.file_system(Path("/proc")) == "proc"


@pytest.mark.parametrize("part", ["bytes on the wire", "compression", "sealing"])
def test_figures_are_shown_and_written(tmp_path: Path, part: str) -> None:
    out = tmp_path / "figures.json"
    ended = CliRunner().invoke(main, ["--quick", "--only", part, "--json", str(out)])
    assert ended.exit_code == 0, ended.output
    figures = json.loads(out.read_text())
    measured = {name for name in NAMES if name in figures}
    assert measured
    assert all(figures["met"].values())
    assert {"processors", "load", "python", "file_system"} <= set(figures)


@pytest.mark.long
def test_a_whole_run_measures_every_name(tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    ended = CliRunner().invoke(main, ["--quick", "--json", str(out)])
    assert ended.exit_code == 0, ended.output
    assert set(json.loads(out.read_text())) >= NAMES
