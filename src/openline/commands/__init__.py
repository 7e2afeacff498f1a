"""The commands of `openline`, one small file per group.

Theory of operation: a command parses, calls a verb (through the daemon or on the opened post, see
`shell`), and words the answer. `COMMANDS` says where each lives, so that only the module of the
command that runs is imported. Help texts are not in the code: they are wordings under
"help.<command>" and "help.<command>.<parameter>" (see `wording`).
"""

from __future__ import annotations

COMMANDS = {
    "init": "post",
    "serve": "post",
    "stop": "ending",
    "card": "cards",
    "tape": "tapes",
    "pair": "cards",
    "send": "messages",
    "draft": "drafts",
    "attachment": "attachments",
    "receipt": "messages",
    "inbox": "reading",
    "show": "reading",
    "transcript": "transcripts",
    "lines": "lines",
    "address": "addresses",
    "status": "lines",
    "bearer": "bearers",
    "carry": "carry",
    "people": "people",
    "desk": "desk",
    "clear-alarm": "lines",
    "heal": "heal",
    "revoke": "lines",
    "audit": "acts",
    "backup": "backup",
    "restore": "backup",
    "zeroise": "ending",
}
"""Command → module of this package; the function has the command's name (with _ for -)."""

SECTIONS = {
    "section.begin": ("init", "card", "tape", "pair", "bearer", "people", "serve", "stop"),
    "section.write": ("send", "draft", "receipt", "carry", "address"),
    "section.read": ("inbox", "show", "attachment", "transcript"),
    "section.watch": ("desk", "status", "lines", "clear-alarm", "heal", "audit"),
    "section.keep": ("backup", "restore"),
    "section.end": ("revoke", "zeroise"),
}
"""How the commands are grouped in the help."""
