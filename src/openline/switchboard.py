"""Which bearers run for which lines: what `post.toml` asks, brought about.

Theory of operation: `apply` compares what is wanted (the entries of the configuration whose line is
paired and not revoked) with what runs, ends what is no longer wanted or has changed, and starts
what is new; it is called at the start and after every change of the configuration or of the lines.
The post is told of each that ends why it did: for a moment, paused (and by whom), or for good.
An entry for a line that does not exist yet waits for it. The listening socket serves all lines
under one name. How bearers carry does not live here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import clock
from .bearers import folder, tcp
from .bearers.base import Bearer
from .bearers.folder import FolderBearer
from .bearers.reach import retry_ms
from .carrying import line_key
from .config import Config
from .core.events import Now
from .delivery.explain import BearerStatus, bearer_view
from .entries import (
    LISTENER,
    BearerEntry,
    FolderEntry,
    KissEntry,
    MailEntry,
    RelayEntry,
    SerialEntry,
    TcpEntry,
)
from .errors import LocalError
from .inputs import BearerDown, BearerGone
from .logs import log
from .post import Post
from .runner import Runner
from .tokens import FileTokens


class Switchboard:
    """The bearers of a post. Every method is called in the event loop of its runner."""

    def __init__(
        self,
        directory: Path,
        post: Post,
        runner: Runner,
        entropy: Callable[[int], bytes],
    ) -> None:
        self.directory = directory
        self.config = Config()
        self._post = post
        self._runner = runner
        self._entropy = entropy
        self._applying = asyncio.Lock()
        self.changing = asyncio.Lock()
        """Held while a change of the configuration is worked out, written and brought about."""
        self._standing: dict[tuple[int, str], BearerEntry] = {}
        """What runs or is paused, by line and name."""
        self._listener: tcp.TcpListener | None = None
        self._callers: dict[int, tcp.ListeningLine] = {}

    def listen(self, config: Config) -> str | None:
        """Open the listening socket, if one is wanted; "host:port" as bound. BearerError if it
        cannot be had.
        """
        if config.listen is None:
            return None
        self._listener = tcp.TcpListener(
            config.listen, lambda: list(self._callers.values()), self._entropy
        )
        host, port = self._listener.open()
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    async def run_listener(self) -> None:
        """Answer callers until cancelled."""
        if self._listener is not None:
            await self._runner.guarded(self._listener.run)

    async def apply(self, config: Config | None = None) -> None:
        """Make what runs what is wanted; without an argument, because the lines have changed."""
        async with self._applying:
            await self._apply(config or self.config)

    async def _apply(self, config: Config) -> None:
        self.config = config
        lines = self._lines()
        wanted = {
            (line, entry.name): entry
            for entry in self.config.bearer
            for line in lines.get(entry.line, ())
        }
        for place, entry in [*self._standing.items()]:
            if wanted.get(place) != entry:
                del self._standing[place]
                gone = place not in wanted
                told = BearerGone(*place) if gone else BearerDown(*place, "bearer.ended")
                if entry.paused_by is None:
                    await self._runner.stop(*place, told)
                else:
                    self._runner.put(told)
        for place, entry in wanted.items():
            if place in self._standing:
                continue
            if place[0] not in self._post.open_lines():
                # It has ended while another bearer took its time to stop.
                continue
            if entry.paused_by is None:
                self._start(*place, entry)
            else:
                self._runner.put(BearerDown(*place, "bearer.paused", entry.paused_by))
            self._standing[place] = entry
        waiting = sum(entry.line not in lines for entry in self.config.bearer)
        if waiting:
            log().warning("bearers.without_line", count=waiting)
        if self._listener is not None:
            self._admit(set(self._post.open_lines()), self._listener)

    def _lines(self) -> dict[str, list[int]]:
        """The open lines by label: two have the same while a card is rotated."""
        found: dict[str, list[int]] = {}
        for line in self._post.open_lines():
            found.setdefault(self._post.label(line), []).append(line)
        return found

    async def follow(self) -> None:
        """Stop what carried lines that were retired, until cancelled."""
        watching = self._runner.watch()
        try:
            while True:
                if any(event.name == "line.retired" for event in await watching.more()):
                    await self.apply()
        finally:
            watching.close()

    def _admit(self, lines: set[int], listener: tcp.TcpListener) -> None:
        """Let these lines call us, and no others."""
        for line in set(self._callers) - lines:
            del self._callers[line]
            listener.drop(line)
            self._runner.close_port(line, LISTENER)
        for line in lines - set(self._callers):
            profile = replace(tcp.PROFILE, name=LISTENER, padded=self.config.padding)
            port = self._runner.port(line, LISTENER, profile)
            self._callers[line] = tcp.ListeningLine(line_key(self._post, line), port)

    def _start(self, line: int, name: str, entry: BearerEntry) -> None:
        padded = entry.padded(self.config.padding)
        said = {"name": name, "padded": padded, **entry.declared()}
        if entry.kind == "tcp":
            bearer = self._dialer(line, entry, said)
        elif entry.kind == "relay":
            bearer = self._relay(line, entry, said)
        elif entry.kind == "folder":
            bearer = self._folder(line, entry, said)
        elif entry.kind == "kiss":
            bearer = self._kiss(line, entry, said)
        elif entry.kind == "mail":
            bearer = self._mail(line, entry, said)
        else:
            bearer = self._serial(line, entry, said)
        self._runner.start(line, name, bearer, bearer.profile)

    def _dialer(self, line: int, entry: TcpEntry, said: dict[str, Any]) -> Bearer:
        profile = replace(tcp.PROFILE, **said)
        return tcp.TcpBearer(
            entry.address, line_key(self._post, line), self._entropy, profile=profile
        )

    def _relay(self, line: int, entry: RelayEntry, said: dict[str, Any]) -> Bearer:
        # Imported late: it brings an HTTP client, which a post without a relay need not load.
        from .bearers.mailbox import Relay
        from .bearers.relay import PROFILE, RelayBearer

        ca_file = None if entry.ca_file is None else self.directory / entry.ca_file
        tokens = FileTokens(None if entry.tokens is None else self.directory / entry.tokens)
        where = Relay(entry.url, ca_file, entry.proxy, entry.streams)
        profile = replace(PROFILE, **said)
        return RelayBearer(where, lambda: self._post.mailboxes(line), tokens, profile)

    def _folder(self, line: int, entry: FolderEntry, said: dict[str, Any]) -> Bearer:
        profile = replace(folder.PROFILE, **said)
        return FolderBearer(
            self.directory / entry.path, line_key(self._post, line), self._entropy, profile
        )

    def _serial(self, line: int, entry: SerialEntry, said: dict[str, Any]) -> Bearer:
        # Imported late, as the relay's: most posts have no serial line.
        from .bearers.serial import SerialBearer, profile_of

        device = self.directory / entry.device
        profile = profile_of(entry.baud, **said)
        return SerialBearer(device, line_key(self._post, line), profile, baud=entry.baud)

    def _kiss(self, line: int, entry: KissEntry, said: dict[str, Any]) -> Bearer:
        from .bearers.ax25 import Stations
        from .bearers.kiss import Airtime, KissBearer, profile_of

        timing = {
            "rate_bytes_s": said.pop("rate_bytes_s", None),
            "tx_delay_ms": entry.tx_delay_ms,
            "room_ms": entry.room_ms,
        }
        airtime = Airtime(**{name: value for name, value in timing.items() if value is not None})
        return KissBearer(
            entry.address,
            Stations(entry.callsign, entry.to),
            line_key(self._post, line),
            profile_of(airtime, **said),
            airtime=airtime,
            tells_delay=entry.tx_delay_ms is not None,
        )

    def _mail(self, line: int, entry: MailEntry, said: dict[str, Any]) -> Bearer:
        # Imported late: it brings clients of SMTP and IMAP.
        from .bearers.account import Account, Addressed, Server
        from .bearers.mail import PROFILE, MailBearer

        smtp, imap = (
            Server(*at, security=entry.security_at(at.port)) for at in (entry.smtp, entry.imap)
        )
        account = Account(
            Addressed(entry.sender, entry.to),
            smtp,
            imap,
            entry.user or entry.sender,
            self.directory / entry.password_file,
            None if entry.ca_file is None else self.directory / entry.ca_file,
            entry.mailbox,
            entry.mails_per_hour,
        )
        key, profile = line_key(self._post, line), replace(PROFILE, **said)
        return MailBearer(account, key, self._entropy, lambda: clock.now().wall_s, profile)

    def view(self, now: Now) -> list[dict[str, Any]]:
        """Every bearer configured, and how it stands; "up" None while its line does not exist,
        "retry_ms" how often its address is knocked at while it is down.
        """
        lines = self._lines()
        found = []
        for entry in self.config.bearer:
            for line in lines.get(entry.line, [None]):
                seen = self._seen(line, entry.name, now)
                knocking = entry.kind != "mail"  # which takes its time, and more of it each time
                seen["retry_ms"] = retry_ms(seen["code"], entry.rate_bytes_s) if knocking else None
                found.append({**seen, **entry.shown()})
        for line in self._callers:
            seen = self._seen(line, LISTENER, now)
            found.append({**seen, "line": self._post.label(line), "kind": "tcp"})
        return found

    def _seen(self, line: int | None, name: str, now: Now) -> dict[str, Any]:
        """What the post knows of a bearer."""
        status = BearerStatus(False, "" if line is not None else "line.unknown", None, None)
        if line is not None:
            with suppress(LocalError):
                status = self._post.status(line, now).bearers.get(name, status)
        seen = bearer_view(name, status, now.mono_ms)
        return seen if line is not None else {**seen, "up": None}
