"""Read and write photos: decode, orient, flatten, crop, resize; a file is written whole or not at all.

Tensors are float32 3 x S x S, RGB in [-1, 1].
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import torch
from PIL import (  # the plugins register the formats that may be opened and written
    BmpImagePlugin,  # noqa: F401
    ExifTags,
    GifImagePlugin,  # noqa: F401
    Image,
    ImageOps,
    JpegImagePlugin,  # noqa: F401
    PngImagePlugin,  # noqa: F401
    TiffImagePlugin,  # noqa: F401
    UnidentifiedImageError,
    WebPImagePlugin,  # noqa: F401
    features,
)
from torch import Tensor

from stylemap.files import kind_of, reading, write_whole
from stylemap.modes import Colour, decode, flatten

Fit = Literal["crop", "pad", "squash"]
FITS: tuple[Fit, ...] = ("crop", "pad", "squash")
#: Of the images that folders are searched for.
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".avif")
MAX_PIXELS = 80_000_000

#: What browsers send: the fewer decoders a server offers to strangers, the better.
WEB_FORMATS = ("JPEG", "PNG", "WEBP")
#: What files may be. Of a GIF or TIFF with several pictures the first counts.
READ_FORMATS = (*WEB_FORMATS, "TIFF", "BMP", "GIF", "AVIF")
#: What a suffix is written as, by Pillow's name of the format.
WRITE_FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".gif": "GIF",
}
WRITE_SUFFIXES = tuple(WRITE_FORMATS)
#: How every format is written where nothing else is asked for.
WRITE_OPTIONS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95},
    "WEBP": {"quality": 95},
    "TIFF": {"compression": "tiff_deflate"},
}
_LONGEST = {"JPEG": 65500, "WEBP": 16383, "GIF": 65535}  # side, of the formats or of their libraries
_WHITE = (255, 255, 255)
_NAMED = 5  # sub-folders that an error names


class ImageError(ValueError):
    """An image that cannot be read or written; the message names the file and the reason."""


class UnreadableError(ImageError):
    """A file that is no image that can be read, where others beside it may be."""


def load(
    path: str | os.PathLike[str],
    size: int,
    *,
    fit: Fit = "crop",
    background: Colour = _WHITE,
    max_pixels: int = MAX_PIXELS,
) -> Tensor:
    """A photo as float32 3 x size x size in [-1, 1].

    JPEG, PNG, WebP, TIFF, BMP, GIF or AVIF of any mode and depth: turned as its EXIF orientation says,
    transparency laid on ``background``, 16-bit values rounded to 8. Floats are from 0 to 1, or where one is
    above 2 as values of 8 or 16 bits.

    Args:
        path: the file.
        size: side S of the result.
        fit: "crop" takes the centre square, "pad" adds ``background`` around the whole picture,
            "squash" ignores the aspect ratio.
        background: RGB, 0 to 255; white by default.
        max_pixels: larger pictures are refused before they are decoded.

    Raises:
        ImageError: no image, damaged, too many pixels, or an unknown ``fit``.
        OSError: the file is missing or may not be read.
    """
    return to_tensor(
        fit_square(open_rgb(path, background=background, max_pixels=max_pixels), size, fit, background)
    )


def open_rgb(
    source: str | os.PathLike[str] | BinaryIO,
    *,
    background: Colour = _WHITE,
    max_pixels: int = MAX_PIXELS,
    name: str | None = None,
    formats: tuple[str, ...] = READ_FORMATS,
) -> Image.Image:
    """Decode to an upright RGB image of its full size; arguments and errors as in ``load``.

    ``source`` may be an open binary file; ``name`` is then what errors call it. formats: Pillow's names of
    those that are read.
    """
    return flatten(_decode(source, max_pixels, name, formats), background)


def open_upright(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode to an upright image of its full size, in the mode of the file. Errors as in ``load``."""
    return _decode(path, max_pixels, None)


