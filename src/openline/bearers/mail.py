"""A mailbox at any provider: parcels out by SMTP, and in by IMAP (docs/protocol.md §14).

Theory of operation: two halves run side by side. The sending half gathers what the port gives for a
few seconds into one mail (what is urgent waits for nothing) and hands it to the server; so many
mails an hour and no more, of which a part is kept for what is urgent. What the server does not take
is kept, one mail of it, and is what the half knocks with after a growing pause; until it is let in
the bearer is down and the line goes elsewhere. While only fetching fails, the bearer is up and
deaf. That a server took a mail counts for nothing: the
line's own acknowledgements decide. The fetching half looks at what is new in the folder, hands in
what proves to be a parcel of the line, and deletes that mail when `received` has returned; all else
it leaves alone. A report that a mail of ours did not arrive is noted, deleted, and has the bearer
down for a bounded while: whoever could forge one could as well swallow the mail. A password that
was refused is not tried again for long, unless it changes. IMAP blocks, so it runs in a thread,
whose connection is cut when the bearer is to end.

What must not live here: how mails look (letter.py), how servers are spoken with (smtp.py, imap.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TypeVar

from openline.errors import BearerError, StoreError

from . import imap, letter, smtp
from .account import PACE, Account, Pace, password_in
from .apart import apart
from .base import URGENT, BearerProfile, Port
from .framing import LineKey
from .hand import Hand
from .reach import Door

PROFILE = BearerProfile(
    name="mail",
    latency_ms=30_000,
    mtu_bytes=4096,
    retry_ms_min=300_000,
    retry_ms_max=3_600_000,
    cost=20,
)

HAND_BYTES_MAX = 1 << 20
"""Datagrams in hand, before no more are asked for."""

URGENT_S = 1.0
"""How often something urgent is asked for meanwhile."""

NOTED_MAX = 1024
"""Reports remembered, so that each is heard once."""

STEADY_S = 60.0
"""How long a connection must have lasted, to count as one that works."""

ENDING_S = 2.0
"""How long the end of a thread is waited for."""

T = TypeVar("T")


class _Standing:
    """Up while sending works and no report says otherwise; deaf while fetching does not: a FLASH
    need not wait for the other server."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._codes: dict[str, str | None] = {"in": None, "out": None, "back": ""}

    def told(self, half: str, code: str) -> None:
        """How a half stands: "" or why it does not."""
        self._codes[half] = code
        deaf, out, back = self._codes["in"], self._codes["out"], self._codes["back"]
        if out or back:
            self._door.down(out or back or "")
        elif out is not None and deaf is not None:
            self._door.up(deaf)


class _KeptError(Exception):
    """The server did not take this load, which is kept."""

    def __init__(self, code: str, load: list[bytes], *, rarely: bool) -> None:
        super().__init__(code)
        self.code = code
        self.load = load
        self.rarely = rarely


