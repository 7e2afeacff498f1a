"""The house's rules hold over the tree, and each rule refuses a bad sample.

A rule that cannot fail guards nothing: BAD has a source for every fault a rule is there to find.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import click
import pytest

from openline.diagrams import diagrams
from tests import house_rules as rules

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "openline"
TREES = ("src", "tests", "bench", "demo")
TRUSTED = ("core", "sealing")
CLOCK = SOURCE / "clock.py"
CHANCE = SOURCE / "sim" / "chance.py"
"""Where the simulator's repeatable randomness comes from."""


def python_files(*trees: str) -> list[Path]:
    """Every Python file below the given folders of the repository."""
    return sorted(path for tree in trees for path in (ROOT / tree).rglob("*.py"))


def documents() -> list[Path]:
    """Every Markdown document of the repository."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def faults(rule: rules.Rule, files: list[Path]) -> list[str]:
    """What the rule finds, as path:line: fault."""
    return [
        f"{path.relative_to(ROOT)}:{fault}"
        for path in files
        for fault in rule(path.read_text(encoding="utf-8"))
    ]


def core_imports(source: str) -> Iterator[str]:
    """Core stands on the standard library alone."""
    return rules.only_imports(source, set())


def sealing_imports(source: str) -> Iterator[str]:
    """Sealing adds pyca cryptography and nothing else."""
    return rules.only_imports(source, {"cryptography"})


@pytest.fixture(scope="module")
def dev() -> ModuleType:
    """The program ./dev as a module."""
    loader = SourceFileLoader("openline_dev", str(ROOT / "dev"))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


BAD: list[tuple[rules.Rule, str, str]] = [
    (rules.lines_of_file, "x = 1\n" * 501, "1: 501 lines"),
    (rules.lines_of_functions, "def f():\n" + " x\n" * 70, "1: f has 71 lines"),
    (
        rules.lines_of_functions,
        "class A:\n @d\n def f(self):\n" + "  x\n" * 69,
        "2: f has 71 lines",
    ),
    (rules.no_clock_and_no_entropy, "import time", "1: imports time"),
    (
        rules.no_clock_and_no_entropy,
        "def f():\n from random import random",
        "2: imports random.random",
    ),
    (rules.no_clock_and_no_entropy, "from os import urandom", "1: imports os.urandom"),
    (rules.no_clock_and_no_entropy, "import os\nos.urandom(1)", "2: os.urandom"),
    (rules.no_clock_and_no_entropy, "datetime.datetime.now(UTC)", "1: datetime.now"),
    (rules.no_clock_and_no_entropy, "K.generate()", "1: generate() takes entropy of its own"),
    (
        rules.no_clock_and_no_entropy,
        "from random import Random\nRandom()",
        "2: Random() takes entropy of its own",
    ),
    (core_imports, "import cryptography", "1: imports cryptography"),
    (sealing_imports, "def f():\n import sqlalchemy.sql", "2: imports sqlalchemy.sql"),
    (rules.public_names_documented, "x = 1", "1: the module has no docstring"),
    (rules.public_names_documented, '"""M."""\ndef f(): ...', "2: f has no docstring"),
    (
        rules.public_names_documented,
        '"""M."""\nclass A:\n "A."\n async def f(self): ...',
        "4: A.f has no docstring",
    ),
    (rules.nothing_postponed, "x = 1  # TO" + "DO: later", "1: TO" + "DO"),
    (rules.words_of_the_house, "class LineManager: ...", "1: LineManager says manager"),
    (rules.words_of_the_house, "def f(session_id): ...", "1: session_id says session"),
    (
        rules.words_of_the_house,
        "self.priority = 1",
        "1: priority says priority where precedence is meant",
    ),
]


@pytest.mark.parametrize(("rule", "source", "fault"), BAD)
def test_rule_refuses_a_bad_sample(rule: rules.Rule, source: str, fault: str) -> None:
    assert list(rule(source)) == [fault]


GOOD: list[tuple[rules.Rule, str]] = [
    (rules.lines_of_file, "x = 1\n" * 500),
    (rules.lines_of_functions, "def f():\n" + " x\n" * 69),
    (rules.no_clock_and_no_entropy, "from ..clock import entropy\nentropy(1)\nloop.time()"),
    (rules.no_clock_and_no_entropy, "from random import Random\nRandom(7).random()"),
    (core_imports, "import struct\nfrom openline.errors import LocalError\nfrom . import gaps"),
    (sealing_imports, "from cryptography.hazmat.primitives import hashes"),
    (rules.public_names_documented, '"""M."""\ndef _f(): ...\nclass _A:\n def f(self): ...'),
    (rules.words_of_the_house, "class Precedence(IntEnum):\n PRIORITY = 1\nfutile = scope"),
]


@pytest.mark.parametrize(("rule", "source"), GOOD)
def test_rule_lets_a_good_sample_pass(rule: rules.Rule, source: str) -> None:
    assert list(rule(source)) == []


@pytest.mark.parametrize(
    "rule",
    [
        rules.lines_of_file,
        rules.lines_of_functions,
        rules.nothing_postponed,
        rules.words_of_the_house,
    ],
)
def test_rule_holds_everywhere(rule: rules.Rule) -> None:
    assert faults(rule, python_files(*TREES)) == []


def test_every_public_name_is_documented() -> None:
    assert faults(rules.public_names_documented, python_files("src", "bench", "demo")) == []


def test_files_are_named_in_the_words_of_the_house() -> None:
    names = "\n".join(f"_{path.stem} = 1" for path in python_files(*TREES))
    assert list(rules.words_of_the_house(names)) == []


def test_no_clock_and_no_entropy_outside_clock() -> None:
    files = [path for path in python_files("src") if path not in (CLOCK, CHANCE)]
    assert faults(rules.no_clock_and_no_entropy, files) == []
    assert faults(rules.no_clock_and_no_entropy, [CLOCK]), "the rule must see what clock.py does"


def test_core_stands_on_the_standard_library() -> None:
    assert faults(core_imports, python_files("src/openline/core")) == []


def test_sealing_stands_on_cryptography() -> None:
    assert faults(sealing_imports, python_files("src/openline/sealing")) == []


def test_what_a_rival_must_trust_is_short() -> None:
    counts = {
        str(path.relative_to(SOURCE)): len(path.read_text(encoding="utf-8").splitlines())
        for package in TRUSTED
        for path in (SOURCE / package).rglob("*.py")
    }
    assert sum(counts.values()) <= rules.TRUSTED_LINES_MAX, counts


@pytest.mark.parametrize("name", ["format", "lint", "types", "imports", "dependencies"])
def test_check_passes(name: str) -> None:
    ended = subprocess.run(
        [sys.executable, "dev", "check", name],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_every_check_is_a_test(dev: ModuleType) -> None:
    [mark] = [m for m in test_check_passes.pytestmark if m.name == "parametrize"]  # type: ignore[attr-defined]
    assert list(mark.args[1]) == list(dev.CHECKS)


def test_documents_mention_files_that_exist() -> None:
    missing = [
        f"{document.relative_to(ROOT)}:{line}: {path}"
        for document in documents()
        for line, path, is_link in rules.files_mentioned(document.read_text(encoding="utf-8"))
        if not ((document.parent if is_link else ROOT) / path).exists()
    ]
    assert missing == []


def test_the_front_page_leads_to_every_document() -> None:
    shown = (ROOT / "README.md").read_text(encoding="utf-8")
    found = [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs" / "operating").glob("*.md")]
    assert [path.name for path in found if f"({path.relative_to(ROOT)})" not in shown] == []


def test_the_architecture_names_every_module() -> None:
    shown = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    modules = [path.name for path in SOURCE.glob("[!_]*.py")]
    packages = [f"{path.parent.name}/" for path in SOURCE.glob("*/__init__.py")]
    assert [name for name in modules + packages if f"`{name}`" not in shown] == []


def test_a_broken_link_is_found() -> None:
    text = (
        "See [this](docs/none.md#top) and `src/none.py`, not [that](https://example.org) or [x](#y)"
    )
    assert list(rules.files_mentioned(text)) == [
        (1, "docs/none.md", True),
        (1, "src/none.py", False),
    ]


def unknown_words(words: list[str], dev: ModuleType) -> list[str]:
    """Which words of a command as shown are no command, or no option of it."""
    if words[0] == "./dev":
        known = set(dev.COMMANDS)
        code = [ROOT / "dev", ROOT / "tests" / "conftest.py"]
        code += python_files("bench", "demo", "docs", "src/openline/sim")
        text = "".join(path.read_text(encoding="utf-8") for path in code)
        named = [word for word in words[1:] if re.fullmatch(r"[a-z][a-z-]*", word)][:1]
        options = {word for word in words[1:] if word.startswith("--") and f'"{word}"' not in text}
        return [*(word for word in named if word not in known), *sorted(options)]
    from openline.cli import openline

    return unknown_to(openline, words[1:])


def unknown_to(command: click.Command, words: list[str]) -> list[str]:
    """Which words are no option of a command of click, or no command below it."""
    options = {name: option for option in command.params for name in option.opts}
    rest = iter(words)
    for word in rest:
        name, _, value = word.partition("=")
        option = options.get(name)
        if isinstance(option, click.Option) and not option.is_flag and not value:
            next(rest, "")
        elif name.startswith("--") and name != "--help" and option is None:
            return [name]
        elif isinstance(command, click.Group) and not name.startswith("-"):
            below = command.commands.get(name)
            return unknown_to(below, list(rest)) if below else [name]
    return []


def test_commands_in_documents_exist(dev: ModuleType) -> None:
    wrong = [
        f"{document.relative_to(ROOT)}: {' '.join(words)}: no {' '.join(unknown)}"
        for document in documents()
        for words in rules.commands_shown(document.read_text(encoding="utf-8"))
        if (unknown := unknown_words(words, dev))
    ]
    assert wrong == []


def test_a_command_that_does_not_exist_is_found(dev: ModuleType) -> None:
    text = """
