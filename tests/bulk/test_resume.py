"""A run that is killed, and started again, and what it does not do twice."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stylemap import images
from stylemap.bulk import engine, worker
from stylemap.bulk.journal import open_journal
from tests.bulk.results import bulk, contents, rows
from tests.helpers import tiny

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    for index, photo in enumerate(tiny.photos(60)):
        images.save(photo, folder / f"p{index}.png")
    (folder / "p30.png").write_bytes(b"none")
    return folder


def _start(
    operation: str, source: Path, output: Path, model: str, pause: float, *arguments: str
) -> subprocess.Popen[bytes]:
    """The command in a process of its own, slower than it is: a kill has to hit it while it works."""
    code = (
        "import sys, time\n"
        "from stylemap.bulk import engine\n"
        "from stylemap.cli import main\n"
        "results = engine.Engine.results\n"
        f"engine.Engine.results = lambda *a: (time.sleep({pause}), results(*a))[1]\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    words = [
        "bulk",
        operation,
        source,
        "-o",
        output,
        "--model",
        model,
        "--quiet",
        "--chunk",
        16,
        "--batch",
        2,
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", code, *map(str, words), *arguments]
    return subprocess.Popen(command, env=environment, cwd=ROOT)


def _results(output: Path) -> int:
    return len(list(output.glob("images/*/*.png"))) + len(list(output.glob("stylemaps/*.safetensors")))


def _kill_after(output: Path, process: subprocess.Popen[bytes], count: int) -> None:
    end = time.monotonic() + 120
    while _results(output) < count:
        assert process.poll() is None, "it ended before it was killed"
        assert time.monotonic() < end
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.slow
@pytest.mark.parametrize(("operation", "stops"), [("reconstruct", (3, 30)), ("encode", (1,))])
def test_killed_and_started_again_the_output_is_the_same_to_the_byte(
    model_file: str, many: Path, tmp_path: Path, operation: str, stops: tuple[int, ...]
) -> None:
    kind = ["--format", "safetensors"] if operation == "encode" else []
    cut = ["--chunk", 16, "--batch", 2, *kind]
    assert bulk(operation, many, tmp_path / "whole", model_file, *cut) == 0
    out = tmp_path / "out"
    for stop in stops:
        _kill_after(out, _start(operation, many, out, model_file, 0.05, *kind), stop)
    times = {path: path.stat().st_mtime_ns for path in out.glob("*s/**/*.*") if "manifest" not in str(path)}
    assert bulk(operation, many, out, model_file, *cut) == 0
    assert contents(out) == contents(tmp_path / "whole")
    again = [path for path, when in times.items() if path.exists() and path.stat().st_mtime_ns != when]
    assert len(again) <= 6, "what was being read, computed and written may be done again, no more"


def test_what_is_done_is_not_done_again(
    model_file: str, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    assert bulk("reconstruct", photos, out, model_file) == 0
    before = contents(out)
    monkeypatch.setattr(worker, "Engine", None)  # a worker would fail
    assert bulk("reconstruct", photos, out, model_file) == 0
    assert contents(out) == before


def test_after_a_failure_the_rows_before_it_are_kept(
    model_file: str, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results, calls = engine.Engine.results, []

    def failing(self: engine.Engine, batch: object) -> object:
        calls.append(batch)
        if len(calls) == 5:
            raise RuntimeError("the device is gone")
        return results(self, batch)  # type: ignore[arg-type]

    monkeypatch.setattr(engine.Engine, "results", failing)
    out = tmp_path / "out"
    assert bulk("reconstruct", photos, out, model_file, "--batch", 2) == 1
    assert len(list(out.glob("images/*/*.png"))) >= 5
    assert bulk("reconstruct", photos, out, model_file, "--batch", 2) == 0
    assert len(calls) == 5 + (13 - 6 + 1) // 2
    assert len(rows(out)) == 13


def test_fail_fast_and_retry_failed(
    model_file: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "in"
    shutil.copytree(photos, source)
    out = tmp_path / "out"
    assert bulk("reconstruct", source, out, model_file, "--fail-fast") == 1
    error = capsys.readouterr().err
    assert f"row 0, {source}/broken.png: " in error
    assert error.count("\n") == 1
    assert not (out / "manifest.jsonl").exists()
    assert bulk("reconstruct", source, out, model_file, "--chunk", 256) == 0
    assert "1 of 13 rows failed" in capsys.readouterr().err
    shutil.copy(source / "p0.png", source / "broken.png")
    assert bulk("reconstruct", source, out, model_file) == 0
    assert rows(out)[0]["status"] == "error"
    assert bulk("reconstruct", source, out, model_file, "--retry-failed") == 0
    assert rows(out)[0]["status"] == "ok"
    one, other = (out / rows(out)[i]["output"] for i in (0, 1))
    assert one.read_bytes() == other.read_bytes()


def test_another_run_into_the_same_folder_is_refused(
    model_file: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert bulk("reconstruct", photos, out, model_file) == 0
    before = contents(out)
    for arguments, word in (
        (["--format", "jpg"], "holds a run with kind .png, this one has .jpg"),
        (["--precision", "bf16"], "holds a run with precision fp32"),
        (["--fit", "pad"], "holds a run with fit crop"),
    ):
        assert bulk("reconstruct", photos, out, model_file, *arguments) == 1
        assert word in capsys.readouterr().err
    assert bulk("reconstruct", photos / "p1.png", out, model_file) == 1
    assert "has changed since the run began" in capsys.readouterr().err
    assert contents(out) == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    assert bulk("reconstruct", photos, tmp_path / "mine", model_file) == 1
    assert "holds files, and no bulk run" in capsys.readouterr().err
    assert os.listdir(tmp_path / "mine") == ["letter.txt"]


def test_two_at_a_time_are_refused(
    model_file: str, many: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    process = _start("reconstruct", many, out, model_file, 0.2)
    try:
        end = time.monotonic() + 120
        while not (out / "jobs.jsonl").exists():
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.01)
        assert bulk("reconstruct", many, out, model_file, "--chunk", 16, "--batch", 2) == 1
        assert "another run is writing to" in capsys.readouterr().err
    finally:
        process.kill()
        process.wait()


def test_a_row_that_kills_its_worker_becomes_a_row_of_the_manifest(
    model_file: str, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert bulk("reconstruct", photos, out, model_file, "--batch", 1) == 0
    manifest = out / "manifest" / "000000.jsonl"
    kept = [json.loads(line) for line in manifest.read_text().splitlines()]
    manifest.unlink()
    with open_journal(out / "manifest" / ".000000.journal") as journal:
        journal.begin(0)
        journal.finish(kept[:1])
        for _ in range(worker._KILLED):
            journal.begin(4)
    with open(out / "manifest" / ".000000.journal", "ab") as file:
        file.write(b'{"begin": 7')  # it was killed over this line
    assert bulk("reconstruct", photos, out, model_file, "--batch", 1) == 0
    found = rows(out)
    assert "the worker died each time" in found[4]["error"]
    assert [row["index"] for row in found if row["status"] == "error"] == [0, 4]
