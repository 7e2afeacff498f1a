"""The relay as a process: killed, stopped, out of disk, and what its files and its log hold."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest
from websockets.exceptions import InvalidStatus

from bench.posts import until
from openline import serving
from openline.bearers.base import Mailbox
from openline.i18n import LANGUAGES, catalogue
from openline.relay import app
from openline.relay.mailbox import FILE_NAME, MailboxStore, Quota

from .process import COMMAND, RelayProcess, as_depositor, as_taker, mailbox, path_of
from .test_interface import Asker

ENGLISH = [*COMMAND, "--lang", "en"]


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[RelayProcess]:
    """A relay of its own for each test."""
    with RelayProcess(tmp_path) as made:
        yield made


def test_nothing_acknowledged_is_lost_by_sigkill(relay: RelayProcess, long_run: bool) -> None:
    """Killed while eight depositors are at it: all that got 201 is there, once or (unanswered)
    not.
    """
    rounds = 20 if long_run else 3
    asker = Asker(relay, relay.tokens(1, Quota(datagrams_max=100_000)))
    box = asker.opened()
    asker.close()
    accepted: set[bytes] = set()
    for number in range(rounds):
        accepted |= deposited_until_killed(relay, b"round %d" % number, box)
        relay.start()
    asker = Asker(relay, [])
    held: list[bytes] = []
    while entries := asker.taken(box):
        held += [body for _, body in entries]
        assert asker.acknowledge(box, *[entry_id for entry_id, _ in entries]) == 204
    asker.close()
    assert len(accepted) > 20 * rounds
    assert accepted <= set(held)
    assert len(held) == len(set(held))


def deposited_until_killed(relay: RelayProcess, label: bytes, box: Mailbox) -> set[bytes]:
    """Deposit from eight threads, kill the relay in the middle; what was answered with 201."""
    accepted: set[bytes] = set()
    enough = threading.Event()

    def work(worker: int) -> None:
        with httpx2.Client(base_url=relay.url, trust_env=False) as client:
            for number in range(100_000):
                body = b"%s %d %d" % (label, worker, number)
                try:
                    answer = client.post(path, headers=headers, content=body)
                except httpx2.TransportError:
                    return
                assert answer.status_code == 201
                accepted.add(body)
                if len(accepted) > 50:
                    enough.set()

    path, headers = path_of(box), as_depositor(box)
    workers = [threading.Thread(target=work, args=(worker,)) for worker in range(8)]
    for worker in workers:
        worker.start()
    assert enough.wait(20)
    relay.kill()
    for worker in workers:
        worker.join()
    return accepted


def test_what_was_not_acknowledged_survives_sigkill(relay: RelayProcess) -> None:
    """Taken but not acknowledged is still there; acknowledged is gone."""
    asker = Asker(relay, relay.tokens(1))
    box = asker.opened()
    for body in (b"one", b"two", b"three"):
        asker.deposit(box, body)
    assert len(asker.taken(box)) == 3
    assert asker.acknowledge(box, 2) == 204
    asker.close()
    relay.kill()
    relay.start()
    asker = Asker(relay, [])
    assert asker.taken(box) == [(1, b"one"), (3, b"three")]
    asker.close()


def test_a_token_spent_before_sigkill_stays_spent(relay: RelayProcess) -> None:
    """And one unspent stays good."""
    spent, unspent = relay.tokens(2)
    box, other = mailbox(1), mailbox(2)
    asker = Asker(relay, [])
    headers = as_taker(box) | {"Openline-Token": spent.hex()}
    assert asker.ask("PUT", path_of(box), headers) == 201
    asker.close()
    relay.kill()
    relay.start()
    asker = Asker(relay, [])
    for token, status in ((spent, 403), (unspent, 201)):
        headers = as_taker(other) | {"Openline-Token": token.hex()}
        assert asker.ask("PUT", path_of(other), headers) == status
    asker.close()


def test_sigterm_ends_it_cleanly_with_takers_waiting(relay: RelayProcess) -> None:
    """Status 0, soon, no error in the log, the write-ahead log folded in."""
    asker = Asker(relay, relay.tokens(1))
    box = asker.opened()
    asker.deposit(box, b"x")
    asker.acknowledge(box, 1)
    waiting = threading.Thread(target=asker.taken, args=(box, 50))
    waiting.start()
    wait_for_connection(relay)
    assert relay.stop() == 0
    waiting.join(10)
    assert not waiting.is_alive()
    asker.close()
    log = [json.loads(line) for line in relay.log.read_text().splitlines()]
    assert [line["event"] for line in log] == ["relay.stopped"]
    assert not (relay.data / (FILE_NAME + "-wal")).exists()


def test_strangers_put_nothing_into_the_log(relay: RelayProcess) -> None:
    """However many streams are refused or broken off; all of the log is JSON lines."""
    asker = Asker(relay, relay.tokens(1))
    box = asker.opened()
    for known in (box, mailbox(999)):
        upgrade = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"]
        key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
        headers = [f"{name}: {value}" for name, value in as_taker(known).items()]
        for path in (path_of(known) + "/stream", "/elsewhere"):
            head = [f"GET {path} HTTP/1.1", "Host: x", *upgrade, key, *headers, "", ""]
            for _ in range(10):
                asker.broken_off("\r\n".join(head).encode())

    async def refused() -> None:
        for stream in (asker.stream(mailbox(999)), asker.stream(box, **{"Openline-Take": "?"})):
            with pytest.raises(InvalidStatus):
                await stream

    asyncio.run(refused())
    asker.close()
    relay.stop()
    log = [json.loads(line) for line in relay.log.read_text().splitlines()]
    assert [line["event"] for line in log] == ["relay.stopped"]
    assert log[0]["done"]["relay.request"] == 1


def test_a_log_that_cannot_be_written_fails_no_relay(tmp_path: Path) -> None:
    relay = RelayProcess(tmp_path)
    relay.log = Path("/dev/full")
    relay.start()
    assert relay.stop() == 0


def spoken(capsys: pytest.CaptureFixture[str]) -> str:
    """What a relay in this process says first, once it has."""
    said = [""]

    def heard() -> bool:
        said[0] = capsys.readouterr().out
        return bool(said[0])

    until(heard)
    return said[0]


def test_a_fault_while_serving_is_one_line_of_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its kind and where it came up, and none of what it says."""

    async def failing(*_: object) -> None:
        raise ValueError("from 192.0.2.1")

    async def scene() -> None:
        store = MailboxStore(tmp_path)
        monkeypatch.setattr(store, "take", failing)
        serving = asyncio.create_task(app.serve(store, app.Listen("127.0.0.1", 0)))
        line = await asyncio.to_thread(spoken, capsys)
        box = mailbox(1)
        async with httpx2.AsyncClient(trust_env=False) as client:
            url = json.loads(line)["listening"] + path_of(box)
            assert (await client.get(url, headers=as_taker(box))).status_code == 500
        os.kill(os.getpid(), signal.SIGTERM)
        await serving

    asyncio.run(asyncio.wait_for(scene(), 20))
    fault, stopped = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert (fault["event"], fault["kind"]) == ("relay.fault", "ValueError")
    assert fault["place"].startswith("tests.relay.test_process:")
    assert stopped["event"] == "relay.stopped"


