"""What stands beside a text while it is written: forms of address, messages it may refer to,
addressees.

Theory of operation: a form names each message it refers to by a field of its own,
"ref.SIDE.SERIAL", so that it works without a script and keeps what is no longer offered; and so
each file that is laid in already, "keep.FILE", with length, hash and name, which the post compares
with what it holds. Addressees stand one to a line. Saving, review and release are in writing.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ..errors import LocalError
from .asking import last_texts
from .confirming import whole_number
from .naming import place_of
from .uploading import File

RECENT = 12
"""Messages offered to refer to, the newest."""
_FIELD = "ref."
_KEPT = "keep."


def reference(said: str) -> dict[str, Any]:
    """ "theirs.12.00000a" as a draft's view has it. Raises LocalError."""
    side, _, serial = said.partition(".")
    if side not in ("ours", "theirs"):
        raise LocalError("desk.form")
    number, incarnation = place_of(serial)
    return {"side": side, "serial": serial, "number": number, "incarnation": incarnation}


def chosen(form: Mapping[str, str]) -> list[dict[str, Any]]:
    """The messages a form refers to, as a draft's view has them. Raises LocalError."""
    return [reference(name.removeprefix(_FIELD)) for name in form if name.startswith(_FIELD)]


def references(form: Mapping[str, str]) -> list[dict[str, object]]:
    """The messages a form refers to, as an argument of draft_save. Raises LocalError."""
    return [
        {
            "ours": each["side"] == "ours",
            "number": each["number"],
            "incarnation": each["incarnation"],
        }
        for each in chosen(form)
    ]


def kept(form: Mapping[str, str]) -> list[File]:
    """The files a form keeps, as an argument of draft_save. Raises LocalError."""
    return [_file(name, said) for name, said in form.items() if name.startswith(_KEPT)]


def _file(name: str, said: str) -> File:
    length, _, rest = said.partition(" ")
    digest, _, called = rest.partition(" ")
    size = whole_number({"bytes": length}, "bytes")
    return {"file": name.removeprefix(_KEPT), "name": called, "bytes": size, "sha256": digest}


def names(said: str) -> list[str]:
    """Addressees, one to a line."""
    return [line.strip() for line in said.splitlines() if line.strip()]


async def beside(
    call: Callable[..., Awaitable[Any]], token: str, label: str, draft: Mapping[str, Any]
) -> dict[str, Any]:
    """What the form shows besides the draft: {"address", "recent"}."""
    address, found = await asyncio.gather(
        call("address", token, line=label),
        last_texts(call, token, label, RECENT),
    )
    picked = {(each["side"], each["serial"]): each for each in draft["references"]}
    recent = []
    for each in reversed([one for one in found if one["type"] == "message"]):
        checked = picked.pop((each["side"], each["serial"]), None) is not None
        recent.append({**each, "checked": checked})
    older = [
        {**each, "checked": True, "dtg_group": "", "subject": "", "text": "", "language": ""}
        for each in picked.values()
    ]
    chosen_first = sorted([*older, *recent], key=lambda each: not each["checked"])
    return {"address": address["text"], "recent": chosen_first}
