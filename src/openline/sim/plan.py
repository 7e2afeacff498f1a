"""The plan of a world: which faults, bearers and parties a seed brings together.

Theory of operation: swarm testing. Not every fault in every world: each seed draws a mix, because
some errors show only where a certain fault is absent. A plan also fixes which bearers the line
has, the stretch of virtual time in which faults may strike, and a long outage inside it: what is
planned after the outage moves behind it. A plan is drawn from the seed alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..bearers.base import BearerProfile
from ..bearers.folder import PROFILE as FOLDER
from ..bearers.fragments import FRAGMENT_BYTES_MAX
from ..bearers.narrow import narrowed
from ..bearers.relay import PROFILE as RELAY
from ..bearers.serial import PROFILE as SERIAL
from ..bearers.tcp import PROFILE as TCP
from ..carrying import PROFILE as STICK
from .chance import Chance, stream

KINDS = (
    "loss",
    "duplication",
    "reordering",
    "partition",
    "blackhole",
    "corruption",
    "replay",
    "hundredfold replay",
    "withholding",
    "mixed lines",
    "crash",
    "crash before commit",
    "crash after commit",
    "crash in take",
    "power cut",
    "disk full",
    "clock forward",
    "clock back",
    "restore",
    "rollback",
    "both sides",
    "tape burned",
    "long outage",
    "fragment lost",
    "bit flipped",
    "noise",
    "fragment cut",
    "fragment replayed",
    "foreign fragment",
    "bag lost",
    "bag twice",
    "old bag",
    "parcel damaged",
    "half a file",
    "foreign file",
)
"""Every kind of fault; each must strike in at least a fifth of all seeds."""

RELAYED = frozenset({"duplication", "reordering", "hundredfold replay", "withholding"})
"""Kinds that only a relay can commit."""
PLAIN = KINDS[: KINDS.index("fragment lost")]
"""Kinds that wires of datagrams suffer, and posts."""
FRAGMENTED = frozenset(kind for kind in KINDS if "fragment" in kind) | {"bit flipped", "noise"}
"""Kinds that befall a narrow wire."""
BAGGED = frozenset(KINDS[KINDS.index("bag lost") :])
"""Kinds that befall parcels; of a bag alone, that an old one comes after a newer."""
_WIRED = RELAYED | {"loss", "corruption", "replay", "mixed lines"}
"""Kinds that befall datagrams as a whole, which the wires of fragments and parcels do not show."""
SET_BACK = frozenset({"restore", "rollback", "both sides"})
"""Kinds that put a post back to an earlier state."""

_SHARES = {
    "restore": 0.28,
    "rollback": 0.28,
    "both sides": 0.32,
    "tape burned": 0.36,
    "long outage": 0.33,
    "crash in take": 0.55,
    "partition": 0.45,
    "hundredfold replay": 0.3,
    "withholding": 0.38,
    "mixed lines": 0.36,
    "disk full": 0.52,
    "corruption": 0.46,
    "old bag": 0.8,
}
_SHARE = 0.42
_HOSTILE_SHARE = 0.1
_TAPED_PAGES_MIN = 6
MINUTE_MS = 60_000
DAY_MS = 86_400_000

_BEARERS = (
    ("tcp",),
    ("relay",),
    ("tcp", "relay"),
    ("tcp", "relay"),
    ("tcp", "relay"),
    ("tcp", "tcp2"),
    ("tcp", "tcp2", "relay"),
    ("relay", "relay2"),
    ("relay", "radio"),
    ("tcp", "relay", "radio"),
    ("tcp", "courier"),
    ("relay", "courier"),
    ("tcp", "tcp2", "relay", "radio", "courier"),
)
"""Mixes of bearers, drawn evenly: two connections, two relays, a slow radio, a courier."""
_FURTHER = (
    (0.28, None, ()),
    (0.42, (), ("narrow",)),
    (0.54, (), ("stick",)),
    (0.72, (), ("narrow", "stick")),
    (0.77, (), ("folder",)),
    (0.85, (), ("narrow", "folder", "stick")),
    (0.91, ("narrow",), ()),
    (0.95, ("stick",), ()),
    (0.97, ("folder",), ()),
    (0.98, ("folder", "stick"), ()),
    (1.0, ("narrow", "stick"), ()),
)
"""(share up to here, all bearers, or those that are added to a mix): a narrow wire, a stick in a
bag, a shared folder."""
_FURTHER_SHARE = 0.62
_SELDOM = {"duplication": 0.25, "reordering": 0.25, "hundredfold replay": 0.12}
"""They do not befall wires that carry alone; so more often where there is a relay."""
_RATES_BYTES_S = (30, 37, 75, 120, 300)
_LONGEST_FRAGMENTS = (100, 255, FRAGMENT_BYTES_MAX)
BRIEF_BYTES = 400
"""Longest text where nothing but a narrow wire or a stick carries."""
_BRIEF_MESSAGES = 100
_NARROW_PACE = 4
_STICK_PACE = 5_000
_OUTAGE_DAYS = (2, 2, 3, 3, 9, 17)
"""Receiving runs, keys and roots that were superseded are let go after eight."""
_MESSAGES = ((0.975, 50, 58), (0.997, 80, 250), (1.0, 1_000, 3_000))
"""(share up to here, fewest, most): a few worlds have thousands of messages."""


@dataclass(frozen=True)
class Plan:
    """One seed's world before it begins."""

    seed: int
    kinds: frozenset[str]
    hostile: str
    """The station whose post is driven by a mutant, or ""."""
    tape_pages: int
    """0: paired by cards alone."""
    bearers: tuple[BearerProfile, ...]
    """What each says of itself; a name's letters say what it is."""
    courier: str
    """The station that a courier sets out from."""
    messages: int
    span_ms: int
    """Virtual time in which people write and faults strike, the long outage apart."""
    outage_ms: tuple[int, int]
    """(begin, length) of the long outage; length 0 if there is none."""
    pace: int = 1
    """How much longer everything takes than that: on a narrow wire alone, by hand alone."""
    brief: bool = False
    """Whether texts are short, because nothing could carry long ones."""

    @property
    def by_hand(self) -> bool:
        """Whether nothing but a stick carries."""
        return all(kind_of(bearer.name) == "stick" for bearer in self.bearers)

    def place(self, ms: int) -> int:
        """When something planned for an instant of the span happens, the long outage included."""
        begin, length = self.outage_ms
        ms *= self.pace
        return ms + length if ms >= begin else ms

    @property
    def end_ms(self) -> int:
        """When the faults end."""
        return self.place(self.span_ms)


