"""A backup on paper: pages of A4 with QR codes, as SVG and as one HTML file to print.

Theory of operation: every code is a QR code of letters and digits, which any scanner reads as a
line of text; what stands in it, and how codes become a file again, is backup's. Each page says
which of how many it is, whose post this is by the words of its card, and when it was made.
Wordings come ready from the command. No file is written here.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import groupby

import segno

from ..backup import Code

CODES_PER_PAGE = 6
PAGE_MM = (210, 297)

_COLUMNS = 2
_CODE_MM = 72
_LEFT_MM, _TOP_MM = 22, 52
_STEP_MM = (_CODE_MM + 22, _CODE_MM + 6)
_QUIET_MODULES = 4
_HEAD_MM, _LINE_MM = 15, 5.5
_PRINT = "@page{size:A4;margin:0}body{margin:0}svg{display:block;break-after:page}"


def count(codes: Sequence[Code]) -> int:
    """How many pages these codes take."""
    return -(-len(codes) // CODES_PER_PAGE)


def page(codes: Sequence[Code], head: Sequence[str]) -> str:
    """One page as SVG; `head` are the lines above its codes, at most six."""
    width, height = PAGE_MM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}mm" height="{height}mm"'
        f' viewBox="0 0 {width} {height}"><rect width="{width}" height="{height}" fill="#fff"/>'
    ]
    for row, line in enumerate(head):
        weight = ' font-weight="bold"' if not row else ""
        place = f'x="{_LEFT_MM}" y="{_HEAD_MM + row * _LINE_MM}" font-size="4.2"{weight}'
        parts.append(f'<text {place} font-family="sans-serif">{escape(line)}</text>')
    for at, code in enumerate(codes):
        x = _LEFT_MM + at % _COLUMNS * _STEP_MM[0]
        y = _TOP_MM + at // _COLUMNS * _STEP_MM[1]
        parts.append(_drawn(code, x, y))
        place = f'x="{x + _CODE_MM / 2}" y="{y + _CODE_MM + 3}" font-size="4"'
        number = f"{code.number}/{code.total}"
        style = 'text-anchor="middle" font-family="sans-serif"'
        parts.append(f"<text {place} {style}>{number}</text>")
    return "\n".join([*parts, "</svg>"]) + "\n"


def document(title: str, pages: Sequence[str]) -> str:
    """All pages as one HTML document to print."""
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{_PRINT}</style>'
    return f"<!doctype html>\n{head}\n" + "".join(pages)


def _drawn(code: Code, x: int, y: int) -> str:
    """A code as one path, each run of dark modules a rectangle."""
    qr = segno.make_qr(code.text, mode="alphanumeric", error="m", boost_error=False)
    matrix = [list(row) for row in qr.matrix]
    scale = _CODE_MM / (len(matrix) + 2 * _QUIET_MODULES)
    path = []
    for down, row in enumerate(matrix):
        across = 0
        for dark, run in groupby(row):
            length = len(list(run))
            if dark:
                left, top = across + _QUIET_MODULES, down + _QUIET_MODULES
                path.append(f"M{left} {top}h{length}v1h-{length}z")
            across += length
    return f'<path transform="translate({x} {y}) scale({scale:.5f})" d="{"".join(path)}"/>'
