"""Files that go with a text: `attachment save`, `attachment watch`, `attachment stop`, and how
`send` and `draft` lay files in.

Theory of operation: the person's own rights open and write files here; the post is given and gives
portions. What is saved is written beside its place first, is checked against the hash that was
announced, and gets its name only when it is whole; what stands there already is never overwritten.
A name from the other side is shown and never used.
"""

from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import display, files
from ..attached import PORTION_BYTES, checked_name, checked_size
from ..core.limits import FILE_BYTES_MAX, FILES_MAX
from ..errors import LocalError, reason
from .kinds import SERIAL, CountType, SerialSaid
from .shell import Shell, pass_shell
from .wording import Group, as_json

if TYPE_CHECKING:
    from rich.progress import Progress

_WHICH = CountType(1, FILES_MAX)
_LOOK_S = 0.2
"""How long news is gathered before the bars are drawn anew."""

STATES = ("whole", "coming", "broken", "stopped")
"""What may become of a file."""

attach_option = click.option(
    "--attach", "-a", "attached", type=click.Path(path_type=Path), multiple=True
)
"""Files to go with a text."""


@click.group("attachment", cls=Group)
def attachment() -> None:
    """Files that go with texts."""


# -- laying in --------------------------------------------------------------------------------


def laid_in(shell: Shell, paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Lay files in at the post, as `send` and `draft_save` name them. Raises LocalError."""
    # Read first: that . and / are no files says more than that they are no names.
    read = [(_content(path), checked_name(path.name)) for path in paths]
    if len(read) > FILES_MAX:
        raise LocalError("attachment.too_many", most=FILES_MAX)
    found = []
    for content, name in read:
        laid = shell.call("file_begin", name=name, bytes=len(content))
        for at in range(0, len(content), PORTION_BYTES):
            data = b64encode(content[at : at + PORTION_BYTES]).decode()
            laid = shell.call("file_portion", file=laid["file"], at=at, data=data)
        digest = sha256(content).hexdigest()
        if laid["sha256"] != digest:
            raise LocalError("attachment.differs")
        found.append({"file": laid["file"], "name": name, "bytes": len(content), "sha256": digest})
    return found


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise LocalError("attachment.unreadable", path=str(path), reason=reason(error)) from None
    checked_size(path.name, len(content))
    return content


# -- what is there ------------------------------------------------------------------------------


def rows(shell: Shell, found: Sequence[dict[str, Any]], side: str) -> Iterator[str]:
    """Each file of a text on one line: number, name, length, and how far it is."""
    for each in found:
        name = display.brief(each["name"], 60)
        values = {"held": each["held"], "chunks": each["chunks"], "percent": each["percent"]}
        state = shell.text(f"file.{side}.{each['state']}", **values)
        yield f"{each['file']}  {name}  {display.size(each['bytes'], shell.words)}  {state}"


@attachment.command("save")
@click.argument("line")
@click.argument("serial", type=SERIAL)
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--file", "-n", "which", type=_WHICH, default=1)
@as_json
@pass_shell
def save(
    shell: Shell, line: str, serial: SerialSaid, path: Path, which: int, as_json: bool
) -> None:
    """Write a file of a message to a place where nothing stands."""
    args = {"line": line, "side": serial.side or "theirs", "which": which, **serial.args()}
    if path.exists():
        raise LocalError("attachment.exists", path=str(path))
    data, at = bytearray(), None
    while True:
        found = shell.call("file_read", **args, at=at)
        data += b64decode(found["data"])
        at = found["next"]
        if at is None or len(data) > found["bytes"]:
            break
    if sha256(data).hexdigest() != found["sha256"]:
        raise LocalError("attachment.broken")
    try:
        files.put_new(path, bytes(data))
    except FileExistsError:
        raise LocalError("attachment.exists", path=str(path)) from None
    except OSError as error:
        raise LocalError("attachment.not_written", path=str(path), reason=reason(error)) from None
    if as_json:
        shell.json({name: found[name] for name in ("name", "bytes", "sha256")})
        return
    values = {
        "path": str(path),
        "size": display.size(len(data), shell.words),
        "sha256": found["sha256"],
    }
    shell.say("attachment.saved", **values)


@attachment.command("stop")
@click.argument("line")
@click.argument("serial", type=SERIAL)
@click.option("--file", "-n", "which", type=_WHICH, default=1)
@pass_shell
def stop(shell: Shell, line: str, serial: SerialSaid, which: int) -> None:
    """Send no more of a file of ours."""
    if serial.side == "theirs":
        raise LocalError("usage.file_theirs")
    shell.call("file_stop", line=line, which=which, **serial.args())
    shell.say("attachment.stopped", number=serial.number, file=which)


# -- watching -----------------------------------------------------------------------------------


@attachment.command("watch")
@click.argument("line")
@click.argument("serial", type=SERIAL)
@pass_shell
def watch(shell: Shell, line: str, serial: SerialSaid) -> None:
    """Bars that show how far the files of a message are, until nothing moves any more."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    asked = {"line": line, "side": serial.side or "theirs", **serial.args()}
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn())
    bars = Progress(*columns, TextColumn("{task.fields[state]}"), console=shell.console)
    with bars, suppress(KeyboardInterrupt):
        asyncio.run(_watched(shell, asked, bars))


async def _watched(shell: Shell, asked: dict[str, Any], bars: Progress) -> None:
    from ..link import Link

    news = asyncio.Event()
    drawn: dict[int, Any] = {}
    async with Link(shell.directory, lambda _event: news.set()) as link:
        await link.call("watch", shell.token())
        ended = asyncio.ensure_future(link.ended())
        while True:
            news.clear()
            view = await link.call("show", shell.token(), **asked)
            for each in view["attachments"]:
                state = next(iter(rows(shell, [each], view["side"]))).rpartition("  ")[2]
                if each["file"] not in drawn:
                    name = display.brief(each["name"], 40)
                    drawn[each["file"]] = bars.add_task(name, total=each["chunks"], state="")
                bars.update(drawn[each["file"]], completed=each["held"], state=state)
            if not any(each["state"] == "coming" for each in view["attachments"]):
                break
            waiting = asyncio.ensure_future(news.wait())
            await asyncio.wait([waiting, ended], return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if ended.done():
                raise ended.result()
            await asyncio.sleep(_LOOK_S)
        ended.cancel()
    if not drawn:
        shell.say("attachment.none_there")
