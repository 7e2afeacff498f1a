"""What becomes of admission tokens at a relay that does not know them."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from openline.bearers.admission import REFUSALS_MAX, Admission, Tokens
from openline.bearers.mailbox import Relay
from openline.bearers.relay import RelayBearer
from openline.errors import BearerError
from openline.status import Mailboxes
from openline.tokens import FileTokens, tokens_in

from ..relay.process import RelayProcess
from .contract import End
from .test_relay import both_sides

UNKNOWN = "bearer.relay_tokens_unknown"


def random_tokens(count: int) -> list[bytes]:
    """Tokens that no relay has issued."""
    return [os.urandom(32) for _ in range(count)]


def given(path: Path, tokens: Sequence[bytes]) -> Path:
    """A file of tokens."""
    path.write_text("".join(token.hex() + "\n" for token in tokens))
    return path


def end(relay: RelayProcess, boxes: Mailboxes, path: Path) -> End:
    """The bearer of one post, with its file of tokens."""
    return End(RelayBearer(Relay(relay.url), lambda: boxes, FileTokens(path)))


async def is_up(side: End) -> None:
    """Wait until it carries."""
    await side.port.until(lambda: side.port.is_up)


async def is_unknown(side: End) -> None:
    """Wait until it is down because none of its tokens is known."""
    await side.port.until(lambda: side.port.states[-1:] == [UNKNOWN])


def play(
    directory: Path, files: Sequence[Path], scene: Callable[..., Awaitable[None]]
) -> list[dict[str, int]]:
    """Run a scene with a relay and two posts' bearers; what the relay did, by its log."""

    async def whole(relay: RelayProcess) -> None:
        sides = [end(relay, *at) for at in zip(both_sides(), files, strict=True)]
        for side in sides:
            side.start()
        try:
            await scene(relay, *sides)
        finally:
            for side in sides:
                await side.stop()

    with RelayProcess(directory) as relay:
        asyncio.run(whole(relay))
    return [json.loads(line)["done"] for line in relay.log.read_text().splitlines()]


def test_tokens_of_another_relay_are_kept_and_the_relay_is_left_in_peace(tmp_path: Path) -> None:
    """It is told as that; good tokens beside them are tried at once."""
    strange = random_tokens(40)
    files = [given(tmp_path / name, strange) for name in ("near", "far")]

    async def scene(relay: RelayProcess, near: End, far: End) -> None:
        for side in (near, far):
            await is_unknown(side)
            assert side.port.states == [UNKNOWN]
        await asyncio.sleep(3)
        assert [sorted(tokens_in(path)) for path in files] == [sorted(strange)] * 2
        for path in files:
            with path.open("a") as file:
                file.writelines(token.hex() + "\n" for token in relay.tokens(4))
        await near.port.until(lambda: near.port.is_up)
        near.port.send(b"admitted")
        await far.port.until(lambda: far.port.arrived == [b"admitted"])

    [done] = play(tmp_path, files, scene)
    asked_without_token = 40
    assert done["relay.token"] <= 2 * REFUSALS_MAX + asked_without_token
    assert all(set(strange) <= set(tokens_in(path)) for path in files)


def test_no_token_is_lost_with_the_database_of_a_relay(tmp_path: Path) -> None:
    """SIGKILL, and its directory is gone: both posts say so until new tokens are there."""
    files = [tmp_path / name for name in ("near", "far")]

    async def scene(relay: RelayProcess, near: End, far: End) -> None:
        for path in files:
            given(path, relay.tokens(20))
        for side in (near, far):
            await is_up(side)
        relay.kill()
        unspent = [set(tokens_in(path)) for path in files]
        shutil.rmtree(relay.data)
        relay.start()
        for side in (near, far):
            await is_unknown(side)
        assert [set(tokens_in(path)) for path in files] == unspent
        for path in files:
            given(path, relay.tokens(20))
        for side in (near, far):
            await is_up(side)
        near.port.send(b"at it again")
        await far.port.until(lambda: far.port.arrived == [b"at it again"])

    play(tmp_path, files, scene)


def test_tokens_that_a_crash_has_spent_hold_up_no_other(tmp_path: Path) -> None:
    """They are refused once, and stand behind the others from then on."""
    lost = random_tokens(REFUSALS_MAX - 1)
    files = [tmp_path / name for name in ("near", "far")]

    async def scene(relay: RelayProcess, near: End, far: End) -> None:
        for path in files:
            given(path, [*lost, *relay.tokens(20)])
        for side in (near, far):
            await is_up(side)

    play(tmp_path, files, scene)
    for path in files:
        assert set(tokens_in(path)[-len(lost) :]) == set(lost)


class Pocket:
    """Tokens in memory that cannot be moved."""

    def __init__(self, tokens: list[bytes]) -> None:
        self.tokens = tokens

    def left(self) -> list[bytes]:
        """All."""
        return self.tokens

    def spent(self, token: bytes) -> None:
        """It cannot be."""
        raise OSError

    refused = spent


def refusal(tokens: Tokens, admission: Admission | None = None) -> str:
    """Why there is no token to try."""
    with pytest.raises(BearerError) as refused:
        (admission or Admission(tokens)).token()
    return refused.value.code


def test_after_some_refusals_in_a_row_only_a_new_token_is_tried() -> None:
    pocket = Pocket(random_tokens(3 * REFUSALS_MAX))
    admission = Admission(pocket)
    for _ in range(REFUSALS_MAX):
        admission.refused(admission.token())
    assert refusal(pocket, admission) == UNKNOWN
    new = random_tokens(1)
    pocket.tokens += new
    assert admission.token() == new[0]
    assert Admission(pocket).token() == pocket.tokens[0]


def test_why_there_is_no_token_to_try(tmp_path: Path) -> None:
    """All are spent; there is no file; a file in which nothing can be written is told as that."""
    assert refusal(Pocket([])) == "bearer.relay_no_token"
    assert refusal(FileTokens(tmp_path / "absent")) == "bearer.relay_token_file"
    admission = Admission(Pocket(random_tokens(1)))
    with pytest.raises(BearerError, match=r"bearer\.relay_token_file"):
        admission.taken(admission.token())
