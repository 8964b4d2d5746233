"""The model of a replica: photos that it knows, and what it makes of them.

`Engine.read` and `Engine.written` may run in any thread, `Engine.results` in one: it uses the model.
"""

from __future__ import annotations

import hashlib
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
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

import stylemap
from stylemap import assets, checkpoint, images
from stylemap.bulk.settings import digest
from stylemap.edit.masks import drawn
from stylemap.editor import composer, directions, downloads, photos
from stylemap.editor.edits import Part, Recipe, Slide
from stylemap.engine.images import ImageHandle
from stylemap.engine.plans import handed_over
from stylemap.export.runtime import Runtime, is_exported
from stylemap.model import Model
from stylemap.model.checks import available_device
from stylemap.photo.models import known
from stylemap.serving.settings import LIMITS, Settings
from stylemap.serving.store import Missing, PhotoStore, is_stylemap
from stylemap.serving.work import (
    About,
    Answer,
    Edit,
    Encode,
    Interpolate,
    Manipulate,
    Mask,
    Photo,
    Random,
    Task,
)

if TYPE_CHECKING:
    from stylemap.model import StyleMapGAN

_log = logging.getLogger(__name__)
_MAPS = ("safetensors", "npy", "json")  # formats of a stylemap
LATE = Answer(504, error="the deadline passed before the request was begun")


