"""Write a photo with its metadata, whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, Any, NamedTuple

from PIL import Image

from stylemap import images
from stylemap.files import write_whole
from stylemap.photo import reading

_FORMATS = {
    # GIF has 256 colours and none of a photo's metadata.
    **{suffix: kind for suffix, kind in images.WRITE_FORMATS.items() if kind != "GIF"},
    ".avif": "AVIF",
    **dict.fromkeys(reading.HEIC_SUFFIXES, "HEIF"),
}
SUFFIXES = tuple(_FORMATS)
_OPTIONS: dict[str, dict[str, Any]] = {
    **images.WRITE_OPTIONS,
    "JPEG": {"quality": 95, "subsampling": "4:4:4"},
    "AVIF": {"quality": 90},
    "HEIF": {"quality": 90},
}


class JpegTables(NamedTuple):
    """How a JPEG file was compressed: Pillow's ``qtables`` and ``subsampling``."""

    tables: dict[int, list[int]]
    sampling: int


def write(
    pixels: Image.Image,
    path: str | os.PathLike[str],
    *,
    profile: bytes | None = None,
    exif: bytes = b"",
    dpi: tuple[float, float] | None = None,
    jpeg: JpegTables | None = None,
) -> None:
    """Write pixels in the format of the suffix, with its EXIF data, ICC profile and resolution.

    A JPEG that was read as one keeps its quantisation tables: what is not edited changes least.

    Raises:
        ImageError: another suffix, or a picture with more pixels on a side than the format has.
        ImportError: HEIC without pillow-heif.
        OSError: the file cannot be written.
    """
    kind = _FORMATS.get(Path(path).suffix.lower())
    if kind is None:
        raise images.ImageError(f"cannot write {path}: its name must end in {', '.join(SUFFIXES)}")
    images.check_sides(pixels, kind, str(path))
    with write_whole(path) as file:
        write_into(file, kind, pixels, profile=profile, exif=exif, dpi=dpi, jpeg=jpeg)


def write_into(
    file: IO[bytes],
    kind: str,
    pixels: Image.Image,
    *,
    profile: bytes | None = None,
    exif: bytes = b"",
    dpi: tuple[float, float] | None = None,
    jpeg: JpegTables | None = None,
) -> None:
    """`write` into an open file. kind: Pillow's name of the format.

    Raises:
        ImportError: HEIC without pillow-heif.
    """
    if kind == "HEIF":
        reading.heif()
    options = dict(_OPTIONS.get(kind, {}))
    if kind == "JPEG" and jpeg is not None:
        options = {"qtables": jpeg.tables, "subsampling": jpeg.sampling}
    if exif:
        options["exif"] = exif
        options.pop("compression", None)  # Pillow writes EXIF directories into TIFF files as they are alone
    if profile is not None:
        options["icc_profile"] = profile
    if dpi is not None and kind in ("JPEG", "PNG", "TIFF"):
        options["dpi"] = dpi
    Image.init()
    pixels.save(file, format=kind, **options)
