"""Somebody between us and a real server, who answers some commands in its place.

Lines of ours go to the server as they are, but for those that a rule has an answer to: that is sent
back under the tag of the command, and the server hears nothing of it. An answer of b"" closes the
connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

Rule = Callable[[bytes], bytes | None]
"""What to answer to a command (without its tag); None to let it through."""


@asynccontextmanager
async def between(port: int, rule: Rule) -> AsyncIterator[int]:
    """Stand before a port of this machine; the port to go to instead."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        far, out = await asyncio.open_connection("127.0.0.1", port)
        passing = asyncio.create_task(_pass(far, back))
        tasks.add(passing)
        with suppress(OSError):
            while line := await near.readline():
                tag, _, command = line.partition(b" ")
                answer = rule(command)
                if answer is None:
                    out.write(line)
                elif answer:
                    back.write(tag + b" " + answer + b"\r\n")
                else:
                    break
        out.close()
        back.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
    writer.close()