def kind_of(bearer: str) -> str:
    """What a bearer of this name is: "tcp", "relay", "radio", "courier", "narrow", "stick" or
    "folder"."""
    return bearer.rstrip("0123456789")


def _profile(name: str, chance: Chance, *, padded: bool, taped: bool) -> BearerProfile:
    """A bearer's declaration: of production where there is such a bearer."""
    kind = kind_of(name)
    if kind == "tcp":
        return replace(TCP, name=name, cost=chance.choice((10, 10, 15)), padded=padded)
    if kind == "relay":
        return replace(RELAY, name=name, cost=chance.choice((5, 10, 20, 20)), padded=padded)
    if kind == "radio":
        return BearerProfile(
            name=name,
            latency_ms=2_000,
            rate_bytes_s=1_000,
            # An opening by cards alone is 1,714 bytes long.
            mtu_bytes=chance.choice((256, 512)) if taped else 2_048,
            retry_ms_min=8_000,
            retry_ms_max=120_000,
            cost=50,
            padded=False,
        )
    if kind == "narrow":
        slow = replace(SERIAL, name=name, latency_ms=chance.choice((200, 1_000, 2_000)))
        return narrowed(slow, chance.choice(_RATES_BYTES_S), chance.choice(_LONGEST_FRAGMENTS))
    if kind == "stick":
        return replace(STICK, name=name)
    if kind == "folder":
        return replace(FOLDER, name=name, padded=padded)
    return BearerProfile(
        name=name,
        # It promises minutes and takes days.
        latency_ms=MINUTE_MS,
        mtu_bytes=4_096,
        retry_ms_min=2 * MINUTE_MS,
        retry_ms_max=4 * MINUTE_MS,
        cost=100,
        padded=padded,
        two_way=False,
    )


