"""What a browser fetches of ours is small enough to be read, and nothing of it is inline."""

from __future__ import annotations

import re
from pathlib import Path

from openline.desk.rendering import HERE

ASSETS_BYTES_MAX = 150_000
SCRIPT_BYTES_MAX = 15_000
SCRIPT_LINES_MAX = 300


def scripts() -> list[Path]:
    """Our scripts, all that there are."""
    return sorted((HERE / "static").rglob("*.js"))


def test_all_assets_together_are_small() -> None:
    sizes = [path.stat().st_size for path in (HERE / "static").rglob("*") if path.is_file()]
    assert 0 < sum(sizes) <= ASSETS_BYTES_MAX


def test_our_script_can_be_read_in_one_sitting() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in scripts())
    assert 0 < len(text.encode()) <= SCRIPT_BYTES_MAX
    assert len(text.splitlines()) <= SCRIPT_LINES_MAX
    # Lines of a kind that people read: no packing of many into few.
    assert max(map(len, text.splitlines())) <= 110


def test_no_template_has_script_style_or_an_address_elsewhere_in_it() -> None:
    inline = re.compile(r"""\son\w+=|\sstyle=|<style|<script(?![^>]*\ssrc="/static/)|javascript:""")
    elsewhere = re.compile(r"""(?:src|href|action)="(?!/|#|\{\{)""")
    wrong = [
        f"{path.name}: {found[0]}"
        for path in sorted((HERE / "templates").glob("*.html"))
        for pattern in (inline, elsewhere)
        for found in pattern.finditer(path.read_text(encoding="utf-8"))
    ]
    assert wrong == []
