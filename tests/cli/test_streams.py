"""Closed, full and narrow stdout and stderr, and paths that begin with ~."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

import stylemap
from stylemap.cli import main, streams

ROOT = Path(stylemap.__file__).parent.parent
PREPARED = f"import runpy; s = runpy.run_path({streams.__file__!r}); s['prepare'](); import sys, os; "


def _prepared(code: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    """Run code after `streams.prepare` in a process of its own, without the package: torch takes long."""
    return subprocess.run([sys.executable, "-c", PREPARED + code], check=False, **options)  # type: ignore[call-overload]


def _shell(redirection: str, *arguments: object) -> subprocess.CompletedProcess[bytes]:
    """Run a command with a redirection of the shell's."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    script = f'exec "$0" -m stylemap "$@" {redirection}'
    command = ["sh", "-c", script, sys.executable, *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, env=environment)


@pytest.mark.parametrize("number", [1, 2])
def test_a_closed_descriptor_goes_to_no_file(tmp_path: Path, number: int) -> None:
    """Without care the first file opened would be the stream, and hold what libraries say there."""
    code = (
        "f = open('o', 'w'); os.write(NUMBER, b'x'); print('told', file=STREAM); f.write('mine'); f.close()"
    )
    code = code.replace("NUMBER", str(number)).replace("STREAM", ("sys.stdout", "sys.stderr")[number - 1])
    command = ["sh", "-c", f'exec "$0" -c "$1" {number}>&-', sys.executable, PREPARED + code]
    assert subprocess.run(command, check=False, cwd=tmp_path).returncode == 0
    assert (tmp_path / "o").read_text() == "mine"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_any_text_in_any_encoding(encoding: str) -> None:
    code = r"print('é … \u4e2d \udcff'); print('é … \u4e2d \udcff', file=sys.stderr)"
    done = _prepared(code, capture_output=True, env={**os.environ, "PYTHONIOENCODING": encoding})
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode(encoding)
    assert r"\udcff" in text
    assert ("é" in text) == (encoding != "ascii")
    assert done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_a_full_stderr_does_not_stop_the_work() -> None:
    code = "s['tell']('one'); s['tell']('two'); print('done')"
    command = ["sh", "-c", 'exec "$0" -c "$1" 2>/dev/full', sys.executable, PREPARED + code]
    done = subprocess.run(command, check=False, capture_output=True)
    assert (done.returncode, done.stdout) == (0, b"done\n")


def test_a_command_with_both_closed(model_file: str, photos: Path, tmp_path: Path) -> None:
    arguments = ("reconstruct", photos / "p0.png", "--model", model_file, "--output", tmp_path / "a.png")
    done = _shell(">&- 2>&-", *arguments, "--device", "cpu", "--no-sheet")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")
def test_a_command_with_a_full_stdout_says_so() -> None:
    done = _shell(">/dev/full", "info")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(b"stylemap info: error: ")
    assert b"No space left on device" in done.stderr
    assert b"Exception ignored" not in done.stderr


class _Broken(io.TextIOWrapper):
    """A stream whose other end is gone."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


def test_a_reader_that_left(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdout", _Broken(io.BytesIO()))
    assert main(["info"]) == 1
    assert capsys.readouterr().err == ""


def test_progress_that_nobody_reads(
    model_file: str, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", _Broken(io.BytesIO()))
    arguments = ["reconstruct", photos, "--model", model_file, "--output", tmp_path, "--device", "cpu"]
    assert main([*map(str, arguments)]) == 0
    assert len(list(tmp_path.iterdir())) == 5


def test_names_that_ascii_lacks(
    model_file: str, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(told, encoding="ascii"))
    output = tmp_path / "é中.png"
    arguments = ["reconstruct", photos / "p0.png", "--model", model_file, "--output", output, "--no-sheet"]
    assert main([*map(str, arguments), "--device", "cpu"]) == 0
    assert told.getvalue().endswith(b"\\xe9\\u4e2d.png\n")
    assert output.exists()


def test_tilde_in_any_path(
    model_file: str, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("p0.png", "p1.png"):
        (tmp_path / name).write_bytes((photos / name).read_bytes())
    (tmp_path / "m.safetensors").write_bytes(Path(model_file).read_bytes())
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(photos)
    arguments = [
        "edit",
        "--original=~/p0.png",
        "--reference=~/p1.png",
        "--mask=~/p1.png",
        "--output=~/o/a.png",
    ]
    assert main([*arguments, "--model=~/m.safetensors", "--device", "cpu"]) == 0
    assert sorted(path.name for path in (tmp_path / "o").iterdir()) == ["a.png", "a_sheet.png"]
    assert not (photos / "~").exists()
