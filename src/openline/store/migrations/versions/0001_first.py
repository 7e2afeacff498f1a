"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def _integers(*names: str, nullable: bool = False) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.Integer, nullable=nullable) for name in names]


def upgrade() -> None:
    """From nothing."""
    op.create_table(
        "state",
        sa.Column("line", sa.Integer, primary_key=True),
        sa.Column("name", sa.Text, primary_key=True),
        *_integers("sum"),
        sa.Column("value", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "record",
        sa.Column("arrival", sa.Integer, primary_key=True),
        *_integers("line", "side", "number", "incarnation", "variant"),
        *_integers("kind", "precedence", "standing", "wall_s", "sum"),
        sa.Column("head", sa.LargeBinary),
        sa.Column("record", sa.LargeBinary, nullable=False),
    )
    record_key = ["line", "side", "number", "incarnation", "variant"]
    op.create_index("record_key", "record", record_key, unique=True)
    op.create_index("record_arrival", "record", ["line", "arrival", "side", "kind"])
    aside = sa.text("standing != 0")
    op.create_index("record_aside", "record", ["line", "arrival"], sqlite_where=aside)
    op.create_table(
        "mark",
        sa.Column("position", sa.Integer, primary_key=True),
        *_integers("line", "side", "number", "incarnation", "kind", "wall_s"),
        *_integers("due_s", nullable=True),
        *_integers("by_number", "by_incarnation"),
    )
    mark_key = ["line", "side", "number", "incarnation", "kind", "by_number", "by_incarnation"]
    op.create_index("mark_key", "mark", mark_key, unique=True)
    op.create_table(
        "audit",
        sa.Column("position", sa.Integer, primary_key=True),
        *_integers("wall_s"),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("actor", "act", "details")),
        sa.Column("hash", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "total",
        sa.Column("line", sa.Integer, primary_key=True),
        sa.Column("side", sa.Integer, primary_key=True),
        *_integers("bytes", "counted"),
    )
    op.create_table("erasing", sa.Column("line", sa.Integer, primary_key=True))
