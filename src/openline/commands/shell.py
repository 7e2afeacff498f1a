"""Where a command speaks and listens: words, tables, JSON, questions, and the way to the post.

Theory of operation: one Shell per run, made by `cli.main` before anything is parsed. Every word it
prints comes from the catalogue or has gone through `display`; markup is off, so text cannot colour
itself. JSON is ASCII with escapes, so even raw text cannot reach the terminal through it. Prose for
people goes to standard output, questions to standard error. Rich is imported only when something is
shown in a table or in colour, and obeys NO_COLOR and the absence of a terminal.
"""

from __future__ import annotations

import getpass
import json
import os
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from .. import display
from ..errors import LocalError
from ..i18n import Catalogue

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

    from ..store.keys import Secret
    from .opened import OpenedPost

STYLES = {"FLASH": "bold white on red", "IMMEDIATE": "bold red", "PRIORITY": "bold", "ROUTINE": ""}
"""Colour of a precedence that nobody of ours has opened yet: red means unacknowledged urgency only.
"""

STATE_SHAPES = {
    "queued": "○",
    "sent": "◌",
    "held": "●",
    "arrived": "●",
    "restored": "◍",
    "delivered": "◐",
    "opened": "◑",
    "shown": "◉",
    "holding": "◔",
    "declined": "✕",
    "refused": "✕",
    "unknown": "?",
    "again": "↻",
    "lost": "⊘",
}
"""One shape for each state of a message."""


SIGN_IN = "OPENLINE_SIGN_IN"
"""Environment variable with the path of the file that holds the token of a sign-in."""