def wait_for_connection(relay: RelayProcess) -> None:
    """Wait until a request was read whole: the relay answers one that came after it."""
    with httpx2.Client(base_url=relay.url, trust_env=False) as client:
        for _ in range(20):
            client.get(path_of(mailbox(77)), headers=as_taker(mailbox(77)))


def test_the_files_and_the_log_hold_no_secret_and_no_address(relay: RelayProcess) -> None:
    """Neither capability, nor token, nor their hex, nor the hashes they prove themselves by."""
    asker = Asker(relay, tokens := relay.tokens(2))
    token = tokens[-1]
    box = asker.opened()
    asker.deposit(box, bytes(range(64)))
    asker.ask("GET", path_of(box), as_taker(mailbox(999)))
    asker.ask("GET", path_of(box) + "/stream", as_taker(box))
    asker.raw(b"GET " + path_of(box).encode() + b" HTTP/1.1\r\nHost: secret.example\r\n\r\n")
    asker.close()
    files = b"".join(path.read_bytes() for path in relay.data.iterdir())
    output = relay.log.read_bytes()
    relay.stop()
    files += b"".join(path.read_bytes() for path in relay.data.iterdir())
    output += relay.log.read_bytes()
    secrets = [token, box.take, box.deposit]
    secrets += [hashlib.sha256(secret).digest() for secret in (box.take, box.deposit)]
    for secret in secrets:
        for form in (secret, secret.hex().encode(), secret.hex().upper().encode()):
            assert form not in files
            assert form not in output
    assert bytes(range(64)) in files
    for word in (b"127.0.0.1", b"secret.example", b"openline-take"):
        assert word not in files.lower()
        assert word not in output.lower()
    assert not re.search(rb"[0-9a-f]{16}", output)


