"""Which images, flips and z every iteration gets: functions of the seed and the iteration alone.

Nothing here has a state, so a resumed run continues with exactly the numbers it would have had.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from stylemap.train.config import TrainConfig
from stylemap.train.edits import edits_locally, random_masks
from stylemap.train.randomness import generator
from stylemap.train.sources import Source
from stylemap.train.step import Part

_ORDER, _FLIP, _LATENT, _CLASS, _MASK = range(5)


class Share(NamedTuple):
    """This process among all that train together."""

    rank: int = 0
    world: int = 1


class Schedule:
    """The images of every iteration: all of them in a new order each epoch, and whether they are mirrored."""

    def __init__(self, config: TrainConfig, length: int) -> None:
        self.seed = config.seed
        self.batch = config.batch
        self.flip = config.flip
        self.length = length
        self._permutation = lru_cache(2)(
            lambda epoch: torch.randperm(length, generator=generator(self.seed, _ORDER, epoch))
        )

    def __call__(self, iteration: int) -> list[tuple[int, bool]]:
        """(index, mirrored) of the whole batch."""
        mirrored = torch.zeros(self.batch, dtype=torch.bool)
        if self.flip:
            mirrored = torch.rand(self.batch, generator=generator(self.seed, _FLIP, iteration)) < 0.5
        chosen = []
        for place in range(self.batch):
            epoch, position = divmod(iteration * self.batch + place, self.length)
            chosen.append((int(self._permutation(epoch)[position]), bool(mirrored[place])))
        return chosen


class _Iterations:
    """This process's images of every iteration from ``start`` to the last, for a DataLoader."""

    def __init__(self, schedule: Schedule, share: Share, start: int, stop: int) -> None:
        self.schedule, self.share, self.range = schedule, share, range(start, stop)

    def __iter__(self) -> Iterator[list[tuple[int, bool]]]:
        for iteration in self.range:
            yield self.schedule(iteration)[self.share.rank :: self.share.world]

    def __len__(self) -> int:
        return len(self.range)


class _Mirrored(Dataset):
    """A source's images by (index, mirrored), whole batches at once."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def __getitems__(self, chosen: list[tuple[int, bool]]) -> tuple[Tensor, Tensor | None]:
        indices = [index for index, _ in chosen]
        images, labels = self.source.batch(indices)
        mirrored = torch.tensor([flip for _, flip in chosen])[:, None, None, None]
        return torch.where(mirrored, images.flip(3), images), labels


class Batches:
    """The parts of every iteration from ``start`` on, of this process, on the device."""

    def __init__(
        self, source: Source, config: TrainConfig, device: torch.device, share: Share, start: int = 0
    ) -> None:
        self.config, self.device, self.share, self.start = config, device, share, start
        _check_parts(config, share)
        iterations = _Iterations(Schedule(config, len(source)), share, start, config.iterations)
        self.loader = DataLoader(
            _Mirrored(source),
            batch_sampler=iterations,  # type: ignore[arg-type]
            collate_fn=_as_is,
            num_workers=config.workers,
            persistent_workers=config.workers > 0,
            pin_memory=device.type == "cuda",
        )

    def __iter__(self) -> Iterator[list[Part]]:
        for iteration, (images, labels) in enumerate(self.loader, self.start):
            yield self._parts(iteration, images, labels)

    def _parts(self, iteration: int, images: Tensor, labels: Tensor | None) -> list[Part]:
        config, share = self.config, self.share
        images = to_float(images.to(self.device, non_blocking=True))
        if config.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        size = (config.batch, config.model.latent_channel_size)
        z = torch.randn(size, generator=generator(config.seed, _LATENT, iteration))
        wanted = None
        if config.classes:
            wanted = torch.randint(
                config.classes, (config.batch,), generator=generator(config.seed, _CLASS, iteration)
            )
            wanted = wanted[share.rank :: share.world].to(self.device)
            labels = None if labels is None else labels.to(self.device)
        else:
            labels = None
        z = z[share.rank :: share.world].to(self.device)
        masks = None
        if edits_locally(config):
            masks = random_masks(config.batch, config.model.size, generator(config.seed, _MASK, iteration))
            masks = masks[share.rank :: share.world].to(self.device)
        # Every n-th image, not blocks: the groups of the minibatch standard deviation stay the same ones.
        return [
            Part(
                images[part :: config.accumulate],
                z[part :: config.accumulate],
                None if labels is None else labels[part :: config.accumulate],
                None if wanted is None else wanted[part :: config.accumulate],
                None if masks is None else masks[part :: config.accumulate],
            )
            for part in range(config.accumulate)
        ]


def to_float(images: Tensor) -> Tensor:
    """uint8 images as float32 in [-1, 1]."""
    return images.float() / 127.5 - 1


def _as_is(batch: Any) -> Any:
    return batch


def _check_parts(config: TrainConfig, share: Share) -> None:
    parts = share.world * config.accumulate
    if config.batch % parts:
        raise ValueError(
            f"batch {config.batch} cannot be divided among {share.world} processes"
            f" and {config.accumulate} parts"
        )
    part = config.batch // parts
    if part > 4 and part % 4:
        raise ValueError(
            f"the discriminator compares groups of 4 images: {part} images per process and part is neither"
            " a multiple of 4 nor at most 4"
        )
    if part == 1 and edits_locally(config):
        raise ValueError("local edits take their references from the batch: it must hold 2 images per part")
