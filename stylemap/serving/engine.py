"""The model of a replica: photos that it knows, and what it makes of them.

`Engine.read` and `Engine.written` may run in any thread, `Engine.results` in one: it uses the model.
"""

from __future__ import annotations

import io
import json
import logging
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

import stylemap
from stylemap import assets, checkpoint, images
from stylemap.edit.masks import drawn
from stylemap.editor import directions, downloads, photos
from stylemap.engine.images import ImageHandle
from stylemap.engine.plans import handed_over
from stylemap.engine.session import EditSession
from stylemap.export.runtime import Runtime, is_exported
from stylemap.model import Model
from stylemap.model.checks import available_device
from stylemap.serving.settings import LIMITS, Settings
from stylemap.serving.store import Missing, PhotoStore
from stylemap.serving.work import About, Answer, Edit, Encode, Interpolate, Manipulate, Mask, Photo, Task

if TYPE_CHECKING:
    from stylemap.model import StyleMapGAN

_log = logging.getLogger(__name__)
_PLAIN_STEP = 10.0  # of a direction that has no scale of its own
LATE = Answer(504, error="the deadline passed before the request was begun")


@dataclass(frozen=True, eq=False)
class Read:
    """A task with what had to be read for it: photos 3×S×S that were not known, and masks S×S in [0, 1].

    fault: why it cannot be done.
    """

    task: Task
    photos: Mapping[Photo, Tensor] = field(default_factory=dict)
    masks: Mapping[Mask, Tensor] = field(default_factory=dict)
    fault: Answer | None = None


@dataclass(frozen=True, eq=False)
class Result:
    """What a task gave: images T×3×S×S, or a stylemap 1×K×L×L; or the answer that there is none."""

    task: Task
    value: Tensor
    answer: Answer


