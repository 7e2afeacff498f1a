"""`./dev demo`: reads the command line, opens two desks, or runs the conversation or a replay.

Theory of operation: the language is chosen first, as in `openline`; help and complaints come from
the same catalogues. A run is one asyncio task: Ctrl-C, SIGTERM and SIGHUP cancel it, and leaving
the stage ends every process. Exit codes: 0, 1 something failed, 2 the way it was asked or a
faulty file, 3 the records differ, 130 and 143 ended by a signal. What is run does not live here.
"""

from __future__ import annotations

import asyncio
import io
import json
import math
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
from rich.text import Text

from openline import clock, display, i18n
from openline.commands.shell import Shell
from openline.errors import LocalError, OpenlineError
from openline.usage import (
    EXIT_DIFFERS,
    EXIT_USAGE,
    Command,
    Group,
    catalogue,
    check_language,
    failed,
    language_asked,
)

from . import exchange, timeline
from .conversation import Conversation, agree
from .desks import PEOPLE, open_desks
from .processes import Failed
from .replay import Replay, acts, add_wire_times, factor_for, show_wire_times
from .screen import Result, Screen, Terminal, grouped, spaced
from .stage import Stage
from .words import catalogue as wordings

POSTS = ("washington", "moscow")

NAME_CELLS = 1 + max(map(len, PEOPLE))

READING_S = 0.6
"""Pause after each step of the conversation for a person who reads; none where nobody does."""


class Options(NamedTuple):
    """What was asked on the command line."""

    replay: Path | None
    factor: float | None
    limit_seconds: float | None
    pause: float | None
    keep: bool
    out: Path | None
    terminal: bool

    @property
    def desks(self) -> bool:
        """Whether desks are opened: unless something was asked that only the other run has."""
        asked = self._replace(factor=None, limit_seconds=None)
        return not any(value is not None and value is not False for value in asked)


def _positive(_: click.Context, param: click.Parameter, value: float | None) -> float | None:
    if value is not None and not (math.isfinite(value) and value >= 0):
        raise click.BadParameter("", param=param)
    if value == 0 and param.name != "pause":
        raise click.BadParameter("", param=param)
    return value


@click.group("./dev", cls=Group)
def dev() -> None:
    """What `demo` is a command of."""


@dev.command("demo", cls=Command)
@click.option("--terminal", is_flag=True)
@click.option("--replay", type=click.Path(path_type=Path))
@click.option("--factor", type=float, callback=_positive)
@click.option("--limit-seconds", type=float, callback=_positive)
@click.option("--pause", type=float, callback=_positive)
@click.option("--keep", is_flag=True)
@click.option("--json", "out", type=click.Path(path_type=Path))
@click.option("--lang", envvar="OPENLINE_LANG")
@click.pass_context
def demo(ctx: click.Context, /, lang: str | None, **asked: Any) -> None:
    """The demonstration itself."""
    words = catalogue(ctx)
    options = Options(**asked)
    check_language(lang)
    if options.replay is None:
        for name in ("factor", "limit_seconds"):
            if getattr(options, name) is not None:
                raise LocalError("usage.replay_only", option="--" + name.replace("_", "-"))
    if options.out is not None and (options.out.is_dir() or not options.out.parent.is_dir()):
        raise LocalError("usage.out", path=str(options.out))
    found = exchange.read(options.replay) if options.replay is not None else None
    screen = Screen(words, Terminal())
    ctx.exit(asyncio.run(_ended_by_signals(screen, options, found)))


async def _ended_by_signals(
    screen: Screen, options: Options, found: exchange.Exchange | None
) -> int:
    """Perform until the end or the first signal; then 128 and the signal's number. Further signals
    do not keep the stage from being cleared.
    """
    running = asyncio.ensure_future(_perform(screen, options, found))
    caught: list[signal.Signals] = []

    def end(sign: signal.Signals) -> None:
        if not caught:
            running.cancel()
        caught.append(sign)

    for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(sign, end, sign)
    try:
        return await running
    except asyncio.CancelledError:
        click.echo(screen.text("demo.ended_by_signal"), err=True)
        return 128 + caught[0] if caught else 1


async def _perform(screen: Screen, options: Options, found: exchange.Exchange | None) -> int:
    """One run from nothing to the result; the exit code."""
    began_s = clock.precise_s()
    async with Stage(_posts(found), screen.command) as stage:
        screen.say("demo.title", directory=str(stage.directory))
        screen.say("demo.step.set_up")
        played: Replay | None = None
        try:
            await stage.set_up()
            if options.desks:
                return await _open_desks(screen, stage)
            screen.follow(stage.board)
            if found is None:
                await _converse(screen, stage, options)
            else:
                played = await _replay(screen, stage, options, found)
            agreed = await agree(stage, screen.say)
        except OpenlineError as error:
            tail = error.tail if isinstance(error, Failed) else stage.tails()
            raise Failed(error.code, tail, **error.details) from error
        finally:
            screen.leave()
        elapsed_s = round(clock.precise_s() - began_s, 3)
        result: Result = {**agreed, **stage.board.views(), "elapsed_s": elapsed_s}
        _show(screen, stage, played)
        _show_digests(screen, result)
        if played is not None:
            add_wire_times(result, played.wires(), played.factor)
        if options.out is not None:
            options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        screen.say("demo.took", seconds=f"{elapsed_s:.1f}")
        if options.keep:
            await _keep(screen, stage)
        return 0 if result["digests_equal"] else EXIT_DIFFERS


