"""The board of a busy post: many lines and many texts that nobody has opened.

Theory of operation: one post on disk is paired with many others, of which only the cards are made;
the rows of their texts are written straight into its store, with valid chain heads. One line more
leads to a post that runs. Then the post and its desk run as they would, and this process is the
browser: it loads the page, and it holds the event stream open while texts arrive on the line that
works. The time of a page is from request to the last byte; that of an update from the event that
tells of a commit, by the clock common to all processes, to the changed board, whole, in this
process. What a Python process needs to answer nothing, an HTTP request for the smallest file, is
measured in turn with it.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

import httpx2

from openline import clock
from openline.core.envelope import Record, encode_record
from openline.core.precedence import Precedence
from openline.core.receipts import TEXT as TEXT_KIND
from openline.core.transcript import THEIRS, next_head
from openline.desk.app import COOKIE
from openline.enrolment import words
from openline.inputs import Initialise, Pair
from openline.link import Event, Link
from openline.post import Post
from openline.rights import ROLES
from openline.sim.disk import MemoryStore
from openline.store.base import Batch, Row
from openline.store.sql import SqlStore

from .durable import TEXT
from .growth import line_of_store
from .posts import LINE, Places, Process, cpu_s_of, key_of, make_pair, opened, running

PERSON = "everybody"
PAUSE_S = 0.2
FLASH_OF, DUE_OF = 50, 10
"""One text in so many is a FLASH; one in so many a PRIORITY with a reply due; the rest ROUTINE."""

Told = Callable[[str], None]


class Board(NamedTuple):
    """Milliseconds, medians: what a board costs."""

    page_ms: float
    page_cpu_ms: float
    """Processor time of the desk and the post."""
    update_ms: float
    nothing_ms: float


class Desk(NamedTuple):
    """A desk that runs, in the hands of somebody signed in."""

    browser: httpx2.Client
    pid: int


def measure(place: Path, told: Told, lines: int, texts: int, times: int) -> Board:
    """Make such a post and look at its board so many times."""
    told("pairing a post with many others")
    places = make_pair(place)
    with closing(opened(places.far)) as store:
        _pair_with(store, lines - 1)
        told("writing what nobody has opened")
        for line in range(2, lines + 1):
            _write(store, line, texts // (lines - 1))
    told("looking at its board")
    with running(places) as (near, far), desk_of(places, far) as desk:
        browser = desk.browser
        before_s = far.cpu_s() + cpu_s_of(desk.pid)
        pages = _timed(browser, "/", times)
        cpu_ms = (far.cpu_s() + cpu_s_of(desk.pid) - before_s) * 1000 / (times + 1)
        nothing = _timed(browser, "/static/icon.svg", times)
        updates = asyncio.run(_updates(browser, near, far, times))
    return Board(median(pages), cpu_ms, median(updates), median(nothing))


def _pair_with(store: SqlStore, others: int) -> None:
    """Lines to posts of which there is nothing but a card."""
    now = clock.now()
    post = Post(store, clock.entropy, now)
    for number in range(others):
        other = Post(MemoryStore(), clock.entropy, now)
        other.step([Initialise("bench")], now)
        card = other.card() or b""
        post.step([Pair(f"post-{number}", "bench", card, None, words(card))], now)


def _write(store: SqlStore, number: int, texts: int) -> None:
    """Texts of the other side on one line, all in the chain."""
    line, wall_s = line_of_store(store, number), clock.now().wall_s
    reception, rows, incarnation = line.reception, [], 7
    for text in range(1, texts + 1):
        precedence, due_s = Precedence.ROUTINE, None
        if text % FLASH_OF == 0:
            precedence = Precedence.FLASH
        elif text % DUE_OF == 1:
            precedence, due_s = Precedence.PRIORITY, wall_s + 7200
        at = ("en", wall_s, wall_s, due_s, (), "", TEXT[:200].encode())
        data = encode_record(Record(incarnation, text, precedence, TEXT_KIND, *at))
        reception.head = next_head(reception.head, data)
        kept = (text, incarnation, data, reception.head, wall_s, TEXT_KIND, precedence)
        rows.append(Row(number, THEIRS, *kept))
    reception.contiguous = reception.top = texts
    store.commit(Batch({(number, "line"): line.save()}, rows))


@contextmanager
def desk_of(places: Places, post: Process) -> Iterator[Desk]:
    """A desk, and somebody signed in there."""
    with post.ask() as asking:
        asking.call("person_add", name=PERSON, roles=sorted(ROLES))
        link = asking.call("person_link", name=PERSON)["token"]
        token = asking.call("sign_in", link=link)["token"]
    paths = ["--dir", str(places.far), "--key-file", str(key_of(places.far).path)]
    command = [sys.executable, "-m", "openline.cli", *paths, "desk", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as desk:
        try:
            origin = desk.stdout.readline().split()[-1] if desk.stdout else ""
            with httpx2.Client(base_url=origin, cookies={COOKIE: token}, timeout=60) as browser:
                yield Desk(browser, desk.pid)
        finally:
            desk.terminate()


def _timed(browser: httpx2.Client, path: str, times: int) -> list[float]:
    """Milliseconds from request to the last byte; the first is left out."""
    taken = []
    for _ in range(times + 1):
        began_s = clock.precise_s()
        browser.get(path).raise_for_status()
        taken.append((clock.precise_s() - began_s) * 1000)
    return taken[1:]


async def _updates(browser: httpx2.Client, near: Process, far: Process, times: int) -> list[float]:
    """Milliseconds from a commit to the board that shows it, for texts of a post that runs."""
    committed: dict[int, int] = {}
    boards: asyncio.Queue[tuple[int, str]] = asyncio.Queue()

    def hear(event: Event) -> None:
        if event["name"] == "arrived":
            committed[event["values"]["number"]] = event["mono_ms"]

    async def receive(stream: httpx2.Response) -> None:
        async for line in stream.aiter_lines():
            if line.startswith("data:"):
                boards.put_nowait((clock.now().mono_ms, line))

    cookies, url = browser.cookies, browser.base_url
    async with (
        Link(far.directory, hear) as far_link,
        Link(near.directory) as near_link,
        httpx2.AsyncClient(base_url=url, cookies=cookies, timeout=60) as reading,
        reading.stream("GET", "/live") as stream,
        asyncio.TaskGroup() as tasks,
    ):
        await far_link.call("watch")
        receiving = tasks.create_task(receive(stream))
        await boards.get()
        taken = []
        for _ in range(times):
            said = {"line": LINE, "text": "now", "precedence": "FLASH"}
            serial = (await near_link.call("send", "", **said))["serial"]
            shown = f"{serial['number']}.{serial['incarnation']:06x}"
            at_ms, board = await boards.get()
            while shown not in board:
                at_ms, board = await boards.get()
            taken.append(float(at_ms - committed[serial["number"]]))
            # Between two beats of the board, and not as part of the last answer.
            await asyncio.sleep(PAUSE_S)
        receiving.cancel()
    return taken
