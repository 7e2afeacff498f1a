"""A picture of the other side, drawn anew: what was sent never reaches a browser as a picture.

Theory of operation: `drawn` runs this module as a process of its own, gives it the bytes and takes
a PNG. The process first binds itself: memory, time, no files, no children. It decodes only the
formats named here, with a bound on their pixels that is checked before anything is decoded, makes
them no larger than a screen, and writes nothing but pixels: no text, no profile, no second frame.
Whatever goes wrong in it is "no picture".
"""

from __future__ import annotations

import asyncio
import io
import resource
import sys

from ..errors import LocalError

FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF")
"""What is decoded at all."""
PIXELS_MAX = 40_000_000
SIDE_MAX = 2_000
"""Longest side of what is shown, in pixels."""
MEMORY_BYTES_MAX = 640 << 20
CPU_S_MAX = 8
WAIT_S = 20.0
DRAWN_BYTES_MAX = 24 << 20
AT_ONCE_MAX = 2
"""Pictures drawn at a time."""

_room = asyncio.Semaphore(AT_ONCE_MAX)


async def drawn(data: bytes) -> bytes:
    """The PNG of a picture. Raises LocalError("desk.no_picture")."""
    async with _room:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-m", "openline.desk.picture"),
            stdin=pipe,
            stdout=pipe,
            stderr=asyncio.subprocess.DEVNULL,
            env={},
        )
        try:
            async with asyncio.timeout(WAIT_S):
                made, _ = await process.communicate(data)
        except TimeoutError:
            process.kill()
            await process.wait()
            made = b""
    if process.returncode or not made or len(made) > DRAWN_BYTES_MAX:
        raise LocalError("desk.no_picture")
    return made


def bind() -> None:
    """Take from this process what decoding does not need."""
    for what, most in (
        (resource.RLIMIT_AS, MEMORY_BYTES_MAX),
        (resource.RLIMIT_CPU, CPU_S_MAX),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
    ):
        resource.setrlimit(what, (most, most))


def redraw(data: bytes) -> bytes:
    """A picture as a PNG that holds pixels and nothing else. Raises whatever the library does."""
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = PIXELS_MAX
    with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
        if picture.width * picture.height > PIXELS_MAX:
            raise ValueError("too many pixels")
        picture.thumbnail((SIDE_MAX, SIDE_MAX))
        plain = picture.convert("RGBA")
    bare = Image.frombytes("RGBA", plain.size, plain.tobytes())
    made = io.BytesIO()
    bare.save(made, "PNG")
    return made.getvalue()


def main() -> None:
    """Bytes from standard input, a PNG to standard output; exit code 1 if there is none."""
    data = sys.stdin.buffer.read()
    # Loaded before the limits: what is not yet known of the picture is known of the library.
    from PIL import Image

    Image.init()
    bind()
    try:
        sys.stdout.buffer.write(redraw(data))
    except Exception:  # what somebody else's bytes do to a decoder is not told apart
        sys.exit(1)


if __name__ == "__main__":
    main()
