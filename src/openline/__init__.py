"""A line between governments that never closes: sealed, committed, replayed, identical on both sides."""
