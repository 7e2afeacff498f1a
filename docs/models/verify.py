"""Run Spin over the models beside this file and say what it found: `./dev model`.

Theory of operation: a check is one search: a model, the property asked, the bounds (-D of spin) and
the kind of search (flags of the C compiler and of the search itself). Spin writes the search as a
C program, the compiler makes it fast, and it visits every state within the bounds, or stops at the
first that breaks the property. A mutant is the same model with one rule broken: it must break the
property it names, or nothing would be shown by the others. The table tells what each search saw;
the program ends with 1 if one ended otherwise than it should, with 2 if it cannot run.

Only the standard library is used here. What the models say stands in docs/models/README.md.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

MODELS = Path(__file__).resolve().parent
MODEL = "line.pml"
SECONDS_MAX = 900
TRAIL_LINES = 14

SAFETY = ("-DSAFETY", "-DNOCLAIM", "-DCOLLAPSE")
SHORTEST = (*SAFETY, "-DBFS")
"""For mutants: breadth first, so that the trail is as short as can be."""
LIVENESS = ("-DCOLLAPSE", "-DNFAIR=3")
FAIRLY = ("-a", "-f")
"""A cycle that breaks the claim, with every process that could act acting (weak fairness)."""

ASSERTION = "assertion violated"
DEADLOCK = "invalid end state"
CYCLE = "acceptance cycle"
CYCLE_MARK = "START OF CYCLE"


class Check(NamedTuple):
    """One search. `breaks` is what Spin must report of a mutant; None: nothing may be found."""

    name: str
    claim: str
    bounds: str
    search: Sequence[str]
    options: Sequence[str] = ()
    breaks: str | None = None
    quick: bool = False


class Found(NamedTuple):
    """What a search saw: `fault` as Spin words it, None if it found none in the whole space."""

    states: int
    depth: int
    fault: str | None
    complete: bool
    seconds: float
    trail: list[str]


LIVE = "each reads the other, again and again"
SAFE = "no deadlock, no false alarm or REOPEN"
ONCE = "no index of a run is used twice"
ONE = "-DSLOTS=1 -DCRASHES=0 -DCOPIES=0"
KIT = ONE + " -DEARLY=0 -DROOTS=1"
ROOT = ONE + " -DWHO=1 -DEARLY=1 -DROOTS=1"
COPY = "-DSLOTS=1 -DCRASHES=0 -DCOPIES=1 -DWHO=1 -DEARLY=0 -DROOTS=0"
DROP = ONE + " -DRESTORES=0 -DDROPS=1 -DEARLY=0 -DROOTS=0"
CRASH = "-DINDEXES -DSLOTS=1 -DCOPIES=0 -DRESTORES=0 -DCRASHES=1 -DWHO=1 -DEARLY=0 -DROOTS=0"

CHECKS = [
    Check("kit alone", SAFE, KIT, SAFETY),
    Check("kit alone", LIVE, KIT, LIVENESS, FAIRLY),
    Check("later root", LIVE, ROOT, LIVENESS, FAIRLY),
    Check("old copy", LIVE, COPY, LIVENESS, FAIRLY, quick=True),
    Check("run dropped", LIVE, DROP, LIVENESS, FAIRLY),
    Check("crash", ONCE, CRASH, SAFETY, quick=True),
    Check("NOT_OBEYED", LIVE, KIT + " -DNOT_OBEYED", LIVENESS, FAIRLY, CYCLE, quick=True),
    Check("NEVER_ASKED", LIVE, ROOT + " -DNEVER_ASKED", LIVENESS, FAIRLY, CYCLE),
    Check("ANYTHING_ANSWERS", LIVE, DROP + " -DANYTHING_ANSWERS", LIVENESS, FAIRLY, CYCLE),
    Check("SILENCE_DOUBTS", SAFE, ROOT + " -DSILENCE_DOUBTS", SHORTEST, (), ASSERTION),
    Check("FORGOTTEN", SAFE, DROP + " -DFORGOTTEN", SHORTEST, (), ASSERTION, quick=True),
    Check("STORED", ONCE, CRASH + " -DSTORED", SHORTEST, (), ASSERTION, quick=True),
]


class ToolError(Exception):
    """Spin, the compiler or the search did not run."""


def run(command: Sequence[str], directory: Path) -> str:
    """Run a tool and give what it said. Raises ToolError."""
    try:
        ended = subprocess.run(
            command,
            cwd=directory,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS_MAX,
        )
    except subprocess.TimeoutExpired as error:
        raise ToolError(f"{command[0]} did not end within {SECONDS_MAX} s") from error
    if ended.returncode and not Path(command[0]).name.startswith("pan"):
        raise ToolError(f"{' '.join(command)}\n{ended.stdout}")
    return ended.stdout


def read_report(report: str) -> tuple[int, int, str | None, bool]:
    """(states, depth, fault or None, whether all was searched) of what a search printed.

    Raises ToolError if it printed no result.
    """
    states = re.search(r"^ *([0-9.e+]+) states, stored", report, re.MULTILINE)
    depth = re.search(r"depth reached (\d+), errors: (\d+)", report)
    if states is None or depth is None:
        raise ToolError(report)
    fault = re.search(r"^pan:\d+: (.*?)(?: \(at depth \d+\))?$", report, re.MULTILINE)
    complete = not re.search(r"Search not completed|too small|out of memory", report)
    return (
        int(float(states[1])),
        int(depth[1]),
        fault[1] if fault else (None if depth[2] == "0" else "an error without a name"),
        complete,
    )


def search(check: Check) -> Found:
    """Make and run one search in a directory of its own. Raises ToolError."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="openline-model-") as name:
        directory = Path(name)
        for source in MODELS.glob("*.pml"):
            shutil.copy(source, directory)
        run(["spin", *check.bounds.split(), "-a", MODEL], directory)
        make = ["cc", "-O1", "-w", "-DVECTORSZ=2048", "-DMEMLIM=20000"]
        run([*make, *check.search, "-o", "pan", "pan.c"], directory)
        report = run([str(directory / "pan"), "-m2000000", *check.options], directory)
        states, depth, fault, complete = read_report(report)
        trail = []
        if fault is not None and (directory / f"{MODEL}.trail").exists():
            replay = ["spin", "-t", "-T", "-B", *check.bounds.split(), MODEL]
            trail = [line for line in run(replay, directory).splitlines() if is_event(line)]
    return Found(states, depth, fault, complete, time.monotonic() - began, trail)


