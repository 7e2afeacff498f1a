"""The control socket of a running post: one post in memory, real sockets, real rights."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from openline import carrying, clock, verbs
from openline.bearers.base import Outgoing
from openline.config import CHANGES, Config
from openline.control import OUTSTANDING_MAX, ControlSocket, Running
from openline.core import receipts
from openline.core.events import Now
from openline.core.precedence import Precedence
from openline.enrolment import words
from openline.errors import LocalError
from openline.inputs import AddPerson, Arrived, MakeLink, Release, SignOutAll
from openline.rights import NARROWER, RIGHTS, ROLES, needed, rights_of
from openline.runner import Runner
from openline.signins import Token
from openline.switchboard import Switchboard
from tests.pair import LinePair

PATIENCE_S = 20.0
OWN_VERBS = {*CHANGES, *carrying.VERBS} | {
    "ping",
    "caller",
    "bearers",
    "bearer_test",
    "watch",
    "stop",
}


class Client:
    """One connection to the socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def ask(self, number: object, verb: str, /, **args: object) -> None:
        """Send a request and wait for nothing."""
        request = {"id": number, "verb": verb, "args": args}
        self.writer.write(json.dumps(request).encode() + b"\n")

    async def hear(self) -> dict[str, Any]:
        """The next line."""
        answer: dict[str, Any] = json.loads(await self.reader.readline())
        return answer

    async def call(self, verb: str, /, **args: object) -> Any:
        """Ask and get what is under "ok"; LocalError for an error."""
        self.ask(1, verb, **args)
        answer = await self.hear()
        if "error" in answer:
            raise LocalError(answer["error"]["code"], **answer["error"]["details"])
        return answer["ok"]


class Desk:
    """The post "a" of a pair, running; "b" stays in the test's hand."""

    def __init__(self, directory: Path, config: Config | None = None) -> None:
        self.pair = LinePair()
        self.pair.flow()
        self.directory = directory
        self.stopped = asyncio.Event()
        self._began_ms = clock.now().mono_ms
        post = self.pair.posts["a"]
        self.runner = Runner(post, self.now)
        self.board = Switchboard(directory, post, self.runner, clock.entropy)
        self.board.config = config or Config()
        store = self.pair.stores["a"]
        self.running = Running(store, post, self.runner, self.board, self.now, self.stopped.set)
        self._clients: list[Client] = []

    def now(self) -> Now:
        """The pair's clock, moving on from where the pair was made."""
        passed_ms = clock.now().mono_ms - self._began_ms
        return Now(self.pair.now.mono_ms + passed_ms, self.pair.now.wall_s)

    async def client(self) -> Client:
        """A new connection."""
        path = str(self.directory / "control.sock")
        client = Client(*await asyncio.open_unix_connection(path, limit=1 << 24))
        self._clients.append(client)
        return client

    async def play(self, scene: Callable[[Desk], Awaitable[None]]) -> None:
        """Run the post and its socket around a scene."""
        async with asyncio.timeout(PATIENCE_S), self.runner, ControlSocket(self.running):
            try:
                await scene(self)
            finally:
                for client in self._clients:
                    client.writer.close()
        assert not (self.directory / "control.sock").exists()


def play(
    directory: Path,
    scene: Callable[[Desk], Awaitable[None]],
    config: Config | None = None,
    roles: Sequence[str] = (),
) -> None:
    """Run a scene at a desk of its own; with roles, our own user is a person who has these and
    another sets people right."""

    async def whole() -> None:
        desk = Desk(directory, config)
        if roles:
            desk.pair.do("a", AddPerson("test", "desk-one", roles, os.getuid()))
            desk.pair.do("a", AddPerson("test", "keeper", ["administrator"], os.getuid() + 1))
        await desk.play(scene)

    asyncio.run(whole())


