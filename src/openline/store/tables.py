"""The tables of a post's database, and the statements on them.

Theory of operation: tables and statements are SQLAlchemy Core, so that columns are named in one
place; each statement is compiled to SQL once and then run on the driver's connection by
`sql.SqlStore`. SQLAlchemy's own execution costs about 35 µs a statement, several of which make a
step; a durable commit of one record takes about 400 µs in all, so that it would show. Migrations,
where speed is nothing, run through SQLAlchemy and Alembic. A change of a table here needs a
migration; a test compares the two.

Indexes: `record` is filled at its end, in order of arrival. `record_key` answers by serial and by
number, `record_arrival` lists one line in order of arrival and carries side and kind, so that rows
passed over cost no look at the table. Both are appended near the end of each line's run, so that a
commit touches the same few pages at a thousand rows and at a million.
"""

from __future__ import annotations

import zlib
from functools import cache
from typing import Any

from sqlalchemy import (
    ClauseElement,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    bindparam,
    delete,
    false,
    func,
    insert,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects import sqlite

from .base import CHAINED, Mark, Row

checksum = zlib.crc32
"""The sum kept beside every value that may not fit into one page.

SQLCipher gives zeros, and no error, for the last page of such a value if that page does not
authenticate or is blank; a test shows it. Pages of tables and indexes cannot be blank unnoticed.
"""

SCHEMA = "0005"
"""The newest migration; what `create` makes and `open_store` brings a post to."""

METADATA = MetaData()
"""All tables."""

STATE = Table(
    "state",
    METADATA,
    Column("line", Integer, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("sum", Integer, nullable=False),
    Column("value", LargeBinary, nullable=False),
)
"""Named blobs per line, each with its `checksum`."""

_ASIDE = f"standing != {CHAINED}"
"""Written out in index and query alike: SQLite uses a partial index for nothing else."""

RECORD = Table(
    "record",
    METADATA,
    Column("arrival", Integer, primary_key=True),
    Column("line", Integer, nullable=False),
    Column("side", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("incarnation", Integer, nullable=False),
    Column("variant", Integer, nullable=False),
    Column("kind", Integer, nullable=False),
    Column("precedence", Integer, nullable=False),
    Column("standing", Integer, nullable=False),
    Column("wall_s", Integer, nullable=False),
    Column("sum", Integer, nullable=False),
    Column("head", LargeBinary),
    Column("record", LargeBinary, nullable=False),
    Index("record_key", "line", "side", "number", "incarnation", "variant", unique=True),
    Index("record_arrival", "line", "arrival", "side", "kind"),
    Index("record_aside", "line", "arrival", sqlite_where=text(_ASIDE)),
)
"""base.Row, with the `checksum` of its record."""

MARK = Table(
    "mark",
    METADATA,
    Column("position", Integer, primary_key=True),
    Column("line", Integer, nullable=False),
    Column("side", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("incarnation", Integer, nullable=False),
    Column("kind", Integer, nullable=False),
    Column("wall_s", Integer, nullable=False),
    Column("due_s", Integer),
    Column("by_number", Integer, nullable=False),
    Column("by_incarnation", Integer, nullable=False),
    Index(
        "mark_key",
        *("line", "side", "number", "incarnation", "kind", "by_number", "by_incarnation"),
        unique=True,
    ),
)
"""base.Mark."""

AUDIT = Table(
    "audit",
    METADATA,
    Column("position", Integer, primary_key=True),
    Column("wall_s", Integer, nullable=False),
    Column("actor", Text, nullable=False),
    Column("act", Text, nullable=False),
    Column("details", Text, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)
"""base.AuditEntry."""

TOTAL = Table(
    "total",
    METADATA,
    Column("line", Integer, primary_key=True),
    Column("side", Integer, primary_key=True),
    Column("bytes", Integer, nullable=False),
    Column("counted", Integer, nullable=False),
)
"""Bytes used per line and side, by the rows up to arrival `counted`, which is the same in all."""

CONTENT = Table(
    "content",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("portion", Integer, primary_key=True),
    Column("sum", Integer, nullable=False),
    Column("value", LargeBinary, nullable=False),
)
"""Portions of files that are not in the record yet, each with its `checksum`."""

_DIALECT = sqlite.dialect(paramstyle="qmark")


class Statement:
    """A Core statement compiled once: `sql` with positional parameters, and how to fill them."""

    def __init__(self, statement: ClauseElement) -> None:
        compiled: Any = statement.compile(dialect=_DIALECT)
        self.sql = str(compiled)
        self._names: list[str] = compiled.positiontup
        self._constants: dict[str, object] = compiled.params

    def bind(self, **values: object) -> tuple[object, ...]:
        """The parameters in order; those not given are the statement's own constants."""
        return tuple(
            values[name] if name in values else self._constants[name] for name in self._names
        )


_ROW = [*(RECORD.c[name] for name in Row._fields), RECORD.c.sum]
_SERIAL = tuple(
    RECORD.c[name] == bindparam(f"the_{name}")
    for name in ("line", "side", "number", "incarnation", "variant")
)
_PLACE, _NUMBER = _SERIAL[:2], _SERIAL[:3]

# Reading

LINES = Statement(select(STATE.c.line).where(STATE.c.line != 0).distinct().order_by(STATE.c.line))
"""Lines with state."""

STATE_OF = Statement(
    select(STATE.c.name, STATE.c.value, STATE.c.sum).where(STATE.c.line == bindparam("the_line"))
)
"""All blobs of `the_line`."""

ROW = Statement(select(*_ROW).where(*_SERIAL))
"""One row by `the_line`, `the_side`, `the_number`, `the_incarnation`, `the_variant`."""

VARIANTS = Statement(select(*_ROW).where(*_NUMBER).order_by(RECORD.c.incarnation, RECORD.c.variant))
"""The rows of `the_number`."""

HEAD = Statement(
    select(RECORD.c.head)
    .where(*_NUMBER, RECORD.c.standing == CHAINED, RECORD.c.head.is_not(None))
    .order_by(RECORD.c.variant)
    .limit(1)
)
"""The chain head after `the_number`."""

CHAIN = Statement(
    select(*_ROW)
    .where(
        *_PLACE,
        RECORD.c.number >= bindparam("first"),
        RECORD.c.variant == 0,
        RECORD.c.standing == CHAINED,
    )
    .order_by(RECORD.c.number)
    .limit(bindparam("count"))
)
"""At most `count` rows of the chain from number `first`."""


@cache
def arrivals(
    *, line: bool, side: bool, kinds: int | None, newest: bool, aside: bool = False
) -> Statement:
    """At most `count` rows after arrival `after`; of `the_line`, `the_side`, `kind_0` …"""
    arrival = RECORD.c.arrival
    statement = select(*_ROW).where(arrival > bindparam("after"))
    if line:
        statement = statement.where(RECORD.c.line == bindparam("the_line"))
    if side:
        statement = statement.where(RECORD.c.side == bindparam("the_side"))
    if kinds is not None:
        statement = statement.where(
            or_(false(), *(RECORD.c.kind == bindparam(f"kind_{n}") for n in range(kinds)))
        )
    if aside:
        statement = statement.where(text(_ASIDE))
    ordered = statement.order_by(arrival.desc() if newest else arrival)
    return Statement(ordered.limit(bindparam("count")))


@cache
def unmarked(marks: int) -> Statement:
    """At most `count` rows of `the_side` and `the_kind` after arrival `after`, off no chain, that
    bear no mark of kind `mark_0` …"""
    place = ("line", "side", "number", "incarnation")
    marked = (
        select(MARK.c.position)
        .where(
            *(MARK.c[name] == RECORD.c[name] for name in place),
            or_(false(), *(MARK.c.kind == bindparam(f"mark_{n}") for n in range(marks))),
        )
        .exists()
    )
    return Statement(
        select(*_ROW)
        .where(
            RECORD.c.arrival > bindparam("after"),
            RECORD.c.side == bindparam("the_side"),
            RECORD.c.kind == bindparam("the_kind"),
            RECORD.c.standing == CHAINED,
            ~marked,
        )
        .order_by(RECORD.c.arrival)
        .limit(bindparam("count"))
    )


MARKS = Statement(
    select(*(MARK.c[name] for name in Mark._fields))
    .where(
        *(
            MARK.c[name] == bindparam(f"the_{name}")
            for name in ("line", "side", "number", "incarnation")
        )
    )
    .order_by(MARK.c.position)
)
"""Marks on one record."""

AUDIT_AFTER = Statement(
    select(AUDIT)
    .where(AUDIT.c.position > bindparam("after"))
    .order_by(AUDIT.c.position)
    .limit(bindparam("count"))
)
"""At most `count` audit entries after a position."""

AUDIT_LAST = Statement(
    select(AUDIT.c.position, AUDIT.c.hash).order_by(AUDIT.c.position.desc()).limit(1)
)
"""Where the audit log ends."""

TOTALS = Statement(select(TOTAL))
"""All totals."""

UNCOUNTED = Statement(
    select(RECORD.c.line, RECORD.c.side, func.length(RECORD.c.record), RECORD.c.arrival)
    .where(RECORD.c.arrival > bindparam("after"))
    .order_by(RECORD.c.arrival)
)
"""Line, side, record bytes and arrival of the rows after an arrival."""

_PORTION = (CONTENT.c.name == bindparam("the_name"), CONTENT.c.portion == bindparam("the_portion"))

PORTION_OF = Statement(select(CONTENT.c.value, CONTENT.c.sum).where(*_PORTION))
"""One portion by `the_name` and `the_portion`."""

# Writing: parameters in the order of the table's columns, unless said


def _upsert(table: Table) -> Statement:
    """Add one row, or set what is not of its key."""
    adding = sqlite.insert(table)
    changed = {c.name: adding.excluded[c.name] for c in table.c if not c.primary_key}
    return Statement(
        adding.on_conflict_do_update(index_elements=[*table.primary_key], set_=changed)
    )


SET_STATE = _upsert(STATE)
"""Set one blob."""

DELETE_STATE = Statement(
    delete(STATE).where(
        STATE.c.line == bindparam("the_line"), STATE.c.name == bindparam("the_name")
    )
)
"""Delete one blob: line, name."""

SET_PORTION = _upsert(CONTENT)
"""Set one portion of a file."""

DELETE_PORTION = Statement(delete(CONTENT).where(*_PORTION))
"""Delete one portion: name, portion."""

ADD_ROW = Statement(insert(RECORD))
"""Add one row."""

SET_HEAD = Statement(
    update(RECORD)
    .values(head=bindparam("the_head"), standing=bindparam("the_standing"))
    .where(*_SERIAL)
)
"""Set head and standing: standing, head, then line, side, number, incarnation, variant."""

ADD_MARK = Statement(sqlite.insert(MARK).on_conflict_do_nothing())
"""Add one mark unless it was said before."""

ADD_AUDIT = Statement(insert(AUDIT))
"""Add one audit entry."""

SET_TOTAL = _upsert(TOTAL)
"""Set the totals of a line and side."""
