"""Each operation computes what its command on single photos does."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from stylemap import edit
from stylemap.cli import main
from tests.bulk.results import bulk, contents, rows
from tests.helpers import needs, tiny


def _one(command: str, output: Path, model: str, *arguments: object) -> bytes:
    words = [command, *arguments, "-o", output, "--model", model, "--quiet", "--no-sheet"]
    assert main(list(map(str, words))) == 0
    return output.read_bytes()


def test_reconstruct_writes_the_files_of_the_single_command(
    model_file: str, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert bulk("reconstruct", photos, out, model_file, "--chunk", 5, "--batch", 2) == 0
    found = rows(out)
    assert [row["name"] for row in found] == ["broken", *(f"p{i}" for i in range(12))]
    assert found[0]["status"] == "error"
    assert "broken.png" in found[0]["error"]
    assert found[0]["output"] is None
    assert sorted(path.name for path in (out / "images").iterdir()) == ["000000", "000001", "000002"]
    for row in found[1:]:
        assert row["status"] == "ok"
        expected = _one("reconstruct", tmp_path / "one.png", model_file, row["original"])
        assert (out / row["output"]).read_bytes() == expected
    assert not list(out.rglob(".*"))


def test_edits_of_a_table(model_file: str, photos: Path, tmp_path: Path) -> None:
    mask = tmp_path / "m.png"
    Image.fromarray(np.pad(np.full((12, 12), 255, np.uint8), 10)).save(mask)
    jobs = [
        {"original": f"{photos}/p1.png", "reference": f"{photos}/p2.png", "mask": "m.png"},
        {"original": f"{photos}/p1.png", "mask": "box:0,0,0.5,1", "shift": [-4, 2], "weight": 0.5},
        {"original": f"{photos}/p1.png", "mask": "box:oops"},
        {"original": f"{photos}/p3.png", "mask": "m.png", "wait": 1},
        {"original": f"{photos}/none.png", "mask": "m.png"},
        {"original": f"{photos}/p3.png", "mask": "m.png", "reference": f"{photos}/broken.png"},
        {"mask": "m.png"},
    ]
    table = tmp_path / "jobs.jsonl"
    table.write_text("".join(json.dumps(job) + "\n" for job in jobs) + "{\n")
    out = tmp_path / "out"
    assert bulk("edit", table, out, model_file, "--reference", photos / "p4.png") == 0
    found = rows(out)
    assert [row["status"] for row in found] == ["ok", "ok", *["error"] * 6]
    one = ["--original", photos / "p1.png", "--reference"]
    expected = _one("edit", tmp_path / "a.png", model_file, *one, photos / "p2.png", "--mask", mask)
    assert (out / found[0]["output"]).read_bytes() == expected
    shifted = ["--mask", "box:0,0,0.5,1", "--shift", "-4,2", "--weight", "0.5"]
    expected = _one("edit", tmp_path / "b.png", model_file, *one, photos / "p4.png", *shifted)
    assert (out / found[1]["output"]).read_bytes() == expected
    for row, word in zip(
        found[2:],
        ("box", "'wait'", "none.png: No such file", "broken.png", "names no original", "no JSON"),
        strict=True,
    ):
        assert word in row["error"]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_mixes_of_tables_of_other_kinds(model_file: str, photos: Path, tmp_path: Path, kind: str) -> None:
    table = tmp_path / f"jobs.{kind}"
    columns = {
        "original": [f"{photos}/p0.png", f"{photos}/p1.png"],
        "reference": [f"{photos}/p2.png", f"{photos}/p3.png"],
        "take": ["fine", "0,1,5"],
        "name": ["ä/../x", "y"],
    }
    if kind == "csv":
        lines = [",".join(columns), *(",".join(f'"{v}"' for v in row) for row in zip(*columns.values()))]
        table.write_text("\n".join(lines))
    else:
        arrow, parquet = needs.package("pyarrow"), needs.package("pyarrow.parquet")
        parquet.write_table(arrow.table(columns), table)
    out = tmp_path / "out"
    assert bulk("mix", table, out, model_file) == 0
    found = rows(out)
    assert [Path(row["output"]).name for row in found] == ["00000000-ä_.._x.png", "00000001-y.png"]
    for row, a, b, take in zip(found, (0, 1), (2, 3), columns["take"]):
        pair = [photos / f"p{a}.png", photos / f"p{b}.png"]
        assert (out / row["output"]).read_bytes() == _one(
            "mix", tmp_path / "one.png", model_file, *pair, "--take", take
        )


def test_manipulate(model_file: str, photos: Path, tmp_path: Path) -> None:
    direction = edit.Direction(edit.direction.unit(torch.randn(8, 8, 8)), 1.0)
    edit.save_direction(direction, tmp_path / "d.npz")
    how = ["--direction", tmp_path / "d.npz", "--strength", -3, "--mask", "box:0,0,1,0.5"]
    out = tmp_path / "out"
    assert bulk("manipulate", photos / "p5.png", out, model_file, *how) == 0
    expected = _one("manipulate", tmp_path / "one.png", model_file, photos / "p5.png", *how)
    assert (out / rows(out)[0]["output"]).read_bytes() == expected
    assert bulk("manipulate", photos / "p5.png", tmp_path / "b", model_file, *how[:2]) == 1
    assert "needs a strength" in rows(tmp_path / "b")[0]["error"]
    assert bulk("manipulate", photos / "p5.png", tmp_path / "c", model_file, "--direction", "smile") == 1
    assert "one of the bundled model's" in rows(tmp_path / "c")[0]["error"]


def _maps(photos: Path, count: int) -> torch.Tensor:
    with torch.no_grad():
        return tiny.model().encode([photos / f"p{i}.png" for i in range(count)])


def test_stylemaps_as_parquet(model_file: str, photos: Path, tmp_path: Path) -> None:
    parquet = needs.package("pyarrow.parquet")
    out = tmp_path / "out"
    assert bulk("encode", photos, out, model_file, "--chunk", 7) == 0
    tables = [parquet.read_table(path) for path in sorted((out / "stylemaps").iterdir())]
    assert [len(table) for table in tables] == [6, 6]  # the broken one is in the manifest alone
    assert tables[0].column_names == ["index", "name", "original", "stylemap"]
    assert tables[0].column("stylemap").type.shape == [8, 8, 8]
    found = np.concatenate([table.column("stylemap").combine_chunks().to_numpy_ndarray() for table in tables])
    expected = _maps(photos, 12).numpy()
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
    assert {row["output"] for row in rows(out)} == {
        None,
        "stylemaps/000000.parquet",
        "stylemaps/000001.parquet",
    }
    pandas = needs.package("pandas")
    frame = pandas.read_parquet(out / "stylemaps")
    assert list(frame["name"]) == [f"p{i}" for i in range(12)]
    assert np.array_equal(np.stack(frame["stylemap"]).reshape(found.shape), found)


def test_stylemaps_as_safetensors(model_file: str, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert bulk("encode", photos, out, model_file, "--format", "safetensors") == 0
    found = load_file(out / "stylemaps" / "000000.safetensors")
    assert sorted(found) == [f"{i:08d}" for i in range(1, 13)]
    expected = _maps(photos, 1)[0]
    torch.testing.assert_close(found["00000001"], expected, rtol=1e-4, atol=1e-4)
    assert sorted(contents(out)) == [
        "jobs.jsonl",
        "manifest.jsonl",
        "manifest/000000.jsonl",
        "run.json",
        "stylemaps/000000.safetensors",
    ]
