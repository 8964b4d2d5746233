"""Plain folders of images."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stylemap import images
from stylemap.data.lmdb_store import instead_of_images
from stylemap.data.protocol import ImageDataset

_log = logging.getLogger(__name__)


class FolderDataset(ImageDataset):
    """The image files (`stylemap.images.SUFFIXES`) of a folder, in natural order, each fitted to size×size.

    A file that cannot be read is an error that names it. With ``skip_corrupt`` every file is decoded once
    when the dataset is opened; bad ones are left out, logged, and listed with the reason in :attr:`skipped`.

    Args:
        folder: where the images are. size: side S of the result.
        fit: how they become square, see :func:`stylemap.images.load`.
        recursive: also take the images of sub-folders (not of hidden ones).

    Raises:
        FileNotFoundError: no such folder.
        ImageError: it holds no images, or (when read) a bad one.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        size: int,
        *,
        fit: images.Fit = "crop",
        recursive: bool = False,
        skip_corrupt: bool = False,
        flip: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(size, flip=flip, seed=seed)
        self.fit = fit
        self.folder = Path(folder)
        self.paths = find(folder, recursive=recursive)
        self.skipped: list[tuple[Path, str]] = []
        if skip_corrupt:
            self.paths, self.skipped = sort_out(self.paths)
            for path, reason in self.skipped:
                _log.warning("skipped %s: %s", path, reason)
            if not self.paths:
                raise images.ImageError(f"{folder} holds no readable image")

    def __len__(self) -> int:
        return len(self.paths)

    def raw(self, indices: Sequence[int]) -> Tensor:
        """uint8 N×3×S×S, never mirrored.

        Raises:
            ImageError: a file that cannot be decoded; the message names it.
        """
        out = torch.empty(len(indices), 3, self.size, self.size, dtype=torch.uint8)
        for row, index in enumerate(indices):
            picture = images.fit_square(images.open_rgb(self.paths[index]), self.size, self.fit)
            out[row] = torch.from_numpy(np.array(picture)).permute(2, 0, 1)
        return out


def find(folder: str | os.PathLike[str], *, recursive: bool = False) -> list[Path]:
    """The image files of a folder in natural order; with ``recursive`` followed by those of its sub-folders.

    Raises:
        FileNotFoundError: no such folder.
        ImageError: no images.
    """
    root = Path(folder)
    if not root.is_dir():
        raise FileNotFoundError(f"{root} is no folder" if root.exists() else f"no such folder: {root}")
    folders = [root]
    if recursive:
        folders += sorted(path for path in root.rglob("*") if path.is_dir() and not _hidden(path, root))
    found = [path for here in folders if _holds_images(here) for path in images.find([here])]
    if recursive:  # a folder that is named as an image is one of those searched
        found = [path for path in found if not path.is_dir()]
    if not found:
        raise images.ImageError(
            f"{root} holds no images ({', '.join(images.SUFFIXES)}){_below(root, recursive)}"
        )
    return found


def _below(root: Path, recursive: bool) -> str:
    """Names sub-folders that hold what was looked for, for the end of an error."""
    if recursive:
        return instead_of_images(root)
    names = [path.name for path in sorted(root.iterdir()) if path.is_dir() and not _hidden(path, root)]
    holding = [name for name in names if _holds_images(root / name)]
    if not holding:
        return instead_of_images(root)
    more = f" and {len(holding) - 4} more" if len(holding) > 4 else ""
    return f"; its sub-folders {', '.join(holding[:4])}{more} do: name one of them"


def sort_out(
    paths: Iterable[Path], decode: Callable[[Path], object] = images.open_rgb
) -> tuple[list[Path], list[tuple[Path, str]]]:
    """Decode every file. Returns the readable ones, and the others with the reason."""
    good, bad = [], []
    for path in paths:
        try:
            decode(path)
        except (images.ImageError, OSError) as error:
            bad.append((path, str(error)))
        else:
            good.append(path)
    return good, bad


def _hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)


def _holds_images(folder: Path) -> bool:
    return any(p.suffix.lower() in images.SUFFIXES and not p.name.startswith(".") for p in folder.iterdir())
