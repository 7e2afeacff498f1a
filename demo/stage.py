"""One relay, two posts and the wires between them: set up by real commands, then driven.

Theory of operation: everything lives in one new directory: a directory, a key file and a log for
each post, the relay's data, the cards and the tape that are carried by hand. Setting up is what a
user types, command by command, each shown as it runs; afterwards a post is asked over its control
socket. The first post dials the second through the wire "direct", and reaches the relay through
the wire "relay"; both can be cut. The stand-in for the watch marks as delivered whatever arrives.
`Stage` is an asynchronous context: leaving it ends every process, whatever happened. What is said
does not live here.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from openline import clock
from openline.config import CONFIG_FILE
from openline.errors import LocalError
from openline.link import Event, Link

from .board import PATIENCE_S, Board, Message
from .processes import Child, Failed, python, run, together
from .script import Said

DIRECT = "direct"
RELAY = "relay"
WIRES = (DIRECT, RELAY)
"""Wires of the first post."""

BEARERS = {DIRECT: "tcp", RELAY: "relay"}
"""Wire → the first post's name for the bearer that goes over it."""

TOKENS = 16
"""Admission tokens for each post; a mailbox costs one."""

TAPE = "line.tape"
TAPE_PAGES = 16

_ENDS = ("own_serial", "peer_serial")

HOST = "127.0.0.1"

LOOK_S = 0.25
"""How long at most between two looks at the lines, should no event tell of a change."""

WIRE = str(Path(__file__).with_name("wire.py"))

Show = Callable[[str], None]


