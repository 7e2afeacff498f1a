"""`./dev bench`: measure everything in one run and show it, with bars where there are any.

Theory of operation: each part measures in a directory made for the run and removed after it, on the
file system of --dir; a part is given as a function that returns values under their stable names.
The parts run one after the other, so that none disturbs another.
"""

from __future__ import annotations

import json
import os
import platform
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from . import (
    blackhole,
    board,
    browser,
    compression,
    durable,
    footprint,
    growth,
    latency,
    narrow,
    restore,
    screen,
    wire,
)
from .posts import make_pair, running
from .report import as_json, show

Values = dict[str, float]
Told = Callable[[str], None]
Part = Callable[[Path, bool, Told], Values]


def bytes_on_the_wire(_place: Path, _quick: bool, _told: Told) -> Values:
    """Overheads and first contact."""
    overhead, contact = wire.overhead(), wire.first_contact()
    return {
        "sealed_overhead_bytes_200": overhead.text,
        "sealed_overhead_bytes_200_all_fields": overhead.text_all_fields,
        "ack_sealed_bytes": overhead.ack,
        "first_contact_bytes": contact.tape,
        "first_contact_bytes_cards": contact.cards,
        "first_contact_bytes_unpadded": contact.tape_unpadded,
        "first_contact_bytes_cards_unpadded": contact.cards_unpadded,
    }


def compressing(_place: Path, _quick: bool, _told: Told) -> Values:
    """What deflating leaves of texts."""
    return compression.values()


def sealing(_place: Path, quick: bool, _told: Told) -> Values:
    """Sealing against the bare AEAD."""
    speed = wire.speed(3 if quick else 9, 2_000 if quick else 8_000)
    return {
        "seal_open_per_s": speed.ours,
        "aead_per_s": speed.aead,
        "seal_open_to_aead": speed.ratio,
    }


def talking(place: Path, quick: bool, told: Told) -> Values:
    """Memory at rest, then latency, then throughput, of one running pair."""
    with running(make_pair(place)) as (near, far):
        memory_mb = max(near.memory_mb(), far.memory_mb())
        told("one message at a time")
        times = latency.measure(near, far, 100 if quick else 1_000)
        told("messages one way against bare commits")
        rates = durable.measure(near, far, place, *((3, 2_000) if quick else (9, 5_000)))
    return {
        "idle_memory_mb": memory_mb,
        "messages_per_s_durable": rates.messages_per_s,
        "commit_floor_per_s": rates.commits_per_s,
        "durable_to_floor": rates.ratio,
        "sender_cpu_us": rates.sender_cpu_us,
        "receiver_cpu_us": rates.receiver_cpu_us,
        "latency_p50_ms": latency.quantile(times.arrived, 0.5),
        "latency_p99_ms": latency.quantile(times.arrived, 0.99),
        "latency_held_p50_ms": latency.quantile(times.held, 0.5),
        "latency_held_p99_ms": latency.quantile(times.held, 0.99),
        "latency_own_p50_ms": latency.quantile(times.answered, 0.5),
        "tcp_echo_p50_ms": latency.quantile(times.echo, 0.5),
        "tcp_echo_p99_ms": latency.quantile(times.echo, 0.99),
    }


def lengthening(place: Path, quick: bool, told: Told) -> Values:
    """Cost by length of the transcript."""
    lengths = [1_000, 100_000] if quick else [1_000, 100_000, 1_000_000]
    rounds, texts = (5, 320) if quick else (15, 640)
    costs = growth.measure(
        place, lengths, rounds, texts, lambda part: told(f"long transcripts, {part:.0%} written")
    )
    cheapest = min(cost.cpu_us for cost in costs)
    return {
        **{f"cost_us_{cost.length}": cost.cpu_us for cost in costs},
        **{f"cost_wall_us_{cost.length}": cost.wall_us for cost in costs},
        "cost_growth": max(cost.cpu_us for cost in costs) / cheapest,
        "open_s_longest": costs[-1].open_s,
        "megabytes_longest": costs[-1].megabytes,
    }


def starting(place: Path, quick: bool, _told: Told) -> Values:
    """Cold starts."""
    runs = 3 if quick else 11
    return {
        "cold_start_s": footprint.cold_start_s(make_pair(place), runs),
        "help_s": footprint.help_s(runs),
        "python_s": footprint.python_s(runs),
    }


def desks(place: Path, quick: bool, told: Told) -> Values:
    """A busy board; a FLASH on the other desk's screen, where there is a browser."""
    (place / "busy").mkdir()
    (place / "screen").mkdir()
    size = (20, 1_000, 10) if quick else (200, 10_000, 50)
    busy = board.measure(place / "busy", told, *size)
    found = {
        "board_page_ms": busy.page_ms,
        "board_update_ms": busy.update_ms,
        "board_page_cpu_ms": busy.page_cpu_ms,
        "http_floor_ms": busy.nothing_ms,
    }
    if browser.missing() is not None:
        return found
    return found | screen.values(screen.measure(place / "screen", told, 10 if quick else 50))


def narrow_wire(place: Path, quick: bool, told: Told) -> Values:
    """A serial line of 300 bit/s."""
    return narrow.values(narrow.measure(place, told, 3 if quick else 12))


PARTS: dict[str, Part] = {
    "bytes on the wire": bytes_on_the_wire,
    "compression": compressing,
    "sealing": sealing,
    "talking": talking,
    "starting": starting,
    "lengthening": lengthening,
    "restores": restore.measure,
    "blackholes": blackhole.measure,
    "narrow": narrow_wire,
    "desks": desks,
}


def machine(place: Path) -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "processors": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "file_system": durable.file_system(place),
    }


def _tell(progress: Progress, task: TaskID, where: str, what: str) -> None:
    progress.update(task, description=where + what)


@click.command()
@click.option("--json", "out", type=click.Path(path_type=Path), help="Write the figures here.")
@click.option("--quick", is_flag=True, help="Fewer repeats, no transcript of a million records.")
@click.option("--only", type=click.Choice([*PARTS]), multiple=True, help="Measure this part alone.")
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Measure on this file system (by default that of temporary files).",
)
def main(out: Path | None, quick: bool, only: tuple[str, ...], directory: Path | None) -> None:
    """Measure what Openline costs on this machine, in one run of some minutes."""
    values: Values = {}
    with (
        tempfile.TemporaryDirectory(prefix="openline-bench-", dir=directory) as made,
        Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
        ) as progress,
    ):
        place, about = Path(made), machine(Path(made))
        task = progress.add_task("", total=None)
        for at, (name, part) in enumerate(PARTS.items(), 1):
            if only and name not in only:
                continue
            told = partial(_tell, progress, task, f"{at} of {len(PARTS)}: ")
            told(name)
            inside = place / str(at)
            inside.mkdir()
            values |= part(inside, quick, told)
    show(Console(), values, about)
    if out is not None:
        out.write_text(json.dumps(as_json(values, about), indent=1) + "\n")


if __name__ == "__main__":
    main()
