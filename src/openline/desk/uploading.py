"""Forms with files: read as they stream in, each file laid in at the post as soon as it is whole.

Theory of operation: a browser does not say how long a file is before it has sent it, so each is
gathered in memory up to the longest a file may be, and only so many forms at a time are read.
Fields are bounded as in any other form. Nothing is written to a disk of the desk. What becomes of a
file that no draft names is the post's affair: it erases it.
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from ..attached import PORTION_BYTES
from ..core.limits import FILE_BYTES_MAX, FILES_MAX
from ..errors import LocalError

FORMS_MAX = 3
"""Forms with files that are read at a time."""
FIELDS_MAX = 64

File = dict[str, Any]
"""A file as draft_save names it."""


class _Reading:
    """One form: its fields, and the files that are whole and not laid in yet."""

    def __init__(self, bytes_max: int) -> None:
        self.fields: dict[str, str] = {}
        self.whole: list[tuple[str, bytes]] = []
        self.ended = False
        self._left = bytes_max
        self._parts = 0
        self._header = [bytearray(), bytearray()]
        self._name, self._file = "", ""
        self._is_file = False
        self._data = bytearray()

    def callbacks(self) -> dict[str, Callable[..., None]]:
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

    def _more(self, data: bytes, start: int, end: int) -> None:
        self._data += data[start:end]
        if not self._is_file:
            self._spend(end - start)
        elif len(self._data) > FILE_BYTES_MAX:
            raise LocalError("attachment.size", bytes_max=FILE_BYTES_MAX)

    def _part_ended(self) -> None:
        if self._is_file:
            if self._file:  # a field for files that was left empty has no name
                self.whole.append((self._file, bytes(self._data)))
        else:
            self.fields[self._name] = self._data.decode()
        self._data = bytearray()

    def _end(self) -> None:
        self.ended = True


class Uploading:
    """What one desk takes in. `call` asks the post."""

    def __init__(self, call: Callable[..., Awaitable[Any]], bytes_max: int) -> None:
        self._call = call
        self._bytes_max = bytes_max
        self._room = asyncio.Semaphore(FORMS_MAX)

    async def form(self, request: Request, token: str) -> tuple[dict[str, str], list[File]]:
        """The fields of a form and its files, laid in. Raises LocalError."""
        kind, options = parse_options_header(request.headers.get("content-type", ""))
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise LocalError("desk.form")
        reading, files = _Reading(self._bytes_max), list[File]()
        async with self._room:
            try:
                parser = MultipartParser(options[b"boundary"], reading.callbacks())  # type: ignore[arg-type]
                async for chunk in request.stream():
                    parser.write(chunk)
                    for name, data in reading.whole:
                        if len(files) >= FILES_MAX:
                            raise LocalError("attachment.too_many", most=FILES_MAX)
                        files.append(await self._lay_in(token, name, data))
                    reading.whole.clear()
                parser.finalize()
            except (FormParserError, UnicodeDecodeError, ClientDisconnect):
                raise LocalError("desk.form") from None
        if not reading.ended:
            raise LocalError("desk.form")
        return reading.fields, files

    async def _lay_in(self, token: str, name: str, data: bytes) -> File:
        name = name.replace("\\", "/").rpartition("/")[2]
        laid = await self._call("file_begin", token, name=name, bytes=len(data))
        for at in range(0, len(data), PORTION_BYTES):
            portion = b64encode(data[at : at + PORTION_BYTES]).decode()
            laid = await self._call("file_portion", token, file=laid["file"], at=at, data=portion)
        if laid["sha256"] != sha256(data).hexdigest():
            raise LocalError("attachment.differs")
        return {"file": laid["file"], "name": name, "bytes": len(data), "sha256": laid["sha256"]}
