"""Videos through a command: frames in, edited one by one, frames out, with the sound of the original."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from torch import Tensor

from stylemap import images, video
from stylemap.cli import common, kinds, results, said
from stylemap.cli.photos import Album
from stylemap.files import only_writer
from stylemap.photo import Photo
from stylemap.sheets import Row, contact_sheet

SHEET_ROWS = 6


@dataclass(frozen=True)
class Frame:
    """A frame of a clip: its number, time in seconds, and photo 1 x 3 x S x S as the model takes it."""

    index: int
    at: float
    picture: Image.Image
    photo: Tensor


def one_clip(args: argparse.Namespace, paths: Sequence[str]) -> Path | None:
    """The video that is the only input of a command; None where its inputs are photos.

    Raises:
        ValueError: a video beside others, or with an option that is of photos.
    """
    found = [path for path in paths if video.is_clip(path)]
    if found and len(paths) > 1:
        raise ValueError(f"a video is edited alone: {found[0]} is one of {len(paths)} inputs")
    if not found:
        return None
    if getattr(args, "refine", None):
        raise ValueError("--refine is of photos: a video has too many frames for it")
    return Path(found[0])


def render(
    args: argparse.Namespace,
    path: Path,
    album: Album,
    edit: Callable[[Frame], Tensor],
    row: Callable[[Frame, Tensor], Row],
    *,
    title: str,
    columns: Sequence[str],
    returned: Callable[[Tensor], Tensor | Photo],
    read: Sequence[Path] = (),
) -> None:
    """Edit the frames of a video, one in memory at a time, and write them where --output says.

    Args:
        args: of a command with `results.add_arguments`.
        path: the video. Its sound is copied into a video.
        album: reads the frames, and crops them.
        edit: a frame to its image 3 x S x S.
        row: a frame and its image to a row of the contact sheet, which has at most six.
        title, columns: of the sheet.
        returned: an image, of the frame read last, to what is written of it.
        read: the other files of the command, which are not written over.

    Raises:
        ValueError: an --output that holds no frames, or is an input.
        ImageError: a damaged video.
    """
    clip = video.Clip(path)
    output = _Frames(args, clip, [path, *read])
    every = max(1, clip.count // SHEET_ROWS)
    rows: list[Row] = []
    frames = _frames(clip, album)
    for frame in common.progress(frames, args.command, total=max(clip.count, 1)):
        image = edit(frame)
        output.add(returned(image), frame)
        if output.sheet_wanted and frame.index % every == every // 2 and len(rows) < SHEET_ROWS:
            rows.append(row(frame, image))
    album.tell_lost()
    output.finish(contact_sheet(rows, title=title, columns=columns) if rows else None)


def _frames(clip: video.Clip, album: Album) -> Iterator[Frame]:
    for index, (picture, at) in enumerate(clip):
        yield Frame(index, at, picture, album.read_frame(clip.path, picture, at))


class _Frames:
    """Where the frames go: a moving picture, or a folder of numbered PNG files."""

    def __init__(self, args: argparse.Namespace, clip: video.Clip, read: Sequence[Path]) -> None:
        self._path = Path(args.output)
        moving = kinds.is_moving(self._path, 2)
        self._sheet = (
            self._path.with_name(f"{self._path.stem}_sheet.png") if moving else self._path / "sheet.png"
        )
        self.sheet_wanted = not args.no_sheet
        self._folder = ExitStack()
        self._digits = max(6, len(str(clip.count)))
        self._count = 0
        self._stem = clip.path.stem
        if not args.overwrite:
            results.refuse_inputs([self._path, *([self._sheet] if self.sheet_wanted else [])], read)
        self._writer: video.Writer | None = None
        if moving:
            rate = clip.rate if args.fps is None else args.fps
            sound = (
                clip.path if self._path.suffix.lower() in video.VIDEO_SUFFIXES and args.fps is None else None
            )
            self._writer = video.open_writer(self._path, rate, audio=sound, audio_start=clip.start)
            self._times = args.fps is None
        elif args.fps is not None:
            raise ValueError(f"--fps is of moving pictures, and {args.output} is none")
        else:
            self._folder.enter_context(only_writer(self._path))  # as long as this object lives

    def add(self, image: Tensor | Photo, frame: Frame) -> None:
        self._count += 1
        picture = results.picture(image)
        if self._writer is not None:
            self._writer.add(picture, frame.at if self._times else None)
            return
        images.save(picture, self._path / f"{self._stem}_{frame.index:0{self._digits}d}.png")

    def finish(self, sheet: Image.Image | None) -> None:
        if self._writer is not None:
            self._writer.finish()
        said.note(output=self._path, frames=self._count)
        what = (
            f"{self._path} ({self._count} frame{'s' * (self._count != 1)})"
            if self._writer
            else f"{self._count} image{'s' * (self._count != 1)} in {self._path}"
        )
        if sheet is not None and self.sheet_wanted:
            images.save(sheet, self._sheet)
            said.note(sheet=self._sheet)
            what += f", contact sheet {self._sheet}"
        self._folder.close()
        said.say(f"wrote {what}")
