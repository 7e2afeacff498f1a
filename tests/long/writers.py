"""People who write whatever happens to their post, and know exactly what they were told.

Theory of operation: a writer sends one text at a time, each different. An answer means that the
text is on disk; a post that dies before it answers leaves the writer in doubt, who then writes
another text. What was answered must be on both sides once; what is in doubt once on both or on
neither.
"""

from __future__ import annotations

import random
import threading

from bench.posts import LINE, Process
from openline.client import Client
from openline.core.precedence import Precedence
from openline.errors import LocalError
from openline.sim.chance import noise

NOT_ASKED = ("post.not_running",)
"""Codes of a request that never reached a post."""

LOST = ("post.went_away", "post.unreachable")
"""Codes of one whose answer did not come."""

POLL_S = 0.02
TRIES_MAX = 6000


class Writer:
    """Writes at one post."""

    def __init__(self, post: Process, seed: int) -> None:
        self.post = post
        self.answered: list[str] = []
        self.in_doubt: list[str] = []
        self._chance = random.Random(seed)
        self._pause = threading.Event()

    def write(self, count: int) -> None:
        """Write until so many texts more are answered for."""
        wanted = len(self.answered) + count
        for _ in range(TRIES_MAX):
            if len(self.answered) >= wanted:
                return
            if not self._send():
                self._pause.wait(POLL_S)
        raise TimeoutError(f"{self.post.directory.name} takes no texts")

    def _send(self) -> bool:
        serial = len(self.answered) + len(self.in_doubt) + 1
        words = noise(self._chance, self._chance.randrange(800))
        text = f"{self.post.directory.name} {serial} {words}"
        precedence = self._chance.choice([*Precedence]).name
        try:
            with Client(self.post.directory) as asking:
                try:
                    asking.call("send", line=LINE, text=text, precedence=precedence)
                except LocalError as error:
                    if error.code not in LOST:
                        raise
                    self.in_doubt.append(text)
                    return False
        except LocalError as error:
            if error.code not in NOT_ASKED + LOST:
                raise
            return False
        self.answered.append(text)
        return True
