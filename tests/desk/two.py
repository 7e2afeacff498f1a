"""Two posts with a desk each and people at both, over a wire that can be cut; all real processes.

Theory of operation: the near post dials the far one through the demonstration's wire, a proxy in a
process of its own. Each desk has a name under .localhost, since browsers tell cookies apart by name
and not by port. People have a passphrase each, cheap to stretch, or enter with a one-time link.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench.posts import Process, key_of, make_pair, settled, until
from openline import clock
from openline.config import CONFIG_FILE
from openline.signins import stretched
from openline.store.keys import Cost

ROOT = Path(__file__).resolve().parent.parent.parent
PHRASE = "the tide turns at four"
CHEAP = Cost(1024, 1, 1)


class Office:
    """A post that runs, its people and its desk."""

    def __init__(self, directory: Path, name: str) -> None:
        self.post = Process(directory)
        self.name = name
        self.origin = ""
        self._desk: subprocess.Popen[str] | None = None

    def open_desk(self, *people: tuple[str, ...]) -> None:
        """Add people, (name, role, …) each, and start the desk; returns when it listens."""
        with self.post.ask() as asking:
            for name, *roles in people:
                asking.call("person_add", name=name, roles=roles)
                salt = clock.entropy(16)
                key = stretched(PHRASE, salt, CHEAP).hex()
                link = asking.call("person_link", name=name)["token"]
                given = {"salt": salt.hex(), "cost": list(CHEAP), "key": key, "link": link}
                asking.call("passphrase", **given)
        paths = ["--dir", str(self.post.directory)]
        paths += ["--key-file", str(key_of(self.post.directory).path)]
        listen = f"{self.name}.localhost:0"
        command = [sys.executable, "-m", "openline.cli", *paths, "desk", "--listen", listen]
        self._desk = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._desk.stdout is not None
        self.origin = self._desk.stdout.readline().split()[-1]

    def link(self, name: str) -> str:
        """A link with which a person may enter once."""
        with self.post.ask() as asking:
            return str(asking.call("person_link", name=name)["token"])

    def close(self) -> None:
        """End the desk and the post."""
        if self._desk is not None:
            self._desk.terminate()
            self._desk.wait(20)
            if self._desk.stdout is not None:
                self._desk.stdout.close()
        self.post.stop()


class Wire:
    """What the near post's only bearer goes over: `demo/wire.py`, cut and mended by a test."""

    def __init__(self, address: str) -> None:
        command = [sys.executable, str(ROOT / "demo" / "wire.py")]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        host, _, port = address.rpartition(":")
        self.address = f"{host}:{self.order('open', to=[host, int(port)])['port']}"

    def order(self, do: str, **more: object) -> dict[str, Any]:
        """Have it "cut" or "mend"; returns when it did."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, "wire": "only", **more}) + "\n")
        self._process.stdin.flush()
        said: dict[str, Any] = json.loads(self._process.stdout.readline())
        return said

    def close(self) -> None:
        """End it."""
        self._process.communicate(timeout=20)


class TwoDesks:
    """`near` dials, `far` listens; both desks are open and the line is, while in its block."""

    def __init__(self, place: Path, near: str = "washington", far: str = "moscow") -> None:
        places = make_pair(place)
        self.near, self.far = Office(places.near, near), Office(places.far, far)
        config = places.near / CONFIG_FILE
        address = config.read_text().rpartition('address = "')[2].rstrip('"\n')
        self.wire = Wire(address)
        config.write_text(config.read_text().replace(address, self.wire.address))

    def __enter__(self) -> Self:
        try:
            for office in (self.far, self.near):
                office.post.start()
            with self.near.post.ask() as asking:
                until(lambda: settled(asking))
            people = (("drafter", "drafter"), ("releaser", "releaser"), ("duty", "duty"))
            self.near.open_desk(*people)
            self.far.open_desk(*people)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End everything."""
        self.near.close()
        self.far.close()
        self.wire.close()
