"""Openline: a line between governments that never closes, and whose two records agree."""
