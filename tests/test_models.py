"""The models hold, their mutants do not, and neither can drift away from the protocol and the code.

Spin searches for minutes; a usual run takes the searches of a few seconds, a long run all.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODELS = ROOT / "docs" / "models"
REPORT = """
pan:1: assertion violated (lost||quiet) (at depth 15)
pan: wrote line.pml.trail

State-vector 240 byte, depth reached 105, errors: 1
   955465 states, stored (1.2e+06 visited)
"""


@pytest.fixture(scope="module")
def verify() -> ModuleType:
    """The program behind ./dev model as a module."""
    loader = SourceFileLoader("openline_verify", str(MODELS / "verify.py"))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[loader.name] = module
    loader.exec_module(module)
    return module


def rules_named(text: str) -> set[str]:
    """The rules of the protocol that a text names."""
    return set(re.findall(r"\bR\d+\b", text))


def test_models_hold_and_mutants_do_not(long_run: bool) -> None:
    if shutil.which("spin") is None or shutil.which("cc") is None:
        pytest.skip("no model was checked; type: apt-get install spin gcc")
    command = [sys.executable, "dev", "model", *([] if long_run else ["--quick"])]
    ended = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "holds" in ended.stdout
    assert ended.stdout.count("broken, as it must be") >= 3


def test_a_search_is_judged_by_what_it_should_find(verify: ModuleType) -> None:
    def verdict(breaks: str | None, fault: str | None, *, complete: bool = True) -> str:
        check = verify.Check("model", "property", "", (), breaks=breaks)
        return str(verify.judge(check, verify.Found(1, 1, fault, complete, 0.0, [])))

    assert verdict(None, None) == "holds"
    assert verdict(None, verify.CYCLE).startswith("FAILED")
    assert verdict(None, None, complete=False).startswith("FAILED")
    assert verdict(verify.CYCLE, "acceptance cycle") == "broken, as it must be"
    assert verdict(verify.CYCLE, None) == "FAILED: the mutant passes"
    assert verdict(verify.CYCLE, "assertion violated (fresh)").startswith("FAILED")


def test_a_report_of_spin_is_read(verify: ModuleType) -> None:
    fault = "assertion violated (lost||quiet)"
    assert verify.read_report(REPORT) == (955_465, 105, fault, True)
    cut_short = REPORT.replace("pan:1", "error: max search depth too small\npan:1")
    assert verify.read_report(cut_short)[3] is False
    with pytest.raises(verify.ToolError):
        verify.read_report("Segmentation fault")


def test_without_spin_it_says_so(verify: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert verify.main(["--quick"]) == 2


def test_every_mutation_is_in_the_model_and_three_are_tried_at_least(verify: ModuleType) -> None:
    model = "".join(path.read_text(encoding="utf-8") for path in sorted(MODELS.glob("*.pml")))
    mutants = {check.name for check in verify.CHECKS if check.breaks is not None}
    assert len(mutants) >= 3
    for name in mutants:
        assert re.search(rf"^#if.*\b{name}\b", model, re.MULTILINE), name


def test_rules_that_the_model_names_are_in_the_protocol_and_named_in_the_code() -> None:
    model = rules_named((MODELS / "line.pml").read_text(encoding="utf-8"))
    protocol = rules_named((ROOT / "docs" / "protocol.md").read_text(encoding="utf-8"))
    source = sorted((ROOT / "src" / "openline").rglob("*.py"))
    code = set().union(*(rules_named(path.read_text(encoding="utf-8")) for path in source))
    assert model >= {f"R{number}" for number in range(6, 15)}
    assert model <= protocol
    assert model <= code
