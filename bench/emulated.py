"""Bad wires between network namespaces of this machine, to see real posts on them.

Theory of operation: a host is a network namespace, a wire a TUN device in each of two of them. What
their kernels send comes to one thread of this process, which lets it go on late, slowly, damaged or
not at all, and counts every packet that a host put on the wire, swallowed ones too. Real kernel TCP
runs over it, so its timers are those of life. A wire that swallows closes nothing; one that rejects
answers each packet with a reset, as a firewall does; one that holds lets go later, in order. No
host has a route to anywhere else. It needs root, iproute2 and /dev/net/tun: `missing()` says what
of it is not here. What is measured or tested over a wire does not live here.
"""

from __future__ import annotations

import fcntl
import heapq
import itertools
import os
import select
import shutil
import struct
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import TracebackType
from typing import NamedTuple, Self

from openline import clock

TUN = Path("/dev/net/tun")
MTU_BYTES = 1500
QUEUE_BYTES = 64 * 1024
"""What a way keeps for a slow wire; more is dropped, as a router does."""

_SET_INTERFACE = 0x400454CA
_TUN_WITHOUT_HEADER = 0x1001
_TCP = 6
_RESET, _ACKNOWLEDGES = 0x04, 0x10
_READ_MAX = 64
_LOOK_S = 0.1


def missing() -> str | None:
    """What this machine lacks or forbids, or None if wires can be made here."""
    if os.geteuid() != 0:
        return "not root: network namespaces cannot be made"
    if shutil.which("ip") is None:
        return "iproute2 is not installed (no program ip): apt-get install iproute2"
    if not TUN.exists():
        return f"{TUN} does not exist: the kernel has no TUN devices, or this container no access"
    try:
        os.close(os.open(TUN, os.O_RDWR))
    except OSError as error:
        return f"{TUN} cannot be opened: {error.strerror}"
    name = f"openline-{os.getpid()}-probe"
    made = subprocess.run(["ip", "netns", "add", name], check=False, capture_output=True, text=True)
    if made.returncode:
        return f"ip netns add is refused: {made.stderr.strip()}"
    subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)
    return None


class Count(NamedTuple):
    """What hosts put on a wire, or on one way of it."""

    packets: int
    size: int
    """IP bytes."""


class Seen(NamedTuple):
    """One packet put on a way."""

    at_s: float
    """By clock.precise_s."""
    size: int


@dataclass(slots=True)
class Conduct:
    """How a way treats packets."""

    delay_s: float = 0.0
    rate_bytes_s: float | None = None
    loss: float = 0.0
    damage: float = 0.0
    """Share of packets in which one byte is changed; in every other one the checksum is mended, as
    bad memory on the way does, so that only what is above TCP can notice."""
    swallow: bool = False
    hold: bool = False
    reject: bool = False


@dataclass(slots=True)
class Way:
    """One direction of a wire."""

    source: int
    target: int
    """Descriptors of the devices it takes from and gives to."""
    conduct: Conduct = field(default_factory=Conduct)
    seen: list[Seen] = field(default_factory=list)
    held: list[bytes] = field(default_factory=list)
    last: bytes = b""
    """The last packet that its host put on it."""
    free_s: float = 0.0
    queued: int = 0

    def count(self) -> Count:
        """All that was put on it since it was last cleared."""
        return Count(len(self.seen), sum(each.size for each in self.seen))