async def _open_desks(screen: Screen, stage: Stage) -> int:
    """Open both desks, say where they are and who may enter, and serve until a signal."""
    screen.say("demo.step.people")
    opened = await open_desks(stage)
    for desk in opened:
        screen.say("demo.step.desk", post=desk.post, address=desk.origin)
        for name, link in desk.links.items():
            # Whole on one line however narrow the terminal is, or nobody could copy it.
            row = Text(f"  {name:{NAME_CELLS}}{desk.origin}/enter#{link}")
            screen.console.print(row, soft_wrap=True)
    screen.say("demo.step.desks_open")
    screen.say("demo.desks.links")
    screen.say("demo.keep.end")
    while True:
        await stage.board.news(3600)


def _posts(found: exchange.Exchange | None) -> tuple[str, str]:
    """The names of both posts: of the exchange as far as they make names of directories."""
    if found is None:
        return POSTS
    names = [
        "-".join("".join(c if c.isascii() and c.isalnum() else " " for c in party.lower()).split())
        for party in found.parties
    ]
    if not all(names) or names[0] == names[1]:
        return ("post-1", "post-2")
    return (names[0][:24], names[1][:24])


async def _converse(screen: Screen, stage: Stage, options: Options) -> None:
    pause_s = options.pause
    if pause_s is None:
        pause_s = READING_S if screen.console.is_terminal else 0.0
    await Conversation(stage, screen.say, pause_s).run()


async def _replay(
    screen: Screen, stage: Stage, options: Options, found: exchange.Exchange
) -> Replay:
    plan = acts(found)
    factor = factor_for(plan, options.factor, options.limit_seconds)
    span_s = plan[-1].at_s - plan[0].at_s
    values = {"hours": f"{span_s / 3600:.3g}", "seconds": f"{span_s / factor:.0f}"}
    screen.say("demo.step.replay", count=len(found.messages), factor=spaced(factor), **values)
    played = Replay(found, stage, factor, screen.progress)
    await played.run()
    return played


def _show(screen: Screen, stage: Stage, played: Replay | None) -> None:
    """The tables at the end."""
    board = stage.board
    if played is not None:
        screen.say("demo.step.replayed")
        show_wire_times(screen, played)
        return
    screen.say("demo.step.messages")
    screen.show(screen.messages(board, board.messages))
    screen.say("demo.columns")
    screen.say("demo.step.timeline")
    screen.show(*timeline.draw(screen, board, wires=True))


def _show_digests(screen: Screen, result: Result) -> None:
    screen.say("demo.step.digests")
    rows = []
    for name, each in result["digests"].items():
        same = "same" if each["digest"] == each["recomputed"] else "other"
        agrees = {True: "agrees", False: "differs", None: "silent"}[each["compared"]]
        rows += [
            (name, grouped(each["digest"])),
            ("", screen.text("demo.digest.at", own=each["own"], peer=each["peer"])),
            ("", screen.text(f"demo.digest.recomputed.{same}")),
            ("", screen.text(f"demo.digest.compared.{agrees}")),
        ]
    screen.show(screen.pairs(rows))
    screen.say("demo.step.equal" if result["digests_equal"] else "demo.step.different")


async def _keep(screen: Screen, stage: Stage) -> None:
    """Leave everything running until a signal; LocalError if a process ends by itself."""
    program = Path(sys.executable).with_name("openline")
    if program.is_relative_to(Path.cwd()):
        program = program.relative_to(Path.cwd())
    screen.say("demo.step.keep")
    first, second = stage.board.posts
    for post, line in ((first, second), (second, first)):
        where = f"{program} --dir {stage.directory / post}"
        tries = (
            f"inbox {line}",
            f'send {line} "…" -p immediate',
            f"transcript {line} --verify",
            "status",
        )
        screen.show(*(f"  {where} {each}" for each in (tries if post == first else tries[:1])))
    screen.say("demo.keep.end")
    while True:
        await stage.board.news(3600)


def main(arguments: Sequence[str]) -> int:
    """Run one command line, without the program's name; the exit code."""
    words = wordings(i18n.choose(language_asked(arguments), os.environ))
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal that lacks a letter shows another; it does not end the run.
        sys.stdout.reconfigure(errors="replace")
    try:
        with dev.make_context("./dev", ["demo", *arguments], obj=Shell(words, Path())) as context:
            dev.invoke(context)
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except Exception as error:  # the edge of the process: people get words, not a traceback
        if os.environ.get("OPENLINE_TRACEBACK"):
            raise
        code = failed(words, error)
        for line in error.tail if isinstance(error, Failed) else ():
            click.echo(f"  | {display.safe(line)}", err=True)
        faulty_file = isinstance(error, LocalError) and error.code.startswith("replay.")
        return EXIT_USAGE if faulty_file else code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
