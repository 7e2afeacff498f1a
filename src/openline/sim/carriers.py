"""A relay: a wire that keeps what it carries, and may lie.

Theory of operation: a `Stored` wire keeps datagrams in mailboxes until the taker's disk has them;
it delays, loses, repeats, reorders, withholds for a week, hands out what belongs to another line,
and repeats everything a hundredfold. Like network.py, this knows no keys and no meaning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from ..bearers.base import Mailbox, Outgoing
from .network import DELIVERY_DATAGRAMS_MAX, Attached, _both
from .plan import DAY_MS

_Deposited = tuple[Mailbox, bytes]
_PAUSE_MS = 5_000
_HANDED_MAX = 32
"""Datagrams that a taker is given at a time."""
_HANDOUT_MS = 2 * DAY_MS
"""What is withheld is handed out at the fourth of these, so after six to eight days."""
COPIES = 100
"""How often a relay repeats each datagram in a flood."""
_FLOOD_PAUSE_MS = 40


@dataclass
class Stored(Attached):
    """A relay: keeps, and lets go when the taker has committed; does all that a liar can do."""

    asleep: dict[str, bool] = field(default_factory=_both)
    """Ends whose taking is held up while their depositing goes on."""
    kept: dict[str, dict[Mailbox, list[bytes]]] = field(default_factory=lambda: {"a": {}, "b": {}})
    """Taker → mailbox → datagrams that can be taken."""
    due_ms: int = 0
    """When the last datagram that was withheld will be handed out."""
    lossy = True
    _later: dict[tuple[int, str], list[_Deposited]] = field(default_factory=dict)
    """(when it can be taken, taker) → what."""
    _pause_ms: dict[str, int] = field(default_factory=lambda: {"a": 0, "b": 0})
    """Until when a taker whose disk did not take what it was given is left alone."""

    def send(self, sender: str, outgoing: Sequence[Outgoing]) -> None:
        """Deposit datagrams."""
        if self.shut[sender] or self.silent:
            self._vanish(sender, outgoing)
            return
        chance, weather, reader = self.chance, self.weather, self.other(sender)
        _, deposit, recovery = self.ends[sender].mailboxes()
        batches: dict[int, list[_Deposited]] = {}
        usual_ms = weather.latency_ms + chance.randint(0, 100)
        for out in outgoing:
            mailbox = recovery if out.recovery else deposit
            for data in self.befall(sender, out.data):
                if weather.loss and chance.random() < weather.loss:
                    self.world.struck("loss")
                    continue
                copies = 1
                if weather.duplicate and chance.random() < weather.duplicate:
                    self.world.struck("duplication")
                    copies = chance.randint(2, 3)
                for _ in range(copies):
                    delay_ms = self._delay_ms(usual_ms)
                    batches.setdefault(delay_ms, []).append((mailbox, data))
        for delay_ms, batch in batches.items():
            self._keep(delay_ms, reader, batch)

    def _delay_ms(self, usual_ms: int) -> int:
        chance, weather = self.chance, self.weather
        if weather.withhold and chance.random() < weather.withhold:
            self.world.struck("withholding")
            self.due_ms = (self.world.ms // _HANDOUT_MS + 4) * _HANDOUT_MS
            return self.due_ms - self.world.ms
        if weather.reorder and chance.random() < weather.reorder:
            self.world.struck("reordering")
            return usual_ms + chance.choice((300, 3_000, 30_000))
        return usual_ms

    def _keep(self, delay_ms: int, reader: str, batch: list[_Deposited]) -> None:
        """Have datagrams wait for their taker from an instant on, together with others of it."""
        later = self._later.setdefault((self.world.ms + delay_ms, reader), [])
        if not later:
            self.world.after(delay_ms, partial(self._ready, self.world.ms + delay_ms, reader))
        later += batch

    def _ready(self, at_ms: int, reader: str) -> None:
        for mailbox, data in self._later.pop((at_ms, reader)):
            self.kept[reader].setdefault(mailbox, []).append(data)
        self.poll(reader)

    def poll(self, reader: str) -> None:
        """Give this end what waits for it in the mailboxes it takes from."""
        end = self.ends[reader]
        if not end.alive or self.shut[reader] or self.asleep[reader] or self.silent:
            return
        if not self.kept[reader] or self.world.ms < self._pause_ms[reader]:
            return
        boxes = [self.kept[reader].get(mailbox, []) for mailbox in end.mailboxes()[0]]
        box = max(boxes, key=len)
        if not box:
            return
        handed = box[:_HANDED_MAX]
        if end.deliver(self.name, handed):
            del box[: len(handed)]
            self.world.after(1, lambda: self.poll(reader))
        else:
            self._pause_ms[reader] = self.world.ms + _PAUSE_MS
            self.world.after(_PAUSE_MS, lambda: self.poll(reader))

    def flood(self, reader: str, old: Sequence[bytes]) -> int:
        """Hand out old datagrams a hundred times each; how many it will be in all."""
        copies = [data for data in old for _ in range(COPIES)]
        self.chance.shuffle(copies)
        for turn in range(0, len(copies), DELIVERY_DATAGRAMS_MAX):
            batch = copies[turn : turn + DELIVERY_DATAGRAMS_MAX]
            at_ms = _FLOOD_PAUSE_MS * (turn // DELIVERY_DATAGRAMS_MAX)
            self.world.after(at_ms, partial(self.hand, reader, batch))
        return len(copies)

    def hand(self, reader: str, batch: Sequence[bytes]) -> None:
        """Hand out datagrams that nobody has deposited."""
        end = self.ends[reader]
        if end.alive and not self.shut[reader] and not self.silent:
            end.deliver(self.name, batch)
