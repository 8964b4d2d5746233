"""What is made of results: tables, pictures, comparison, README."""

from __future__ import annotations

import copy
import json
import re
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch

from stylemap import benchmarks
from stylemap.benchmarks import (
    compare,
    edit,
    readme,
    report,
    results,
    tables,
    timing,
)
from stylemap.benchmarks.ratios import ratio_rows
from stylemap.cli import main
from tests.benchmarks.test_edit import SCHEMA
from tests.helpers import needs


def edit_row(backend: str, scenario: str, ms: list[float], precision: str = "fp32") -> dict[str, Any]:
    row = {"model": "full", "precision": precision, "scenario": scenario, "backend": backend}
    timed = edit.timed_row(timing.Samples(1, ms), 1)
    return {**row, "error": 1e-6, "tolerance": 1e-5, "status": "ok", **timed}


def content() -> dict[str, Any]:
    rows = [
        edit_row("engine", "decode", [100 + i % 3 for i in range(40)]),
        edit_row("engine", "paint_64", [50 + i % 5 for i in range(120)]),
        edit_row("published", "decode", [900.0, 910.0, 905.0, 902.0, 904.0]),
        edit_row("published", "paint_64", [800.0, 810.0, 805.0, 802.0, 804.0]),
        edit_row("plain", "decode", [300.0, 310.0, 305.0, 302.0, 304.0]),
    ]
    rows.append({**rows[1], "backend": "openvino", "status": "wrong", "error": 0.5})
    for name in ("spread", "p50", "p95", "p99", "max", "fps", "stride", "milliseconds"):
        del rows[-1][name]
    side_of = {"model": "full", "precision": "fp32", "backend": "engine"}
    stage = {"mask": 1.0, "blend": 2.0, "modulation": 3.0, "main path": 40.0, "bytes": 0.5, "rest": 0.25}
    scaling = {"model": "256 small", "precision": "fp32", "backend": "engine", "operation": "edit"}
    op = {"op": "bias_act", "case": "bias_act 1x1x1x1 float32", "direction": "forward", "ratio": 9.0}
    side = {"its": 0.5, "spread": 1.0, "peak_mib": 100.0}
    parts = {
        "ratios": ratio_rows(rows),
        "edit": rows,
        "stages": [side_of | {"scenario": "paint_64", "stages": stage}],
        "cold": [
            side_of
            | {"import_s": 2.0, "model_s": 3.0, "ready_s": 5.0, "open_s": 0.5, "edit_s": 0.25}
            | {"base_mib": 300.0, "peak_mib": 4000.0}
        ],
        "peaks": {"copy_gb_per_s": 10.0, "matmul_fp32_gflop_per_s": 100.0, "matmul_bf16_gflop_per_s": 200.0},
        "ops": [
            op
            | {"low": 8.5, "high": 9.5, "native_ms": 1.0, "reference_ms": 9.0, "gb_per_s": 8.0}
            | {"gflop_per_s": 3.0, "of_peak": 0.8}
        ],
        "training": [{"case": "128 narrow", "native": side, "reference": side, "speedup": 1.0}],
        "scaling": [
            {**scaling, "axis": "size", "x": [128, 256], "ms": [10.0, 40.0], "fit": "power", "slope": 2.0},
            {**scaling, "axis": "area", "x": [1, 50], "ms": [10.0, 15.0], "fit": "line", "slope": 0.1},
        ],
        "skipped": ["ncnn: not installed (pip install ncnn pnnx) <&>"],
    }
    return results.document(
        parts, command="stylemap bench", settings={"quick": False}, device=torch.device("cpu"), start=0.0
    )


def test_contents_are_valid_and_survive_the_file(tmp_path: Path) -> None:
    found = content()
    jsonschema.validate(found, SCHEMA)
    assert results.read(results.write(found, tmp_path / "a.json")) == found
    assert sorted(tmp_path.iterdir()) == [tmp_path / "a.json"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 1}', "\x00"])
def test_other_files_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(ValueError, match=r"x\.json"):
        results.read(tmp_path / "x.json")


