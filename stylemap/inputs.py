"""What a user may give as an image or a mask: PIL images, numpy arrays of pixels, files, tensors.

Tensors are taken as they are: they must have the size the model has. Pictures of any other kind are turned
upright, cropped to their centre square and resized by Lanczos, a mask exactly as a photo of its size is.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stylemap import images as files

_WHITE = (255, 255, 255)  # behind transparent pixels
Pixels: TypeAlias = np.ndarray[Any, Any]
#: One image: a PIL image of any mode; numpy uint8 H×W×3 (or H×W, H×W×1, H×W×4); a file's path; or a tensor.
ImageLike: TypeAlias = Tensor | Image.Image | Pixels | str | os.PathLike[str]
#: One image, or several: a sequence of them, a numpy uint8 array N×H×W×3, a tensor N×3×S×S.
ImagesLike: TypeAlias = ImageLike | Sequence[ImageLike]
#: A mask: what an image may be, one channel deep; numpy H×W of bool, integers or floats in [0, 1].
MaskLike: TypeAlias = Tensor | Image.Image | Pixels | str | os.PathLike[str]


def image_batch(given: ImagesLike, size: int, like: Tensor, name: str = "images") -> Tensor:
    """Images as a tensor N×3×size×size in [-1, 1]; a tensor is returned unchanged, for its own check.

    Args:
        given: see `ImagesLike`.
        size: side S of the model's images.
        like: of the dtype and on the device that the result has.
        name: of the argument, for errors.

    Raises:
        TypeError: something else, or an array that is not uint8.
        ValueError: an array of another shape, tensors of a list that do not go together.
        ImageError, OSError: of a file, see `stylemap.images.load`.
    """
    if isinstance(given, Tensor):
        return given
    if isinstance(given, np.ndarray) and given.ndim == 4:
        given = list(given)
    if isinstance(given, list | tuple) and given and all(_is_picture(one) for one in given):
        found = [image_batch(one, size, like, f"{name}[{i}]") for i, one in enumerate(given)]
        found = [one if one.ndim == 4 else one[None] for one in found]
        if len({tuple(one.shape[1:]) for one in found}) > 1:
            shapes = ", ".join(_shape(one) for one in found)
            raise ValueError(f"{name}: expected images of one size, got {shapes}")
        return torch.cat(found)
    picture = _picture(given, name)
    if picture is None:
        kind = type(given).__name__
        raise TypeError(f"{name}: expected a tensor, PIL images, numpy pixels or paths of files, got {kind}")
    return files.to_tensor(files.fit_square(files.flatten(picture, _WHITE), size))[None].to(like)


def mask_tensor(given: MaskLike, size: int | None, cells: int = 1, name: str = "mask") -> Tensor:
    """A mask as a tensor size×size, coverage in [0, 1]; a tensor is returned unchanged, for its own check.

    White is on. A picture of 0 and 1 alone, and an array of bool or integers, is on wherever it is above 0.

    Args:
        given: see `MaskLike`.
        size: side S of the model's images; None keeps the picture's, rounded up to a multiple of ``cells``.
        cells: see ``size``.
        name: of the argument, for errors.

    Raises:
        TypeError, ValueError, ImageError, OSError: as `image_batch`.
    """
    if isinstance(given, Tensor):
        return given
    if isinstance(given, str | os.PathLike):
        picture: Image.Image | None = files.open_grey(given)
    elif isinstance(given, np.ndarray):
        picture = _mask_of_array(given, name)
    else:
        picture = files.upright(given) if isinstance(given, Image.Image) else None
    if picture is None:
        kind = type(given).__name__
        raise TypeError(f"{name}: expected a tensor, a PIL image, an array or a file path, got {kind}")
    if picture.mode != "F":
        picture = files.grey(picture)
        if np.asarray(picture).max(initial=0) <= 1:
            picture = picture.point(lambda value: 255 * (value > 0))
    side = size or cells * -(-min(picture.size) // cells)
    values = np.array(files.fit_square(picture, side), dtype=np.float32)
    return torch.from_numpy(values / 255).clamp(0, 1)


def _is_picture(given: object) -> bool:
    return isinstance(given, Tensor | Image.Image | np.ndarray | str | os.PathLike)


def _picture(given: object, name: str) -> Image.Image | None:
    """An upright image; None for what is none."""
    if isinstance(given, Image.Image):
        return files.upright(given)
    if isinstance(given, str | os.PathLike):
        return files.open_upright(given)
    if not isinstance(given, np.ndarray):
        return None
    if given.dtype != np.uint8:
        raise TypeError(
            f"{name}: expected numpy pixels of uint8, got {given.dtype}; values in [-1, 1] are for tensors"
        )
    if not (given.ndim == 2 or (given.ndim == 3 and given.shape[2] in (1, 3, 4))) or given.size == 0:
        raise ValueError(f"{name}: expected numpy pixels H×W×3, got {_shape(given)}")
    return Image.fromarray(given[:, :, 0] if given.ndim == 3 and given.shape[2] == 1 else given)


def _mask_of_array(given: Pixels, name: str) -> Image.Image:
    """A grey picture; of floating-point values one of floats from 0 to 255."""
    array = given[:, :, 0] if given.ndim == 3 and given.shape[2] == 1 else given
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"{name}: expected a numpy array H×W, got {_shape(given)}")
    if array.dtype.kind == "f":
        return Image.fromarray(np.clip(array.astype(np.float32), 0, 1) * 255)
    if array.dtype.kind not in "bui":
        raise TypeError(f"{name}: expected an array of bool, integers or floats, got {array.dtype}")
    return Image.fromarray((array > 0).astype(np.uint8) * 255)


def _shape(array: Tensor | Pixels) -> str:
    return "×".join(map(str, array.shape)) or "a scalar"


__all__ = [
    "ImageLike",
    "ImagesLike",
    "MaskLike",
    "image_batch",
    "mask_tensor",
]


def __dir__() -> list[str]:
    return __all__
