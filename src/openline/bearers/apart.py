"""Calls that may hang: each in a thread of its own, which nobody waits for at the end.

Theory of operation: a share whose server is gone, or a server that says nothing, holds a call for
as long as it likes. The event loop's own threads are few and are for what does not hang: with them
taken, no other bearer could so much as look up a name; and the interpreter waits for them before it
ends. So a call here has a daemon thread to itself. Whoever awaits is free to go; the call then ends
whenever it ends, and its result is dropped. What is called, and how often, does not live here: who
calls awaits one call before the next, and so has no more threads than tasks.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def apart(call: Callable[..., T], *args: object) -> asyncio.Future[T]:
    """Begin a call in a thread; the future of the running loop gets what it returns or raises."""
    told: Future[T] = Future()

    def work() -> None:
        if not told.set_running_or_notify_cancel():
            return
        try:
            result = call(*args)
        except BaseException as error:
            told.set_exception(error)
        else:
            told.set_result(result)

    threading.Thread(target=work, daemon=True).start()
    return asyncio.wrap_future(told)
