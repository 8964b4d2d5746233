"""Commands over random small folders of odd files: what is promised is there, and no input is changed."""

from __future__ import annotations

import contextlib
import io
import json
import re
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import safetensors.torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pyarrow import parquet

from stylemap import images
from stylemap.cli import main
from stylemap.data.lmdb_store import LmdbDataset
from tests.helpers import tiny

_NAMES = st.builds(
    lambda stem, suffix: stem + suffix,
    st.text(st.sampled_from("a1_A~é"), min_size=1, max_size=3) | st.just("sheet"),
    st.sampled_from([".png", ".jpg", ".webp", ".PNG", ".txt", ""]),
)
_KINDS = st.sampled_from(["photo"] * 6 + ["grey", "wide", "text", "cut", "empty", "folder"])
_COMMANDS = st.sampled_from(
    [
        ["reconstruct", "IN"],
        ["mix", "IN", "seed:1"],
        ["interpolate", "seed:3", "IN", "--frames", "2"],
        ["edit", "--original", "IN", "--reference", "PHOTO", "--mask", "box:0,0,1,0.5", "--frames", "2"],
        ["edit", "--original", "IN", "--reference", "PHOTO", "--mask", "box:0,0,1,0.5", "--mode", "w"],
        ["invert", "IN", "--steps", "0", "--perceptual-weight", "0"],
        ["manipulate", "IN", "--map", "PHOTO"],
        ["transplant", "--original", "IN", "--reference", "PHOTO", "--box", "0,0,0,0,1,1"],
    ]
)
_DATA = st.sampled_from(
    [
        ["data", "lmdb", "IN", "--sizes", "16", "--output", "OUT"],
        ["evaluate", "--data", "IN", "--samples", "2", "--batch", "2"],
        ["bulk", "reconstruct", "IN", "--output", "OUT"],
        ["bulk", "encode", "IN", "--output", "OUT"],
        ["bulk", "encode", "IN", "--output", "OUT", "--format", "safetensors"],
        ["bulk", "mix", "IN", "--reference", "PHOTO", "--output", "OUT"],
        ["bulk", "edit", "IN", "--reference", "PHOTO", "--mask", "box:0,0,1,0.5", "--output", "OUT"],
        ["bulk", "edit", "IN", "--reference", "MISSING", "--mask", "PHOTO", "--output", "OUT", "--shards"],
        ["bulk", "manipulate", "IN", "--direction", "DIRECTION", "--output", "OUT"],
        ["bulk", "reconstruct", "IN", "--output", "IN"],
    ]
)


