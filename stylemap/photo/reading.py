"""Decode the photos of cameras, phones and image programs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, BinaryIO

from PIL import ExifTags, Image, features

from stylemap import images
from stylemap.files import reading
from stylemap.optional import require

# Formats that Pillow hands to another program, or of which it knows the header alone.
_NOT_READ = {"BUFR", "EPS", "FITS", "GRIB", "HDF5", "IPTC", "MPEG", "WMF"}
# What a TIFF file says of its own layout, and the data that are kept elsewhere (profile, XMP, IPTC).
_LAYOUT = {
    *range(254, 267),
    273,
    *range(277, 281),
    284,
    317,
    *range(320, 326),
    330,
    338,
    339,
    347,
    *range(512, 522),
}
_LAYOUT |= {529, 530, 531, 532, 700, 33723, 34377, 34675}
_MAKERS = {ExifTags.IFD.MakerNote}
HEIC_SUFFIXES = (".heic", ".heif", ".hif")
_HEIC_BRANDS = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")


def decode(
    source: str | os.PathLike[str] | BinaryIO,
    max_pixels: int,
    name: str | None = None,
    formats: tuple[str, ...] | None = None,
) -> Image.Image:
    """A picture as it lies in its file, decoded, with what Pillow keeps of its metadata.

    formats: Pillow's names of those that are read; by default all that hold pictures.

    Raises:
        ImageError: no picture that can be read, damaged, or of too many pixels; the message names it.
        ImportError: HEIC without pillow-heif; the message says what to install.
        OSError: the file is missing or may not be read.
    """
    label = name or (str(source) if isinstance(source, str | os.PathLike) else "the image")
    if isinstance(source, str | os.PathLike):
        images.check_kind(Path(source), label)
        with reading(label), open(source, "rb") as file:
            return decode(file, max_pixels, label, formats)
    if formats is None:
        head = source.read(16)
        source.seek(0)
        _need_decoder(head, label)
    with images.errors_named(label, max_pixels, "a picture that can be read"):
        picture = Image.open(source, formats=formats or _formats())
        images.check_pixels(picture, label, max_pixels)
        images.decode(picture)
        return picture


def exif_bytes(picture: Image.Image, size: tuple[int, int]) -> bytes:
    """The EXIF data of a picture for a file of its upright pixels, ``size`` of them; b"" for none.

    They have no orientation and no thumbnail, which would show the photo without its edit.
    """
    own, exif = picture.getexif(), Image.Exif()
    for tag in set(own) - _LAYOUT - {ExifTags.Base.Orientation, *ExifTags.IFD}:
        exif[tag] = own[tag]
    for directory in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
        values = {k: v for k, v in own.get_ifd(directory).items() if k not in set(ExifTags.IFD) - _MAKERS}
        if values:
            exif.get_ifd(directory).update(values)
    inside = exif.get_ifd(ExifTags.IFD.Exif)
    for tag, length in zip((ExifTags.Base.ExifImageWidth, ExifTags.Base.ExifImageHeight), size):
        if tag in inside:
            inside[tag] = length
    return exif.tobytes() if len(exif) else b""


def heif() -> Any:
    """pillow-heif, with its formats known to Pillow.

    Raises:
        ImportError: it is not installed.
    """
    module = require("pillow_heif", "HEIC")
    module.register_heif_opener()
    return module


def _need_decoder(head: bytes, label: str) -> None:
    """HEIC and AVIF by the first bytes: ``ftyp`` and the brand (ISO/IEC 14496-12, 23008-12)."""
    if head[4:8] != b"ftyp":
        return
    brand = head[8:12]
    if brand in (b"avif", b"avis"):
        if not features.check("avif"):
            raise ImportError(
                f"{label} is an AVIF picture, which this Pillow cannot read: pip install -U pillow"
            )
    elif brand in _HEIC_BRANDS:
        try:
            heif()
        except ImportError as error:
            raise ImportError(f"{label} cannot be read: {error}") from None


def _formats() -> list[str]:
    Image.init()
    return [name for name in Image.ID if name not in _NOT_READ]
