"""Photos of any size in the commands: what of them the model sees, and how results return into them."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageColor
from torch import Tensor

from stylemap import assets, checkpoint, edit, images, video
from stylemap.cli import common, said
from stylemap.model import StyleMapGAN
from stylemap.photo import CONVENTIONS, MODES, Convention, Crop, Landmarks, Photo, align, faces, resample
from stylemap.photo import crop as crops
from stylemap.photo import landmarks as points
from stylemap.photo.follow import Follower
from stylemap.photo.models import (
    Knowledge,
    is_telling,
    is_untrained,
    known,
    reconstruction_error,
    spread,
)

if TYPE_CHECKING:
    from stylemap.engine.session import EditSession
    from stylemap.model import Model

_POINTS = "five points of the face in pixels of the photo: both eyes, the nose, both corners of the mouth"


def add_arguments(parser: argparse.ArgumentParser, *, references: bool = False) -> None:
    """Add the options that `Album` reads; ``references``: also those of a second photo."""
    group = parser.add_argument_group(
        "whole photos", "With one of --align, --crop, --landmarks and --paste the result is the whole photo."
    )
    group.add_argument(
        "--align",
        action="store_true",
        help="the model sees the face, upright and as large as in its training; a model of something else "
        "sees the middle. Finding faces needs the extra stylemap[align]",
    )
    group.add_argument(
        "--alignment",
        choices=["auto", *CONVENTIONS],
        default="auto",
        help="how faces lie in the model's images (default: as the model notes, else ffhq)",
    )
    group.add_argument("--landmarks", nargs=5, metavar="X,Y", help=f"align to these: {_POINTS}")
    group.add_argument(
        "--crop",
        metavar="CX,CY,SIDE[,ANGLE]",
        help="the model sees this square: its centre and side in fractions of the photo (the side of the "
        "shorter edge), or in pixels where one is above 1; the angle in degrees, clockwise",
    )
    group.add_argument(
        "--crops",
        choices=("each", "first", "follow"),
        help="of a folder of originals, or the frames of a video: a crop for each (default of a folder), the "
        "first's for all, or with --align one that follows the face, smoothed, and stays where none is found "
        "(default of a video)",
    )
    if references:
        group.add_argument(
            "--reference-landmarks", nargs=5, action="append", default=[], metavar="X,Y",
            help="of the reference, likewise; once for each --reference",
        )  # fmt: skip
        group.add_argument("--reference-crop", action="append", default=[], metavar="CROP", help="likewise")
    group.add_argument(
        "--paste",
        choices=(*MODES, "square"),
        help="difference: add what the edit changed to the photo, whose detail stays (default); replace: "
        "show the model's pixels; square: write the model's square alone",
    )
    group.add_argument(
        "--refine",
        type=int,
        default=0,
        metavar="N",
        help="before the edit, N steps that bring the decoded image closer to the photo (default: 0)",
    )
    group.add_argument(
        "--background", default="white", metavar="COLOUR", help="under transparency, as in black or #8090a0"
    )


def find(args: argparse.Namespace, paths: Iterable[str]) -> list[Path]:
    """As `common.find_readable`, of all the formats that an `Album` reads."""
    return common.find_readable(args, paths, Photo.open)


@dataclass(frozen=True, eq=False)
class _Seen:
    """A photo, its crop, and the square 1 x 3 x S x S of it that the model sees."""

    path: Path
    photo: Photo
    crop: Crop
    square: Tensor


class Album:
    """The photos of a command. Of those it has read it keeps the last original.

    Args:
        args: of `add_arguments`, and model and fit.
        session: encodes into this session; without one into stylemaps.

    Raises:
        ValueError: arguments that mean nothing; the message names them.
    """

    def __init__(self, args: argparse.Namespace, model: Model, session: EditSession | None = None) -> None:
        self._args, self._model, self._session = args, model, session
        self._cropped = bool(args.align or args.landmarks or args.crop or args.paste)
        self._pastes = self._cropped and args.paste != "square"
        self._background = _colour(args.background)
        self._landmarks = None if args.landmarks is None else points.parse(args.landmarks)
        named = args.model not in (None, "", checkpoint.DEMO)
        self._knowledge = known(Path(args.model) if named else assets.demo_model())
        self._crops: dict[Path, tuple[tuple[int, int], Crop | None]] = {}
        self._first: Crop | None = None
        self._follower: Follower | None = None
        self._far: set[str] = set()
        self._judged = False
        self._read = 0
        self._original: _Seen | None = None
        self._label = ""
        self._before: Tensor | None = None
        _check(args)

    def read(self, path: Path) -> Tensor:
        """An original as the model sees it, 1 x 3 x S x S."""
        at = self._read / (getattr(self._args, "fps", None) or video.RATE)
        lost = self._lost
        seen = self._seen(path, self._open(path), self._args.crops or "each", at)
        if self._lost > lost:
            said.warn(f"no face was found in {path}: its crop is that of the photo before, or the middle")
        return seen

    def read_frame(self, path: Path, picture: Image.Image, at: float) -> Tensor:
        """A frame of a video, at that time in seconds, likewise."""
        photo = Photo.of(picture, background=self._background, name=f"{path} at {at:.2f} s")
        return self._seen(path, photo, self._args.crops or "follow", at)

    def _seen(self, path: Path, photo: Photo, crops: str, at: float) -> Tensor:
        """Keep an original as the last one; crops: of --crops."""
        self._read += 1
        crop = self._first if crops == "first" else None
        crop = crop or self._followed(photo, at) if crops == "follow" else crop
        crop = crop or self._crop(photo, self._landmarks, self._args.crop)
        self._first = self._first or crop
        square = self._square(photo, crop)
        self._original = _Seen(path, photo, crop or Crop.middle(photo.size), square)
        self._before = None
        return self._told(path, photo, crop, square)

    @property
    def _lost(self) -> int:
        return 0 if self._follower is None else self._follower.lost

    def tell_lost(self) -> None:
        """Say in how many of the frames read the face was not found, where the crop followed it."""
        found = self._follower
        if found is not None and found.lost == found.count:
            said.warn(f"no face was found in any of {found.count} frames: the middle of them was edited")
        elif found is not None and found.lost:
            said.warn(
                f"no face was found in {found.lost} of {found.count} frames: the crop stayed where it was"
            )

    def read_reference(self, path: Path, index: int = 0) -> Tensor:
        """The photo of reference ``index`` as the model sees it, 1 x 3 x S x S."""
        photo = self._open(path)
        given = self._args.reference_landmarks
        landmarks = points.parse(given[index]) if index < len(given) else None
        written = self._args.reference_crop[index] if index < len(self._args.reference_crop) else None
        try:
            crop = self._crop(photo, landmarks, written)
        except faces.NoFaceError:
            said.warn(f"no face was found in {path}: the middle of it is the reference")
            crop = Crop.middle(photo.size)
        return self._told(path, photo, crop, self._square(photo, crop))

    def encode(self, photo: Tensor) -> Any:
        """The stylemap of the photo read last, or its handle in the session; refined where that is wanted."""
        original = self._original
        told = self._knowledge.error is None or self._label in self._far
        if not self._args.refine and told and not self._pastes:
            source = self._model.encode(photo) if self._session is None else self._session.add(photo)
            if original is not None and original.square is photo and self._judges(photo):
                _tell_if_untrained(self._label, photo[0].cpu(), self.decoded(source))
            return source
        w = self._model.encode(photo)
        decoded = self._model.decode(w)
        if not told:  # of a video by its first frame
            self._far.add(self._label)
            _tell_if_far(self._label, photo, decoded, self._knowledge)
        elif self._judges(photo):
            _tell_if_untrained(self._label, photo, decoded)
        if self._args.refine:
            w = self._refined(photo, w)
            decoded = self._model.decode(w)
        if original is not None and original.square is photo:
            self._before = decoded[0].detach()
        return w if self._session is None else self._session.add_stylemap(w)

    def _judges(self, photo: Tensor) -> bool:
        """Whether to compare this photo with its reconstruction, as happens once where nothing is known of a
        model: of a checkpoint, by the first photo that is not almost plain."""
        from stylemap.export.runtime import Runtime

        judges = not (self._judged or self._knowledge.error is not None or isinstance(self._model, Runtime))
        judges = judges and is_telling(photo)
        self._judged = self._judged or judges
        return judges

    def decoded(self, source: Any) -> Tensor:
        """The original encoded last as the model decodes it, 3 x S x S on the CPU; source: from `encode`."""
        if self._before is None:
            image = self._model.decode(source)[0] if self._session is None else self._session.edit(source)
            self._before = image.detach()
        return self._before.cpu()

    def returned(
        self, path: Path | None, image: Tensor, *, mode: str = "difference", mask: Tensor | None = None
    ) -> Tensor | Photo:
        """What is written of a result, 3 x S x S or 1 x 3 x S x S: it, or its original with it in place.

        path: of the original, which has been read and encoded last; None where there is none.
        mode: where --paste names none. The result is the reconstruction itself where it is "replace": it is
        compared with the photo instead of with its reconstruction.
        mask: S x S, where the edit was asked for.
        """
        seen = self._original
        if not self._pastes or path is None or seen is None or seen.path != path:
            return image
        before = seen.square[0] if mode == "replace" or self._before is None else self._before
        after = image[0] if image.ndim == 4 else image
        mode = self._args.paste or mode
        return seen.photo.paste(seen.crop, before.cpu(), after.cpu(), mode=mode, mask=mask)

    def fitted_mask(
        self, mask: Image.Image, photos: list[Path], frame: tuple[int, int] | None = None
    ) -> Image.Image | None:
        """A grey picture as large as one of the photos, cut as that is; None where it is no such picture.

        frame: width and height of the frame read last, which counts as a photo.
        """
        if frame == mask.size and self._cropped and self._original is not None:
            return resample.cut(mask.convert("RGB"), self._original.crop, self._model.config.size).convert(
                "L"
            )
        for photo in photos:
            size, crop = self._crops.get(photo, ((0, 0), None))
            if size == mask.size and crop is not None:
                return resample.cut(mask.convert("RGB"), crop, self._model.config.size).convert("L")
            if size == mask.size:
                return images.fit_square(mask, self._model.config.size, self._args.fit, 0)
        return None

    @property
    def moves(self) -> bool:
        """Whether the crops of a video's frames differ."""
        return bool(self._args.align and not self._args.landmarks and self._args.crops != "first")

    def _followed(self, photo: Photo, at: float) -> Crop | None:
        """The crop that follows the face; None where none is asked for."""
        convention = self._convention()
        if not self._args.align or self._landmarks is not None or convention is None:
            return None
        self._follower = self._follower or Follower(convention)
        return self._follower.crop(photo, at)

    def _open(self, path: Path) -> Photo:
        return Photo.open(path, background=self._background)

    def _crop(self, photo: Photo, landmarks: Landmarks | None, written: str | None) -> Crop | None:
        """The crop of a photo; None where it is fitted as --fit says."""
        if written is not None:
            return crops.parse(written, photo.size)
        convention = self._convention()
        if landmarks is None and self._args.align and convention is not None:
            landmarks = faces.landmarks(photo)
        if landmarks is not None:
            return align(landmarks, convention or CONVENTIONS["ffhq"])
        return Crop.middle(photo.size) if self._cropped else None

    def _convention(self) -> Convention | None:
        chosen: str = self._args.alignment
        return self._knowledge.convention if chosen == "auto" else CONVENTIONS[chosen]

    def _square(self, photo: Photo, crop: Crop | None) -> Tensor:
        size = self._model.config.size
        if crop is not None:
            picture = photo.picture(crop, size)
        else:
            picture = images.fit_square(photo.srgb(), size, self._args.fit, self._background)
        return common.to_model(self._model, images.to_tensor(picture))

    def _told(self, path: Path, photo: Photo, crop: Crop | None, square: Tensor) -> Tensor:
        self._crops[path] = photo.size, crop
        self._label = str(path)
        return square

    def _refined(self, photo: Tensor, w: Tensor) -> Tensor:
        model = getattr(self._model, "checkpoint", self._model)
        if not isinstance(model, StyleMapGAN):
            raise ValueError("--refine needs a checkpoint: an exported model has no gradients")
        steps: int = self._args.refine
        bar = common.progress(range(steps + 1), f"refine {Path(self._label).name}")

        def advance(step: int, loss: float) -> None:
            next(bar, None)

        found = edit.invert(
            model, photo.to(model.like), steps=steps, start=w.to(model.like), progress=advance
        )
        next(bar, None)  # past the last: it finishes its line
        return found.stylemap.to(self._model.like)


