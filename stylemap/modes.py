"""Pictures of any mode as RGB of 8 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

Colour = tuple[int, int, int]
_BEYOND_WHITE = 2.0


def decode(image: Image.Image) -> None:
    """Decode an open image. Raises ValueError where it has pixels that are no finite numbers."""
    image.load()
    if image.mode == "F" and not np.isfinite(np.asarray(image)).all():
        raise ValueError("it has pixels that are NaN or infinite")


def flatten(image: Image.Image, background: Colour) -> Image.Image:
    """Any mode to RGB: transparency laid on the background, the range of 16 bits (of floats: see `_white`)
    to 8.
    """
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image).astype(np.float64)
        scale = 255 / (_white(values) if image.mode == "F" else 65535)
        image = Image.fromarray(np.clip(np.round(values * scale), 0, 255).astype(np.uint8))
    if "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, (*background, 255)), layer).convert("RGB")
    return image.convert("RGB")


def _white(values: np.ndarray[Any, Any]) -> int:
    """What is white in a picture of floats: 1, also where a filter or a light goes somewhat beyond; else of
    the ranges of 8 and 16 bits the first that holds it.
    """
    highest = values.max(initial=0)
    return 1 if highest <= _BEYOND_WHITE else 255 if highest <= 255 else 65535
