"""Where a model expects a face: from landmarks to the crop its training images were made with."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from stylemap.photo.crop import Crop
from stylemap.photo.landmarks import Landmarks


@dataclass(frozen=True)
class Convention:
    """How the images of a data set were cut around their faces.

    drop: from the point between the eyes to the centre of the crop, as a part of the way to the mouth.
    side: of the crop, from the distance between the eyes and the distance from the eyes to the mouth.
    """

    name: str
    drop: float
    side: Callable[[float, float], float]


# Karras et al., "Progressive Growing of GANs", arXiv 1710.10196, appendix C. With the eyes e0, e1 and the
# corners of the mouth m0, m1:
#   x' = e1 - e0, y' = (e0 + e1) / 2 - (m0 + m1) / 2, c = (e0 + e1) / 2 - 0.1 y',
#   s = max(4.0 |x'|, 3.6 |y'|), x = normalize(x' - rotate90(y')), y = rotate90(x).
# FFHQ (Karras et al., arXiv 1812.04948) is aligned in the same way.
FFHQ = Convention("ffhq", 0.1, lambda across, down: max(4.0 * across, 3.6 * down))

# The faces of stylemap.data.faces: the eyes 52 % from the top and 25.5 % apart on average. The numbers are
# least squares over 20,000 faces of the series 0; tests/photo/test_alignment.py makes them anew.
DRAWN = Convention("drawn", -0.098, lambda across, down: 3.343 * across + 0.679 * down)

CONVENTIONS = {convention.name: convention for convention in (FFHQ, DRAWN)}


def align(landmarks: Landmarks, convention: Convention = FFHQ) -> Crop:
    """The crop of a face by a convention.

    Its x axis is the sum of the line between the eyes and of the line from the eyes to the mouth, turned by a
    right angle, so that an error in either counts half.
    """
    points = landmarks.points
    across = points[1] - points[0]
    down = landmarks.mouth - landmarks.eyes
    x_axis = across + [down[1], -down[0]]  # noqa: RUF005 (vectors: a sum)
    centre = landmarks.eyes + convention.drop * down
    side = convention.side(math.hypot(*across), math.hypot(*down))
    return Crop((float(centre[0]), float(centre[1])), side, math.degrees(math.atan2(x_axis[1], x_axis[0])))