def _tell_if_far(name: str, photo: Tensor, decoded: Tensor, knowledge: Knowledge) -> None:
    error = reconstruction_error(photo, decoded)
    if knowledge.error is not None and knowledge.is_far(error):
        said.warn(
            f"{name} is far from what the model knows: the squared error of its reconstruction is "
            f"{error:.4f}, {error / knowledge.error:.0f} times that of the images it was tested on"
        )


def _tell_if_untrained(name: str, photo: Tensor, decoded: Tensor) -> None:
    if is_untrained(photo, decoded):
        said.warn(
            f"the model's reconstruction of {name} has a squared error of "
            f"{reconstruction_error(photo, decoded):.2f}, and a plain picture {spread(photo):.2f}: "
            "its weights are random or hardly trained, or it knows no such photos"
        )


def _check(args: argparse.Namespace) -> None:
    common.check_counts(args, 0, "refine")
    if args.crop and (args.landmarks or args.align):
        raise ValueError("--crop goes without --align and --landmarks: each says where the square is")
    for name in ("landmarks", "crop"):
        given, references = len(getattr(args, f"reference_{name}", [])), getattr(args, "reference", None)
        count = len(references) if isinstance(references, list) else 1
        if given > count:
            raise ValueError(f"{given} --reference-{name} for {count} --reference: give one each, or none")


def _colour(text: str) -> images.Colour:
    try:
        found = ImageColor.getrgb(text)
    except ValueError:
        raise ValueError(f"--background: expected a colour as black or #8090a0, got {text!r}") from None
    return found[0], found[1], found[2]
