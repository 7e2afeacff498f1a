"""The people of a post: `people list`, `add`, `change`, `end`, `link`, `passphrase`, `passkey list`
and `remove`, and who is signed in: `people sign-in`, `signed-in`, `sign-out`.

Theory of operation: people stand in the record of the post, so these commands ask the running post,
or open it where none runs. A passphrase is stretched here and never leaves this process. A sign-in
is a token in a file that its owner alone can read; while OPENLINE_SIGN_IN names that file, every
command acts as who signed in (`Shell.token`). Who may do what is decided by the post.
"""

from __future__ import annotations

import pwd
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from .. import clock, display, files
from ..errors import LocalError
from .kinds import CountType
from .lines import age
from .post import new_passphrase
from .shell import SIGN_IN, Shell, pass_shell
from .wording import Group, as_json

UID_MAX = 2**32 - 2


class UnixUserType(click.ParamType[int]):
    """A Unix user by number or by name, as the machine knows them; the number."""

    name = "unix_user"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """The number of the user."""
        said = str(value)
        if said.isascii() and said.isdigit():
            return CountType(0, UID_MAX).convert(said, param, ctx)
        try:
            return pwd.getpwnam(said).pw_uid
        except KeyError:
            raise LocalError("usage.unix_user", said=said) from None


_ROLES = click.option("--role", "-r", "roles", multiple=True)
_UID = click.option("--unix-user", "uid", type=UnixUserType())


@click.group("people", cls=Group)
def people() -> None:
    """People and their sign-ins."""


@people.command("list")
@as_json
@pass_shell
def list_(shell: Shell, as_json: bool) -> None:
    """Everybody, with roles and ways to show who they are."""
    found = shell.call("people", offline=True)
    if as_json:
        shell.json(found)
    elif not found:
        shell.say("people.none")
    else:
        headings = ("head.name", "head.roles", "head.unix_user", "head.ways_in", "head.state")
        shell.table(headings, ((*_row(shell, each),) for each in found))


def _row(shell: Shell, person: dict[str, Any]) -> Iterator[str]:
    yield display.safe(person["name"])
    yield "\n".join(person["roles"])
    yield "" if person["uid"] is None else str(person["uid"])
    ways = [shell.text("people.by_passphrase")] if person["passphrase"] else []
    keys = person["passkeys"]
    ways += [shell.text("people.by_passkey_of", label=display.safe(key["label"])) for key in keys]
    ways += [shell.text("people.by_link")] if person["link"] else []
    yield "\n".join(ways)
    left = person["ended_group"]
    yield shell.text("people.has_left", at=left) if left else shell.text("people.works_here")


@people.command("add")
@click.argument("name")
@_ROLES
@_UID
@pass_shell
def add(shell: Shell, name: str, roles: tuple[str, ...], uid: int | None) -> None:
    """Somebody begins to work here."""
    first = not shell.call("people", offline=True)
    shell.call("person_add", offline=True, name=name, roles=list(roles), uid=uid)
    shell.say("people.added", name=name)
    if first:
        shell.note("people.first")


@people.command("change")
@click.argument("name")
@_ROLES
@_UID
@click.option("--no-unix-user", "unbind", is_flag=True)
@pass_shell
def change(shell: Shell, name: str, roles: tuple[str, ...], uid: int | None, unbind: bool) -> None:
    """Other roles, another Unix user."""
    if not roles and uid is None and not unbind:
        raise LocalError("usage.no_change_of_person")
    said = {"roles": list(roles) or None, "uid": uid, "unbind": unbind}
    shell.call("person_change", offline=True, name=name, **said)
    shell.say("people.changed", name=name)


@people.command("end")
@click.argument("name")
@click.option("--yes", is_flag=True)
@pass_shell
def end(shell: Shell, name: str, yes: bool) -> None:
    """Somebody works here no more."""
    if not yes and shell.ask("people.end_ask", name=name).strip() != name:
        raise LocalError("people.not_confirmed")
    shell.call("person_end", offline=True, name=name)
    shell.say("people.end_done", name=name)