@dataclass(frozen=True, eq=False)
class Read:
    """A task with what had to be read for it: photos 3×S×S, or stylemaps 1×K×L×L, that were not known, and
    masks S×S in [0, 1].

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
        model, path = open_model(settings)
        cache = None if settings.cache_mib is None else settings.cache_mib << 20
        self.composer = composer.Composer(model, settings.precision, cache)
        self.session = self.composer.session
        self.kind = model.like.device.type
        self.size = model.config.size
        steps = directions.load_steps(settings.directions, model.config, self.composer.usual_step)
        self.composer.directions = self.directions = steps
        self.about = _about(settings, self.composer, path)
        self._photos: OrderedDict[Photo, ImageHandle] = OrderedDict()
        self.rendered = 0

    def read(self, task: Task) -> Read:
        """Read and decode what the task needs and the model does not know yet."""
        work = task.work
        if task.model not in ("", self.about.id):
            text = f"the request is for another model than {self.about.name}, which is here"
            return Read(task, fault=Answer(409, error=text))
        try:
            # Looked up one by one: the model's thread changes the table meanwhile.
            missing = {photo: self._decoded(photo) for photo in work.photos if photo not in self._photos}
            wanted = work.masks if isinstance(work, Edit | Manipulate) else []
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
        for one in batch:
            if isinstance(one.task.work, Edit) and one.task.work.once:
                self._forget(one.task.work.photo)
        while len(self._photos) > self._most:
            self._forget(next(iter(self._photos)))
        return found

    def _forget(self, photo: Photo) -> None:
        handle = self._photos.pop(photo, None)
        if handle is not None:
            self.composer.forget_temporary(photo.name)
            self.composer.remove(handle)

    def written(self, result: Result) -> Answer:
        """The file of a result."""
        work, answer = result.task.work, result.answer
        if answer.status != 200:
            return answer
        if isinstance(work, Encode | Random) and work.format in _MAPS:
            data, media_type = _map_file(result.value, work.format)
            return replace(answer, data=data, media_type=media_type)
        pictures = [images.to_image(each) for each in result.value]
        picture = pictures[0] if len(pictures) == 1 else downloads.side_by_side(pictures)
        data = photos.encoded(picture, cast("photos.Kind", work.format))
        return replace(answer, data=data, media_type=f"image/{work.format}")

    def _decoded(self, photo: Photo) -> Tensor:
        data = self._store.get(photo.owner, photo.digest)
        if is_stylemap(data):
            return self._stylemap(data)
        return images.to_tensor(photos.decode(data, self.size, photo.crop, LIMITS)[0])

    def _stylemap(self, data: bytes) -> Tensor:
        try:
            w = load(data)["stylemap"].float()
        except (SafetensorError, KeyError) as error:
            raise ValueError(f"the stylemap: expected a file as of /v1/encode: {error}") from None
        if w.shape != self.session.config.stylemap_shape or not bool(w.isfinite().all()):
            shape = "×".join(map(str, self.session.config.stylemap_shape))
            raise ValueError(f"the stylemap: expected finite numbers of {shape}")
        return w[None]

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
        # Of a camera: what would be made ready for the next edit of it serves none.
        edits = [one.task.work for one in tasks if isinstance(one.task.work, Edit)]
        passing = {work.photo for work in edits if work.once}
        for one in tasks:
            for photo in one.task.work.photos:
                if photo in self._photos:
                    self._photos.move_to_end(photo)
                else:
                    new[photo] = one.photos[photo]
        maps = {photo: w for photo, w in new.items() if w.ndim == 4}
        pictures = {photo: picture for photo, picture in new.items() if picture.ndim == 3}
        if len(pictures) == 1:
            ((photo, picture),) = pictures.items()
            self._photos[photo] = self.composer.add(picture, prepare=photo not in passing)
        elif pictures:
            encoded = self.session.renderer.encode(torch.stack(list(pictures.values())))
            maps |= {photo: w[None] for photo, w in zip(pictures, encoded)}
        for photo, w in maps.items():
            self._photos[photo] = self.composer.add_stylemap(w)
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
        if isinstance(work, Random):
            return self._random(work)
        photo = self._photos[work.photo]
        if isinstance(work, Encode):
            return session.stylemap(photo)
        if isinstance(work, Interpolate):
            return session.interpolate(photo, self._photos[work.other], list(work.weights))
        if isinstance(work, Edit):
            return self._edit(work, one.masks)
        step = self.directions.get(work.direction)
        if step is None:
            names = ", ".join(self.directions) or "none"
            raise ValueError(f"direction: there is no {work.direction!r} here, but {names}")
        length = float(torch.linalg.vector_norm(step)) * work.strength
        mask = None if work.mask is None else one.masks[work.mask]
        return session.manipulate(photo, step, length, mask)[None]

    def _random(self, work: Random) -> Tensor:
        """The stylemap 1×K×L×L of a random image, or the image 1×3×S×S."""
        classes = self.about.classes
        if work.class_name is not None and work.class_name not in classes:
            names = ", ".join(classes) or "none"
            raise ValueError(f"class_name: there is no {work.class_name!r} here, but {names}")
        try:
            w = self.composer.random(work.seed, work.truncation, work.class_name)
        except FileNotFoundError:
            raise ValueError("this exported model has no mapping network to draw faces with") from None
        return w if work.format in _MAPS else self.session.renderer.decode(w.to(self.composer.model.like))

    def _edit(self, work: Edit, masks: Mapping[Mask, Tensor]) -> Tensor:
        """The images of an edit, T×3×S×S."""
        parts = [
            Part(self._photos[part.photo], masks[part.mask], part.shift, part.opacity) for part in work.parts
        ]
        slides = [
            Slide(slider.name, slider.strength, None if slider.mask is None else masks[slider.mask])
            for slider in work.sliders
        ]
        mix = None
        if work.mix is not None:
            other, codes = work.mix
            most = len(self.session.config.stylecode_shapes)
            if any(code >= most for code in codes):
                raise ValueError(f"mix.codes: numbers from 0 to {most - 1}")
            mix = self._photos[other], codes
        recipe = Recipe(self._photos[work.photo], parts, mix=mix, passing=work.once, sliders=slides)
        # By its name: the original with its sliders applied is kept for as long as the photo is.
        return torch.stack(list(self.composer.frames(recipe, work.weights, work.photo.name)))


def _about(settings: Settings, model: composer.Composer, path: Path) -> About:
    """What clients learn of the model in a file."""
    facts = [digest(path), settings.class_name, settings.precision]
    if settings.directions is not None:
        facts.append(digest(Path(settings.directions)))
    knowledge, config = known(path), model.config
    return About(
        id=hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32],
        name=path.name,
        size=config.size,
        stylemap=config.stylemap_shape,
        codes=tuple(height for _, height, _ in config.stylecode_shapes),
        directions=tuple(model.directions),
        classes=model.class_names,
        config=config.to_dict(),
        alignment="" if knowledge.convention is None else knowledge.convention.name,
        error=knowledge.error,
    )


def open_model(settings: Settings) -> tuple[Model, Path]:
    """The model that the settings name, ready for a session, and its file."""
    named = settings.model not in ("", checkpoint.DEMO)
    path = Path(settings.model) if named else assets.demo_model()
    if path is None:
        raise ValueError("no model: this copy of stylemap bundles none; name a checkpoint")
    if checkpoint.is_remote(settings.model) or (path.is_dir() and not is_exported(path)):
        path = Path(checkpoint.locate(settings.model))
    if is_exported(path):
        return Runtime(path), path
    kind = settings.device
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "cpu"
    model = stylemap.load(path, device=available_device(kind), dtype=torch.float32)
    if settings.class_name is not None:
        model = model.of_class(settings.class_name)
    return handed_over(cast("StyleMapGAN", model), settings.precision), path


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
