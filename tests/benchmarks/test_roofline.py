"""The roofline of the CPU engine, on the smallest model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stylemap.benchmarks import models, operators, results, roofline
from stylemap.benchmarks.layers import Cost
from stylemap.program import network


@pytest.fixture(scope="module")
def content() -> dict[str, Any]:
    # PyTorch's own peaks take seconds; the engine's are measured.
    known = {"copy_gb_per_s": 10.0, "matmul_fp32_gflop_per_s": 1e-3, "matmul_bf16_gflop_per_s": 1e-3}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(operators, "peaks", lambda clock, quick: known)
        return roofline.measure(["tiny"], ["fp32", "bf16"], runs=2, quick=True)


def test_every_layer_has_a_floor(content: dict[str, Any]) -> None:
    assert all(value > 0 for value in content["peaks"].values())
    for precision in ("fp32", "bf16"):
        # The larger of the two.
        peak = content["peaks"]
        assert peak[f"{precision}_gmac_per_s"] == peak[f"{precision}_engine_gmac_per_s"] > 5e-4
    layers = list(network(models.CONFIGS["tiny"]).convolutions())
    for precision in ("fp32", "bf16"):
        rows = [row for row in content["layers"] if row["precision"] == precision]
        assert {row["layer"] for row in rows} == {layer.name for layer in layers}
        for row in rows:
            assert min(row[name] for name in ("products", "bytes", "floor_ms", "ms", "share")) > 0
    # From 16 to 8 channels at 32 × 32; F(M × M) takes (M + 2)² multiply-adds for M² results.
    row = next(r for r in content["layers"] if r["layer"] == "decoder/convs.1/conv2" and r["run"] == "edit")
    assert row["direct"] == 9 * 8 * 8 * 32 * 32
    maps = 2 * 16
    assert row["bytes"] >= 4 * 32 * 32 * (8 + 8 + maps)


def test_stages_are_the_sums_of_their_layers(content: dict[str, Any]) -> None:
    for stage in content["stages"]:
        if stage["run"] == "edit":
            continue
        rows = [
            row
            for row in content["layers"]
            if all(row[key] == stage[key] for key in ("model", "precision", "run"))
            and stage["stage"] in (row["stage"], "whole")
        ]
        assert rows
        for name in ("products", "direct", "bytes"):
            assert stage[name] == sum(row[name] for row in rows)
        assert stage["floor_ms"] == pytest.approx(sum(row["floor_ms"] for row in rows), rel=1e-3)
        if stage["stage"] != "whole":
            assert stage["ms"] == pytest.approx(sum(row["ms"] for row in rows), rel=1e-3)
    found = [(row["run"], row["stage"]) for row in content["stages"] if row["precision"] == "fp32"]
    decode = ("stylecodes", "maps", "main path", "image", "whole")
    assert found == [
        *(("encode", stage) for stage in ("encode", "whole")),
        *(("decode", stage) for stage in decode),
        *(("edit", stage) for stage in ("paste", "ring", "main path")),
    ]


def test_the_floor_is_the_larger_of_products_and_bytes() -> None:
    peak = {"copy_gb_per_s": 10.0, "fp32_gmac_per_s": 100.0, "bf16_gmac_per_s": 400.0}
    assert Cost(10**9, 0, 10**7, False).floor(peak) == pytest.approx((10.0, 1.0))
    assert Cost(10**9, 0, 10**8, True).floor(peak) == pytest.approx((2.5, 10.0))


def test_the_command_writes_whole_files(
    content: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(roofline, "measure", lambda names, precisions: content)
    path = tmp_path / "roofline.json"
    assert roofline.main(["tiny", "--output", str(path)]) == 0
    assert json.loads(path.read_text())["stages"] == content["stages"]
    printed = capsys.readouterr().out
    assert "32 tiny, bf16" in printed
    assert "decoder/to_rgb" in printed

    def broken(*_: object) -> str:
        raise OSError("disk full")

    monkeypatch.setattr(results, "_compact", broken)
    before = path.read_bytes()
    with pytest.raises(OSError, match="disk full"):
        roofline.main(["tiny", "--output", str(path)])
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(SystemExit):
        roofline.main(["nothing", "--output", str(path)])
    assert "no model 'nothing'" in capsys.readouterr().err