@pytest.mark.parametrize("damage", [*content(), "rows", "all"])
def test_a_damaged_result_is_named(damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever is missing or of another kind: read nevertheless, or one line with the file's name."""
    found = content()
    if damage == "rows":
        del found["edit"][0]["backend"]
    elif damage == "all":
        found = {"schema": results.VERSION}
    elif damage != "schema":
        found[damage] = [None, 7] if not isinstance(found[damage], list) else {"a": 1}
    path, other = tmp_path / "x.json", results.write(content(), tmp_path / "y.json")
    path.write_text(json.dumps(found))
    for words in (["report", path, "--output", tmp_path / "out"], ["compare", path, other]):
        status = main(["bench", *map(str, words)])
        lines = capsys.readouterr().err.splitlines()
        assert status == 0 or str(path) in lines[0] or "became slower" in lines[0], lines
        assert len(lines) == status
        assert "fault" not in "".join(lines)


def test_report_is_markdown_pictures_and_one_whole_page(tmp_path: Path) -> None:
    needs.package("matplotlib")
    needs.package("markdown_it")
    markdown, *pictures, page = report.write(content(), tmp_path)
    names = ["backends", "stylemap_fp32"]
    assert [p.name for p in pictures] == [*(f"bench_256_full_{n}.png" for n in names), "bench_scaling.png"]
    assert all(p.read_bytes().startswith(b"\x89PNG") for p in pictures)
    text = markdown.read_text()
    assert "| **stylemap** fp32 | 101 | 52 |" in text
    assert re.findall(r"!\[.*?\]\((.*?)\)", text) == [p.name for p in pictures]
    text = page.read_text()
    # Nothing is fetched: every link holds its data.
    links = re.findall(r'(?:href|src)="([^"]*)"', text)
    assert len(links) == 3
    assert all(link.startswith("data:image/png;base64,") for link in links)
    assert "ncnn: not installed (pip install ncnn pnnx) &lt;&amp;&gt;" in text
    assert "<strong>stylemap</strong> fp32" in text


def test_report_without_matplotlib_has_its_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "stylemap.benchmarks.figures", None)
    monkeypatch.delattr(benchmarks, "figures", raising=False)
    assert [path.suffix for path in report.write(content(), tmp_path)] == [".md", ".html"]
    assert "| **stylemap** fp32 | 101 | 52 |" in (tmp_path / "bench.md").read_text()


def test_tables_show_what_was_not_reported() -> None:
    found = content()
    assert "| OpenVINO fp32 |  | wrong |" in tables.latencies(found, "full")
    found["edit"][0] |= {"status": "noisy", "p50": None}
    assert "| **stylemap** fp32 | noisy |" in tables.latencies(found, "full")
    found["edit"][0]["status"] = "few"
    assert "| **stylemap** fp32 | few |" in tables.latencies(found, "full")
    assert (
        "| published formulation fp32: decode, fp32 | 256 full | 9× | 8.87 to 9.02 | 5 | 6× met |"
        in tables.goals(found)
    )
    assert "6× met |" in tables.goals(found)
    assert "15× met |" in tables.goals(found)
    found["ratios"][0] = {**found["ratios"][0], "status": "noisy"}
    assert "decode, fp32 | 256 full | too noisy to report |" in tables.goals(found)
    found["ratios"][0]["status"] = "few"
    assert "decode, fp32 | 256 full | too few samples |" in tables.goals(found)


def scaled(times: float, *backends: str) -> dict[str, Any]:
    found = copy.deepcopy(content())
    for row in found["edit"]:
        if row["backend"] in backends and "milliseconds" in row:
            row["milliseconds"] = [ms * times for ms in row["milliseconds"]]
    return found


def test_compare_finds_regressions() -> None:
    same = compare.compare(content(), content())
    assert (same.slower, same.faster, same.wrong, same.compared) == ([], [], [], 3)
    slower = compare.compare(content(), scaled(1.2, "engine"))
    assert len(slower.slower) == 2
    assert "paint, brush 64, 1 reference: 1.20 times as long" in slower.text()
    assert len(compare.compare(scaled(1.2, "engine"), content()).faster) == 2


def test_compare_divides_out_what_the_machine_did() -> None:
    loaded = compare.compare(content(), scaled(1.5, "engine", "published", "plain"))
    assert loaded.drift == pytest.approx(1.5)
    assert loaded.slower == []
    assert "divided out" in loaded.text()


def test_compare_takes_no_change_from_fewer_than_three_samples() -> None:
    """A rival that was timed twice says nothing about the machine."""
    before, after = content(), scaled(1.5, "published", "plain")
    for row in before["edit"]:
        if row["backend"] in ("published", "plain"):
            row["milliseconds"] = row["milliseconds"][:2]
    found = compare.compare(before, after)
    assert found.drift == 1
    assert found.slower == found.faster == []


