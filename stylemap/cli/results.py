"""Where results of a command go: names that never meet, and never an input unasked."""

from __future__ import annotations

import argparse
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image
from torch import Tensor

from stylemap import checkpoint, images, video
from stylemap.cli import kinds, said
from stylemap.files import make_folder, only_writer
from stylemap.photo import Photo

_MAX_BYTES = 255  # of a file name, on every file system in use
_NUMBER_BYTES = 8  # kept for a number that makes a name unique
_SHEET = "sheet.png"
_KINDS = "a picture, or of several .gif, .webp, .tiff, .mp4 or .webm, as its name ends"
_Identity = tuple[int, int]


def add_arguments(parser: argparse.ArgumentParser, what: str) -> None:
    """Add --output, which ``what`` describes, --no-sheet, --fps and --overwrite; `Output.of` reads them."""
    parser.add_argument("-o", "--output", required=True, metavar="PATH", help=f"{what}; {_KINDS}")
    parser.add_argument("--no-sheet", action="store_true", help="write no contact sheet")
    parser.add_argument(
        "--fps",
        type=float,
        metavar="N",
        help=f"frames a second of a moving picture (default: {video.RATE:g})",
    )
    add_overwrite(parser)


def add_overwrite(parser: argparse.ArgumentParser) -> None:
    """Add --overwrite, for `refuse_inputs`."""
    parser.add_argument("--overwrite", action="store_true", help="results may replace inputs")


@dataclass
class Output:
    """The destination of results: an image file, a moving picture, or a folder; `of` checks it first.

    names: one for every group of results, in their order; each writes the images name + part.
    frames: what takes the images one after the other, where they are the frames of one file.
    """

    path: Path
    names: list[str] = field(default_factory=list)
    parts: tuple[str, ...] = ("",)
    sheet_wanted: bool = True
    frames: video.Writer | None = None
    _saved: int = 0
    _folder: ExitStack = field(default_factory=ExitStack)  # locked as long as this object lives

    @classmethod
    def of(
        cls,
        args: argparse.Namespace,
        stems: Sequence[str],
        inputs: Iterable[Path],
        *,
        own: Sequence[Path | None] = (),
        parts: Sequence[str] = ("",),
        beside: Sequence[str] = (),
    ) -> Output:
        """The output of a command.

        Args:
            args: with output, no_sheet, overwrite, and model where a file is read as such.
            stems: what each group of results is called after.
            inputs: every file the command reads.
            own: the input each group is made from, where nothing else needs it: --overwrite may replace it.
            parts: what follows the name in each image of a group.
            beside: endings of further files of a group, with their suffix.

        Raises:
            ValueError: a file name for several images; an output that is an input, or of an unknown kind; a
                folder that another command is writing to.
            ImportError: a video without PyAV.
            OSError: the folder cannot be made.
        """
        output = cls(Path(args.output), [], tuple(parts), not args.no_sheet)
        moving = kinds.is_moving(output.path, len(stems) * len(parts))
        endings = [f"{part}.png" for part in parts] + list(beside)
        output.names = unique_names(stems, endings, [_SHEET])
        model = getattr(args, "model", None)
        read = [*inputs, *([Path(model)] if model and model != checkpoint.DEMO else [])]
        targets = [
            [output.file(name + part) for part in parts] + [output.beside(name, one) for one in beside]
            for name in output.names
        ]
        if output.sheet_wanted:
            targets.append([output.sheet_path])
        if args.overwrite:
            if len(stems) > 1:
                _refuse_others(targets, read, own)
        else:
            refuse_inputs([target for group in targets for target in group], read)
        if output.is_file:
            make_folder(output.path.parent)
        else:  # names are unique within one command alone
            output._folder.enter_context(only_writer(output.path))
        if moving:
            output.frames = video.open_writer(output.path, video.RATE if args.fps is None else args.fps)
        elif args.fps is not None:
            raise ValueError(f"--fps is of moving pictures, and {args.output} is none")
        return output

    @property
    def is_file(self) -> bool:
        """Whether --output names one file rather than a folder."""
        return kinds.is_file(self.path)

    @property
    def count(self) -> int:
        """How many images are written, without the sheet."""
        return len(self.names) * len(self.parts)

    def file(self, name: str) -> Path:
        """Path of the image ``name`` (without suffix), or of the moving picture it is a frame of."""
        return self.path if self.is_file else self.path / f"{name}.png"

    def beside(self, name: str, ending: str) -> Path:
        """Path of another file of the group ``name``: its name with an ending."""
        if not self.is_file:
            return self.path / (name + ending)
        stem = _cut(self.path.stem, _MAX_BYTES - len(os.fsencode(ending)))
        return self.path.with_name(stem + ending)

    def save(self, image: Tensor | Image.Image | Photo, name: str) -> Path:
        """Write the image ``name`` (without suffix); its path. Errors: see `stylemap.images.save`."""
        if self.frames is not None:
            self.frames.add(picture(image))
        elif isinstance(image, Photo):
            image.save(self.file(name))
            said.add("images", self.file(name))
        else:
            images.save(image, self.file(name))
            said.add("images", self.file(name))
        self._saved += 1
        return self.file(name)

    @property
    def sheet_path(self) -> Path:
        """Path of the contact sheet: beside the file, or in the folder."""
        return self.beside("", "_sheet.png") if self.is_file else self.path / _SHEET

    @contextmanager
    def keeping(self, sheet: Callable[[], Image.Image | None]) -> Iterator[None]:
        """Make the contact sheet also where an input that cannot be read ends the block.

        sheet: of the results so far.

        Raises:
            UnreadableError: of the block; it says what was written before.
        """
        try:
            yield
        except images.UnreadableError as error:
            if not self._saved or self.frames is not None:
                raise
            kept = f"{self._saved} image{'s' * (self._saved != 1)} of {self.count} written before it"
            picture = sheet() if self.sheet_wanted else None
            if picture is not None:
                images.save(picture, self.sheet_path)
                kept += f", contact sheet {self.sheet_path}"
            raise images.UnreadableError(f"{error}; {kept}") from error

    def finish(self, sheet: Image.Image | None) -> None:
        """Write the moving picture and the contact sheet, if they are wanted, and say what was written."""
        what = (
            str(self.path) if self.is_file else f"{self.count} image{'s' * (self.count != 1)} in {self.path}"
        )
        if self.frames is not None:
            self.frames.finish()
            what += f" ({self.count} frame{'s' * (self.count != 1)})"
        said.note(output=self.path)
        if self.sheet_wanted and sheet is not None:
            said.note(sheet=self.sheet_path)
            images.save(sheet, self.sheet_path)
            what += f", contact sheet {self.sheet_path}"
        self._folder.close()
        said.say(f"wrote {what}")


