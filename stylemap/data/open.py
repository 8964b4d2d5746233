"""Datasets by name."""

from __future__ import annotations

from pathlib import Path

from stylemap.data.faces import FacesDataset
from stylemap.data.folder import FolderDataset
from stylemap.data.lmdb_store import LmdbDataset, is_store
from stylemap.data.protocol import ImageDataset
from stylemap.data.shards import ShardDataset, is_shards

DRAWN = "builtin:faces"


def is_drawn(name: str) -> bool:
    """Whether a name stands for the faces drawn by the package: "builtin:faces" always, "faces" where
    neither a folder nor a file has that name."""
    return name == DRAWN or (name == "faces" and not Path(name).exists())


def open_dataset(
    name: str,
    size: int,
    *,
    count: int = 20000,
    seed: int = 0,
    held_out: bool = False,
    flip: bool = False,
    skip_corrupt: bool = False,
    recursive: bool = False,
) -> ImageDataset:
    """The dataset that ``name`` stands for: a folder, an LMDB, tar files of images (WebDataset) by path, glob
    or URL, or the drawn faces (see `is_drawn`).

    ``count`` and ``held_out`` (faces that no training uses) apply to drawn faces only,
    ``recursive`` (images of sub-folders as well) to folders.

    Raises:
        FileNotFoundError: neither a folder or LMDB that exists nor the name of the drawn faces. Otherwise
            as the datasets do.
    """
    if is_drawn(name):
        return FacesDataset(size, count, seed, held_out=held_out, flip=flip)
    if is_store(name):
        return LmdbDataset(name, size, skip_corrupt=skip_corrupt, flip=flip, seed=seed)
    if is_shards(name):
        return ShardDataset(name, size, skip_corrupt=skip_corrupt, flip=flip, seed=seed)
    if Path(name).is_dir():
        return FolderDataset(name, size, recursive=recursive, skip_corrupt=skip_corrupt, flip=flip, seed=seed)
    raise FileNotFoundError(f"no data {name!r}: name a folder of images, an LMDB, tar files, or {DRAWN}")
