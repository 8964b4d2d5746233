"""Under torchrun the report of a failure ends with the line of the command that failed."""

from __future__ import annotations

from pathlib import Path

import pytest
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure

from stylemap.cli import main


def test_its_report_ends_with_our_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "error.json"
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(file))
    words = ["--output", str(tmp_path / "run"), "--device", "cpu"]
    assert main(["train", "--data", str(tmp_path / "größe"), *words]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("stylemap train: error: no data")
    failure = ProcessFailure(local_rank=0, pid=1, exitcode=1, error_file=str(file))
    *_, last, rule = str(ChildFailedError("stylemap", {0: failure})).splitlines()
    assert last == f"  traceback : {line}"
    assert set(rule) == {"="}


def test_a_file_that_cannot_be_written_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "missing" / "error.json"))
    assert main(["train", "--data", "nowhere", "--output", str(tmp_path / "run"), "--device", "cpu"]) == 1
    assert capsys.readouterr().err.count("\n") == 1