def picture(image: Tensor | Image.Image | Photo) -> Image.Image:
    """A result as an sRGB picture."""
    if isinstance(image, Photo):
        return image.srgb()
    return images.to_image(image) if isinstance(image, Tensor) else image


def frame_parts(count: int) -> list[str]:
    """What follows a name in each of ``count`` frames: _000, _001, …"""
    digits = max(3, len(str(count - 1)))
    return [f"_{index:0{digits}d}" for index in range(count)]


def unique_names(stems: Sequence[str], endings: Sequence[str], taken: Sequence[str] = ()) -> list[str]:
    """A name for every stem, so that no two files name + ending are one, nor one of ``taken``.

    The first of a stem keeps it where it can, the others get numbers, long ones are cut. Names that differ
    in case or in the composition of their characters count as one, as on file systems that do not tell them
    apart.
    """
    used = {_key(name) for name in taken}
    room = _MAX_BYTES - _NUMBER_BYTES - max(len(os.fsencode(ending)) for ending in endings)
    first = {stem: index for index, stem in reversed(list(enumerate(stems)))}
    order = sorted(range(len(stems)), key=lambda index: first[stems[index]] != index)
    names = [""] * len(stems)
    numbers: dict[str, int] = {}
    for index in order:
        stem = _cut(stems[index], room)
        number = numbers.get(stem, 1)
        while True:
            name = stem if number == 1 else f"{stem}_{number}"
            files = {_key(name + ending) for ending in endings}
            number += 1
            if not files & used:
                break
        used |= files
        numbers[stem], names[index] = number, name
    return names


def refuse_inputs(targets: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Raise ValueError where a file to be written is one of those read, under any path or link."""
    read = {_identity(path) for path in inputs} - {None}
    for target in targets:
        if _identity(target) in read:
            raise ValueError(f"{target} is an input: name another --output, or say --overwrite")


def _refuse_others(
    targets: Sequence[Sequence[Path]], inputs: Sequence[Path], own: Sequence[Path | None]
) -> None:
    """The same where inputs may be replaced, but not before they are read."""
    counts = Counter(_identity(path) for path in inputs)
    for index, group in enumerate(targets):
        source = own[index] if index < len(own) else None
        allowed = None if source is None else _identity(source)
        for target in group:
            identity = _identity(target)
            if identity is not None and counts[identity] and (identity != allowed or counts[identity] > 1):
                raise ValueError(f"{target} is an input that other results need: name another --output")


def _identity(path: Path) -> _Identity | None:
    """What makes two paths one file; None where there is none."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _cut(stem: str, room: int) -> str:
    while len(os.fsencode(stem)) > room:
        stem = stem[:-1]
    return stem
