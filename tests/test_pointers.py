"""Files, modules and sections that comments and documents name exist."""

from __future__ import annotations

import ast
import functools
import io
import pkgutil
import re
import subprocess
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
_PATH = re.compile(
    r"(?<![\w./{*<-])(?:[\w+-]+/)*[\w+-]+\.(?:py|pyi|cpp|cu|cuh|h|hpp|md|js|css|toml|sh|yml|yaml)\b(?!\()"
)
_MODULE = re.compile(r"`(stylemap(?:\.\w+)+)`")
_SECTION = re.compile(r"network\.md,? sections? (\d+)")
_C_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_CODE = (".cpp", ".cu", ".h", ".cuh", ".js")
# Names that stand for others (OP, stem), for files of a user's, or for what the documentation generates.
_PLACEHOLDER = re.compile(r"\bOP(_c\w+)?\b|_OP\b|^stem\.|^config\.yaml$|^commands\.md$")


@functools.cache
def tracked() -> tuple[str, ...]:
    """Paths of the repository's files, relative to its root."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("needs the git repository: a source archive has no list of its files")
    return tuple(listed.stdout.split("\n")[:-1])


@functools.cache
def prose() -> tuple[tuple[str, str], ...]:
    """(path, text) of every file: its comments and docstrings, or all of a document."""
    return tuple(_prose())


def _prose() -> Iterator[tuple[str, str]]:
    for name in tracked():
        path = ROOT / name
        if not path.is_file() or name == "CHANGELOG.md" or name.startswith("benchmarks/results/"):
            continue
        if name.endswith(".md"):
            yield name, path.read_text()
        elif name.endswith(".py"):
            yield name, _python_prose(path.read_text())
        elif name.endswith(_CODE):
            yield name, "\n".join(_C_COMMENT.findall(path.read_text()))


def _python_prose(source: str) -> str:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = [token.string for token in tokens if token.type == tokenize.COMMENT]
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = (node for node in ast.walk(ast.parse(source)) if isinstance(node, documented))
    return "\n".join([*comments, *(ast.get_docstring(node) or "" for node in nodes)])


def _exists(name: str, named_in: str) -> bool:
    """Whether a file has this path, or a path that ends in it."""
    if any(path == name or path.endswith(f"/{name}") for path in tracked()):
        return True
    return (ROOT / name).exists() or (ROOT / named_in).parent.joinpath(name).exists()


def test_named_files_exist() -> None:
    wrong = {
        f"{where} names {name}"
        for where, text in prose()
        for name in _PATH.findall(text)
        if not _PLACEHOLDER.search(name) and not _exists(name, where)
    }
    assert not wrong, "\n".join(sorted(wrong))


def test_named_modules_exist() -> None:
    wrong = set()
    for where, text in prose():
        for name in _MODULE.findall(text):
            try:
                pkgutil.resolve_name(name)
            except (ImportError, AttributeError) as error:
                wrong.add(f"{where} names {name}: {error}")
    assert not wrong, "\n".join(sorted(wrong))


def test_named_sections_of_the_network_exist() -> None:
    headings = set(re.findall(r"^## (\d+)\. ", (ROOT / "docs/network.md").read_text(), re.MULTILINE))
    named = [(where, number) for where, text in prose() for number in _SECTION.findall(text)]
    assert len(named) > 10
    assert not [(where, number) for where, number in named if number not in headings]


def test_prose_is_found() -> None:
    """Comments and docstrings are read, strings and code are not."""
    source = '"""See a/one.py."""\nNAME = "two.py"  # see three.py\n'
    assert _PATH.findall(_python_prose(source)) == ["three.py", "a/one.py"]
    assert _PATH.findall("kernels/OP/x.h, {a}.md, self.py() and (stylemap/model/decoder.py)") == [
        "kernels/OP/x.h",
        "stylemap/model/decoder.py",
    ]
    assert not _exists("stylemap/model/nothing.py", "README.md")
    assert _exists("kernels/upfirdn2d/upfirdn2d.h", "csrc/torch/library.cpp")
