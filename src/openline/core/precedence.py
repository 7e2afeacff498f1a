"""Precedence of messages (ACP 121): what overtakes what, and how soon people must have handled it.

The handling times are the field's customary ones; diplomacy to stop hostilities counts as FLASH.
"""

from __future__ import annotations

from enum import IntEnum


class Precedence(IntEnum):
    """Urgency of a message; a higher value overtakes a lower one everywhere."""

    ROUTINE = 0
    PRIORITY = 1
    IMMEDIATE = 2
    FLASH = 3


HANDLING_S = {
    Precedence.FLASH: 10 * 60,
    Precedence.IMMEDIATE: 30 * 60,
    Precedence.PRIORITY: 3 * 3600,
    Precedence.ROUTINE: 6 * 3600,
}
"""Seconds within which a message of each precedence is expected to be handled."""