class Wire:
    """Two ways. Change how it behaves with `set`; `there` leads from the first host to the
    second.
    """

    def __init__(self, lock: threading.Lock, there: Way, back: Way, addresses: list[str]) -> None:
        self._lock = lock
        self.there, self.back = there, back
        self.addresses = addresses
        """Of the first and the second host on this wire."""

    def set(self, **changes: float | bool | None) -> None:
        """Change the conduct of both ways, by the names of Conduct."""
        with self._lock:
            for way in (self.there, self.back):
                for name, value in changes.items():
                    setattr(way.conduct, name, value)
                if "rate_bytes_s" in changes:
                    way.free_s = 0.0
                if changes.get("reject") and (answer := _reset(way.last)) is not None:
                    # Nobody need say anything more to learn of it.
                    _write(way.source, answer)

    def behave(self, conduct: Conduct) -> None:
        """Behave so both ways from now on."""
        self.set(**{name: getattr(conduct, name) for name in Conduct.__slots__})

    def clear(self) -> None:
        """Count anew."""
        with self._lock:
            self.there.seen.clear()
            self.back.seen.clear()

    def count(self) -> Count:
        """What both hosts put on it."""
        with self._lock:
            there, back = self.there.count(), self.back.count()
        return Count(there.packets + back.packets, there.size + back.size)

    def seen(self) -> list[Seen]:
        """Every packet put on it, in order of time."""
        with self._lock:
            return sorted([*self.there.seen, *self.back.seen])


class Network:
    """Hosts and wires: `with Network() as network`, then `host` and `wire`. Leaving the block takes
    everything down.
    """

    def __init__(self, seed: int = 0) -> None:
        self._chance = Random(seed)
        self._hosts: dict[str, str] = {}
        self._ways: dict[int, Way] = {}
        self._wires = 0
        self._lock = threading.Lock()
        self._due: list[tuple[float, int, Way, bytes]] = []
        self._order = itertools.count()
        self._poll = select.epoll()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._carry, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._ending.set()
        self._thread.join()
        self._poll.close()
        for device in self._ways:
            os.close(device)
        for space in self._hosts.values():
            subprocess.run(["ip", "netns", "del", space], check=False, capture_output=True)

    def host(self, name: str) -> None:
        """Make a host."""
        space = f"openline-{os.getpid()}-{id(self) % 10_000}-{name}"
        _run("ip", "netns", "add", space)
        self._hosts[name] = space
        # No IPv6: its own talk would be counted.
        quiet = "echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6 || true"
        _run("ip", "netns", "exec", space, "sh", "-c", quiet)
        _run("ip", "-n", space, "link", "set", "lo", "up")

    def under(self, host: str) -> list[str]:
        """The command that runs another one, given as its arguments, on a host."""
        return ["ip", "netns", "exec", self._hosts[host]]

    def wire(self, first: str, second: str, *, delay_s: float = 0.0) -> Wire:
        """Join two hosts."""
        number, self._wires = self._wires, self._wires + 1
        prefix = f"10.77.{number // 64}."
        addresses = [f"{prefix}{number % 64 * 4 + side}" for side in (1, 2)]
        devices = []
        for at, host in enumerate((first, second)):
            device = os.open(TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            asked = struct.pack("16sH22x", b"oltun%d", _TUN_WITHOUT_HEADER)
            name = fcntl.ioctl(device, _SET_INTERFACE, asked)[:16].rstrip(b"\0").decode()
            space = self._hosts[host]
            made, name = name, f"wire{number}"
            _run("ip", "link", "set", made, "netns", space, "name", name)
            ends = [addresses[at], "peer", addresses[1 - at]]
            _run("ip", "-n", space, "addr", "add", *ends, "dev", name)
            _run("ip", "-n", space, "link", "set", name, "up", "mtu", str(MTU_BYTES))
            devices.append(device)
        there, back = Way(devices[0], devices[1]), Way(devices[1], devices[0])
        for way in (there, back):
            way.conduct.delay_s = delay_s
            with self._lock:
                self._ways[way.source] = way
            self._poll.register(way.source, select.EPOLLIN)
        return Wire(self._lock, there, back, addresses)

    # -- the thread ---------------------------------------------------------------------------

    def _carry(self) -> None:
        while not self._ending.is_set():
            wait_s = _LOOK_S
            with self._lock:
                if self._due:
                    wait_s = min(wait_s, max(0.0, self._due[0][0] - clock.precise_s()))
            for device, _ in self._poll.poll(wait_s):
                with self._lock:
                    way = self._ways[device]
                    for packet in _waiting(device):
                        way.seen.append(Seen(clock.precise_s(), len(packet)))
                        way.last = packet
                        self._take(way, packet)
            with self._lock:
                self._let_go()
                self._deliver()

    def _take(self, way: Way, packet: bytes) -> None:
        """Decide what becomes of a packet."""
        conduct = way.conduct
        if conduct.reject:
            if (answer := _reset(packet)) is not None:
                _write(way.source, answer)
        elif conduct.swallow or self._chance.random() < conduct.loss:
            return
        elif conduct.hold:
            way.held.append(packet)
        elif way.queued + len(packet) <= QUEUE_BYTES:
            if self._chance.random() < conduct.damage:
                packet = _damaged(packet, self._chance)
            now_s = clock.precise_s()
            takes_s = len(packet) / conduct.rate_bytes_s if conduct.rate_bytes_s else 0.0
            way.free_s = max(now_s, way.free_s) + takes_s
            way.queued += len(packet)
            due = (way.free_s + conduct.delay_s, next(self._order), way, packet)
            heapq.heappush(self._due, due)

    def _let_go(self) -> None:
        for way in self._ways.values():
            if way.held and not way.conduct.hold:
                held, way.held = way.held, []
                for packet in held:
                    self._take(way, packet)

    def _deliver(self) -> None:
        now_s = clock.precise_s()
        while self._due and self._due[0][0] <= now_s:
            _, _, way, packet = heapq.heappop(self._due)
            way.queued -= len(packet)
            if not (way.conduct.swallow or way.conduct.reject):
                _write(way.target, packet)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def _waiting(device: int) -> Iterator[bytes]:
    """The IPv4 packets that a device has for us."""
    for _ in range(_READ_MAX):
        try:
            packet = os.read(device, 65_536)
        except BlockingIOError:
            return
        if packet and packet[0] >> 4 == 4:
            yield packet


def _write(device: int, packet: bytes) -> None:
    try:
        os.write(device, packet)
    except OSError:
        # The device's own queue is full, or its host is being taken down: a loss like any other.
        return


def _sum(data: bytes) -> int:
    """The checksum of the internet protocols (RFC 1071)."""
    even = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f">{len(even) // 2}H", even))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def _with_sums(header: bytes, segment: bytes) -> bytes:
    """An IPv4 packet of a 20-byte header and a TCP segment, with both checksums set."""
    pseudo = header[12:20] + struct.pack(">BBH", 0, _TCP, len(segment))
    bare = segment[:16] + b"\0\0" + segment[18:]
    segment = bare[:16] + struct.pack(">H", _sum(pseudo + bare)) + bare[18:]
    bare = header[:10] + b"\0\0" + header[12:]
    return bare[:10] + struct.pack(">H", _sum(bare)) + bare[12:] + segment


