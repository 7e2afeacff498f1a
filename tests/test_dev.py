"""The entry ./dev makes what a command needs and no more, and mends what was left half made.

A copy of ./dev runs in a folder of its own with a fake pip, which installs a fake uv, which makes a
fake Python; each writes what it was asked into a log. So nothing here needs an index or a minute.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

PIP = """
import os, pathlib, sys
arguments = sys.argv[1:]
if os.environ.get("FAKE_PIP") == "none":
    sys.exit("No module named pip")
if arguments[:2] == ["config", "list"]:
    print("global.index-url='https://global.example/simple'")
    print(":env:.index-url='https://mirror.example/simple'")
    print("global.find-links='\\\\n/one\\\\n/two'")
if arguments[0] == "install":
    pathlib.Path("log").open("a").write("pip install\\n")
    if os.environ.get("FAKE_PIP") == "unreachable":
        sys.exit("no route to the index")
    target = pathlib.Path(arguments[arguments.index("--target") + 1], "bin")
    target.mkdir(parents=True)
    (target / "uv").write_text(pathlib.Path("fake-uv").read_text())
    (target / "uv").chmod(0o755)
"""

UV = """#!/bin/sh
case "$*" in
--version) exit 0 ;;
export*) echo "uv $*" >> log; echo "a==1 --hash=sha256:00" ;;
venv*) echo "uv venv" >> log; rm -rf .venv; mkdir -p .venv/bin; cp fake-python .venv/bin/python ;;
*sync*) cat > /dev/null; echo "uv sync $UV_DEFAULT_INDEX $UV_FIND_LINKS" >> log; exit $FAKE_SYNC ;;
esac
"""

PYTHON = """#!/bin/sh
echo "python $*" >> log
"""

PROGRAMS = ("strace", "spin", "cc", "chromium", "direwolf", "dovecot")
"""What the system has."""

APT = """#!/bin/sh
echo "apt-get $*" >> log
exit 100
"""


@dataclass
class Copy:
    """A repository with nothing but ./dev and what it reads."""

    root: Path

    def run(self, *argv: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run ./dev; everything it did is in the log afterwards."""
        (self.root / "log").write_text("")
        return subprocess.run(
            [sys.executable, "dev", *argv],
            cwd=self.root,
            env={
                "PATH": str(self.root / "bin"),
                "PYTHONPATH": str(self.root / "fakes"),
                "FAKE_SYNC": "0",
                **environ,
            },
            check=False,
            capture_output=True,
            text=True,
        )

    def log(self) -> list[str]:
        """What pip, uv and Python were asked, in order."""
        return (self.root / "log").read_text().splitlines()


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    """A copy in which nothing was made yet."""
    for name in ("dev", "bootstrap.txt", "uv.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    fake = tmp_path / "fakes" / "pip"
    fake.mkdir(parents=True)
    (fake / "__init__.py").write_text("")
    (fake / "__main__.py").write_text(PIP)
    (tmp_path / "fake-uv").write_text(UV)
    (tmp_path / "bin").mkdir()
    for name in ("cat", "cp", "mkdir", "rm", "sh"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name) or name)
    fakes = {"fake-python": PYTHON, "bin/apt-get": APT}
    fakes |= {f"bin/{program}": PYTHON for program in PROGRAMS}
    for path, script in fakes.items():
        (tmp_path / path).write_text(script)
        (tmp_path / path).chmod(0o755)
    return Copy(tmp_path)


SYNC = "uv sync https://mirror.example/simple /one,/two"
EXPORT = "uv export -q --frozen --format requirements.txt"


def test_demo_makes_what_production_needs_from_the_mirror_of_pip(copy: Copy) -> None:
    assert copy.run("demo", "--keep").returncode == 0
    assert copy.log() == ["pip install", EXPORT, "uv venv", SYNC, "python -m demo --keep"]


def test_installing_makes_what_production_needs_and_says_where_the_command_is(copy: Copy) -> None:
    ended = copy.run("install")
    assert ended.stdout == f"{copy.root}/.venv/bin/openline\n"
    log = (copy.root / "log").read_text()
    assert "uv sync" in log
    assert "--group" not in log


def test_what_is_made_is_not_made_again(copy: Copy) -> None:
    copy.run("demo")
    copy.run("sim", "--seeds", "9")
    assert copy.log() == ["python -m openline.sim --seeds 9"]


def test_tests_add_the_tools_and_the_demo_keeps_them(copy: Copy) -> None:
    copy.run("demo")
    copy.run("test", "--long")
    assert copy.log() == [f"{EXPORT} --group dev", SYNC, "python -m pytest -n 2 --long"]
    copy.run("demo")
    assert copy.log() == ["python -m demo"]


def test_a_new_lock_is_installed(copy: Copy) -> None:
    copy.run("demo")
    with (copy.root / "uv.lock").open("a") as lock:
        lock.write("\n")
    copy.run("demo")
    assert copy.log() == [EXPORT, SYNC, "python -m demo"]


def test_an_interrupted_environment_is_made_anew(copy: Copy) -> None:
    ended = copy.run("demo", FAKE_SYNC="1")
    assert ended.returncode == 1
    assert "PIP_INDEX_URL" in ended.stderr
    copy.run("demo")
    assert copy.log() == [EXPORT, "uv venv", SYNC, "python -m demo"]