def test_compare_doubts_what_rivals_disagree_on() -> None:
    after = scaled(1.3, "engine")
    for row in after["edit"]:
        if row["backend"] == "published":
            row["milliseconds"] = [ms * 1.6 for ms in row["milliseconds"]]
    found = compare.compare(content(), after)
    assert found.slower == found.faster == []


def test_compare_notes_other_machines_and_wrong_results() -> None:
    after = content()
    after["machine"]["threads"] += 1
    after["edit"][0] = {**after["edit"][-1], "scenario": "decode", "backend": "engine"}
    found = compare.compare(content(), after)
    assert any("not the same threads" in note for note in found.notes)
    assert len(found.wrong) == 1


def test_compare_of_noise_says_nothing() -> None:
    after = content()
    after["edit"][1]["milliseconds"] = [20.0, 100.0, 70.0, 30.0, 140.0, 45.0]
    found = compare.compare(content(), after)
    assert found.slower == found.faster == []
    assert found.noisy == 1


def test_compare_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = results.write(content(), tmp_path / "a.json")
    after = results.write(scaled(2.0, "engine"), tmp_path / "b.json")
    assert main(["bench", "compare", str(before), str(before)]) == 0
    assert main(["bench", "compare", str(before), str(after)]) == 1
    captured = capsys.readouterr()
    assert "2 slower" in captured.out
    assert "2 of 3 measurements became slower" in captured.err


def test_report_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = results.write(content(), tmp_path / "mine.json")
    assert main(["bench", "report", str(file)]) == 0
    assert (tmp_path / "mine.html").is_file()
    assert "mine.md" in capsys.readouterr().out


@pytest.mark.parametrize("document", readme.DOCUMENTS, ids=lambda document: document.name)
def test_documents_agree_with_the_committed_results(document: Path) -> None:
    text = document.read_text()
    found = results.read(readme.RESULT) if readme.RESULT.is_file() else None
    assert "<!-- bench:machine -->" in text
    assert readme.generated(text, found) == text, "run: stylemap bench readme"


def test_committed_results_are_valid() -> None:
    for path in readme.RESULT.parent.glob("*bench*.json"):
        jsonschema.validate(results.read(path), SCHEMA)


def test_readme_is_written_between_its_marks(tmp_path: Path) -> None:
    page, result = tmp_path / "README.md", results.write(content(), tmp_path / "bench.json")
    page.write_text(
        "a\n<!-- bench:goals -->\nold\n<!-- /bench -->\nb\n<!-- bench:machine -->\n<!-- /bench -->\n"
    )
    with pytest.raises(ValueError, match="stylemap bench readme"):
        readme.update(check=True, readme=page, result=result)
    assert "old" in page.read_text()
    assert readme.update(readme=page, result=result)
    text = page.read_text()
    assert text.startswith("a\n<!-- bench:goals -->\n| times as fast as")
    assert "old" not in text
    assert not readme.update(check=True, readme=page, result=result)
    page.write_text("<!-- bench:nothing -->\n<!-- /bench -->")
    with pytest.raises(ValueError, match="nothing"):
        readme.update(readme=page, result=result)


def test_documents_say_what_the_small_generator_was_measured_at() -> None:
    root = Path(__file__).parents[2]
    ratios = results.read(root / "benchmarks" / "results" / "small.json")["ratios"]
    (found,) = (row["value"] for row in ratios if row["name"] == "small decode fp32 against ncnn")
    assert f"{found:.2f} times as fast as in ncnn" in (root / "docs" / "speed.md").read_text()


def test_documents_say_what_training_was_measured_at() -> None:
    root = Path(__file__).parents[2]
    measured = json.loads((root / "benchmarks" / "results" / "training_cpu.json").read_text())
    rows = {row["case"]: row for row in measured["results"]}
    text = (root / "docs" / "training.md").read_text()
    assert f"commit {measured['machine']['commit']}; [JSON](../benchmarks/results/training_cpu.json)" in text
    for case, label in (
        ("128 narrow batch 8", "128×128, batch 8"),
        ("256 narrow batch 4", "256×256, batch 4"),
    ):
        (line,) = (line for line in text.splitlines() if line.startswith(f"| {label} |"))
        for row in (rows[f"{case} fp32"], rows[f"{case} bf16"]):
            assert f"{row['speedup']:.1f}×" in line
            assert f"{row['memory_ratio']:.0%}".replace("%", " %") in line
