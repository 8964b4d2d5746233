"""Photos of every kind of file: what is read, and what is kept when they are written."""

from __future__ import annotations

import io
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image, ImageCms

from stylemap import images
from stylemap.photo import Crop, Photo
from tests.helpers import needs

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
MAKER, ORIENTATION = 271, 274


def _noise(width: int = 60, height: int = 40, grain: int = 4) -> np.ndarray:
    coarse = np.random.default_rng(0).integers(30, 226, (height // grain, width // grain, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def _swapped_profile() -> bytes:
    """A profile like sRGB, but of blue as its first channel and red as its third."""
    profile = bytearray(SRGB)
    count = struct.unpack(">I", profile[128:132])[0]
    entries = {bytes(profile[132 + 12 * i : 136 + 12 * i]): 132 + 12 * i for i in range(count)}
    red, blue = entries[b"rXYZ"], entries[b"bXYZ"]
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(profile)


def _exif(orientation: int | None = None, size: tuple[int, int] = (60, 40)) -> Image.Exif:
    exif = Image.Exif()
    exif[MAKER] = "a camera"
    if orientation is not None:
        exif[ORIENTATION] = orientation
    inside = exif.get_ifd(ExifTags.IFD.Exif)
    inside[ExifTags.Base.ExifImageWidth], inside[ExifTags.Base.ExifImageHeight] = size
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    return exif


def _png16(values: np.ndarray) -> bytes:
    """A PNG of 16 bits, H x W grey or H x W x 3."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    height, width = values.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 16, 0 if values.ndim == 2 else 2, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    "suffix", [".png", ".tiff", ".bmp", ".webp", ".gif", ".ppm", ".tga", ".jp2", ".avif", ".jpg"]
)
def test_what_pillow_reads(suffix: str, tmp_path: Path) -> None:
    path, values = tmp_path / f"a{suffix}", _noise()
    options = {".webp": {"lossless": True}, ".avif": {"quality": 100}, ".jpg": {"quality": 100}}
    Image.fromarray(values).save(path, **options.get(suffix, {}))
    found = Photo.open(path)
    assert found.size == (60, 40)
    exact = suffix in (".png", ".tiff", ".bmp", ".webp", ".ppm", ".tga")
    error = np.abs(np.asarray(found.pixels).astype(int) - values).mean()
    assert error == 0 if exact else error < 12


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(orientation: int, tmp_path: Path) -> None:
    values = _noise()
    Image.fromarray(values).save(tmp_path / "a.png", exif=_exif(orientation))
    photo = Photo.open(tmp_path / "a.png")
    upright = {
        1: values,
        2: values[:, ::-1],
        3: values[::-1, ::-1],
        4: values[::-1],
        5: values.transpose(1, 0, 2),
        6: values[::-1].transpose(1, 0, 2),
        7: values[::-1, ::-1].transpose(1, 0, 2),
        8: values[:, ::-1].transpose(1, 0, 2),
    }[orientation]
    assert np.array_equal(np.asarray(photo.pixels), upright)
    photo.save(tmp_path / "b.jpg")
    with Image.open(tmp_path / "b.jpg") as written:
        exif = written.getexif()
        assert ORIENTATION not in exif
        assert exif[MAKER] == "a camera"
        inside = exif.get_ifd(ExifTags.IFD.Exif)
        sizes = inside[ExifTags.Base.ExifImageWidth], inside[ExifTags.Base.ExifImageHeight]
        assert sizes == written.size == photo.size
        assert exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] == "N"


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tiff", ".webp", ".avif", ".heic"])
def test_metadata_are_kept(suffix: str, tmp_path: Path) -> None:
    if suffix == ".heic":
        needs.package("pillow_heif")
    source = tmp_path / "a.jpg"
    profile = _swapped_profile()
    Image.fromarray(_noise()).save(source, exif=_exif(6), icc_profile=profile, dpi=(300, 200))
    before = torch.zeros(3, 32, 32)
    after = before.clone()
    after[:, 10:20, 10:20] = 0.5
    edited = Photo.open(source).paste(Crop.middle((40, 60)), before, after)
    edited.save(tmp_path / f"b{suffix}")
    with Image.open(tmp_path / f"b{suffix}") as written:
        assert written.size == (40, 60)
        assert written.info["icc_profile"] == profile
        assert written.getexif()[MAKER] == "a camera"
        assert written.getexif().get(ORIENTATION, 1) == 1
        if suffix in (".jpg", ".png", ".tiff"):
            assert np.allclose(np.array(written.info["dpi"], dtype=float), (300, 200), atol=0.1)


@pytest.mark.parametrize("suffix", [".jpg", ".tiff"])
def test_metadata_of_a_tiff_file_are_not_its_layout(suffix: str, tmp_path: Path) -> None:
    picture = Image.fromarray(_noise(64, 48))
    picture.save(tmp_path / "a.tiff", exif=_exif(), compression="raw", dpi=(300, 300))
    Photo.open(tmp_path / "a.tiff").save(tmp_path / f"b{suffix}")
    with Image.open(tmp_path / f"b{suffix}") as written:
        assert np.abs(np.asarray(written).astype(int) - np.asarray(picture)).mean() < 5
        assert written.getexif()[MAKER] == "a camera"
        assert suffix == ".tiff" or ExifTags.Base.StripOffsets not in written.getexif()


def test_no_thumbnail_of_the_unedited_photo_is_kept(tmp_path: Path) -> None:
    exif = _exif()
    data = exif.tobytes()
    # A second directory, as cameras write it for a thumbnail.
    order = "<" if data[6:8] == b"II" else ">"
    first = struct.unpack(order + "I", data[10:14])[0]
    entries = struct.unpack(order + "H", data[6 + first : 8 + first])[0]
    link = 8 + first + 12 * entries
    body = data[6:] + struct.pack(order + "HHHIII", 1, 0x0201, 4, 1, 0, 0)
    linked = data[:link] + struct.pack(order + "I", len(data) - 6) + body[link - 6 + 4 :]
    Image.fromarray(_noise()).save(tmp_path / "a.jpg", exif=linked)
    with Image.open(tmp_path / "a.jpg") as source:
        assert len(source.getexif().get_ifd(ExifTags.IFD.IFD1)) == 1
    Photo.open(tmp_path / "a.jpg").save(tmp_path / "b.jpg")
    with Image.open(tmp_path / "b.jpg") as written:
        assert written.getexif()[MAKER] == "a camera"
        assert len(written.getexif().get_ifd(ExifTags.IFD.IFD1)) == 0


def test_an_embedded_profile_is_converted_for_the_model_and_kept_for_the_file(tmp_path: Path) -> None:
    values, profile = _noise(), _swapped_profile()
    Image.fromarray(values[..., ::-1]).save(tmp_path / "a.png", icc_profile=profile)
    photo = Photo.open(tmp_path / "a.png")
    crop = Crop.middle(photo.size)
    plain = Photo(Image.fromarray(values))
    assert (photo.cut(crop, 40) - plain.cut(crop, 40)).abs().max() <= 2.5 / 127.5
    assert np.abs(np.asarray(photo.srgb()).astype(int) - values).max() <= 2
    assert np.array_equal(np.asarray(photo.pixels), values[..., ::-1])
    # An edit that is red in sRGB is so in the photo's own colours, whose red comes last.
    before = torch.zeros(3, 40, 40)
    after = before.clone()
    after[0, 10:30, 10:30] = 6 / 127.5
    change = np.asarray(photo.paste(crop, before, after).pixels).astype(int) - np.asarray(photo.pixels)
    assert np.abs(change[20, 30] - (0, 0, 6)).max() <= 1
    assert not change[:, :10].any()


@pytest.mark.parametrize("damaged", [b"", b"no profile", SRGB[:200], SRGB[:16] + b"XYZ " + SRGB[20:]])
def test_a_profile_that_is_none_is_left_out(damaged: bytes, tmp_path: Path) -> None:
    values = _noise()
    Image.fromarray(values).save(tmp_path / "a.png", icc_profile=damaged)
    photo = Photo.open(tmp_path / "a.png")
    assert photo.profile is None
    assert np.array_equal(np.asarray(photo.srgb()), values)


def test_16_bits_keep_their_range(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)[None].repeat(4, 0)
    for name, values in (("grey", ramp), ("colour", np.stack([ramp] * 3, 2))):
        (tmp_path / f"{name}.png").write_bytes(_png16(values))
        found = np.asarray(Photo.open(tmp_path / f"{name}.png").pixels)[0].astype(int)
        assert np.abs(found - np.arange(256)[:, None]).max() <= 1
    fractions = Image.fromarray(np.linspace(0, 1, 256, dtype=np.float32)[None].repeat(4, 0))
    fractions.save(tmp_path / "f.tiff")
    assert (
        np.abs(np.asarray(Photo.open(tmp_path / "f.tiff").pixels)[0].astype(int)[:, 0] - np.arange(256)).max()
        <= 1
    )


def test_transparency_lies_on_the_stated_colour(tmp_path: Path) -> None:
    values = np.dstack([_noise(), np.full((40, 60), 255, np.uint8)])
    values[:, :20, 3], values[:, 20:40, 3] = 0, 128
    Image.fromarray(values).save(tmp_path / "a.png")
    for background in ((255, 255, 255), (10, 200, 30)):
        found = np.asarray(Photo.open(tmp_path / "a.png", background=background).pixels).astype(float)
        assert np.array_equal(found[:, :20], np.broadcast_to(background, (40, 20, 3)))
        half = (values[:, 20:40, :3] * 128.0 + np.array(background) * 127) / 255
        assert np.abs(found[:, 20:40] - half).max() <= 1
        assert np.array_equal(found[:, 40:], values[:, 40:, :3])


def test_other_channels_become_srgb(tmp_path: Path) -> None:
    Image.fromarray(_noise()).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    Image.fromarray(_noise()).convert("L").save(tmp_path / "b.png")
    Image.fromarray(_noise()).convert("P", palette=Image.Palette.ADAPTIVE).save(tmp_path / "c.gif")
    for name in ("a.jpg", "b.png", "c.gif"):
        photo = Photo.open(tmp_path / name)
        assert photo.pixels.mode == "RGB"
        assert photo.profile is None


def test_a_jpeg_is_compressed_as_it_was(tmp_path: Path) -> None:
    Image.fromarray(_noise(240, 160, 20)).save(tmp_path / "a.jpg", quality=60, subsampling="4:2:0")
    photo = Photo.open(tmp_path / "a.jpg")
    photo.save(tmp_path / "b.jpg")
    with Image.open(tmp_path / "a.jpg") as first, Image.open(tmp_path / "b.jpg") as second:
        assert first.quantization == second.quantization
        assert np.abs(np.asarray(first).astype(int) - np.asarray(second)).mean() < 0.5


def test_pillow_images(tmp_path: Path) -> None:
    picture = Image.fromarray(_noise())
    assert Photo.of(picture).pixels.tobytes() == picture.tobytes()
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    buffer.seek(0)
    assert Photo.open(buffer, name="upload").name == "upload"


def test_heic(tmp_path: Path) -> None:
    heif = needs.package("pillow_heif")
    path = tmp_path / "a.heic"
    heif.from_pillow(Image.fromarray(_noise(128, 96, 16))).save(path, quality=100)
    photo = Photo.open(path)
    assert photo.size == (128, 96)
    assert np.abs(np.asarray(photo.pixels).astype(int) - _noise(128, 96, 16)).mean() < 4
    photo.save(tmp_path / "b.heic")
    assert Photo.open(tmp_path / "b.heic").size == (128, 96)


def test_heic_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    path = tmp_path / "a.jpg"  # content counts, not the name
    path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    with pytest.raises(ImportError, match=r"a\.jpg cannot be read: HEIC needs .*stylemap\[heif\]"):
        Photo.open(path)
    with pytest.raises(ImportError, match=r"stylemap\[heif\]"):
        Photo.of(Image.fromarray(_noise())).save(tmp_path / "b.heic")
    assert not (tmp_path / "b.heic").exists()


def test_avif_where_pillow_lacks_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.features.check", lambda name: False)
    (tmp_path / "a.avif").write_bytes(b"\0\0\0\x18ftypavif\0\0\0\0mif1")
    with pytest.raises(ImportError, match=r"a\.avif is an AVIF picture.*pip install -U pillow"):
        Photo.open(tmp_path / "a.avif")


def test_bad_files(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    Image.fromarray(_noise()).save(tmp_path / "b.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "b.png").read_bytes()[:200])
    (tmp_path / "c.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n")
    for name, why in (("a.jpg", "not a picture"), ("b.png", "damaged"), ("c.eps", "not a picture")):
        with pytest.raises(images.ImageError, match=rf"{name} is {why}"):
            Photo.open(tmp_path / name)
    with pytest.raises(images.ImageError, match="folder"):
        Photo.open(tmp_path)
    with pytest.raises(FileNotFoundError):
        Photo.open(tmp_path / "none.jpg")
    Image.fromarray(_noise()).save(tmp_path / "d.png")
    with pytest.raises(images.ImageError, match="limit"):
        Photo.open(tmp_path / "d.png", max_pixels=1000)
    with pytest.raises(images.ImageError, match=r"must end in \.png"):
        Photo.open(tmp_path / "d.png").save(tmp_path / "d.xyz")
