"""Who may open which page: the table, and nothing else decides it on this side.

Theory of operation: a route needs a right of the signed-in person, or none at all. The post checks
every question once more, under the same sign-in; this table only keeps pages from being shown that
would be full of refusals. A test walks every route as every role.
"""

from __future__ import annotations

ANYBODY = ""
"""The right that everybody has, signed in or not."""

SIGNED_IN = "sign_in"
"""The right that everybody has who is signed in."""

ROUTES = {
    "sign_in": ANYBODY,
    "enter": ANYBODY,
    "language": ANYBODY,
    "sign_out": SIGNED_IN,
    "board": "observe",
    "tiles": "observe",
    "live": "observe",
    "line": "read",
    "message": "read",
    "files": "read",
    "file": "read",
    "picture": "read",
    "receipt": "show",
    "inbox": "read",
    "transcript": "read",
    "print": "read",
    "page_style": "read",
    "search": "read",
    "addresses": "administer",
    "address": "administer",
    "keys": SIGNED_IN,
    "drafts": "draft",
    "write": "draft",
    "draft": "draft",
    "draft_act": "draft",
    "edit": "draft",
    "autosave": "draft",
    "drop": "draft",
    "check": "release",
    "release": "release",
    "passphrase": SIGNED_IN,
    "passkeys": SIGNED_IN,
    "passkey": SIGNED_IN,
    "people": "people",
    "person": "people",
    "watch": "relieve",
    "door_passkey": ANYBODY,
}
"""Name of a route → the right it needs."""
