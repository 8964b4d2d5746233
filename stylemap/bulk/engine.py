"""What a worker computes: one result for every job of a batch, or the reason why there is none."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylemap import edit, images
from stylemap.bulk.blobs import photo_bytes
from stylemap.bulk.jobs import Job
from stylemap.bulk.settings import Settings
from stylemap.data.blobs import open_binary
from stylemap.edit.direction_set import NamedDirection
from stylemap.engine.images import ImageHandle
from stylemap.engine.session import EditSession
from stylemap.photo import CONVENTIONS, Photo, align, faces
from stylemap.photo import crop as crops

#: What a bad row raises. Anything else is the machine's fault, and ends the run.
BAD_ROW = (OSError, ValueError, TypeError, ArithmeticError, MemoryError)
_REFERENCES = 8
_DIRECTIONS = 64


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
        self._references: OrderedDict[str, ImageHandle] = OrderedDict()
        self._directions: OrderedDict[str, NamedDirection] = OrderedDict()

    def read(self, job: Job) -> Tensor | str:
        """The photo of a job, 3×S×S in [-1, 1], or why it cannot be read. From any thread."""
        if job.fault:
            return job.fault
        try:
            return self._square(photo_bytes(job), job.label)
        except BAD_ROW as error:
            return reason(error)

    @torch.no_grad()
    def results(self, batch: Sequence[tuple[Job, Tensor | str]]) -> list[Tensor | str]:
        """The image 3×S×S or, to encode, the stylemap K×L×L of every job, on the CPU; or the fault."""
        if self._settings.operation not in ("encode", "reconstruct"):
            return [photo if isinstance(photo, str) else self._one(job, photo) for job, photo in batch]
        good = [photo for _, photo in batch if not isinstance(photo, str)]
        found = iter(self._plain(torch.stack(good)) if good else ())
        return [photo if isinstance(photo, str) else next(found) for _, photo in batch]

    def _plain(self, photos: Tensor) -> Tensor:
        w = self._model.encode(photos.to(self._model.like))
        return (w if self._settings.operation == "encode" else self._model.decode(w)).cpu()

    def _one(self, job: Job, photo: Tensor) -> Tensor | str:
        try:
            if self._settings.operation == "manipulate":
                return self._manipulated(job, photo)
            return self._from_two(job, photo)
        except BAD_ROW as error:
            return reason(error)

    def _from_two(self, job: Job, photo: Tensor) -> Tensor:
        assert self._session is not None
        reference, options = self._reference(job.options["reference"]), job.options
        original = self._session.add(photo)
        try:
            if self._settings.operation == "mix":
                return self._session.mix(original, reference, options.get("take", "coarse")).cpu()
            mask = self._mask(job)
            part = self._session.reference(reference, mask, tuple(options.get("shift", (0, 0))))
            return self._session.edit(original, part, options.get("weight", 1.0)).cpu()
        finally:
            self._session.remove(original)

    def _manipulated(self, job: Job, photo: Tensor) -> Tensor:
        text, strength = job.options["direction"], job.options.get("strength")
        if strength is None and Path(text).exists():
            raise ValueError(f"{text} has no scale of its own: it needs a strength")
        direction = self._direction(text)
        mask = self._mask(job) if "mask" in job.options else None
        w = self._model.encode(photo[None].to(self._model.like))
        length = direction.step * (1.0 if strength is None else strength)
        return self._model.decode(edit.manipulate(w, direction.vector, [length], mask))[0].cpu()

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
                handle = self._session.add(self._square(file, path))
            for old in _trim(self._references, _REFERENCES):
                self._session.remove(old)
            self._references[path] = handle
        self._references.move_to_end(path)
        return self._references[path]

    def _square(self, file: Any, label: str) -> Tensor:
        settings = self._settings
        if settings.align or settings.crop:
            photo = Photo.open(file, name=label)
            if settings.crop:
                crop = crops.parse(settings.crop, photo.size)
            else:
                crop = align(faces.landmarks(photo), CONVENTIONS[settings.align])
            return images.to_tensor(photo.picture(crop, self.size))
        picture = images.open_rgb(file, name=label)
        return images.to_tensor(images.fit_square(picture, self.size, self._settings.fit))


def _trim(kept: OrderedDict[str, Any], limit: int) -> list[Any]:
    """Make room for one more; what goes."""
    return [kept.popitem(last=False)[1] for _ in range(len(kept) - limit + 1)]


def reason(error: BaseException) -> str:
    """The message of an error on one line: for an OSError the file and the reason."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__
