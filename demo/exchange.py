"""Reading an exchange from a file: one JSON object per line, checked before anything is started.

Theory of operation: `read` either gives the whole exchange or raises LocalError with the number
of the line and what is wrong with it; nothing is guessed. Parties are told apart by the place in
brackets at the end of their name, so that a head of government and an office of the same capital
are one post. A message without a time of sending takes that of its approval; one without either
follows the one before it and has no wire time. What is done with the exchange is in replay.py.

    from to        who to whom: exactly two parties
    sent received  ISO 8601 with zone, or null
    language       ISO 639, of the message as it was sent
    text           what is sent
    approved sight_translation seen_by_principal    times like `sent`; may be left out
    text_language  of the text in the file, if that is a translation; may be left out
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from openline import clock
from openline.core.limits import BODY_BYTES_MAX, OFFSET_S_MAX
from openline.errors import LocalError, reason

FILE_BYTES_MAX = 256 << 20
MESSAGES_MAX = 100_000

_PLACE = re.compile(r"\(([^()]+)\)\s*$")
_LANGUAGE = re.compile(r"[a-z]{2,3}", re.ASCII)
_TIMES = ("sent", "received", "approved", "sight_translation", "seen_by_principal")
_NEEDED = ("from", "to", "sent", "received", "language", "text")


class Sent(NamedTuple):
    """One message of the exchange. Times are unix seconds, None where the file has none."""

    line: int
    author: str
    reader: str
    language: str
    text: str
    translated: bool
    """The text in the file is a translation of what was sent."""
    sent_s: int | None
    received_s: int | None
    approved_s: int | None
    opened_s: int | None
    shown_s: int | None

    @property
    def dtg_s(self) -> int | None:
        """When it was sent, or else approved."""
        return self.approved_s if self.sent_s is None else self.sent_s

    @property
    def wire_s(self) -> int | None:
        """How long it took, if the file says so."""
        if self.sent_s is None or self.received_s is None:
            return None
        return self.received_s - self.sent_s


class Exchange(NamedTuple):
    """A whole exchange in the order of the file; `parties` as first named."""

    parties: tuple[str, str]
    messages: list[Sent]


def read(path: Path) -> Exchange:
    """The exchange in a file. Raises LocalError with a code that begins with "replay."."""
    messages: list[Sent] = []
    parties: list[str] = []
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        message = _message(number, line)
        for party in (message.author, message.reader):
            if party not in parties:
                parties.append(party)
        if len(parties) > 2:
            raise LocalError("replay.parties", line=number, party=parties[2])
        messages.append(message)
        if len(messages) > MESSAGES_MAX:
            raise LocalError("replay.too_many", line=number, messages_max=MESSAGES_MAX)
    if not messages:
        raise LocalError("replay.empty", path=str(path))
    return Exchange((parties[0], parties[1]), messages)


def _lines(path: Path) -> list[bytes]:
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise LocalError("replay.file_too_long", path=str(path), mib_max=FILE_BYTES_MAX >> 20)
        return path.read_bytes().split(b"\n")
    except OSError as error:
        raise LocalError("replay.unreadable", path=str(path), reason=reason(error)) from None


def _message(number: int, line: bytes) -> Sent:
    try:
        raw = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise LocalError("replay.not_utf8", line=number, at=error.start + 1) from None
    except json.JSONDecodeError as error:
        raise LocalError("replay.not_json", line=number, at=error.colno, reason=error.msg) from None
    except RecursionError:
        raise LocalError("replay.not_json", line=number, at=1, reason="nesting") from None
    if not isinstance(raw, dict):
        raise LocalError("replay.not_object", line=number)
    for field in _NEEDED:
        if field not in raw:
            raise LocalError("replay.missing", line=number, field=field)
    author, reader = (_party(number, field, raw) for field in ("from", "to"))
    if author == reader:
        raise LocalError("replay.one_party", line=number, party=author)
    times = {field: _time(number, field, raw) for field in _TIMES}
    sent_s, received_s = times["sent"], times["received"]
    if sent_s is not None and received_s is not None and received_s < sent_s:
        raise LocalError("replay.backwards", line=number)
    language = raw["language"]
    if not isinstance(language, str) or not _LANGUAGE.fullmatch(language):
        raise LocalError("replay.language", line=number)
    translated = raw.get("text_language") not in (None, language)
    return Sent(number, author, reader, language, _text(number, raw), translated, *times.values())


def _party(number: int, field: str, raw: dict[str, Any]) -> str:
    name = raw[field]
    if not isinstance(name, str) or not name.strip():
        raise LocalError("replay.party", line=number, field=field)
    place = _PLACE.search(name)
    return (place[1] if place else name).strip()


def _text(number: int, raw: dict[str, Any]) -> str:
    text = raw["text"]
    if not isinstance(text, str) or not text.strip():
        raise LocalError("replay.no_text", line=number)
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise LocalError("replay.not_utf8", line=number, at=error.start + 1) from None
    if size > BODY_BYTES_MAX:
        raise LocalError("replay.too_long", line=number, bytes=size, bytes_max=BODY_BYTES_MAX)
    return text


def _time(number: int, field: str, raw: dict[str, Any]) -> int | None:
    said = raw.get(field)
    if said is None:
        return None
    try:
        at = datetime.fromisoformat(said)
    except (TypeError, ValueError):
        raise LocalError("replay.time", line=number, field=field) from None
    if at.tzinfo is None:
        raise LocalError("replay.no_zone", line=number, field=field)
    at_s = int(at.timestamp())
    if abs(at_s - clock.now().wall_s) > OFFSET_S_MAX:
        raise LocalError("replay.far", line=number, field=field, years=OFFSET_S_MAX // 31_557_600)
    return at_s
