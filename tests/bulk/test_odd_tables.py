"""Tables of jobs with anything in them: rows that are none are rows that failed, and all others are done."""

from __future__ import annotations

import contextlib
import io
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stylemap import images
from stylemap.cli import main
from tests.helpers import tiny

_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
_ODD = (
    _SCALARS
    | st.lists(_SCALARS, max_size=3)
    | st.sampled_from(["/", ".", "..", "\0", "\ud800", "seed:1", "~"])
)
_PHOTO = st.sampled_from(["a.png", "b.png"])
_ORIGINAL = (
    _PHOTO | _PHOTO | _PHOTO | st.sampled_from(["cut.png", "folder.png", "missing.png", "memory://x"]) | _ODD
)
_COLUMNS = {
    "encode": {},
    "reconstruct": {},
    "edit": {
        "reference": _PHOTO | _ODD,
        "mask": st.sampled_from(["box:0,0,1,0.5", "a.png"]) | _ODD,
        "shift": st.sampled_from(["1,2", [3, -4]]) | _ODD,
        "weight": st.floats(-2, 2) | _ODD,
    },
    "mix": {"reference": _PHOTO | _ODD, "take": st.sampled_from(["coarse", "fine", "0,1"]) | _ODD},
}


@st.composite
def _tables(draw: Any) -> tuple[str, list[dict[str, Any]]]:
    operation = draw(st.sampled_from(sorted(_COLUMNS)))
    row = {"original": _ORIGINAL, **_COLUMNS[operation]}
    rows = st.fixed_dictionaries(row, optional={"name": st.text(max_size=8) | _ODD})
    return operation, draw(st.lists(rows, min_size=1, max_size=4))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("odd")
    for name, photo in zip("ab", tiny.photos(2)):
        images.save(photo, folder / f"{name}.png")
    (folder / "cut.png").write_bytes((folder / "a.png").read_bytes()[:70])
    (folder / "folder.png").mkdir()
    return folder


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(_tables(), st.sampled_from(["", "no json", "[1]", "[" * 100_000, "\ufeff{}", "null"]))
def test_rows_of_anything(
    model_file: str, folder: Path, table: tuple[str, list[dict[str, Any]]], line: str
) -> None:
    operation, rows = table
    lines = [json.dumps(row) for row in rows] + [line] * bool(line)
    (folder / "jobs.jsonl").write_text("\n".join(lines))
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    with tempfile.TemporaryDirectory() as name:
        words = [
            "bulk",
            operation,
            str(folder / "jobs.jsonl"),
            "-o",
            f"{name}/out",
            "--model",
            model_file,
            "--json",
        ]
        told, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(told), contextlib.redirect_stderr(errors):
            status = main(words)
        facts = json.loads(told.getvalue())
        manifest = [json.loads(row) for row in Path(name, "out/manifest.jsonl").read_text().splitlines()]
    done = any(row["status"] == "ok" for row in manifest)
    assert status == (0 if done else 1), errors.getvalue()
    assert len(manifest) == facts.get("rows", 0 if done else len(lines)) == len(lines)
    for row, given_row in zip(manifest, [*rows, None]):
        assert (row["status"] == "ok") == (row["error"] is None) == (row["output"] is not None)
        assert row["error"] is None or (row["error"] and "\n" not in row["error"])
        if given_row is None or given_row["original"] not in ("a.png", "b.png"):
            assert row["status"] == "error"
        elif operation in ("encode", "reconstruct"):
            assert row["status"] == "ok"
    assert before == {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("original", ["pipe.png", "/dev/zero", "/dev/stdin", "."])
def test_what_is_no_file_is_a_row_that_failed(
    model_file: str, folder: Path, tmp_path: Path, original: str
) -> None:
    pipe = folder / "pipe.png"
    if not pipe.exists():
        os.mkfifo(pipe)
    (tmp_path / "jobs.csv").write_text(f"original\n{folder}/a.png\n{folder / original}\n")
    words = [
        "bulk",
        "reconstruct",
        str(tmp_path / "jobs.csv"),
        "-o",
        str(tmp_path / "out"),
        "--model",
        model_file,
    ]
    try:
        assert main([*words, "--quiet"]) == 0
    finally:
        pipe.unlink()
    rows = [json.loads(row) for row in (tmp_path / "out/manifest.jsonl").read_text().splitlines()]
    assert [row["status"] for row in rows] == ["ok", "error"]


@pytest.mark.parametrize(
    "content",
    [
        b"original\n" + b"a.png\n" * 2000 + b"\xff\xfe.png\n",
        b"original\n" + b"a.png\n" * 20 + b'"' + b"x" * 200_000 + b'"\n',
    ],
    ids=["encoding", "long"],
)
def test_a_table_that_ends_as_none(
    model_file: str, tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "jobs.csv").write_bytes(content)
    words = [
        "bulk",
        "reconstruct",
        str(tmp_path / "jobs.csv"),
        "-o",
        str(tmp_path / "out"),
        "--model",
        model_file,
    ]
    assert main([*words, "--quiet"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "a fault of stylemap" not in line
    assert f"{tmp_path}/jobs.csv is no table: " in line


@pytest.mark.parametrize("name", ["run.json", "jobs.jsonl", "manifest/000000.jsonl"])
@pytest.mark.parametrize("content", [b"", b"[1]", b"no json", b"\xff\n", b"null\n"])
def test_a_folder_of_a_run_that_is_damaged(
    model_file: str,
    folder: Path,
    tmp_path: Path,
    name: str,
    content: bytes,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["bulk", "reconstruct", f"{folder}/a.png", "-o", str(tmp_path / "out"), "--model", model_file]
    assert main([*words, "--quiet"]) == 0
    capsys.readouterr()
    (tmp_path / "out" / name).write_bytes(content)
    assert main([*words, "--quiet"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "a fault of stylemap" not in line
    assert str(tmp_path / "out") in line


def test_a_run_without_a_result_has_failed(
    model_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photos.zip").write_bytes(b"PK\3\4")
    words = ["bulk", "encode", tmp_path / "photos.zip", "--output", tmp_path / "out", "--model", model_file]
    assert main([*map(str, words), "--quiet"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "none of 1 rows has a result: see" in line
    assert "photos.zip is not a picture" in (tmp_path / "out" / "manifest.jsonl").read_text()
