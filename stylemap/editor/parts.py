"""Part masks: where hair, eyes, mouth … of a picture are, to paint with one click."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Annotated, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, Field

from stylemap.data.faces import Part
from stylemap.editor import protocol
from stylemap.optional import require

_MEAN, _STD = (
    (0.485, 0.456, 0.406),
    (0.229, 0.224, 0.225),
)  # of ImageNet: what most segmenters are trained with
_SIDE = 512  # of a segmenter that takes any size
# The labels of CelebAMask-HQ in the order that face parsers of 19 classes have them.
_CELEBA = (
    "background skin left_brow right_brow left_eye right_eye glasses left_ear right_ear earring nose mouth "
    "upper_lip lower_lip neck necklace clothes hair hat"
).split()
#: Which of a drawn face's labels make what one would paint; what is not named is one alone.
GROUPS = {"face": ("skin", "brows", "eyes", "nose", "mouth", "beard"), "eyes": ("eyes", "brows")}


class Parts(BaseModel):
    """The parts of a picture, each pixel of which has one label."""

    names: Annotated[dict[str, list[int]], Field(description="the labels that make each part")]
    labels: Annotated[
        str, Field(description="the labels, row by row, in runs as those of a mask message, in base64")
    ]


class Segmenter(Protocol):
    """What tells the parts of any picture."""

    names: list[str]

    def labels(self, picture: Image.Image) -> NDArray[np.uint8]: ...


class OnnxSegmenter:
    """A network in an ONNX file: a picture 1×3×H×W to scores 1×C×h×w, or to labels 1×h×w.

    Its metadata may hold ``names``, a JSON list, and ``mean`` and ``std`` of RGB in [0, 1], JSON lists too;
    without them 19 classes are those of CelebAMask-HQ and colours are normalised as ImageNet's.

    Raises:
        ImportError: ONNX Runtime is missing.
        ValueError: the file is no such network.
    """

    def __init__(self, path: Path) -> None:
        runtime = require("onnxruntime", "a segmenter", extra="align")
        try:
            self._session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime has a class of its own for each kind of damage
            raise ValueError(f"{path} is no network that ONNX Runtime opens: {error}") from None
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4:
            raise ValueError(f"{path} is no segmenter: it must take one picture, 1×3×H×W")
        self._input, self._output = inputs[0].name, outputs[0].name
        side = inputs[0].shape[2]
        self._side = side if isinstance(side, int) else _SIDE
        notes = self._session.get_modelmeta().custom_metadata_map
        self._mean, self._std = (
            np.array(json.loads(notes[name]) if name in notes else usual, np.float32)
            for name, usual in (("mean", _MEAN), ("std", _STD))
        )
        count = len(self._scores(Image.new("RGB", (8, 8))))
        self.names: list[str] = _names(notes, count)

    def labels(self, picture: Image.Image) -> NDArray[np.uint8]:
        """The label of each pixel, uint8 of the picture's size."""
        found = np.argmax(self._scores(picture), 0).astype(np.uint8)
        return np.asarray(Image.fromarray(found).resize(picture.size, Image.Resampling.NEAREST))

    def _scores(self, picture: Image.Image) -> NDArray[np.float32]:
        small = picture.convert("RGB").resize((self._side, self._side), Image.Resampling.BILINEAR)
        pixels = (np.asarray(small, np.float32) / 255 - self._mean) / self._std
        found = self._session.run([self._output], {self._input: pixels.transpose(2, 0, 1)[None]})[0]
        if found.ndim == 4:
            return np.asarray(found[0], np.float32)
        labels = found.reshape(found.shape[-2:])
        return np.stack([labels == label for label in range(256)]).astype(np.float32)


def _names(notes: dict[str, Any], count: int) -> list[str]:
    if "names" in notes:
        return [str(name) for name in json.loads(notes["names"])]
    return _CELEBA if count == len(_CELEBA) else [f"part {label}" for label in range(count)]


def of_labels(labels: NDArray[np.uint8], names: list[str] | None = None) -> Parts:
    """Parts by the labels of pixels. names: None for those of drawn faces."""
    known = [part.name.lower() for part in Part] if names is None else names
    there = {int(label) for label in np.unique(labels)}
    found = {name: [label] for label, name in enumerate(known) if label in there}
    if names is None:
        for group, members in GROUPS.items():
            found[group] = sorted(label for name in members for label in found.get(name, []))
    runs = protocol.encode_runs(labels)
    return Parts(names=found, labels=base64.b64encode(runs).decode())
