"""What is laid in at a post, what drafts name of it, and what a release answers for."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from openline.attached import (
    PORTION_BYTES,
    Attached,
    BeginFile,
    Laid,
    LayIn,
    checked_name,
)
from openline.attachments.tray import (
    LEFT_MS_MIN,
    TRAY_BYTES_MAX,
    UNFINISHED_MAX,
    UNNAMED_MS_MAX,
)
from openline.core import limits
from openline.core.events import Serial
from openline.core.precedence import Precedence
from openline.draft import digest
from openline.errors import LocalError, StoreError
from openline.inputs import Content, DropDraft, HandDraft, ReleaseDraft, SaveDraft, Written
from tests.filing import lay_in, read, send
from tests.pair import LinePair


def held(pair: LinePair) -> set[str]:
    """The ids of the files of which something is on a's disk."""
    return {content for content, _ in pair.stores["a"]._disk.contents}


def laid(pair: LinePair, name: str, size: int) -> Laid:
    """A file that begins to be laid in."""
    found = pair.do("a", BeginFile("test", name, size))
    assert isinstance(found, Laid)
    return found


def test_names_and_lengths_are_bounded() -> None:
    pair = LinePair()
    for name in ("", ".", "..", "a/", "x" * 256, "a\x1b[31m", "a\u202eb", "a\0b", "\ud800"):
        with pytest.raises(LocalError, match=r"attachment.name"):
            laid(pair, name, 1)
    with pytest.raises(LocalError, match=r"attachment.empty"):
        laid(pair, "x", 0)
    for size in (-1, limits.FILE_BYTES_MAX + 1):
        with pytest.raises(LocalError, match=r"attachment.size"):
            laid(pair, "x", size)


def test_a_name_far_too_long_is_refused_before_it_is_composed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("openline.attached.unicodedata", None)
    with pytest.raises(LocalError, match=r"attachment\.name"):
        checked_name("e" + "\u0344\u0323" * 1_000)


@pytest.mark.parametrize("name", ["resume\u0301.pdf", "map\u202fof\u00a0it.png", "dir\\map.png"])
def test_names_that_programs_give_are_written_plainly(name: str) -> None:
    pair = LinePair()
    plain = checked_name(name)
    assert plain.isprintable()
    assert checked_name(plain) == plain
    send(pair, "a", "x", lay_in(pair, "a", name, b"1")._replace(name=plain))


def test_a_portion_past_the_end_changes_nothing_even_after_a_restart() -> None:
    pair = LinePair()
    file = lay_in(pair, "a", "x", bytes(PORTION_BYTES))
    for _ in range(2):
        found = pair.do("a", LayIn("test", file.content, PORTION_BYTES, b""))
        assert found == Laid(file.content, PORTION_BYTES, file.digest)
        assert held(pair) == {file.content}
        assert len(pair.stores["a"]._disk.contents) == 1
        pair.restart("a")


