"""Every line that has its keys gets the identity it was paired with: the post's only one so far.

A program of before would give a line the post's newest identity and could open nothing once the
card was rotated; this revision keeps it from the post.
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """From one identity to one for each line."""
    op.execute(
        "INSERT INTO state (line, name, sum, value)"
        " SELECT line.line, 'identity', post.sum, post.value FROM state AS line, state AS post"
        " WHERE line.line != 0 AND line.name = 'kit' AND post.line = 0 AND post.name = 'identity'"
    )
