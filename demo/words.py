"""The wordings of the demonstration: Openline's own and, beside them, what only a demo says.

Theory of operation: the same files and the same reader as src/openline/i18n.py, in demo/locales,
so that what is installed holds no word of the demonstration. Nothing else lives here.
"""

from __future__ import annotations

from pathlib import Path

from openline import i18n


def catalogue(language: str) -> i18n.Catalogue:
    """Both catalogues of a language of the interface in one."""
    product = i18n.catalogue(language)
    path = Path(__file__).with_name("locales") / f"{product.language}.po"
    own = i18n.read_po(path.read_text(encoding="utf-8"))
    keys = product.keys()
    wordings = {key: product.forms(key) for key in keys} | own
    return i18n.Catalogue(product.language, wordings)
