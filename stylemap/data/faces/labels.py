"""Labels of the faces, for conditioning, attribute directions and their scoring."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from stylemap.data.faces import palettes
from stylemap.data.faces.attributes import (
    BACKDROP_STYLES,
    BEARD_STYLES,
    CLOTHES_STYLES,
    GLASSES_STYLES,
    HAIR_STYLES,
    HAT_STYLES,
    Attributes,
)

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

# One of several: the values' names, and which of them every face has.
CATEGORICAL: dict[str, tuple[tuple[str, ...], Callable[[Attributes], np.ndarray]]] = {
    "hair_colour": (palettes.HAIR_NAMES, lambda a: a.hair_class),
    "hair_style": (HAIR_STYLES, lambda a: a.hair_style),
    "beard_style": (BEARD_STYLES, lambda a: a.beard_style),
    "glasses_style": (GLASSES_STYLES, lambda a: a.glasses_style),
    "hat_style": (HAT_STYLES, lambda a: a.hat_style),
    "clothes_style": (CLOTHES_STYLES, lambda a: a.clothes_style),
    "backdrop_style": (BACKDROP_STYLES, lambda a: a.backdrop_style),
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


def class_names(label: str) -> tuple[str, ...]:
    """The classes of a label: a binary one's "no NAME" and "NAME", a categorical one's values, or every
    combination of several labels joined by "+", as in "beard_style+glasses" (5 x 2 classes).

    Raises ValueError for another name.
    """
    names = [""]
    for values in (_values(part) for part in label.split("+")):
        names = [f"{name}, {value}" if name else value for name in names for value in values]
    return tuple(names)


def label_of(names: Sequence[str]) -> str | None:
    """The label whose `class_names` these are; None where there is none."""
    columns = list(zip(*(name.split(", ") for name in names)))
    known = (*CATEGORICAL, *BINARY)
    parts = [
        next((part for part in known if _values(part) == tuple(dict.fromkeys(c))), None) for c in columns
    ]
    label = "+".join(part for part in parts if part is not None)
    return label if label and None not in parts and class_names(label) == tuple(names) else None


def classes(attributes: Attributes, label: str) -> np.ndarray:
    """int64 N: which of `class_names` every face is."""
    parts = label.split("+")
    codes = [
        np.asarray((BINARY[part] if part in BINARY else CATEGORICAL[part][1])(attributes)) for part in parts
    ]
    sizes = tuple(len(_values(part)) for part in parts)
    return np.ravel_multi_index(tuple(code.astype(np.int64) for code in codes), sizes)


def _values(part: str) -> tuple[str, ...]:
    if part in CATEGORICAL:
        return CATEGORICAL[part][0]
    if part in BINARY:
        return f"no {part}", part
    raise ValueError(f"no label {part!r}: there are {', '.join((*CATEGORICAL, *BINARY))}")
