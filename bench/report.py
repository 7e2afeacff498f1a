"""Measures, their bars, and how both are shown.

Theory of operation: a measure has a stable name, which is its key in the JSON; BARS says which of
them are held to what. A measure without a bar is there to compare with.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table


class Bar(NamedTuple):
    """What a measure has to reach."""

    least: float | None = None
    most: float | None = None

    def met(self, value: float) -> bool:
        """Whether the value is within."""
        above = self.least is None or value >= self.least
        return above and (self.most is None or value <= self.most)

    def __str__(self) -> str:
        return f"≥ {self.least:,g}" if self.least is not None else f"≤ {self.most:,g}"


class Measure(NamedTuple):
    """How a measure is shown: its wording, its unit, and its decimals."""

    text: str
    unit: str
    decimals: int = 0


BARS = {
    "sealed_overhead_bytes_200": Bar(most=66),
    "sealed_overhead_bytes_200_all_fields": Bar(most=66),
    "ack_sealed_bytes": Bar(most=56),
    "text_ratio_en": Bar(most=0.6),
    "text_ratio_fr": Bar(most=0.6),
    "text_ratio_ru": Bar(most=0.6),
    "messages_per_s_durable": Bar(least=1000),
    "durable_to_floor": Bar(least=0.4),
    "latency_p50_ms": Bar(most=10),
    "cost_growth": Bar(most=1.2),
    "restore_at_once_tape": Bar(least=0.99),
    "restore_at_once_cards": Bar(least=0.9),
    "restore_worst_tries_tape": Bar(most=4),
    "restore_worst_tries_cards": Bar(most=6),
    "restore_dead": Bar(most=0),
    "restore_dead_lossy": Bar(most=0),
    "restore_false_alarms": Bar(most=0.01),
    "death_s": Bar(most=0.26),
    "blackhole_20_caller_s": Bar(most=1.0),
    "blackhole_20_listener_s": Bar(most=1.0),
    "blackhole_20_relay_s": Bar(most=1.0),
    "blackhole_20_packets_per_s": Bar(most=2),
    "blackhole_20_bytes_per_s": Bar(most=200),
    "blackhole_120_caller_s": Bar(most=1.0),
    "blackhole_120_listener_s": Bar(most=1.0),
    "blackhole_120_relay_s": Bar(most=1.0),
    "blackhole_120_packets_per_s": Bar(most=2),
    "blackhole_120_bytes_per_s": Bar(most=200),
    "narrow_contact_tape_s": Bar(most=12),
    "narrow_contact_cards_s": Bar(most=75),
    "narrow_text_ratio": Bar(most=1),
    "narrow_text_ratio_max": Bar(most=1),
    "narrow_flash_ratio_max": Bar(most=1.5),
    "board_page_ms": Bar(most=200),
    "board_update_ms": Bar(most=50),
    "flash_shown_p50_ms": Bar(most=300),
    "flash_sounds_p50_ms": Bar(most=300),
}


def _texts(tag: str, language: str) -> dict[str, Measure]:
    return {
        f"text_ratio_{tag}": Measure(f"{language}: body as sent to UTF-8, median", "", 3),
        f"text_ratio_worst_{tag}": Measure("  the worst", "", 3),
        f"text_ratio_without_{tag}": Measure("  without dictionary, median", "", 3),
        f"text_bytes_{tag}": Measure("  a message, median", "B"),
        f"text_bytes_sent_{tag}": Measure("  as sent, median", "B"),
        f"text_messages_{tag}": Measure("  messages", ""),
        f"deflate_us_{tag}": Measure("  processor time to deflate one", "µs"),
    }


MEASURES: dict[str, dict[str, Measure]] = {
    "Bytes on the wire": {
        "sealed_overhead_bytes_200": Measure("a 200-byte text, beyond its body", "B"),
        "sealed_overhead_bytes_200_all_fields": Measure("  with DTG, reply due, reference", "B"),
        "ack_sealed_bytes": Measure("its acknowledgement, whole", "B"),
        "first_contact_bytes": Measure("first contact with tape, both ways, padded", "B"),
        "first_contact_bytes_cards": Measure("  by cards alone", "B"),
        "first_contact_bytes_unpadded": Measure("  with tape, without padding", "B"),
        "first_contact_bytes_cards_unpadded": Measure("  by cards alone, without padding", "B"),
    },
    "Texts before sealing, not by the dictionaries' author": {
        **_texts("en", "English"),
        **_texts("fr", "French"),
        **_texts("ru", "Russian"),
    },
    "Sealing alone, one processor": {
        "seal_open_per_s": Measure("200-byte texts sealed and opened", "/s"),
        "aead_per_s": Measure("AES-256-GCM-SIV alone, same bytes", "/s"),
        "seal_open_to_aead": Measure("ratio", "", 2),
    },
    "One way, both sides committing": {
        "messages_per_s_durable": Measure("messages held by the other side", "/s"),
        "commit_floor_per_s": Measure("bare SQLCipher commits, one row each", "/s"),
        "durable_to_floor": Measure("ratio", "", 2),
        "sender_cpu_us": Measure("processor time per message, sender", "µs"),
        "receiver_cpu_us": Measure("  receiver", "µs"),
    },
    "One message on an idle line": {
        "latency_p50_ms": Measure("send to on the other side's disk, median", "ms", 2),
        "latency_p99_ms": Measure("  99th percentile", "ms", 2),
        "latency_held_p50_ms": Measure("send to known here to be there, median", "ms", 2),
        "latency_held_p99_ms": Measure("  99th percentile", "ms", 2),
        "latency_own_p50_ms": Measure("send to on our own disk, median", "ms", 2),
        "tcp_echo_p50_ms": Measure("a bare TCP echo, median", "ms", 2),
        "tcp_echo_p99_ms": Measure("  99th percentile", "ms", 2),
    },
    "Cost of a message by length of the transcript": {
        "cost_us_1000": Measure("1,000 records: processor time, both posts", "µs"),
        "cost_us_100000": Measure("100,000 records", "µs"),
        "cost_us_1000000": Measure("1,000,000 records", "µs"),
        "cost_growth": Measure("most expensive to cheapest", "", 2),
        "open_s_longest": Measure("opening both posts at the longest", "s", 2),
        "megabytes_longest": Measure("one post's record on disk at the longest", "MB"),
    },
    "After a wire that swallowed everything, with a message waiting": {
        "blackhole_20_caller_s": Measure("20 s, the caller's message: wire back to disk", "s", 2),
        "blackhole_20_caller_max_s": Measure("  the slowest", "s", 2),
        "blackhole_20_listener_s": Measure("  the listener's message", "s", 2),
        "blackhole_20_listener_max_s": Measure("  the slowest", "s", 2),
        "blackhole_20_relay_s": Measure("  over the relay alone", "s", 2),
        "blackhole_20_relay_max_s": Measure("  the slowest", "s", 2),
        "blackhole_20_packets_per_s": Measure("  packets put on the worst wire meanwhile", "/s", 2),
        "blackhole_20_bytes_per_s": Measure("  IP bytes on the worst wire", "/s"),
        "blackhole_120_caller_s": Measure("120 s, the caller's message", "s", 2),
        "blackhole_120_caller_max_s": Measure("  the slowest", "s", 2),
        "blackhole_120_listener_s": Measure("  the listener's message", "s", 2),
        "blackhole_120_listener_max_s": Measure("  the slowest", "s", 2),
        "blackhole_120_relay_s": Measure("  over the relay alone", "s", 2),
        "blackhole_120_relay_max_s": Measure("  the slowest", "s", 2),
        "blackhole_120_packets_per_s": Measure("  packets put on the worst wire", "/s", 2),
        "blackhole_120_bytes_per_s": Measure("  IP bytes on the worst wire", "/s"),
        "death_s": Measure("a bearer dies in mid-message: death to disk, by the other", "s", 2),
        "death_max_s": Measure("  the slowest", "s", 2),
    },
    "One side or both restored from a backup a month old": {
        "restore_trials": Measure("restores", ""),
        "restore_at_once_tape": Measure("with tape: first text either way readable at once", "", 4),
        "restore_worst_tries_tape": Measure("  the worst was readable at try", ""),
        "restore_at_once_cards": Measure("by cards alone: readable at once", "", 4),
        "restore_worst_tries_cards": Measure("  the worst was readable at try", ""),
        "restore_blind_second_tape": Measure(
            "sent before the loss was known: second try, tape", "", 3
        ),
        "restore_blind_second_cards": Measure("  second try, cards", "", 3),
        "restore_dead": Measure("lines that did not come back, or records that differ", ""),
        "restore_dead_lossy": Measure("  with 30 % loss", ""),
        "restore_echoes_lossy": Measure("  the alarm once more after it was cleared", "", 3),
        "restore_alarmed": Measure("restores with an alarm on a side at least", "", 3),
        "restore_false_alarms": Measure("months of 30 % loss alone: false alarms", "", 4),
    },
    "A radio modem of 300 bit/s, two seconds each way": {
        "narrow_contact_tape_s": Measure("first contact with tape to the first text there", "s", 1),
        "narrow_contact_cards_s": Measure("  by cards alone", "s", 1),
        "narrow_text_s": Measure("200 characters of prose on an idle line, median", "s", 2),
        "narrow_text_max_s": Measure("  the slowest", "s", 2),
        "narrow_text_ratio": Measure("  to its bare UTF-8 bytes on that wire, median", "", 2),
        "narrow_text_ratio_max": Measure("  the worst", "", 2),
        "narrow_flash_s": Measure("FLASH behind 100 kB of ROUTINE, median", "s", 2),
        "narrow_flash_ratio": Measure("  to its own bytes and the latency, median", "", 2),
        "narrow_flash_ratio_max": Measure("  the worst", "", 2),
    },
    "The desk, 200 lines and 10,000 texts that nobody has opened": {
        "board_page_ms": Measure("the board as a page, request to last byte, median", "ms", 1),
        "board_page_cpu_ms": Measure("  processor time of desk and post", "ms", 1),
        "board_update_ms": Measure("commit to the changed board in the browser's hands", "ms", 1),
        "http_floor_ms": Measure("the smallest file of the desk", "ms", 1),
    },
    "A FLASH, from being released to the other desk's screen": {
        "flash_shown_p50_ms": Measure("drawn, median", "ms"),
        "flash_shown_max_ms": Measure("  the slowest", "ms"),
        "flash_sounds_p50_ms": Measure("sounding, median", "ms"),
        "flash_sounds_max_ms": Measure("  the slowest", "ms"),
    },
    "A post at rest": {
        "idle_memory_mb": Measure("resident memory", "MB", 1),
        "cold_start_s": Measure("cold start, exec to ready", "s", 2),
        "help_s": Measure("openline --help", "s", 2),
        "python_s": Measure("Python doing nothing", "s", 2),
    },
}


def show(console: Console, values: Mapping[str, float], machine: Mapping[str, Any]) -> None:
    """Print all measures with their bars."""
    said = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in machine.items())
    table = Table(title="Openline on this machine", caption=said, title_justify="left")
    table.add_column("")
    table.add_column("measured", justify="right")
    table.add_column("bar", justify="right")
    table.add_column("")
    for section, measures in MEASURES.items():
        shown = {name: measure for name, measure in measures.items() if name in values}
        if not shown:
            continue
        table.add_row(f"[bold]{section}[/]", "", "", "")
        for name, measure in shown.items():
            value = f"{values[name]:,.{measure.decimals}f} {measure.unit}".strip()
            table.add_row("  " + measure.text, value, *_judged(name, values[name]))
        table.add_section()
    console.print(table)


def _judged(name: str, value: float) -> tuple[str, str]:
    bar = BARS.get(name)
    if bar is None:
        return "", ""
    return str(bar), "[green]pass[/]" if bar.met(value) else "[red]falls short[/]"


def as_json(values: Mapping[str, float], machine: Mapping[str, Any]) -> dict[str, Any]:
    """All measures under their names, which bars are met, and the machine."""
    met = {name: bar.met(values[name]) for name, bar in BARS.items() if name in values}
    return {**{name: round(value, 4) for name, value in values.items()}, "met": met, **machine}