def _make(path: Path, kind: str, index: int) -> None:
    encoded = io.BytesIO()
    side = (9, 5) if kind == "wide" else (tiny.SIZE, tiny.SIZE)
    picture = images.to_image(tiny.photos(1, seed=index)[0]).resize(side)
    (picture.convert("L") if kind == "grey" else picture).save(encoded, "PNG")
    content = {"text": b"no picture", "cut": encoded.getvalue()[:60], "empty": b""}
    if kind == "folder":
        path.mkdir()
    else:
        path.write_bytes(content.get(kind, encoded.getvalue()))


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(st.tuples(_NAMES, _KINDS), max_size=5, unique_by=lambda file: file[0]), _COMMANDS, st.booleans()
)
def test_odd_folders(model_file: str, files: list[tuple[str, str]], command: list[str], onto: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, output, photo = Path(name, "in"), Path(name, "out"), Path(name, "photo.png")
        folder.mkdir()
        for index, (file, kind) in enumerate(files):
            _make(folder / file, kind, index)
        Image.new("RGB", (tiny.SIZE, tiny.SIZE), (90, 60, 30)).save(photo)
        before = _contents(Path(name))
        words = [{"IN": str(folder), "PHOTO": str(photo)}.get(word, word) for word in command]
        words += ["--output", str(folder if onto else output), "--model", model_file, "--device", "cpu"]
        told, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(told), contextlib.redirect_stderr(errors):
            status = main(words)
        after = _contents(Path(name))
        assert {path: after.get(path) for path in before} == before
        lines = [line for line in errors.getvalue().splitlines() if "error:" in line]
        if status == 0:
            assert lines == []
            promised = re.search(r"wrote (\d+) images? in ", told.getvalue())
            assert promised is not None
            new = [path for path in after.keys() - before.keys() if path.endswith(".png")]
            new = [path for path in new if not path.endswith("_loss.png")] if words[0] == "invert" else new
            assert len(new) == int(promised[1]) + 1  # and the contact sheet
        else:
            assert status == 1
            assert len(lines) == 1
            assert "a fault of stylemap" not in lines[0]
            assert "wrote" not in told.getvalue()


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(_NAMES, _KINDS), max_size=5, unique_by=lambda file: file[0]), _DATA, st.booleans())
def test_odd_data(model_file: str, files: list[tuple[str, str]], command: list[str], skip: bool) -> None:
    """Commands that read folders as data: with what --json says of the results."""
    with tempfile.TemporaryDirectory() as name:
        folder, output = Path(name, "in"), Path(name, "out")
        folder.mkdir()
        for index, (file, kind) in enumerate(files):
            _make(folder / file, kind, index)
        places = {"IN": folder, "OUT": output, "MISSING": Path(name, "missing.png")}
        places |= {"PHOTO": Path(name, "photo.png"), "DIRECTION": Path(name, "d.npz")}
        Image.new("RGB", (tiny.SIZE, tiny.SIZE), (90, 60, 30)).save(places["PHOTO"])
        np.savez(places["DIRECTION"], vector=np.ones(tiny.CONFIG.stylemap_shape, np.float32))
        before = _contents(Path(name))
        words = [str(places.get(word, word)) for word in command] + ["--json"]
        words += ["--skip-corrupt"] if skip and words[0] != "bulk" else []
        words += ["--model", model_file, "--device", "cpu"] if words[0] != "data" else []
        told, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(told), contextlib.redirect_stderr(errors):
            status = main(words)
        after = _contents(Path(name))
        assert {path: after.get(path) for path in before} == before
        lines = [line for line in errors.getvalue().splitlines() if "error:" in line]
        facts = json.loads(told.getvalue().splitlines()[-1])
        if status:
            assert status == 1
            assert len(lines) == 1
            assert "a fault of stylemap" not in lines[0]
            assert lines[0].endswith(facts["error"])
            return
        assert lines == []
        if words[0] == "data":
            assert len(LmdbDataset(output, 16)) == facts["written"]
        elif words[0] == "bulk":
            assert _results(output) == facts["rows"] - facts["failed"]
        elif words[0] == "evaluate":
            assert set(after) == set(before)


def _results(output: Path) -> int:
    """How many images or stylemaps a bulk run wrote, of which its manifest names every one."""
    named = [json.loads(line)["output"] for line in (output / "manifest.jsonl").read_text().splitlines()]
    made = [path for path in named if path is not None]
    assert all((output / path.partition("#")[0]).is_file() for path in made)
    count = len(list(output.rglob("*.png")))
    for shard in output.rglob("*.tar"):
        with tarfile.open(shard) as archive:
            count += len(archive.getnames())
    count += sum(parquet.read_table(path).num_rows for path in output.rglob("*.parquet"))
    for path in output.rglob("*.safetensors"):
        count += len(safetensors.torch.load_file(path))
    assert len(made) == count
    return count


def _said(model_file: str, folder: Path, output: Path) -> str:
    with contextlib.redirect_stderr(io.StringIO()) as said:
        main(["reconstruct", str(folder), "-o", str(output), "--model", model_file, "--no-sheet", "--quiet"])
    return said.getvalue()


def test_one_line_says_what_is_ignored(model_file: str, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    _make(folder / "a.png", "photo", 0)
    (folder / ".hidden").write_bytes(b"")
    (folder / "masks").mkdir()
    assert _said(model_file, folder, tmp_path / "o1") == ""
    for name in ("labels.csv", "notes.TXT", "b.heic", "README"):
        (folder / name).write_bytes(b"x")
    assert _said(model_file, folder, tmp_path / "o2") == (
        f"stylemap: warning: {folder}: 4 files ignored, no image by the name (.csv, .heic, .txt, no suffix); "
        f"read are {', '.join(images.SUFFIXES)}\n"
    )


def test_photos_in_sub_folders_are_named(model_file: str, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for name in ("2024", "2023", "empty"):
        (folder / name).mkdir(parents=True)
    assert "holds no images" in _said(model_file, folder, tmp_path / "out")
    assert "sub-folders" not in _said(model_file, folder, tmp_path / "out")
    for name in ("2024", "2023"):
        _make(folder / name / "a.png", "photo", 0)
    assert _said(model_file, folder, tmp_path / "out").endswith(
        "; its sub-folders do, which are not read: name 2023, 2024\n"
    )
