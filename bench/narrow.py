"""The line over a pair of radio modems: 300 bit/s, two seconds each way, emulated.

Theory of operation: two posts as processes, each with one serial bearer on a device of
bench/modem.py. What a text would take by itself is known (its bytes at the rate of the wire, and
the latency), so each time is also given as a ratio to that. First contact is timed with a text that
already waits when both bearers are resumed. A FLASH is first sent on the idle line, where what it
puts on the wire can be counted, and then again while a hundred thousand bytes of ROUTINE wait
before it; the time it had to take is what it puts on the wire at its rate, and the latency.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from random import Random
from statistics import median
from typing import NamedTuple

from openline import clock
from openline.config import CONFIG_FILE

from .modem import Modems
from .posts import LINE, Process, make_pair, settled, until
from .scene import Watch

BIT_S = 300
LATENCY_S = 2.0
BAUD = 9600
SETTLE_S = 1_200.0
QUIET_S = 12.0
"""Nothing on the wire for so long: nobody waits for anything any more."""

BULK_TEXTS, BULK_CHARACTERS = 100, 1_000
CHARACTERS = 200
LETTERS = "abcdefghijklmnopqrstuvwxyz     "
TEXTS = Path(__file__).parent / "texts"
LANGUAGES = ("en", "fr", "ru")

Told = Callable[[str], None]


class Narrow(NamedTuple):
    """What was measured."""

    contact_tape_s: float
    contact_cards_s: float
    text_s: list[float]
    """A text of about 200 characters on the idle line."""
    text_ratio: list[float]
    """That to its bare UTF-8 bytes on the same wire."""
    flash_s: list[float]
    flash_ratio: list[float]
    """A FLASH behind the ROUTINE to its own bytes on the wire and the latency."""


class Sent(NamedTuple):
    """A text that was released."""

    number: int
    at_s: float


class _Line:
    """Two posts and the modems between them; nothing carries until `resume`."""

    def __init__(self, place: Path, ends: ExitStack, *, tape: bool) -> None:
        (place / "devices").mkdir(parents=True)
        self.modems = ends.enter_context(
            Modems(place / "devices", bit_s=BIT_S, latency_s=LATENCY_S)
        )
        places = make_pair(place, tape=tape)
        self.posts = [Process(each) for each in places]
        for post, device in zip(self.posts, self.modems.devices.values(), strict=True):
            entry = {
                **{"line": f'"{LINE}"', "kind": '"serial"', "device": f'"{device}"'},
                **{"baud": BAUD, "rate_bytes_s": BIT_S // 8, "paused_by": '"bench"'},
                "latency_ms": int(1000 * LATENCY_S),
            }
            said = "".join(f"{name} = {value}\n" for name, value in entry.items())
            (post.directory / CONFIG_FILE).write_text("[[bearer]]\n" + said)
            post.start()
            ends.callback(post.kill)
        self.near, self.far = self.posts
        self._watch = ends.enter_context(closing(Watch(self.far.directory)))
        self._arrived_s: dict[int, float] = {}

    def resume(self) -> None:
        """Let both bearers carry."""
        for post in self.posts:
            with post.ask() as asking:
                asking.call("bearer_resume", line=LINE, name="serial")

    def send(self, text: str, language: str = "en", precedence: str = "ROUTINE") -> Sent:
        """Release a text at the near post."""
        began_s = clock.precise_s()
        said = {"text": text, "language": language, "precedence": precedence}
        with self.near.ask() as asking:
            serial = asking.call("send", line=LINE, **said)["serial"]
        return Sent(serial["number"], began_s)

    def look(self, wait_s: float) -> None:
        """Note what has arrived at the far post, or does within so many seconds."""
        ready, _, _ = select.select([self._watch.socket], [], [], wait_s)
        for said in self._watch.read() if ready else ():
            event = said.get("event") or {}
            if event.get("name") == "arrived":
                self._arrived_s.setdefault(event["values"]["number"], clock.precise_s())

    def arrived_s(self, sent: Sent) -> float:
        """When it is on the far post's disk."""
        while sent.number not in self._arrived_s:
            if clock.precise_s() - sent.at_s > SETTLE_S:
                raise TimeoutError("nothing arrives")
            self.look(1.0)
        return self._arrived_s[sent.number]

    def took_s(self, sent: Sent) -> float:
        """Seconds from its release to the far post's disk."""
        return self.arrived_s(sent) - sent.at_s

    def pause(self, seconds: float) -> None:
        """Let time pass."""
        end_s = clock.precise_s() + seconds
        while (left_s := end_s - clock.precise_s()) > 0:
            self.look(min(left_s, 1.0))

    def quiet(self) -> None:
        """Wait until everything is held and the wire has been silent for a while."""
        with self.near.ask() as near, self.far.ask() as far:
            until(lambda: settled(near) and settled(far), patience_s=SETTLE_S)
        sent, since_s = self._sent(), clock.precise_s()
        while clock.precise_s() - since_s < QUIET_S:
            self.look(0.5)
            if self._sent() != sent:
                sent, since_s = self._sent(), clock.precise_s()

    def _sent(self) -> int:
        return sum(map(self.modems.sent_bytes, self.modems.devices))