def test_what_was_laid_in_for_nothing_makes_room() -> None:
    pair = LinePair()
    named = lay_in(pair, "a", "named", b"1")
    saved(pair, named)
    for _ in range(TRAY_BYTES_MAX // limits.FILE_BYTES_MAX - 1):
        laid(pair, "left", limits.FILE_BYTES_MAX)
    lay_in(pair, "a", "whole", b"2")
    pair.wait(LEFT_MS_MIN / 2000)
    for size in (limits.FILE_BYTES_MAX, limits.FILE_BYTES_MAX):
        with pytest.raises(LocalError, match=r"attachment.no_room"):
            laid(pair, "x", size)
    pair.wait(LEFT_MS_MIN / 2000)
    for _ in range(TRAY_BYTES_MAX // limits.FILE_BYTES_MAX - 1):
        laid(pair, "x", limits.FILE_BYTES_MAX)
    for _ in range(100):
        pair.wait(1)
    assert named.content in held(pair)


def test_what_is_being_laid_in_is_bounded_and_ends_with_the_process() -> None:
    pair = LinePair()
    for _ in range(min(UNFINISHED_MAX, TRAY_BYTES_MAX // limits.FILE_BYTES_MAX)):
        laid(pair, "x", limits.FILE_BYTES_MAX)
    with pytest.raises(LocalError, match=r"attachment.no_room"):
        laid(pair, "x", 1)
    pair.restart("a")
    for _ in range(200):
        pair.wait(1)
    assert not any(name.startswith("content/") for name in pair.stores["a"].state(0))
    laid(pair, "x", 1)


def test_portions_come_in_order_and_may_come_twice() -> None:
    pair = LinePair()
    content = laid(pair, "../../etc/x", 2 * PORTION_BYTES).content
    whole = bytes(PORTION_BYTES)
    for at, data in ((0, b"short"), (PORTION_BYTES, whole), (1, whole), (4 * PORTION_BYTES, b"")):
        with pytest.raises(LocalError, match=r"attachment.portion"):
            pair.do("a", LayIn("test", content, at, data))
    for at in (0, 0, PORTION_BYTES, PORTION_BYTES):
        pair.do("a", LayIn("test", content, at, whole))
    with pytest.raises(LocalError, match=r"attachment.unknown"):
        pair.do("a", LayIn("test", "none", 0, whole))


def test_a_portion_whose_commit_failed_is_laid_in_again() -> None:
    pair = LinePair()
    data = pair.random.randbytes(2 * PORTION_BYTES)
    content = laid(pair, "x", len(data)).content
    first, second = data[:PORTION_BYTES], data[PORTION_BYTES:]
    pair.do("a", LayIn("test", content, 0, first))
    pair.stores["a"].full = True
    with pytest.raises(StoreError, match=r"store.disk_full"):
        pair.do("a", LayIn("test", content, PORTION_BYTES, second))
    pair.stores["a"].full = False
    found = pair.do("a", LayIn("test", content, PORTION_BYTES, second))
    assert isinstance(found, Laid)
    serial = send(pair, "a", "x", Attached(content, "x", len(data), found.digest))
    pair.settle(3)
    assert read(pair.stores["b"], serial) == data


def content_with(*files: Attached) -> Content:
    """What a draft with these files says."""
    return Content(Precedence.ROUTINE, "en", "", "See it.", files=files)


def saved(pair: LinePair, *files: Attached, draft: str = "", revision: int = 0) -> Written:
    """A draft with these files, or its next revision."""
    found = pair.do("a", SaveDraft(1, "test", content_with(*files), draft, revision))
    assert isinstance(found, Written)
    return found


def test_what_nobody_names_is_erased_and_what_a_draft_names_stays() -> None:
    pair = LinePair()
    named = lay_in(pair, "a", "x", bytes(200_000))
    lay_in(pair, "a", "y", bytes(200_000))
    draft = saved(pair, named).draft
    pair.restart("a")
    for _ in range(3):
        pair.wait(UNNAMED_MS_MAX / 1000)
    assert held(pair) == {named.content}
    pair.do("a", DropDraft(draft, "test", 1))
    for _ in range(3):
        pair.wait(UNNAMED_MS_MAX / 1000)
    assert not held(pair)


def test_a_release_answers_for_the_files_of_its_draft() -> None:
    pair = LinePair()
    data = pair.random.randbytes(50_000)
    one, other = lay_in(pair, "a", "x", data), lay_in(pair, "a", "x", data[:-1])
    draft = saved(pair, one).draft
    seen, then = digest("other", content_with(one)), digest("other", content_with(other))
    assert len({seen, then, digest("other", content_with())}) == 3
    changed = saved(pair, other, draft=draft, revision=1)
    assert changed.revision == 2, "another file makes another revision"
    pair.do("a", HandDraft(draft, "test", 2))
    with pytest.raises(LocalError, match=r"draft.hash"):
        pair.do("a", ReleaseDraft(draft, "test", 2, seen))
    pair.restart("a")
    serial = pair.do("a", ReleaseDraft(draft, "test", 2, then))
    assert isinstance(serial, Serial)
    assert pair.do("a", ReleaseDraft(draft, "test", 2, then)) == serial
    pair.settle(3)
    assert read(pair.stores["b"], serial) == data[:-1]


def test_a_draft_without_files_has_the_hash_it_always_had() -> None:
    saying = Content(Precedence.FLASH, "en", "s", "b")
    assert digest("other", saying) == (
        "9b5b3aa7e2c412f124aa67b40ad57ce45acfe377b777c6106e3abde0e323c2f6"
    )


def test_a_file_goes_with_one_text_only() -> None:
    pair = LinePair()
    file = lay_in(pair, "a", "x", bytes(1_000_000))
    draft = saved(pair, file).draft
    refused: list[Callable[[], object]] = [
        lambda: send(pair, "a", "x", file),
        lambda: saved(pair, file),
    ]
    for act in refused:
        with pytest.raises(LocalError, match=r"attachment.taken"):
            act()
    pair.do("a", DropDraft(draft, "test", 1))
    send(pair, "a", "x", file)
    with pytest.raises(LocalError, match=r"attachment.taken"):
        send(pair, "a", "y", file)
    with pytest.raises(LocalError, match=r"attachment.differs"):
        send(pair, "a", "y", lay_in(pair, "a", "x", b"1")._replace(name="z"))
    with pytest.raises(LocalError, match=r"attachment.twice"):
        send(pair, "a", "y", *[lay_in(pair, "a", "x", b"1")] * 2)
