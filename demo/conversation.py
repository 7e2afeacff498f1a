"""The conversation of the demonstration, and what is done to the wires and posts meanwhile.

Theory of operation: one step after another; each waits for what it needs, never for a time, but
for the pause that lets a person read. `Conversation.run` says what happens in order; `agree` is
what the run has to show for itself, and a step that does not show it fails the whole. How things
are drawn does not live here.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from openline import clock
from openline.errors import LocalError

from . import script
from .board import Message
from .script import Said
from .stage import BEARERS, DIRECT, RELAY, WIRES, Post, Stage

CUT_AFTER_BYTES = 4_000
"""How much of the long message passes on the direct wire before it is cut."""

ANSWER_WITHIN_S = 7200
"""What the holding reply promises."""

Narrate = Callable[..., None]
"""Called with the key of a wording and its values."""


class Conversation:
    """Two posts in a crisis: `pause_s` seconds for reading after each step."""

    def __init__(self, stage: Stage, narrate: Narrate, pause_s: float) -> None:
        self._stage = stage
        self._board = stage.board
        self._narrate = narrate
        self._pause_s = pause_s
        self._washington, self._moscow = stage.posts.values()

    async def run(self) -> None:
        """Everything up to the last message opened."""
        await self._line_test()
        await self._warning()
        await self._cut_inside_a_message()
        await self._kill_with_a_flash()
        await self._close()

    async def _pause(self) -> None:
        await asyncio.sleep(self._pause_s)

    async def _say(
        self, author: Post, said: Said, refer_to: Message | None = None
    ) -> tuple[Message, str]:
        """A text released here, opened there; the message and the text as it was read there."""
        message = await author.send(said, refer_to)
        await self._board.stage(message, "delivered")
        await self._pause()
        text = await self._stage.posts[self._board.other(author.name)].open(message)
        await self._pause()
        return message, text

    async def _line_test(self) -> None:
        self._narrate("demo.step.test")
        test, _ = await self._say(self._washington, script.LINE_TEST)
        await self._say(self._moscow, script.TEST_ANSWER, test)

    async def _warning(self) -> None:
        """A warning, a holding reply, the acknowledgement by a person, the principal shown it."""
        self._narrate("demo.step.warning")
        warning, _ = await self._say(self._washington, script.WARNING)
        due_s = clock.now().wall_s + ANSWER_WITHIN_S
        note = script.HOLDING_NOTE
        await self._moscow.receipt(warning, "holding", due_s=due_s, note=note)
        self._narrate("demo.holding", post=self._moscow.name, minutes=ANSWER_WITHIN_S // 60)
        await self._pause()
        answer, _ = await self._say(self._moscow, script.WARNING_ANSWER, warning)
        await self._washington.receipt(answer, "shown")
        self._narrate("demo.shown", post=self._washington.name)
        await self._say(self._washington, script.RELAYED)

    async def _cut_inside_a_message(self) -> None:
        """The direct wire ends in the middle of a frame of a long message; the relay carries on."""
        self._narrate("demo.step.cut", bytes=len(script.LONG.body.encode()))
        post, relay = self._washington, BEARERS[RELAY]
        # On a busy machine the post may find the relay faster, and then nothing would be cut.
        await post.call("bearer_pause", line=post.peer, name=relay)
        cut = await self._stage.arm(DIRECT, CUT_AFTER_BYTES)
        message = await post.send(script.LONG)
        report = await cut
        await post.call("bearer_resume", line=post.peer, name=relay)
        passed, frame = report["frame_bytes_passed"], report["frame_bytes"]
        where = {"wire": DIRECT, "frame_bytes": frame, "frame_bytes_passed": passed}
        self._board.note("wire.cut", report["mono_ms"], **where)
        self._narrate("demo.cut_inside", passed=passed, frame=frame)
        await self._board.stage(message, "delivered")
        if message.times["arrived"] < report["mono_ms"]:
            raise LocalError("demo.cut_too_late")
        text = await self._moscow.open(message)
        if text != script.LONG.body:
            raise LocalError("demo.text_differs", serial=message.serial)
        bearers = " + ".join(message.bearers)
        self._narrate("demo.whole", ms=message.after_ms("arrived"), bearers=bearers)
        await self._stage.mend(DIRECT)
        self._narrate("demo.mended")
        await self._pause()

    async def _kill_with_a_flash(self) -> None:
        """A post is killed with a FLASH that never left it, and started again: it arrives first."""
        post = self._washington
        self._narrate("demo.step.kill")
        await self._stage.cut(*WIRES)
        self._narrate("demo.cut_all", post=post.name)
        waiting = [await post.send(script.LONG_WAITING), await post.send(script.CORRECTION)]
        flash = await post.send(script.LAUNCH)
        await self._pause()
        if any("sent" in message.times for message in (*waiting, flash)):
            raise LocalError("demo.was_sent")
        self._board.note("post.killed", post=post.name)
        await post.kill()
        self._narrate("demo.killed", post=post.name)
        await self._pause()
        await post.serve()
        self._board.note("post.restarted", post=post.name)
        view = await post.line()
        self._narrate("demo.restarted", post=post.name, count=view["outbox"])
        await self._stage.mend(*WIRES)
        for message in (flash, *waiting):
            await self._board.stage(message, "delivered")
        order = [n for n in self._board.arrivals[self._moscow.name] if n >= waiting[0].number]
        first = next(n for n in order if n in {m.number for m in (flash, *waiting)})
        if first != flash.number:
            raise LocalError("demo.flash_late", serial=flash.serial)
        self._board.note("flash.first", serial=flash.serial, overtook=len(waiting))
        self._narrate("demo.flash_first", count=len(waiting))
        await self._pause()
        await self._moscow.open(flash)
        for message in waiting:
            await self._moscow.open(message)
        self._flash = flash

    async def _close(self) -> None:
        self._narrate("demo.step.close")
        answer, _ = await self._say(self._moscow, script.WEATHER_ROCKET, self._flash)
        await self._washington.receipt(answer, "shown")
        self._narrate("demo.shown", post=self._washington.name)
        await self._say(self._washington, script.UNDERSTOOD, answer)
        await self._say(self._washington, script.CLOSING)


async def agree(stage: Stage, narrate: Narrate) -> dict[str, Any]:
    """Both digests when all is at rest: each post's own, each recomputed from its records, and what
    the posts say of each other's over the line.
    """
    narrate("demo.step.agree")
    views = await stage.settle()
    names = list(stage.posts)
    proofs = [
        json.loads(await post.command("transcript", post.peer, "--verify", "--json"))
        for post in stage.posts.values()
    ]
    digests = {
        name: {
            "digest": view["digest"],
            "recomputed": proof["digest"],
            "compared": proof["comparison"]["agree"],
            "own": view["own_serial"],
            "peer": view["peer_serial"],
            "records": proof["ours"]["records"],
        }
        for name, view, proof in zip(names, views, proofs, strict=True)
    }
    said = {each[key] for each in digests.values() for key in ("digest", "recomputed")}
    equal = len(said) == 1 and all(each["compared"] is True for each in digests.values())
    return {"digests_equal": equal, "digests": digests}
