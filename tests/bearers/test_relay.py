"""The relay bearer against real relay processes: the contract of all bearers, and its own ways."""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import os
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from openline.bearers.admission import Admission
from openline.bearers.base import Bearer, Mailbox
from openline.bearers.mailbox import Box, Relay
from openline.bearers.relay import RelayBearer
from openline.errors import BearerError, LocalError
from openline.relay.mailbox import Quota
from openline.status import Mailboxes

from ..relay.process import RelayProcess, mailbox
from .contract import CustodyContract, End
from .ports import PATIENCE_S


class Purse:
    """Tokens as a caller keeps them."""

    def __init__(self, tokens: Sequence[bytes]) -> None:
        self.unspent = list(tokens)

    def left(self) -> Sequence[bytes]:
        """The unspent ones."""
        return self.unspent

    def spent(self, token: bytes) -> None:
        """Not again; two bearers that share a purse may both say so."""
        if token in self.unspent:
            self.unspent.remove(token)

    def refused(self, token: bytes) -> None:
        """It stays."""


def both_sides(numbers: tuple[int, int] = (1, 2)) -> tuple[Mailboxes, Mailboxes]:
    """The mailboxes of two parties: recovery (epoch 0) and one epoch in each direction."""
    one, two = (mailbox(number) for number in numbers)
    recovery_one, recovery_two = mailbox(100), mailbox(200)
    return (
        Mailboxes([one, recovery_one], two, recovery_two),
        Mailboxes([two, recovery_two], one, recovery_one),
    )


class OverRelay(CustodyContract):
    """Two relay bearers and one relay process; a cut kills the relay."""

    streams = True
    relay: RelayProcess
    purse: Purse

    async def make(self) -> tuple[Bearer, Bearer]:
        """Start a relay with tokens for all mailboxes."""
        self._directory = tempfile.TemporaryDirectory()
        self.relay = RelayProcess(Path(self._directory.name))
        await asyncio.to_thread(self.relay.start)
        self.purse = Purse(await asyncio.to_thread(self.relay.tokens, 8))
        self.near_boxes, self.far_boxes = both_sides()
        where = Relay(self.relay.url, streams=self.streams)
        return (
            RelayBearer(where, lambda: self.near_boxes, self.purse),
            RelayBearer(where, lambda: self.far_boxes, self.purse),
        )

    async def unmake(self) -> None:
        """End the relay and its directory."""
        await asyncio.to_thread(self.relay.stop)
        self._directory.cleanup()

    async def cut(self) -> None:
        """Kill the relay."""
        await asyncio.to_thread(self.relay.kill)

    async def mend(self) -> None:
        """Start it where it was."""
        await asyncio.to_thread(self.relay.start)

    async def settled(self) -> None:
        """Wait until the relay holds nothing."""
        async with asyncio.timeout(PATIENCE_S):
            # The database of another process wakes nobody.
            while await asyncio.to_thread(self.relay.held):  # noqa: ASYNC110
                await asyncio.sleep(0.05)


class TestOverStreams(OverRelay):
    """By WebSocket."""

    def test_a_token_is_spent_for_each_mailbox_and_no_more(self) -> None:
        """Four mailboxes, whoever opened them."""

        async def scene() -> None:
            self.near.port.send(b"a", recovery=True)
            self.far.port.send(b"b", recovery=True)
            await self.far.port.until(lambda: self.far.port.arrived == [b"a"])
            await self.near.port.until(lambda: self.near.port.arrived == [b"b"])
            assert len(self.purse.unspent) == 8 - 4

        self._play(scene)

    def test_a_new_epoch_is_followed_while_running(self) -> None:
        """The set of mailboxes changes on both sides; what is sent then arrives there."""

        async def scene() -> None:
            near, far = both_sides((3, 4))
            self.near_boxes, self.far_boxes = near, far
            self.near.port.send(b"in the new epoch")
            await self.far.port.until(lambda: self.far.port.arrived == [b"in the new epoch"])

        self._play(scene)

    def test_nothing_is_lost_while_epochs_change_at_every_datagram(self) -> None:
        """Boxes of old epochs are closed under way, after what uses them has ended."""

        async def scene() -> None:
            turning = itertools.cycle([mailbox(number) for number in range(30, 36)])
            near, far = both_sides()
            self.purse.unspent += await asyncio.to_thread(self.relay.tokens, 8)
            self.far_boxes = far._replace(take=[mailbox(number) for number in range(30, 36)])

            class Turning:
                """A deposit mailbox that is another one each time it is asked for."""

                take = near.take
                recovery = near.recovery

                @property
                def deposit(self) -> Mailbox:
                    return next(turning)

            where = Relay(self.relay.url)
            end = End(RelayBearer(where, Turning, self.purse))
            await self.near.stop()
            end.start()
            try:
                await end.port.until(lambda: end.port.is_up)
                sent = [b"%d" % number for number in range(600)]
                for start in range(0, 600, 200):
                    end.port.send(*sent[start : start + 200])
                    await self.far.port.until(
                        lambda wanted=start + 200: (  # type: ignore[misc]
                            len(set(self.far.port.arrived)) == wanted
                        )
                    )
                assert end.port.states == ["up"]
            finally:
                await end.stop()

        self._play(scene)

    def test_a_full_mailbox_is_reported_down_and_up_again_after(self) -> None:
        """429 is told, what was not taken is dropped, and trying goes on."""

        async def scene() -> None:
            narrow = mailbox(9)
            tokens = await asyncio.to_thread(self.relay.tokens, 1, Quota(datagrams_max=3))
            where = Relay(self.relay.url)
            opener = Box(where, where.tls(), narrow, take=True)
            await opener.open(Admission(Purse(tokens)))
            await opener.close()
            self.near_boxes = self.near_boxes._replace(deposit=narrow)
            for number in range(4):
                self.near.port.send(b"%d" % number)
                await self.near.port.until(
                    lambda wanted=number + 1: self.near.port.taken == wanted  # type: ignore[misc]
                )
            await self.near.port.until(lambda: "bearer.relay_quota" in self.near.port.states)
            await self.near.port.until(lambda: self.near.port.is_up)
            self.far_boxes = self.far_boxes._replace(take=[narrow])
            await self.far.port.until(lambda: len(self.far.port.arrived) == 3)
            await self._insist(self.near, self.far, b"room again")

        self._play(scene)

    def test_without_tokens_it_is_down_and_says_why(self) -> None:
        """And comes up by itself when a token is there."""

        async def scene() -> None:
            purse = Purse([])
            boxes = Mailboxes([mailbox(11)], mailbox(12), mailbox(13))
            end = End(RelayBearer(Relay(self.relay.url), lambda: boxes, purse))
            end.start()
            try:
                await asyncio.sleep(0.5)
                assert not end.port.is_up
                purse.unspent += self.purse.unspent[-2:]
                await end.port.until(lambda: end.port.is_up)
            finally:
                await end.stop()

        self._play(scene)


