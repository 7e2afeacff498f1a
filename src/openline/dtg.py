"""Date-time groups: how the field writes an instant, 051247ZJUN67 for 1967-06-05T12:47Z.

Theory of operation: instants are unix seconds, Zulu. `parse` reads what a duty officer types (a
date-time group, ISO 8601, or an interval from now such as +2h); `group` and `iso` write. Month
names are the English ones of ACP 121 in every interface language, because a date-time group is a
code, not prose. No clock is read here: the present is passed in.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from .errors import LocalError

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
ZONES = "YXWVUTSRQPONZABCDEFGHIKLM"
"""Military time zones from −12 h to +12 h; J, local time, has no meaning on a line."""

_GROUP = re.compile(r"(\d\d)(\d\d)(\d\d)([A-IK-Z])([A-Z]{3})(\d\d)?", re.ASCII)
_INTERVAL = re.compile(r"\+(\d{1,5})(m|h|d)", re.ASCII)
_UNIT_S = {"m": 60, "h": 3600, "d": 86_400}
_FIRST_S = -62_135_596_800
"""The first second of the year 1."""

_LAST_S = 253_402_300_799
"""The last second of the year 9999."""


def group(at_s: int) -> str:
    """The date-time group of an instant in unix seconds, to the minute."""
    if not _FIRST_S <= at_s <= _LAST_S:
        return f"({at_s})"
    at = datetime.fromtimestamp(at_s, UTC)
    return f"{at:%d%H%M}Z{MONTHS[at.month - 1]}{at:%y}"


def iso(at_s: int) -> str:
    """The instant as ISO 8601 in Zulu, to the second; out of the calendar, the number itself."""
    if not _FIRST_S <= at_s <= _LAST_S:
        return f"({at_s})"
    return datetime.fromtimestamp(at_s, UTC).isoformat().replace("+00:00", "Z")


def parse(said: str, now_s: int) -> int:
    """Unix seconds of a date-time group, an ISO 8601 time with its zone, or +30m, +2h, +1d from
    `now_s`.

    A group without a year, or with two digits of it, means the year nearest to `now_s`. Raises
    LocalError("time.unreadable").
    """
    text = said.strip()
    if interval := _INTERVAL.fullmatch(text.lower()):
        return now_s + int(interval[1]) * _UNIT_S[interval[2]]
    try:
        if parts := _GROUP.fullmatch(text.upper()):
            return _from_group(parts, now_s)
        at = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        raise LocalError("time.unreadable", said=said) from None
    if at.tzinfo is None:
        raise LocalError("time.no_zone", said=said)
    return int(at.timestamp())


def _from_group(parts: re.Match[str], now_s: int) -> int:
    day, hour, minute = int(parts[1]), int(parts[2]), int(parts[3])
    month = MONTHS.index(parts[5]) + 1
    zone = timedelta(hours=ZONES.index(parts[4]) - ZONES.index("Z"))
    this_year = datetime.fromtimestamp(now_s, UTC).year
    if parts[6] is None:
        years = [this_year - 1, this_year, this_year + 1]
    else:
        century = this_year - this_year % 100 + int(parts[6])
        years = [century - 100, century, century + 100]
    instants = []
    for year in years:
        try:
            at = datetime(year, month, day, hour, minute, tzinfo=UTC) - zone
        except ValueError:
            continue  # 29 February of a common year
        instants.append(int(at.timestamp()))
    if not instants:
        raise ValueError(parts[0])
    return min(instants, key=lambda at_s: abs(at_s - now_s))
