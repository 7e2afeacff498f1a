"""The verbs about files that go with texts: their arguments, and the input or the answer of each.

Theory of operation: as in verbs.py, whose tables take these in. A file is larger than a request, so
it is laid in and read out in portions of PORTION_BYTES, each in base64. Arguments, by verb:

    file_begin    name bytes                → {file, held, sha256}: how much is there; all, once
    file_portion  file at data                sha256 is not ""
    file_read     line [side] number [incarnation] which [at]
                                            → {name, bytes, sha256, data, next}: `at` is the `next`
                                              of the portion before; it is null with the last
    file_stop     line number [incarnation] which

`which` numbers the files of a text from 1. `send` and `draft_save` name files that are laid in as
a list of {file, name, bytes, sha256}. What is done with a file lives in attachments/.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any

from . import inputs
from .arguments import Args, count, get
from .attached import BeginFile, Laid, LayIn, StopFile
from .attachments import reading, shown
from .core.envelope import decode_record
from .core.events import Now
from .errors import LocalError
from .naming import place_in
from .store.base import OURS, Row, Store
from .views import SIDES, PostFace, View


def _begin(_store: Store, _post: PostFace, actor: str, args: Args) -> inputs.Input:
    return BeginFile(actor, get(args, "name", str), count(args, "bytes", 0))


def _portion(_store: Store, _post: PostFace, actor: str, args: Args) -> inputs.Input:
    try:
        data = b64decode(get(args, "data", str), validate=True)
    except binascii.Error:
        raise LocalError("control.argument", name="data") from None
    return LayIn(actor, get(args, "file", str), count(args, "at", 0), data)


def _stop(store: Store, post: PostFace, actor: str, args: Args) -> inputs.Input:
    row = _text(store, post, OURS, args)
    file, _ = shown.file_row(store, row, count(args, "which", 1))
    return StopFile(row.line, actor, decode_record(file.record).serial)


def _text(store: Store, post: PostFace, side: int, args: Args) -> Row:
    """The record that the arguments name."""
    line, serial = place_in(store, post, side, args)
    row = store.row(line, side, serial.number, serial.incarnation)
    if row is None:
        raise LocalError("message.unknown", serial=str(serial))
    return row


ACTS: dict[str, Callable[[Store, PostFace, str, Args], inputs.Input]] = {
    "file_begin": _begin,
    "file_portion": _portion,
    "file_stop": _stop,
}
"""Verbs that lay files in and stop them."""


def acted(result: Laid) -> View:
    """The answer to an act from the result of its step."""
    return {"file": result.content, "held": result.held, "sha256": result.digest}


def _read(store: Store, post: PostFace, args: Args, _now: Now) -> Any:
    side = get(args, "side", str, "theirs")
    if side not in SIDES:
        raise LocalError("control.argument", name="side")
    at = get(args, "at", list, [])
    sound = all(isinstance(each, int) and 0 <= each < 1 << 62 for each in at)
    if len(at) not in (0, 3) or not sound or (at and at[0] > 1):
        raise LocalError("control.argument", name="at")
    row = _text(store, post, SIDES.index(side), args)
    file, said = shown.file_row(store, row, count(args, "which", 1))
    shown.whole(store, file)
    found = reading.portion(store, file, said, at)
    return {
        "name": said.name,
        "bytes": said.size,
        "sha256": said.digest.hex(),
        "data": b64encode(found.data).decode(),
        "next": None if found.at is None else list(found.at),
    }


READINGS: dict[str, Callable[[Store, PostFace, Args, Now], Any]] = {"file_read": _read}
"""Verbs that only read."""