class MailBearer:
    """The bearer of one line over two mailboxes, of which this post has one."""

    def __init__(
        self,
        account: Account,
        line: LineKey,
        entropy: Callable[[int], bytes],
        wall_s: Callable[[], int],
        profile: BearerProfile = PROFILE,
        *,
        pace: Pace = PACE,
    ) -> None:
        self.profile = profile
        self._account = account
        self._line = line
        self._entropy = entropy
        self._wall_s = wall_s
        self._pace = pace
        self._hand = Hand(pace.gather_s, account.mails_per_hour)
        self._failures = 0
        """Of sending, in a row; only a mail that was taken ends them."""
        self._noted: dict[str, None] = {}
        self._reports = 0
        self._reported_s = 0.0
        self._resuming: asyncio.TimerHandle | None = None

    async def run(self, port: Port) -> None:
        """Carry datagrams until cancelled."""
        account, standing = self._account, _Standing(Door(port))
        self._inbox = imap.Inbox(account.user, account.folder, letter.MAIL_BYTES_MAX)
        sending = asyncio.create_task(self._send_all(port, standing))
        fetching = asyncio.create_task(self._fetch_all(port, standing))
        try:
            await asyncio.wait({sending, fetching}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sending.cancel()
            fetching.cancel()
            await asyncio.wait({sending, fetching})
            if self._resuming is not None:
                self._resuming.cancel()
                self._resuming = None
        for half in (sending, fetching):
            if not half.cancelled():
                half.result()

    async def _password(self) -> str:
        return await apart(password_in, self._account.password_file)

    async def _rest(self, seconds: float, refused: str | None) -> None:
        """Wait; no longer than until a password that was refused is another one."""
        end_s = asyncio.get_running_loop().time() + seconds
        while (left_s := end_s - asyncio.get_running_loop().time()) > 0:
            if refused is None:
                await asyncio.sleep(left_s)
                continue
            await asyncio.sleep(min(left_s, self._pace.password_s))
            with suppress(BearerError):
                if await self._password() != refused:
                    return

    # -- sending ------------------------------------------------------------------------------

    async def _send_all(self, port: Port, standing: _Standing) -> None:
        kept: list[bytes] = []
        while True:
            password: str | None = None
            try:
                password = await self._password()
                await self._knock(password, kept)
                kept = []
                standing.told("out", "")
                await self._carry(port)
            except _KeptError as error:
                kept, code = error.load, error.code
                pause = self._pace.rarely if error.rarely else self._pace.later
                if code == "bearer.mail_too_long" and self._hand.shorter():
                    # The post gives it again, in mails half as long.
                    kept, pause = [], self._pace.knock
            except BearerError as error:
                code, kept = error.code, []
                pause = self._pace.knock
            self._failures += 1
            standing.told("out", code)
            refused = password if code == "bearer.mail_login" else None
            if refused is not None:
                pause = self._pace.rarely
            await self._rest(pause.after(self._failures), refused)

    async def _knock(self, password: str, kept: list[bytes]) -> None:
        """See that the server lets us in, and takes what it did not take before."""
        try:
            async with await self._hatch(password) as hatch:
                if kept:
                    await self._give(hatch, kept)
        except smtp.TurnedDownError as refusal:
            raise _kept(refusal, kept) from None

    async def _hatch(self, password: str) -> smtp.Hatch:
        where = await apart(self._account.smtp.reached, self._account.ca_file)
        return smtp.Hatch(where, self._account.user, password)

    async def _carry(self, port: Port) -> None:
        """Send what the port gives until a server does not take it. BearerError, _KeptError."""
        hand, loop = self._hand, asyncio.get_running_loop()
        hand.drop()
        while True:
            left_s = hand.left_s(loop.time())
            if left_s is not None and left_s <= 0:
                await self._send(hand)
            elif hand.size > HAND_BYTES_MAX:
                # An hour's mails may have to pass first; what is urgent has mails of its own.
                await asyncio.sleep(min(left_s or 0, URGENT_S))
                hand.take(port.urgent(URGENT - 1), loop.time())
            else:
                with suppress(TimeoutError):
                    async with asyncio.timeout(left_s):
                        # Nothing is awaited after the port has given, so nothing is lost here.
                        items = await port.outgoing()
                        hand.take(items, loop.time())

    async def _send(self, hand: Hand) -> None:
        """Mails, one after another over one connection, while they are due."""
        load: list[bytes] = []
        loop = asyncio.get_running_loop()
        try:
            async with await self._hatch(await self._password()) as hatch:
                if hatch.mail_bytes_max is not None:
                    hand.within(letter.plain_bytes_within(hatch.mail_bytes_max))
                while (left_s := hand.left_s(loop.time())) is not None and left_s <= 0:
                    load = hand.load()
                    try:
                        await self._give(hatch, load)
                    except smtp.TurnedDownError as refusal:
                        code = letter.meaning(refusal.status, refusal.text)
                        if code != "bearer.mail_too_long" or not hand.shorter():
                            raise
                        hand.back(load)
        except smtp.TurnedDownError as refusal:
            raise _kept(refusal, load or hand.load()) from None

    async def _give(self, hatch: smtp.Hatch, load: list[bytes]) -> None:
        """Hand one mail over."""
        addressed = self._account.addressed
        mail = letter.compose(self._line, addressed, load, self._wall_s(), self._entropy)
        self._hand.gone(asyncio.get_running_loop().time())
        await hatch.give(*addressed, mail)
        self._failures = 0

    # -- fetching -----------------------------------------------------------------------------

    async def _fetch_all(self, port: Port, standing: _Standing) -> None:
        failures, loop = 0, asyncio.get_running_loop()
        while True:
            password: str | None = None
            inside, began_s = False, loop.time()
            try:
                password = await self._password()
                where = await apart(self._account.imap.reached, self._account.ca_file)
                await self._threaded(self._inbox.open, where, password)
                while True:
                    while await self._look(port, standing):
                        pass
                    inside = True
                    standing.told("in", "")
                    if loop.time() - began_s > STEADY_S:
                        failures = 0
                    await self._threaded(self._inbox.wait, self._pace.idle_s)
            except (BearerError, StoreError) as error:
                code = error.code
            finally:
                self._inbox.close()
            failures += 1
            if failures > 1 or not inside:
                # Providers close connections now and then: that alone is no news.
                standing.told("in", code)
            refused = password if code == "bearer.mail_login" else None
            pause = self._pace.knock if refused is None else self._pace.rarely
            await self._rest(pause.after(failures), refused)

    async def _look(self, port: Port, standing: _Standing) -> bool:
        """Go through some of what is new; whether there was any."""
        found = await self._threaded(self._inbox.look)
        for seen in found:
            if seen.uid in self._inbox.taken:
                await self._threaded(self._inbox.delete, seen.uid)
            elif any(letter.names_in(self._line, seen.structure, 3 - self._line.direction)):
                await self._take(port, seen.uid)
            elif letter.may_be_report(seen.structure):
                await self._hear(standing, seen.uid)
            self._inbox.passed(seen.uid)
        return bool(found)

    async def _take(self, port: Port, uid: int) -> None:
        """Hand in what a mail carries, and delete it then."""
        mail = await self._threaded(self._inbox.read, uid, letter.MAIL_BYTES_MAX)
        # In a thread too: a mail that was made to be slow to read must not keep the post waiting.
        if datagrams := await self._threaded(letter.opened, self._line, mail):
            await port.received(datagrams)
            await self._threaded(self._inbox.delete, uid)

    async def _hear(self, standing: _Standing, uid: int) -> None:
        """Take note of a report about a mail of ours, and delete it."""
        report = await self._threaded(self._inbox.read, uid, letter.BOUNCE_BYTES)
        found = letter.bounce(self._line, report)
        if found is None:
            return
        await self._threaded(self._inbox.delete, uid)
        if found.code and found.name not in self._noted:
            self._noted[found.name] = None
            for oldest in [*self._noted][:-NOTED_MAX]:
                del self._noted[oldest]
            self._rest_after(standing, found.code)

    def _rest_after(self, standing: _Standing, code: str) -> None:
        """Be down for a while, longer when reports go on; one more meanwhile changes nothing."""
        loop = asyncio.get_running_loop()
        if self._resuming is not None:
            return
        quiet_s = loop.time() - self._reported_s
        self._reports = self._reports + 1 if quiet_s < 2 * self._pace.later.most_s else 1
        self._reported_s = loop.time()

        def resume() -> None:
            self._resuming = None
            standing.told("back", "")

        self._resuming = loop.call_later(self._pace.later.after(self._reports), resume)
        standing.told("back", code)

    async def _threaded(self, call: Callable[..., T], *args: object) -> T:
        """Have a call run in a thread; cut the inbox off when we are cancelled."""
        work = apart(call, *args)
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            self._inbox.kill()
            await asyncio.wait({work}, timeout=ENDING_S)
            if work.done() and not work.cancelled():
                work.exception()
            raise


def _kept(refusal: smtp.TurnedDownError, load: Iterable[bytes]) -> _KeptError:
    code = letter.meaning(refusal.status, refusal.text)
    return _KeptError(code, [*load], rarely=refusal.status >= 500)
