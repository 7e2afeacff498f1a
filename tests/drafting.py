"""A desk where drafts are written and released: post "a" of a pair, without processes or people."""

from __future__ import annotations

from typing import Any

from openline.core.envelope import decode_record
from openline.core.events import Serial
from openline.core.precedence import Precedence
from openline.draft import Draft, digest
from openline.inputs import Content, HandDraft, Input, ReleaseDraft, SaveDraft, Written
from openline.post import Post
from openline.store.base import OURS
from tests.pair import LinePair


class Desk:
    """Post "a" of a pair, and those who write and release there."""

    def __init__(self) -> None:
        self.pair = LinePair()
        self.pair.flow()

    @property
    def post(self) -> Post:
        """The post."""
        return self.pair.posts["a"]

    def do(self, given: Input) -> Any:
        """One step; its result, raised if it is an error."""
        return self.pair.do("a", given)

    def write(self, text: str = "Are you standing by?", who: str = "drafter", **more: Any) -> str:
        """A new draft; its id."""
        written = self.do(SaveDraft(1, who, content(text, **more)))
        assert isinstance(written, Written)
        assert written.revision == 1
        return written.draft

    def save(self, draft: str, text: str, revision: int, who: str, **more: Any) -> int:
        """The next revision; its number."""
        autosave = more.pop("autosave", False)
        given = SaveDraft(1, who, content(text, **more), draft, revision, autosave)
        written = self.do(given)
        assert isinstance(written, Written)
        return written.revision

    def handed(self, text: str = "Are you standing by?", **more: Any) -> str:
        """A draft under review."""
        draft = self.write(text, **more)
        self.do(HandDraft(draft, "drafter", 1))
        return draft

    def of(self, draft: str) -> Draft:
        """A draft as it stands."""
        return self.post.drafts.find(draft)

    def release(self, draft: str, who: str = "desk-one") -> ReleaseDraft:
        """The input by which somebody releases what he sees now."""
        seen = self.of(draft)
        said = seen.digest or digest("other", seen.latest.content)
        return ReleaseDraft(draft, who, seen.current, said)

    def sent(self) -> list[str]:
        """The texts on our chain."""
        rows = self.pair.stores["a"].arrivals(1, 0, 1000, side=OURS, kinds=[1])
        return [decode_record(row.record).text for row in rows]

    def people(self, serial: Serial) -> Any:
        """Who drafted and released a message of ours."""
        marks = self.pair.stores["a"].marks(1, OURS, serial.number, serial.incarnation)
        return self.post.authorship.view(marks)

    def acts(self) -> list[str]:
        """The log of acts."""
        return [entry.entry.act for entry in self.pair.stores["a"].audit()]


def content(text: str, precedence: Precedence = Precedence.ROUTINE, **more: Any) -> Content:
    """What a draft says."""
    return Content(precedence, "en", more.pop("subject", ""), text, **more)
