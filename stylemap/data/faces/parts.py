"""Part labels of the ground-truth masks, and the clip slots the drawing functions share."""

from __future__ import annotations

from enum import IntEnum


class Part(IntEnum):
    """Values of the part map. Every pixel has exactly one."""

    BACKGROUND = 0
    SKIN = 1  # face
    NECK = 2
    EARS = 3
    HAIR = 4
    BROWS = 5
    EYES = 6  # opening of the eye with lids and lashes
    NOSE = 7
    MOUTH = 8  # lips, teeth, tongue
    BEARD = 9  # and moustache
    GLASSES = 10  # frames
    HAT = 11
    CLOTHES = 12
    EARRINGS = 13


class Slot(IntEnum):
    """Clip masks of one image while it is drawn."""

    HEAD = 0
    HAIR = 1
    BODY = 2
    EYE = 3
    MOUTH = 4
    HAT = 5
    NECK = 6
    SCRATCH = 7
