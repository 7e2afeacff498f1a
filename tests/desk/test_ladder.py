"""The ladder of a message says what the record knows, and invents nothing."""

from __future__ import annotations

from typing import Any

import pytest

from openline.desk.ladder import DONE, OPEN, ladder
from openline.desk.rendering import SHAPES
from openline.i18n import LANGUAGES, catalogue

OURS: dict[str, Any] = {
    "line": 1, "side": "ours", "serial": "4.00000a", "state": "held", "bearers": [], "marks": [],
    "sent": [], "held": None, "held_group": None,
    "restored": None, "filed": "f", "filed_group": "F", "arrived": "a", "arrived_group": "A",
    "due_group": None,
    "authorship": {
        "drafted_by": ["drafter", "translator"], "drafted": "d", "drafted_group": "D",
        "released_by": "releaser", "released": "r", "released_group": "R",
    },
}  # fmt: skip
THEIRS = OURS | {"side": "theirs", "state": "arrived", "authorship": None}


def mark(kind: str, actor: str | None = None, due_group: str | None = None) -> dict[str, Any]:
    return {"kind": kind, "at": kind, "at_group": kind, "actor": actor, "due_group": due_group}


def sent(bearer: str) -> dict[str, Any]:
    return {"bearer": bearer, "at": bearer, "at_group": bearer}


def named(message: dict[str, Any], answer: dict[str, Any] | None = None) -> list[str]:
    return [step.name for step in ladder(message, answer)]


def test_a_message_of_ours_has_every_step_from_draft_to_answer() -> None:
    steps = ladder(OURS | {"marks": [mark("delivered"), mark("opened")]}, THEIRS)
    assert [(step.name, step.state, step.at) for step in steps] == [
        ("drafted", "done", "d"),
        ("released", "done", "r"),
        ("committed", "done", "a"),
        ("sent", "done", None),
        ("held", "done", None),
        ("delivered", "done", "delivered"),
        ("opened", "done", "opened"),
        ("shown", "not_yet", None),
        ("answered", "done", "a"),
    ]
    assert [step.who for step in steps] == [
        ("drafter", "translator"), ("releaser",), "machine", "machine", "machine",
        "theirs", "theirs", "", "theirs",
    ]  # fmt: skip
    assert steps[-1].page == "/line/1/theirs/4.00000a"


def test_each_bearer_is_a_step_and_the_ack_of_their_machine_has_its_time() -> None:
    times = {"sent": [sent("tcp"), sent("relay")], "held": "h", "held_group": "H"}
    steps = [step for step in ladder(OURS | times, None) if step.name in ("sent", "held")]
    assert [(step.name, step.at, step.bearers) for step in steps] == [
        ("sent", "tcp", ("tcp",)),
        ("sent", "relay", ("relay",)),
        ("held", "h", ()),
    ]
    # What their machine held once and lost since is not said to be on their disk.
    lost = {step.name: step for step in ladder(OURS | times | {"state": "queued"}, None)}
    assert (lost["held"].state, lost["held"].at) == (OPEN, None)


def test_what_is_on_its_way_says_over_which_bearers_and_claims_no_more() -> None:
    steps = {each.name: each for each in ladder(OURS | {"state": "sent", "bearers": ["tcp"]}, None)}
    assert (steps["sent"].state, steps["sent"].bearers) == (DONE, ("tcp",))
    assert (steps["held"].state, steps["answered"].state) == (OPEN, OPEN)
    noted = OURS | {"state": "sent", "bearers": ["tcp", "mail"], "sent": [sent("tcp")]}
    over = [step for step in ladder(noted, None) if step.name == "sent"]
    assert [(step.at, step.bearers) for step in over] == [("tcp", ("tcp",)), (None, ("mail",))]
    queued = {each.name: each for each in ladder(OURS | {"state": "queued"}, None)}
    assert queued["sent"].state == OPEN


@pytest.mark.parametrize(
    ("state", "name", "known"),
    [("unknown", "unknown", "not_known"), ("refused quota", "refused", "done")],
)
def test_what_is_not_known_or_was_refused_is_said(state: str, name: str, known: str) -> None:
    steps = ladder(OURS | {"state": state}, None)
    assert (name, known) in [(step.name, step.state) for step in steps]
    assert "held" not in [step.name for step in steps]


def test_who_wrote_what_nobody_noted_is_not_made_up() -> None:
    first, second, *_ = ladder(OURS | {"authorship": None}, None)
    assert (first.name, first.state, first.who) == ("drafted", "not_known", "not_known")
    assert (second.name, second.at, second.who) == ("released", "f", "not_known")


def test_a_message_of_theirs_names_who_of_ours_did_what_and_nobody_of_theirs() -> None:
    marks = [mark("opened", "duty"), mark("holding", None, "051247ZJUN27"), mark("declined", "x")]
    steps = ladder(THEIRS | {"marks": marks}, OURS)
    assert [(step.name, step.who) for step in steps] == [
        ("filed", "theirs"),
        ("arrived", "machine"),
        ("opened", ("duty",)),
        ("holding", "not_known"),
        ("declined", ("x",)),
        ("shown", ""),
        ("answered", ("releaser",)),
    ]
    assert steps[3].due_group == "051247ZJUN27"
    restored = {"at": "t", "at_group": "T", "by": "9.00000a"}
    assert "restored" in named(THEIRS | {"restored": restored})


def test_every_step_and_everybody_has_words_and_every_state_a_shape() -> None:
    names = {*named(OURS), *named(THEIRS), "unknown", "refused", "restored", "holding", "declined"}
    states = ("done", "not_yet", "not_known")
    keys = [
        *(f"desk.step.{name}" for name in names),
        *(f"desk.when.{state}" for state in states),
        *(f"desk.who.{who}" for who in ("theirs", "machine", "not_known")),
    ]
    for language in LANGUAGES:
        assert [key for key in keys if not catalogue(language).has(key)] == []
    assert len({SHAPES[state] for state in states}) == 3