def test_pipelined_sends_are_answered_by_their_ids(tmp_path: Path) -> None:
    async def scene(desk: Desk) -> None:
        client = await desk.client()
        count = 2 * OUTSTANDING_MAX + 10
        for number in range(count):
            client.ask(number, "send", line="other", text=f"text {number}", precedence="FLASH")
        answers = [await client.hear() for _ in range(count)]
        assert sorted(answer["id"] for answer in answers) == list(range(count))
        serials = {answer["ok"]["serial"]["number"] for answer in answers}
        assert len(serials) == count

    play(tmp_path, scene)


def test_a_mistake_in_one_request_leaves_the_others_alone(tmp_path: Path) -> None:
    async def scene(desk: Desk) -> None:
        client = await desk.client()
        client.writer.write(b"not json\n[]\n" + b"[" * 100_000 + b"\n")
        client.ask([], "ping")
        client.ask(2, "ping")
        client.ask(3, "send", line="nobody", text="x")
        client.ask(4, "send", line="other", text=7)
        client.ask(5, "fly")
        answers = [await client.hear() for _ in range(8)]
        codes = [answer.get("error", {}).get("code") for answer in answers]
        assert codes[:4] == ["control.malformed"] * 4
        assert answers[4] == {"id": 2, "ok": {"lines": 1}}
        assert codes[5:] == ["line.unknown", "control.argument", "control.verb"]

    play(tmp_path, scene)


def test_who_has_asked_and_hung_up_half_is_still_answered(tmp_path: Path) -> None:
    async def scene(desk: Desk) -> None:
        client = await desk.client()
        client.ask(1, "send", line="other", text="and that is all")
        client.writer.write_eof()
        assert "ok" in await client.hear()
        assert await client.reader.read() == b""

    play(tmp_path, scene)


def test_the_socket_is_its_owners_alone_and_replaces_a_dead_one(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))

    async def scene(desk: Desk) -> None:
        assert path.stat().st_mode & 0o777 == 0o600
        assert await (await desk.client()).call("ping") == {"lines": 1}
        with pytest.raises(LocalError, match=r"control\.in_use"):
            async with ControlSocket(desk.running):
                pass
        assert await (await desk.client()).call("ping") == {"lines": 1}

    play(tmp_path, scene)


def test_a_socket_put_elsewhere_is_reached_from_the_directory(tmp_path: Path) -> None:
    elsewhere, directory = tmp_path / "run", tmp_path / "post"
    elsewhere.mkdir()
    directory.mkdir()

    async def scene(desk: Desk) -> None:
        assert (elsewhere / "c.sock").stat().st_mode & 0o777 == 0o600
        assert await (await desk.client()).call("ping") == {"lines": 1}

    play(directory, scene, Config(control=elsewhere / "c.sock"))
    assert not (elsewhere / "c.sock").exists()


def test_a_socket_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    async def scene(desk: Desk) -> None:
        raise AssertionError

    for config, code in (
        (Config(control=Path("x" * 120)), r"control\.path"),
        (Config(control=Path("absent/c.sock")), r"control\.path"),
        (Config(control_group="no-such-group"), r"control\.group"),
    ):
        with pytest.raises(LocalError, match=code):
            play(tmp_path, scene, config)


def test_every_verb_needs_a_right_and_every_right_belongs_to_a_role() -> None:
    assert set(RIGHTS) == {*verbs.ACTS, *verbs.READINGS, *OWN_VERBS}
    assert {*RIGHTS.values(), *NARROWER.values()} <= set().union(*ROLES.values())


def test_several_roles_give_the_rights_of_each() -> None:
    assert rights_of(["auditor", "duty"]) == ROLES["auditor"] | ROLES["duty"]
    assert all(rights_of([role]) == ROLES[role] for role in ROLES)
    assert rights_of(["of-a-newer-version"]) == rights_of([])


def test_to_say_that_it_was_shown_is_another_right_than_to_say_that_it_was_opened() -> None:
    assert needed("receipt", {"kind": "shown"}) == "show"
    assert needed("receipt", {"kind": "opened"}) == needed("receipt", {}) == "receive"


