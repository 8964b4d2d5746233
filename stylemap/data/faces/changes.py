"""The same faces with one attribute on and off, everything else as it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from stylemap.data.faces import palettes
from stylemap.data.faces.attributes import BEARD_STYLES, HAIR_STYLES, UNDER_HAT, Attributes

_BARE_LIPS, _LIPSTICK = np.array([0.70, 0.26, 0.27]), palettes.hexes("C8323F")[0]
_BALD = HAIR_STYLES.index("bald")


def _cycle(faces: Attributes, values: tuple[int, ...]) -> np.ndarray:
    """One of the values for every face, in turns."""
    return np.resize(np.array(values), len(faces))


def _smile(faces: Attributes, on: bool) -> dict[str, Any]:
    return {"smile": np.full(len(faces), 0.7 if on else -0.7)}


def _open_mouth(faces: Attributes, on: bool) -> dict[str, Any]:
    return {"mouth_open": np.full(len(faces), 0.7 if on else 0.0)}


def _glasses(faces: Attributes, on: bool) -> dict[str, Any]:
    return {"glasses_style": _cycle(faces, (1, 2, 3) if on else (0,))}


def _beard(faces: Attributes, on: bool) -> dict[str, Any]:
    grown = tuple(BEARD_STYLES.index(name) for name in ("short", "full"))
    return {"beard_style": _cycle(faces, grown if on else (0,))}


def _hat(faces: Attributes, on: bool) -> dict[str, Any]:
    worn = np.where(UNDER_HAT[faces.hair_style], _cycle(faces, (1, 2, 3)), 0)
    return {"hat_style": worn if on else np.zeros_like(worn)}


def _blond_hair(faces: Attributes, on: bool) -> dict[str, Any]:
    name = "blond" if on else "black"
    colours = palettes.HAIR[name]
    chosen = colours[np.arange(len(faces)) % len(colours)]
    return {"hair_class": np.full(len(faces), palettes.HAIR_NAMES.index(name)), "hair": chosen}


def _long_hair(faces: Attributes, on: bool) -> dict[str, Any]:
    names = ("long", "wavy") if on else ("side_part", "quiff")
    styles = _cycle(faces, tuple(HAIR_STYLES.index(name) for name in names))
    nothing = np.zeros(len(faces), dtype=faces.hat_style.dtype)
    return {"hair_style": styles, "hat_style": nothing, "earrings": np.zeros(len(faces), bool)}


def _lipstick(faces: Attributes, on: bool) -> dict[str, Any]:
    bare = palettes.mix(faces.skin, _BARE_LIPS, 0.42)
    return {
        "lipstick": np.full(len(faces), on),
        "lip_colour": np.broadcast_to(_LIPSTICK, bare.shape).copy() if on else bare,
    }


CHANGES: Mapping[str, Callable[[Attributes, bool], dict[str, Any]]] = {
    "smile": _smile,
    "open mouth": _open_mouth,
    "glasses": _glasses,
    "beard": _beard,
    "hat": _hat,
    "blond hair": _blond_hair,
    "long hair": _long_hair,
    "lipstick": _lipstick,
}


def with_and_without(faces: Attributes, name: str) -> tuple[Attributes, Attributes]:
    """(faces with the attribute, the same faces without it); those that cannot have it are left out.

    name: one of `CHANGES`. Raises ValueError for another one.
    """
    if name not in CHANGES:
        raise ValueError(f"faces have no attribute {name!r}, but {', '.join(CHANGES)}")
    if name == "hat":
        faces = faces.take(UNDER_HAT[faces.hair_style])
    if name == "blond hair":
        faces = faces.take((faces.hair_style != _BALD) & (faces.hat_style == 0))
    change = CHANGES[name]
    with_it, without = (faces.replace(**change(faces, on)) for on in (True, False))
    return with_it, without
