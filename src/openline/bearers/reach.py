"""Reaching an address over a wire that may swallow everything and close nothing.

Theory of operation: whoever waits for TCP waits as long again as the wire was cut, because its
kernel repeats at doubling intervals. So nothing here waits for it. `Silence` is shown now and then
how a connection stands and says when what was sent has been unanswered for too long. `Reach` knocks
at an address with one new connection at each pace, gives each up before its kernel would repeat
the first packet, and hands over the first that comes through: after the wire is back, one pace and
one round trip at most. Where the round trip is longer than that life, attempts are patient instead;
and among the quick ones there is always one patient, for the way may have become longer. The pace
is bounded, lower where the profile names a rate: PACE_S stands for 1.4 packets and 84 bytes a
second, patience included. What is said over a connection does not live here.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from openline.errors import BearerError

from .base import BearerProfile, Port

PACE_S = 0.8
"""Seconds between two knocks. The bound is 2 packets and 200 bytes a second while down: the rest is
left to what was on its way when the wire died."""

KNOCK_BYTES = 60
"""The first packet of a connection over IPv4."""

RATE_PARTS = 10
"""Knocks take at most one part in so many of the rate a profile names."""

QUICK_S = 0.9
"""Life of a quick attempt: the kernel repeats the first packet after one second."""

PATIENT_S = 5.0
PATIENT_S_MAX = 30.0
"""Life of a patient one: a thirtieth of the time without a connection, within these."""

PATIENT_EVERY, PATIENT_AT, PATIENT_AT_FIRST = 32, 31, 3
"""One attempt in so many is patient: the last of them, or an early one where no connection has been
yet."""

REPEAT_S = 1.0
"""At which interval the kernel repeats the first packet of a patient attempt; ours go between."""

REFUSED_PACES = 2
"""Paces from a refusal to the next knock: the answer is a packet too."""

_KNOCKING = {
    "bearer.no_address": 1,
    "bearer.no_answer": 1,
    "bearer.stalled": 1,
    "bearer.unreachable": 1,
    "bearer.refused": REFUSED_PACES,
}
"""Why a bearer is down while its address is knocked at → paces between two knocks."""

LOOKUP_S = 60.0
"""Seconds between look-ups of a name while it cannot be reached; addresses once found are kept."""

SILENT_S = 1.0
"""Unanswered for so many seconds, and ROUND_TRIPS round trips, is silence."""

ROUND_TRIPS = 4


_Option = tuple[int, int, int] | tuple[int, int, bytes]


def pace_of(rate_bytes_s: int | None, pace_s: float = PACE_S) -> float:
    """Seconds between two knocks, given the rate of the profile."""
    return max(pace_s, RATE_PARTS * KNOCK_BYTES / rate_bytes_s) if rate_bytes_s else pace_s


def retry_ms(code: str, rate_bytes_s: int | None) -> int | None:
    """How long after another a connection is tried while a bearer is down for this reason, in
    milliseconds; None where something else than knocking decides.
    """
    paces = _KNOCKING.get(code)
    return None if paces is None else int(1000 * paces * pace_of(rate_bytes_s))


class Door:
    """The port of a bearer, told of each change once."""

    def __init__(self, port: Port) -> None:
        self.port = port
        self._told: tuple[bool, str] | None = None
        """Whether it was up, and the code."""

    def up(self, deaf: str = "") -> None:
        """Datagrams can go; none can come, if there is a reason why."""
        if self._told != (True, deaf):
            self._told = True, deaf
            self.port.up(deaf)

    def down(self, code: str) -> None:
        """They cannot, for this reason."""
        if self._told != (False, code):
            self._told = False, code
            self.port.down(code)


class Standing(NamedTuple):
    """A connection as the kernel sees it."""

    unanswered: int
    """Segments sent and not acknowledged by the other machine; what its closed window holds back is
    not among them."""
    answered_bytes: int
    """Bytes it has acknowledged so far."""
    rtt_s: float


def standing(connection: socket.socket) -> Standing | None:
    """How a connection stands; None where the system does not tell (anywhere but on Linux) or the
    connection is closed.
    """
    option = getattr(socket, "TCP_INFO", None)
    if option is None:
        return None
    try:
        told = connection.getsockopt(socket.IPPROTO_TCP, option, 192)
    except OSError:
        return None
    if len(told) < 128:
        return None
    # struct tcp_info of linux/tcp.h: eight bytes, 24 words (unacked is the fifth, rtt the
    # sixteenth, in microseconds), two long words of pacing, bytes_acked.
    (unacked,), (rtt_us,) = struct.unpack_from("=I", told, 24), struct.unpack_from("=I", told, 68)
    (acked,) = struct.unpack_from("=Q", told, 120)
    return Standing(unacked, acked, rtt_us / 1e6)


class Silence:
    """How long what was sent over one connection has been unanswered."""

    def __init__(self) -> None:
        self._since_s: float | None = None
        self._answered_bytes = -1

    def look(self, at: Standing, now_s: float) -> bool:
        """Whether it has been for too long; to be asked again while anything is unanswered."""
        if not at.unanswered:
            self._since_s = None
        elif self._since_s is None or at.answered_bytes != self._answered_bytes:
            self._since_s = now_s
        self._answered_bytes = at.answered_bytes
        waited_s = 0.0 if self._since_s is None else now_s - self._since_s
        return waited_s >= max(SILENT_S, ROUND_TRIPS * at.rtt_s)


def options_of_silence(silent_s: float) -> list[_Option]:
    """Socket options for connections that a library keeps for us: the kernel ends one on which
    something sent is unanswered for so long (beside the wait for its first repeat), saying nothing;
    and one that we close is not flushed.
    """
    options: list[_Option] = [_RESET_AT_CLOSE]
    if (number := getattr(socket, "TCP_USER_TIMEOUT", None)) is not None:
        options.append((socket.IPPROTO_TCP, number, int(silent_s * 1000)))
    return options


def swallowed(failure: BaseException | None) -> bool:
    """Whether the kernel gave a connection up because nothing was answered, by what the failure
    came from.
    """
    while failure is not None:
        if isinstance(failure, OSError) and failure.errno == errno.ETIMEDOUT:
            return True
        failure = failure.__cause__ or failure.__context__
    return False


_RESET_AT_CLOSE: tuple[int, int, bytes] = (
    socket.SOL_SOCKET,
    socket.SO_LINGER,
    struct.pack("ii", 1, 0),
)


def reset_at_close(connection: socket.socket) -> None:
    """From now on closing drops what is unsent and says so with one packet: nothing is repeated
    into the void.
    """
    with suppress(OSError):
        connection.setsockopt(*_RESET_AT_CLOSE)


@contextmanager
def closed_on_failure(connection: socket.socket) -> Iterator[None]:
    """Leave no socket of ours open behind an error or a cancellation."""
    try:
        yield
    except BaseException:
        connection.close()
        raise


class _Address(NamedTuple):
    family: int
    protocol: int
    where: tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]


class Reach:
    """The way to one host and port, and what is known of it: `connected()` gives a connection, as
    soon as there can be one.
    """

    def __init__(
        self, host: str, port: int, profile: BearerProfile, *, pace_s: float = PACE_S
    ) -> None:
        self._host, self._port = host, port
        self._pace_s = pace_of(profile.rate_bytes_s, pace_s)
        self.rtt_s = 2 * profile.latency_ms / 1000
        """Measured at the last connection; before the first, what the profile lets expect."""
        self._measured = False
        self._addresses: list[_Address] = []
        self._next = 0

    async def connected(self, tell: Callable[[str], None]) -> socket.socket:
        """Knock until somebody opens. `tell` hears at each failure why: "bearer.refused",
        "bearer.no_answer", "bearer.unreachable" or "bearer.no_address".
        """
        loop = asyncio.get_running_loop()
        began_s, looked_up_s, made = loop.time(), loop.time(), 0
        looking = asyncio.create_task(self._look_up())
        attempts: dict[asyncio.Task[socket.socket], bool] = {}
        try:
            while True:
                if looking.done() and loop.time() > looked_up_s + LOOKUP_S:
                    looked_up_s, looking = loop.time(), asyncio.create_task(self._look_up())
                if not self._addresses:
                    await asyncio.wait({looking})
                    if not self._addresses:
                        tell("bearer.no_address")
                        await asyncio.sleep(self._pace_s)
                        looking = asyncio.create_task(self._look_up())
                        continue
                slow = 2 * self.rtt_s > QUICK_S
                pace_s = max(self._pace_s, REPEAT_S) if any(attempts.values()) else self._pace_s
                if not (slow and attempts):
                    turn = PATIENT_AT if self._measured else PATIENT_AT_FIRST
                    patient = slow or made % PATIENT_EVERY == turn
                    life_s = self._life_s(patient, loop.time() - began_s)
                    attempts[asyncio.create_task(self._attempt(life_s))] = patient
                    made += 1
                    pace_s = max(self._pace_s, REPEAT_S) - REPEAT_S / 2 if patient else pace_s
                if (found := await self._first(attempts, loop.time() + pace_s, tell)) is not None:
                    return found
        finally:
            looking.cancel()
            await given_up([*attempts])

    def _life_s(self, patient: bool, down_s: float) -> float:
        if not patient:
            return QUICK_S
        return min(max(PATIENT_S, down_s / 30, ROUND_TRIPS * self.rtt_s), PATIENT_S_MAX)

    async def _look_up(self) -> None:
        """Learn the addresses of the host; if that fails, those known stay."""
        with suppress(OSError, UnicodeError):
            found = await asyncio.get_running_loop().getaddrinfo(
                self._host, self._port, type=socket.SOCK_STREAM
            )
            self._addresses = [_Address(each[0], each[2], each[4]) for each in found]

    async def _attempt(self, life_s: float) -> socket.socket:
        """One connection to the next address; OSError (a TimeoutError if nobody answers)."""
        loop = asyncio.get_running_loop()
        address = self._addresses[self._next % len(self._addresses)]
        self._next += 1
        connection = socket.socket(address.family, socket.SOCK_STREAM, address.protocol)
        with closed_on_failure(connection):
            connection.setblocking(False)
            began_s = loop.time()
            async with asyncio.timeout(life_s):
                await loop.sock_connect(connection, address.where)
            at = standing(connection)
            self.rtt_s = (at.rtt_s if at else 0.0) or loop.time() - began_s
            self._measured = True
        return connection

    async def _first(
        self,
        attempts: dict[asyncio.Task[socket.socket], bool],
        end_s: float,
        tell: Callable[[str], None],
    ) -> socket.socket | None:
        """The first of the attempts that comes through until a time of the loop's clock."""
        loop = asyncio.get_running_loop()
        while (left_s := end_s - loop.time()) > 0:
            if not attempts:
                await asyncio.sleep(left_s)
                continue
            done, _ = await asyncio.wait(
                attempts, timeout=left_s, return_when=asyncio.FIRST_COMPLETED
            )
            for each in done:
                try:
                    found = each.result()
                except OSError as error:
                    del attempts[each]
                    tell(_code(error))
                    if isinstance(error, ConnectionRefusedError):
                        end_s = max(end_s, loop.time() + REFUSED_PACES * self._pace_s)
                else:
                    del attempts[each]
                    return found
        return None


def _code(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "bearer.refused"
    return "bearer.no_answer" if isinstance(error, TimeoutError) else "bearer.unreachable"


async def given_up(attempts: list[asyncio.Task[socket.socket]]) -> None:
    """End attempts; one that came through meanwhile is closed."""
    for each in attempts:
        each.cancel()
    for ended in await asyncio.gather(*attempts, return_exceptions=True):
        if isinstance(ended, socket.socket):
            ended.close()


@contextmanager
def as_bearer_error(*, late: str, lost: str = "bearer.closed") -> Iterator[None]:
    """Say what the operating system reports as a BearerError, `late` or `lost`: its own reasons are
    many and help nobody.
    """
    try:
        yield
    except TimeoutError as error:
        raise BearerError(late, retry=True) from error
    except OSError as error:
        raise BearerError(lost, retry=True) from error