@pytest.mark.parametrize("role", sorted(ROLES))
def test_a_role_may_ask_what_its_rights_allow_and_nothing_else(tmp_path: Path, role: str) -> None:
    async def scene(desk: Desk) -> None:
        client = await desk.client()
        asked: list[tuple[str, dict[str, object], str]] = [
            *((verb, {}, right) for verb, right in RIGHTS.items()),
            *((verb, {name: value}, right) for (verb, name, value), right in NARROWER.items()),
        ]
        for verb, args, right in asked:
            client.ask(verb, verb, **args)
            # One of the verbs is to watch: then what the others cause is told as well.
            while "event" in (answer := await client.hear()):
                pass
            refused = answer.get("error", {}).get("code") == "control.no_right"
            assert refused == (right not in ROLES[role]), verb

    play(tmp_path, scene, roles=[role])


def test_what_is_refused_is_not_done(tmp_path: Path) -> None:
    async def scene(desk: Desk) -> None:
        client = await desk.client()
        before = desk.running.post.status(1, desk.now()).own_number
        with pytest.raises(LocalError, match=r"control\.no_right"):
            await client.call("send", line="other", text="not mine to send")
        with pytest.raises(LocalError, match=r"control\.no_right"):
            await client.call("stop")
        assert desk.running.post.status(1, desk.now()).own_number == before
        assert not desk.stopped.is_set()

    play(tmp_path, scene, roles=["duty"])


def test_a_watcher_is_told_what_happens(tmp_path: Path) -> None:
    async def scene(desk: Desk) -> None:
        client, other = await desk.client(), await desk.client()
        client.ask("w", "watch")
        assert await client.hear() == {"id": "w", "ok": {}}
        sent = await other.call("send", line="other", text="x", precedence="IMMEDIATE")
        event = (await client.hear())["event"]
        assert (event["name"], event["line"], event["label"]) == ("released", 1, "other")
        assert event["values"]["number"] == sent["serial"]["number"]
        assert event["values"]["precedence"] == "IMMEDIATE"

    play(tmp_path, scene)


def test_a_watcher_who_is_signed_out_is_told_nothing_more(tmp_path: Path) -> None:
    async def scene(desk: Desk) -> None:
        client = await desk.client()
        link = desk.pair.do("a", MakeLink("keeper", "desk-one"))
        assert isinstance(link, Token)
        made = await client.call("sign_in", link=link.text)
        watch = {"id": "w", "verb": "watch", "as": made["token"]}
        client.writer.write(json.dumps(watch).encode() + b"\n")
        assert await client.hear() == {"id": "w", "ok": {}}
        await desk.runner.give(SignOutAll("keeper"))
        await desk.runner.give(Release(1, "keeper", Precedence.FLASH, "en", "", "x"))
        while "event" in (answer := await client.hear()):
            assert answer["event"]["name"] != "released"
        assert (answer["id"], answer["error"]["code"]) == ("w", "people.signed_out")
        client.ask("p", "ping")
        assert (await client.hear())["id"] == "p"

    play(tmp_path, scene, roles=["duty"])


def test_who_signs_in_over_a_connection_is_who_the_token_says(tmp_path: Path) -> None:
    async def scene(desk: Desk) -> None:
        desk.pair.do("a", AddPerson("keeper", "desk-two", ["releaser"]))
        token = desk.pair.do("a", MakeLink("keeper", "desk-two"))
        assert isinstance(token, Token)
        client = await desk.client()
        made = await client.call("sign_in", link=token.text)
        with pytest.raises(LocalError, match=r"control\.no_right"):
            await client.call("draft_save", line="other", text="as the Unix user")
        request = {"id": 1, "verb": "draft_save", "args": {"line": "other", "text": "as desk-two"}}
        for said, told in ((made["token"], "ok"), ("f" * 32, "error"), (7, "error")):
            client.writer.write(json.dumps({**request, "as": said}).encode() + b"\n")
            assert told in await client.hear()
        request = {**request, "verb": "send", "as": made["token"]}
        for proof, code in (("", "people.proof_needed"), (7, "control.malformed")):
            client.writer.write(json.dumps({**request, "proof": proof}).encode() + b"\n")
            assert (await client.hear())["error"]["code"] == code

    play(tmp_path, scene, roles=["duty"])


