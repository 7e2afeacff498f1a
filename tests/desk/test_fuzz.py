"""Whatever a browser sends to any route, the desk answers in words and the post is unharmed.

Theory of operation: a seed makes a run. Each turn takes a route from the application itself and
fills its address and a form with fields that our templates name, from values that exist, values
that are wrong in a way somebody thought of, and bytes that nobody did; who asks has every role, so
that little stands in the way. An answer of 500 or above, a traceback in the desk's log or a fault
in the post's is a failure, and names the turn.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_from_bytes, urlencode

import httpx2
from starlette.routing import Route

from bench.posts import settled, until
from openline.client import Client
from openline.desk.app import COOKIE, FORM_BYTES_MAX, Desk
from openline.desk.pace import Pace
from openline.desk.rendering import HERE
from openline.rights import ROLES

from .scene import Scene

TURNS, TURNS_LONG = 500, 20_000
LEFT_OUT = ("live", "watch")
"""Routes whose answer does not end, or that end all sign-ins, those kept for the run among them."""

DOORS = ("sign_in", "door_passkey", "enter", "sign_out", "passphrase")
"""Routes that end a sign-in, or at which wrong answers make everybody wait: they have a run of
their own, and are seldom tried in the other."""

SIGN_INS, SIGN_INS_LONG = 12, 200

BEHIND_LONG = 2_000
"""Turns behind the pace of the door: every fifth or so stretches a passphrase."""

WRONG = [
    "", " ", "0", "-1", "1e9", "9" * 30, "0x10", "NaN", "null", "[]", "{}", "true", "٣", "1.1.1",
    "\0", "\n", "\r\nSet-Cookie: a=b", "\u202e\u2066", "\ud7ff\ue000", "\U0010ffff",
    "a\u0300" * 200, "../../etc", "%2e%2e%2f", "<script>", "{{ 7*7 }}", "{0.__class__}",
    "%s%n", "' OR 1=1 --", "+2h", "-2h", "+9999999999d", "010000ZJAN26", "310000ZFEB26",
    "999999ZXXX99", "ours", "theirs", "FLASH", "flash", "zz", "x" * 33, "x" * 5_000,
    "é" * 70_000,
]  # fmt: skip


class Fuzz:
    """One run over a desk."""

    def __init__(self, scene: Scene, seed: int, sign_ins: int = 1) -> None:
        self.random = random.Random(seed)
        self._scene = scene
        self.true: list[str] = ["1"]
        app: Any = Desk(Path("nowhere"), scene.origin).app
        while not hasattr(app, "routes"):
            app = app.app
        self.routes = [
            each for each in app.routes if isinstance(each, Route) and each.name not in LEFT_OUT
        ]
        text = "".join(path.read_text("utf-8") for path in (HERE / "templates").glob("*.html"))
        self.fields = sorted(set(re.findall(r'name="([a-z_]+)"', text)))
        self.values = sorted(set(re.findall(r'value="([^"{]+)"', text)))
        # All before the first wrong answer, which makes the door slow.
        self._tokens = [self._entered(f"fuzz-{seed}-{number}") for number in range(sign_ins)]
        self.enter()

    def _entered(self, name: str) -> str:
        """Somebody new with every role; the sign-in."""
        with self._scene.far.ask() as asking:
            asking.call("person_add", name=name, roles=sorted(ROLES))
        with self._scene.browser() as browser:
            # After wrong answers of another run the door may still make everybody wait.
            until(lambda: self._let_in(browser, name))
            return str(browser.cookies[COOKIE])

    def _let_in(self, browser: httpx2.Client, name: str) -> bool:
        answer = browser.post("/enter", data={"link": self._scene.link(name)})
        return answer.status_code == 303

    def enter(self) -> None:
        """Who does it is signed in."""
        self.token = self._tokens.pop()

    def renew(self, browser: httpx2.Client) -> None:
        """New things to be mistreated; a line has room for so many drafts only."""
        with Client(self._scene.far.directory, self.token) as asking:
            for each in asking.call("drafts"):
                if each["state"] in ("draft", "review"):
                    last = max(each["revision"], *each["aside"], 0)
                    asking.call("draft_drop", draft=each["draft"], revision=last, others=True)
        cookie = {"Cookie": f"{COOKIE}={self.token}"}
        self.true = [self._scene.say("to be mistreated", precedence="FLASH"), "1", "2", "fuzz-1"]
        for _ in range(2):
            data = {"precedence": "FLASH", "text": "to be mistreated"}
            made = browser.post("/line/1/write", headers=cookie, data=data).headers["location"]
            browser.post(made, headers=cookie, data={"act": "hand", "revision": "1"})
            shown = browser.get(f"{made}/release", headers=cookie).text
            hashes = re.findall(r'value="([0-9a-f]{16,})"', shown)
            self.true += [made.rpartition("/")[2], *hashes]

    def value(self) -> str:
        """Something for a field or an address."""
        pool = self.random.choices((self.true, self.values, WRONG), (5, 3, 3))[0]
        return str(self.random.choice(pool))

    def octets(self) -> bytes:
        """Bytes that nobody thought of."""
        return self.random.randbytes(self.random.randrange(40))

    def address(self, route: Route) -> str:
        """An address of a route, or near it."""

        def filled(parameter: re.Match[str]) -> str:
            if self.random.random() < 0.1:
                return quote_from_bytes(self.octets()) or "-"
            if parameter[0].endswith(":number}"):
                return self.random.choice(["1", "1", "1", "1", "2", "9" * 20, "9" * 5_000])
            if parameter[0] == "{side}":
                return self.random.choice(["ours", "theirs", "theirs", "sideways"])
            return quote(self.value()[:300]) or "-"

        path: str = re.sub(r"\{[^}]+\}", filled, route.path)
        asked = urlencode(self.form())[:4_000] if self.random.random() < 0.2 else ""
        return path + ("?" + asked if asked else "")

    def form(self) -> list[tuple[str, str]]:
        """Most fields, each with something."""
        chosen = [name for name in self.fields if self.random.random() < 0.8]
        self.random.shuffle(chosen)
        return [(name, self.value()) for name in chosen]

    def body(self) -> bytes:
        """A form, a torn one, or bytes."""
        kind = self.random.random()
        if kind < 0.85:
            return urlencode(self.form()).encode()
        if kind < 0.9:
            return urlencode(self.form()).encode()[: self.random.randrange(60)] + b"%\xff&=;"
        return self.octets() * self.random.choice((1, 1, FORM_BYTES_MAX // 20))

    def turn(self, browser: httpx2.Client, *doors: str) -> httpx2.Response:
        """One request, answered; to one of these doors only, if they are given."""
        return browser.send(self.request(browser, *doors))

    def request(self, browser: httpx2.Client | httpx2.AsyncClient, *doors: str) -> httpx2.Request:
        """One request; to one of these doors only, if they are given."""
        often = dict.fromkeys(DOORS, 0.0 if doors else 0.02) | dict.fromkeys(doors, 1.0)
        chances = [often.get(each.name, 0.0 if doors else 1.0) for each in self.routes]
        [route] = self.random.choices(self.routes, chances)
        method = self.random.choice([*sorted(route.methods or ()), "GET", "POST"])
        headers = {"Accept-Language": self.random.choice(["fr", "ru", "*;q=x", ",,,", "é" * 9])}
        headers["Cookie"] = f"{COOKIE}={self.token}; language={self.random.choice(['ru', '?', ''])}"
        content = self.body() if method == "POST" else None
        encoded = [(name.encode(), text.encode()) for name, text in headers.items()]
        return browser.build_request(method, self.address(route), content=content, headers=encoded)


def unharmed(answer: httpx2.Response) -> bool:
    """Whether an answer is one that was meant."""
    return answer.status_code < 500 and "Traceback" not in answer.text


def test_no_request_makes_a_fault(scene: Scene, long_run: bool) -> None:
    fuzz = Fuzz(scene, 4, SIGN_INS_LONG if long_run else SIGN_INS)
    with scene.browser() as browser:
        fuzz.renew(browser)
        for turn in range(TURNS_LONG if long_run else TURNS):
            answer = fuzz.turn(browser)
            assert unharmed(answer), (turn, answer.request.method, answer.request.url)
            if answer.headers.get("location") == "/sign-in":
                fuzz.enter()
            if turn % 200 == 199:
                fuzz.renew(browser)
        board = browser.get("/", headers={"Cookie": f"{COOKIE}={fuzz.token}"})
        assert board.status_code == 200
    with scene.far.ask() as asking:
        until(lambda: settled(asking))
    assert "control.fault" not in scene.far.log.read_text(encoding="utf-8")


def test_nothing_said_at_the_door_makes_a_fault(scene: Scene, long_run: bool) -> None:
    """The door as strangers find it: after some hundred requests most are answered with a wait."""
    fuzz, answers = Fuzz(scene, 5), Counter[int]()
    with scene.browser() as browser:
        for turn in range(TURNS_LONG if long_run else TURNS // 4):
            fuzz.token = quote(fuzz.value()[:50])
            answer = fuzz.turn(browser, *DOORS)
            answers[answer.status_code] += 1
            assert unharmed(answer), (turn, answer.request.method, answer.request.url)
    assert "control.fault" not in scene.far.log.read_text(encoding="utf-8")
    assert (answers[429] > 0) == long_run, "the door is slow for who asks without end"


def test_nothing_said_at_a_door_that_makes_nobody_wait_makes_a_fault(
    scene: Scene, long_run: bool
) -> None:
    """What is behind the pace of the door: a desk in this process, over the same post, without it;
    what the desk itself raises ends the test."""
    fuzz, answers = Fuzz(scene, 6), Counter[int]()
    desk = Desk(scene.places.far, scene.origin)
    desk._door_pace = Pace(10**9, 1_000)

    async def ask() -> None:
        wire = httpx2.ASGITransport(app=desk.app)
        headers = {"Origin": scene.origin}
        async with httpx2.AsyncClient(
            transport=wire, base_url=scene.origin, headers=headers
        ) as browser:
            for turn in range(BEHIND_LONG if long_run else TURNS // 10):
                fuzz.token = quote(fuzz.value()[:50])
                answer = await browser.send(fuzz.request(browser, *DOORS))
                answers[answer.status_code] += 1
                assert unharmed(answer), (turn, answer.request.method, answer.request.url)

    asyncio.run(ask())
    assert "control.fault" not in scene.far.log.read_text(encoding="utf-8")
    assert (answers[429], answers[400] > 0) == (0, True)
