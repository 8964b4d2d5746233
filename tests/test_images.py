"""Reading, fitting and writing images: every format and mode, and files that are no images."""

from __future__ import annotations

import contextlib
import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, features

from stylemap import images
from stylemap.images import ImageError
from stylemap.photo import Photo


def _gradient(width: int, height: int) -> Image.Image:
    """Red grows to the right, green downwards."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, np.full_like(x, 40)], -1).astype(np.uint8))


def _saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


def test_an_image_of_the_right_size_passes_unchanged(tmp_path: Path) -> None:
    image = _gradient(16, 16)
    for fit in images.FITS:
        tensor = images.load(_saved(tmp_path / "a.png", image), 16, fit=fit)
        assert tensor.shape == (3, 16, 16)
        assert tensor.dtype == torch.float32
        assert np.array_equal(np.asarray(images.to_image(tensor)), np.asarray(image))


def test_range_is_minus_one_to_one() -> None:
    assert images.to_tensor(Image.new("RGB", (2, 2), (0, 255, 0)))[:, 0, 0].tolist() == [-1, 1, -1]


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".png", ".webp", ".PNG"])
def test_formats(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    original = images.to_tensor(_gradient(32, 32))
    images.save(original, path)
    assert torch.allclose(images.load(path, 32), original, atol=0.15)


def test_the_suffix_does_not_decide_what_is_read(tmp_path: Path) -> None:
    _saved(tmp_path / "a.jpg", _gradient(8, 8), format="PNG")
    assert images.load(tmp_path / "a.jpg", 8).shape == (3, 8, 8)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_exif_orientation(tmp_path: Path, orientation: int, suffix: str) -> None:
    """Whatever way the pixels are stored, the photo comes out upright."""
    upright = _gradient(32, 16)
    undo = {
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }
    stored = upright
    for step in undo.get(orientation, []):
        stored = stored.transpose(step)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = _saved(tmp_path / f"a.{suffix}", stored, exif=exif, quality=100)
    assert images.upright_size(path) == (32, 16)
    read = np.asarray(images.open_rgb(path)).astype(int)
    assert read.shape == (16, 32, 3)
    assert np.abs(read - np.asarray(upright).astype(int)).mean() < 4


def test_damaged_exif_is_ignored(tmp_path: Path) -> None:
    path = _saved(tmp_path / "a.jpg", _gradient(16, 16), exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert images.load(path, 16).shape == (3, 16, 16)


def test_grey_and_palette(tmp_path: Path) -> None:
    grey = _gradient(16, 16).convert("L")
    tensor = images.load(_saved(tmp_path / "grey.png", grey), 16)
    assert torch.equal(tensor[0], tensor[1])
    assert torch.equal(tensor, images.to_tensor(grey.convert("RGB")))
    palette = _gradient(16, 16).quantize(16)
    loaded = images.load(_saved(tmp_path / "palette.png", palette), 16)
    assert torch.equal(loaded, images.to_tensor(palette.convert("RGB")))
    bilevel = images.load(_saved(tmp_path / "bits.png", grey.convert("1")), 16)
    assert set(bilevel.unique().tolist()) == {-1.0, 1.0}


def test_sixteen_bits(tmp_path: Path) -> None:
    values = np.linspace(0, 65535, 256).reshape(16, 16).astype(np.uint16)
    tensor = images.load(_saved(tmp_path / "deep.png", Image.fromarray(values)), 16)
    expected = np.round(values / 257.0)
    assert np.array_equal(np.asarray(images.to_image(tensor))[:, :, 0], expected)


def test_transparency_lies_on_the_background(tmp_path: Path) -> None:
    image = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    image.putpixel((1, 1), (0, 0, 255, 255))
    image.putpixel((2, 2), (0, 0, 0, 128))
    path = _saved(tmp_path / "a.png", image)
    white = np.asarray(images.open_rgb(path))
    assert white[0, 0].tolist() == [255, 255, 255]
    assert white[1, 1].tolist() == [0, 0, 255]
    assert white[2, 2].tolist() == [127, 127, 127]
    assert np.asarray(images.open_rgb(path, background=(0, 0, 0)))[0, 0].tolist() == [0, 0, 0]
    keyed = Image.new("P", (2, 2), 3)
    keyed.putpalette([10, 20, 30] * 4)
    path = _saved(tmp_path / "keyed.png", keyed, transparency=3)
    assert np.asarray(images.open_rgb(path))[0, 0].tolist() == [255, 255, 255]
    grey = Image.new("LA", (2, 2), (0, 0))
    assert np.asarray(images.open_rgb(_saved(tmp_path / "la.png", grey)))[0, 0].tolist() == [255, 255, 255]


def test_cmyk_jpeg(tmp_path: Path) -> None:
    path = _saved(tmp_path / "a.jpg", Image.new("CMYK", (8, 8), (0, 255, 255, 0)))
    red = images.load(path, 8)[:, 4, 4]
    assert float(red[0]) > 0.8
    assert float(red[1]) < -0.5


@pytest.mark.parametrize(("width", "height"), [(40, 20), (20, 40), (200, 7), (3, 300), (1, 1)])
def test_any_aspect_ratio(tmp_path: Path, width: int, height: int) -> None:
    path = _saved(tmp_path / "a.png", _gradient(width, height))
    for fit in images.FITS:
        assert images.load(path, 16, fit=fit).shape == (3, 16, 16)


def test_crop_takes_the_centre_pad_keeps_all_squash_stretches() -> None:
    image = Image.new("RGB", (60, 20), (255, 0, 0))
    image.paste((0, 255, 0), (20, 0, 40, 20))
    crop = np.asarray(images.fit_square(image, 20, "crop"))
    assert (crop == (0, 255, 0)).all()
    pad = np.asarray(images.fit_square(image, 30, "pad", (0, 0, 9)))
    assert (pad[:10] == (0, 0, 9)).all()
    assert (pad[20:] == (0, 0, 9)).all()
    assert (pad[10:20, 13:17] == (0, 255, 0)).all()
    assert (pad[12:18, 2:6] == (255, 0, 0)).all()
    squash = np.asarray(images.fit_square(image, 60, "squash"))
    assert (squash[:, 2:16] == (255, 0, 0)).all()
    assert (squash[:, 24:36] == (0, 255, 0)).all()
    with pytest.raises(ImageError, match="fit must be one of crop, pad, squash, got 'zoom'"):
        images.fit_square(image, 8, "zoom")  # type: ignore[arg-type]


def test_shrinking_does_not_alias() -> None:
    """A fine checkerboard becomes flat grey, not a pattern."""
    board = np.indices((512, 512)).sum(0) % 2 * 255
    small = np.asarray(images.fit_square(Image.fromarray(board.astype(np.uint8)).convert("RGB"), 32))
    assert np.abs(small.astype(int) - 127).max() <= 2


def test_files_that_are_no_images(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("this is not a picture")
    (tmp_path / "empty.png").write_bytes(b"")
    for name in ("text.jpg", "empty.png"):
        with pytest.raises(ImageError, match=f"{name} is not a picture that can be read"):
            images.load(tmp_path / name, 8)
    with pytest.raises(ImageError, match="is a folder"):
        images.load(tmp_path, 8)
    with pytest.raises(FileNotFoundError):
        images.load(tmp_path / "missing.png", 8)
    _saved(tmp_path / "a.ppm", _gradient(8, 8))
    with pytest.raises(ImageError, match=r"a\.ppm is not a picture"):
        images.load(tmp_path / "a.ppm", 8)


@pytest.mark.parametrize("suffix", ["tif", "tiff", "bmp", "gif", "avif"])
def test_other_formats_are_read_and_found_in_folders(tmp_path: Path, suffix: str) -> None:
    if suffix == "avif" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    flat = np.full((8, 8, 3), (200, 100, 50), np.uint8)
    Image.fromarray(flat).save(tmp_path / f"a.{suffix}")
    assert images.find([tmp_path]) == [tmp_path / f"a.{suffix}"]
    assert images.upright_size(tmp_path / f"a.{suffix}") == (8, 8)
    read = np.asarray(images.open_rgb(tmp_path / f"a.{suffix}")).astype(int)
    assert np.abs(read - flat).max() <= 4
    with pytest.raises(ImageError, match="is not a picture"):
        images.open_rgb(tmp_path / f"a.{suffix}", formats=images.WEB_FORMATS)


def test_sixteen_bit_tiffs_keep_their_range(tmp_path: Path) -> None:
    values = np.linspace(0, 65535, 64).reshape(8, 8).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "a.tiff")
    read = np.asarray(images.open_rgb(tmp_path / "a.tiff"))[..., 0]
    assert np.abs(read.astype(int) - np.rint(values / 257).astype(int)).max() <= 1


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize("share", [0.3, 0.7])
def test_truncated_files(tmp_path: Path, suffix: str, share: float) -> None:
    path = tmp_path / f"cut.{suffix}"
    images.save(torch.rand(3, 64, 64) * 2 - 1, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ImageError, match=rf"cut\.{suffix} is "):
        images.load(path, 16)


def test_damaged_bytes_never_escape_as_another_error(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for suffix in ("jpg", "png", "webp"):
        path = tmp_path / f"bad.{suffix}"
        images.save(images.to_tensor(_gradient(24, 24)), path)
        content = np.frombuffer(path.read_bytes(), dtype=np.uint8)
        for _ in range(60):
            damaged = content.copy()
            damaged[random.integers(2, len(damaged), 8)] = random.integers(0, 256, 8)
            path.write_bytes(damaged.tobytes())
            with contextlib.suppress(ImageError):  # any other exception fails the test
                assert images.load(path, 8).shape == (3, 8, 8)


def _png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [10_000, 30_000, 2**31 - 1])
def test_decompression_bombs_are_refused_undecoded(
    tmp_path: Path, side: int, recwarn: pytest.WarningsRecorder
) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(_png_header(side, side))
    with pytest.raises(ImageError, match=r"bomb\.png .*(limit is 80 million|damaged|not a JPEG)"):
        images.load(path, 16)
    assert not recwarn.list


def test_the_pixel_limit_can_be_lowered(tmp_path: Path) -> None:
    path = _saved(tmp_path / "a.png", _gradient(100, 100))
    with pytest.raises(ImageError, match="the limit is"):
        images.load(path, 16, max_pixels=9_999)
    assert images.load(path, 16, max_pixels=10_000).shape == (3, 16, 16)


def test_open_files_are_read_under_a_name() -> None:
    buffer = io.BytesIO()
    _gradient(8, 8).save(buffer, format="PNG")
    buffer.seek(0)
    assert images.open_rgb(buffer).size == (8, 8)
    with pytest.raises(ImageError, match="upload 3 is not"):
        images.open_rgb(io.BytesIO(b"nothing"), name="upload 3")


def test_tensors_out_of_range_are_clamped_and_nan_is_an_error() -> None:
    tensor = torch.tensor([-3.0, 0.0, 3.0]).reshape(3, 1, 1)
    assert np.asarray(images.to_image(tensor))[0, 0].tolist() == [0, 128, 255]
    assert np.asarray(images.to_image(tensor[None].half()))[0, 0].tolist() == [0, 128, 255]
    with pytest.raises(ImageError, match="NaN"):
        images.to_image(tensor * float("nan"))
    with pytest.raises(ImageError, match=r"3 x H x W, got \(2, 3, 4, 4\)"):
        images.to_image(torch.zeros(2, 3, 4, 4))


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    images.save(torch.zeros(3, 8, 8), path)
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"cannot write .*a\.png: No space left on device"):
        images.save(torch.ones(3, 8, 8), path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.png"]


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"cannot write .*file/a\.png"):
        images.save(torch.zeros(3, 8, 8), tmp_path / "file" / "a.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(OSError, match=r"cannot write .*folder\.png: it is a folder"):
        images.save(torch.zeros(3, 8, 8), tmp_path / "folder.png")
    with pytest.raises(ImageError, match=r"must end in \.png"):
        images.save(torch.zeros(3, 8, 8), tmp_path / "a.bmp")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder.png"]


def test_saved_files_have_the_usual_permissions(tmp_path: Path) -> None:
    images.save(torch.zeros(3, 8, 8), tmp_path / "new" / "a.png")
    (tmp_path / "plain").write_text("")
    assert (tmp_path / "new" / "a.png").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_find(tmp_path: Path) -> None:
    for name in ("img10.png", "img2.png", "B.JPG", ".hidden.png", "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "sub").mkdir()
    assert [path.name for path in images.find([tmp_path])] == ["B.JPG", "img2.png", "img10.png"]
    assert images.find([tmp_path / "notes.txt"]) == [tmp_path / "notes.txt"]
    with pytest.raises(FileNotFoundError, match="missing"):
        images.find([tmp_path / "missing"])
    with pytest.raises(ImageError, match="holds no images"):
        images.find([tmp_path / "sub"])


@pytest.mark.parametrize("white", [1.0, 255.0, 65535.0])
def test_pictures_of_floats_keep_their_range(tmp_path: Path, white: float) -> None:
    """Values that a filter brought beyond 1 do not make the picture black."""
    values = np.linspace(0, 1.2 if white == 1 else white, 64, dtype=np.float32).reshape(8, 8)
    Image.fromarray(values).save(tmp_path / "a.tiff")
    read = np.asarray(images.open_rgb(tmp_path / "a.tiff"))[..., 0]
    assert np.abs(read - np.clip(values / white * 255, 0, 255)).max() <= 0.51


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_pixels_that_are_no_numbers_are_refused(tmp_path: Path, odd: float) -> None:
    values = np.full((8, 8), 0.5, np.float32)
    values[3, 3] = odd
    Image.fromarray(values).save(tmp_path / "a.tiff")
    for read in (images.open_rgb, images.open_grey, Photo.open):
        with pytest.raises(ImageError, match=r"a\.tiff is damaged .* are NaN or infinite"):
            read(tmp_path / "a.tiff")


@pytest.mark.parametrize("suffix", ["jpg", "webp", "gif"])
def test_sides_beyond_a_format(tmp_path: Path, suffix: str) -> None:
    """Pillow's errors of them name no file, or blame the data."""
    picture = Image.new("RGB", (1, 70_000))
    for write in (images.save, lambda image, path: Photo.of(image).save(path)):
        if suffix == "gif" and write is not images.save:
            continue  # of photos it is a moving picture
        with pytest.raises(
            ImageError, match=rf"cannot write .*a\.{suffix}: the picture is 1 x 70000 pixels; "
        ):
            write(picture, tmp_path / f"a.{suffix}")
    assert not list(tmp_path.iterdir())
    images.save(picture, tmp_path / "a.png")
    with pytest.raises(ImageError, match="at least 1, got 0"):
        images.load(tmp_path / "a.png", 0)
    with pytest.raises(ImageError, match="the picture is 0 x 0 pixels"):
        images.save(torch.empty(3, 0, 0), tmp_path / "b.png")
