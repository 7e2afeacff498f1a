"""Wires that carry parcels: a courier, people with a stick, a folder that both sides share.

Theory of operation: what makes parcels, names them and opens them is the code of production, and
what people do with a stick is its `carry out` and `carry in`. A bag needs half a day to nine and is
answered by another. It may never come, come twice, come after a newer one, hold damaged files,
files of which only half was copied, files of others. A folder brings files across in seconds or a
minute; while one is on its way, half of it may lie there. A `Courier` takes what a bearer gives and
nobody can answer over it. A parcel is taken whole or not at all. Nothing here knows what a datagram
means.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any, NamedTuple

from ..bearers import parcel
from ..bearers.base import Outgoing
from ..bearers.folder import UNTAKEN_MAX
from ..carrying import carry_in, carry_names, carry_out
from ..core import limits
from ..errors import BearerError, LocalError, OpenlineError, StoreError
from ..inputs import Arrived, Input
from .network import Attached
from .plan import DAY_MS, MINUTE_MS, Plan
from .strangers import parcels

_RETRY_MS = 3_600_000
_ACTOR = "officer"
TRAVEL_MS = (DAY_MS // 2, 9 * DAY_MS)
"""Shortest and longest time that a bag needs."""
_LATE_MS = (5 * DAY_MS, 12 * DAY_MS)
"""How much longer one needs that was held up."""
PAUSE_MS = (DAY_MS // 2, 3 * DAY_MS // 2)
"""Between one bag and the next, where nothing else carries."""
_FIRST_MS = 5_000
_BAGS = (5, 9)
"""How many set out from each side where something else carries."""

Files = dict[str, bytes]
"""Parcels by name."""


class _Ended(Exception):
    """The process has ended; nothing can be asked of it."""


@dataclass
class Bags(Attached):
    """What is common to those who carry parcels."""

    due_ms: int = 0
    """When the last of them that set out while faults struck will arrive."""
    arrived: int = 0
    """How many have been taken so far."""
    _packed: dict[str, list[bytes]] = field(default_factory=dict)
    """What is in each parcel, by name."""
    _salts: count[int] = field(default_factory=count)

    def pack(self, sender: str, datagrams: Sequence[bytes]) -> Files:
        """Datagrams of this end as parcels."""
        key, files = self.ends[sender].line_key(), {}
        for load in parcel.loads(datagrams):
            salt = next(self._salts).to_bytes(parcel.SALT_BYTES, "big")
            name, content = parcel.pack(key, load, salt)
            files[name] = content
            self._packed[name] = load
        return files

    def unpack(self, reader: str, name: str, content: bytes) -> list[bytes] | None:
        """What is in a parcel to this end; None if it is none, or does not open."""
        key = self.ends[reader].line_key()
        if parcel.direction_of(key, name) != 3 - key.direction:
            return None
        try:
            datagrams = parcel.unpack(key, name, content)
        except BearerError:
            return None
        self.whole(name, datagrams)
        return datagrams

    def whole(self, name: str, datagrams: Sequence[bytes]) -> None:
        """A parcel was opened: it must hold what was put into it."""
        if list(datagrams) != self._packed.get(name):
            self.world.checker.fail(f"a parcel on {self.name} was taken otherwise than it was made")

    def damaged(self, content: bytes) -> bytes:
        """A file with a bit flipped."""
        self.world.struck("parcel damaged")
        at = self.chance.randrange(len(content))
        return content[:at] + bytes((content[at] ^ 1,)) + content[at + 1 :]

    def halved(self, content: bytes) -> bytes:
        """A file of which only the beginning is there."""
        self.world.struck("half a file")
        return content[: self.chance.randrange(len(content))]

    def suffers(self, chance: float) -> bool:
        """Whether something befalls this parcel or bag."""
        return bool(chance) and self.chance.random() < chance


@dataclass
class Courier(Bags):
    """One way, days of latency; nobody can answer over it."""

    sender: str = "a"
    pause_ms: int = 60_000
    """Between one bundle and the next."""

    def users(self) -> Sequence[str]:
        """The one end that sends."""
        return (self.sender,)

    def busy_ms(self, outgoing: Sequence[Outgoing]) -> int:
        """The next bundle leaves later."""
        return self.pause_ms

    def send(self, sender: str, outgoing: Sequence[Outgoing]) -> None:
        """Take a bundle away."""
        if self.shut[sender] or self.silent:
            self._vanish(sender, outgoing)
            return
        files = self.pack(sender, [d for out in outgoing for d in self.befall(sender, out.data)])
        for _ in range(2 if self.chance.random() < 0.3 else 1):
            delay_ms = self.chance.randint(DAY_MS // 2, 4 * DAY_MS)
            self.due_ms = max(self.due_ms, self.world.ms + delay_ms)
            self.world.after(delay_ms, lambda: self._arrive(files))

    def _arrive(self, files: Files) -> None:
        reader = self.other(self.sender)
        end = self.ends[reader]
        if end.alive:
            opened = [self.unpack(reader, name, content) for name, content in files.items()]
            if end.deliver(self.name, [data for some in opened for data in some or ()]):
                self.arrived += 1
                return
        self.world.after(_RETRY_MS, lambda: self._arrive(files))


class _Bag(NamedTuple):
    """A stick on its way."""

    number: int
    sender: str
    files: Files
    made_ms: int


class _Hands:
    """What `carry out` and `carry in` need of the runner. Implements carrying.Steps."""

    def __init__(self, stick: Stick, name: str) -> None:
        self._end = stick.ends[name]
        self._checker = stick.world.checker
        self.bag = asyncio.Lock()
        self.taken: list[bytes] = []
        """What went into the bag."""
        self.arrived: list[bytes] = []
        """What came out of one."""

    async def _give(self, given: Input) -> object:
        results = self._end.step(given)
        if not results:
            raise _Ended
        if isinstance(results[0], OpenlineError):
            raise results[0]
        if isinstance(given, Arrived):
            self.arrived += given.datagrams
        return results[0]

    def give(self, given: Input) -> Awaitable[object]:
        """Have an input taken; raises what it ended in."""
        return self._give(given)

    def take(self, line: int, bearer: str) -> list[Outgoing]:
        """What the bag should hold too."""
        self._checker.hindered.discard(self._end.name)
        taken = self._end.take(bearer)
        if not self._end.alive:
            raise _Ended
        if self._end.name in self._checker.hindered:
            raise StoreError("store.disk_full")
        self.taken += [item.data for item in taken]
        return taken


def _done(act: Coroutine[Any, Any, Any]) -> Any:
    """What an act ends in that waits for nothing."""
    try:
        act.send(None)
    except StopIteration as stop:
        return stop.value
    raise RuntimeError("it waits")


@dataclass
class Stick(Bags):
    """People who carry a stick, each way."""

    healed_ms: int = 0
    """When faults end: what sets out later is not waited for."""
    _numbers: count[int] = field(default_factory=lambda: count(1))
    _newest: dict[str, int] = field(default_factory=lambda: {"a": 0, "b": 0})
    """By sender: the newest bag that has arrived."""

    def users(self) -> Sequence[str]:
        """It is no bearer that is up."""
        return ()

    def send(self, sender: str, outgoing: Sequence[Outgoing]) -> None:
        """Nobody pushes."""
        raise NotImplementedError

    # -- going out ----------------------------------------------------------------------------

    def begin(self, plan: Plan) -> None:
        """Somebody sets out from each end now and then while faults strike; for ever where nothing
        else carries."""
        self.healed_ms = plan.end_ms
        outage_ms, days = plan.outage_ms[0], plan.outage_ms[1] // DAY_MS
        for name in self.ends:
            if plan.by_hand:
                self.world.after(self.chance.randint(0, PAUSE_MS[0]), partial(self._go_on, name))
                continue
            bags = self.chance.randint(*_BAGS)
            times_ms = [
                plan.place(self.chance.randint(_FIRST_MS, plan.span_ms)) for _ in range(bags)
            ]
            times_ms += [
                outage_ms + self.chance.randint(0, days) * DAY_MS for _ in range(days // 2)
            ]
            for at_ms in times_ms:
                self.world.after(at_ms, partial(self._set_out, name))

    def _go_on(self, name: str) -> None:
        self._set_out(name)
        self.world.after(self.chance.randint(*PAUSE_MS), partial(self._go_on, name))

    def _set_out(self, name: str) -> None:
        """Somebody carries away all that waits at this end."""
        if not self.ends[name].alive or self.shut[name]:
            return
        post, hands = self.ends[name].running(), _Hands(self, name)
        try:
            made = _done(carry_out(post, hands, _ACTOR, {}))
        except (_Ended, StoreError):
            return
        files = {file["name"]: bytes.fromhex(file["data"]) for file in made}
        self.world.note(f"{name} sends a bag: {[len(data) for data in files.values()]}")
        self._noted(name, hands.taken, files)
        bag = _Bag(next(self._numbers), name, files, self.world.ms)
        if self.silent or self.suffers(self.weather.loss):
            self.world.struck("bag lost")
            return
        self._travel(bag)
        if self.suffers(self.weather.duplicate):
            self.world.struck("bag twice")
            self._travel(bag)

    def _noted(self, name: str, taken: Sequence[bytes], files: Files) -> None:
        """What each parcel holds: in all, what the post gave."""
        key = self.ends[name].line_key()
        across = key._replace(direction=3 - key.direction)
        for each, content in files.items():
            self._packed[each] = parcel.unpack(across, each, content)
        if [data for each in files for data in self._packed[each]] != list(taken):
            self.world.checker.fail(f"{name}'s bag does not hold what was to go into it")

    def _travel(self, bag: _Bag) -> None:
        delay_ms = self.chance.randint(*TRAVEL_MS)
        late = self.suffers(self.weather.late)
        if late:
            delay_ms += self.chance.randint(*_LATE_MS)
        if self.world.ms < self.healed_ms:
            self.due_ms = max(self.due_ms, self.world.ms + delay_ms)
        found, later = self._befallen(bag)
        self.world.after(delay_ms, partial(self._arrive, found, late=late))
        if later:
            again = bag._replace(files=later)
            self.world.after(delay_ms + _RETRY_MS // 2, partial(self._arrive, again, late=late))

    def _befallen(self, bag: _Bag) -> tuple[_Bag, Files]:
        """The bag as it arrives, and files that will be whole a little later."""
        chance, weather = self.chance, self.weather
        files, later = dict(bag.files), {}
        for name, content in bag.files.items():
            if self.suffers(weather.corrupt):
                files[name] = self.damaged(content)
            elif self.suffers(weather.half):
                files[name] = self.halved(content)
                if chance.random() < 0.5:
                    later[name] = content
        if self.suffers(weather.mix):
            self.world.struck("foreign file")
            files |= parcels()
            files |= {chance.randbytes(16).hex(): chance.randbytes(100), "letter.txt": b"Dear"}
        names = list(files)
        chance.shuffle(names)
        return bag._replace(files={name: files[name] for name in names}), later

    # -- coming in ----------------------------------------------------------------------------

    def _arrive(self, bag: _Bag, *, late: bool = False) -> None:
        """Somebody brings a bag and takes in what is on the stick; again later, if nobody could."""
        reader = self.other(bag.sender)
        if self.ends[reader].alive and not self.shut[reader] and self._take_in(reader, bag):
            self.arrived += 1
            if late and bag.number < self._newest[bag.sender]:
                self.world.struck("old bag")
            self._newest[bag.sender] = max(self._newest[bag.sender], bag.number)
        else:
            self.world.after(_RETRY_MS, partial(self._arrive, bag, late=late))

    def _take_in(self, reader: str, bag: _Bag) -> bool:
        post, hands = self.ends[reader].running(), _Hands(self, reader)
        if self.world.ms - bag.made_ms >= limits.KEEP_S * 1_000:
            self.world.checker.outlived = True
        self.world.note(f"{reader} gets a bag")
        try:
            told = _done(carry_names(post, hands, _ACTOR, {"names": list(bag.files)}))
            for name in told["theirs"]:
                hands.arrived.clear()
                args = {"name": name, "data": bag.files[name].hex()}
                with suppress(LocalError):
                    _done(carry_in(post, hands, _ACTOR, args))
                    self.whole(name, hands.arrived)
        except (_Ended, StoreError):
            return False
        return True


@dataclass
class _Lying:
    """A file in the folder."""

    sender: str
    content: bytes
    seen: int = 0
    """Changes with what can be read of it."""
    shown: bytes | None = None
    """What the other side can read of it now."""


@dataclass
class Folder(Bags):
    """A folder that something keeps alike on both sides."""

    lying: dict[str, _Lying] = field(default_factory=dict)
    _done: dict[str, dict[str, int]] = field(default_factory=lambda: {"a": {}, "b": {}})
    """By reader: what was looked at in vain."""

    def send(self, sender: str, outgoing: Sequence[Outgoing]) -> None:
        """Write parcels."""
        if self.shut[sender]:
            self._vanish(sender, outgoing)
            return
        for name, content in self.pack(sender, [out.data for out in outgoing]).items():
            self.lying[name] = _Lying(sender, content)
            self._bring(name, content)
        ours = [name for name, file in self.lying.items() if file.sender == sender]
        if len(ours) > UNTAKEN_MAX:
            self.world.after(0, partial(self._begin_anew, sender, ours))

    def _begin_anew(self, sender: str, ours: Sequence[str]) -> None:
        """Nobody takes them: all is written once more, in fewer parcels."""
        end = self.ends[sender]
        if end.alive and self._told[sender]:
            end.down(self.name, "bearer.folder_full")
            for name in ours:
                self.lying.pop(name, None)
            end.up(self.name)

    def _bring(self, name: str, content: bytes) -> None:
        """Have a file come across, perhaps first a part of it, perhaps never."""
        chance, weather = self.chance, self.weather
        delay_ms = weather.latency_ms + chance.randint(0, 2_000)
        if self.suffers(weather.loss):
            self.world.struck("bag lost")
            return
        if self.suffers(weather.corrupt):
            content = self.damaged(content)
        elif self.suffers(weather.half):
            self.world.after(delay_ms, partial(self._show, name, self.halved(content)))
            delay_ms += chance.choice((1_000, 10_000, MINUTE_MS))
        self.world.after(delay_ms, partial(self._show, name, content))
        if self.suffers(weather.duplicate):
            self.world.struck("bag twice")
            again = partial(self._come_back, name, self.lying[name])
            self.world.after(delay_ms + chance.choice((10_000, 10 * MINUTE_MS)), again)
        if self.suffers(weather.mix):
            self.world.struck("foreign file")
            for foreign, data in parcels().items():
                self.lying.setdefault(foreign, _Lying("", data, shown=data))

    def _come_back(self, name: str, file: _Lying) -> None:
        """A file that was taken and deleted lies there again."""
        self.lying.setdefault(name, file)
        self._show(name, file.content)

    def _show(self, name: str, content: bytes) -> None:
        file = self.lying.get(name)
        if file is not None:
            file.shown, file.seen = content, file.seen + 1
            self.poll(self.other(file.sender))

    def poll(self, reader: str) -> None:
        """Take what this end can read."""
        end = self.ends[reader]
        done = self._done[reader]
        for name, file in list(self.lying.items()):
            if not end.alive or self.shut[reader] or self.silent:
                return
            if file.shown is None or file.sender == reader or done.get(name) == file.seen:
                continue
            done[name] = file.seen
            datagrams = self.unpack(reader, name, file.shown)
            if datagrams is None:
                continue
            if end.deliver(self.name, datagrams):
                self.arrived += 1
                self.lying.pop(name, None)
            else:
                done.pop(name, None)
                self.world.after(5_000, partial(self.poll, reader))
                return

    def ended(self, name: str) -> None:
        """A process that ends forgets what it has looked at."""
        self._done[name].clear()
        super().ended(name)
