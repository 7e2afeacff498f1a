"""Which admission token to try at a relay, and when to try no more.

Theory of operation: a relay refuses a token that it does not know, and does not say why: we may
have spent it in a crash, it may be another relay's, or this one has lost its database. So what was
refused is kept, and the next is tried; after a few in a row none of those we hold is tried any
more, until one comes that we did not hold, or the relay is reached anew.

What must not live here: where tokens are kept, what a request looks like.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from openline.errors import BearerError

REFUSALS_MAX = 5
"""Refusals in a row after which a relay is taken for one that knows none of our tokens."""


class Tokens(Protocol):
    """Admission tokens of the relay's operator, kept by the caller. Each method may raise OSError.

    Several bearers may share them, and say the same of one token.
    """

    def left(self) -> Sequence[bytes]:
        """Those not spent, in the order in which to try them."""

    def spent(self, token: bytes) -> None:
        """The relay took it: do not give it again, also after a restart."""

    def refused(self, token: bytes) -> None:
        """The relay does not know it: keep it, behind the others."""


class Admission:
    """The tokens while the relay can be reached, and what it said of them."""

    def __init__(self, tokens: Tokens) -> None:
        self._tokens = tokens
        self._in_vain: set[bytes] = set()
        self._refusals = 0

    def token(self) -> bytes:
        """The one to try next. BearerError: "bearer.relay_token_file" if there never was one,
        "bearer.relay_no_token" if all are spent, "bearer.relay_tokens_unknown".
        """
        try:
            left = self._tokens.left()
        except OSError:
            raise BearerError("bearer.relay_token_file", retry=True) from None
        if not left:
            raise BearerError("bearer.relay_no_token", retry=True)
        if self._refusals >= REFUSALS_MAX:
            self._in_vain.update(left)
            self._refusals = 0
        for token in left:
            if token not in self._in_vain:
                return token
        raise BearerError("bearer.relay_tokens_unknown", retry=True)

    def taken(self, token: bytes) -> None:
        """The relay took it. BearerError "bearer.relay_token_file" if that cannot be written."""
        self._refusals = 0
        try:
            self._tokens.spent(token)
        except OSError:
            raise BearerError("bearer.relay_token_file", retry=True) from None

    def refused(self, token: bytes) -> None:
        """The relay does not know it."""
        self._refusals += 1
        self._in_vain.add(token)
        with suppress(OSError):
            # Where it stands in a file that cannot be written, it is only refused again.
            self._tokens.refused(token)
