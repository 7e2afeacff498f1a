"""The line over a narrow wire, in time that jumps: what goes first, and how long it takes.

The bars are those of docs/benchmarks.md; `./dev bench --only narrow` measures them on devices.
"""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from openline.core.precedence import Precedence

from ..narrow import Scene, play

LETTERS = "abcdefghijklmnopqrstuvwxyz "


def noise(count: int, seed: int = 3) -> str:
    """A text that compression cannot shorten much."""
    chance = Random(seed)
    return "".join(chance.choice(LETTERS) for _ in range(count))


def texts(scene: Scene, name: str) -> int:
    """How many texts of the other side a post holds."""
    return len(scene.texts(name))


@pytest.mark.parametrize(("tape", "most_s"), [(True, 12), (False, 75)])
@pytest.mark.parametrize("before", [True, False])
def test_the_first_text_comes_with_the_opening(tape: bool, most_s: float, before: bool) -> None:
    async def act(scene: Scene) -> None:
        text = noise(110)
        if before:
            serial = scene.release("a", text)
            await scene.open("b")
            await scene.open("a")
        else:
            await scene.open("a")
            await scene.open("b")
            serial = await scene.say("a", text)
        assert await scene.arrival("b", serial) <= most_s

    play(Scene(tape=tape), act, both=False)


def test_a_flash_waits_for_one_fragment_of_what_is_less_urgent() -> None:
    async def act(scene: Scene) -> None:
        await scene.arrival("b", await scene.say("a", "established"))
        await scene.quiet()
        for number in range(100):
            await scene.say("a", noise(1000, number))
        loop = asyncio.get_running_loop()
        for number in range(5):
            await asyncio.sleep(97 + number)
            began_s, before = loop.time(), scene.ways["a"].free_s
            assert before > began_s - 1, "the wire is busy"
            flash = await scene.say("a", noise(110, number), Precedence.FLASH)
            taken_s = await scene.arrival("b", flash) - began_s
            own_s = 8 * (110 + 71) / 300 + 2
            assert taken_s <= 1.5 * own_s

    play(Scene(), act)


def test_what_was_overtaken_comes_whole_and_once() -> None:
    async def act(scene: Scene) -> None:
        long = await scene.say("a", noise(3000))
        for number in range(6):
            await asyncio.sleep(20)
            await scene.say("a", noise(50, number), [*Precedence][number % 4])
        await scene.arrival("b", long)
        await scene.until(lambda: texts(scene, "b") == 7)
        await scene.quiet()
        assert texts(scene, "b") == 7

    play(Scene(), act)


def test_a_quiet_line_says_nothing() -> None:
    async def act(scene: Scene) -> None:
        await scene.arrival("b", await scene.say("a", "established"))
        await scene.quiet()
        before = {name: way.sent_bytes for name, way in scene.ways.items()}
        await asyncio.sleep(6 * 3600)
        assert {name: way.sent_bytes for name, way in scene.ways.items()} == before

    play(Scene(), act)


def test_a_text_after_an_hour_is_not_made_longer_by_an_opening() -> None:
    async def act(scene: Scene) -> None:
        await scene.arrival("b", await scene.say("a", noise(100)))
        await scene.quiet()
        loop = asyncio.get_running_loop()
        for _ in range(3):
            await asyncio.sleep(4000)
            before, began_s = scene.ways["a"].sent_bytes, loop.time()
            arrived_s = await scene.arrival("b", await scene.say("a", noise(100)))
            assert scene.ways["a"].sent_bytes - before <= 100 + 72
            assert arrived_s - began_s < 8 * (100 + 72) / 300 + 2.1
            await scene.quiet()

    play(Scene(), act)


def test_runs_are_renewed_in_the_end_though_only_one_side_speaks() -> None:
    async def act(scene: Scene) -> None:
        opened = 0
        for number in range(140):
            await scene.arrival("b", await scene.say("a", noise(20, number)))
            if number % 24 == 0:
                await asyncio.sleep(120)
        names = [name for name in scene.stores["b"].state(1) if name.startswith("run/")]
        opened = len(names)
        assert opened >= 3

    play(Scene(), act)


def test_a_wire_that_loses_fragments_delivers_all_the_same() -> None:
    chance = Random(5)

    async def act(scene: Scene) -> None:
        for way in scene.ways.values():
            way.damages = lambda data: None if chance.random() < 0.1 else data
        for number in range(20):
            await scene.say("ab"[number % 2], noise(300, number), [*Precedence][number % 4])
        await scene.until(lambda: texts(scene, "a") == texts(scene, "b") == 10, 4 * 3600)

    play(Scene(bit_s=1200, latency_s=0.5), act)


def test_a_wire_that_is_cut_for_a_while_is_used_again() -> None:
    async def act(scene: Scene) -> None:
        await scene.arrival("b", await scene.say("a", "established"))
        for way in scene.ways.values():
            way.up = False
        flash = await scene.say("a", "meanwhile", Precedence.FLASH)
        await asyncio.sleep(600)
        for way in scene.ways.values():
            way.up = True
        began_s = asyncio.get_running_loop().time()
        assert await scene.arrival("b", flash) - began_s <= 100

    play(Scene(), act)
