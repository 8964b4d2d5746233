"""Edits: pure functions on stylemaps and stylecodes."""

from stylemap.edit import masks
from stylemap.edit.arrays import load_map, load_stylemap
from stylemap.edit.blend import blend, frame_weights
from stylemap.edit.direction import Direction, fit_direction, load_direction, save_direction
from stylemap.edit.direction_set import NamedDirection, find_direction, load_directions, save_directions
from stylemap.edit.interpolate import interpolate
from stylemap.edit.invert import Inversion, invert
from stylemap.edit.local import local
from stylemap.edit.manipulate import manipulate
from stylemap.edit.masks import union
from stylemap.edit.mix import mix_styles
from stylemap.edit.modulate_map import modulate_map
from stylemap.edit.sample import latents, reconstruct, sample
from stylemap.edit.sequence import sequence
from stylemap.edit.transplant import Box, transplant

__all__ = [
    "Box",
    "Direction",
    "Inversion",
    "NamedDirection",
    "blend",
    "find_direction",
    "fit_direction",
    "frame_weights",
    "interpolate",
    "invert",
    "latents",
    "load_direction",
    "load_directions",
    "load_map",
    "load_stylemap",
    "local",
    "manipulate",
    "masks",
    "mix_styles",
    "modulate_map",
    "reconstruct",
    "sample",
    "save_direction",
    "save_directions",
    "sequence",
    "transplant",
    "union",
]


def __dir__() -> list[str]:
    return __all__