def is_event(line: str) -> bool:
    """Whether a line of a replay tells what a post or the world did."""
    return line.startswith(("post ", "the ")) or CYCLE_MARK in line


def judge(check: Check, found: Found) -> str:
    """The verdict in a few words; those that begin with "FAILED" fail the run."""
    if check.breaks is None:
        if found.fault is not None:
            return f"FAILED: {found.fault}"
        return "holds" if found.complete else "FAILED: the space was not searched to its end"
    if found.fault is None:
        return "FAILED: the mutant passes"
    if check.breaks not in found.fault:
        return f"FAILED: broken otherwise: {found.fault}"
    return "broken, as it must be"


def shortened(trail: list[str]) -> Iterable[str]:
    """The end of a trail; of one that ends in a cycle, what leads into it and how it begins."""
    start = next((at for at, line in enumerate(trail) if CYCLE_MARK in line), None)
    end = len(trail) if start is None else min(start + TRAIL_LINES // 2, len(trail))
    begin = max(end - TRAIL_LINES, 0)
    if begin:
        yield f"... {begin} lines before ..."
    yield from (line if CYCLE_MARK not in line else "for ever:" for line in trail[begin:end])


def verify(checks: Iterable[Check]) -> int:
    """Run the checks one after another and print the table; 1 if any ended as it should not."""
    row = "%-22s %-38s %10s %7s %6s  %s"
    print(row % ("model", "property", "states", "depth", "s", "verdict"))
    failed = 0
    for check in checks:
        found = search(check)
        verdict = judge(check, found)
        failed += verdict.startswith("FAILED")
        numbers = (f"{found.states:,}", f"{found.depth:,}", f"{found.seconds:.1f}")
        print(row % (check.name, check.claim, *numbers, verdict), flush=True)
        for line in shortened(found.trail):
            print("    " + line)
    return 1 if failed else 0


def main(arguments: Sequence[str]) -> int:
    """Run what was asked for; the exit code."""
    parser = argparse.ArgumentParser(
        prog="./dev model", description="Run Spin over the models of Openline."
    )
    parser.add_argument("--quick", action="store_true", help="only the checks of a few seconds")
    parser.add_argument("--only", metavar="TEXT", default="", help="checks whose name holds TEXT")
    asked = parser.parse_args(arguments)
    chosen = [c for c in CHECKS if asked.only in c.name and (c.quick or not asked.quick)]
    if not chosen:
        parser.error("no check is called so; there are: " + ", ".join(c.name for c in CHECKS))
    try:
        return verify(chosen)
    except (ToolError, OSError) as error:
        print(f"./dev model: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
