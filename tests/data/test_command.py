"""stylemap data."""

import argparse
import csv
import json

import numpy as np
import pytest
from PIL import Image

from stylemap.cli import data
from stylemap.data.faces import LABEL_NAMES, FacesDataset, Part
from stylemap.data.folder import FolderDataset
from stylemap.data.lmdb_store import LmdbDataset
from tests.helpers import needs


def stylemap_data(*arguments):
    parser = argparse.ArgumentParser()
    data.add_parser(parser.add_subparsers())
    data.run(parser.parse_args(["data", *map(str, arguments)]))


@pytest.fixture
def folder(tmp_path):
    stylemap_data("faces", "--size", 48, "--count", 9, "--seed", 7, "--output", tmp_path / "faces")
    return tmp_path / "faces"


def test_faces_command_writes_images_masks_labels_and_a_sheet(folder):
    dataset = FacesDataset(48, 9, seed=7)
    assert sorted(path.name for path in folder.glob("*.png")) == [f"{i:05d}.png" for i in range(9)]
    images, parts = dataset.raw_with_parts([4])
    assert np.array_equal(np.array(Image.open(folder / "00004.png")), images[0].permute(1, 2, 0).numpy())
    assert np.array_equal(np.array(Image.open(folder / "masks" / "00004.png")), parts[0].numpy())
    names = json.loads((folder / "masks" / "parts.json").read_text())
    assert names == {part.name.lower(): part.value for part in Part}
    with open(folder / "labels.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 9
    labels = dataset.labels(range(9))
    for i, row in enumerate(rows):
        assert row["file"] == f"{i:05d}.png"
        assert [float(row[name]) for name in LABEL_NAMES] == pytest.approx(labels[i].tolist(), rel=1e-4)
    assert Image.open(folder / "sheet" / "faces.png").size == (8 * 48, 2 * 48)


def test_written_faces_are_a_dataset(folder):
    assert len(FolderDataset(folder, 48)) == 9


def test_held_out_faces_and_no_masks(folder, tmp_path):
    stylemap_data(
        "faces",
        "--size",
        48,
        "--count",
        2,
        "--seed",
        7,
        "--held-out",
        "--no-masks",
        "--output",
        tmp_path / "b",
    )
    assert not (tmp_path / "b" / "masks").exists()
    assert (tmp_path / "b" / "00000.png").read_bytes() != (folder / "00000.png").read_bytes()
    with pytest.raises(ValueError, match="count"):
        stylemap_data("faces", "--count", 0, "--output", tmp_path / "c")


def test_lmdb_command(folder, tmp_path, capsys):
    needs.package("lmdb")
    (folder / "00003.png").write_bytes(b"damaged")
    stylemap_data("lmdb", folder, "--output", tmp_path / "x.lmdb", "--sizes", "32,48", "--skip-corrupt")
    out = capsys.readouterr().out
    assert "00003.png" in out
    assert "wrote 8 images" in out
    assert len(LmdbDataset(tmp_path / "x.lmdb", 32)) == 8
    stylemap_data(
        "lmdb", "faces", "--count", 5, "--seed", 7, "--output", tmp_path / "y.lmdb", "--sizes", "48"
    )
    assert len(LmdbDataset(tmp_path / "y.lmdb", 48)) == 5
    with pytest.raises(ValueError, match="commas"):
        stylemap_data("lmdb", folder, "--output", tmp_path / "z.lmdb", "--sizes", "big")
