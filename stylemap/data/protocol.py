"""The interface of every image dataset: length, items, batches, reproducible mirroring."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from stylemap.config import MAX_SIZE
from stylemap.data.streams import Streams


def check_size(size: int) -> None:
    """Raise ValueError for a side of images that no network has."""
    if not 1 <= size <= MAX_SIZE:
        raise ValueError(f"size must be from 1 to {MAX_SIZE}, got {size}")


class ImageDataset(Dataset[Tensor]):
    """Images of one square size, float32 3×S×S in [-1, 1].

    With ``flip`` an image is mirrored with probability 1/2. That depends on (seed, epoch, index) alone, so
    any number of workers and a resumed run get the same images.

    Subclasses implement ``__len__`` and :meth:`raw`.
    """

    def __init__(self, size: int, *, flip: bool = False, seed: int = 0) -> None:
        check_size(size)
        self.size = size
        self.flip = flip
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        raise NotImplementedError

    def raw(self, indices: Sequence[int]) -> Tensor:
        """uint8 N×3×S×S, never mirrored."""
        raise NotImplementedError

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, which decides the images that are mirrored."""
        self.epoch = epoch

    def mirrored(self, indices: Sequence[int], epoch: int | None = None) -> np.ndarray:
        """bool N: whether each of these images is mirrored in ``epoch`` (by default the current one)."""
        rows = np.asarray(indices, np.int64)
        if not self.flip:
            return np.zeros(len(rows), bool)
        return Streams(self.seed, rows).chance(f"mirrored.{self.epoch if epoch is None else epoch}", 0.5)

    def batch(self, indices: Sequence[int], epoch: int | None = None) -> Tensor:
        """float32 N×3×S×S in [-1, 1]. Negative indices count from the end.

        Raises:
            IndexError: an index outside the dataset.
        """
        indices = self._checked(indices)
        images = self.raw(indices).float().div_(127.5).sub_(1)
        flips = torch.from_numpy(self.mirrored(indices, epoch))
        return torch.where(flips[:, None, None, None], images.flip(3), images) if flips.any() else images

    def __getitem__(self, index: int) -> Tensor:
        return self.batch([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Tensor]:
        """What a DataLoader calls for a whole batch."""
        return list(self.batch(indices))

    def batches(self, batch: int, *, seed: int = 0, start: int = 0) -> Iterator[Tensor]:
        """Endless shuffled batches N×3×S×S. A resumed run skips the first ``start`` of them.

        Every epoch is a new permutation. An epoch leaves out the images that do not fill its last batch.
        """
        for chosen, epoch in shuffled(len(self), batch, seed=seed, start=start):
            yield self.batch(chosen, epoch)

    def _checked(self, indices: Sequence[int]) -> list[int]:
        count = len(self)
        out = []
        for index in indices:
            if not -count <= index < count:
                raise IndexError(f"index {index} is out of range for a dataset of {count} images")
            out.append(int(index) % count)
        return out


def shuffled(count: int, batch: int, *, seed: int = 0, start: int = 0) -> Iterator[tuple[list[int], int]]:
    """Endless (indices, epoch) of batches, from a permutation of range(count) per epoch.

    Raises:
        ValueError: a batch below 1 or above ``count``.
    """
    per_epoch = count // batch
    if batch < 1 or per_epoch == 0:
        raise ValueError(f"a batch of {batch} needs at least as many images, got {count}")
    epoch, within = divmod(start, per_epoch)
    while True:
        keys = Streams(seed, np.arange(count)).unit(f"order.{epoch}")
        order = np.argsort(keys, kind="stable")
        for i in range(within, per_epoch):
            yield order[i * batch : (i + 1) * batch].tolist(), epoch
        epoch, within = epoch + 1, 0