def short_texts(count: int) -> list[tuple[str, str]]:
    """(language, text) of about 200 characters, by turns in each language."""
    found = []
    for language in LANGUAGES:
        texts = (TEXTS / f"{language}.txt").read_text("utf-8").split("%%")
        near = sorted((each.strip() for each in texts), key=lambda t: abs(len(t) - CHARACTERS))
        found.append([(language, text) for text in near[: -(-count // len(LANGUAGES))]])
    return [each for turn in zip(*found, strict=True) for each in turn][:count]


def noise(count: int, seed: int) -> str:
    """A text that compression does not shorten much."""
    chance = Random(seed)
    return "".join(chance.choice(LETTERS) for _ in range(count))


def contact_s(place: Path, *, tape: bool) -> float:
    """From both bearers' resuming to the first text, which waits, at the other side."""
    [(language, text)] = short_texts(1)
    with ExitStack() as ends:
        line = _Line(place, ends, tape=tape)
        sent = line.send(text, language)
        began_s = clock.precise_s()
        line.resume()
        return line.arrived_s(sent) - began_s


def measure(place: Path, told: Told, times: int) -> Narrow:
    """All of it; `times` texts, and half as many FLASH."""
    told("first contact over a narrow wire, with tape")
    tape_s = contact_s(place / "tape", tape=True)
    told("first contact over a narrow wire, by cards alone")
    cards_s = contact_s(place / "cards", tape=False)
    with ExitStack() as ends:
        line = _Line(place / "line", ends, tape=True)
        line.resume()
        line.took_s(line.send("established"))
        found = Narrow(tape_s, cards_s, [], [], [], [])
        own: dict[str, int] = {}
        for at, (language, text) in enumerate(short_texts(times), 1):
            told(f"text {at} of {times} on an idle narrow wire")
            line.quiet()
            before = line.modems.sent_bytes("near")
            found.text_s.append(line.took_s(line.send(text, language)))
            own[text] = line.modems.sent_bytes("near") - before
            bare_s = 8 * len(text.encode()) / BIT_S + LATENCY_S
            found.text_ratio.append(found.text_s[-1] / bare_s)
        line.quiet()
        for number in range(BULK_TEXTS):
            line.send(noise(BULK_CHARACTERS, number))
        flashes = short_texts(times)[: max(2, times // 2)]
        for at, (language, text) in enumerate(flashes, 1):
            told(f"FLASH {at} of {len(flashes)} behind 100 kB of ROUTINE")
            line.pause(20 + 3.7 * at)
            found.flash_s.append(line.took_s(line.send(text, language, "FLASH")))
            own_s = 8 * own[text] / BIT_S + LATENCY_S
            found.flash_ratio.append(found.flash_s[-1] / own_s)
        return found


def values(found: Narrow) -> dict[str, float]:
    """The measures, by name."""
    return {
        "narrow_contact_tape_s": found.contact_tape_s,
        "narrow_contact_cards_s": found.contact_cards_s,
        "narrow_text_s": median(found.text_s),
        "narrow_text_max_s": max(found.text_s),
        "narrow_text_ratio": median(found.text_ratio),
        "narrow_text_ratio_max": max(found.text_ratio),
        "narrow_flash_s": median(found.flash_s),
        "narrow_flash_ratio": median(found.flash_ratio),
        "narrow_flash_ratio_max": max(found.flash_ratio),
    }
