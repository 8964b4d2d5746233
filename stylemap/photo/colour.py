"""Colours of a photo: its embedded profile to sRGB, which models are trained in, and back."""

from __future__ import annotations

import functools
import io

import numpy as np
from PIL import Image, ImageCms

from stylemap import images

_FLAGS = ImageCms.Flags.BLACKPOINTCOMPENSATION


def normalised(picture: Image.Image, background: images.Colour) -> tuple[Image.Image, bytes | None]:
    """A picture of any mode as RGB, and the profile of these values; None for sRGB.

    An RGB profile is kept with its values, so that nothing is rounded which is not edited. Pictures that have
    other channels (grey, CMYK, L*a*b*) are converted to sRGB by their profile where they have one.
    A profile that cannot be read counts as none.
    """
    profile: bytes | None = picture.info.get("icc_profile") or None
    space = _space(profile)
    if space == "RGB ":
        return images.flatten(picture, background), profile
    bands = {"GRAY": ("L",), "CMYK": ("CMYK",), "Lab ": ("LAB",)}.get(space, ())
    if profile is not None and picture.mode in bands:
        found = ImageCms.profileToProfile(
            picture, _open(profile), _srgb(), ImageCms.Intent.RELATIVE_COLORIMETRIC, "RGB", flags=_FLAGS
        )
        if found is not None:
            return found, None
    return images.flatten(picture, background), None


def to_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB values of a profile as sRGB: relative colorimetric, with black point compensation."""
    return (
        picture if profile is None else ImageCms.applyTransform(picture, _transform(profile, True)) or picture
    )


def values_from_srgb(values: np.ndarray, profile: bytes | None) -> np.ndarray:
    """sRGB values H x W x 3, 0 to 255 in any type, as those of a profile; float32.

    The conversion works in 8 bits.
    """
    if profile is None:
        return values.astype(np.float32)
    picture = Image.fromarray(np.clip(np.round(values), 0, 255).astype(np.uint8))
    found = ImageCms.applyTransform(picture, _transform(profile, False)) or picture
    return np.asarray(found).astype(np.float32)


@functools.lru_cache(maxsize=8)
def _transform(profile: bytes, forward: bool) -> ImageCms.ImageCmsTransform:
    ends = (_open(profile), _srgb())
    first, second = ends if forward else ends[::-1]
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
    return ImageCms.buildTransform(first, second, "RGB", "RGB", intent, _FLAGS)


def _space(profile: bytes | None) -> str:
    if profile is None:
        return ""
    try:
        space: str = _open(profile).profile.xcolor_space
        if space == "RGB ":
            _transform(profile, True), _transform(profile, False)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return ""
    return space


def _open(profile: bytes) -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(io.BytesIO(profile))


@functools.cache
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
