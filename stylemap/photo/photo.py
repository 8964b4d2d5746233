"""A photo of any size: opened as it is, cut for a model, and given back with the edit in it."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import IO, Any, BinaryIO

from PIL import Image, JpegImagePlugin
from torch import Tensor

from stylemap import images
from stylemap.photo import colour, paste, reading, resample, writing
from stylemap.photo.crop import Crop
from stylemap.photo.writing import JpegTables

WHITE: images.Colour = (255, 255, 255)


@dataclass(frozen=True, eq=False)
class Photo:
    """Pixels and metadata of a photo.

        photo = Photo.open("phone.jpg")
        crop = align(landmarks)                              # or Crop.middle(photo.size)
        w = model.encode(photo.cut(crop, model.config.size)[None])
        before, after = model.decode(w), model.decode(edited)
        photo.paste(crop, before[0], after[0]).save("out.jpg")

    pixels: RGB, upright, in the photo's own colours. profile: the ICC profile of these, None for sRGB.
    exif: EXIF data, without an orientation; b"" for none. dpi: pixels per inch, across and down.
    name: what errors call it. jpeg: how it was compressed, where it was a JPEG file.
    """

    pixels: Image.Image
    profile: bytes | None = None
    exif: bytes = b""
    dpi: tuple[float, float] | None = None
    name: str = "the photo"
    jpeg: JpegTables | None = None

    @classmethod
    def open(
        cls,
        source: str | os.PathLike[str] | BinaryIO,
        *,
        background: images.Colour = WHITE,
        max_pixels: int = images.MAX_PIXELS,
        name: str | None = None,
        formats: tuple[str, ...] | None = None,
    ) -> Photo:
        """Any picture that Pillow reads, and HEIC with the extra ``stylemap[heif]``.

        It is turned as its EXIF orientation says; 16 bits become 8 over their whole range; what is
        transparent is laid on ``background``, RGB from 0 to 255; of an animation it is the first frame.

        Args:
            source: a file, or an open binary one, which errors then call ``name``.
            max_pixels: larger pictures are refused before they are decoded.
            formats: Pillow's names of those that are read; by default all.

        Raises:
            ImageError: no picture, damaged, or too many pixels.
            ImportError: HEIC without pillow-heif.
            OSError: the file is missing or may not be read.
        """
        label = name or (str(source) if isinstance(source, str | os.PathLike) else "the image")
        return cls.of(reading.decode(source, max_pixels, label, formats), background=background, name=label)

    @classmethod
    def of(cls, picture: Image.Image, *, background: images.Colour = WHITE, name: str = "the photo") -> Photo:
        """A photo from a Pillow image of any mode, with the metadata it carries."""
        pixels, profile = colour.normalised(images.upright(picture), background)
        dpi = picture.info.get("dpi")
        return cls(
            pixels,
            profile,
            reading.exif_bytes(picture, pixels.size),
            (float(dpi[0]), float(dpi[1])) if dpi else None,
            name,
            _jpeg_tables(picture),
        )

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.pixels.size

    def cut(self, crop: Crop, size: int) -> Tensor:
        """What a model sees: float32 3 x size x size, sRGB in [-1, 1]. Outside the photo it is reflected.

        Raises:
            ValueError: a crop without a pixel of the photo.
        """
        return images.to_tensor(self.picture(crop, size))

    def picture(self, crop: Crop, size: int) -> Image.Image:
        """`cut` as an sRGB image."""
        return colour.to_srgb(resample.cut(self.pixels, crop, size), self.profile)

    def paste(self, crop: Crop, before: Tensor, after: Tensor, **options: Any) -> Photo:
        """The photo with the edit in it; see `stylemap.photo.paste.paste`."""
        return replace(self, pixels=paste.paste(self.pixels, self.profile, crop, before, after, **options))

    def srgb(self) -> Image.Image:
        """The whole photo as an sRGB image."""
        return colour.to_srgb(self.pixels, self.profile)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it with its EXIF data, ICC profile and resolution; see `stylemap.photo.writing.write`."""
        writing.write(self.pixels, path, profile=self.profile, exif=self.exif, dpi=self.dpi, jpeg=self.jpeg)

    def write(self, file: IO[bytes], kind: str) -> None:
        """The same into an open file. kind: Pillow's name of the format, as in "JPEG"."""
        writing.write_into(
            file, kind, self.pixels, profile=self.profile, exif=self.exif, dpi=self.dpi, jpeg=self.jpeg
        )


def _jpeg_tables(picture: Image.Image) -> JpegTables | None:
    """Of a JPEG file as Pillow opened it: a picture that was turned or changed has none."""
    if not isinstance(picture, JpegImagePlugin.JpegImageFile):
        return None
    sampling = JpegImagePlugin.get_sampling(picture)
    tables = {number: list(table) for number, table in picture.quantization.items()}
    return JpegTables(tables, sampling) if sampling in (0, 1, 2) and tables else None
