"""A table for the content of files that people have laid in and that is not yet in the record."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """From a post without files."""
    op.create_table(
        "content",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("portion", sa.Integer, primary_key=True),
        sa.Column("sum", sa.Integer, nullable=False),
        sa.Column("value", sa.LargeBinary, nullable=False),
    )