@people.command("link")
@click.argument("name")
@as_json
@pass_shell
def link(shell: Shell, name: str, as_json: bool) -> None:
    """A link that lets a person in once."""
    made = shell.call("person_link", offline=True, name=name)
    if as_json:
        shell.json(made)
        return
    shell.say_count("people.link_made", made["expires_s"] // 3600, name=name)
    shell.line(made["token"])


@people.command("passphrase")
@click.option("--link", "with_link", is_flag=True)
@pass_shell
def passphrase(shell: Shell, with_link: bool) -> None:
    """Set one's own passphrase."""
    from ..signins import COST, SALT_BYTES, stretched

    said: dict[str, Any] = {}
    if with_link:
        shell.as_nobody = True
        said["link"] = shell.ask("ask.link", hidden=True).strip()
    text = new_passphrase(shell, "ask.own_passphrase")
    salt = clock.entropy(SALT_BYTES)
    said |= {"salt": salt.hex(), "cost": list(COST), "key": stretched(text, salt, COST).hex()}
    shell.call("passphrase", offline=True, **said)
    shell.say("people.passphrase_set")


@people.group("passkey", cls=Group)
def passkey() -> None:
    """Passkeys; they are made at the desk, where the device is."""


@passkey.command("list")
@click.argument("name", required=False)
@as_json
@pass_shell
def passkey_list(shell: Shell, name: str | None, as_json: bool) -> None:
    """The passkeys of a person, or of everybody."""
    people = shell.call("people", offline=True)
    if name is not None and not any(each["name"] == name for each in people):
        raise LocalError("people.unknown")
    named = [each for each in people if name in (None, each["name"])]
    found = [{"name": each["name"], **key} for each in named for key in each["passkeys"]]
    if as_json:
        shell.json(found)
    elif not found:
        shell.say("people.no_passkeys")
    else:
        headings = ("head.name", "head.passkey", "head.since", "head.label")
        columns = ("name", "passkey", "added_group", "label")
        shell.table(
            headings, ([display.safe(key[each] or "") for each in columns] for key in found)
        )


@passkey.command("remove")
@click.argument("passkey")
@click.argument("name", required=False)
@pass_shell
def passkey_remove(shell: Shell, passkey: str, name: str | None) -> None:
    """A passkey counts no more: one's own, or that of a person."""
    if name is None:
        ended = shell.call("passkey_remove_own", offline=True, passkey=passkey)
    else:
        ended = shell.call("passkey_remove", offline=True, name=name, passkey=passkey)
    shell.say("people.passkey_removed", passkey=passkey)
    shell.say_count("people.signed_out_count", ended["count"])


@people.command("sign-in")
@click.argument("name", required=False)
@click.option("--link", "with_link", is_flag=True)
@click.option("--out", envvar=SIGN_IN, type=click.Path(path_type=Path), required=True)
@pass_shell
def sign_in(shell: Shell, name: str | None, with_link: bool, out: Path) -> None:
    """Show who one is, for the commands that follow."""
    if (name is None) != with_link:
        raise LocalError("usage.name_or_link")
    shell.as_nobody = True
    said: dict[str, Any] = {"name": name}
    if name is None:
        said["link"] = shell.ask("ask.link", hidden=True).strip()
    else:
        said["key"] = shell.key(name, "ask.sign_in")
    token = shell.call("sign_in", **said)["token"]
    files.replace(out, f"{token}\n".encode())
    shell.say("people.now_signed_in", path=str(out), variable=SIGN_IN)


@people.command("signed-in")
@as_json
@pass_shell
def signed_in(shell: Shell, as_json: bool) -> None:
    """Who is signed in, since when."""
    found = shell.call("signed_in", offline=True)
    if as_json:
        shell.json(found)
    elif not found:
        shell.say("people.nobody_signed_in")
    else:
        headings = ("head.sign_in", "head.name", "head.ways_in", "head.since", "head.last_seen")
        shell.table(headings, ((*_standing(shell, each),) for each in found))


def _standing(shell: Shell, each: dict[str, Any]) -> Iterator[str]:
    yield display.safe(each["sign_in"])
    yield display.safe(each["name"])
    yield shell.text(f"people.by_{each['how']}")
    yield each["since_group"]
    yield age(shell, each["idle_s"])


@people.command("sign-out")
@click.argument("name", required=False)
@click.option("--one", "sign_in")
@click.option("--all", "everybody", is_flag=True)
@pass_shell
def sign_out(shell: Shell, name: str | None, sign_in: str | None, everybody: bool) -> None:
    """End one's own sign-in, those of a person, or all at shift change."""
    if everybody and (name is not None or sign_in is not None):
        raise LocalError("usage.all_or_one")
    if everybody:
        ended = shell.call("sign_out_all", offline=True)
    elif name is not None:
        ended = shell.call("sign_out", offline=True, name=name, sign_in=sign_in)
    else:
        ended = shell.call("sign_out_own", offline=True, sign_in=sign_in or _own(shell))
    shell.say_count("people.signed_out_count", ended["count"])


def _own(shell: Shell) -> str | None:
    """The sign-in that this command acts under; None where it is the Unix user that acts."""
    from ..signins import digest, short

    token = shell.token()
    return short(digest(token)) if token else None
