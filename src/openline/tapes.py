"""The tape of a line that is paired: pages burned by hand, pages added (docs/protocol.md §3, §9).

Theory of operation: a page is a named blob of the line until it is burned, which erases it; the
store overwrites what it deletes. Pages of the tape a line was paired with have the numbers of their
places. Pages added later are numbered by what they are, not by when they came, so that both sides
number them alike in whatever order they add. Each side may burn alone: an answer without a page is
part of the protocol. The first tape and its words are enrolment's; when a page is used is
sealing's.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from hashlib import sha256

from .errors import LocalError
from .inputs import AddTape, BurnPages, Pages
from .sealing.keys import label
from .sealing.seal import Seal
from .store.base import Batch, Store

ADDED = 0x8000
"""Numbers from here on are of pages added; those of a tape paired with are always lower."""

PAGES_MAX = 10_000
"""Pages one line may hold."""


def name(page: int) -> str:
    """The name under which a page is kept in the state of its line."""
    return f"tape/{page:04d}"


def held(names: Collection[str]) -> list[int]:
    """The numbers of the pages among the names of a line's state."""
    return sorted(int(each[5:]) for each in names if each.startswith("tape/"))


def tape_id(tape: bytes) -> bytes:
    """By what a tape is known again when its pages are burned: 32 bytes."""
    return sha256(b"openline/1 tape" + tape).digest()


def digests(joined: bytes) -> list[bytes]:
    """SHA-256 digests that are kept one after the other."""
    return [joined[at : at + 32] for at in range(0, len(joined), 32)]


def number_of(page: bytes) -> int:
    """The number of a page that is added to a line."""
    return ADDED | int.from_bytes(label(page, "page number", count=2), "big")


def burn(seal: Seal, pages: Collection[int]) -> None:
    """Erase pages that may have been seen; raises LocalError("tape.no_page") and changes nothing.

    An offer under way with one of them is given up: its answer comes to nothing, and another offer
    follows with another page.
    """
    for page in pages:
        if page not in seal.pages:
            raise LocalError("tape.no_page", page=page)
    if seal.roots.offer is not None and seal.roots.offer.page in pages:
        seal.roots.offer = None
    for page in pages:
        seal.keep_page(page, None)


def add(seal: Seal, pages: Sequence[bytes]) -> int:
    """Take more pages; how many are new. Raises LocalError("tape.full")."""
    added = {number_of(page): page for page in pages}
    fresh = {number: page for number, page in added.items() if number not in seal.pages}
    if len(seal.pages) + len(fresh) > PAGES_MAX:
        raise LocalError("tape.full", pages_max=PAGES_MAX)
    # What was offered is spent, answered or not; all that is left may then be offered.
    burn(seal, [page for page in seal.pages if page < seal.state.next_page])
    seal.state.next_page = 1
    for number, page in fresh.items():
        seal.keep_page(number, page)
    return len(fresh)


def take_burning(given: BurnPages, seal: Seal, store: Store, batch: Batch) -> Pages:
    """Burn the pages named, the reserve page if that is asked too. Raises LocalError."""
    if given.reserve and "reserve" not in store.state(given.line):
        raise LocalError("tape.no_reserve")
    burn(seal, given.pages)
    if given.reserve:
        batch.state[given.line, "reserve"] = None
    return Pages(len(given.pages) + given.reserve)


def take_tape(
    given: AddTape, pages: Sequence[bytes], seal: Seal, store: Store, batch: Batch
) -> Pages:
    """Add the pages of a tape to its line, and remember the tape. Raises LocalError."""
    count = add(seal, pages)
    before = store.state(given.line).get("tapes", b"")
    batch.state[given.line, "tapes"] = before + tape_id(given.tape)
    return Pages(count)
