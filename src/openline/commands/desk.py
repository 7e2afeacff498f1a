"""`openline desk`: the pages on which the people of a post work.

Theory of operation: the desk is a process beside the post, so that nothing a browser does can stop
the line; it reaches the post by the control socket as any command does. It listens on loopback: for
other machines a party puts its own TLS proxy before it and says with `--origin` what browsers call
that. A post that nobody could enter gets its first person here, and a link for them: whoever may
start the desk as the post's own Unix user may do that anyway.
"""

from __future__ import annotations

import asyncio

import click

from ..errors import LocalError
from .shell import Shell, pass_shell
from .wording import command

LISTEN = "localhost:8470"
"""A name and not a number, for a passkey belongs to a name."""

FIRST = "administrator"
"""Who a post without people gets at the first start of its desk."""


@command("desk")
@click.option("--listen", default=LISTEN)
@click.option("--origin")
@pass_shell
def desk(shell: Shell, listen: str, origin: str | None) -> None:
    """Serve the desk until it is stopped."""
    from ..desk.serving import serve

    host, _, port = listen.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise LocalError("desk.listen", address=listen, reason="host:port")
    if origin is not None and not origin.startswith(("http://", "https://")):
        raise LocalError("desk.origin_option", origin=origin)

    if not shell.directory.is_dir():
        # It may hold nothing but the socket of a post that is elsewhere, and not even that now.
        raise LocalError("post.absent", directory=str(shell.directory))
    first = _first_link(shell)

    def ready(address: str) -> None:
        shell.say("desk.serving", address=address)
        if first:
            # What stands after "#" is sent to nobody: the page itself reads it and forgets it.
            where = f"{address}/enter#{first}"
            shell.say("desk.first_person", name=FIRST)
            shell.line(where)

    asyncio.run(
        serve(shell.directory, host.strip("[]"), int(port), origin and origin.rstrip("/"), ready)
    )


def _first_link(shell: Shell) -> str:
    """A link for the first administrator, if no administrator has a way in; else ""."""
    try:
        people = [each for each in shell.call("people") if each["ended_s"] is None]
        able = [each for each in people if FIRST in each["roles"]]
        if any(each["passphrase"] or each["passkeys"] or each["uid"] is not None for each in able):
            return ""
        if not any(each["name"] == FIRST for each in able):
            if people:
                return ""
            shell.call("person_add", name=FIRST, roles=[FIRST])
        return str(shell.call("person_link", name=FIRST)["token"])
    except LocalError:
        # The post is away, or this Unix user is not the one to ask: the desk serves all the same.
        return ""