def test_the_database_says_of_a_datagram_its_bytes_mailbox_and_age(relay: RelayProcess) -> None:
    """These columns and no others; what is acknowledged leaves no bytes behind after the stop."""
    asker = Asker(relay, relay.tokens(1))
    box = asker.opened()
    asker.deposit(box, b"only for the taker" * 5)
    assert asker.acknowledge(box, 1) == 204
    asker.deposit(box, b"y" * 96)
    asker.close()
    relay.stop()
    connection = sqlite3.connect(relay.data / FILE_NAME)
    columns = [row[1] for row in connection.execute("PRAGMA table_info(datagram)")]
    rows = connection.execute("SELECT length(body), arrived_s FROM datagram").fetchall()
    assert columns == ["place", "mailbox", "id", "arrived_s", "body"]
    assert [length for length, _ in rows] == [96]
    assert all(arrived_s < 60 for _, arrived_s in rows)
    connection.close()
    assert b"only for the taker" not in (relay.data / FILE_NAME).read_bytes()


def test_a_full_disk_is_507_and_the_relay_goes_on(tmp_path: Path) -> None:
    """Deposits are refused while no file may grow; taking goes on; with room again, so does all."""
    limit = (400_000, resource.RLIM_INFINITY)
    relay = RelayProcess(tmp_path)
    relay.before = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    with relay:
        asker = Asker(relay, relay.tokens(1))
        box = asker.opened()
        statuses = [asker.deposit(box, os.urandom(4096)) for _ in range(120)]
        assert statuses[0] == 201
        assert statuses[-1] == 507
        assert set(statuses) == {201, 507}
        entries = asker.taken(box)
        assert len(entries) == 16
        resource.prlimit(relay.pid, resource.RLIMIT_FSIZE, (limit[1], limit[1]))
        assert asker.acknowledge(box, *[entry_id for entry_id, _ in entries]) == 204
        assert asker.deposit(box, b"room again") == 201
        asker.close()
        relay.kill()
        relay.before = None
        relay.start()
        assert relay.held() == statuses.count(201) - len(entries) + 1


def test_the_operator_may_bound_the_database(tmp_path: Path) -> None:
    """--disk-mib-max, answered by 507."""
    with RelayProcess(tmp_path, "--disk-mib-max", "1") as relay:
        asker = Asker(relay, relay.tokens(1))
        box = asker.opened()
        statuses = [asker.deposit(box, bytes(4096)) for _ in range(256)]
        assert set(statuses) == {201, 507}
        asker.close()


def test_tokens_go_to_a_new_private_file(relay: RelayProcess, tmp_path: Path) -> None:
    """One per line, readable by the operator alone; a file that is there is not overwritten."""
    out = tmp_path / "tokens"
    command = [*ENGLISH, "token", "--data", str(relay.data), "--count", "3", "--out", str(out)]
    ran = subprocess.run(command, check=True, capture_output=True, text=True)
    lines = out.read_text().split()
    assert ran.stdout == ""
    assert len(set(lines)) == 3
    assert out.stat().st_mode & 0o777 == 0o600
    assert all(re.fullmatch("[0-9a-f]{64}", line) for line in lines)
    again = subprocess.run(command, check=False, capture_output=True, text=True)
    assert again.returncode == 1
    assert "exists already" in again.stderr
    assert out.read_text().split() == lines


