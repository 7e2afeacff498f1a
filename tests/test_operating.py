"""docs/operating says of the running post what the code says."""

from __future__ import annotations

import itertools
import re
import textwrap
from pathlib import Path

from openline.config import Config, FolderEntry, MailEntry, RelayEntry, TcpEntry, load
from openline.rights import ROLES

OPERATING = Path(__file__).resolve().parent.parent / "docs" / "operating"
GUIDE = (OPERATING / "post.md").read_text(encoding="utf-8")
UNIT = (OPERATING / "openline.service").read_text(encoding="utf-8")


def test_every_key_of_the_configuration_is_explained_and_no_other() -> None:
    tables = GUIDE[GUIDE.index("| key |") : GUIDE.index("Both posts of a line")]
    explained = set(re.findall(r"^\| `(\w+)` \|", tables, re.MULTILINE))
    kinds = (TcpEntry, RelayEntry, FolderEntry, MailEntry)
    known = {name for kind in (Config, *kinds) for name in kind.model_fields} - {"bearer"}
    assert explained == known


def test_every_role_is_explained() -> None:
    table = GUIDE[GUIDE.index("| role |") :]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(ROLES)


def test_the_example_of_the_guide_is_a_configuration(tmp_path: Path) -> None:
    start = GUIDE.index('    listen = "0.0.0.0:7100"')
    example = textwrap.dedent(GUIDE[start : GUIDE.index("| key |")])
    (tmp_path / "post.toml").write_text(example, encoding="utf-8")
    config = load(tmp_path)
    assert [entry.kind for entry in config.bearer] == ["tcp", "relay"]
    assert config.sign_in_idle_min == 60


def test_every_directive_of_the_unit_has_its_reason() -> None:
    lines = UNIT.splitlines()
    for above, line in itertools.pairwise(lines):
        if line[:1] not in ("", "#", "["):
            assert above.startswith("#") or "=" in above, line
            assert re.fullmatch(r"[A-Z]\w*=.*", line), line
