"""Making a line: what must be new and true before two posts are paired (docs/protocol.md §2, §3).

Theory of operation: a kit is made once only, so that no key, mailbox or serial of an ended line
comes again; a card is trusted for one line at a time; a tape serves one line and never a second.
What passes all checks is the whole state of the line, for one commit: it is on disk or it is not. A
line that takes the place of another has its name from it. How the one gives way to the other is
handover's.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from hashlib import sha256

from . import handover, tapes
from .enrolment import check_words, tape_pages
from .errors import LocalError
from .inputs import Pair
from .sealing.keys import Card, Identity, Kit

States = Mapping[int, Mapping[str, bytes]]
"""Line → its named state; 0: the post itself."""

LABEL_CHARACTERS_MAX = 64


def check_label(label: str, taken: Collection[str]) -> str:
    """The name of a new line, trimmed; raises LocalError if it cannot have it."""
    label = label.strip()
    if not label or len(label) > LABEL_CHARACTERS_MAX or not label.isprintable():
        raise LocalError("enrolment.label", characters_max=LABEL_CHARACTERS_MAX)
    if label in taken:
        raise LocalError("enrolment.label_taken")
    return label


def make(states: States, identity: Identity, given: Pair, label: str) -> dict[str, bytes]:
    """The named state of a new line, to be committed as one; raises LocalError if it must not be
    (R2)."""
    card = Card.decode(given.card)
    if sha256(card.data).digest() in tapes.digests(states[0].get("former", b"")):
        raise LocalError("enrolment.own_card")
    pages = tape_pages(given.tape) if given.tape is not None else []
    kit = Kit.make(identity, card, pages[0] if pages else b"")
    if given.tape is not None:
        check_tape(states, given.tape)
    _check_card(states, kit, given)
    check_words(card.data, given.said)
    state = {
        "label": label.encode(),
        "identity": identity.encode(),
        "card": card.data,
        "kit": bytes((kit.tape,)) + kit.secret,
        "anchors": _anchors(kit),
    }
    if given.replaces is not None:
        state[handover.SUCCEEDS] = str(given.replaces).encode()
    for number, page in enumerate(pages[1:-1], 1):
        state[tapes.name(number)] = page
    if given.tape is not None:
        state["reserve"] = pages[-1]
        state["tapes"] = tapes.tape_id(given.tape)
    return state


def check_tape(states: States, tape: bytes) -> None:
    """Refuse a tape that serves, or served, a line of ours; raises LocalError."""
    known = tapes.tape_id(tape)
    for line, state in states.items():
        if known in tapes.digests(state.get("tapes", b"")):
            raise LocalError("enrolment.used_tape", line=line)


def _check_card(states: States, kit: Kit, given: Pair) -> None:
    """Refuse a card that is in use, one revoked unless a new tape makes up for it, and a kit made
    before."""
    for line, state in states.items():
        if state.get("card") != kit.peer.data:
            continue
        if not ("revoked" in state or "succeeded" in state or line == given.replaces):
            raise LocalError("enrolment.paired_already", line=line)
        if "revoked" in state and not kit.tape:
            raise LocalError("enrolment.revoked_card", line=line)
        if json.loads(state["anchors"])["line_id"] == kit.line_id.hex():
            raise LocalError("enrolment.nothing_new", line=line)


def _anchors(kit: Kit) -> bytes:
    """What both chains start from, as JSON: not secret, and kept when the kit is erased."""
    own, peer = kit.genesis(kit.direction), kit.genesis(3 - kit.direction)
    genesis = {"ours": own.hex(), "theirs": peer.hex()}
    anchors = {"line_id": kit.line_id.hex(), "first": kit.first, "genesis": genesis}
    return json.dumps(anchors).encode()