class Engine:
    """A model, and the photos whose stylemaps and maps it keeps.

    Raises:
        ValueError, OSError: the model, device, precision or file of directions that the settings name.
    """

    def __init__(self, settings: Settings, store: PhotoStore) -> None:
        if settings.threads is not None:
            torch.set_num_threads(settings.threads)
        self._store, self._most = store, settings.known
        model, name = open_model(settings)
        cache = None if settings.cache_mib is None else settings.cache_mib << 20
        self.session = EditSession(model, model.like.device, settings.precision, cache_bytes=cache)
        self.kind = model.like.device.type
        self.size = model.config.size
        self.directions = directions.load_steps(settings.directions, model.config, lambda: _PLAIN_STEP)
        classes = tuple(getattr(model, "class_names", ()))
        shape = model.config.stylemap_shape
        self.about = About(name, self.size, shape, tuple(self.directions), classes)
        self._photos: OrderedDict[Photo, ImageHandle] = OrderedDict()
        self.rendered = 0

    def read(self, task: Task) -> Read:
        """Read and decode what the task needs and the model does not know yet."""
        work = task.work
        try:
            # Looked up one by one: the model's thread changes the table meanwhile.
            missing = {photo: self._decoded(photo) for photo in work.photos if photo not in self._photos}
            wanted = [part.mask for part in work.parts] if isinstance(work, Edit) else []
            if isinstance(work, Manipulate) and work.mask is not None:
                wanted = [work.mask]
            return Read(task, missing, {mask: self._mask(mask) for mask in wanted})
        except Missing as error:
            return Read(task, fault=Answer(404, error=str(error)))
        except images.ImageError as error:
            return Read(task, fault=Answer(415, error=str(error)))
        except ValueError as error:
            return Read(task, fault=Answer(400, error=str(error)))

    def results(self, batch: Sequence[Read]) -> list[Result]:
        """The results of several tasks; new photos of all of them are encoded together."""
        ready = [self._complete(one) for one in batch]
        new = self._learn([one for one in ready if one.fault is None])
        found = [self._result(one, new) for one in ready]
        while len(self._photos) > self._most:
            self.session.remove(self._photos.popitem(last=False)[1])
        return found

    def written(self, result: Result) -> Answer:
        """The file of a result."""
        work, answer = result.task.work, result.answer
        if answer.status != 200:
            return answer
        if isinstance(work, Encode):
            data, media_type = _map_file(result.value, work.format)
            return replace(answer, data=data, media_type=media_type)
        pictures = [images.to_image(each) for each in result.value]
        picture = pictures[0] if len(pictures) == 1 else downloads.side_by_side(pictures)
        data = photos.encoded(picture, work.format)
        return replace(answer, data=data, media_type=f"image/{work.format}")

    def _decoded(self, photo: Photo) -> Tensor:
        data = self._store.get(photo.owner, photo.digest)
        return images.to_tensor(photos.decode(data, self.size, photo.crop, LIMITS)[0])

    def _mask(self, mask: Mask) -> Tensor:
        if mask.text:
            return drawn(mask.text, self.size)
        data = mask.data or self._store.get(mask.owner, mask.digest)
        picture = images.open_rgb(io.BytesIO(data), max_pixels=LIMITS.upload_pixels, name="the mask").convert(
            "L"
        )
        if picture.size != (self.size, self.size):
            side = f"{self.size}×{self.size}"
            raise ValueError(f"a mask has {side} pixels, this one {picture.width}×{picture.height}")
        return torch.from_numpy(np.array(picture)).float() / 255

    def _complete(self, one: Read) -> Read:
        """The task if it is still wanted, with photos that were known when it was read and are no more."""
        if one.fault is None and one.task.until < time.time():
            return replace(one, fault=LATE)
        forgotten = [p for p in one.task.work.photos if p not in self._photos and p not in one.photos]
        return self.read(one.task) if one.fault is None and forgotten else one

    def _learn(self, tasks: Sequence[Read]) -> set[Photo]:
        """Encode the photos that are new; which they are."""
        new: dict[Photo, Tensor] = {}
        for one in tasks:
            for photo in one.task.work.photos:
                if photo in self._photos:
                    self._photos.move_to_end(photo)
                else:
                    new[photo] = one.photos[photo]
        if len(new) == 1:
            ((photo, picture),) = new.items()
            self._photos[photo] = self.session.add(picture)
        elif new:
            pictures = torch.stack(list(new.values()))
            for photo, w in zip(new, self.session.renderer.encode(pictures)):
                self._photos[photo] = self.session.add_stylemap(w[None])
        return set(new)

    def _result(self, one: Read, new: set[Photo]) -> Result:
        if one.fault is not None:
            return Result(one.task, torch.empty(0), one.fault)
        asked = set(one.task.work.photos)
        answer = Answer(known=len(asked - new), encoded=len(asked & new))
        try:
            value = self._value(one)
            self.rendered += 1
        except (ValueError, ArithmeticError) as error:
            return Result(one.task, torch.empty(0), Answer(400, error=str(error)))
        except Exception:
            _log.exception("a request failed")
            return Result(one.task, torch.empty(0), Answer(500, error="the server could not do this"))
        return Result(one.task, value.cpu(), answer)

    def _value(self, one: Read) -> Tensor:
        session, work = self.session, one.task.work
        photo = self._photos[work.photo]
        if isinstance(work, Encode):
            return session.stylemap(photo)
        if isinstance(work, Interpolate):
            return session.interpolate(photo, self._photos[work.other], list(work.weights))
        if isinstance(work, Edit):
            parts = [
                session.reference(self._photos[part.photo], one.masks[part.mask], part.shift)
                for part in work.parts
            ]
            return session.edit(photo, parts, work.weight)[None]
        step = self.directions.get(work.direction)
        if step is None:
            names = ", ".join(self.directions) or "none"
            raise ValueError(f"direction: there is no {work.direction!r} here, but {names}")
        length = float(torch.linalg.vector_norm(step)) * work.strength
        mask = None if work.mask is None else one.masks[work.mask]
        return session.manipulate(photo, step, length, mask)[None]


def open_model(settings: Settings) -> tuple[Model, str]:
    """The model that the settings name, ready for a session, and what it is called."""
    named = settings.model not in ("", checkpoint.DEMO)
    path = Path(settings.model) if named else assets.demo_model()
    if path is None:
        raise ValueError("no model: this copy of stylemap bundles none; name a checkpoint")
    if is_exported(path):
        return Runtime(path), path.name
    kind = settings.device
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "cpu"
    model = stylemap.load(path, device=available_device(kind), dtype=torch.float32)
    if settings.class_name is not None:
        model = model.of_class(settings.class_name)
    return handed_over(cast("StyleMapGAN", model), settings.precision), path.name


def _map_file(w: Tensor, kind: str) -> tuple[bytes, str]:
    """A stylemap 1×K×L×L as the bytes of a file, float32, and their media type."""
    w = w[0].float().cpu().contiguous()
    if kind == "safetensors":
        return save({"stylemap": w}), "application/octet-stream"
    if kind == "npy":
        buffer = io.BytesIO()
        np.save(buffer, w.numpy())
        return buffer.getvalue(), "application/octet-stream"
    text = json.dumps({"shape": list(w.shape), "stylemap": w.flatten().tolist()})
    return text.encode(), "application/json"
