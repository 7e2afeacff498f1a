"""Files of messages on pages: how far they are, handed out to be saved, pictures drawn anew.

Theory of operation: a file leaves the desk only as bytes to be saved, under a policy that lets it
do nothing, and streams through portion by portion. A picture is shown only as picture.py has drawn
it. The name the other side gave is shown, and offered with everything unusual in it replaced.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from .picture import drawn

if TYPE_CHECKING:
    from .app import Desk, Reader

SANDBOX = "default-src 'none'; sandbox; frame-ancestors 'none'"
"""The policy of what is handed out."""

PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff")
"""Ends of names for which a picture is tried."""

_NAME_CHARS_MAX = 100
_USUAL = " .-_()"


class Filing:
    """The pages of one desk on which files are."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._call = desk.asking.call

    async def files(self, request: Request, reader: Reader) -> Response:
        """How far the files of a message are: a part of its page."""
        found = await self._call("show", reader.token, **await self._desk.message(request, reader))
        return self._desk.page(request, reader, "files.html", values(request, found))

    async def file(self, request: Request, reader: Reader) -> Response:
        """One file, to be saved."""
        args = await self._args(request, reader)
        # What is wrong with the question has to be known before the first byte goes.
        first = await self._call("file_read", reader.token, **args)
        headers = {
            "Content-Disposition": f"attachment; filename*=UTF-8''{quote(offered(first['name']))}",
            "Content-Length": str(first["bytes"]),
            "Content-Security-Policy": SANDBOX,
        }
        portions = self._portions(reader, args, first)
        return StreamingResponse(portions, 200, headers, "application/octet-stream")

    async def picture(self, request: Request, reader: Reader) -> Response:
        """One file as a picture, drawn anew. Raises LocalError("desk.no_picture")."""
        args = await self._args(request, reader)
        first = await self._call("file_read", reader.token, **args)
        made = await drawn(b"".join([each async for each in self._portions(reader, args, first)]))
        headers = {"Content-Security-Policy": SANDBOX, "Content-Disposition": "inline"}
        return Response(made, 200, headers, "image/png")

    async def _portions(
        self, reader: Reader, args: dict[str, Any], found: dict[str, Any]
    ) -> AsyncIterator[bytes]:
        """A file from the answer that holds its first portion on."""
        yield b64decode(found["data"])
        while found["next"] is not None:
            found = await self._call("file_read", reader.token, **args, at=found["next"])
            yield b64decode(found["data"])

    async def _args(self, request: Request, reader: Reader) -> dict[str, Any]:
        message = await self._desk.message(request, reader)
        return {**message, "which": request.path_params["which"]}


def values(request: Request, message: dict[str, Any]) -> dict[str, Any]:
    """What files.html needs of a message."""
    place = f"/line/{request.path_params['line']}/{message['side']}/{message['serial']}"
    files = [
        {**each, "picture": each["name"].lower().endswith(PICTURES)}
        for each in message["attachments"]
    ]
    return {"files": files, "place": place, "side": message["side"]}


def offered(name: str) -> str:
    """A name under which a file may be saved: letters and digits of any tongue, and a few signs."""
    kept = "".join(c if c.isalnum() or c in _USUAL else "_" for c in name)
    return kept[-_NAME_CHARS_MAX:].lstrip(". ") or "file"
