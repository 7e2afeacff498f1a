"""The dictionaries of R18 as the annex of docs/protocol.md prints them."""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path

_DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "protocol.md"
_PRINTED = re.compile(
    r"^### Dictionary (\d+): .+\n\n([\d,]+) bytes, SHA-256 `(\w{64})`:\n\n```text\n([^`]+)```$",
    re.MULTILINE,
)


def printed() -> dict[int, bytes]:
    """Number → bytes; raises ValueError where length or digest is not what the annex says."""
    found = {0: b""}
    for number, size, digest, lines in _PRINTED.findall(_DOCUMENT.read_text(encoding="utf-8")):
        data = lines.replace("\n", " ").encode()
        if len(data) != int(size.replace(",", "")) or sha256(data).hexdigest() != digest:
            raise ValueError(f"dictionary {number}")
        found[int(number)] = data
    return found


DICTIONARIES = printed()
