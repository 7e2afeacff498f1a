"""Drafts of a post that is a process: two releasers at once, a lost connection, SIGKILL: one
message.
"""

from __future__ import annotations

import json
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import test_serve
from tests.authenticator import Device
from tests.test_serve import PATIENCE_S, Process, until

pair = test_serve.pair
RELEASERS = 8


def ask(
    process: Process, verb: str, *, token: object = "", proof: object = "", **args: object
) -> dict[str, Any]:
    """The whole answer of the control socket to who has signed in, an error too."""
    with socket.socket(socket.AF_UNIX) as asking:
        asking.settimeout(PATIENCE_S)
        asking.connect(str(process.directory / "control.sock"))
        asking.sendall(request(verb, token=token, proof=proof, **args))
        with asking.makefile("rb") as lines:
            answer: dict[str, Any] = json.loads(lines.readline())
            return answer


def request(verb: str, *, token: object = "", proof: object = "", **args: object) -> bytes:
    """A request as it goes over the socket."""
    said = {"id": 1, "verb": verb, "args": args, "as": token, "proof": proof}
    return json.dumps(said).encode() + b"\n"


def handed(process: Process, text: str, **more: object) -> dict[str, object]:
    """A draft under review; what a releaser asks who has seen it."""
    written = process.call("draft_save", line="other", text=text, **more)
    process.call("draft_hand", **written)
    seen = process.call("draft_show", draft=written["draft"])
    return {**written, "hash": seen["hash"]}


def sent(process: Process) -> list[str]:
    """The texts on our chain."""
    records = process.call("transcript", line="other", limit=1000)["records"]
    return [each["text"] for each in records if each["kind"] == "text"]


def at_once(acts: list[Callable[[], None]]) -> None:
    """Do all of them from threads that start together."""
    ready = threading.Barrier(len(acts))

    def act(each: Callable[[], None]) -> None:
        ready.wait(PATIENCE_S)
        each()

    threads = [threading.Thread(target=act, args=(each,)) for each in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)


def test_releasers_at_once_are_told_one_serial_of_one_message(
    pair: tuple[Process, Process],
) -> None:
    near, far = pair
    near.start()
    far.start()
    seen = handed(near, "Are you standing by?")
    answers: list[dict[str, Any]] = []
    at_once([lambda: answers.append(ask(near, "draft_release", **seen))] * RELEASERS)
    serials = {json.dumps(answer["ok"]["serial"]) for answer in answers}
    assert (len(answers), len(serials)) == (RELEASERS, 1)
    assert sent(near) == ["Are you standing by?"]
    until(lambda: far.texts() == ["Are you standing by?"])
    acts = [entry["act"] for entry in near.call("audit", limit=1000)]
    assert acts.count("release") == 1


def test_a_release_whose_answer_is_lost_is_asked_again_and_is_one_message(
    pair: tuple[Process, Process],
) -> None:
    near, _ = pair
    near.start()
    seen = handed(near, "Are you standing by?")
    for _ in range(3):
        with socket.socket(socket.AF_UNIX) as asking:
            asking.connect(str(near.directory / "control.sock"))
            asking.sendall(request("draft_release", **seen))
    first = ask(near, "draft_release", **seen)["ok"]
    assert ask(near, "draft_release", **seen)["ok"] == first
    assert sent(near) == ["Are you standing by?"]


@pytest.mark.parametrize("wait_ms", [0, 1, 3, 10])
def test_a_post_killed_in_a_release_has_one_message_once_it_is_asked_again(
    pair: tuple[Process, Process], wait_ms: int
) -> None:
    near, far = pair
    near.start()
    drafts = [handed(near, f"text {number}") for number in range(5)]
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(str(near.directory / "control.sock"))
        asking.sendall(b"".join(request("draft_release", **seen) for seen in drafts))
        threading.Event().wait(wait_ms / 1000)
        near.end(signal.SIGKILL)
    near.start()
    before = sent(near)
    for seen in drafts:
        state = near.call("draft_show", draft=seen["draft"])["state"]
        text = f"text {drafts.index(seen)}"
        assert (state == "released") == (text in before), "a draft and its message are one commit"
    serials = [ask(near, "draft_release", **seen)["ok"]["serial"]["number"] for seen in drafts]
    assert len(set(serials)) == len(drafts)
    far.start()
    until(lambda: near.line()["outbox"] == 0)
    assert sorted(far.texts()) == sorted(sent(near)) == [f"text {n}" for n in range(5)]


