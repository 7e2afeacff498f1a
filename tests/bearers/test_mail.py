"""The mail bearer over a real Dovecot and a real SMTP server: the contract of all bearers."""

from __future__ import annotations

import asyncio
import os

from bench.posts import until
from openline import clock
from openline.bearers.account import Account, Pace
from openline.bearers.base import Bearer, Pause
from openline.bearers.framing import LineKey
from openline.bearers.mail import MailBearer

from .contract import CustodyContract
from .provider import Provider, needs_dovecot

NEAR = LineKey(1, bytes(range(32)), 1)
FAR = NEAR._replace(direction=2)

SOON = Pause(0.1, 0.4)
QUICK = Pace(0.05, SOON, SOON, SOON, 0.1)
"""The pace of tests that are not about pace."""


def bearer(account: Account, line: LineKey, pace: Pace = QUICK) -> MailBearer:
    """One that does not take its time."""
    return MailBearer(account, line, os.urandom, lambda: clock.now().wall_s, pace=pace)


@needs_dovecot
class TestMail(CustodyContract):
    """Two posts with a mailbox each at one provider; a cut kills its servers."""

    async def make(self) -> tuple[Bearer, Bearer]:
        """Two accounts."""
        self.provider = Provider(security="tls")
        await asyncio.to_thread(self.provider.start)
        near, far = self.provider.account("near", "far"), self.provider.account("far", "near")
        return bearer(near, NEAR), bearer(far, FAR)

    async def unmake(self) -> None:
        """No provider any more."""
        await asyncio.to_thread(self.provider.close)

    async def cut(self) -> None:
        """Kill the servers."""
        await asyncio.to_thread(self.provider.kill)

    async def mend(self) -> None:
        """Start them again."""
        await asyncio.to_thread(self.provider.start)

    async def settled(self) -> None:
        """Wait until no mail is left."""
        await asyncio.to_thread(until, lambda: not self.provider.mails("far"))
