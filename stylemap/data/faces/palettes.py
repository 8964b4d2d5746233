"""Colours of the faces: sRGB in [0, 1], and the few ways in which they are mixed."""

from __future__ import annotations

import numpy as np


def hexes(*codes: str) -> np.ndarray:
    """n×3 from six-digit codes."""
    return np.array([[int(code[i : i + 2], 16) / 255 for i in (0, 2, 4)] for code in codes])


SKIN = hexes(
    "FCE3D2", "F7D3BB", "F0C1A0", "E6AE88", "D79A72", "C48460", "AC6D4B", "91573A", "75442E", "5B3425"
)

HAIR_NAMES = ("black", "brown", "blond", "red", "grey", "vivid")
HAIR = {
    "black": hexes("1F1A1E", "2A2226", "191C26"),
    "brown": hexes("4A2E22", "5E3A26", "74492E", "3A261F"),
    "blond": hexes("E8C26E", "D9AE5F", "F0D592", "C9994F"),
    "red": hexes("B5482A", "9C3A22", "CF6434"),
    "grey": hexes("A9A9AE", "C9C8CB", "E6E3E0"),
    "vivid": hexes("3D7FC4", "E06C9F", "2FA59A", "8659B5"),
}

IRIS_NAMES = ("brown", "hazel", "green", "blue", "grey")
IRIS = hexes("6B3F23", "8C6A2C", "4F8A4A", "3F86C4", "6E8796")

CLOTHES = hexes(
    "D9534F", "E8833A", "F0B93A", "5FA55A", "2E8B84", "3C78B4", "34477A", "7A5AA6",
    "D4719A", "F2EFE8", "3B3D45", "8C5A3C", "9FB8C8", "A8C6A0", "E8B4A0", "7D2E3F",
)  # fmt: skip

FRAMES = hexes("2A2528", "5A3420", "8A2F2F", "27406B", "A06F1E", "7C8288", "2F6B5A")

# Backgrounds: a light and a deeper tone that go together.
BACKDROPS = [
    hexes(*pair)
    for pair in (
        ("CDE7F0", "7FB5D1"), ("FBE4C8", "F0AE7C"), ("E4DBF3", "A893D3"), ("D5EFDC", "7FC3A0"),
        ("FBD9DC", "E893A2"), ("F7EFC5", "E4C65E"), ("D6DCE8", "8394B4"), ("C9EDE9", "5FB8B2"),
        ("F5E6DA", "C9A58C"), ("E1E9C9", "A3B966"), ("B9CBEB", "5872B8"), ("DADADF", "9A9AA8"),
        ("6F86A8", "34456B"), ("8D7AA8", "4A3B6B"), ("7FA79A", "36615A"), ("B9766B", "6E3A3F"),
    )
]  # fmt: skip


def mix(first: np.ndarray, second: np.ndarray, share: np.ndarray | float) -> np.ndarray:
    """``first`` where share is 0, ``second`` where it is 1; colours n×3 or 3, share n or a number."""
    share = np.asarray(share, np.float64)
    return first + (second - first) * (share[..., None] if share.ndim else share)


def shade(colour: np.ndarray, amount: np.ndarray | float) -> np.ndarray:
    """Towards a warm, saturated shadow of the same colour: blue and green fade first."""
    return mix(colour, colour * np.array([0.62, 0.46, 0.46]), amount)


def dim(colour: np.ndarray, amount: np.ndarray | float) -> np.ndarray:
    """Towards a cool shadow, for cloth and hair."""
    return mix(colour, colour * np.array([0.45, 0.43, 0.52]), amount)


def tint(colour: np.ndarray, amount: np.ndarray | float) -> np.ndarray:
    """Towards a warm white."""
    return mix(colour, np.array([1.0, 0.97, 0.92]), amount)


def between(table: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Colours at ``position`` in [0, 1] along the rows of a table, n×3."""
    scaled = np.clip(position, 0, 1) * (len(table) - 1)
    low = np.minimum(scaled.astype(np.int64), len(table) - 2)
    return mix(table[low], table[low + 1], scaled - low)


WHITE = np.array([1.0, 1.0, 1.0])
BLACK = np.array([0.0, 0.0, 0.0])
