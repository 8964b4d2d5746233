"""Parametric faces: generated portraits with part masks and labels."""

from .attributes import Attributes, sample_attributes
from .dataset import FacesDataset
from .labels import BINARY, CONTINUOUS, labels
from .labels import NAMES as LABEL_NAMES
from .parts import Part
from .render import render

__all__ = [
    "BINARY",
    "CONTINUOUS",
    "LABEL_NAMES",
    "Attributes",
    "FacesDataset",
    "Part",
    "labels",
    "render",
    "sample_attributes",
]
