"""What is known of a model beside its weights: how its images were aligned, and how well it draws them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from stylemap import assets, checkpoint
from stylemap.photo.alignment import DRAWN, FFHQ, Convention

# Names of data sets, as a part of how training was told of them. What is none of these is taken for faces.
_FACELESS = {
    "afhq",
    "afhqv2",
    "lsun",
    "church",
    "churches",
    "car",
    "cars",
    "cat",
    "cats",
    "dog",
    "dogs",
    "wild",
}
_DRAWN = "builtin:faces"
# Of 200 held-out faces the bundled model draws the worst with 2.7 times the mean error, but 63 photographs of
# churches, cars and animals with 5.8 to 18 times.
_FAR = 5.0
# Squared errors of reconstructions as shares of `spread`: networks of 32 x 32 with random weights 4 and more,
# after 10, 30 and 60 iterations 1.2, 0.7 and 0.5; the bundled model with faces 0.01, with six photographs of
# other things up to 0.3, but with a wall and with the moon, whose spread is below 0.04, 1.0 and 0.4.
_UNTRAINED, _PLAIN = 0.45, 0.05


@dataclass(frozen=True)
class Knowledge:
    """Of a model.

    convention: how a face is aligned for it; None where its images were cut from the middle.
    error: mean squared error of its reconstructions of held-out images in [-1, 1]; None: not measured.
    """

    convention: Convention | None = FFHQ
    error: float | None = None

    def is_far(self, error: float) -> bool:
        """Whether a reconstruction is so bad that the photo is of another kind than what the model knows."""
        return self.error is not None and error > _FAR * self.error


def known(path: Path | None) -> Knowledge:
    """What is known of the model in a file: the bundled one by its metrics, others by what they note.

    A checkpoint notes ``data`` or ``dataset``, and perhaps ``held_out_mse``, in its training arguments.
    """
    demo = assets.demo_model()
    if path is None or not path.is_file():
        return Knowledge()
    if demo is not None and path.resolve() == demo.resolve():
        return _demo()
    try:
        notes = checkpoint.notes(path)
    except checkpoint.CheckpointError:
        return Knowledge()  # of an exported model; what is no model at all is refused where it is opened
    error = notes.get("held_out_mse")
    measured = isinstance(error, int | float) and not isinstance(error, bool) and error > 0
    return Knowledge(_convention(notes), float(error) if measured else None)  # type: ignore[arg-type]


def reconstruction_error(photo: Tensor, decoded: Tensor) -> float:
    """Mean squared difference of two images in [-1, 1]."""
    return float((decoded.float() - photo.float()).square().mean())


def spread(photo: Tensor) -> float:
    """The squared error of a plain picture of the mean colour."""
    return float((photo.float() - photo.float().mean((-2, -1), keepdim=True)).square().mean())


def is_telling(photo: Tensor) -> bool:
    """Whether a photo is no almost plain one, of which an untrained model may be close."""
    return spread(photo) >= _PLAIN


def is_untrained(photo: Tensor, decoded: Tensor) -> bool:
    """Whether a reconstruction is about as far from a photo that `is_telling` as a plain picture is."""
    return reconstruction_error(photo, decoded) > _UNTRAINED * spread(photo)


def _demo() -> Knowledge:
    path = assets.demo_metrics()
    if path is None:
        return Knowledge(DRAWN)
    found = json.loads(path.read_text(encoding="utf-8"))
    error = found["values"].get("reconstruction mse")
    return Knowledge(_convention(found), None if error is None else float(error))


def _convention(notes: Mapping[str, Any]) -> Convention | None:
    data = notes.get("data", notes.get("dataset"))
    if not isinstance(data, str):
        return FFHQ
    name = data.lower()
    if name.startswith(_DRAWN):
        return DRAWN
    words = name.replace("/", " ").replace("_", " ").replace("-", " ").split()
    return FFHQ if _FACELESS.isdisjoint(words) else None
