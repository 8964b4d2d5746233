"""Labels of the faces, for conditioning, attribute directions and their scoring."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from stylemap.data.faces import palettes
from stylemap.data.faces.attributes import BEARD_STYLES, HAIR_STYLES, Attributes

_LONG = ("fringe_bob", "side_bob", "long", "wavy", "ponytail")
_CURLY = ("curly", "afro", "wavy")


def _has(codes: np.ndarray, names: tuple[str, ...], wanted: tuple[str, ...]) -> np.ndarray:
    return np.isin(codes, [names.index(name) for name in wanted])


def _colour_test(name: str) -> Callable[[Attributes], np.ndarray]:
    code, bald = palettes.HAIR_NAMES.index(name), HAIR_STYLES.index("bald")
    return lambda a: (a.hair_class == code) & (a.hair_style != bald)


# True or false. "smiling" and "frowning" leave out the neutral mood between them; gaps separate the three.
BINARY: dict[str, Callable[[Attributes], np.ndarray]] = {
    "smiling": lambda a: a.smile > 0.25,
    "frowning": lambda a: a.smile < -0.25,
    "mouth_open": lambda a: a.mouth_open > 0,
    "glasses": lambda a: a.glasses_style > 0,
    "hat": lambda a: a.hat_style > 0,
    "beard": lambda a: _has(a.beard_style, BEARD_STYLES, ("goatee", "short", "full")),
    "moustache": lambda a: _has(a.beard_style, BEARD_STYLES, ("moustache", "goatee", "full")),
    "bald": lambda a: a.hair_style == HAIR_STYLES.index("bald"),
    "long_hair": lambda a: _has(a.hair_style, HAIR_STYLES, _LONG),
    "curly_hair": lambda a: _has(a.hair_style, HAIR_STYLES, _CURLY),
    "fringe": lambda a: a.hair_style == HAIR_STYLES.index("fringe_bob"),
    **{f"{name}_hair": _colour_test(name) for name in palettes.HAIR_NAMES},
    "lipstick": lambda a: a.lipstick,
    "earrings": lambda a: a.earrings,
    "freckles": lambda a: a.freckles,
}

# Numbers, in the units of :class:`Attributes`.
CONTINUOUS: dict[str, Callable[[Attributes], np.ndarray]] = {
    "smile": lambda a: a.smile,
    "mouth_gape": lambda a: a.mouth_open,
    "skin_tone": lambda a: a.skin_tone,
    "hair_lightness": lambda a: a.hair[:, 0] * 0.2126 + a.hair[:, 1] * 0.7152 + a.hair[:, 2] * 0.0722,
    "eye_size": lambda a: a.eye_size,
    "eye_open": lambda a: a.eye_open,
    "brow_slant": lambda a: a.brow_slant,
    "face_width": lambda a: a.face_width,
    "face_length": lambda a: a.face_length,
    "nose_width": lambda a: a.nose_width,
    "lip_fullness": lambda a: a.lip_fullness,
    "tilt": lambda a: a.tilt,
    "yaw": lambda a: a.yaw,
    "gaze": lambda a: a.gaze_x,
    "light": lambda a: a.light,
}

NAMES = (*BINARY, *CONTINUOUS)
# These change sign in a mirrored picture.
MIRRORED = ("tilt", "yaw", "gaze", "light")


def labels(attributes: Attributes) -> np.ndarray:
    """float32 N×len(NAMES): the binary labels as 0 and 1, then the continuous ones."""
    columns = [read(attributes) for read in (*BINARY.values(), *CONTINUOUS.values())]
    return np.stack([np.asarray(column, np.float32) for column in columns], axis=1)


def mirror(values: np.ndarray) -> np.ndarray:
    """Labels N×len(NAMES) of the pictures flipped left to right."""
    out = values.copy()
    for name in MIRRORED:
        out[:, NAMES.index(name)] *= -1
    return out
