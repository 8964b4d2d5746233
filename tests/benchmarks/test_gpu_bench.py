"""The GPU benchmark's own arithmetic; what it measures is tested elsewhere."""

from __future__ import annotations

import jsonschema
import pytest
import torch

from stylemap.benchmarks import edit, gpu_bench, gpu_check, suite
from stylemap.cli import bench
from stylemap.cli.app import build_parser
from tests.benchmarks.test_edit import SCHEMA
from tests.benchmarks.test_report import content, edit_row, scaled


def test_gpu_parts_are_merged() -> None:
    first, second = content(), scaled(3.0, "engine")
    second["edit"].append(edit_row("engine", "mix", [1.0, 1.0, 1.0]))
    found = gpu_bench.merged([first, second], "make gpu-bench", 12.0)
    assert found["edit"] == [*first["edit"], second["edit"][-1]]
    assert found["skipped"] == first["skipped"]
    assert len(found["scaling"]) == 2
    jsonschema.validate(found, SCHEMA)
    assert gpu_bench.wrong({"edit": [{**first["edit"][-1], "backend": "engine"}]}) != []


def test_gpu_bench_takes_ten_minutes_at_most() -> None:
    assert sum(part.seconds for part in gpu_bench.PARTS) + sum(gpu_bench.STEPS.values()) <= 600
    for name in ("install", "operators"):
        assert gpu_bench.STEPS[name] >= gpu_check.SECONDS[name]


def test_gpu_parts_are_commands_that_there_are() -> None:
    for part in gpu_bench.PARTS:
        args = build_parser().parse_args(["bench", *part.arguments, "--device", "cuda", "--output", "x"])
        assert bench._edit_settings(args).models


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_gpu_bench_without_a_gpu_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu_bench.main([]) == 2
    assert "no CUDA device" in capsys.readouterr().err


def test_groups_of_rivals_make_one_result(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(settings: edit.Settings, result: edit.Result) -> None:
        rival = settings.backends[1]
        if rival == "onnxruntime":
            raise RuntimeError("out of\nmemory")
        if settings.models == ("full",):
            result.rows += [edit_row("engine", "decode", [10.0] * 5), edit_row(rival, "decode", [70.0] * 5)]

    monkeypatch.setattr(edit, "run", run)
    asked = suite.Run("stylemap bench", torch.device("cpu"), torch.get_num_threads(), parts=("edit",))
    found = suite.run(asked)
    jsonschema.validate(found, SCHEMA)
    assert [row["backend"] for row in found["edit"]] == ["engine", "published", "ncnn"]
    goals = [row["name"] for row in found["ratios"] if "target" in row]
    assert goals == ["decode fp32", "decode fp32 against ncnn"]
    assert found["skipped"] == ["full: out of memory"]
