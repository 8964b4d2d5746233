"""Masks that select nothing or are written in an unusual way: understood, or named in one warning."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stylemap import edit
from stylemap.cli import main
from stylemap.cli.mask_files import read
from stylemap.cli.masks import MaskReader
from tests.helpers import tiny

SIZE = tiny.SIZE
LEFT = np.zeros((SIZE, SIZE), bool)
LEFT[:, : SIZE // 2] = True


def _grey(value: int) -> Image.Image:
    return Image.fromarray(LEFT.astype(np.uint8) * value)


def _palette() -> Image.Image:
    image = Image.fromarray(LEFT.astype(np.uint8)).convert("L")
    image = Image.frombytes("P", image.size, image.tobytes())
    image.putpalette([0, 0, 0, 128, 0, 0])
    return image


def _deep(value: int) -> Image.Image:
    return Image.fromarray(LEFT.astype(np.uint16) * value)


def _opacity(colour: tuple[int, int, int]) -> Image.Image:
    image = Image.new("RGBA", (SIZE, SIZE), (*colour, 0))
    image.putalpha(_grey(255))
    return image


def _colours() -> Image.Image:
    return Image.merge("RGB", [_grey(1)] * 3)


UNDERSTOOD: list[tuple[str, Callable[[], Image.Image], str]] = [
    ("white", lambda: _grey(255), ""),
    ("light", lambda: _grey(128), ""),
    ("bilevel", lambda: _grey(255).convert("1"), ""),
    ("deep", lambda: _deep(65535), ""),
    ("white on transparency", lambda: _opacity((255, 255, 255)), ""),
    ("grey 0 and 1", lambda: _grey(1), "holds the values 0 and 1: 1 counts as on"),
    ("colours 0 and 1", _colours, "holds the values 0 and 1: 1 counts as on"),
    ("deep 0 and 1", lambda: _deep(1), "holds the values 0 and 1: 1 counts as on"),
    ("palette 0 and 1", _palette, "holds the palette classes 0 and 1: 1 counts as on"),
    ("deep 0 and 255", lambda: _deep(255), "holds 0 and 255 in 16 bits: 255 counts as on"),
    ("black on transparency", lambda: _opacity((0, 0, 0)), "what is opaque counts as on"),
]


@pytest.mark.parametrize(("name", "make", "note"), UNDERSTOOD, ids=[name for name, _, _ in UNDERSTOOD])
def test_understood(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, make: Callable[[], Image.Image], note: str
) -> None:
    make().save(tmp_path / "m.png")
    reader = MaskReader(SIZE)
    for _ in range(3):
        mask = reader.read(str(tmp_path / "m.png"), [])
    assert np.array_equal(mask.numpy(), LEFT)
    told = capsys.readouterr().err
    assert told.count("warning") == told.count("\n") == (1 if note else 0)
    assert note in told
    assert (str(tmp_path / "m.png") in told) == bool(note)


NOTHING: list[tuple[Callable[[], Image.Image], str]] = [
    (lambda: _grey(0), "its values are all 0; what is above 127 of 255 counts as on"),
    (lambda: _grey(100), "its values go from 0 to 100; what is above 127 of 255 counts as on"),
    (lambda: _grey(2), "its values go from 0 to 2;"),
    (lambda: _deep(1000), "its values go from 0 to 1000; what is above 32767 of 65535 counts as on"),
    (lambda: Image.new("RGBA", (SIZE, SIZE), (0, 0, 0, 0)), "no pixel of it is both opaque and light"),
    (lambda: Image.new("RGBA", (SIZE, SIZE), (255, 255, 255, 0)), "no pixel of it is both opaque and light"),
]


@pytest.mark.parametrize(("make", "note"), NOTHING)
def test_nothing_selected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Callable[[], Image.Image], note: str
) -> None:
    make().save(tmp_path / "m.png")
    assert not bool(MaskReader(SIZE).read(str(tmp_path / "m.png"), []).any())
    told = capsys.readouterr().err
    assert told.startswith(f"stylemap: warning: mask {tmp_path / 'm.png'} selects nothing: ")
    assert note in told
    assert told.count("\n") == 1


def test_a_whole_palette_mask_of_ones_stays_open(tmp_path: Path) -> None:
    """All 1 may mean all on or nothing but class 1 of several: nothing is guessed."""
    Image.new("L", (4, 4), 1).save(tmp_path / "m.png")
    assert read(tmp_path / "m.png").note.startswith("selects nothing: its values are all 1;")


def test_lost_when_fitted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    thin = np.zeros((8 * SIZE, 8 * SIZE), np.uint8)
    thin[100, :] = 255
    Image.fromarray(thin).save(tmp_path / "m.png")
    assert not bool(MaskReader(SIZE).read(str(tmp_path / "m.png"), [tmp_path / "m.png"]).any())
    assert "selects nothing once it is fitted to 32 x 32" in capsys.readouterr().err


def test_shapes_smaller_than_a_pixel_or_a_cell(capsys: pytest.CaptureFixture[str]) -> None:
    reader = MaskReader(SIZE, cells=tiny.CELLS)
    assert not bool(reader.read("box:0.001,0.001,0.002,0.002", []).any())
    assert "selects nothing: no centre of a pixel of 32 x 32 is in it" in capsys.readouterr().err
    assert int(reader.read("box:0,0,2,2", []).sum()) == 4
    assert "more than half of no cell of 4 x 4 pixels" in capsys.readouterr().err
    reader.read("box:0,0,0.5,0.5", [])
    MaskReader(SIZE).read("box:0,0,2,2", [])
    assert capsys.readouterr().err == ""


def test_a_command_edits_by_what_a_class_mask_means(
    model_file: str, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _palette().save(tmp_path / "m.png")
    arguments = ["edit", "--original", photos, "--reference", photos / "p1.png", "--mask", tmp_path / "m.png"]
    command = [*map(str, arguments), "--output", str(tmp_path / "o"), "--model", model_file]
    assert main([*command, "--device", "cpu"]) == 0
    assert capsys.readouterr().err.count("warning") == 1
    from stylemap import images

    with torch.no_grad():
        w = [tiny.model().encode(images.load(photos / f"p{i}.png", SIZE)[None]) for i in range(2)]
        expected = images.to_image(edit.blend(tiny.model(), w[0], [w[1]], [torch.from_numpy(LEFT)]))
    written = np.asarray(Image.open(tmp_path / "o" / "p0.png")).astype(int)
    assert np.abs(written - np.asarray(expected)).max() <= 1
