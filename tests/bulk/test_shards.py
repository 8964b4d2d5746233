"""Results as tar files, crops, and whole photos."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stylemap import images
from stylemap.cli import main
from stylemap.data.shards import ShardDataset
from stylemap.photo import CONVENTIONS, MODES, Landmarks, Photo, align, faces
from tests.bulk.results import bulk, contents, rows
from tests.helpers import needs, tiny

CUT = ("--chunk", 5, "--batch", 2)


def _members(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]


def test_images_in_tar_files(model_file: str, photos: Path, tmp_path: Path) -> None:
    plain, out = tmp_path / "plain", tmp_path / "out"
    assert bulk("reconstruct", photos, plain, model_file, *CUT) == 0
    assert bulk("reconstruct", photos, out, model_file, *CUT, "--shards") == 0
    found = {name: data for path in out.glob("shards/*.tar") for name, data in _members(path).items()}
    assert found == {path.name: path.read_bytes() for path in plain.rglob("*.png")}
    named = {row["output"] for row in rows(out) if row["status"] == "ok"}
    assert len(named) == 12
    first, _, member = sorted(named)[0].partition("#")
    assert member in _members(out / first)
    assert [row["status"] for row in rows(out)] == [row["status"] for row in rows(plain)]
    assert len(ShardDataset(str(out / "shards"), tiny.SIZE)) == 12, "they are data to train on"


def test_a_run_that_was_stopped_goes_on(model_file: str, photos: Path, tmp_path: Path) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    for folder in (whole, out):
        assert bulk("reconstruct", photos, folder, model_file, *CUT, "--shards") == 0
    (out / "manifest.jsonl").unlink()
    (out / "manifest" / "000001.jsonl").unlink()
    (out / "shards" / "000001.tar").unlink()
    (out / "shards" / ".000001.tar.half").write_bytes(b"half")
    assert bulk("reconstruct", photos, out, model_file, *CUT, "--shards") == 0
    assert contents(out) == contents(whole)
    assert bulk("reconstruct", photos, out, model_file, *CUT) == 1, "a run of another kind"


def test_a_crop(model_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    photo = tmp_path / "photo.png"
    Image.fromarray(noise).resize((96, 72)).save(photo)
    with Photo.open(photo).srgb() as picture:
        picture.crop((12, 24, 44, 56)).save(tmp_path / "square.png")
    assert bulk("reconstruct", photo, tmp_path / "a", model_file, "--crop", "28,40,32") == 0
    assert bulk("reconstruct", tmp_path / "square.png", tmp_path / "b", model_file) == 0
    one, other = (next((tmp_path / out).rglob("*.png")).read_bytes() for out in "ab")
    assert one == other
    assert bulk("reconstruct", photo, tmp_path / "c", model_file, "--crop", "wide") == 1
    assert "wide" in capsys.readouterr().err


def test_aligned_faces(
    model_file: str, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What finds faces is replaced: the tiny photos show none."""
    needs.package("onnxruntime")
    points = Landmarks.of(np.array([[11, 12], [21, 13], [16, 18], [12, 22], [20, 23]], float))
    monkeypatch.setattr(faces, "available", lambda: True)

    def landmarks(photo: Photo) -> Landmarks:
        if photo.name.endswith("p3.png"):
            raise faces.NoFaceError(f"no face was found in {photo.name}")
        return points

    monkeypatch.setattr(faces, "landmarks", landmarks)
    assert bulk("reconstruct", photos, tmp_path / "out", model_file, "--align", "--alignment", "ffhq") == 0
    found = {row["name"]: row for row in rows(tmp_path / "out")}
    assert found["p3"]["error"] == f"no face was found in {photos}/p3.png"
    photo = Photo.open(photos / "p1.png")
    square = photo.picture(align(points, CONVENTIONS["ffhq"]), tiny.SIZE)
    buffer = io.BytesIO()
    square.save(buffer, "PNG")
    (tmp_path / "cut.png").write_bytes(buffer.getvalue())
    assert bulk("reconstruct", tmp_path / "cut.png", tmp_path / "cut", model_file) == 0
    expected = images.open_rgb(next((tmp_path / "cut").rglob("*.png")))
    assert images.open_rgb(tmp_path / "out" / found["p1"]["output"]).tobytes() == expected.tobytes()


@pytest.mark.parametrize("mode", MODES)
def test_whole_photos_are_those_of_the_single_commands(model_file: str, tmp_path: Path, mode: str) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(2):
        noise = np.random.default_rng(number).integers(0, 256, (9, 12, 3), np.uint8)
        picture = Image.fromarray(noise).resize((96, 72), Image.Resampling.BICUBIC)
        picture.save(folder / f"{number}.jpg", exif=_exif(f"camera {number}"))
    direction = tmp_path / "d.npz"
    np.savez(direction, direction=np.random.default_rng(5).normal(size=tiny.CONFIG.stylemap_shape))
    other, crop = folder / "1.jpg", ["--crop", "0.4,0.5,0.7", "--paste", mode]
    for operation, options, extra in (
        ("reconstruct", [], []),
        ("edit", ["--reference", other, "--mask", "box:0.2,0.2,0.8,0.7", "--shift", "4,-2"], [_REFERENCE]),
        ("mix", ["--reference", other], [_REFERENCE]),
        ("manipulate", ["--direction", direction, "--strength", "3"], []),
    ):
        out, one = tmp_path / operation, tmp_path / f"{operation}.jpg"
        assert bulk(operation, folder, out, model_file, *crop, *options, "--format", "jpg") == 0
        (row, _) = rows(out)
        first, photo = folder / "0.jpg", ["--original"] if operation == "edit" else []
        if operation == "mix":
            options = [other]
        words = [operation, *photo, first, *options, *crop, *(word for each in extra for word in each)]
        words += ["-o", one, "--model", model_file, "--quiet", "--no-sheet"]
        assert main(list(map(str, words))) == 0
        assert (out / row["output"]).read_bytes() == one.read_bytes(), operation
        with Image.open(out / row["output"]) as picture:
            assert picture.size == (96, 72)
            assert picture.getexif()[271] == "camera 0"


_REFERENCE = ["--reference-crop", "0.4,0.5,0.7"]


def _exif(camera: str) -> Image.Exif:
    exif = Image.Exif()
    exif[271] = camera
    return exif
