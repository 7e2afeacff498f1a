"""Many lines over a share whose server is gone for good, as a process: it says that the event loop
still serves others, and has to end though its threads do not. Argument: any directory.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from pathlib import Path
from typing import NoReturn

from openline.bearers import folder
from openline.bearers.framing import LineKey

from .contract import End

LINES = 40
"""More than the event loop ever has threads of its own."""


class Hung(folder.FolderBearer):
    """One that never sees what lies in its folder."""

    def _list(self) -> NoReturn:
        while True:
            threading.Event().wait()


async def main(place: Path) -> None:
    """Start them, have something else done, stop them."""
    ends = [End(Hung(place, LineKey(n, bytes(32), 1), os.urandom)) for n in range(LINES)]
    for end in ends:
        end.start()
    await asyncio.sleep(0.1)
    print(await asyncio.to_thread(lambda: "served"), flush=True)
    for end in ends:
        await end.stop()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
