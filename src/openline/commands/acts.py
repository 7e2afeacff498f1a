"""What our own people did: `audit`.

Theory of operation: every local act stands in a log chained by hashes; here it is listed, or its
chain recomputed from what is listed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click

from .. import display
from ..errors import LocalError
from ..store.audit import START, link
from ..store.base import Audit
from .kinds import CountType
from .shell import Shell, pass_shell
from .wording import as_json, command

PAGE = 1000
"""Entries asked for at a time."""


@command("audit")
@click.option("--verify", is_flag=True)
@click.option("--after", type=CountType(0, 1 << 53), default=0)
@click.option("--limit", "-n", type=CountType(1, 10_000), default=100)
@as_json
@pass_shell
def audit(shell: Shell, verify: bool, after: int, limit: int, as_json: bool) -> None:
    """The log of local acts."""
    if verify:
        _verify(shell, as_json=as_json)
        return
    entries = shell.call("audit", after=after, limit=limit)
    if as_json:
        shell.json(entries)
        return
    headings = ("head.number", "head.at", "head.actor", "head.act", "head.details")
    shell.table(headings, _rows(entries))


def _verify(shell: Shell, *, as_json: bool) -> None:
    """Recompute the chain of the whole log from its entries."""
    last, position = START, 0
    while entries := shell.call("audit", after=position, limit=PAGE):
        for entry in entries:
            said = Audit(entry["wall_s"], entry["actor"], entry["act"], entry["details_text"])
            last = link(last, said)
            position += 1
            if (entry["position"], entry["hash"]) != (position, last.hex()):
                raise LocalError("audit.broken", position=position)
    if as_json:
        shell.json({"entries": position, "hash": last.hex()})
    else:
        shell.say_count("audit.sound", position, hash=last.hex())


def _rows(entries: list[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    for entry in entries:
        details = " ".join(f"{name}={json.dumps(v)}" for name, v in entry["details"].items())
        yield (
            str(entry["position"]),
            entry["at_group"],
            display.brief(entry["actor"], 16),
            display.safe(entry["act"]),
            display.safe(details),
        )
