"""Which line, record and precedence the arguments of a verb name.

Theory of operation: people say labels and numbers; several lines bear one label after a card was
rotated, so a label means the line in charge, and a record is looked for there and then on the lines
before it. Everything here raises LocalError for what names nothing. What a verb does with what it
names does not live here.
"""

from __future__ import annotations

from . import views
from .arguments import Args, count, get
from .attached import Attached
from .core.events import Reference, Serial
from .core.precedence import Precedence
from .errors import LocalError
from .store.base import OURS, THEIRS, Store


def line_in(post: views.PostFace, args: Args) -> int:
    """The line that `line` names, of several the one in charge."""
    return views.find_line(post, get(args, "line", str))


def record_in(post: views.PostFace, args: Args) -> int:
    """The line of that label with the number `record`; the one in charge if it is left out."""
    line, record = line_in(post, args), get(args, "record", int, None)
    if record is not None and record not in post.named(post.label(line)):
        raise LocalError("line.unknown", label=str(record))
    return line if record is None else record


def place_in(store: Store, post: views.PostFace, side: int, args: Args) -> tuple[int, Serial]:
    """(line, serial) of a record under a label: on the line in charge, else on those before it."""
    number, incarnation = count(args, "number", 0), get(args, "incarnation", int, None)
    *former, line = post.named(post.label(line_in(post, args)))
    for each in [line, *reversed(former)]:
        try:
            return each, views.resolve(store, each, side, number, incarnation)
        except LocalError as error:
            if error.code != "message.unknown" or each == (former or [line])[0]:
                raise
    raise LocalError("message.unknown")


def precedence_in(args: Args) -> Precedence:
    """`precedence` by its name; ROUTINE if it is left out."""
    name = get(args, "precedence", str, "ROUTINE").upper()
    if name not in Precedence.__members__:
        raise LocalError("control.argument", name="precedence")
    return Precedence[name]


def references_in(
    store: Store, post: views.PostFace, label: str, args: Args
) -> tuple[Reference, ...]:
    """The records that `references` names, seen from the line of that label."""
    found = []
    for said in get(args, "references", list, []):
        if not isinstance(said, dict):
            raise LocalError("control.argument", name="references")
        ours = get(said, "ours", bool, False)
        side = OURS if ours else THEIRS
        _, serial = place_in(store, post, side, {**said, "line": label})
        found.append(Reference(ours, serial))
    return tuple(found)


def files_in(args: Args) -> tuple[Attached, ...]:
    """The files that `files` names, each as {file, name, bytes, sha256}."""
    found = []
    for said in get(args, "files", list, []):
        if not isinstance(said, dict):
            raise LocalError("control.argument", name="files")
        named = (get(said, name, str) for name in ("file", "name", "sha256"))
        content, name, digest = named
        found.append(Attached(content, name, count(said, "bytes", 0), digest))
    return tuple(found)