@dataclass
class Shell:
    """What a command knows of its surroundings: words, the post's directory, how to open it."""

    words: Catalogue
    directory: Path
    key_file: Path | None = None
    as_nobody: bool = False
    """Whoever is signed in is left aside."""
    _opened: OpenedPost | None = None

    # -- speaking -----------------------------------------------------------------------------

    @cached_property
    def console(self) -> Console:
        """Rich's console on standard output, without markup, highlighting or emoji."""
        from rich.console import Console

        return Console(file=sys.stdout, markup=False, highlight=False, emoji=False)

    def say(self, key: str, **values: object) -> None:
        """Print a wording; values that are text are made safe."""
        click.echo(self.text(key, **values))

    def say_count(self, key: str, count: int, **values: object) -> None:
        """Print a wording in the plural form of `count`."""
        click.echo(self.words.count(key, count, **_safe(values)))

    def note(self, key: str, **values: object) -> None:
        """Print a wording on standard error: a warning, or what to do now."""
        click.echo(self.text(key, **values), err=True)

    def text(self, key: str, **values: object) -> str:
        """A wording with safe values."""
        return self.words.text(key, **_safe(values))

    def line(self, text: str = "") -> None:
        """Print what is not prose: words, digests, names of files; made safe here."""
        click.echo(display.safe(text))

    def json(self, value: object) -> None:
        """Print a value as JSON, ASCII only."""
        click.echo(json.dumps(value, indent=2, ensure_ascii=True))

    def show(self, *shown: RenderableType) -> None:
        """Print what rich renders."""
        for each in shown:
            self.console.print(each)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> None:
        """Print a table; `columns` are keys of their headings ("" for none), the last column takes
        what is left.
        """
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0))
        for at, key in enumerate(columns):
            last = at == len(columns) - 1
            heading = self.text(key) if key else ""
            table.add_column(heading, no_wrap=not last, overflow="fold", ratio=1 if last else None)
        for row in rows:
            table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
        self.show(table)

    def fields(self, fields: Iterable[tuple[str, str]]) -> None:
        """Print labelled values, one below the other; the labels are keys."""
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(overflow="fold")
        for key, value in fields:
            grid.add_row(Text(self.text(key)), Text(display.safe(value, lines=True)))
        self.show(grid)

    def precedence(self, view: dict[str, Any]) -> Text:
        """Shape, word and colour of a message's precedence; colour only while it waits for us."""
        from rich.text import Text

        waits = view["side"] == "theirs" and view["state"] in ("arrived", "delivered")
        waits = waits and not view["service"]
        style = STYLES.get(view["precedence"], "") if waits else ""
        return Text(display.precedence(view["precedence"], self.words), style)

    def state(self, view: dict[str, Any]) -> str:
        """Shape and words of what became of a message."""
        state, _, why = str(view["state"]).partition(" ")
        shape = STATE_SHAPES.get(state, "?")
        over = ", ".join(view.get("bearers", ()))
        wording = self.text(f"state.{view['side']}.{state}", why=why, bearers=over)
        return f"{shape} {wording}"

    # -- listening ----------------------------------------------------------------------------

    def ask(self, key: str, *, hidden: bool = False, **values: object) -> str:
        """Ask a person for one line; raises LocalError("usage.needs_answer") where nobody can
        answer.
        """
        question = self.text(key, **values) + " "
        try:
            if hidden and sys.stdin.isatty():
                return getpass.getpass(question)
            click.echo(question, nl=False, err=True)
            answer = sys.stdin.readline()
        except (EOFError, OSError):
            answer = ""
        if not answer:
            raise LocalError("usage.needs_answer")
        return answer.rstrip("\r\n")

    # -- the post -----------------------------------------------------------------------------

    def call(self, verb: str, *, offline: bool = False, **args: Any) -> Any:
        """Ask a verb of the running post, or with `offline` of the post opened here if none runs.
        Who is signed in is asked for the passphrase where the post wants the act confirmed.

        Raises LocalError, StoreError; post.not_running or post.nowhere without `offline`.
        """
        given = {name: arg for name, arg in args.items() if arg is not None}
        try:
            return self._call(verb, given, offline)
        except LocalError as error:
            if error.code == "post.not_running":
                self._nothing_runs()
            if error.code != "people.proof_needed":
                raise
        name = self._call("caller", {}, offline)["name"]
        about = {"act": verb, "about": given, "key": self.key(name, "ask.confirm")}
        return self._call(verb, given, offline, self._call("prove", about, offline)["token"])

    def listed(self, verb: str, place: dict[str, Any], **args: Any) -> Iterator[dict[str, Any]]:
        """The entries a verb lists, page by page from `place`, an argument as "next" gives it."""
        following: dict[str, Any] | None = place
        while following is not None:
            page = self.call(verb, **args, **following)
            yield from page["records"]
            following = page["next"]

    def _nothing_runs(self) -> NoReturn:
        """Say so, and whether there is a post at all that could be started here."""
        from ..store import opening

        told = {"directory": str(self.directory), "program": self.program()}
        if (self.directory / opening.KEY_DOCUMENT).exists():
            raise LocalError("post.not_running", **told)
        raise LocalError("post.nowhere", **told)

    def key(self, name: str, question: str) -> str:
        """What the passphrase of a person, asked for, gives under their salt; in hex."""
        from ..signins import stretched
        from ..store.keys import Cost

        made = self.call("sign_in_salt", offline=True, name=name)
        text = self.ask(question, hidden=True, name=name)
        return stretched(text, bytes.fromhex(made["salt"]), Cost(*made["cost"])).hex()

    def _call(self, verb: str, given: dict[str, Any], offline: bool, proof: str = "") -> Any:
        if self._opened is None:
            from ..client import Client

            try:
                with Client(self.directory, self.token(), proof) as client:
                    return client.call(verb, **given)
            except LocalError as error:
                if error.code != "post.not_running" or not offline:
                    raise
            from .opened import OpenedPost

            self._opened = OpenedPost(self.directory, self.secret(), self.token())
        return self._opened.call(verb, given, proof)

    def program(self) -> str:
        """`openline` with the options in use, as it is to be typed again."""
        usual = os.environ.get("OPENLINE_DIR", str(Path.home() / ".openline"))
        words = ["openline"] + ["--dir", str(self.directory)] * (str(self.directory) != usual)
        if self.key_file and str(self.key_file) != os.environ.get("OPENLINE_KEY_FILE"):
            words += ["--key-file", str(self.key_file)]
        return shlex.join(words)

    def token(self) -> str:
        """The token of the sign-in to act under; "" to act as the Unix user."""
        path = os.environ.get(SIGN_IN, "")
        if not path or self.as_nobody:
            return ""
        try:
            return Path(path).read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return ""
        except ValueError:
            raise LocalError("people.signed_out") from None

    def secret(self) -> Secret:
        """What opens the post: the key file, the service manager's credential, or the passphrase,
        asked for.
        """
        from ..store import keys, opening

        if self.key_file is not None:
            return keys.KeyFile(self.key_file)
        if (Path(os.environ.get("CREDENTIALS_DIRECTORY", "/nowhere")) / keys.CREDENTIAL).exists():
            return keys.Credential()
        if not (self.directory / opening.KEY_DOCUMENT).exists():
            raise LocalError("post.absent", directory=str(self.directory))
        if "passphrase" not in opening.methods(self.directory):
            raise LocalError("post.key_file_needed", directory=str(self.directory))
        return keys.Passphrase(self.ask("ask.passphrase", hidden=True))

    def close(self) -> None:
        """Let go of a post opened here."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None


def _safe(values: dict[str, object]) -> dict[str, object]:
    return {
        name: display.safe(value) if isinstance(value, str) else value
        for name, value in values.items()
    }


pass_shell = click.make_pass_decorator(Shell)
"""Gives a command its Shell as the first argument."""
