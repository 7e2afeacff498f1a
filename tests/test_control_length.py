"""How long a request to a running post may be: the longest there is fits, and one more does not."""

from __future__ import annotations

from pathlib import Path

from openline import clock
from openline.arguments import REQUEST_BYTES_MAX
from openline.enrolment import PAGES_MAX, new_tape, words
from tests.pair import LinePair
from tests.test_control import Desk, play


def test_a_request_beyond_the_limit_ends_the_connection(tmp_path: Path) -> None:
    async def scene(desk: Desk) -> None:
        client = await desk.client()
        client.writer.write(b"x" * (REQUEST_BYTES_MAX + 1))
        assert (await client.hear())["error"]["code"] == "control.too_long"
        assert await client.reader.read() == b""

    play(tmp_path, scene)


def test_the_longest_tape_there_may_be_pairs_a_running_post(tmp_path: Path) -> None:
    async def scene(desk: Desk) -> None:
        card, tape = LinePair(seed=9).posts["a"].card() or b"", new_tape(PAGES_MAX, clock.entropy)
        asked = {"card": card.hex(), "tape": tape.hex(), "words": list(words(card))}
        answer = await (await desk.client()).call("pair", label="third", **asked)
        assert answer == {"line": 2}

    play(tmp_path, scene)