def test_the_kernel_says_which_unix_user_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can be other Unix users")
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o711)

    def connected(uid: int) -> socket.socket:
        Path("control.sock").chmod(0o666)
        asking = socket.socket(socket.AF_UNIX)
        os.seteuid(uid)
        try:
            asking.connect("control.sock")
        finally:
            os.seteuid(0)
        return asking

    async def client_of(uid: int) -> Client:
        return Client(*await asyncio.open_unix_connection(sock=connected(uid)))

    async def scene(desk: Desk) -> None:
        desk.pair.do("a", AddPerson("keeper", "desk-two", ["releaser"], 12_345))
        person, stranger = await client_of(12_345), await client_of(54_321)
        await person.call("send", line="other", text="by desk-two")
        for verb in ("send", "status", "people"):
            with pytest.raises(LocalError, match=r"control\.no_right"):
                await stranger.call(verb, line="other", text="by nobody")
        *_, last = desk.running.store.audit()
        assert (last.entry.actor, last.entry.act) == ("desk-two", "release")
        for client in (person, stranger):
            client.writer.close()

    play(tmp_path, scene, roles=["administrator"])


def test_what_a_duty_desk_lists_and_opens_is_receipted_once(tmp_path: Path) -> None:
    async def scene(desk: Desk) -> None:
        serial = desk.pair.say("b", "read me")
        desk.pair.flow()
        client = await desk.client()

        def said() -> list[int]:
            marks = desk.running.store.marks(1, 1, serial.number, serial.incarnation)
            return [mark.kind for mark in marks if mark.kind in receipts.RECEIPTS]

        await client.call("inbox")
        assert said() == []
        for _ in range(2):
            await client.call("inbox", seen=True)
            assert said() == [receipts.DELIVERED]
        for _ in range(2):
            await client.call("show", line="other", number=serial.number, open=True)
            assert said() == [receipts.DELIVERED, receipts.OPENED]

    play(tmp_path, scene, roles=["duty"])


def test_reading_as_a_releaser_receipts_nothing(tmp_path: Path) -> None:
    async def scene(desk: Desk) -> None:
        client = await desk.client()
        await client.call("inbox")
        with pytest.raises(LocalError, match=r"control\.no_right"):
            await client.call("inbox", seen=True)

    play(tmp_path, scene, roles=["releaser"])


def test_bearers_are_added_listed_and_removed(tmp_path: Path) -> None:
    async def scene(desk: Desk) -> None:
        client = await desk.client()
        with pytest.raises(LocalError, match=r"line\.unknown"):
            await client.call("bearer_add", line="nobody", kind="tcp", address="127.0.0.1:9")
        with pytest.raises(LocalError, match=r"line\.unknown"):
            await client.call("bearer_remove", line="nobody", name="tcp")
        with pytest.raises(LocalError, match=r"config\.invalid"):
            await client.call("bearer_add", line="other", kind="tcp", address="nowhere")
        added = await client.call("bearer_add", line="other", kind="tcp", address="127.0.0.1:9")
        assert added == {"name": "tcp"}
        relay = {"line": "other", "kind": "relay", "url": "http://127.0.0.1:9"}
        assert await client.call("bearer_add", **relay) == {"name": "relay"}
        shown = await client.call("bearers")
        assert [(each["kind"], each["name"]) for each in shown] == [
            ("tcp", "tcp"),
            ("relay", "relay"),
        ]
        assert shown[0]["address"] == "127.0.0.1:9"
        for name in ("tcp", "relay"):
            removed = await client.call("bearer_remove", line="other", name=name)
            assert removed == {"name": name}
        assert await client.call("bearers") == []

    play(tmp_path, scene)


