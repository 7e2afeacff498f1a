"""Forms with files: read as they stream in, each file laid in at the post as soon as it is whole.

Theory of operation: a browser does not say how long a file is before it has sent it, so each is
gathered in memory up to the longest a file may be, and only so many forms with a file are read at a
time: one that has none waits for nobody, and one whose next piece does not come in time gives its
place up. Fields are bounded as in any other form, and what is called a file and has no name is one
of them. They stand before the files, so that what was typed is there whatever is wrong with a file.
Nothing is written to a disk of the desk. What becomes of a file that no draft names is the post's
affair: it erases it.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from ..attached import PORTION_BYTES, checked_name
from ..core.limits import FILE_BYTES_MAX, FILES_MAX
from ..errors import LocalError

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

FORMS_MAX = 3
"""Forms with files that are read at a time."""
FIELDS_MAX = 64
PIECE_S = 30.0
"""Seconds in which the next piece of a form has to come."""

File = dict[str, Any]
"""A file as draft_save names it."""


@dataclass
class Form:
    """What came of a form: its fields, its files, laid in, and what was wrong with the rest."""

    fields: dict[str, str]
    files: list[File] = field(default_factory=list)
    wrong: LocalError | None = None


async def pieces(request: Request, patience_s: float = PIECE_S) -> AsyncIterator[bytes]:
    """The body of a request as it comes. Raises TimeoutError when nothing comes any more."""
    stream = request.stream()
    while True:
        async with asyncio.timeout(patience_s):
            piece = await anext(stream, None)
        if piece is None:
            return
        yield piece


class _Reading:
    """One form: its fields, and the files that are whole and not laid in yet."""

    def __init__(self, bytes_max: int) -> None:
        self.fields: dict[str, str] = {}
        self.whole: list[tuple[str, bytes]] = []
        self.has_file = False
        self.ended = False
        self._left = bytes_max
        self._parts = 0
        self._header = [bytearray(), bytearray()]
        self._name, self._file = "", ""
        self._is_file = False
        self._data = bytearray()

    def callbacks(self) -> MultipartCallbacks:
        """What the parser calls."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, a, b: self._gather(0, data[a:b]),
            "on_header_value": lambda data, a, b: self._gather(1, data[a:b]),
            "on_header_end": self._header_ended,
            "on_part_data": self._more,
            "on_part_end": self._part_ended,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > FIELDS_MAX + FILES_MAX:
            raise LocalError("desk.form")
        self._name, self._file, self._is_file = "", "", False
        self._data = bytearray()

    def _gather(self, which: int, data: bytes) -> None:
        self._header[which] += data
        self._spend(len(data))

    def _spend(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise LocalError("desk.form")

    def _header_ended(self) -> None:
        name, value = (bytes(each) for each in self._header)
        self._header = [bytearray(), bytearray()]
        if name.lower() == b"content-disposition":
            _, options = parse_options_header(value)
            self._name = options.get(b"name", b"").decode("utf-8", "replace")
            self._is_file = b"filename" in options
            self._file = options.get(b"filename", b"").decode("utf-8", "replace")
            # A field for files that was left empty has no name.
            self.has_file = self.has_file or bool(self._file)

    def _more(self, data: bytes, start: int, end: int) -> None:
        self._data += data[start:end]
        if not self._file:
            self._spend(end - start)
        elif len(self._data) > FILE_BYTES_MAX:
            raise LocalError("attachment.size", bytes_max=FILE_BYTES_MAX)

    def _part_ended(self) -> None:
        if self._is_file:
            if self._file:
                self.whole.append((self._file, bytes(self._data)))
        else:
            self.fields[self._name] = self._data.decode()
        self._data = bytearray()

    def _end(self) -> None:
        self.ended = True


class Uploading:
    """What one desk takes in: `call` asks the post, `patience_s` is how long a piece may take."""

    def __init__(
        self, call: Callable[..., Awaitable[Any]], bytes_max: int, patience_s: float = PIECE_S
    ) -> None:
        self._call = call
        self._bytes_max = bytes_max
        self._patience_s = patience_s
        self._room = asyncio.Semaphore(FORMS_MAX)

    async def form(self, request: Request, token: str) -> Form:
        """A form as far as it is right; `wrong` says what is not."""
        reading = _Reading(self._bytes_max)
        form = Form(reading.fields)
        try:
            await self._read(request, token, reading, form.files)
        except LocalError as error:
            form.wrong = error
        except TimeoutError:
            form.wrong = LocalError("attachment.stalled" if reading.has_file else "desk.form")
        except (FormParserError, UnicodeDecodeError, ClientDisconnect):
            form.wrong = LocalError("desk.form")
        return form

    async def _read(
        self, request: Request, token: str, reading: _Reading, files: list[File]
    ) -> None:
        """Read a form to its end, and lay its files in as they come."""
        kind, options = parse_options_header(request.headers.get("content-type", ""))
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise LocalError("desk.form")
        parser = MultipartParser(options[b"boundary"], reading.callbacks())
        async with AsyncExitStack() as place:
            has_place = False
            async for piece in pieces(request, self._patience_s):
                parser.write(piece)
                if reading.has_file and not has_place:
                    await place.enter_async_context(self._room)
                    has_place = True
                for name, data in reading.whole:
                    if len(files) >= FILES_MAX:
                        raise LocalError("attachment.too_many", most=FILES_MAX)
                    files.append(await self._lay_in(token, name, data))
                reading.whole.clear()
            parser.finalize()
        if not reading.ended:
            raise LocalError("desk.form")

    async def _lay_in(self, token: str, name: str, data: bytes) -> File:
        name = checked_name(name)
        laid = await self._call("file_begin", token, name=name, bytes=len(data))
        for at in range(0, len(data), PORTION_BYTES):
            portion = b64encode(data[at : at + PORTION_BYTES]).decode()
            laid = await self._call("file_portion", token, file=laid["file"], at=at, data=portion)
        if laid["sha256"] != sha256(data).hexdigest():
            raise LocalError("attachment.differs")
        return {"file": laid["file"], "name": name, "bytes": len(data), "sha256": laid["sha256"]}
