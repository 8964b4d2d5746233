"""What a worker computes: one result for every job of a batch, or the reason why there is none."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from stylemap import edit, images, ops
from stylemap.bulk.blobs import photo_bytes
from stylemap.bulk.jobs import Job
from stylemap.bulk.settings import Settings
from stylemap.data.blobs import open_binary
from stylemap.edit.direction_set import NamedDirection
from stylemap.engine.images import EditReference, ImageHandle
from stylemap.engine.session import EditSession
from stylemap.photo import CONVENTIONS, Photo, align, faces, paste
from stylemap.photo import crop as crops

#: What a bad row raises. Anything else is the machine's fault, and ends the run.
BAD_ROW = (OSError, ValueError, TypeError, ArithmeticError, MemoryError)
_REFERENCES = 8
_DIRECTIONS = 64


@dataclass(frozen=True, eq=False)
class Pair:
    """What the square of a photo was and became, 3×S×S, and where that was asked for: S×S, or everywhere."""

    before: Tensor
    after: Tensor
    mask: Tensor | None = None


class Engine:
    """A model and what is kept from row to row: references that come again, and directions."""

    def __init__(self, settings: Settings) -> None:
        if settings.threads is not None:
            torch.set_num_threads(settings.threads)
        self._settings = settings
        self._model = settings.load()
        self.size, self.shape = self._model.config.size, self._model.config.stylemap_shape
        self._session = EditSession.of(self._model) if settings.operation in ("edit", "mix") else None
        self._masks = settings.masks(self.size)
        self._crops: dict[int, crops.Crop] = {}  # of photos that results are put back into
        self._references: OrderedDict[str, ImageHandle] = OrderedDict()
        self._directions: OrderedDict[str, NamedDirection] = OrderedDict()

    def read(self, job: Job) -> Tensor | str:
        """The photo of a job, 3×S×S in [-1, 1], or why it cannot be read. From any thread."""
        if job.fault:
            return job.fault
        try:
            square, crop = self._square(photo_bytes(job), job.label)
            if self._settings.paste and crop is not None:
                self._crops[job.index] = crop
            return square
        except BAD_ROW as error:
            return reason(error)

    @torch.no_grad()
    def results(self, batch: Sequence[tuple[Job, Tensor | str]]) -> list[Tensor | Pair | str]:
        """The image 3×S×S, where it goes back into its photo a pair, or to encode the stylemap K×L×L of
        every job, on the CPU; or the fault."""
        if self._settings.operation not in ("encode", "reconstruct"):
            return [photo if isinstance(photo, str) else self._one(job, photo) for job, photo in batch]
        good = [photo for _, photo in batch if not isinstance(photo, str)]
        found = iter(self._plain(torch.stack(good)) if good else ())
        results = [photo if isinstance(photo, str) else next(found) for _, photo in batch]
        if not self._settings.paste:
            return [*results]
        # A reconstruction is compared with the photo itself, as by `stylemap reconstruct`.
        return [
            photo if isinstance(photo, str) or isinstance(made, str) else Pair(photo, made)
            for (_, photo), made in zip(batch, results)
        ]

    def pasted(self, job: Job, result: Tensor | Pair | str) -> Tensor | bytes | str:
        """The file of a job's photo with a pair in it, or the fault; anything else as it is. Any thread."""
        crop = self._crops.pop(job.index, None)
        if not isinstance(result, Pair):
            return result
        try:
            photo = Photo.open(photo_bytes(job), name=job.label)
            assert crop is not None
            mode = cast("paste.Mode", self._settings.paste)
            whole = photo.paste(crop, result.before, result.after, mode=mode, mask=result.mask)
            buffer = io.BytesIO()
            whole.write(buffer, images.WRITE_FORMATS[self._settings.kind])
            return buffer.getvalue()
        except BAD_ROW as error:
            return reason(error)

    def _plain(self, photos: Tensor) -> Tensor:
        w = self._model.encode(photos.to(self._model.like))
        return (w if self._settings.operation == "encode" else self._model.decode(w)).cpu()

    def _one(self, job: Job, photo: Tensor) -> Tensor | Pair | str:
        try:
            if self._settings.operation == "manipulate":
                return self._manipulated(job, photo)
            return self._from_two(job, photo)
        except BAD_ROW as error:
            return reason(error)

    def _from_two(self, job: Job, photo: Tensor) -> Tensor | Pair:
        assert self._session is not None
        reference, options = self._reference(job.options["reference"]), job.options
        original = self._session.add(photo)
        try:
            asked = None
            if self._settings.operation == "mix":
                made = self._session.mix(original, reference, options.get("take", "coarse"))
            else:
                mask, shift = self._mask(job), tuple(options.get("shift", (0, 0)))
                part = self._session.reference(reference, mask, shift)
                made = self._session.edit(original, part, options.get("weight", 1.0))
                asked = _moved(part)
            if not self._settings.paste:
                return made.cpu()
            return Pair(self._session.edit(original).cpu(), made.cpu(), asked)
        finally:
            self._session.remove(original)

    def _manipulated(self, job: Job, photo: Tensor) -> Tensor | Pair:
        text, strength = job.options["direction"], job.options.get("strength")
        if strength is None and Path(text).exists():
            raise ValueError(f"{text} has no scale of its own: it needs a strength")
        direction = self._direction(text)
        mask = self._mask(job) if "mask" in job.options else None
        w = self._model.encode(photo[None].to(self._model.like))
        length = direction.step * (1.0 if strength is None else strength)
        made = self._model.decode(edit.manipulate(w, direction.vector, [length], mask))[0].cpu()
        return Pair(self._model.decode(w)[0].cpu(), made) if self._settings.paste else made

    def _mask(self, job: Job) -> Tensor:
        photos = [job.options.get("reference", ""), "" if job.entry else job.original]
        return self._masks.read(job.options["mask"], [Path(one) for one in photos if Path(one).is_file()])

    def _direction(self, text: str) -> NamedDirection:
        if text not in self._directions:
            self._settings.check(text)
            found = edit.find_direction(text, self._model.config.stylemap_shape)
            _trim(self._directions, _DIRECTIONS)
            self._directions[text] = found
        return self._directions[text]

    def _reference(self, path: str) -> ImageHandle:
        assert self._session is not None
        if path not in self._references:
            with open_binary(path) as file:
                handle = self._session.add(self._square(file, path)[0])
            for old in _trim(self._references, _REFERENCES):
                self._session.remove(old)
            self._references[path] = handle
        self._references.move_to_end(path)
        return self._references[path]

    def _square(self, file: Any, label: str) -> tuple[Tensor, crops.Crop | None]:
        """The square 3×S×S of a photo that the model sees, and which it is where that is asked for."""
        settings = self._settings
        if settings.align or settings.crop or settings.paste:
            photo = Photo.open(file, name=label)
            if settings.crop:
                crop = crops.parse(settings.crop, photo.size)
            elif settings.align:
                crop = align(faces.landmarks(photo), CONVENTIONS[settings.align])
            else:
                crop = crops.Crop.middle(photo.size)
            return images.to_tensor(photo.picture(crop, self.size)), crop
        picture = images.open_rgb(file, name=label)
        return images.to_tensor(images.fit_square(picture, self.size, self._settings.fit)), None


def _moved(part: EditReference) -> Tensor:
    """Where a reference is laid over the original, S×S of 0 and 1."""
    dx, dy = (round(pixels) for pixels in part.shift)
    mask = (part.mask > 0.5).float()
    return ops.blend(torch.zeros_like(mask), mask, mask > 0, shift=(dx, dy))[0, 0]


def _trim(kept: OrderedDict[str, Any], limit: int) -> list[Any]:
    """Make room for one more; what goes."""
    return [kept.popitem(last=False)[1] for _ in range(len(kept) - limit + 1)]


def reason(error: BaseException) -> str:
    """The message of an error on one line: for an OSError the file and the reason."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__
