"""Images in tar files, as WebDataset has them, here or on an object store."""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stylemap import images
from stylemap.data.blobs import Pieces, find_tars, is_url, key, labels, members
from stylemap.data.protocol import ImageDataset

_log = logging.getLogger(__name__)


class ShardDataset(ImageDataset):
    """The images of tar files, in the order of the files' names and within a file as they are stored.

    Every image can be read by its number, so that training shuffles all of them and resumes exactly, as it
    does with a folder. To that end the headers of all files are read once when the dataset is opened; 20
    bytes for each image are kept. fsspec's caches can be named in the URL, as in
    ``blockcache::s3://bucket/faces-*.tar``.

    A member that cannot be read is an error that names it. With ``skip_corrupt`` every one is decoded once
    when the dataset is opened; bad ones are left out, logged, and listed with the reason in :attr:`skipped`.

    Args:
        source: a tar file, a glob of some, or a folder that holds some; a path or a URL.
        size: side S of the images.
        classified: whether :attr:`owners` names the class of every image: the text of the file ``.cls``
            beside it, else the first folder of its name, "" where there is neither.

    Raises:
        FileNotFoundError: no tar file there.
        ImageError: they hold no images.
        ValueError: a file that is no tar file.
        ImportError, OSError: a URL that cannot be opened.
    """

    def __init__(
        self,
        source: str,
        size: int,
        *,
        fit: images.Fit = "crop",
        skip_corrupt: bool = False,
        classified: bool = False,
        flip: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(size, flip=flip, seed=seed)
        self.fit = fit
        self.tars = find_tars(source)
        if not self.tars:
            raise FileNotFoundError(f"no tar file at {source}")
        self._pieces = Pieces()
        index: list[tuple[int, int, int]] = []
        owners: list[str] = []
        for number, tar in enumerate(self.tars):
            texts = labels(tar) if classified else {}
            for member in members(tar):
                index.append((number, member.start, member.length))
                if classified:
                    owners.append(texts.get(key(member.name)) or _first_folder(member.name))
        if not index:
            raise images.ImageError(
                f"the tar files of {source} hold no images ({', '.join(images.SUFFIXES)})"
            )
        self._tar = np.array([each[0] for each in index], np.int32)
        self._span = np.array([each[1:] for each in index], np.int64)
        self.owners = np.array(owners, object)
        self.skipped: list[tuple[str, str]] = []
        if skip_corrupt:
            self._sort_out()

    def __len__(self) -> int:
        return len(self._tar)

    def raw(self, indices: Sequence[int]) -> Tensor:
        """uint8 N×3×S×S, never mirrored.

        Raises:
            ImageError: a member that cannot be decoded; the message names it.
            OSError: a file that cannot be read (any more).
        """
        out = torch.empty(len(indices), 3, self.size, self.size, dtype=torch.uint8)
        for row, index in enumerate(indices):
            out[row] = self._decoded(index)
        return out

    def _decoded(self, index: int) -> Tensor:
        tar = self.tars[self._tar[index]]
        start, length = (int(number) for number in self._span[index])
        data = self._pieces.read(tar, start, length)
        try:
            picture = images.open_rgb(io.BytesIO(data), name=f"{tar}, byte {start}")
        except images.ImageError as error:
            name = next((each.name for each in members(tar) if each.start == start), "")
            raise images.ImageError(str(error).replace(f", byte {start}", f"#{name}", 1)) from error
        square = images.fit_square(picture, self.size, self.fit)
        return torch.from_numpy(np.array(square)).permute(2, 0, 1)

    def _sort_out(self) -> None:
        good = []
        for index in range(len(self)):
            try:
                self._decoded(index)
                good.append(index)
            except images.ImageError as error:
                self.skipped.append((self.tars[self._tar[index]], str(error)))
                _log.warning("skipped %s", error)
        if not good:
            raise images.ImageError(f"{self.tars[0]} and its like hold no readable image")
        self._tar, self._span = self._tar[good], self._span[good]
        self.owners = self.owners[good] if len(self.owners) else self.owners


def _first_folder(name: str) -> str:
    first, slash, _ = name.removeprefix("./").partition("/")
    return first if slash else ""


def is_shards(name: str) -> bool:
    """Whether a name stands for tar files: a URL, path or glob of some, a folder with some and no images."""
    if is_url(name):
        return True
    return bool(find_tars(name)) and not (Path(name).is_dir() and images.inside(Path(name)))
