"""Write a photo with its metadata, whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from stylemap import images
from stylemap.files import write_whole
from stylemap.photo import reading

if TYPE_CHECKING:
    from stylemap.photo.photo import Photo

_FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".avif": "AVIF",
    **dict.fromkeys(reading.HEIC_SUFFIXES, "HEIF"),
}
SUFFIXES = tuple(_FORMATS)
_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": "4:4:4"},
    "WEBP": {"quality": 95},
    "TIFF": {"compression": "tiff_deflate"},
    "AVIF": {"quality": 90},
    "HEIF": {"quality": 90},
}


def write(photo: Photo, path: str | os.PathLike[str]) -> None:
    """Write a photo in the format of the suffix, with its EXIF data, ICC profile and resolution.

    A JPEG that was read as one keeps its quantisation tables: what is not edited changes least.

    Raises:
        ImageError: another suffix.
        ImportError: HEIC without pillow-heif.
        OSError: the file cannot be written.
    """
    kind = _FORMATS.get(Path(path).suffix.lower())
    if kind is None:
        raise images.ImageError(f"cannot write {path}: its name must end in {', '.join(SUFFIXES)}")
    if kind == "HEIF":
        reading.heif()
    options = dict(_OPTIONS.get(kind, {}))
    if kind == "JPEG" and photo.jpeg is not None:
        options = {"qtables": photo.jpeg.tables, "subsampling": photo.jpeg.sampling}
    if photo.exif:
        options["exif"] = photo.exif
        options.pop("compression", None)  # Pillow writes EXIF directories into TIFF files as they are alone
    if photo.profile is not None:
        options["icc_profile"] = photo.profile
    if photo.dpi is not None and kind in ("JPEG", "PNG", "TIFF"):
        options["dpi"] = photo.dpi
    Image.init()
    with write_whole(path) as file:
        photo.pixels.save(file, format=kind, **options)
