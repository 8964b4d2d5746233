"""The generated faces as a dataset."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stylemap.data.faces.attributes import Attributes, sample_attributes
from stylemap.data.faces.labels import labels, mirror
from stylemap.data.faces.render import render
from stylemap.data.protocol import ImageDataset

HELD_OUT = 2**31  # first index of the held-out faces: no training set reaches it


class FacesDataset(ImageDataset):
    """``count`` faces of the series ``seed``; ``held_out`` takes them from a range that training never sees.

    Images are drawn when they are asked for; :meth:`preload` draws all once and keeps them (3·S² bytes each).
    """

    def __init__(
        self,
        size: int = 128,
        count: int = 20000,
        seed: int = 0,
        *,
        held_out: bool = False,
        flip: bool = False,
    ) -> None:
        super().__init__(size, flip=flip, seed=seed)
        if not 0 <= count <= HELD_OUT:
            raise ValueError(f"count must be between 0 and 2**31, got {count}")
        self.count = count
        self.first = HELD_OUT if held_out else 0
        self._kept: Tensor | None = None

    def __len__(self) -> int:
        return self.count

    def attributes(self, indices: Sequence[int]) -> Attributes:
        """What the faces are made of, not mirrored."""
        return sample_attributes(self.seed, self.first + np.asarray(self._checked(indices), np.int64))

    def raw(self, indices: Sequence[int]) -> Tensor:
        """uint8 N×3×S×S, never mirrored; kept images where `preload` was called."""
        if self._kept is not None:
            return self._kept[torch.tensor(list(indices), dtype=torch.int64)]
        return render(self.attributes(indices), self.size)[0]

    def raw_with_parts(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """uint8 images N×3×S×S and part maps N×S×S (values of :class:`Part`), never mirrored."""
        return render(self.attributes(indices), self.size)

    def parts(self, indices: Sequence[int]) -> Tensor:
        """uint8 N×S×S of :class:`Part` values, mirrored as the images are."""
        maps = self.raw_with_parts(indices)[1]
        flips = torch.from_numpy(self.mirrored(self._checked(indices)))
        return torch.where(flips[:, None, None], maps.flip(2), maps)

    def labels(self, indices: Sequence[int]) -> Tensor:
        """float32 N×len(LABEL_NAMES), mirrored as the images are; nothing is drawn."""
        values = labels(self.attributes(indices))
        flips = self.mirrored(self._checked(indices))
        return torch.from_numpy(np.where(flips[:, None], mirror(values), values))

    def preload(self, chunk: int = 256) -> FacesDataset:
        """Draws every image now; returns itself."""
        if self._kept is None:
            kept = torch.empty(self.count, 3, self.size, self.size, dtype=torch.uint8)
            for start in range(0, self.count, chunk):
                rows = range(start, min(start + chunk, self.count))
                kept[start : start + len(rows)] = self.raw(rows)
            self._kept = kept
        return self


def demo_faces(count: int = 2, size: int = 128, seed: int = 0) -> list[Image.Image]:
    """Drawn portraits that the bundled model has not seen in training, as RGB images: something to try it on.

    Args:
        count: how many.
        size: side in pixels.
        seed: of the series; image i of a seed does not depend on ``count``.

    Raises:
        ValueError: a count below 1.
        RuntimeError: the native library, which draws, is missing.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    drawn = FacesDataset(size, count, seed, held_out=True).raw(range(count))
    return [Image.fromarray(face.permute(1, 2, 0).contiguous().numpy()) for face in drawn]
