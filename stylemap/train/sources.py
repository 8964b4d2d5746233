"""The images a run trains on, with their classes where it is conditional."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from stylemap.data.faces import FacesDataset, class_names, classes
from stylemap.data.folder import FolderDataset
from stylemap.data.open import is_drawn, open_dataset
from stylemap.data.protocol import ImageDataset
from stylemap.data.shards import ShardDataset, is_shards
from stylemap.train.config import TrainConfig


class Source(NamedTuple):
    """A dataset; the class of each of its images (int64) and the classes' names, or None and none in
    unconditional training."""

    images: ImageDataset
    classes: Tensor | None = None
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, indices: Sequence[int]) -> tuple[Tensor, Tensor | None]:
        """uint8 N x 3 x S x S, and classes N or None."""
        chosen = list(indices)
        return self.images.raw(chosen), None if self.classes is None else self.classes[chosen]


def open_source(config: TrainConfig) -> Source:
    """The data a configuration names.

    Raises FileNotFoundError or ValueError: no such data, or classes it does not have.
    """
    size = config.model.size
    if config.classes and not is_drawn(config.data):
        return _tars(config) if is_shards(config.data) else _folders(config)
    images = open_dataset(
        config.data, size, count=config.count, seed=config.seed, skip_corrupt=config.skip_corrupt
    )
    if not config.classes:
        return Source(images)
    assert isinstance(images, FacesDataset)
    names = class_names(config.class_label)
    if len(names) != config.classes:
        raise ValueError(
            f"class_label {config.class_label} has {len(names)} classes ({', '.join(names)}),"
            f" not {config.classes}"
        )
    found = classes(images.attributes(range(len(images))), config.class_label)
    return Source(images, torch.from_numpy(found), names)


def _tars(config: TrainConfig) -> Source:
    """Images of tar files; their classes in the order of their names, numbers in theirs."""
    images = ShardDataset(config.data, config.model.size, skip_corrupt=config.skip_corrupt, classified=True)
    owners = images.owners.tolist()
    found = set(owners)
    names = sorted(found, key=int) if all(name.isdecimal() for name in found) else sorted(found)
    if "" in found or len(names) != config.classes:
        held = ", ".join(name or "images without one" for name in names[:20])
        raise ValueError(
            f"the images of {config.data} must have {config.classes} classes, as .cls files beside them or "
            f"as folders; they have {held}"
        )
    numbers = {name: number for number, name in enumerate(names)}
    return Source(images, torch.tensor([numbers[owner] for owner in owners]), tuple(names))


def _folders(config: TrainConfig) -> Source:
    """Sub-folders as classes, in the order of their names."""
    root = Path(config.data)
    images = FolderDataset(root, config.model.size, recursive=True, skip_corrupt=config.skip_corrupt)
    owners = [path.relative_to(root).parts[0] if path.parent != root else "" for path in images.paths]
    names = sorted(set(owners))
    if "" in names or len(names) != config.classes:
        raise ValueError(
            f"{root} must hold {config.classes} sub-folders of images, one per class, and no images beside"
            f" them; it holds {', '.join(name or 'images beside them' for name in names)}"
        )
    return Source(images, torch.tensor([names.index(owner) for owner in owners]), tuple(names))
