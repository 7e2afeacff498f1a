"""What a person checks by voice when the continuity alarm stands.

Theory of operation: a lost disk and a thief look alike to a machine, so people speak: each reads
the words of its own card, and both name the last text of either side. Shown by `lines`; clearing
the alarm is `clear-alarm`.
"""

from __future__ import annotations

from typing import Any

from .. import display, spoken
from .shell import Shell


def by_voice(shell: Shell, label: str) -> None:
    """Show what to read aloud, what to hear, and which texts to name."""
    found = shell.call("voice", line=label)
    for side in ("ours", "theirs"):
        shell.say(f"voice.{side}")
        shown = [found[side]]
        if shell.words.language == "ru":
            shown.append(spoken.cyrillic(found[side]))
        for words in shown:
            for row in spoken.rows(words):
                shell.line("  " + row)
    shell.say(
        "voice.last",
        ours=_last(shell, found["ours_last"]),
        theirs=_last(shell, found["theirs_last"]),
    )
    shell.say("voice.then", line=label)


def _last(shell: Shell, text: dict[str, Any] | None) -> str:
    return (
        display.safe(f"{text['dtg_group']} ({text['serial']})")
        if text
        else shell.text("voice.none")
    )
