"""The totals count what a record takes of the disk beside its own bytes.

The number stands here too: should another version count another, the totals of this one are what
it has to correct.
"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """From totals of record bytes alone."""
    op.execute(
        "UPDATE total SET bytes = bytes + 256 * (SELECT count(*) FROM record"
        " WHERE record.line = total.line AND record.side = total.side"
        " AND record.arrival <= total.counted)"
    )