def test_an_environment_that_cannot_be_brought_up_to_date_is_made_anew(copy: Copy) -> None:
    copy.run("demo")
    copy.run("test", FAKE_SYNC="1")
    assert copy.log() == [f"{EXPORT} --group dev", SYNC, "uv venv", SYNC]


def test_an_environment_whose_python_is_gone_is_made_anew(copy: Copy) -> None:
    copy.run("demo")
    (copy.root / ".venv" / "bin" / "python").unlink()
    copy.run("demo")
    assert copy.log() == [EXPORT, "uv venv", SYNC, "python -m demo"]


def test_a_damaged_uv_is_fetched_again(copy: Copy) -> None:
    copy.run("demo")
    shutil.rmtree(copy.root / ".venv")
    (copy.root / ".uv" / "bin" / "uv").write_text("#!/nowhere\n")
    copy.run("demo")
    assert copy.log()[0] == "pip install"
    assert copy.log()[-1] == "python -m demo"


def test_an_index_of_uv_stands_above_that_of_pip(copy: Copy) -> None:
    copy.run("demo", UV_DEFAULT_INDEX="https://uv.example/simple")
    assert "uv sync https://uv.example/simple /one,/two" in copy.log()


def test_without_pip_it_says_what_to_type(copy: Copy) -> None:
    ended = copy.run("demo", FAKE_PIP="none")
    assert ended.returncode == 1
    assert "sudo apt-get install python3-pip" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_without_an_index_it_says_what_to_type(copy: Copy) -> None:
    ended = copy.run("demo", FAKE_PIP="unreachable")
    assert ended.returncode == 1
    assert "no route to the index" in ended.stderr
    assert "PIP_NO_INDEX=1 PIP_FIND_LINKS" in ended.stderr


def test_a_system_package_it_cannot_add_is_named(copy: Copy) -> None:
    (copy.root / "bin" / "strace").unlink()
    ended = copy.run("test")
    assert "sudo apt-get install strace" in ended.stderr
    assert copy.log()[-1] == "python -m pytest -n 2"
    tried = [line for line in copy.log() if line.startswith("apt-get")]
    fetch = "apt-get install -qq --download-only strace"
    assert tried == ([fetch, "apt-get update -qq"] if os.geteuid() == 0 else [])


def test_a_browser_is_added_for_tests_apart_from_the_rest_and_never_for_the_demo(
    copy: Copy,
) -> None:
    (copy.root / "bin" / "chromium").unlink()
    copy.run("demo")
    assert not [line for line in copy.log() if line.startswith("apt-get")]
    ended = copy.run("test")
    assert "sudo apt-get install chromium fonts-noto-core" in ended.stderr
    assert copy.log()[-1] == "python -m pytest -n 2"
    (copy.root / "bin" / "google-chrome").symlink_to(copy.root / "bin" / "strace")
    assert "apt-get" not in copy.run("test").stderr
    assert copy.log() == ["python -m pytest -n 2"]


def test_a_radio_is_added_for_tests_apart_from_the_rest(copy: Copy) -> None:
    (copy.root / "bin" / "direwolf").unlink()
    ended = copy.run("test")
    assert "sudo apt-get install direwolf" in ended.stderr
    assert copy.log()[-1] == "python -m pytest -n 2"


def test_a_mail_server_is_added_for_tests_wherever_the_system_keeps_it(copy: Copy) -> None:
    copy.run("demo")
    (copy.root / "bin" / "dovecot").rename(copy.root / "elsewhere")
    script = (copy.root / "dev").read_text()
    (copy.root / "dev").write_text(script.replace("/usr/sbin/dovecot", "./nowhere"))
    ended = copy.run("test")
    assert "sudo apt-get install dovecot-imapd dovecot-lmtpd" in ended.stderr
    assert copy.log()[-1] == "python -m pytest -n 2"
    (copy.root / "dev").write_text(script.replace("/usr/sbin/dovecot", "./elsewhere"))
    assert "apt-get" not in copy.run("test").stderr


def test_pictures_want_a_browser_and_are_not_begun_without(copy: Copy) -> None:
    assert copy.run("screenshots", "--out", "there").returncode == 0
    assert copy.log()[-1] == "python -m bench.screenshots --out there"
    (copy.root / "bin" / "chromium").unlink()
    ended = copy.run("screenshots")
    assert ended.returncode == 2
    assert "sudo apt-get install chromium" in ended.stderr


def test_the_model_needs_spin_and_no_environment(copy: Copy) -> None:
    (copy.root / "docs" / "models").mkdir(parents=True)
    (copy.root / "docs" / "models" / "verify.py").write_text("import sys\nsys.exit(sys.argv[1])\n")
    ended = copy.run("model", "--quick")
    assert (ended.returncode, ended.stderr) == (1, "--quick\n")
    assert copy.log() == []
    (copy.root / "bin" / "spin").unlink()
    ended = copy.run("model")
    assert ended.returncode == 2
    assert "sudo apt-get install spin" in ended.stderr


def test_what_it_does_not_know_is_answered_by_what_it_knows(copy: Copy) -> None:
    ended = copy.run("conquer")
    assert ended.returncode == 2
    assert "./dev demo" in ended.stdout
    assert copy.run("--help").returncode == 0
    assert copy.run("check", "everything").returncode == 1
    assert copy.log() == []
