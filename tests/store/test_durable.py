"""What commit has said to be durable is synced first, and survives the death of the process."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from openline.clock import entropy
from openline.store.opening import DATABASE, create, open_store

from .workload import CHEAP, SECRET, SMALL_BALLAST, batches_held


def workload(directory: Path, times: int) -> list[str]:
    """The command that commits batches to a post and says so."""
    return [sys.executable, "-m", "tests.store.workload", str(directory), str(times)]


ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


@pytest.fixture
def post(tmp_path: Path) -> Path:
    """An empty post, closed."""
    create(tmp_path / "post", SECRET, entropy, cost=CHEAP, ballast_bytes=SMALL_BALLAST).close()
    return tmp_path / "post"


def test_killed_process_leaves_every_batch_whole(post: Path, long_run: bool) -> None:
    said = 0
    for seed in range(20 if long_run else 3):
        # Every life makes a checkpoint or two: the workload fills the log in some fifty batches.
        lines = random.Random(seed).randrange(1, 120)
        with subprocess.Popen(
            workload(post, 0), stdout=subprocess.PIPE, env=ENVIRONMENT, text=True
        ) as process:
            assert process.stdout is not None
            for _ in range(lines):
                said = int(process.stdout.readline().split()[1])
            process.kill()
            rest = process.stdout.read().split("\n")
        assert process.returncode == -signal.SIGKILL
        said = max([said, *(int(line.split()[1]) for line in rest if line.strip())])
        with closing(open_store(post, SECRET, ballast_bytes=SMALL_BALLAST)) as store:
            held = int(store.state(0)["count"])
            assert held in (said, said + 1)
            assert batches_held(store) == held


def test_commit_returns_only_after_the_log_is_synced(post: Path, tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed: apt-get install strace")
    trace = tmp_path / "trace"
    calls = "trace=write,pwrite64,fsync,fdatasync"
    run = subprocess.run(
        [strace, "-f", "-y", "-e", calls, "-o", str(trace), *workload(post, 12)],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    if "ptrace" in run.stderr and not run.stdout:
        pytest.skip(f"strace may not trace here: {run.stderr.strip()}")
    assert run.returncode == 0, run.stderr
    log = re.escape(f"{DATABASE}-wal>")
    unsynced = written = 0
    said = []
    for line in trace.read_text().splitlines():
        if re.search(rf"pwrite64\(\d+<[^>]*{log}", line):
            unsynced += 1
            written += 1
        elif re.search(rf"f(data)?sync\(\d+<[^>]*{log}\).* = 0", line):
            unsynced = 0
        elif marker := re.search(r"write\(1<.*\"committed (\d+)\\n", line):
            assert written > 0
            assert unsynced == 0, f"batch {marker[1]} was said to be durable before the sync"
            said.append(int(marker[1]))
            written = 0
    assert said == list(range(1, 13))
