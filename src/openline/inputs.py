"""What goes into a step of the post: plain values, no behaviour.

Theory of operation: the runner (or the simulator) gathers inputs, `Post.step` takes them as one
batch with one commit, and gives one result for each; each input says what its result is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .attached import Attached, BeginFile, LayIn, StopFile
from .bearers.base import BearerProfile
from .core.events import Reference, Serial
from .core.precedence import Precedence


class Arrived(NamedTuple):
    """Datagrams that a bearer of a line handed in, in order of arrival. Result: None."""

    line: int
    bearer: str
    datagrams: Sequence[bytes]


class BearerUp(NamedTuple):
    """A bearer of a line can carry, and what it declares of itself. Result: None."""

    line: int
    bearer: str
    profile: BearerProfile
    deaf: str = ""
    """Why nothing can be heard over it now, by code; "" where something can."""


class BearerDown(NamedTuple):
    """A bearer of a line cannot carry, with a code that says why. Result: None."""

    line: int
    bearer: str
    code: str
    actor: str = ""
    """Who paused it, if somebody did."""


class BearerGone(NamedTuple):
    """A bearer of a line is there no more. Result: None."""

    line: int
    bearer: str


class TryBearer(NamedTuple):
    """Send something small over one bearer alone. Result: None; the event "tested" with
    `took_ms` says that it was answered over the same bearer."""

    line: int
    actor: str
    bearer: str


class Operate(NamedTuple):
    """An operator does something beside the record, which is to stand in the audit log before it is
    done: `act` with `details` that are numbers, names of bearers and codes. Result: None."""

    actor: str
    act: str
    details: Mapping[str, object]


class Reviewed(NamedTuple):
    """What a released text was before: a revision of a draft. `writers` are all whose texts it
    stands on, `writer` the one who saved it, at `written_s`."""

    draft: str
    revision: int
    writers: tuple[str, ...]
    writer: str
    written_s: int


class Release(NamedTuple):
    """A person releases a text. Result: its Serial."""

    line: int
    actor: str
    precedence: Precedence
    language: str
    subject: str
    body: str
    dtg_s: int | None = None
    due_s: int | None = None
    references: Sequence[Reference] = ()
    reviewed: Reviewed | None = None
    """None: it was written and released by one person."""
    files: tuple[Attached, ...] = ()


class Content(NamedTuple):
    """All that a draft says. The addressees, offices by any name, stay here and are not sent."""

    precedence: Precedence
    language: str
    subject: str
    body: str
    dtg_s: int | None = None
    due_s: int | None = None
    references: tuple[Reference, ...] = ()
    action: tuple[str, ...] = ()
    information: tuple[str, ...] = ()
    files: tuple[Attached, ...] = ()


class Written(NamedTuple):
    """A draft and its current revision."""

    draft: str
    revision: int


class SaveDraft(NamedTuple):
    """Write a draft: a new one on `line` if `draft` is "", else what follows upon `revision`.

    Result: Written; or, where another revision has become current meanwhile,
    LocalError("draft.kept_aside"): the text is kept under the number `kept`, beside that of `by`.
    With `autosave` it takes the place of what the same person saved just before.
    """

    line: int
    actor: str
    content: Content
    draft: str = ""
    revision: int = 0
    autosave: bool = False


class HandDraft(NamedTuple):
    """Hand a draft to those who release. Result: Written."""

    draft: str
    actor: str
    revision: int


class CommentDraft(NamedTuple):
    """Say something of a draft. Result: Written."""

    draft: str
    actor: str
    text: str


class ReturnDraft(NamedTuple):
    """Give a draft back to its writers, with a comment or none. Result: Written."""

    draft: str
    actor: str
    text: str = ""


class ReleaseDraft(NamedTuple):
    """Release a revision of a draft, `digest` being that of all that was shown (draft.digest).
    Result: the Serial of the message, the same however often it is asked."""

    draft: str
    actor: str
    revision: int
    digest: str


class DropDraft(NamedTuple):
    """Erase a draft, somebody else's only with `others`. `revision` is the last that the actor has
    seen, those kept aside among them. Result: None."""

    draft: str
    actor: str
    revision: int
    others: bool = False


class Receive(NamedTuple):
    """A person of ours did something with record `serial` of the other side. Result: the Serial of
    the receipt, or None if it was already said.

    `kind` is one of core.receipts (DELIVERED, OPENED, SHOWN, DECLINED, HOLDING); HOLDING needs
    `due_s`.
    """

    line: int
    actor: str
    kind: int
    serial: Serial
    due_s: int | None = None
    note: str = ""


class Compare(NamedTuple):
    """Ask the other side whether the records agree. Result: None; the outcome appears in
    LineStatus.comparison."""

    line: int
    actor: str


class ClearAlarm(NamedTuple):
    """A person has checked by voice what the continuity alarm asked. Result: None."""

    line: int
    actor: str


class HealAsk(NamedTuple):
    """A releaser asks the other side for what is lost here. Result: the Serial of the HEAL."""

    line: int
    actor: str


class HealGive(NamedTuple):
    """A releaser lets the other side have what it asked for last. Result: None; it is given bit by
    bit, LineStatus.healing says how far."""

    line: int
    actor: str


class Revoke(NamedTuple):
    """End a line: its keys are erased, its record stays readable. Result: None."""

    line: int
    actor: str


class Initialise(NamedTuple):
    """Make the identity of an empty post. Result: its card (bytes)."""

    actor: str


class Pair(NamedTuple):
    """Pair with the other side's card. Result: the line's number.

    `tape` is the hand-carried tape, or None for cards alone (weaker); `said` are the twelve words
    heard from the other side.
    """

    line_label: str
    actor: str
    card: bytes
    tape: bytes | None
    said: Sequence[str]
    replaces: int | None = None
    """The line whose place it takes; then `line_label` says nothing, for the name stays."""


class Rotate(NamedTuple):
    """Make a new card for pairings to come. Result: None."""

    actor: str


class Pages(NamedTuple):
    """How many pages of a tape were burned or added."""

    number: int


class BurnPages(NamedTuple):
    """Erase pages of a line's tape that may have been seen, and the reserve page if so said.
    Result: Pages."""

    line: int
    actor: str
    pages: Sequence[int]
    reserve: bool = False


class AddTape(NamedTuple):
    """Give a line the pages of another tape. Result: Pages, those that are new."""

    line: int
    actor: str
    tape: bytes


class BackUp(NamedTuple):
    """Back up the kit of the post. Result: the file (bytes).

    `wrapping` and `key` are of backup.Wrapping, so that no passphrase comes near the post; `config`
    is the text of post.toml to go with it.
    """

    actor: str
    wrapping: bytes
    key: bytes
    config: str


class AddPerson(NamedTuple):
    """A person begins to work at this post. Result: None.

    `name` is what messages and the audit log will say of them: 1 to 32 of a-z, 0-9 and -.
    """

    actor: str
    name: str
    roles: Sequence[str]
    uid: int | None = None
    """The Unix user that acts as this person, if one does."""


class ChangePerson(NamedTuple):
    """A person gets other roles or another Unix user; None leaves what is. Result: None."""

    actor: str
    name: str
    roles: Sequence[str] | None = None
    uid: int | None = None
    unbind: bool = False
    """No Unix user acts as this person any more."""


class EndPerson(NamedTuple):
    """A person works here no more: signed out, credentials erased, the name kept for the audit log
    and not given again. Result: None."""

    actor: str
    name: str


class MakeLink(NamedTuple):
    """A link with which a person may sign in once, or set a passphrase; it takes the place of one
    made before. Result: signins.Token."""

    actor: str
    name: str


class SetPassphrase(NamedTuple):
    """A person sets their passphrase, by a link or as who they are already; all their sign-ins end.
    Result: None.

    `key` is what signins.stretched makes of it with `salt` and `cost`, so that no passphrase comes
    near the post.
    """

    actor: str
    salt: bytes
    cost: Sequence[int]
    key: bytes
    link: str = ""


class SignIn(NamedTuple):
    """Somebody shows who they are: by `name` and the `key` of the passphrase (with what
    People.salt gives), by a `link`, or by the `answer` of a device that holds a passkey (what
    `navigator.credentials.get` gave, as JSON). Result: signins.Token.

    `actor` is from where it was asked, for who asks is not known yet.
    """

    actor: str
    name: str = ""
    key: bytes = b""
    link: str = ""
    answer: str = ""


class AskPasskey(NamedTuple):
    """A challenge for a device, shown by a page of `origin`: to sign in ("sign_in"), to make a
    passkey ("passkey_add"), or to confirm the act `subject` ("act"). Result: passkeys.Options.
    """

    actor: str
    what: str
    origin: str
    subject: str = ""


class AddPasskey(NamedTuple):
    """A person has made a passkey: `answer` is what `navigator.credentials.create` gave, as JSON,
    `label` what they call it. Result: None."""

    actor: str
    answer: str
    label: str


class RemovePasskey(NamedTuple):
    """A passkey of a person counts no more, and all their sign-ins end. Result: SignedOut."""

    actor: str
    name: str
    which: str
    """Passkey.short."""


class Prove(NamedTuple):
    """A person confirms an act anew, by the `answer` of a device or the `key` of the passphrase.
    Result: signins.Token, with which the act `subject` (rights.subject) may be done once."""

    actor: str
    verb: str
    subject: str
    key: bytes = b""
    answer: str = ""


class SignOut(NamedTuple):
    """End the sign-ins of a person, or the one that `which` begins. Result: SignedOut."""

    actor: str
    name: str
    which: str = ""


class SignOutAll(NamedTuple):
    """End every sign-in, at shift change or in doubt. Result: SignedOut."""

    actor: str


class SignedOut(NamedTuple):
    """How many sign-ins were ended."""

    number: int


class SetAddress(NamedTuple):
    """Say how those at the other end of a line are to be addressed; "" takes it back. Result:
    None."""

    line: int
    actor: str
    text: str


class Tick(NamedTuple):
    """Time has passed. Result: None."""


Input = (
    Arrived
    | BearerUp
    | BearerDown
    | BearerGone
    | TryBearer
    | Operate
    | Release
    | SaveDraft
    | HandDraft
    | CommentDraft
    | ReturnDraft
    | ReleaseDraft
    | DropDraft
    | Receive
    | Compare
    | ClearAlarm
    | HealAsk
    | HealGive
    | Revoke
    | Initialise
    | Pair
    | BackUp
    | Rotate
    | BurnPages
    | AddTape
    | AddPerson
    | ChangePerson
    | EndPerson
    | MakeLink
    | SetPassphrase
    | SignIn
    | SignOut
    | SignOutAll
    | AskPasskey
    | AddPasskey
    | RemovePasskey
    | Prove
    | SetAddress
    | BeginFile
    | LayIn
    | StopFile
    | Tick
)
