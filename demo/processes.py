"""Processes of the demonstration: started, awaited, ended, and asked why if they end by themselves.

Theory of operation: each child leads a process group of its own, so that Ctrl-C in the terminal
reaches only the demonstration, which then ends its children itself: SIGTERM first, SIGKILL if
that is not obeyed. Standard error goes to a file, whose last lines are shown when something
fails. What the children are does not live here.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from openline.errors import LocalError

START_S = 30.0
"""How long a child may take until it is ready."""

STOP_S = 5.0
"""How long a child may take to end when asked."""

COMMAND_S = 60.0
"""How long a command may take."""

TAIL_LINES = 12
"""Lines of standard error that are shown of a process that failed."""

LINE_BYTES_MAX = 1 << 20

Asked = asyncio.subprocess.PIPE


class Failed(LocalError):
    """A process did not do what it was started for; `tail` is the end of its standard error."""

    def __init__(self, code: str, tail: Sequence[str], **details: object) -> None:
        super().__init__(code, **details)
        self.tail = list(tail)


def environment(directory: Path) -> dict[str, str]:
    """The environment of every child: ours without what would change how a post is found.

    Where no bytecode is to be written, it is kept in the demonstration's directory: some twenty
    processes would otherwise compile the same modules.
    """
    env = {name: value for name, value in os.environ.items() if not name.startswith("OPENLINE_")}
    if env.pop("PYTHONDONTWRITEBYTECODE", ""):
        env["PYTHONPYCACHEPREFIX"] = str(directory / "bytecode")
    return {**env, "OPENLINE_LANG": "en", "PYTHONUNBUFFERED": "1"}


def python(module: str, *args: str) -> list[str]:
    """The command line of one of our modules."""
    return [sys.executable, "-m", module, *args]


class Child:
    """One process of the demonstration. `ended` is called when it ends without being asked to."""

    def __init__(
        self, name: str, argv: Sequence[str], directory: Path, ended: Callable[[Failed], None]
    ) -> None:
        self.name = name
        self._argv = list(argv)
        self._directory = directory
        self._log = directory / f"{name}.log"
        self._ended = ended
        self._process: asyncio.subprocess.Process | None = None
        self._watching: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Process id while it runs."""
        return self._process.pid if self._process else None

    async def start(self) -> dict[str, Any]:
        """Start it and wait for its line of readiness, if `ready` is wanted; Failed if it ends."""
        await self.launch()
        try:
            async with asyncio.timeout(START_S):
                line = await self.line()
        except TimeoutError:
            raise Failed("demo.not_ready", self.tail(), name=self.name) from None
        said: dict[str, Any] = json.loads(line)
        return said

    async def launch(self) -> None:
        """Start it without waiting for anything."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._argv,
                stdin=Asked,
                stdout=Asked,
                stderr=log,
                cwd=self._directory,
                env=environment(self._directory),
                start_new_session=True,
                limit=LINE_BYTES_MAX,
            )
        self._watching = asyncio.create_task(self._watch(self._process))

    async def line(self) -> bytes:
        """The next line of its standard output; Failed if there is none any more."""
        line = b""
        if self._process is not None and self._process.stdout is not None:
            line = await self._process.stdout.readline()
        if not line.endswith(b"\n"):
            raise Failed("demo.ended", self.tail(), name=self.name)
        return line

    def tell(self, line: bytes) -> None:
        """Write to its standard input."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(line)

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL if it has not ended in time."""
        await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        await self._end(signal.SIGKILL)

    def tail(self) -> list[str]:
        """The end of its standard error."""
        with suppress(OSError):
            return self._log.read_text("utf-8", "replace").splitlines()[-TAIL_LINES:]
        return []

    async def _end(self, sign: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if self._watching is not None:
            self._watching.cancel()
        _signal(process, sign)
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            _signal(process, signal.SIGKILL)
            await process.wait()

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        status = await process.wait()
        self._ended(Failed("demo.ended", self.tail(), name=self.name, status=status))


def _signal(process: asyncio.subprocess.Process, sign: signal.Signals) -> None:
    """Send a signal to a child and its own children, if it has not ended.

    Not by the process object, which would first reap a child that just ended, and leave asyncio
    looking for it.
    """
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, sign)


async def together(*work: Coroutine[Any, Any, Any]) -> list[Any]:
    """Do all of these at the same time; what each gave.

    If one fails the others are cancelled, and nothing is raised before they have ended.
    """
    tasks = []
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in work]
    except BaseExceptionGroup as failed:
        error: BaseException = failed
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from None
    return [task.result() for task in tasks]


async def run(argv: Sequence[str], directory: Path, shown: str) -> str:
    """Run a command to its end and give its standard output; Failed names it as `shown`."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=Asked,
        stderr=Asked,
        cwd=directory,
        env=environment(directory),
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(COMMAND_S):
            out, err = await process.communicate()
    except BaseException:
        _signal(process, signal.SIGKILL)
        await process.wait()
        raise
    if process.returncode:
        tail = err.decode("utf-8", "replace").splitlines()[-TAIL_LINES:]
        raise Failed("demo.command", tail, command=shown, status=process.returncode)
    return out.decode()
