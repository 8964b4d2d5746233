"""The photos that every session may choose from: generated faces and a folder's images."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel

from stylemap import images
from stylemap.data.faces import FacesDataset

FACES = 24
MAX_FILES = 1000
_KEPT = 128
_SEED = 7


@dataclass(frozen=True)
class Entry:
    """id: what clients call it; name: for people."""

    id: str
    name: str


class ExamplePart(BaseModel):
    """A reference of the example: these parts of an image (see `parts`)."""

    image: str
    parts: list[str]


class Example(BaseModel):
    """A finished edit of drawn faces, to begin with. sliders: strengths by name, where the model has them."""

    original: str
    references: list[ExamplePart]
    sliders: dict[str, float]


class Gallery:
    """Pictures S×S by their ids. Clients name ids, which are looked up: no path ever comes from them.

    Args:
        size: of the model's images.
        folder: its images join the faces, in natural order.
        faces: how many are generated; held out from what models are trained on.

    Raises:
        OSError, ImageError: the folder cannot be read or holds no images.
    """

    def __init__(self, size: int, folder: Path | None = None, faces: int = FACES) -> None:
        self.size = size
        self._faces = FacesDataset(size, faces, seed=_SEED, held_out=True)
        files = images.find([folder])[:MAX_FILES] if folder is not None else []
        if folder is not None and not folder.is_dir():
            images.open_rgb(folder)  # a file that is no photo is told at the start, not to who clicks it
        self._files = {f"f{index}": path for index, path in enumerate(files)}
        generated = [Entry(f"g{index}", f"Face {index + 1}") for index in range(faces)]
        self.entries = [*(Entry(id, path.name) for id, path in self._files.items()), *generated]
        self._ids = {entry.id: entry for entry in self.entries}
        self._images: OrderedDict[str, Image.Image] = OrderedDict()
        self._lock = threading.Lock()

    def __contains__(self, id: object) -> bool:
        return id in self._ids

    def name(self, id: str) -> str:
        return self._ids[id].name

    @property
    def example(self) -> Example | None:
        """None where a folder's photos are offered: drawn faces are not what they are about."""
        known = {_EXAMPLE.original, *(one.image for one in _EXAMPLE.references)} <= self._ids.keys()
        return _EXAMPLE if known and not self._files else None

    def parts(self, id: str) -> NDArray[np.uint8] | None:
        """The part of each pixel of a drawn face, S×S of `data.faces.Part`; None for any other image."""
        if id not in self._ids or id in self._files:
            return None
        return self._faces.raw_with_parts([int(id[1:])])[1][0].numpy()

    def image(self, id: str) -> Image.Image:
        """The picture, size×size; the ones used last are kept.

        Raises:
            KeyError: no such id.
            OSError, ImageError: the file went away or is damaged.
        """
        if id not in self._ids:
            raise KeyError(id)
        with self._lock:
            image = self._images.pop(id, None) or self._read(id)
            self._images[id] = image
            while len(self._images) > _KEPT:
                self._images.popitem(last=False)
            return image

    def _read(self, id: str) -> Image.Image:
        if id in self._files:
            return images.fit_square(images.open_rgb(self._files[id]), self.size)
        face = self._faces.raw([int(id[1:])])[0]
        return Image.fromarray(face.permute(1, 2, 0).contiguous().numpy())


_EXAMPLE = Example(
    original="g2",
    references=[ExamplePart(image="g7", parts=["hair"]), ExamplePart(image="g5", parts=["mouth"])],
    sliders={},
)