def _reset(packet: bytes) -> bytes | None:
    """The TCP reset that a firewall answers a packet with; None to what is itself one."""
    at = (packet[0] & 15) * 4 if packet else 0
    if not packet or packet[9] != _TCP or packet[at + 13] & _RESET:
        return None
    source, target, number, answered = struct.unpack_from(">HHII", packet, at)
    if packet[at + 13] & _ACKNOWLEDGES:
        numbers, flags = (answered, 0), _RESET
    else:
        numbers, flags = (0, number + 1 & 0xFFFFFFFF), _RESET | _ACKNOWLEDGES
    segment = struct.pack(">HHIIBBHHH", target, source, *numbers, 5 << 4, flags, 0, 0, 0)
    header = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(segment), 0, 0, 64, _TCP, 0)
    return _with_sums(header + packet[16:20] + packet[12:16], segment)


def _damaged(packet: bytes, chance: Random) -> bytes:
    """The packet with one byte of what TCP carries changed, if it carries any."""
    at = (packet[0] & 15) * 4
    if packet[9] != _TCP or at != 20:
        return packet
    start = at + (packet[at + 12] >> 4) * 4
    if start >= len(packet):
        return packet
    changed = bytearray(packet)
    changed[chance.randrange(start, len(packet))] ^= chance.randrange(1, 256)
    if chance.random() < 0.5:
        return bytes(changed)
    return _with_sums(bytes(changed[:20]), bytes(changed[20:]))
