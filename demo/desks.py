"""Two desks over the demonstration's posts: people at both, and work that waits for them.

Theory of operation: everything is made as people would make it. Before there are people, each post
speaks for itself, so that each side finds messages of the other; then people are added by the
commands for that, drafters write, and each post gets its desk, a process of its own, under a name
of its own, since browsers tell cookies and passkeys apart by name. A link lets one person in once.
"""

from __future__ import annotations

from typing import NamedTuple

from openline import clock

from . import script
from .processes import Child, python, together
from .script import Said
from .stage import Post, Stage

PEOPLE = {
    "officer": ("duty", "drafter", "releaser"),
    "drafter": ("drafter",),
    "releaser": ("releaser",),
    "principal": ("principal",),
    "admin": ("administrator",),
}
"""Who works at each post, by name, and in which roles; the first can do everything a watch does."""

DUE_S = 2 * 3600
"""How long after now answers are due that are asked for."""

WAITING = {
    "washington": (script.LINE_TEST, script.WARNING, script.LAUNCH),
    "moscow": (script.TEST_ANSWER, script.WEATHER_ROCKET, script.ENQUIRY),
}
"""What each post has released when the desks open; the other side has opened the first."""

UNDER_WAY = {
    "washington": (script.UNDERSTOOD, script.CLOSING),
    "moscow": (script.WARNING_ANSWER, script.RELAYED),
}
"""Drafts: the first is with the releasers, the second is being written."""


class Desk(NamedTuple):
    """Where a desk is, and the token of each person's link."""

    post: str
    origin: str
    links: dict[str, str]


async def open_desks(stage: Stage) -> list[Desk]:
    """Make work that waits, people and desks; Failed or LocalError says what went wrong."""
    first, second = stage.posts.values()
    await together(_speak(first, second), _speak(second, first))
    for post in (first, second):
        await post.stand_down()
    await together(_staff(first), _staff(second))
    one, other = await together(_open(stage, first), _open(stage, second))
    return [one, other]


async def _speak(post: Post, other: Post) -> None:
    """A post releases what the other finds."""
    test, *waiting = WAITING[post.name]
    await other.open(await post.send(test))
    for said in waiting:
        due_s = None if said.precedence == "ROUTINE" else clock.now().wall_s + DUE_S
        await post.send(said, due_s=due_s)


async def _staff(post: Post) -> None:
    """People, and what some of them have written."""
    for name, roles in PEOPLE.items():
        given = [word for role in roles for word in ("--role", role)]
        await post.command("people", "add", name, *given)
    link = (await post.call("person_link", name="drafter"))["token"]
    token = (await post.call("sign_in", link=link))["token"]
    handed, _ = [await _draft(post, token, said) for said in UNDER_WAY[post.name]]
    await post.call("draft_hand", token, draft=handed, revision=1)


async def _draft(post: Post, token: str, said: Said) -> str:
    fields = {"precedence": said.precedence, "language": said.language, "subject": said.subject}
    saved = await post.call("draft_save", token, line=post.peer, text=said.body, **fields)
    return str(saved["draft"])


async def _open(stage: Stage, post: Post) -> Desk:
    """Start a desk, and have links made."""
    args = ["--dir", post.name, "desk", "--listen", f"{post.name}.localhost:0"]
    stage.show("openline " + " ".join(args))
    argv = python("openline.cli", *args)
    child = Child(f"{post.name}.desk", argv, stage.directory, stage.board.fail)
    stage.others.append(child)
    await child.launch()
    origin = (await child.line()).decode().split()[-1]
    made = [(name, await post.call("person_link", name=name)) for name in PEOPLE]
    return Desk(post.name, origin, {name: str(link["token"]) for name, link in made})
