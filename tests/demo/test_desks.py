"""The demonstration opens two desks, with people and work that waits, until it is ended."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

from demo.__main__ import Options
from demo.desks import PEOPLE
from tests.demo.runs import directory_of, processes_in, read_until, start

LINK = re.compile(r"^ +(\w+) +(http://(\w+)\.localhost:(\d+))/enter#([0-9a-f]+)$", re.MULTILINE)


@contextmanager
def entered(origin: str, port: str, link: str) -> Iterator[httpx2.Client]:
    """A browser that has entered with a link; the name of a desk may be unknown to this machine."""
    here, headers = f"http://127.0.0.1:{port}", {"Origin": origin}
    with httpx2.Client(base_url=here, headers=headers, timeout=60) as browser:
        assert browser.post("/enter", data={"link": link}).status_code == 303
        yield browser


def check_desks(shown: str) -> None:
    """Everybody who was announced may enter, and finds work."""
    found = LINK.findall(shown)
    assert [name for name, *_ in found] == [*PEOPLE, *PEOPLE]
    assert len({post for _, _, post, _, _ in found}) == 2
    assert len({link for *_, link in found}) == len(found)
    for name, origin, _, port, link in found:
        with entered(origin, port, link) as browser:
            board = browser.get("/").text
            assert board.count("data-flash") == 1
            may_draft = browser.get("/drafts").status_code == 200
            assert may_draft == ("drafter" in PEOPLE[name] or "releaser" in PEOPLE[name])
            if name == "officer":
                assert len(set(re.findall("/draft/[a-z0-9]+", browser.get("/drafts").text))) == 2
                listed = browser.get("/line/1").text
                assert len(set(re.findall(r"/line/1/theirs/[0-9a-f.]+", listed))) == 3


def test_two_desks_are_opened_with_people_and_work_that_waits() -> None:
    with start() as process:
        try:
            shown = read_until(process, "Ctrl-C here ends all")
            directory = directory_of(shown)
            check_desks(shown)
            assert len(processes_in(directory)) == 6
        finally:
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert processes_in(directory) == []
    assert not directory.exists()


def test_desks_are_opened_unless_something_else_is_asked_for() -> None:
    nothing = Options(None, None, None, None, keep=False, out=None, terminal=False)
    assert nothing.desks
    for other in (
        nothing._replace(terminal=True),
        nothing._replace(keep=True),
        nothing._replace(pause=0.0),
        nothing._replace(out=Path("result.json")),
        nothing._replace(replay=Path("exchange.jsonl")),
    ):
        assert not other.desks
