"""`python -m openline.sim`: many seeds and what they covered, one seed replayed, or sabotage.

Exit status 1 if anything was found, if a large run did not cover what it should, or if a sabotage
was not caught.
"""

from __future__ import annotations

import os
import sys

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn
from rich.table import Table

from ..clock import precise_s
from .coverage import Coverage
from .sabotage import SABOTAGES
from .swarm import Outcome, run, run_many

SABOTAGE_SEEDS_MAX = 500


def _report_failure(console: Console, outcome: Outcome) -> None:
    console.print(f"[red]seed {outcome.seed}[/red]: {outcome.failure}", soft_wrap=True)
    console.print(f"  ./dev sim --replay {outcome.seed}")


def _replay(console: Console, seed: int) -> int:
    outcome = run(seed)
    for line in outcome.trace:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    struck = ", ".join(f"{kind} {count}" for kind, count in sorted(outcome.faults.items()))
    console.print(f"faults: {struck or 'none'}; {outcome.messages} messages; {outcome.acts} acts")
    console.print(f"trace {outcome.fingerprint}")
    if outcome.failure:
        _report_failure(console, outcome)
        return 1
    console.print(f"clean; settled {outcome.settled_ms / 1000:.0f} s after the last fault")
    return 0


def _swarm(console: Console, seeds: range, jobs: int) -> int:
    coverage, failures, begun_s = Coverage(), 0, precise_s()
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress("seeds", *columns, console=console) as progress:
        task = progress.add_task("seeds", total=len(seeds))
        for outcome in run_many(seeds, jobs):
            coverage.add(outcome)
            if outcome.failure:
                failures += 1
                _report_failure(progress.console, outcome)
            progress.advance(task)
    for table in coverage.table():
        console.print(table)
    for line in coverage.pairs_shown():
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print(
        f"{coverage.seeds} seeds, {failures} failed; messages per seed: "
        f"{coverage.messages / max(1, coverage.seeds):.0f} on average, "
        f"{coverage.messages_min} at least; "
        f"slowest to settle: {coverage.settled_ms_max / 1000:.0f} s of virtual time; "
        f"a FLASH passed what was leaving on a narrow wire {coverage.overtakings} times"
    )
    taken_s = precise_s() - begun_s
    console.print(
        f"{coverage.virtual_years:.1f} virtual years in {taken_s:.0f} s of wall time: "
        f"{coverage.seeds / max(taken_s, 1e-9):.1f} seeds/s"
    )
    wanting = [] if failures else coverage.wanting()
    for what in wanting:
        console.print(f"[red]not covered[/red]: {what}")
    return 1 if failures or wanting else 0


def _sabotage(console: Console, names: list[str], seeds: range, jobs: int) -> int:
    missed = 0
    table = Table("sabotage", "caught by seed", "how")
    for name in names:
        caught = next((o for o in run_many(seeds, jobs, name) if o.failure), None)
        missed += caught is None
        seed, how = (str(caught.seed), caught.failure[:90]) if caught else ("[red]none[/red]", "")
        table.add_row(name, seed, how)
    console.print(table)
    return 1 if missed else 0


@click.command()
@click.option("--seeds", default=200, show_default=True, help="How many seeds to run.")
@click.option("--from", "first", default=1, show_default=True, help="The first seed.")
@click.option("--replay", type=int, help="Run one seed and show the end of its trace.")
@click.option(
    "--sabotage", type=click.Choice([*SABOTAGES, "all"]), help="Show that a bug is caught."
)
@click.option("--jobs", type=int, help="Processes; by default one for each core.")
def main(
    seeds: int, first: int, replay: int | None, sabotage: str | None, jobs: int | None
) -> None:
    """Run production code under virtual time, faults, and an independent checker."""
    console = Console()
    jobs = jobs or os.cpu_count() or 1
    if replay is not None:
        sys.exit(_replay(console, replay))
    if sabotage is not None:
        names = list(SABOTAGES) if sabotage == "all" else [sabotage]
        most = range(first, first + min(seeds, SABOTAGE_SEEDS_MAX))
        sys.exit(_sabotage(console, names, most, jobs))
    sys.exit(_swarm(console, range(first, first + seeds), jobs))


if __name__ == "__main__":
    main()