class Post:
    """One post of the demonstration: its directory, its process and the connection to it."""

    def __init__(self, name: str, peer: str, stage: Stage) -> None:
        self.name = name
        self.peer = peer
        """The other post, which is also the label of the line."""
        self._stage = stage
        self._serve = ["--dir", name, "--key-file", f"{name}.key", "serve"]
        argv = python("openline.cli", *self._serve)
        self.child = Child(name, argv, stage.directory, stage.board.fail)
        self._link: Link | None = None
        self._watch: asyncio.Task[None] | None = None
        self._arrived = asyncio.Event()

    async def command(self, *args: str) -> str:
        """Run a command of this post as a user would; what it printed."""
        whole = ["--dir", self.name, *args]
        shown = "openline " + " ".join(word if " " not in word else f"'{word}'" for word in whole)
        self._stage.show(shown)
        return await run(python("openline.cli", *whole), self._stage.directory, shown)

    async def serve(self) -> str:
        """Start the daemon and watch it; the address it listens at, "" if it does not."""
        self._stage.show("openline " + " ".join(self._serve))
        ready = await self.child.start()
        self._link = await Link(self._stage.directory / self.name, self._hear).open()
        await self._link.call("watch")
        self._watch = asyncio.create_task(self._keep_watch())
        return str(ready.get("listen") or "")

    async def kill(self) -> None:
        """SIGKILL of the daemon."""
        await self.child.kill()
        await self._hang_up()

    async def stop(self) -> None:
        """End the daemon."""
        await self._hang_up()
        await self.child.stop()

    async def call(self, verb: str, token: str = "", /, **args: object) -> Any:
        """Ask the running post, as who is signed in if a token says so; raises LocalError."""
        if self._link is None:
            raise LocalError("post.not_running", directory=self.name, program="openline")
        return await self._link.call(verb, token, **args)

    async def line(self) -> dict[str, Any]:
        """The line as this post sees it."""
        [view] = await self.call("lines")
        found: dict[str, Any] = view
        return found

    async def send(
        self,
        said: Said,
        refer_to: Message | None = None,
        dtg_s: int | None = None,
        due_s: int | None = None,
    ) -> Message:
        """Release a text; returns when it is on disk here."""
        references = []
        if refer_to is not None:
            references = [{"ours": refer_to.author == self.name, "number": refer_to.number}]
        asked_ms = clock.now().mono_ms
        answer = await self.call(
            "send",
            line=self.peer,
            text=said.body,
            precedence=said.precedence,
            language=said.language,
            subject=said.subject,
            references=references,
            **({} if dtg_s is None else {"dtg_s": dtg_s}),
            **({} if due_s is None else {"due_s": due_s}),
        )
        message = self._stage.board.released(self.name, said, answer["serial"], asked_ms)
        await self._stage.board.stage(message, "released")
        return message

    async def open(self, message: Message) -> str:
        """A duty officer here opens a message of the other side; its text as it stands here.

        Returns when the author knows.
        """
        await self._stage.board.stage(message, "delivered")
        view = await self.call("show", line=self.peer, number=message.number, open=True)
        await self._stage.board.stage(message, "opened")
        return str(view["text"])

    async def receipt(self, message: Message, kind: str, **args: object) -> None:
        """Our people did something more with a message; returns when its author knows."""
        await self.call("receipt", line=self.peer, number=message.number, kind=kind, **args)
        await self._stage.board.stage(message, kind)

    def _hear(self, event: Event) -> None:
        self._stage.board.hear(self.name, event)
        if event["name"] == "arrived":
            self._arrived.set()

    async def _keep_watch(self) -> None:
        """What has arrived stands before the watch: it is listed, and thereby marked."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            try:
                await self.call("inbox", line=self.peer, seen=True)
            except LocalError as error:
                if error.code != "post.went_away":
                    self._stage.board.fail(error)
                return

    async def stand_down(self) -> None:
        """The stand-in for the watch goes: people take over."""
        if self._watch is not None:
            self._watch.cancel()
            with suppress(asyncio.CancelledError):
                await self._watch
        self._watch = None

    async def _hang_up(self) -> None:
        await self.stand_down()
        if self._link is not None:
            await self._link.close()
        self._link = None


class Stage:
    """Everything that runs. `show` is called with each command before it is run."""

    def __init__(self, posts: tuple[str, str], show: Show) -> None:
        self.show = show
        self.directory = Path(tempfile.mkdtemp(prefix="openline-"))
        self.board = Board(posts)
        self.posts = {name: Post(name, self.board.other(name), self) for name in posts}
        self._wire = Child("wire", [sys.executable, WIRE], self.directory, self.board.fail)
        self.others: list[Child] = []
        """Processes that end before the posts do."""
        self._reports: asyncio.Task[None] | None = None
        self._answers: dict[tuple[str, str], asyncio.Future[dict[str, Any]]] = {}
        data = ("--data", "relay")
        serve = python("openline.relay.app", "serve", *data, "--listen", f"{HOST}:0")
        self._relay = Child("relay", serve, self.directory, self.board.fail)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.shield(self._end())

    async def _end(self) -> None:
        if self._reports is not None:
            self._reports.cancel()
        await asyncio.gather(*(each.stop() for each in self.others), return_exceptions=True)
        ends = [post.stop() for post in self.posts.values()]
        ends += [self._wire.stop(), self._relay.stop()]
        await asyncio.gather(*ends, return_exceptions=True)
        shutil.rmtree(self.directory, ignore_errors=True)

    def tails(self) -> list[str]:
        """The end of what each process wrote, and how the bearers stand."""
        found = [
            f"{name}: {bearer} {'up' if up else 'down'}"
            for name, bearers in self.board.bearers.items()
            for bearer, up in bearers.items()
        ]
        posts = (post.child for post in self.posts.values())
        for child in (*posts, *self.others, self._relay, self._wire):
            found += [f"{child.name}: {line}" for line in child.tail()]
        return found

    # -- setting up ---------------------------------------------------------------------------

    async def set_up(self) -> None:
        """Everything from nothing to an open line; Failed or LocalError says what went wrong."""
        first, second = self.posts.values()
        _, relay, *_ = await together(
            self._wire.launch(), self._start_relay(), self._make(first), self._make(second)
        )
        self._reports = asyncio.create_task(self._hear_wires())
        (self.directory / second.name / CONFIG_FILE).write_text(f'listen = "{HOST}:0"\n')
        _, listen, *_ = await together(
            first.serve(), second.serve(), *(self._admit(name) for name in self.posts)
        )
        await self._enrol(first, second)
        direct = await self._wire_to(DIRECT, listen)
        relayed = await self._wire_to(RELAY, relay)
        await together(
            self._carry(first, direct, f"http://{relayed}"),
            self._carry(second, None, f"http://{relay}"),
        )
        await self.until_open()

    async def _start_relay(self) -> str:
        """Start the relay; its address."""
        self.show(f"openline-relay serve --data relay --listen {HOST}:0")
        ready = await self._relay.start()
        return str(ready["listening"]).removeprefix("http://")

    async def _admit(self, name: str) -> None:
        """Have the relay's operator issue tokens for a post."""
        args = ["token", "--data", "relay", "--count", str(TOKENS), "--out", f"{name}.tokens"]
        shown = "openline-relay " + " ".join(args)
        self.show(shown)
        await run(python("openline.relay.app", *args), self.directory, shown)

    async def _make(self, post: Post) -> None:
        await post.command("init", "--key-file", f"{post.name}.key", "--generate")

    async def _enrol(self, first: Post, second: Post) -> None:
        """Cards and a tape change hands; each side types the words it hears from the other."""
        one, other, _ = await together(
            *(
                post.command("card", "--out", f"{post.name}.card", "--json")
                for post in (first, second)
            ),
            first.command("tape", "new", TAPE, "--pages", str(TAPE_PAGES)),
        )
        heard = {second: json.loads(one)["words"], first: json.loads(other)["words"]}
        await together(*(self._pair(post, words) for post, words in heard.items()))

    async def _pair(self, post: Post, heard: list[str]) -> None:
        given = (f"{post.peer}.card", "--name", post.peer, "--tape", TAPE)
        await post.command("pair", *given, "--words", " ".join(heard))

    async def _carry(self, post: Post, direct: str | None, relay: str) -> None:
        """Have the bearers of a post added, as an administrator would."""
        add = ("bearer", "add", post.peer)
        if direct is not None:
            await post.command(*add, "--tcp", direct)
        await post.command(*add, "--relay", relay, "--tokens", f"{post.name}.tokens")

    async def until_open(self) -> None:
        """Wait until every bearer of both posts is up and the line is open at both ends."""
        up = self.board.bearers
        await self.board.until(
            lambda: all(len(up[name]) == 2 and all(up[name].values()) for name in up), "bearers"
        )
        await self._until_views(_open, "open")

    # -- wires --------------------------------------------------------------------------------

    async def cut(self, *wires: str) -> None:
        """Cut wires; returns when the first post knows that they carry no more."""
        for wire in wires:
            await self._order(wire, "cut")
            self.board.note("wire.cut", wire=wire)
        await self._until_bearers(wires, up=False)

    async def mend(self, *wires: str) -> None:
        """Mend wires; returns when they carry again."""
        for wire in wires:
            self.board.note("wire.mended", wire=wire)
            await self._order(wire, "mend")
        await self._until_bearers(wires, up=True)

    async def arm(self, wire: str, after_bytes: int) -> asyncio.Future[dict[str, Any]]:
        """Have a wire cut inside a frame after so many more bytes; the report of it, in time."""
        cut = self._answers[wire, "was_cut_inside"] = asyncio.get_running_loop().create_future()
        await self._order(wire, "cut_inside", after_bytes=after_bytes)
        return cut

    async def _until_bearers(self, wires: tuple[str, ...], *, up: bool) -> None:
        bearers = self.board.bearers[self.board.posts[0]]
        what = " ".join(wires)
        await self.board.until(lambda: all(bearers[BEARERS[w]] is up for w in wires), what)

    async def _wire_to(self, name: str, address: str) -> str:
        host, _, port = address.rpartition(":")
        opened = await self._order(name, "open", to=[host, int(port)])
        return f"{HOST}:{opened['port']}"

    async def _order(self, wire: str, do: str, **args: object) -> dict[str, Any]:
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[wire, do] = answer
        self._wire.tell(json.dumps({"wire": wire, "do": do, **args}).encode() + b"\n")
        return await answer

    async def _hear_wires(self) -> None:
        """Hand each report of the wires to whoever waits for it."""
        try:
            while True:
                said = json.loads(await self._wire.line())
                answer = self._answers.pop((said["wire"], said["did"]), None)
                if answer is not None and not answer.done():
                    answer.set_result(said)
        except Failed as error:
            self.board.fail(error)

    # -- at the end ---------------------------------------------------------------------------

    async def settle(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Wait until nothing is under way; the line as each post sees it then."""
        views = await self._until_views(_at_rest, "rest")
        return views[0], views[1]

    async def _until_views(
        self, reached: Callable[[list[dict[str, Any]]], bool], what: str
    ) -> list[dict[str, Any]]:
        """Look at both ends at every event until they are as wanted."""
        looking = asyncio.get_running_loop().time() + PATIENCE_S
        while True:
            views = [await post.line() for post in self.posts.values()]
            if reached(views):
                return views
            if asyncio.get_running_loop().time() > looking:
                raise LocalError("demo.late", what=what, seconds=int(PATIENCE_S))
            await self.board.news(LOOK_S)


def _open(views: list[dict[str, Any]]) -> bool:
    return all(view["state"] == "open" for view in views)


def _at_rest(views: list[dict[str, Any]]) -> bool:
    one, other = views
    if one["outbox"] or other["outbox"]:
        return False
    return [one[key] for key in _ENDS] == [other[key] for key in reversed(_ENDS)]