def test_tokens_for_a_relay_that_is_not_there_are_refused(tmp_path: Path) -> None:
    command = [*ENGLISH, "token", "--data", str(tmp_path / "nowhere")]
    ran = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ran.returncode == 1
    assert f"There is no directory {tmp_path / 'nowhere'}." in ran.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--listen", "nowhere"], "HOST:PORT"),
        (["--listen", "127.0.0.1:70000"], "HOST:PORT"),
        (["--listen", "192.0.2.1:0"], "Cannot listen on 192.0.2.1:0"),
        (["--tls-cert", __file__], "belong together"),
        (["--tls-cert", "/none.pem", "--tls-key", __file__], "/none.pem: no such file"),
        (["--tls-cert", __file__, "--tls-key", __file__], f"{__file__} is no certificate"),
    ],
)
def test_a_wrong_option_is_said_in_words(tmp_path: Path, options: list[str], words: str) -> None:
    """And nothing is served: one line of what is wrong, one of what to do."""
    command = [*ENGLISH, "serve", "--data", str(tmp_path / "relay"), *options]
    ran = subprocess.run(command, check=False, capture_output=True, text=True, timeout=20)
    assert ran.returncode in (1, 2)
    assert words in ran.stderr
    said = [line for line in ran.stderr.splitlines() if not line.startswith("{")]
    assert len(said) == 2


@pytest.mark.parametrize("language", LANGUAGES)
def test_help_and_complaints_are_in_the_language_of_the_operator(
    language: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = catalogue(language)

    def said(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["openline-relay", "--lang", language, *arguments])
        with pytest.raises(SystemExit) as ended:
            app.main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    for command in ((), ("serve",), ("token",)):
        code, helped, _ = said(*command, "--help")
        assert code == 0
        assert words.text(".".join(("relay.help", *command)))[:40] in helped
        assert re.findall(r"(?:help|metavar|click|relay)\.[a-z._]+", helped) == []
        assert max(map(len, helped.splitlines())) <= 80
    code, _, complaint = said("serve", "--data", "x", "--listen", "nowhere")
    assert (code, complaint.splitlines()) == (
        2,
        [words.text("usage.listen"), words.text("usage.listen.next")],
    )


def test_what_cannot_be_served_is_said_in_words(relay: RelayProcess) -> None:
    """A directory in use; a database of a newer relay; an address in use."""
    port = relay.url.rpartition(":")[2]

    def failing(data: Path) -> str:
        command = [*ENGLISH, "serve", "--data", str(data), "--listen", f"127.0.0.1:{port}"]
        ran = subprocess.run(command, check=False, capture_output=True, text=True, timeout=20)
        assert ran.returncode == 1
        assert "Traceback" not in ran.stderr
        return ran.stderr

    assert "Another openline-relay serves this directory" in failing(relay.data)
    other = relay.directory / "other"
    assert "Cannot listen" in failing(other)
    connection = sqlite3.connect(other / FILE_NAME)
    connection.execute("PRAGMA user_version = 7")
    connection.close()
    assert "made by a newer openline-relay" in failing(other)


def test_a_connection_that_sends_no_request_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """When its time is over, however much of a head it has sent."""
    monkeypatch.setattr(serving, "HEAD_S", 0.3)

    async def scene() -> None:
        store = MailboxStore(tmp_path)
        serving = asyncio.create_task(app.serve(store, app.Listen("127.0.0.1", 0)))
        line = await asyncio.to_thread(spoken, capsys)
        port = int(json.loads(line)["listening"].rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\nHost: ")
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
        os.kill(os.getpid(), signal.SIGTERM)
        await serving

    asyncio.run(asyncio.wait_for(scene(), 20))


def test_sigint_ends_it_as_sigterm_does(relay: RelayProcess) -> None:
    """For an operator at a terminal."""
    os.kill(relay.pid, signal.SIGINT)
    assert relay.stop() == 0
