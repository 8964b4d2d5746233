"""Datasets by name."""

from __future__ import annotations

from pathlib import Path

from stylemap.data.faces import FacesDataset
from stylemap.data.folder import FolderDataset
from stylemap.data.lmdb_store import LmdbDataset, is_store
from stylemap.data.protocol import ImageDataset


def open_dataset(
    name: str,
    size: int,
    *,
    count: int = 20000,
    seed: int = 0,
    held_out: bool = False,
    flip: bool = False,
    skip_corrupt: bool = False,
) -> ImageDataset:
    """The dataset that ``name`` stands for: "faces", a folder or an LMDB.

    ``count`` and ``held_out`` (faces that no training uses) apply to faces only.

    Raises:
        FileNotFoundError: neither "faces" nor a folder or LMDB that exists. Otherwise as the datasets do.
    """
    if name == "faces":
        return FacesDataset(size, count, seed, held_out=held_out, flip=flip)
    if is_store(name):
        return LmdbDataset(name, size, skip_corrupt=skip_corrupt, flip=flip, seed=seed)
    if Path(name).is_dir():
        return FolderDataset(name, size, skip_corrupt=skip_corrupt, flip=flip, seed=seed)
    raise FileNotFoundError(f"no data {name!r}: name a folder of images, an LMDB, or faces")
