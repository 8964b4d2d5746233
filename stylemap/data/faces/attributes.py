"""What a face looks like: its attributes, drawn from (seed, index)."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from stylemap.data.faces import palettes
from stylemap.data.streams import Streams

HAIR_STYLES = (
    "bald", "buzz", "side_part", "quiff", "spiky", "curly", "afro",
    "fringe_bob", "side_bob", "long", "wavy", "bun", "ponytail", "receding",
)  # fmt: skip
BEARD_STYLES = ("none", "moustache", "goatee", "short", "full")
GLASSES_STYLES = ("none", "round", "square", "cat_eye")
HAT_STYLES = ("none", "beanie", "cap", "fedora")
CLOTHES_STYLES = ("crew", "v_neck", "shirt", "hoodie", "turtleneck")
BACKDROP_STYLES = ("gradient", "glow", "disc", "bands", "horizon", "bokeh")

# Weight of every hair style at presentation 0 and 1 (see `presentation` below).
_HAIR_WEIGHTS = np.array(
    [
        [6, 8, 14, 12, 9, 10, 5, 0, 1, 3, 1, 1, 0, 6],
        [0.6, 1, 2, 1, 0.6, 3, 6, 12, 12, 15, 13, 8, 9, 0],
    ]
)
# Weights of the colours at skin tone 0 and 1: eyes (palettes.IRIS_NAMES) and hair (palettes.HAIR_NAMES).
_IRIS_WEIGHTS = np.array([[20.0, 14, 20, 34, 12], [80.0, 12, 4, 2, 2]])
_HAIR_COLOURS = np.array([[12.0, 29, 31, 14, 8, 6], [52.0, 22, 7, 3, 9, 7]])
EARS_HIDDEN = ("fringe_bob", "side_bob", "long", "wavy")
# Hats go over hair that stays below them.
UNDER_HAT = np.array([1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1, 0, 1, 1], bool)


@dataclass
class Attributes:
    """One entry per face in every field. Lengths are in hundredths of the image side, colours n×3 in [0, 1].

    ``presentation`` in [0, 1] only correlates other attributes (hair length, beard, lashes, jaw), as they
    are in portraits; nothing is drawn from it. ``*_style`` fields index the tuples above.
    """

    presentation: np.ndarray
    # pose and light
    shift_x: np.ndarray
    shift_y: np.ndarray
    tilt: np.ndarray  # radians
    zoom: np.ndarray
    yaw: np.ndarray  # -1 looks to the picture's left, 1 to its right
    light: np.ndarray  # -1 light from the left, 1 from the right
    contrast: np.ndarray  # strength of the shading, [0, 1]
    # head
    skin_tone: np.ndarray  # 0 light, 1 deep
    skin: np.ndarray
    face_width: np.ndarray  # half-width at the cheekbones
    face_length: np.ndarray  # from the eyes to the chin
    jaw: np.ndarray  # 0 narrow, 1 square
    chin: np.ndarray  # 0 pointed, 1 broad
    blush: np.ndarray
    ear_size: np.ndarray
    earrings: np.ndarray
    freckles: np.ndarray
    # features
    eye_size: np.ndarray
    eye_open: np.ndarray
    eye_spacing: np.ndarray
    eye_tilt: np.ndarray
    gaze_x: np.ndarray
    gaze_y: np.ndarray
    iris_style: np.ndarray
    iris: np.ndarray
    lashes: np.ndarray
    brow_thickness: np.ndarray
    brow_raise: np.ndarray
    brow_slant: np.ndarray  # 1 angry, -1 worried
    nose_width: np.ndarray
    nose_length: np.ndarray
    smile: np.ndarray  # -1 frown, 1 broad smile
    mouth_open: np.ndarray  # [0, 1]
    mouth_width: np.ndarray
    lip_fullness: np.ndarray
    lipstick: np.ndarray
    lip_colour: np.ndarray
    # hair, beard, things worn
    hair_style: np.ndarray
    hair_class: np.ndarray  # index into palettes.HAIR_NAMES
    hair: np.ndarray
    hair_volume: np.ndarray
    hair_side: np.ndarray  # parting: -1 left, 1 right
    beard_style: np.ndarray
    beard: np.ndarray
    glasses_style: np.ndarray
    frame: np.ndarray
    lens_tint: np.ndarray
    hat_style: np.ndarray
    hat: np.ndarray
    hat_band: np.ndarray
    clothes_style: np.ndarray
    clothes: np.ndarray
    clothes_second: np.ndarray
    backdrop_style: np.ndarray
    backdrop_light: np.ndarray
    backdrop_deep: np.ndarray
    backdrop_phase: np.ndarray

    def __len__(self) -> int:
        return len(self.presentation)

    def take(self, chosen: np.ndarray) -> Attributes:
        """Some of the faces: indices or a boolean mask."""
        return Attributes(**{f.name: getattr(self, f.name)[chosen] for f in fields(self)})

    def replace(self, **changes: Any) -> Attributes:
        """The same faces with some fields exchanged."""
        return replace(self, **changes)


def sample_attributes(seed: int, indices: np.ndarray | list[int] | range) -> Attributes:
    """The faces ``indices`` (non-negative) of the endless series ``seed``."""
    draw = Streams(seed, np.asarray(list(indices) if isinstance(indices, range) else indices, np.int64))
    presentation = draw.unit("presentation")
    style = {**_pose(draw), **_head(draw, presentation)}
    style |= _features(draw, presentation, style["skin_tone"], style["skin"])
    style |= _hair(draw, presentation, style["skin_tone"])
    style |= _worn(draw, style["hair_style"])
    return Attributes(presentation=presentation, **style)


def _pose(draw: Streams) -> dict[str, np.ndarray]:
    side = np.where(draw.chance("light.side", 0.5), 1.0, -1.0)
    return {
        "shift_x": draw.bell("shift_x", 0, 1.6),
        "shift_y": draw.bell("shift_y", 0, 1.4),
        "tilt": draw.bell("tilt", 0, 0.075),
        "zoom": draw.bell("zoom", 1.1, 0.045),
        "yaw": draw.bell("yaw", 0, 1),
        "light": side * draw.between("light", 0.35, 1),
        "contrast": draw.between("contrast", 0.35, 1),
    }


def _head(draw: Streams, presentation: np.ndarray) -> dict[str, np.ndarray]:
    tone = draw.unit("skin_tone")
    warmth = draw.bell("skin.warmth", 0, 0.03)[:, None] * np.array([0.4, 0.1, -1.0])
    return {
        "skin_tone": tone,
        "skin": np.clip(palettes.between(palettes.SKIN, tone) + warmth, 0, 1),
        "face_width": draw.bell("face_width", 24.6, 2.2),
        "face_length": draw.bell("face_length", 29.5, 2.6),
        "jaw": np.clip(draw.bell("jaw", 0.62, 0.5) - 0.38 * presentation, 0, 1),
        "chin": np.clip(draw.bell("chin", 0.65, 0.5) - 0.3 * presentation, 0, 1),
        "blush": draw.between("blush", 0.1, 0.6),
        "ear_size": draw.bell("ear_size", 1, 0.18),
        "freckles": draw.chance("freckles", np.where(tone < 0.5, 0.12, 0.0)),
    }


def _features(
    draw: Streams, presentation: np.ndarray, tone: np.ndarray, skin: np.ndarray
) -> dict[str, np.ndarray]:
    iris = draw.choice("iris", palettes.mix(_IRIS_WEIGHTS[0], _IRIS_WEIGHTS[1], np.sqrt(tone)))
    # Three separate moods, so that "smiling" is a fact and not a threshold.
    mood = draw.choice("mood", np.array([52.0, 29, 19]))
    level = draw.unit("smile")
    smile = np.choose(mood, [0.4 + 0.6 * level, -0.14 + 0.28 * level, -0.38 - 0.62 * level])
    is_open = draw.chance("mouth.open", np.choose(mood, [0.55, 0.2, 0.22]))
    bare = palettes.mix(skin, np.array([0.70, 0.26, 0.27]), 0.42)
    made_up = palettes.hexes("C8323F", "B03060", "D8606A", "9A3B4A", "E07A70")[
        draw.choice("lipstick", np.ones(5))
    ]
    lipstick = draw.chance("lipstick.worn", np.clip(1.4 * presentation - 0.6, 0, 0.75))
    return {
        "eye_size": draw.bell("eye_size", 5.9 + 0.4 * presentation, 0.8),
        "eye_open": draw.bell("eye_open", 0.78, 0.24),
        "eye_spacing": draw.bell("eye_spacing", 11.6, 1.1),
        "eye_tilt": draw.bell("eye_tilt", 0.35, 0.9),
        "gaze_x": draw.bell("gaze_x", 0, 1),
        "gaze_y": draw.bell("gaze_y", 0, 1),
        "iris_style": iris,
        "iris": np.clip(palettes.IRIS[iris] + draw.bell("iris.value", 0, 0.08)[:, None], 0, 1),
        "lashes": np.clip(draw.bell("lashes", 0.1, 0.35) + 0.75 * presentation * presentation, 0, 1),
        "brow_thickness": np.clip(draw.bell("brow_thickness", 2.4, 0.9) - 0.7 * presentation, 1.2, 3.4),
        "brow_raise": draw.bell("brow_raise", 0.2, 1.4),
        "brow_slant": draw.bell("brow_slant", 0, 0.6)
        + np.where(smile < -0.3, draw.between("brow_mood", -0.9, 0.9), 0.0),
        "nose_width": draw.bell("nose_width", 5.4, 1.6),
        "nose_length": draw.bell("nose_length", 12.6, 1.6),
        "smile": smile,
        "mouth_open": np.where(is_open, draw.between("mouth_open", 0.35, 1), 0.0),
        "mouth_width": draw.bell("mouth_width", 8.6, 1.5),
        "lip_fullness": np.clip(draw.bell("lip_fullness", 0.75, 0.5) + 0.45 * presentation, 0.3, 1.6),
        "lipstick": lipstick,
        "lip_colour": np.where(lipstick[:, None], made_up, bare),
    }


def _hair(draw: Streams, presentation: np.ndarray, tone: np.ndarray) -> dict[str, np.ndarray]:
    style = draw.choice("hair_style", palettes.mix(_HAIR_WEIGHTS[0], _HAIR_WEIGHTS[1], presentation))
    family = draw.choice("hair_class", palettes.mix(_HAIR_COLOURS[0], _HAIR_COLOURS[1], tone))
    shade = draw.unit("hair.shade")
    hair = np.empty((len(style), 3))
    for i, name in enumerate(palettes.HAIR_NAMES):
        table, rows = palettes.HAIR[name], family == i
        hair[rows] = table[(shade[rows] * len(table)).astype(np.int64)]
    hair = np.clip(hair * draw.bell("hair.value", 1, 0.12)[:, None], 0, 1)
    beard = draw.choice("beard_style", np.array([5.0, 1.2, 1.1, 1.5, 1.5]))
    beard = np.where(draw.chance("beard.grown", np.clip(1.15 - 2.1 * presentation, 0, 1)), beard, 0)
    bearded = palettes.mix(hair, np.array([0.35, 0.22, 0.16]), 0.22)
    # Dark beards stay darker than the skin under them.
    dark_hair = np.isin(family, [palettes.HAIR_NAMES.index(name) for name in ("black", "brown", "red")])
    ears_hidden = np.isin(style, [HAIR_STYLES.index(name) for name in EARS_HIDDEN])
    return {
        "hair_style": style,
        "earrings": draw.chance("earrings", 0.06 + 0.55 * presentation) & ~ears_hidden,
        "hair_class": family,
        "hair": hair,
        "hair_volume": draw.unit("hair_volume"),
        "hair_side": np.where(draw.chance("hair_side", 0.5), 1.0, -1.0),
        "beard_style": beard,
        "beard": np.where(dark_hair[:, None], bearded * (1 - 0.5 * tone)[:, None], bearded),
    }


def _worn(draw: Streams, hair_style: np.ndarray) -> dict[str, np.ndarray]:
    glasses = draw.choice("glasses_style", np.array([70.0, 12, 12, 6]))
    hat = np.where(UNDER_HAT[hair_style], draw.choice("hat_style", np.array([80.0, 8, 7, 5])), 0)
    cloth = palettes.CLOTHES
    backdrops = np.stack(palettes.BACKDROPS)[draw.choice("backdrop", np.ones(len(palettes.BACKDROPS)))]
    return {
        "glasses_style": glasses,
        "frame": palettes.FRAMES[draw.choice("frame", np.array([30.0, 14, 9, 9, 14, 12, 6]))],
        "lens_tint": np.where(draw.chance("lens_tint", 0.12), draw.between("lens_depth", 0.25, 0.5), 0.0),
        "hat_style": hat,
        "hat": cloth[draw.choice("hat", np.ones(len(cloth)))],
        "hat_band": cloth[draw.choice("hat_band", np.ones(len(cloth)))],
        "clothes_style": draw.choice("clothes_style", np.array([26.0, 18, 22, 18, 16])),
        "clothes": cloth[draw.choice("clothes", np.ones(len(cloth)))],
        "clothes_second": cloth[draw.choice("clothes_second", np.ones(len(cloth)))],
        "backdrop_style": draw.choice("backdrop_style", np.array([34.0, 18, 14, 11, 10, 13])),
        "backdrop_light": backdrops[:, 0],
        "backdrop_deep": backdrops[:, 1],
        "backdrop_phase": draw.unit("backdrop_phase"),
    }