def test_every_change_of_a_bearer_is_in_the_audit_log_with_who_made_it(tmp_path: Path) -> None:
    async def scene(desk: Desk) -> None:
        client = await desk.client()
        await client.call("bearer_add", line="other", kind="tcp", address="127.0.0.1:9")
        for verb in CHANGES[1:]:
            args = {"cost": 7} if verb == "bearer_change" else {}
            await client.call(verb, line="other", name="tcp", **args)
            if verb == "bearer_pause":
                (shown,) = await client.call("bearers")
                assert (shown["paused_by"], shown["cost"]) == (f"uid:{os.getuid()}", 7)
        with pytest.raises(LocalError, match=r"config\.bearer_unknown"):
            await client.call("bearer_pause", line="other", name="tcp")
        entries = [each for each in await client.call("audit") if each["act"] in CHANGES]
        assert [entry["act"] for entry in entries] == list(CHANGES)
        details = {"line": 1, "kind": "tcp", "name": "tcp"}
        assert all(entry["details"] == details for entry in entries)
        assert {entry["actor"] for entry in entries} == {f"uid:{os.getuid()}"}

    play(tmp_path, scene)


def test_a_test_of_a_bearer_waits_for_its_answer_or_says_that_none_came(tmp_path: Path) -> None:
    async def scene(desk: Desk) -> None:
        client = await desk.client()
        desk.pair.posts["a"].take(1, "tcp", desk.now())
        assert await client.call("bearer_test", line="other", name="tcp", wait_s=1) == {
            "answered": False,
            "took_ms": None,
        }
        assert desk.runner.take(1, "tcp")
        client.ask(7, "bearer_test", line="other", name="tcp", wait_s=20)
        asked: list[Outgoing] = []
        for _ in range(1000):
            asked = asked or desk.runner.take(1, "tcp")
            await asyncio.sleep(0)
        desk.pair.give("b", [each.data for each in asked])
        await desk.runner.give(Arrived(1, "tcp", desk.pair.take("b")))
        answer = (await client.hear())["ok"]
        assert answer["answered"]
        assert answer["took_ms"] >= 0
        with pytest.raises(LocalError, match=r"control\.argument"):
            await client.call("bearer_test", line="other", name="tcp", wait_s=0)

    play(tmp_path, scene)


def test_a_revoked_line_loses_its_bearers(tmp_path: Path) -> None:
    async def scene(desk: Desk) -> None:
        client = await desk.client()
        await client.call("bearer_add", line="other", kind="tcp", address="127.0.0.1:9")
        await client.call("revoke", line="other")
        (shown,) = await client.call("bearers")
        assert (shown["up"], shown["code"]) == (None, "line.unknown")
        with pytest.raises(LocalError, match=r"line\.revoked"):
            await client.call("send", line="other", text="too late")

    play(tmp_path, scene)


def test_pairing_checks_the_words_and_makes_a_line(tmp_path: Path) -> None:
    async def scene(desk: Desk) -> None:
        card = LinePair(seed=9).posts["a"].card() or b""
        client = await desk.client()
        said = list(words(card))
        wrong = [*said[:11], said[0]]
        with pytest.raises(LocalError, match=r"enrolment\.wrong_word") as caught:
            await client.call("pair", label="third", card=card.hex(), words=wrong)
        assert caught.value.details["position"] == 12
        answer = await client.call("pair", label="third", card=card.hex(), words=said)
        assert answer == {"line": 2}

    play(tmp_path, scene)


def test_stop_stops(tmp_path: Path) -> None:
    async def scene(desk: Desk) -> None:
        assert await (await desk.client()).call("stop") == {}
        await desk.stopped.wait()

    play(tmp_path, scene, roles=["administrator"])