```sh
$ ./dev test --long   # fine
./dev conquer
```
./dev is not shown here

    openline --lang ru send --loudly
    openline shout

but `./dev test --forever` is.
"""
    unknown = [unknown_words(words, dev) for words in rules.commands_shown(text)]
    assert unknown == [[], ["conquer"], ["--loudly"], ["shout"], ["--forever"]]


def test_diagrams_show_the_tables_of_the_code() -> None:
    assert (ROOT / "docs" / "states.md").read_text(encoding="utf-8") == diagrams()


def test_lock_names_the_public_index_only() -> None:
    lock = (ROOT / "uv.lock").read_text()
    hosts = set(re.findall(r"\w+://([^/\"]+)", lock))
    assert hosts == {"pypi.org", "files.pythonhosted.org"}
    assert "file:" not in lock


def test_bootstrap_is_what_the_lock_says() -> None:
    locked = {p["name"]: p for p in tomllib.loads((ROOT / "uv.lock").read_text())["package"]}
    listed = (ROOT / "bootstrap.txt").read_text()
    assert listed.startswith(f"uv=={locked['uv']['version']} ")
    hashes = {file["hash"] for file in [locked["uv"]["sdist"], *locked["uv"]["wheels"]]}
    assert set(re.findall(r"sha256:\w+", listed)) == hashes