def start_with_two(post: Process) -> None:
    """Start a post whose configuration wants two persons for FLASH."""
    with (post.directory / "post.toml").open("a", encoding="utf-8") as file:
        file.write('[release]\ntwo_persons = ["FLASH"]\n')
    post.start()


def test_two_persons_are_needed_where_the_configuration_says_so(
    pair: tuple[Process, Process],
) -> None:
    near, _ = pair
    start_with_two(near)
    refused = ask(near, "send", line="other", text="x", precedence="FLASH")
    assert refused["error"]["code"] == "release.two_persons"
    seen = handed(near, "x", precedence="FLASH")
    assert ask(near, "draft_release", **seen)["error"]["code"] == "release.two_persons"
    assert "ok" in ask(near, "send", line="other", text="x", precedence="IMMEDIATE")
    assert sent(near) == ["x"]


def test_a_drafter_writes_a_releaser_releases_and_the_message_names_both(
    pair: tuple[Process, Process],
) -> None:
    near, _ = pair
    start_with_two(near)
    tokens = {}
    for name, role in (("drafter", "drafter"), ("desk-one", "releaser"), ("duty", "duty")):
        near.call("person_add", name=name, roles=[role])
        link = near.call("person_link", name=name)["token"]
        tokens[name] = near.call("sign_in", link=link)["token"]
    drafter, releaser = tokens["drafter"], tokens["desk-one"]

    def refused(verb: str, token: str, **args: object) -> str:
        code: str = ask(near, verb, token=token, **args)["error"]["code"]
        return code

    new = {"line": "other", "text": "Are you standing by?", "precedence": "FLASH"}
    assert refused("draft_save", tokens["duty"], **new) == "control.no_right"
    written = ask(near, "draft_save", token=drafter, **new)["ok"]
    assert "ok" in ask(near, "draft_hand", token=drafter, **written)
    said = ask(near, "draft_show", token=releaser, draft=written["draft"])["ok"]["hash"]
    seen = {**written, "hash": said}
    assert refused("draft_release", drafter, **seen) == "control.no_right"
    assert refused("draft_drop", releaser, **written) == "draft.not_yours"
    others = {**written, "others": True}
    assert refused("draft_drop", drafter, **others) == "control.no_right"
    assert refused("draft_release", releaser, **seen) == "people.proof_needed"
    device, touch = Device(), {"act": "draft_release", "about": seen}

    def options(what: str, **more: object) -> dict[str, Any]:
        said = {"what": what, "origin": device.origin, **more}
        found: dict[str, Any] = ask(near, "passkey_ask", token=releaser, **said)["ok"]["options"]
        return found

    def touched() -> str:
        answer = device.get(options("act", **touch))
        token: str = ask(near, "prove", token=releaser, answer=answer, **touch)["ok"]["token"]
        return token

    made = {"answer": device.create(options("passkey_add")), "label": "blue"}
    assert "ok" in ask(near, "passkey_add", token=releaser, **made)
    unseen = ask(near, "draft_release", token=releaser, proof=touched(), **{**seen, "revision": 7})
    assert unseen["error"]["code"] == "people.proof_needed"
    proof = touched()
    serial = ask(near, "draft_release", token=releaser, proof=proof, **seen)["ok"]["serial"]
    shown = ask(near, "show", token=releaser, line="other", side="ours", **serial)["ok"]
    told = shown["authorship"]
    assert (told["drafted_by"], told["released_by"]) == (["drafter"], "desk-one")
    assert told["one_person"] is False


def test_the_log_says_nothing_of_a_draft(pair: tuple[Process, Process]) -> None:
    near, _ = pair
    near.start()
    seen = handed(near, "UNMISTAKABLE", subject="UNMISTAKABLE", action=["UNMISTAKABLE"])
    near.call("draft_comment", draft=seen["draft"], text="UNMISTAKABLE")
    near.call("draft_release", **seen)
    near.end()
    assert "UNMISTAKABLE" not in near.log.read_text()
    stored = b"".join(path.read_bytes() for path in _files(near.directory))
    assert b"UNMISTAKABLE" not in stored


def _files(directory: Path) -> list[Path]:
    return [path for path in directory.iterdir() if path.is_file()]
