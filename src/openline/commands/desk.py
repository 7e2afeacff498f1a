"""`openline desk`: the pages on which the people of a post work.

Theory of operation: the desk is a process beside the post, so that nothing a browser does can stop
the line; it reaches the post by the control socket as any command does. It listens on loopback: for
other machines a party puts its own TLS proxy before it and says with `--origin` what browsers call
that.
"""

from __future__ import annotations

import asyncio

import click

from ..errors import LocalError
from .shell import Shell, pass_shell
from .wording import command

LISTEN = "127.0.0.1:8470"


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

    def ready(address: str) -> None:
        shell.say("desk.serving", address=address)
        shell.say("desk.first_steps")

    asyncio.run(
        serve(shell.directory, host.strip("[]"), int(port), origin and origin.rstrip("/"), ready)
    )
