"""What became of a message, step by step, as far as our record knows it.

Theory of operation: made of the post's view of one message and of its answer, and never kept. A
step is done, or not yet, or nothing is known of it; where the record does not say when or by whom,
neither does the step: nothing is inferred and nothing invented. The other side speaks as a post, so
that of its people nothing is ever known. Words, shapes and colours live in the templates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Said = Mapping[str, Any]
"""A JSON object as the post gave it."""

DONE, OPEN, UNKNOWN = "done", "not_yet", "not_known"

THEIR_PEOPLE = "theirs"
MACHINE = "machine"
NOT_KNOWN = "not_known"
"""What stands in the place of names."""

_RECEIPTS = ("delivered", "opened", "shown")
"""What is hoped for of every message; to decline or to hold is not."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step: `name` is that of its wording."""

    name: str
    state: str
    at: str | None = None
    """ISO 8601, None if the record does not say when."""
    at_group: str | None = None
    who: tuple[str, ...] | str = NOT_KNOWN
    """Names of ours, or one of the constants above."""
    due_group: str | None = None
    bearers: tuple[str, ...] = ()
    page: str = ""
    """The page of the message that this step is."""


def ladder(message: Said, answer: Said | None) -> list[Step]:
    """The steps of a message, in the order in which they happen."""
    begun = _ours(message) if message["side"] == "ours" else _theirs(message)
    return [*begun, *_receipts(message), _answered(message, answer)]


def _at(view: Said, name: str) -> dict[str, Any]:
    return {"at": view[name], "at_group": view[f"{name}_group"]}


def _ours(message: Said) -> Iterator[Step]:
    by = message["authorship"]
    if by is None:
        yield Step("drafted", UNKNOWN)
        yield Step("released", DONE, **_at(message, "filed"))
    else:
        yield Step("drafted", DONE, **_at(by, "drafted"), who=tuple(by["drafted_by"]))
        yield Step("released", DONE, **_at(by, "released"), who=(by["released_by"],))
    yield Step("committed", DONE, **_at(message, "arrived"), who=MACHINE)
    state = message["state"].split()[0]
    held = state == "held" or bool(message["marks"])
    if state in ("unknown", "refused") and not held:
        yield Step(state, UNKNOWN if state == "unknown" else DONE, who=MACHINE)
        return
    yield from _sent(message, held=held)
    known = _at(message, "held") if held else {}
    yield Step("held", DONE if held else OPEN, who=MACHINE, **known)


def _sent(message: Said, *, held: bool) -> Iterator[Step]:
    """A step for each bearer it was given to, and one for those whose time nobody noted."""
    noted = [each["bearer"] for each in message["sent"]]
    for each in message["sent"]:
        yield Step("sent", DONE, **_at(each, "at"), who=MACHINE, bearers=(each["bearer"],))
    others = tuple(name for name in message["bearers"] if name not in noted)
    if others or not noted:
        yield Step("sent", DONE if held or others else OPEN, who=MACHINE, bearers=others)


def _theirs(message: Said) -> Iterator[Step]:
    yield Step("filed", DONE, **_at(message, "filed"), who=THEIR_PEOPLE)
    restored = message["restored"]
    if restored:
        yield Step("restored", DONE, **_at(restored, "at"), who=MACHINE)
    else:
        yield Step("arrived", DONE, **_at(message, "arrived"), who=MACHINE)


def _receipts(message: Said) -> Iterator[Step]:
    """What people said of it, in the order they said it; then what is still to be hoped for."""
    theirs = message["side"] == "ours"
    said = {mark["kind"] for mark in message["marks"]}
    for mark in message["marks"]:
        who = THEIR_PEOPLE if theirs else (mark["actor"],) if mark["actor"] else NOT_KNOWN
        yield Step(mark["kind"], DONE, **_at(mark, "at"), who=who, due_group=mark["due_group"])
    reached = max((at for at, name in enumerate(_RECEIPTS, 1) if name in said), default=0)
    for name in _RECEIPTS[reached:]:
        yield Step(name, OPEN, who="")


def _answered(message: Said, answer: Said | None) -> Step:
    if answer is None:
        return Step("answered", OPEN, who="", due_group=message["due_group"])
    by = answer["authorship"]
    theirs = answer["side"] == "theirs"
    who = THEIR_PEOPLE if theirs else (by["released_by"],) if by else NOT_KNOWN
    page = f"/line/{answer['line']}/{answer['side']}/{answer['serial']}"
    return Step("answered", DONE, **_at(answer, "arrived"), who=who, page=page)
