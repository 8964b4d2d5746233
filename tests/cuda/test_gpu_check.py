"""The GPU check's own arithmetic, and its benchmark on a CPU at sizes of no interest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from stylemap.benchmarks import gpu_check, gpu_ops, gpu_plan
from stylemap.benchmarks.gpu_cases import Case


def test_benchmark_runs_and_compares(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "operators.json"
    assert gpu_ops.main(["--device", "cpu", "--tiny", "--output", str(output)]) == 0
    content = json.loads(output.read_text())
    assert content["skipped"] == 0
    assert content["peaks"]["copy_gbps"] > 0
    for row in content["rows"]:
        assert "failure" not in row, row
        assert {c["status"] for c in row["candidates"].values()} == {"graph"}, row
        assert all(c["ms"] > 0 for c in row["candidates"].values())
    assert "| modulate_conv" in capsys.readouterr().out


def test_benchmark_out_of_time_says_so(tmp_path: Path) -> None:
    output = tmp_path / "operators.json"
    gpu_ops.main(["--device", "cpu", "--tiny", "--seconds", "0", "--output", str(output)])
    content = json.loads(output.read_text())
    assert content["rows"] == []
    assert content["skipped"] > 10


def test_plan_benchmark_runs_and_compares(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "plan.json"
    options = ["--device", "cpu", "--tiny", "--precision", "fp32", "--output", str(output)]
    assert gpu_plan.main(options) == 0
    model = json.loads(output.read_text())["models"]["tiny"]
    assert "failure" not in model, model
    assert set(model["rows"]) == set(model["layers"]) == {"decode", "edit", "encode"}
    for name, row in model["rows"].items():
        assert row["replay"] > 0
        assert row["speedup"] > 0
        assert model["layers"][name]
    assert model["rows"]["edit"]["stroke"] > 0
    assert model["rows"]["decode"]["rival_difference"] < 1e-5
    passes = [row["pass"].split()[0] for row in model["layers"]["decode"]]
    assert passes.count("modulate_conv") == 3
    assert "| tiny | edit |" in capsys.readouterr().out


def test_wrong_plans_are_not_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(gpu_plan.TOLERANCE, "fp32", 0.0)
    output = tmp_path / "plan.json"
    gpu_plan.main(["--device", "cpu", "--tiny", "--precision", "fp32", "--output", str(output)])
    step = {"status": "passed", **json.loads(output.read_text())}
    assert "rows" not in step["models"]["tiny"]
    assert gpu_check.problems({"steps": {"plan": step}}) == ["plan, tiny: wrong: decode, edit, encode"]


def test_a_plan_out_of_time_keeps_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    late: dict[str, Any] = {"status": "not finished in 90 s", "models": {"a": {"rows": {}}}}
    monkeypatch.setattr(gpu_check, "benchmark", lambda *_: dict(late))
    assert gpu_check.plan("90a", 90)["status"] == "passed"
    late["models"] = {}
    assert gpu_check.plan("90a", 90)["status"] == "not finished in 90 s"


def test_wrong_results_are_not_timed() -> None:
    x = torch.ones(4)
    case = Case("c", {"ours": lambda: x + 1, "eager": lambda: x}, 1, 0, torch.float32, expected=lambda: x)
    row = gpu_ops.measure(case, gpu_ops.Timer(torch.device("cpu")), {"copy_gbps": 1.0})
    assert row["candidates"]["ours"]["status"] == "wrong"
    assert "ms" not in row["candidates"]["ours"]
    assert not row["met"]
    report: dict[str, Any] = {"steps": {"operators": {"status": "passed", "rows": [row]}}}
    assert gpu_check.problems(report) == ["c: wrong: ours"]


@pytest.mark.parametrize(("ours", "met"), [(1.0, True), (1.01, True), (1.2, False)])
def test_no_slower_than_the_rival(ours: float, met: bool) -> None:
    candidates = {"ours: a": {"ms": ours, "spread": 0.02}, "cudnn": {"ms": 1.0, "spread": 0.01}}
    case = Case("c", {}, rival="cudnn")
    assert gpu_ops.verdict(case, candidates)["met"] is met


def test_share_of_the_peak() -> None:
    case = Case("c", {}, target=0.8)
    for fraction, met in ((0.81, True), (0.79, False)):
        candidates = {"ours": {"ms": 1.0, "spread": 0.0, "fraction": fraction}}
        assert gpu_ops.verdict(case, candidates)["met"] is met


def test_report(tmp_path: Path) -> None:
    assert gpu_check.architecture("9.0") == "90a"
    assert gpu_check.architecture("8.6") == "86"
    assert gpu_check.counts(["", "1 failed, 900 passed, 3 skipped in 61.3s"]) == {
        "failed": 1,
        "passed": 900,
        "skipped": 3,
    }
    bad = {"status": "exit status 1"}
    steps = {"install": {"status": "passed"}, "tests": bad, "sanitizer": {"memcheck": bad, "racecheck": bad}}
    report: dict[str, Any] = {"machine": {"device": "NVIDIA H200"}, "steps": steps}
    assert gpu_check.problems(report) == [f"{n}: exit status 1" for n in ("tests", "memcheck", "racecheck")]
    path = gpu_check.write(report, tmp_path)
    assert path.name == "gpu_nvidia_h200.json"
    assert json.loads(path.read_text()) == report


def test_steps_are_recorded_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gpu_check.run(["false"], 10)["status"] == "exit status 1"
    assert gpu_check.run(["no-such-program"], 10)["status"] == "not available: no-such-program"
    assert gpu_check.run(["sleep", "5"], 0.2)["status"] == "not finished in 0 s"
    assert gpu_check.run(["echo", "hello"], 10)["tail"] == ["hello"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu_check.main([]) == 2
    assert "no CUDA device" in capsys.readouterr().err
