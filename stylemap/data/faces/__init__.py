"""Parametric faces: generated portraits with part masks and labels."""

from stylemap.data.faces.attributes import Attributes, sample_attributes
from stylemap.data.faces.dataset import FacesDataset, demo_faces
from stylemap.data.faces.labels import BINARY, CATEGORICAL, CONTINUOUS, class_names, classes, label_of, labels
from stylemap.data.faces.labels import NAMES as LABEL_NAMES
from stylemap.data.faces.parts import Part
from stylemap.data.faces.render import render

__all__ = [
    "BINARY",
    "CATEGORICAL",
    "CONTINUOUS",
    "LABEL_NAMES",
    "Attributes",
    "FacesDataset",
    "Part",
    "class_names",
    "classes",
    "demo_faces",
    "label_of",
    "labels",
    "render",
    "sample_attributes",
]


def __dir__() -> list[str]:
    return __all__
