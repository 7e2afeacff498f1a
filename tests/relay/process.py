"""A real relay in a process of its own, for tests that kill it.

Theory of operation: `start` waits for the readiness line and remembers the port, so that a relay
started again is found where the killed one was. Output goes to files, so that nothing blocks and a
test can read the log. What a test asks of the relay over HTTP does not live here.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Self

from openline.bearers.base import Mailbox
from openline.relay.interface import mailbox_name
from openline.relay.mailbox import FILE_NAME, Quota, add_tokens

COMMAND = [sys.executable, "-m", "openline.relay.app"]


class RelayProcess:
    """A relay over `directory`, started by `start` and ended by `stop` (SIGTERM) or `kill`
    (SIGKILL).
    """

    def __init__(self, directory: Path, *options: str) -> None:
        self.directory = directory
        self.data = directory / "relay"
        self.log = directory / "relay.log"
        self.url = ""
        self.before: Callable[[], None] | None = None
        """Run in the child before the relay, to limit it."""
        self._options = options
        self._port = 0
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.stop()

    def start(self) -> None:
        """Start it and wait until it listens."""
        listen = f"127.0.0.1:{self._port}"
        with self.log.open("a") as log:
            self._process = subprocess.Popen(
                [*COMMAND, "serve", "--data", str(self.data), "--listen", listen, *self._options],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                preexec_fn=self.before,  # noqa: PLW1509
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self.log.read_text()
        self.url = json.loads(line)["listening"]
        self._port = int(self.url.rpartition(":")[2])

    def kill(self) -> None:
        """SIGKILL."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; the exit status."""
        return self._end(signal.SIGTERM)

    @property
    def pid(self) -> int:
        """Process id while it runs."""
        assert self._process is not None
        return self._process.pid

    def tokens(self, count: int, quota: Quota | None = None) -> list[bytes]:
        """Have tokens issued beside the running relay, as its command does."""
        tokens = [os.urandom(32) for _ in range(count)]
        hashes = [hashlib.sha256(token).digest() for token in tokens]
        add_tokens(self.data, hashes, quota or Quota())
        return tokens

    def held(self) -> int:
        """Datagrams in its database now."""
        connection = sqlite3.connect(self.data / FILE_NAME, timeout=10)
        try:
            return int(connection.execute("SELECT count(*) FROM datagram").fetchone()[0])
        finally:
            connection.close()

    def _end(self, number: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(number)
        status = process.wait(timeout=20)
        if process.stdout is not None:
            process.stdout.close()
        return status


def mailbox(seed: int) -> Mailbox:
    """The secrets of a mailbox that no other seed gives."""
    secrets = [hashlib.sha256(b"%s %d" % (kind, seed)).digest() for kind in (b"take", b"deposit")]
    return Mailbox(*secrets)


def name_of(box: Mailbox) -> bytes:
    """The name of that mailbox."""
    take_hash, deposit_hash = (hashlib.sha256(secret).digest() for secret in box)
    return mailbox_name(take_hash, deposit_hash)


def path_of(box: Mailbox) -> str:
    """Its path at the relay."""
    return f"/v1/mailbox/{name_of(box).hex()}"


def as_taker(box: Mailbox) -> dict[str, str]:
    """The headers that prove the right to take."""
    other = hashlib.sha256(box.deposit).hexdigest()
    return {"Openline-Take": box.take.hex(), "Openline-Other": other}


def as_depositor(box: Mailbox) -> dict[str, str]:
    """The headers that prove the right to deposit."""
    other = hashlib.sha256(box.take).hexdigest()
    return {"Openline-Deposit": box.deposit.hex(), "Openline-Other": other}
