"""A desk with a post behind it and a post across, each a real process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from bench.posts import LINE, Process, key_of, line_of, make_pair, settled, until

ROLES = ("administrator", "duty", "drafter", "releaser", "translator", "principal", "auditor")


class Scene:
    """`near` is the other side; `far` has the desk and people, one of each role and named by it."""

    def __init__(self, place: Path) -> None:
        self.places = make_pair(place)
        self.far, self.near = Process(self.places.far), Process(self.places.near)
        self.origin = ""
        self._desk: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start everything; returns when the line is open and the desk listens."""
        self.far.start()
        self.near.start()
        with self.far.ask() as asking:
            until(lambda: settled(asking))
            for role in ROLES:
                asking.call("person_add", name=role, roles=[role])
        self.start_desk("localhost:0")

    def start_desk(self, listen: str) -> None:
        """Start the desk; returns when it listens."""
        paths = ["--dir", str(self.places.far), "--key-file", str(key_of(self.places.far).path)]
        command = [sys.executable, "-m", "openline.cli", *paths, "desk", "--listen", listen]
        self._desk = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._desk.stdout is not None
        self.origin = self._desk.stdout.readline().split()[-1]

    def said(self, lines: int) -> str:
        """So many further lines that the desk has printed."""
        assert self._desk is not None
        assert self._desk.stdout is not None
        return "".join(self._desk.stdout.readline() for _ in range(lines))

    def end_desk(self) -> int:
        """SIGTERM to the desk; its exit code."""
        desk, self._desk = self._desk, None
        if desk is None:
            return 0
        desk.terminate()
        code = desk.wait(20)
        if desk.stdout is not None:
            desk.stdout.close()
        return code

    def end(self) -> None:
        """End everything."""
        self.end_desk()
        self.near.stop()
        self.far.stop()

    def link(self, name: str) -> str:
        """A link with which a person may enter once."""
        with self.far.ask() as asking:
            return str(asking.call("person_link", name=name)["token"])

    @contextmanager
    def browser(self, name: str = "") -> Iterator[httpx2.Client]:
        """A browser without JavaScript, signed in as a person if one is named."""
        headers = {"Origin": self.origin}
        with httpx2.Client(base_url=self.origin, headers=headers, timeout=20) as made:
            if name:
                entered = made.post("/enter", data={"link": self.link(name)})
                assert entered.status_code == 303
            yield made

    def say(self, text: str, **said: object) -> str:
        """The other side releases a text; its serial, once it is here."""
        with self.near.ask() as asking:
            found: dict[str, Any] = asking.call("send", line=LINE, text=text, **said)["serial"]
            until(lambda: not line_of(asking)["outbox"])
        return f"{found['number']}.{found['incarnation']:06x}"

    def draft(self, text: str) -> str:
        """A draft of the post's own, made by a drafter; its id."""
        with self.browser("drafter") as browser:
            made = browser.post("/line/1/write", data={"precedence": "ROUTINE", "text": text})
            return made.headers["location"].rpartition("/")[2]

    def there(self, serial: str) -> list[str]:
        """What the other side knows was done with its text."""
        number = int(serial.partition(".")[0])
        with self.near.ask() as asking:
            shown = asking.call("show", line=LINE, side="ours", number=number)
        return [mark["kind"] for mark in shown["marks"]]
