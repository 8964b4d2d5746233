"""Where the eyes, nose and mouth of drawn faces lie."""

from __future__ import annotations

import numpy as np

from stylemap.data.faces.attributes import Attributes
from stylemap.data.faces.mouth import mouth_corners
from stylemap.data.faces.render import head_affine


def landmarks(a: Attributes) -> np.ndarray:
    """float64 N×5×2: left eye, right eye, tip of the nose, left and right corner of the mouth, as (x, y).

    In fractions of the image from its upper left corner; left is the picture's. An eye is the middle between
    its corners.
    """
    zero = np.zeros(len(a))
    eye_y = (0.5 - a.eye_tilt) / 2
    mouth_x, half, mouth_y = mouth_corners(a)
    points = [
        (1.5 * a.yaw - a.eye_spacing, eye_y),
        (1.5 * a.yaw + a.eye_spacing, eye_y),
        (2.6 * a.yaw, zero + a.nose_length),
        (mouth_x - half, mouth_y),
        (mouth_x + half, mouth_y),
    ]
    found = np.stack([np.stack(point, 1) for point in points], 1).astype(np.float64)
    affine = head_affine(a).astype(np.float64)
    # Columns of the affine: x of x, y of x, x of y, y of y, origin.
    linear = affine[:, :4].reshape(-1, 2, 2)
    return found @ linear + affine[:, None, 4:]
