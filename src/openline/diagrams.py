"""Draws docs/states.md from the transition tables (`./dev diagrams`)."""

from __future__ import annotations

from .core.states import INBOUND, SENDING
from .delivery.entry import OUTBOUND


def diagrams() -> str:
    """docs/states.md: one Mermaid diagram per machine."""
    lines = ["# States", "", "Generated from `src/openline/core/states.py` by `./dev diagrams`."]
    for machine in (OUTBOUND, INBOUND, SENDING):
        lines += ["", f"## {machine.name.capitalize()}", "", "```mermaid", "stateDiagram-v2"]
        for (before, event), after in machine.table.items():
            lines.append(f"    {before.value} --> {after.value}: {event.value}")
        lines.append("```")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(diagrams(), end="")