def open_grey(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode to an upright 8-bit grey image (mode L); transparent pixels are black. Errors as in ``load``."""
    return grey(open_upright(path, max_pixels=max_pixels))


def grey(image: Image.Image) -> Image.Image:
    """An image of any mode as 8-bit grey (mode L); transparent pixels are black."""
    return flatten(image, (0, 0, 0)).convert("L")


def upright_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Width and height of a photo, turned upright, without decoding it. Errors as in ``load``."""
    check_kind(Path(path), str(path))
    with open(path, "rb") as file, errors_named(str(path), MAX_PIXELS):
        image = Image.open(file, formats=_available(READ_FORMATS))
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
        return (image.height, image.width) if turned else image.size


def fit_square(
    image: Image.Image, size: int, fit: Fit = "crop", background: Colour | int = _WHITE
) -> Image.Image:
    """Resize to size x size by Lanczos. An image of this size is returned unchanged.

    Raises:
        ImageError: an unknown ``fit``, a side below 1.
    """
    if fit not in FITS:
        raise ImageError(f"fit must be one of {', '.join(FITS)}, got {fit!r}")
    if size < 1:
        raise ImageError(f"a picture's side must be at least 1, got {size}")
    width, height = image.size
    if fit == "pad" and width != height:
        scale = size / max(width, height)
        inner = (max(1, round(width * scale)), max(1, round(height * scale)))
        padded = Image.new(image.mode, (size, size), background)
        padded.paste(_resize(image, inner, None), ((size - inner[0]) // 2, (size - inner[1]) // 2))
        return padded
    if fit == "crop" and width != height:
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        return _resize(image, (size, size), (left, top, left + side, top + side))
    return _resize(image, (size, size), None)


def to_tensor(image: Image.Image) -> Tensor:
    """An RGB image H x W as float32 3 x H x W in [-1, 1]."""
    pixels = torch.from_numpy(np.array(image.convert("RGB"), dtype=np.float32))
    return pixels.permute(2, 0, 1).contiguous() / 127.5 - 1


def to_image(tensor: Tensor) -> Image.Image:
    """3 x H x W (or 1 x 3 x H x W) of any floating dtype to an RGB image, clamped to [-1, 1].

    Raises:
        ImageError: another shape, or NaN in it.
    """
    if tensor.ndim == 4 and tensor.shape[0] == 1:
        tensor = tensor[0]
    if tensor.ndim == 4:
        raise ImageError(
            f"an image tensor is 3 x H x W, got {tuple(tensor.shape)}: convert the images of a batch singly"
        )
    if tensor.ndim != 3 or tensor.shape[0] != 3:
        raise ImageError(f"an image tensor is 3 x H x W, got {tuple(tensor.shape)}")
    values = tensor.detach().float().cpu()
    if bool(values.isnan().any()):
        raise ImageError("the image holds NaN: the model's weights or the precision are at fault")
    bytes_ = ((values + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return Image.fromarray(bytes_.permute(1, 2, 0).contiguous().numpy())


def save(image: Tensor | Image.Image, path: str | os.PathLike[str]) -> None:
    """Write PNG, JPEG, WebP, TIFF or GIF, as the suffix says, whole or not at all.

    Raises:
        ImageError: another suffix, a picture without pixels or with more on a side than the format has, or a
            tensor ``to_image`` refuses.
        OSError: naming the file, when its folder cannot be written or the disk is full.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in WRITE_FORMATS:
        raise ImageError(f"cannot write {path}: its name must end in {', '.join(WRITE_SUFFIXES)}")
    picture = to_image(image) if isinstance(image, Tensor) else image
    kind = WRITE_FORMATS[suffix]
    check_sides(picture, kind, str(path))
    with write_whole(path) as file:
        picture.save(file, format=kind, **WRITE_OPTIONS.get(kind, {}))


def check_sides(image: Image.Image, kind: str, label: str) -> None:
    """Raise ImageError where a format, by Pillow's name of it, cannot hold a picture of this size."""
    longest = _LONGEST.get(kind, max(image.size))
    if not 0 < min(image.size) <= max(image.size) <= longest:
        limit = f"; {kind} files have at most {longest} on a side" if min(image.size) else ""
        raise ImageError(f"cannot write {label}: the picture is {image.width} x {image.height} pixels{limit}")


def find(paths: Iterable[str | os.PathLike[str]]) -> list[Path]:
    """Files as they are named, and the images in the folders named (see ``inside``).

    Raises:
        FileNotFoundError: a path that does not exist.
        ImageError: a folder without images.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if not path.exists() and not path.is_symlink():
            raise FileNotFoundError(f"no such file or folder: {path}")
        files = inside(path) if path.is_dir() else [path]
        if not files:
            raise ImageError(f"{path} holds no images ({', '.join(SUFFIXES)}){_deeper(path)}")
        found += files
    return found


def inside(folder: Path) -> list[Path]:
    """The image files of a folder in natural order (2 before 10); its sub-folders are left alone."""
    files = (path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    return sorted((path for path in files if not path.name.startswith(".")), key=_natural)


def others(folder: Path) -> list[Path]:
    """The files of a folder that are no images by their names; hidden files and sub-folders are not meant."""
    files = (path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    return sorted((path for path in files if path.suffix.lower() not in SUFFIXES), key=_natural)


def _deeper(folder: Path) -> str:
    """Which of its sub-folders hold images, for an error; "" for none."""
    folders = sorted(
        (path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")), key=_natural
    )
    found = [path.name for path in folders if inside(path)]
    if not found:
        return ""
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return f"; its sub-folders do, which are not read: name {', '.join(found[:_NAMED])}{more}"


def _decode(
    source: str | os.PathLike[str] | BinaryIO,
    max_pixels: int,
    name: str | None,
    formats: tuple[str, ...] = READ_FORMATS,
) -> Image.Image:
    """The decoded pixels, upright."""
    label = name or (str(source) if isinstance(source, str | os.PathLike) else "the image")
    if isinstance(source, str | os.PathLike):
        check_kind(Path(source), label)
        with reading(label), open(source, "rb") as file:
            return _decode(file, max_pixels, label, formats)
    with errors_named(label, max_pixels):
        image = Image.open(source, formats=_available(formats))
        check_pixels(image, label, max_pixels)
        decode(image)
        return upright(image)


def _available(formats: tuple[str, ...]) -> tuple[str, ...]:
    """Those that this Pillow has: older ones lack AVIF."""
    if "AVIF" not in formats or not features.check("avif"):
        return tuple(name for name in formats if name != "AVIF")
    from PIL import AvifImagePlugin  # noqa: F401 (registers the format)

    return formats


def check_kind(path: Path, label: str) -> None:
    """Raise UnreadableError for what is no file: a folder, a pipe, a device, a link to nothing."""
    kind = kind_of(path)
    if kind:
        raise UnreadableError(f"{label} is {kind}, not an image")
    if path.is_symlink() and not path.exists():
        raise UnreadableError(f"{label} is a broken link, to {os.readlink(path)}")


@contextmanager
def errors_named(label: str, max_pixels: int, kinds: str = "a picture that can be read") -> Iterator[None]:
    """Everything Pillow raises about a bad file becomes an ImageError that names it and what it should be."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about sizes and metadata; what matters is raised
            yield
    except UnidentifiedImageError as error:
        raise UnreadableError(f"{label} is not {kinds}") from error
    except Image.DecompressionBombError as error:
        raise _too_large(label, None, max_pixels) from error
    except ImageError:
        raise
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, MemoryError) as error:
        # Pillow's decoders raise all of these on truncated and damaged files.
        raise UnreadableError(f"{label} is damaged or incomplete: {error}") from error


def check_pixels(image: Image.Image, label: str, limit: int) -> None:
    """Raise ImageError where an image, not decoded yet, has more pixels than the limit."""
    if image.width * image.height > limit:
        raise _too_large(label, image.width * image.height, limit)


def upright(image: Image.Image) -> Image.Image:
    """Turned as its EXIF orientation says, which it has no more."""
    try:
        return ImageOps.exif_transpose(image)
    except (ValueError, TypeError, SyntaxError, KeyError, OSError):
        return image  # unreadable EXIF data: the orientation is unknown


def _too_large(label: str, pixels: int | None, limit: int) -> UnreadableError:
    size = f"{pixels / 1e6:.0f} million" if pixels else "far too many"
    return UnreadableError(f"{label} has {size} pixels; the limit is {limit / 1e6:.0f} million")


def _resize(image: Image.Image, size: tuple[int, int], box: tuple[int, int, int, int] | None) -> Image.Image:
    # Shrinking by more than 3 x the Lanczos support goes through an exact box reduction first.
    return image.resize(size, Image.Resampling.LANCZOS, box=box, reducing_gap=3.0)


def _natural(path: Path) -> list[tuple[int, int | str]]:
    parts = re.split(r"(\d+)", path.name.lower())
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts]


__all__ = [
    "FITS",
    "MAX_PIXELS",
    "READ_FORMATS",
    "SUFFIXES",
    "WEB_FORMATS",
    "WRITE_FORMATS",
    "WRITE_OPTIONS",
    "WRITE_SUFFIXES",
    "Colour",
    "Fit",
    "ImageError",
    "UnreadableError",
    "check_kind",
    "check_pixels",
    "check_sides",
    "decode",
    "errors_named",
    "find",
    "fit_square",
    "flatten",
    "grey",
    "inside",
    "load",
    "open_grey",
    "open_rgb",
    "open_upright",
    "others",
    "save",
    "to_image",
    "to_tensor",
    "upright",
    "upright_size",
]


def __dir__() -> list[str]:
    return __all__
