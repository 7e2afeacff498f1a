"""The rules of the house that no linter knows, each as a function from a source to its faults.

Theory of operation: a rule reads the text or the syntax tree of one file and yields one sentence
per fault, beginning with the line. tests/test_house.py runs each rule over the tree, and first over
a bad sample that it must refuse. Nothing here imports openline: what is judged is the source.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator

FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
TRUSTED_LINES_MAX = 2500
"""What a rival must trust: core and sealing together."""

CLOCK_MODULES = {"time", "random", "secrets", "uuid"}
CLOCK_CALLS = {
    "os.urandom",
    "os.getrandom",
    "datetime.now",
    "datetime.utcnow",
    "datetime.today",
    "date.today",
}
ENTROPY_CALLS = {"generate", "generate_key", "generate_private_key", "Random"}
"""What makes a key or a stream from entropy of its own when it is given nothing."""

FORBIDDEN_WORDS = {"session", "manager", "util", "utils", "helper", "helpers"}
POSTPONED = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|X" + r"XX|HA" + r"CK)\b")

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
Rule = Callable[[str], Iterator[str]]


def lines_of_file(source: str) -> Iterator[str]:
    """A file has at most FILE_LINES_MAX lines."""
    count = len(source.splitlines())
    if count > FILE_LINES_MAX:
        yield f"1: {count} lines"


def lines_of_functions(source: str) -> Iterator[str]:
    """A function has at most FUNCTION_LINES_MAX lines, its decorators and docstring included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            count = (node.end_lineno or first) - first + 1
            if count > FUNCTION_LINES_MAX:
                yield f"{first}: {node.name} has {count} lines"


def imported(source: str) -> Iterator[tuple[int, str]]:
    """(line, module) of every absolute import, late ones included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.lineno, node.module or ""


def no_clock_and_no_entropy(source: str) -> Iterator[str]:
    """`now` and randomness are passed in: nothing but clock.py asks the machine for them.

    Random, given a seed, is a calculation and allowed.
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            banned = name.partition(".")[0] in CLOCK_MODULES or name in CLOCK_CALLS
            if banned and name != "random.Random":
                yield f"{node.lineno}: imports {name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            named = ".".join(ast.unparse(node).split(".")[-2:])
            if named in CLOCK_CALLS:
                yield f"{node.lineno}: {named}"
        if isinstance(node, ast.Call) and not node.args:
            called = ast.unparse(node.func).rpartition(".")[2]
            if called in ENTROPY_CALLS:
                yield f"{node.lineno}: {called}() takes entropy of its own"


def only_imports(source: str, allowed: set[str]) -> Iterator[str]:
    """Imports are of the standard library, of openline, or of the packages allowed here."""
    for line, module in imported(source):
        top = module.partition(".")[0]
        if top not in sys.stdlib_module_names | allowed | {"openline"}:
            yield f"{line}: imports {module}"


def public_names_documented(source: str) -> Iterator[str]:
    """The module and every public class, function and method in it has a docstring."""
    module = ast.parse(source)
    if module.body and not ast.get_docstring(module):
        yield "1: the module has no docstring"
    yield from _undocumented(module.body, "")


def _undocumented(body: list[ast.stmt], prefix: str) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.If | ast.Try):
            yield from _undocumented(node.body, prefix)
        if not isinstance(node, Definition) or node.name.startswith("_") or _repeats(node):
            continue
        if not ast.get_docstring(node):
            yield f"{node.lineno}: {prefix}{node.name} has no docstring"
        if isinstance(node, ast.ClassDef):
            yield from _undocumented(node.body, f"{prefix}{node.name}.")


def _repeats(node: Definition) -> bool:
    """An overload or a setter says again what is documented beside it."""
    return any(
        ast.unparse(decorator).endswith((".setter", "overload"))
        for decorator in node.decorator_list
    )


def nothing_postponed(source: str) -> Iterator[str]:
    """No mark that says something is to be done later."""
    for number, line in enumerate(source.splitlines(), 1):
        if found := POSTPONED.search(line):
            yield f"{number}: {found.group()}"


def words_of_the_house(source: str) -> Iterator[str]:
    """No name we give holds a word the house avoids; "priority" only as the precedence PRIORITY."""
    for line, name in _names_given(ast.parse(source)):
        words = {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}
        for word in sorted(words & FORBIDDEN_WORDS):
            yield f"{line}: {name} says {word}"
        if "priority" in words and name != "PRIORITY":
            yield f"{line}: {name} says priority where precedence is meant"


def _names_given(module: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(module):
        if isinstance(node, Definition):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr
        elif isinstance(node, ast.alias) and node.asname:
            yield node.lineno, node.asname


LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
PATH_IN_CODE = re.compile(r"`((?:src|tests|docs|bench|demo|\.ci)/[\w./-]+)`")
FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def files_mentioned(markdown: str) -> Iterator[tuple[int, str, bool]]:
    """(line, path, is a link) of each relative link and of each path of the tree in code marks."""
    for number, line in enumerate(markdown.splitlines(), 1):
        for target in LINK.findall(line):
            if not re.match(r"[a-z]+:|#", target):
                yield number, target.partition("#")[0], True
        for path in PATH_IN_CODE.findall(line):
            yield number, path, False


def commands_shown(markdown: str) -> Iterator[list[str]]:
    """The words of each command shown in a fenced or indented block or in code marks."""
    text = markdown.replace("\\\n", " ")
    shown = [line for block in FENCE.findall(text) for line in block.splitlines()]
    shown += re.findall(r"^(?: {4,}|\t)(.+)$", FENCE.sub("", text), re.MULTILINE)
    shown += re.findall(r"`([^`\n]+)`", FENCE.sub("", text))
    for line in shown:
        words = line.strip().removeprefix("$ ").partition(" #")[0].split()
        if words and words[0] in ("./dev", "openline"):
            yield words
