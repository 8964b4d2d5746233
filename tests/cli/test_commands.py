"""Every command on a tiny model: what it writes is what the library computes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import stylemap
from stylemap import edit, images
from stylemap.cli import main
from stylemap.model import StyleMapGAN
from tests.helpers import needs, tiny

SIZE = tiny.SIZE
LEFT = edit.masks.box(SIZE, 0, 0, 0.5, 1)


@pytest.fixture(autouse=True)
def _no_gradients() -> object:
    with torch.no_grad():
        yield


@pytest.fixture
def run(model_file: str, capsys: pytest.CaptureFixture[str]) -> object:
    """Run a command with the tiny model; returns what it printed."""

    def call(*arguments: object) -> str:
        assert main([*map(str, arguments), "--model", model_file, "--device", "cpu"]) == 0
        return capsys.readouterr().out

    return call


def _encoded(photos: Path, *names: str) -> list[Tensor]:
    return [tiny.model().encode(images.load(photos / name, SIZE)[None]) for name in names]


def _equal(path: Path, expected: Tensor) -> bool:
    """Whether a file holds an image, up to one grey level."""
    actual = np.asarray(Image.open(path)).astype(int)
    return bool(np.abs(actual - np.asarray(images.to_image(expected)).astype(int)).max() <= 1)


def _files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_reconstruct_a_folder(run, photos: Path, tmp_path: Path) -> None:
    told = run("reconstruct", photos, "--output", tmp_path / "out")
    assert "wrote 4 images" in told
    assert _files(tmp_path / "out") == ["p0.png", "p1.png", "p2.png", "p3.png", "sheet.png"]
    assert _equal(tmp_path / "out" / "p2.png", tiny.model().decode(_encoded(photos, "p2.png")[0]))


def test_reconstruct_one_file_without_a_sheet(run, photos: Path, tmp_path: Path) -> None:
    run("reconstruct", photos / "p0.png", "--output", tmp_path / "a.png", "--no-sheet")
    assert _files(tmp_path) == ["a.png"]


def test_files_of_one_name_do_not_overwrite_each_other(run, photos: Path, tmp_path: Path) -> None:
    run("reconstruct", photos / "p0.png", photos / "p0.png", "--output", tmp_path, "--no-sheet")
    assert _files(tmp_path) == ["p0.png", "p0_2.png"]


def test_sample(run, tmp_path: Path) -> None:
    run("sample", "--count", 3, "--seed", 5, "--truncation", 0.5, "--output", tmp_path)
    assert _files(tmp_path) == ["sample_0000.png", "sample_0001.png", "sample_0002.png", "sheet.png"]
    expected = edit.sample(tiny.model(), 3, seed=5, truncation=0.5)
    assert _equal(tmp_path / "sample_0001.png", expected[1])


def test_interpolate(run, photos: Path, tmp_path: Path) -> None:
    run("interpolate", photos / "p0.png", photos / "p1.png", "--frames", 3, "--output", tmp_path)
    w1, w2 = _encoded(photos, "p0.png", "p1.png")
    assert _equal(tmp_path / "p0_p1_000.png", tiny.model().decode(w1))
    assert _equal(tmp_path / "p0_p1_001.png", edit.interpolate(tiny.model(), w1, w2, 0.5))
    assert _equal(tmp_path / "p0_p1_002.png", tiny.model().decode(w2))


def test_edit_as_in_the_readme(run, photos: Path, mask_file: Path, tmp_path: Path) -> None:
    told = run(
        "edit", "--original", photos / "p0.png", "--reference", photos / "p1.png", "--mask", mask_file,
        "--output", tmp_path / "out.png",
    )  # fmt: skip
    assert told == f"wrote {tmp_path / 'out.png'}, contact sheet {tmp_path / 'out_sheet.png'}\n"
    w1, w2 = _encoded(photos, "p0.png", "p1.png")
    assert _equal(tmp_path / "out.png", edit.blend(tiny.model(), w1, [w2], [LEFT]))


@pytest.mark.parametrize("mode", ["w", "w+"])
def test_edit_modes(run, photos: Path, mask_file: Path, tmp_path: Path, mode: str) -> None:
    run(
        "edit", "--original", photos / "p0.png", "--reference", photos / "p1.png", "--mask", mask_file,
        "--mode", mode, "--output", tmp_path / "out.png",
    )  # fmt: skip
    w1, w2 = _encoded(photos, "p0.png", "p1.png")
    assert _equal(tmp_path / "out.png", edit.local(tiny.model(), w1, w2, LEFT, space=mode))


def test_edit_with_two_references_shifts_and_frames(
    run, photos: Path, mask_file: Path, tmp_path: Path
) -> None:
    run(
        "edit", "--original", photos / "p0.png",
        "--reference", photos / "p1.png", "--mask", mask_file, "--shift", "4,0",
        "--reference", photos / "p2.png", "--mask", "ellipse:0.5,0.5,0.2,0.3", "--shift=-8,6",
        "--frames", 3, "--weight", 0.8, "--output", tmp_path,
    )  # fmt: skip
    w0, w1, w2 = _encoded(photos, "p0.png", "p1.png", "p2.png")
    masks = [LEFT, edit.masks.ellipse(SIZE, 0.5, 0.5, 0.2, 0.3)]
    frames = edit.blend(tiny.model(), w0, [w1, w2], masks, [(4, 0), (-8, 6)], [0, 0.4, 0.8])
    assert _files(tmp_path) == ["p0_000.png", "p0_001.png", "p0_002.png", "sheet.png"]
    for index in range(3):
        assert _equal(tmp_path / f"p0_{index:03d}.png", frames[index])


def test_edit_with_the_union_of_two_masks(run, photos: Path, mask_file: Path, tmp_path: Path) -> None:
    run(
        "edit", "--original", photos / "p0.png", "--reference", photos / "p1.png", "--mask", mask_file,
        "--union", "box:16,0,32,16", "--mode", "w+", "--output", tmp_path / "out.png",
    )  # fmt: skip
    w1, w2 = _encoded(photos, "p0.png", "p1.png")
    both = edit.union([LEFT, edit.masks.box(SIZE, 0.5, 0, 1, 0.5)])
    assert _equal(tmp_path / "out.png", edit.local(tiny.model(), w1, w2, both))


def test_edit_a_clip_with_a_moving_mask(run, photos: Path, tmp_path: Path) -> None:
    boxes = [edit.masks.box(SIZE, i / 4, 0, (i + 1) / 4, 1) for i in range(4)]
    for index, box in enumerate(boxes):
        images.save(torch.where(box, 1.0, -1.0).expand(3, -1, -1), tmp_path / "masks" / f"{index}.png")
    run(
        "edit", "--original", photos, "--reference", photos / "p3.png", "--mask", tmp_path / "masks",
        "--mode", "w", "--output", tmp_path / "out",
    )  # fmt: skip
    reference = _encoded(photos, "p3.png")[0]
    for index in range(4):
        w = _encoded(photos, f"p{index}.png")[0]
        expected = edit.local(tiny.model(), w, reference, boxes[index], space="w")
        assert _equal(tmp_path / "out" / f"p{index}.png", expected)


def test_a_mask_as_large_as_its_photo_is_cropped_alike(run, photos: Path, tmp_path: Path) -> None:
    wide = Image.new("RGB", (2 * SIZE, SIZE))
    wide.paste(Image.open(photos / "p1.png"), (SIZE // 2, 0))
    wide.save(tmp_path / "wide.png")
    mask = Image.new("L", (2 * SIZE, SIZE))
    mask.paste(255, (0, 0, SIZE, SIZE))
    mask.save(tmp_path / "mask.png")
    run(
        "edit", "--original", photos / "p0.png", "--reference", tmp_path / "wide.png",
        "--mask", tmp_path / "mask.png", "--output", tmp_path / "out.png",
    )  # fmt: skip
    w1, w2 = _encoded(photos, "p0.png", "p1.png")
    assert _equal(tmp_path / "out.png", edit.blend(tiny.model(), w1, [w2], [LEFT]))


def test_mix(run, photos: Path, tmp_path: Path) -> None:
    run("mix", photos, photos / "p1.png", "--take", "fine", "--output", tmp_path / "fine")
    run("mix", photos / "p0.png", photos / "p1.png", "--take", "0,3", "--output", tmp_path / "some.png")
    w1, w2 = _encoded(photos, "p0.png", "p1.png")
    assert _equal(tmp_path / "fine" / "p0_p1.png", edit.mix_styles(tiny.model(), w1, w2, take="fine"))
    assert _equal(tmp_path / "some.png", edit.mix_styles(tiny.model(), w1, w2, take=[0, 3]))


def test_transplant(run, photos: Path, tmp_path: Path) -> None:
    run(
        "transplant", "--original", photos / "p0.png", "--reference", photos / "p1.png",
        "--box", "0,1,2,3,4,5", "--box", "6,6,0,0,2,2", "--output", tmp_path / "out.png",
    )  # fmt: skip
    w1, w2 = _encoded(photos, "p0.png", "p1.png")
    moved = edit.transplant(w1, w2, [((0, 1), (2, 3), 4, 5), ((6, 6), (0, 0), 2, 2)])
    assert _equal(tmp_path / "out.png", tiny.model().decode(moved))


def test_direction_and_manipulate(run, photos: Path, tmp_path: Path) -> None:
    for index, photo in enumerate(tiny.photos(12, seed=3)):
        bright = index % 2 == 0
        images.save((photo + (0.5 if bright else -0.5)).clamp(-1, 1), tmp_path / str(bright) / f"{index}.png")
    folders = ("--positive", tmp_path / "True", "--negative", tmp_path / "False")
    told = run("direction", *folders, "--output", tmp_path / "bright.npz")
    assert "6 images with, 6 without" in told
    assert "on 2 held-out images" in told
    found = edit.load_direction(tmp_path / "bright.npz", tiny.CONFIG.stylemap_shape)
    run(
        "manipulate", photos / "p0.png", "--direction", tmp_path / "bright.npz", "--strength=-2,0,2.5",
        "--mask", "box:0,0,0.5,1", "--output", tmp_path / "out",
    )  # fmt: skip
    assert _files(tmp_path / "out") == ["p0_+0.png", "p0_+2.5.png", "p0_-2.png", "sheet.png"]
    moved = edit.manipulate(_encoded(photos, "p0.png")[0], found.vector, 2.5, LEFT)
    assert _equal(tmp_path / "out" / "p0_+2.5.png", tiny.model().decode(moved))


def test_direction_from_a_label_file(run, photos: Path, tmp_path: Path) -> None:
    rows = ["file,smile,hat", "p0.png,1,0", "p1.png,-1,1", "p2.png,yes,", "p3.png,No,1"]
    (tmp_path / "labels.csv").write_text("\n".join(rows))
    arguments = ("--labels", tmp_path / "labels.csv", "--attribute", "smile", "--images", photos)
    told = run("direction", *arguments, "--held-out", 0, "--output", tmp_path / "smile.safetensors")
    assert "2 images with, 2 without; none held out" in told
    assert edit.load_direction(tmp_path / "smile.safetensors").facts["positive"] == 2


def test_convert_there_and_back(model_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there, back = tmp_path / "tiny.pt", tmp_path / "tiny.safetensors"
    assert main(["convert", model_file, str(there)]) == 0
    assert main(["convert", str(there), str(back)]) == 0
    assert capsys.readouterr().out.count("wrote") == 2
    before, after = stylemap.load(model_file).state_dict(), stylemap.load(back).state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_info(
    run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = run("info")
    for line in ("torch ", "cuda ", "cpu ", "latent_channel_size 8", "encoder ", "million parameters"):
        assert line in " ".join(told.split()) or line in told
    assert main(["info"]) == 0
    assert "demo.safetensors" in capsys.readouterr().out
    monkeypatch.setattr("stylemap.assets.FOLDER", tmp_path)
    assert main(["info"]) == 0
    assert "bundled" in capsys.readouterr().out


def test_half_precision_is_near_to_full(photos: Path, tmp_path: Path) -> None:
    """On the bundled model: in one as small as the others no product is worth rounding."""
    for precision in ("fp32", "bf16", "fp16"):
        arguments = ["reconstruct", photos / "p0.png", "--output", tmp_path / f"{precision}.png"]
        assert main([*map(str, arguments), "--precision", precision, "--device", "cpu"]) == 0
    full, *halves = (
        np.asarray(Image.open(tmp_path / f"{name}.png")).astype(int) for name in ("fp32", "bf16", "fp16")
    )
    assert all(0 < np.abs(half - full).mean() < 1 for half in halves)


@pytest.mark.parametrize(
    "command", ["reconstruct", "interpolate", "mix", "transplant", "manipulate", "sample"]
)
def test_commands_run_on_the_plan(
    run, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    a, b, direction = photos / "p0.png", photos / "p1.png", tmp_path / "d.npz"
    np.savez(direction, direction=np.ones((tiny.CHANNELS, tiny.CELLS, tiny.CELLS), np.float32))
    arguments = {
        "reconstruct": [a],
        "interpolate": [a, b],
        "mix": [a, b],
        "transplant": ["--original", a, "--reference", b, "--box", "0,0,1,1,2,2"],
        "manipulate": [a, "--direction", direction, "--strength", 1],
        "sample": ["--count", 1],
    }
    monkeypatch.setattr(StyleMapGAN, "synthesize", None)
    monkeypatch.setattr(StyleMapGAN, "encode", None)
    run(command, *arguments[command], "--output", tmp_path / "out")


def test_progress_goes_to_stderr(
    model_file: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reconstruct", str(photos), "--model", model_file, "--output", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    assert "reconstruct: 4/4" in captured.err
    assert "4/4" not in captured.out


def test_as_a_module_from_anywhere(tmp_path: Path) -> None:
    root = str(Path(stylemap.__file__).parent.parent)
    done = subprocess.run(
        [sys.executable, "-m", "stylemap", "reconstruct", "nothing.png", "--output", "x"],
        capture_output=True, text=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": root},
    )  # fmt: skip
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if "compiling" not in line]
    assert lines == ["stylemap reconstruct: error: no such file or folder: nothing.png"]
    assert list(tmp_path.iterdir()) == []


def test_directions_from_generated_faces(run, tmp_path: Path) -> None:
    needs.package("sklearn")
    output = tmp_path / "directions.safetensors"
    told = run("direction", "--faces", "smile,glasses", "--count", 60, "--output", output)
    assert "one step is" in told
    assert list(edit.load_directions(output, tiny.CONFIG.stylemap_shape)) == ["smile", "glasses"]
