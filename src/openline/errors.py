"""Every error Openline raises, by whose fault it is.

Theory of operation: an error carries a stable `code` ("store.locked") and safe details (numbers,
paths, positions, labels, who of ours was there before; never text or keys, and logged only of what
`unforeseen` makes).
Wording lives in the interface catalogues under the code, so that an error is read in the duty
officer's language and a test or a script can match the code. Nothing here formats for people.
"""

from __future__ import annotations

import errno
import os


class OpenlineError(Exception):
    """Base of all errors: `code` is stable, `details` are values for the wording."""

    def __init__(self, code: str, **details: object) -> None:
        super().__init__(code, details)
        self.code = code
        self.details = details

    def __str__(self) -> str:
        shown = " ".join(f"{key}={value}" for key, value in self.details.items())
        return f"{self.code} {shown}".rstrip()


class LocalError(OpenlineError):
    """Our own side asked for something that cannot be done; nothing was changed."""


class RemoteError(OpenlineError):
    """The other side sent what the protocol forbids; counted as its fault and shown."""


class SealError(OpenlineError):
    """A datagram does not open. One opaque reason, so that nobody learns why."""

    def __init__(self) -> None:
        super().__init__("seal.unreadable")


class BearerError(OpenlineError):
    """A bearer failed; `retry` says whether trying again may help."""

    def __init__(self, code: str, *, retry: bool, **details: object) -> None:
        super().__init__(code, **details)
        self.retry = retry


class StoreError(OpenlineError):
    """The record cannot be opened or written; what is on disk is whole."""


class InvariantError(OpenlineError):
    """Openline itself is wrong: stop the operation, keep the record, report it."""


def reason(error: OSError) -> str:
    """Why the system refused something, as a detail: a code ("errno.ENOENT") that catalogues word,
    or what a library said."""
    said = error.strerror or str(error) or type(error).__name__
    number = error.errno or 0
    # Resolvers and TLS have numbers of their own, which may be those of other errors.
    is_own = number in errno.errorcode and said.startswith(os.strerror(number))
    return f"errno.{errno.errorcode[number]}" if is_own else said


def unforeseen(error: BaseException) -> InvariantError:
    """An error that nobody foresaw, as one of ours: its kind and where in the source it came up,
    never what it says, for that may hold what a message holds."""
    place, traceback = "", error.__traceback__
    while traceback is not None:
        place = f"{traceback.tb_frame.f_globals.get('__name__', '')}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return InvariantError("internal.fault", kind=type(error).__name__, place=place)
