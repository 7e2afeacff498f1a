"""What people may type for a precedence, a serial, a time: click parameter types with our own
errors.

Theory of operation: a value that cannot be read raises LocalError under a "usage." code, which
`cli` words and turns into exit code 2. Times stay text here, because they are read against the
present when the command runs (`dtg.parse`).
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import click

from ..core.precedence import Precedence
from ..errors import LocalError


class PrecedenceType(click.ParamType[str]):
    """FLASH, IMMEDIATE, PRIORITY or ROUTINE, in any case, or the beginning of one."""

    name = "precedence"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """The full name of a precedence."""
        said = str(value).upper()
        found = [name for name in Precedence.__members__ if said and name.startswith(said)]
        if len(found) != 1:
            raise LocalError("usage.precedence", said=str(value))
        return found[0]


class SerialSaid(NamedTuple):
    """A serial as typed: `incarnation` None if it was left out, `side` None if none was named."""

    side: str | None
    number: int
    incarnation: int | None

    def args(self) -> dict[str, Any]:
        """The arguments of a verb that name this record."""
        named: dict[str, Any] = {"number": self.number}
        if self.incarnation is not None:
            named["incarnation"] = self.incarnation
        return named


class SerialType(click.ParamType[SerialSaid]):
    """17, 17.3fa21b, ours:17, theirs:17.3fa21b."""

    name = "serial"
    _shape = re.compile(r"(?:(ours|theirs):)?(\d{1,18})(?:\.([0-9a-f]{6}))?", re.ASCII)

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> SerialSaid:
        """The parts of a serial."""
        said = self._shape.fullmatch(str(value).strip().lower())
        if said is None:
            raise LocalError("usage.serial", said=str(value))
        return SerialSaid(said[1], int(said[2]), int(said[3], 16) if said[3] else None)


class CountType(click.ParamType[int]):
    """A whole number from `least` to `most`."""

    name = "count"

    def __init__(self, least: int, most: int) -> None:
        self.least = least
        self.most = most

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """The number."""
        said = str(value)
        if not (said.isascii() and said.isdigit()) or not self.least <= int(said) <= self.most:
            raise LocalError("usage.count", said=said, least=self.least, most=self.most)
        return int(said)


class PagesType(click.ParamType[tuple[int, ...]]):
    """A page of a tape, or several: 3, 10-20."""

    name = "pages"
    _shape = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?", re.ASCII)

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """The numbers of the pages."""
        said = self._shape.fullmatch(str(value).strip())
        first, last = (int(said[1]), int(said[2] or said[1])) if said else (-1, -1)
        if first == 0:
            raise LocalError("usage.first_page")
        if not 0 < first <= last < 1 << 16:
            raise LocalError("usage.pages", said=str(value))
        return tuple(range(first, last + 1))


PAGES = PagesType()
PRECEDENCE = PrecedenceType()
SERIAL = SerialType()
