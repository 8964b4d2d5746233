"""Generated "phone photos": a drawn face, turned and small in a large scene, with known landmarks."""

from __future__ import annotations

import functools

import numpy as np
from PIL import Image

from stylemap.data.faces import render, sample_attributes
from stylemap.data.faces.dataset import HELD_OUT
from stylemap.data.faces.landmarks import landmarks
from stylemap.photo import Landmarks


def scene(
    index: int = 3,
    *,
    size: tuple[int, int] = (4000, 3000),
    centre: tuple[float, float] = (0.45, 0.48),
    side: float = 1000,
    angle: float = 20.0,
) -> tuple[Image.Image, Landmarks]:
    """A photo of gradients and noise with held-out face ``index`` in it, and where its features lie.

    centre: of the face's picture, in fractions of the scene; side: of the face's picture, in pixels;
    angle: in degrees, clockwise.
    """
    width, height = size
    attributes = sample_attributes(0, np.array([HELD_OUT + index]))
    points = landmarks(attributes)[0]
    face = portrait(index)
    turn = np.radians(angle)
    axes = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    middle = np.array([centre[0] * width, centre[1] * height])
    placed = middle + (points - 0.5) @ axes.T * side
    background = _background(size)
    linear = axes.T * face.width / side
    origin = (-middle @ axes / side + 0.5) * face.width
    coefficients = (*linear[0], origin[0], *linear[1], origin[1])
    layer = face.transform(size, Image.Transform.AFFINE, coefficients, Image.Resampling.BICUBIC)
    oval = _oval(face.width).transform(size, Image.Transform.AFFINE, coefficients, Image.Resampling.BICUBIC)
    background.paste(layer, (0, 0), oval)
    return background, Landmarks.of(placed)


@functools.lru_cache(maxsize=4)
def portrait(index: int) -> Image.Image:
    """Held-out face ``index``, 1024 x 1024."""
    attributes = sample_attributes(0, np.array([HELD_OUT + index]))
    return Image.fromarray(render(attributes, 1024)[0][0].permute(1, 2, 0).numpy())


@functools.cache
def _oval(size: int) -> Image.Image:
    """Opaque in the middle, fading to the border of the portrait."""
    place = (np.arange(size) + 0.5) / size * 2 - 1
    far = np.maximum(np.abs(place)[:, None], np.abs(place)[None, :])
    alpha = np.clip((0.98 - far) / 0.1, 0, 1)
    return Image.fromarray((255 * alpha).astype(np.uint8))


@functools.lru_cache(maxsize=2)
def _scenery(size: tuple[int, int]) -> Image.Image:
    width, height = size
    x, y = np.arange(width)[None, :] / width, np.arange(height)[:, None] / height
    planes = [120 + 80 * x + 20 * np.sin(9 * y), 110 + 90 * y + 0 * x, 150 - 60 * x * y + 30 * np.cos(7 * x)]
    noise = np.random.default_rng(0).normal(0, 6, (height, width, 1)).astype(np.float32)
    values = np.stack([plane.astype(np.float32) for plane in planes], 2) + noise
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def _background(size: tuple[int, int]) -> Image.Image:
    return _scenery(size).copy()


def can_draw() -> bool:
    """Whether the native library, which draws the faces, is there."""
    from stylemap.ops import _native

    return _native.why_missing("cpu") is None
