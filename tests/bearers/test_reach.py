"""Knocking at an address, and silence: without a wire that swallows, which tests/chaos has."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from openline.bearers import connection as connections
from openline.bearers.connection import Timing
from openline.bearers.framing import LineKey
from openline.bearers.reach import (
    PACE_S,
    QUICK_S,
    REPEAT_S,
    SILENT_S,
    Door,
    Reach,
    Silence,
    Standing,
    retry_ms,
    standing,
    swallowed,
)
from openline.bearers.tcp import PROFILE, ListeningLine, TcpBearer, TcpListener

from .contract import End
from .ports import PATIENCE_S, RecordingPort

NEAR = LineKey(1, b"k" * 32, 1)
FAR = LineKey(1, b"k" * 32, 2)


def play(scene: Callable[[], Awaitable[None]]) -> None:
    """Run a scene in a loop of its own; no task may be left over."""

    async def whole() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await scene()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(whole())


def test_what_is_unanswered_for_a_second_is_silence() -> None:
    silence, sent = Silence(), Standing(1, 0, 0.04)
    assert [silence.look(sent, now_s) for now_s in (7.0, 7.9, 7.0 + SILENT_S)] == [
        False,
        False,
        True,
    ]


def test_an_answer_begins_the_second_anew() -> None:
    silence = Silence()
    assert not silence.look(Standing(3, 100, 0.04), 0.0)
    assert not silence.look(Standing(2, 200, 0.04), 0.9)
    assert not silence.look(Standing(2, 200, 0.04), 1.8)
    assert silence.look(Standing(2, 200, 0.04), 2.0)
    assert not silence.look(Standing(0, 300, 0.04), 3.0)
    assert not silence.look(Standing(1, 300, 0.04), 9.0)


def test_how_often_a_dead_bearer_is_tried_is_told_where_knocking_decides_it() -> None:
    pace_ms = int(1000 * PACE_S)
    assert retry_ms("bearer.no_answer", None) == retry_ms("bearer.stalled", 10_000) == pace_ms
    assert retry_ms("bearer.refused", None) == 2 * pace_ms
    assert retry_ms("bearer.unreachable", 60) == 10_000
    for code in ("", "bearer.paused", "bearer.tls", "bearer.relay_full", "bearer.closed"):
        assert retry_ms(code, None) is None


def test_a_long_way_is_given_four_round_trips() -> None:
    silence, far = Silence(), Standing(1, 0, 4.0)
    assert not silence.look(far, 0.0)
    assert not silence.look(far, 15.9)
    assert silence.look(far, 16.0)


def test_the_kernel_tells_how_a_connection_stands() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()) as calling:
            at = standing(calling)
            if at is None:
                pytest.skip("this system does not tell (TCP_INFO is Linux's)")
            assert at.unanswered == 0
            assert 0 < at.rtt_s < PATIENCE_S
        assert standing(calling) is None


def test_a_wire_that_swallows_is_told_from_one_that_resets() -> None:
    outer = RuntimeError()
    outer.__cause__ = OSError(errno.ETIMEDOUT, "")
    assert swallowed(outer)
    assert not swallowed(ConnectionResetError(errno.ECONNRESET, ""))
    assert not swallowed(TimeoutError())


def test_a_door_says_each_change_once() -> None:
    port = RecordingPort()
    door = Door(port)
    for code in ("", "", "bearer.c", "bearer.c", ""):
        door.up(code)
    for code in ("bearer.a", "bearer.a", "bearer.b"):
        door.down(code)
    door.up("bearer.b")
    assert port.states == ["up", "bearer.c", "up", "bearer.a", "bearer.b", "bearer.b"]
    assert port.sends


def test_knocks_keep_their_pace_and_the_first_that_opens_is_taken() -> None:
    async def scene() -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        reach = Reach("127.0.0.1", port, PROFILE, pace_s=0.1)
        told: list[str] = []
        knocking = asyncio.create_task(reach.connected(told.append))
        await asyncio.wait([knocking], timeout=1.0)
        # Each refusal is a packet as well, and doubles the pace.
        assert 2 <= len(told) <= 6
        assert set(told) == {"bearer.refused"}
        with socket.create_server(("127.0.0.1", port)):
            (await knocking).close()
        assert reach.rtt_s < PROFILE.latency_ms / 1000

    play(scene)


def test_a_slow_bearer_is_knocked_at_less_often() -> None:
    async def scene() -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        told: list[str] = []
        reach = Reach("127.0.0.1", port, replace(PROFILE, rate_bytes_s=100), pace_s=0.05)
        knocking = asyncio.create_task(reach.connected(told.append))
        await asyncio.wait([knocking], timeout=2.0)
        assert told == ["bearer.refused"]
        knocking.cancel()
        await asyncio.wait([knocking])

    play(scene)


def test_nobody_at_a_name_is_told() -> None:
    async def scene() -> None:
        port = RecordingPort()
        reach = Reach("no such name", 1, PROFILE, pace_s=0.05)
        knocking = asyncio.create_task(reach.connected(port.down))
        await port.until(lambda: len(port.states) > 1)
        assert set(port.states) == {"bearer.no_address"}
        knocking.cancel()
        await asyncio.wait([knocking])

    play(scene)


@pytest.mark.parametrize("back", [True, False])
def test_a_doubtful_connection_is_kept_beside_dialing(
    monkeypatch: pytest.MonkeyPatch, back: bool
) -> None:
    """It is used again if it turns out to live, else replaced; down is told at once."""
    silent: set[socket.socket] = set()

    def told(asked: socket.socket) -> Standing:
        return Standing(1, 0, 0.0) if asked in silent else Standing(0, 0, 0.0)

    monkeypatch.setattr(connections, "standing", told)
    quick = Timing(pace=0.05, redial_min=0.02, keep_alive=0.05, look=0.05, grace=PATIENCE_S)
    taken: list[socket.socket] = []
    tune = connections._tune

    def note(tuned: socket.socket, silence_s: float) -> None:
        taken.append(tuned)
        tune(tuned, silence_s)

    monkeypatch.setattr(connections, "_tune", note)

    async def scene() -> None:
        here = RecordingPort()
        doors = [ListeningLine(FAR, here)]
        listener = TcpListener(("127.0.0.1", 0), lambda: doors, os.urandom)
        address = listener.open()
        end = End(TcpBearer(address, NEAR, os.urandom, timing=quick))
        listening = asyncio.create_task(listener.run())
        end.start()
        await end.port.until(lambda: end.port.is_up)
        await here.until(lambda: here.is_up)
        if back:
            # Whoever calls again is not let in.
            doors.clear()
        silent.update(each for each in taken if each.getpeername() == address)
        await end.port.until(lambda: not end.port.is_up)
        assert end.port.states[1] == "bearer.stalled"
        if back:
            silent.clear()
        await end.port.until(lambda: end.port.is_up)
        assert len(taken) == (2 if back else 4)
        await end.stop()
        listening.cancel()
        await asyncio.wait([listening])

    play(scene)


def test_a_quick_attempt_ends_before_its_kernel_repeats_it() -> None:
    assert QUICK_S < REPEAT_S
