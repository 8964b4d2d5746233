"""Masks on the command line: an image file, ``box:…`` or ``ellipse:…``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from torch import Tensor

from stylemap import edit, images
from stylemap.cli import mask_files, said

if TYPE_CHECKING:
    from stylemap.cli.photos import Album

HELP = (
    "where the reference is wanted: an image (white is on), box:x0,y0,x1,y1 or ellipse:cx,cy,rx,ry, in "
    "fractions of the image, or in pixels of the model's image where a number is above 1"
)


class MaskReader:
    """Masks as the user writes them, bool size x size. What is unusual about one is said once, on stderr.

    Args:
        size: of the model's images.
        fit: how photos become square, and masks as large as them.
        cells: side of the stylemap, where a mask works by the mean of its cells (the blend).
        album: of the photos, where these are cropped: a mask as large as one is cut as that is.
    """

    def __init__(
        self, size: int, fit: images.Fit = "crop", cells: int | None = None, album: Album | None = None
    ) -> None:
        self._size, self._fit, self._cells, self._album = size, fit, cells, album
        self._told: set[str] = set()

    def read(self, text: str, photos: Sequence[Path], frame: tuple[int, int] | None = None) -> Tensor:
        """The mask of a file, ``box:…`` or ``ellipse:…``.

        A file must be size x size already, or as large as one of ``photos`` or as the ``frame`` of a video,
        width and height: then it is fitted as they are.

        Raises:
            ValueError: numbers that make no shape, or a file of another size; the message names both sizes.
        """
        if edit.masks.is_shape(text):
            mask = edit.masks.drawn(text, self._size)
            if not bool(mask.any()):
                self._tell(
                    text, f"selects nothing: no centre of a pixel of {self._size} x {self._size} is in it"
                )
        else:
            mask = self._from_file(Path(text), photos, frame)
        if bool(mask.any()):
            self._tell_if_small(text, mask)
        return mask

    @property
    def moves(self) -> bool:
        """Whether one file makes another mask for every frame of a video, as their crops differ."""
        return self._album is not None and self._album.moves

    def union(self, texts: Sequence[str], photos: Sequence[Path]) -> Tensor:
        """Where any of several masks is on."""
        return edit.union([self.read(text, photos) for text in texts])

    def fitted(
        self, picture: Image.Image, path: Path, photos: Sequence[Path], frame: tuple[int, int] | None = None
    ) -> Tensor:
        """The mask that a grey picture is; sizes and errors as in `read`, which name ``path``."""
        cut = None if self._album is None else self._album.fitted_mask(picture, [*photos], frame)
        return (
            images.to_tensor(cut or square(picture, path, self._size, photos, self._fit, frame=frame))[0] > 0
        )

    def _from_file(self, path: Path, photos: Sequence[Path], frame: tuple[int, int] | None) -> Tensor:
        picture, note = mask_files.read(path)
        mask = self.fitted(picture, path, photos, frame)
        if note:
            self._tell(str(path), note)
        elif not bool(mask.any()):
            self._tell(str(path), f"selects nothing once it is fitted to {self._size} x {self._size}")
        return mask

    def _tell_if_small(self, text: str, mask: Tensor) -> None:
        if self._cells is None:
            return
        coarsest = edit.masks.pool_average(mask[None, None].float(), self._cells)
        if not bool(coarsest.any()):
            side = self._size // self._cells
            self._tell(
                text,
                f"covers more than half of no cell of {side} x {side} pixels, and only such cells count as "
                "on: the coarse stylecodes stay",
            )

    def _tell(self, text: str, note: str) -> None:
        if text not in self._told:
            self._told.add(text)
            said.warn(f"mask {text} {note}")


def square(
    picture: Image.Image,
    path: Path,
    size: int,
    photos: Sequence[Path],
    fit: images.Fit,
    *,
    what: str = "mask",
    border: int = 0,
    frame: tuple[int, int] | None = None,
) -> Image.Image:
    """A grey picture as size x size, fitted as ``photos`` are where it is as large as one of them.

    what: the word for it in errors. border: what "pad" adds around it. frame: width and height of a video's
    frames, which count as a photo.

    Raises:
        ValueError: another size; the message names both.
    """
    if picture.size == (size, size):
        return picture
    sizes = [(photo.name, images.upright_size(photo)) for photo in photos]
    sizes += [] if frame is None else [("the frames", frame)]
    if picture.size not in [one for _, one in sizes]:
        others = "".join(f", or {w} x {h} as {name}" for name, (w, h) in sizes)
        raise ValueError(
            f"{what} {path} is {picture.width} x {picture.height}; "
            f"it must be {size} x {size} as the model's images{others}"
        )
    return images.fit_square(picture, size, fit, border)
