"""Files in tests: laid in, released with a text, read back out of the record."""

from __future__ import annotations

from hashlib import sha256

from openline.attached import PORTION_BYTES, Attached, BeginFile, Laid, LayIn
from openline.attachments import reading, shown
from openline.core.events import Serial
from openline.core.precedence import Precedence
from openline.inputs import Release
from openline.store.base import THEIRS, Store
from openline.views import message
from tests.pair import LinePair


def lay_in(pair: LinePair, name: str, file: str, data: bytes) -> Attached:
    """Lay a file in at a post."""
    laid = pair.do(name, BeginFile("test", file, len(data)))
    assert isinstance(laid, Laid)
    for at in range(0, len(data), PORTION_BYTES):
        laid = pair.do(name, LayIn("test", laid.content, at, data[at : at + PORTION_BYTES]))
        assert isinstance(laid, Laid)
    assert laid.digest == sha256(data).hexdigest()
    return Attached(laid.content, file, len(data), laid.digest)


def send(
    pair: LinePair,
    name: str,
    text: str,
    *files: Attached,
    precedence: Precedence = Precedence.ROUTINE,
) -> Serial:
    """Release a text with files."""
    serial = pair.do(name, Release(1, "test", precedence, "en", "", text, files=files))
    assert isinstance(serial, Serial)
    return serial


def read(store: Store, serial: Serial, which: int = 1, side: int = THEIRS, line: int = 1) -> bytes:
    """A whole file of a text out of the record."""
    row = store.row(line, side, serial.number, serial.incarnation)
    assert row is not None
    file, said = shown.file_row(store, row, which)
    shown.whole(store, file)
    data, found = b"", reading.portion(store, file, said)
    while True:
        data += found.data
        if found.at is None:
            assert sha256(data).digest() == said.digest
            return data
        found = reading.portion(store, file, said, found.at)


def listed(
    pair: LinePair, name: str, serial: Serial, side: int = THEIRS
) -> list[dict[str, object]]:
    """What a post shows of the files of a text."""
    view = message(pair.stores[name], pair.posts[name], 1, side, serial, pair.now)
    files = view["attachments"]
    assert isinstance(files, list)
    return files


def states(pair: LinePair, name: str, serial: Serial, side: int = THEIRS) -> list[object]:
    """The state of each file of a text."""
    return [each["state"] for each in listed(pair, name, serial, side)]
