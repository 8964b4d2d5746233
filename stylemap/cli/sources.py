"""What is mixed or interpolated: photos, and random vectors written seed:N."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from stylemap import edit
from stylemap.cli import common, photos

if TYPE_CHECKING:
    from stylemap.model import Model

HELP = "image file, folder, or seed:N, a random vector"
_SEED = re.compile(r"(-?\d+)(?:/(\d+))?")
_MAX_INDEX = 100_000


@dataclass(frozen=True)
class Source:
    """A photo, or the random vector of image ``index`` of ``stylemap sample --seed SEED``."""

    path: Path | None
    seed: int = 0
    index: int = 0

    @property
    def label(self) -> str:
        """What contact sheets call it."""
        return self.stem.replace("_", " ") if self.path is None else self.path.name

    @property
    def stem(self) -> str:
        """What results are called after."""
        if self.path is not None:
            return self.path.stem
        return f"seed{self.seed}_{self.index}" if self.index else f"seed{self.seed}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the two sides A and B, --seeds and --truncation, which `sides` reads, and those of photos."""
    photos.add_arguments(parser, references=True)
    parser.add_argument("a", nargs="?", metavar="A", help=HELP)
    parser.add_argument("b", nargs="?", metavar="B", help="likewise; one goes with all of the other")
    parser.add_argument("--original", metavar="PATH", help="A, as the other commands have it")
    parser.add_argument("--reference", metavar="PATH", help="B, likewise")
    parser.add_argument(
        "--seeds",
        nargs="+",
        default=[],
        metavar="N",
        help="A and B, or B beside a photo: the random vector of stylemap sample --seed N; N/I: its image I",
    )
    parser.add_argument(
        "--truncation",
        type=float,
        default=0.7,
        help="of random vectors, as in stylemap sample (default: 0.7)",
    )


def sides(args: argparse.Namespace) -> tuple[list[Source], list[Source]]:
    """The sources A and B.

    Raises:
        ValueError: not two sides, or a seed that is no number.
        FileNotFoundError: a path that does not exist.
    """
    texts = [text for text in (args.original, args.a, args.b, args.reference) if text is not None]
    texts += [f"seed:{seed}" for seed in args.seeds]
    if len(texts) != 2:
        named = f"got {' '.join(texts)}" if texts else "got none"
        raise ValueError(f"two are needed, A and B, photos or --seeds in any combination; {named}")
    first, second = (find(args, text) for text in texts)
    return first, second


def find(args: argparse.Namespace, text: str) -> list[Source]:
    """The sources a user wrote: what exists under that name, else a seed."""
    kind, _, number = text.partition(":")
    if kind != "seed" or Path(text).exists():
        return [Source(path) for path in photos.find(args, [text])]
    match = _SEED.fullmatch(number)
    if match is None or not -(2**63) <= int(match[1]) < 2**63 or int(match[2] or 0) > _MAX_INDEX:
        raise ValueError(f"{text}: expected a seed as in seed:5, or seed:5/2 for the third of its images")
    return [Source(None, int(match[1]), int(match[2] or 0))]


class Encoder:
    """Sources to pictures and stylemaps, by the model and the arguments of `add_arguments`."""

    def __init__(self, model: Model, args: argparse.Namespace) -> None:
        self._model = model
        self._args = args
        self.album = photos.Album(args, model)
        self._mean: Tensor | None = None

    def pair(self, a: Source, b: Source) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Of A, whose photo results return into, and of B: the picture 3 x S x S on the CPU, and its stylemap
        1 x K x L x L.
        """
        second = self._one(b, self.album.read_reference)
        return self._one(a, self.album.read), second

    def _one(self, source: Source, read: Callable[[Path], Tensor]) -> tuple[Tensor, Tensor]:
        if source.path is not None:
            photo = read(source.path)
            return photo[0].cpu(), self.album.encode(photo)
        w = self._random(source)
        return self._model.decode(w)[0].cpu(), w

    def _random(self, source: Source) -> Tensor:
        z = edit.latents(self._model, source.index + 1, source.seed)[source.index :]
        w = self._model.map(z)
        truncation: float = self._args.truncation
        if truncation == 1:
            return w
        if self._mean is None:
            self._mean = self._model.mean_stylemap()
        return self._mean + truncation * (w - self._mean)


def pair_up(args: argparse.Namespace) -> list[tuple[Source, Source]]:
    """One of either side for each of the other; see `common.pair_up`."""
    return common.pair_up(*sides(args))


def paths(pairs: Sequence[tuple[Source, Source]]) -> list[Path]:
    """The photos in the pairs."""
    return [source.path for pair in pairs for source in pair if source.path is not None]


def pair_stems(pairs: Sequence[tuple[Source, Source]]) -> list[str]:
    """What the result of each pair is called, before it is made unique."""
    return [f"{a.stem}_{b.stem}" for a, b in pairs]
