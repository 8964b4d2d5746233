"""Parametric faces: generated portraits with part masks and labels."""

from .attributes import Attributes, sample_attributes
from .parts import Part
from .render import render

__all__ = ["Attributes", "Part", "render", "sample_attributes"]
