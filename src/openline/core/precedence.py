"""Precedence of messages (ACP 121): what overtakes what."""

from __future__ import annotations

from enum import IntEnum


class Precedence(IntEnum):
    """Urgency of a message; a higher value overtakes a lower one everywhere."""

    ROUTINE = 0
    PRIORITY = 1
    IMMEDIATE = 2
    FLASH = 3
