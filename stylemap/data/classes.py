"""The classes of test images, for a class-conditional model that knows them by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from stylemap.data.faces import FacesDataset, classes, label_of
from stylemap.data.folder import FolderDataset
from stylemap.data.protocol import ImageDataset


def class_folders(folder: str | Path, names: Sequence[str]) -> bool:
    """Whether a folder has a sub-folder for each class, so that its images are to be read recursively."""
    return bool(names) and all((Path(folder) / name).is_dir() for name in names)


def classes_of(dataset: ImageDataset, names: Sequence[str], count: int) -> Tensor | None:
    """int64 ``count``: the place among ``names`` of the class of each of the first images; None where the
    dataset does not tell them apart.

    Drawn faces have the classes of their label (`stylemap.data.faces.class_names`), a folder those of its
    sub-folders.
    """
    if isinstance(dataset, FacesDataset):
        label = label_of(names)
        if label is None:
            return None
        return torch.from_numpy(classes(dataset.attributes(range(count)), label))
    if isinstance(dataset, FolderDataset):
        owners = [path.relative_to(dataset.folder).parts[0] for path in dataset.paths[:count]]
        if set(owners) <= set(names):
            return torch.tensor([list(names).index(owner) for owner in owners])
    return None
