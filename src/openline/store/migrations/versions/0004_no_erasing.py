"""The table of lines under erasure goes: no line ever was, a post is erased whole."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """From a table that was always empty."""
    op.drop_table("erasing")