class TestOverPolls(OverRelay):
    """By long polls, as behind a proxy that does not know WebSockets."""

    streams = False


def certificate(directory: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key, as files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a relay under test")])
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2120, 1, 1, tzinfo=UTC))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    form = serialization.PrivateFormat.PKCS8
    pem = serialization.Encoding.PEM
    cert_file, key_file = directory / "cert.pem", directory / "key.pem"
    cert_file.write_bytes(made.public_bytes(pem))
    key_file.write_bytes(key.private_bytes(pem, form, plain))
    return cert_file, key_file


def test_tls_is_checked_against_the_pinned_authority(tmp_path: Path) -> None:
    """With it, datagrams cross; without it, nothing goes out and the code says tls."""
    cert_file, key_file = certificate(tmp_path)
    options = ("--tls-cert", str(cert_file), "--tls-key", str(key_file))

    async def scene(relay: RelayProcess) -> None:
        purse = Purse(relay.tokens(8))
        near_boxes, far_boxes = both_sides()
        pinned = Relay(relay.url, ca_file=cert_file)
        near = End(RelayBearer(pinned, lambda: near_boxes, purse))
        far = End(RelayBearer(pinned, lambda: far_boxes, purse))
        stranger = Box(Relay(relay.url), Relay(relay.url).tls(), near_boxes.deposit, take=False)
        near.start()
        far.start()
        try:
            await near.port.until(lambda: near.port.is_up)
            near.port.send(b"over TLS")
            await far.port.until(lambda: far.port.arrived == [b"over TLS"])
            with pytest.raises(BearerError) as refused:
                await stranger.deposit(b"to whom?")
            assert refused.value.code == "bearer.tls"
        finally:
            await stranger.close()
            await near.stop()
            await far.stop()

    with RelayProcess(tmp_path, *options) as relay:
        assert relay.url.startswith("https:")
        asyncio.run(scene(relay))


def test_a_relay_without_tls_is_told_as_that(tmp_path: Path) -> None:
    """By https to one that speaks http: no certificate is at fault."""

    async def scene(relay: RelayProcess) -> None:
        boxes = both_sides()[0]
        url = relay.url.replace("http:", "https:")
        end = End(RelayBearer(Relay(url), lambda: boxes, Purse([])))
        end.start()
        await end.port.until(lambda: end.port.states == ["bearer.no_tls"])
        box = Box(Relay(url), Relay(url).tls(), boxes.deposit, take=True)
        with pytest.raises(BearerError) as refused:
            await box.stream()
        assert refused.value.code == "bearer.no_tls"
        await box.close()
        assert end.running
        await end.stop()
        assert end.port.states == ["bearer.no_tls"]

    with RelayProcess(tmp_path) as relay:
        asyncio.run(scene(relay))


def test_a_url_that_is_none_is_refused_at_once() -> None:
    """Before anything runs, with a code."""
    for url in ("", "ftp://relay", "http://", "relay.example:8440", "http://host:99999"):
        with pytest.raises(LocalError) as refused:
            RelayBearer(Relay(url), lambda: both_sides()[0], Purse([]))
        assert refused.value.code == "bearer.relay_url"


def test_the_environment_names_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP_PROXY and its kin change nothing."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "WS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert os.environ["ALL_PROXY"]
    TestOverStreams().test_recovery_datagrams_arrive_too()