def draw(seed: int) -> Plan:
    """The plan of a seed."""
    return _further(draw_plain(seed), stream(seed, "narrow wires and parcels"))


def _further(plan: Plan, chance: Chance) -> Plan:
    """A plan with narrow wires and parcels, or as it was."""
    drawn = chance.random()
    alone, added = next((alone, added) for share, alone, added in _FURTHER if drawn < share)
    if alone is None:
        return plan
    names = alone or added
    profiles = tuple(_profile(name, chance, padded=True, taped=True) for name in names)
    kinds = {kind for kind in KINDS if kind in FRAGMENTED | BAGGED}
    kinds = {kind for kind in sorted(kinds) if chance.random() < _SHARES.get(kind, _FURTHER_SHARE)}
    kinds -= set() if "narrow" in names else FRAGMENTED
    kinds -= set() if {"stick", "folder"} & set(names) else BAGGED
    kinds -= set() if "stick" in names else {"old bag"}
    if added:
        if any(kind_of(bearer.name) == "relay" for bearer in plan.bearers):
            kinds |= {kind for kind, share in _SELDOM.items() if chance.random() < share}
        return replace(plan, kinds=plan.kinds | kinds, bearers=plan.bearers + profiles)
    pace = 1 if "folder" in names else _NARROW_PACE if "narrow" in names else _STICK_PACE
    begin_ms, length_ms = plan.outage_ms
    return replace(
        plan,
        kinds=(plan.kinds - _WIRED) | kinds,
        bearers=profiles,
        messages=plan.messages if pace == 1 else min(plan.messages, _BRIEF_MESSAGES),
        outage_ms=(pace * begin_ms, length_ms),
        pace=pace,
        brief=pace > 1,
    )


def draw_plain(seed: int) -> Plan:
    """The plan of a seed before there were narrow wires and parcels."""
    chance = stream(seed, "plan")
    kinds = frozenset(kind for kind in PLAIN if chance.random() < _SHARES.get(kind, _SHARE))
    span_ms = chance.randint(2 * MINUTE_MS, 5 * MINUTE_MS)
    hostile = chance.choice("ab") if chance.random() < _HOSTILE_SHARE else ""
    if hostile:
        kinds -= SET_BACK
    outage = (0, 0)
    if "long outage" in kinds:
        begin_ms = chance.randint(span_ms // 4, span_ms * 3 // 4)
        outage = (begin_ms, chance.choice(_OUTAGE_DAYS) * DAY_MS)
    names: tuple[str, ...] = chance.choice(_BEARERS)
    if kinds & RELAYED and "relay" not in names:
        names = (*names, "relay")
    if "loss" in kinds and not {"relay", "radio"} & set(names):
        names = (*names, "relay")
    tape_pages = chance.choice((0, 2, 3, 8))
    if "tape burned" in kinds:
        tape_pages = max(tape_pages, _TAPED_PAGES_MIN)
    padded = chance.random() < 0.7
    size = chance.random()
    low, high = next((low, high) for share, low, high in _MESSAGES if size < share)
    return Plan(
        seed=seed,
        kinds=kinds,
        hostile=hostile,
        tape_pages=tape_pages,
        bearers=tuple(
            _profile(name, chance, padded=padded, taped=bool(tape_pages)) for name in names
        ),
        courier=chance.choice("ab"),
        messages=chance.randint(low, high),
        span_ms=span_ms,
        outage_ms=outage,
    )
