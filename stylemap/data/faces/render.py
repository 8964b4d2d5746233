"""From attributes to pictures."""

from __future__ import annotations

import numpy as np
import torch

from stylemap.data.faces.attributes import Attributes
from stylemap.data.faces.backdrop import draw_backdrop
from stylemap.data.faces.beard import draw_beard, draw_moustache
from stylemap.data.faces.clothes import draw_clothes, draw_clothes_behind
from stylemap.data.faces.eyes import draw_brows, draw_eyes
from stylemap.data.faces.hair_long import draw_hair, draw_hair_behind
from stylemap.data.faces.head import draw_ears, draw_head, draw_neck, draw_nose
from stylemap.data.faces.mouth import draw_mouth
from stylemap.data.faces.worn import draw_glasses, draw_glasses_arms, draw_hat
from stylemap.data.protocol import check_size
from stylemap.data.raster import DisplayList

EYE_LINE = 52.0  # hundredths from the top, before the pose jitter


def render(attributes: Attributes, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """uint8 images N×3×size×size and uint8 part maps N×size×size (values of :class:`Part`).

    The bytes depend on the attributes and the size alone. Needs the native library.
    """
    check_size(size)
    if len(attributes) == 0:
        return torch.empty(0, 3, size, size, dtype=torch.uint8), torch.empty(0, size, size, dtype=torch.uint8)
    return display_list(attributes).draw(size, size)


def display_list(a: Attributes) -> DisplayList:
    """Everything that is drawn, back to front."""
    target = DisplayList(len(a))
    draw_backdrop(target.pen(_affine(a, fixed=True)), a)
    body, head = target.pen(_affine(a, upright=True)), target.pen(head_affine(a))
    draw_hair_behind(head, a)
    draw_clothes_behind(body, a)
    draw_neck(body, a)
    draw_clothes(body, a)
    draw_ears(head, a)
    draw_head(head, a)
    draw_nose(head, a)
    draw_beard(head, a)
    draw_mouth(head, a)
    draw_moustache(head, a)
    draw_eyes(head, a)
    draw_brows(head, a)
    draw_glasses_arms(head, a)
    draw_hair(head, a)
    draw_glasses(head, a)
    draw_hat(head, a)
    return target


def head_affine(a: Attributes) -> np.ndarray:
    """n×6, from units around the eyes' middle to the unit square, for what turns with the head."""
    return _affine(a)


def _affine(a: Attributes, *, fixed: bool = False, upright: bool = False) -> np.ndarray:
    """n×6, to the unit square: from hundredths of the image (``fixed``) or units around the eyes' middle."""
    out = np.zeros((len(a), 6), np.float32)
    if fixed:
        out[:, 0] = out[:, 3] = 0.01
        return out
    angle = np.zeros(len(a)) if upright else a.tilt
    square = angle * angle  # Taylor series: library sines differ between machines
    sine = angle * (1 - square * (1 / 6 - square / 120))
    cosine = 1 - square * (1 / 2 - square / 24)
    scale = 0.01 * a.zoom
    out[:, 0], out[:, 1] = scale * cosine, scale * sine
    out[:, 2], out[:, 3] = -scale * sine, scale * cosine
    out[:, 4] = 0.5 + 0.01 * a.shift_x
    out[:, 5] = 0.01 * (EYE_LINE + a.shift_y)
    return out
