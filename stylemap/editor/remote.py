"""The model of a ``stylemap serve`` elsewhere, in the place of a `composer.Composer`.

What the editor has of an image stays here as a file: the square photo as PNG, or a stylemap. A request names
its images by the SHA-256 of these files and brings along those that the service was not given yet. Where it
answers that it lacks one (it was started anew, or made room) the request is made again with all of them. So
nothing of a session is lost with a replica, or with the whole service.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
import torch
from PIL import Image
from safetensors.torch import load, save
from torch import Tensor

from stylemap import images
from stylemap.config import Config
from stylemap.editor import photos
from stylemap.editor.clients import Away, Unavailable
from stylemap.editor.edits import AMPLIFY, Recipe
from stylemap.engine.images import ImageHandle
from stylemap.photo.alignment import CONVENTIONS
from stylemap.photo.models import Knowledge

_log = logging.getLogger(__name__)
_WORKERS = 16  # requests at the same time: a service has several replicas
_SECONDS = 15.0  # that a picture may take
_CONNECT = 3.0
_LOOK = 0.5  # between looks whether the service is back
_STRIP = 8  # frames of one request
_SENT = 4096  # names of images that are known to have been sent
_PNG = "image/png"
_numbers = itertools.count()


@dataclass(frozen=True)
class Model:
    """The service's model. id: tells it from every other."""

    id: str
    name: str
    config: Config
    directions: tuple[str, ...]
    classes: tuple[str, ...]
    knowledge: Knowledge

    @classmethod
    def of(cls, about: Mapping[str, Any]) -> Model:
        """From what ``/v1/model`` answers. Raises KeyError, TypeError or ValueError for something else."""
        knowledge = Knowledge(CONVENTIONS.get(about["alignment"]), about["error"])
        return cls(
            about["id"],
            about["name"],
            Config.from_dict(about["config"]),
            tuple(about["directions"]),
            tuple(about["classes"]),
            knowledge,
        )


@dataclass
class _Form:
    """A request: JSON, and the files that it names. images: by their SHA-256."""

    body: dict[str, Any]
    images: dict[str, bytes] = field(default_factory=dict)
    masks: dict[str, bytes] = field(default_factory=dict)


class RemoteComposer:
    """As `Composer`, by the HTTP interface of a service. Pictures come as PNG: rounded to 8 bits.

    Args:
        url: of the service, as ``http://engine:8124``.
        token: of the service, where it wants one.
        seconds: that a picture may take.

    Raises:
        ValueError: no such address, or something else answers there, or the token is refused.
        ConnectionError: nothing answers.
    """

    shared = _WORKERS
    beside = False

    def __init__(self, url: str, token: str | None = None, *, seconds: float = _SECONDS) -> None:
        self.url, self._seconds = url.rstrip("/"), seconds
        #: Called by a thread of its own when the service answers again.
        self.on_back: Callable[[], None] = lambda: None
        headers = {"authorization": f"Bearer {token}"} if token else {}
        try:
            self._http = httpx.Client(
                base_url=self.url,
                headers=headers,
                timeout=httpx.Timeout(seconds + 2, connect=_CONNECT),
                limits=httpx.Limits(max_connections=2 * _WORKERS),
            )
            self.model = self._ask_model()
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise ValueError(f"{url}: {error}") from None
        except httpx.TransportError as error:
            raise ConnectionError(f"no engine answers at {url}: {error}") from None
        self.class_names = self.model.classes
        self._lock = threading.Lock()
        self._files: dict[int, tuple[str, bytes]] = {}  # of images: SHA-256 and bytes
        self._sent: dict[str, None] = {}  # in the order of use
        self._away = ""  # why; "" while the service answers

    @property
    def config(self) -> Config:
        """Of the service's model."""
        return self.model.config

    @property
    def sliders(self) -> list[str]:
        """The names of all sliders."""
        return [*self.model.directions, AMPLIFY]

    def add(self, image: Tensor, *, prepare: bool = True) -> ImageHandle:
        """Keep an image 3×S×S in [-1, 1]; the service has it with the first request that names it."""
        return self._keep(photos.png(images.to_image(image)))

    def add_stylemap(self, w: Tensor) -> ImageHandle:
        """Keep a stylemap 1×K×L×L."""
        return self._keep(save({"stylemap": w[0].float().cpu().contiguous()}))

    def remove(self, handle: ImageHandle) -> None:
        """Forget an image. Raises ValueError for one that is not here."""
        with self._lock:
            if self._files.pop(handle.number, None) is None:
                raise ValueError(f"image {handle.number} is not here")

    def random(self, seed: int, truncation: float, class_name: str | None = None) -> Tensor:
        """As `Composer.random`."""
        body = {
            "seed": seed,
            "truncation": truncation,
            "class_name": class_name,
            "format": "safetensors",
        }
        return load(self._answer("/v1/random", _Form(body)))["stylemap"][None]

    def render(self, recipe: Recipe, owner: str = "") -> Tensor:
        """The edited image 3×S×S on the CPU. The service keeps what it likes, for no owner."""
        return self._pictures(recipe, [recipe.weight])[0]

    def work(self, recipe: Recipe, picture: Tensor | None = None) -> Callable[[], Tensor] | None:
        """Nothing: of one session one picture is made at a time, so that a newer one is never overtaken."""
        return None

    def frames(self, recipe: Recipe, weights: Sequence[float], owner: str = "") -> Iterator[Tensor]:
        """The same edit with each of several weights, some in one request."""
        for first in range(0, len(weights), _STRIP):
            yield from self._pictures(recipe, weights[first : first + _STRIP])

    def forget_temporary(self, owner: str) -> None:
        """Nothing is kept here."""

    def stats(self) -> dict[str, int]:
        """Images, and bytes of their files."""
        with self._lock:
            return {"images": len(self._files), "bytes": sum(len(data) for _, data in self._files.values())}

    def _keep(self, data: bytes) -> ImageHandle:
        number = next(_numbers)
        with self._lock:
            self._files[number] = hashlib.sha256(data).hexdigest(), data
        return ImageHandle(number, lambda handle: self.render(Recipe(handle)))

    def _pictures(self, recipe: Recipe, weights: Sequence[float]) -> list[Tensor]:
        data = self._answer("/v1/edit", self._form(recipe, weights))
        strip = images.to_tensor(images.open_rgb(io.BytesIO(data), name="the engine's picture"))
        size = self.config.size
        if strip.shape != (3, size, size * len(weights)):
            raise ValueError(f"the engine's picture is {strip.shape[-1]}×{strip.shape[-2]}")
        return list(strip.split(size, dim=-1))

    def _form(self, recipe: Recipe, weights: Sequence[float]) -> _Form:
        """The request for an edit.

        Raises:
            ValueError: an image that is not here, or an offset, which no request can have.
        """
        if recipe.offset is not None:
            raise ValueError("an engine elsewhere takes sliders, no offset")
        form = _Form({"weights": list(weights), "once": recipe.passing})
        form.body["original"] = self._named(form, recipe.original)
        form.body["references"] = [
            {
                "image": self._named(form, part.image),
                "mask": _masked(form, part.mask),
                "shift": list(part.shift),
                "opacity": part.opacity,
            }
            for part in recipe.parts
        ]
        form.body["sliders"] = {
            slide.name: {
                "strength": slide.strength,
                "mask": None if slide.mask is None else _masked(form, slide.mask),
            }
            for slide in recipe.sliders
        }
        if recipe.mix is not None:
            other, codes = recipe.mix
            form.body["mix"] = {"image": self._named(form, other), "codes": list(codes)}
        return form

    def _named(self, form: _Form, handle: ImageHandle) -> str:
        with self._lock:
            if handle.number not in self._files:
                raise ValueError(f"image {handle.number} is not here")
            name, data = self._files[handle.number]
        form.images[name] = data
        return name

    def _answer(self, path: str, form: _Form) -> bytes:
        """The file that answers a request.

        Raises:
            Away: the service does not answer.
            Unavailable: it is busy for too long, refuses the token, or has another model by now.
            ValueError: it refuses the request.
        """
        if self._away:
            raise Away(self._away)
        end, files = time.monotonic() + self._seconds, self._unsent(form)
        while True:
            response = self._posted(path, form, files, end)
            status = response.status_code
            if status == 200:
                self._note_sent(form.images)
                return response.content
            reason = _reason(response)
            if status == 404 and len(files) < len(form.images):
                files = form.images  # it has lost some: all of them once more
            elif status == 429 and time.monotonic() + _pause(response) < end:
                time.sleep(_pause(response))
            elif status in (409, 503):  # another model, no replica
                raise self._lost(reason)
            elif status in (401, 403, 421, 429, 504):
                raise Unavailable(f"the engine: {reason}")
            elif status >= 500:
                raise Unavailable("the engine failed on this edit: its log says why")
            else:
                raise ValueError(reason)

    def _posted(self, path: str, form: _Form, files: Mapping[str, bytes], end: float) -> httpx.Response:
        headers = {
            "x-model": self.model.id,
            "x-deadline-ms": str(max(1, int(1000 * (end - time.monotonic())))),
        }
        parts = {name: (name, data) for name, data in (form.masks | dict(files)).items()}
        # As a form in any case: files decide whether httpx makes one.
        request = {"request": (None, json.dumps(form.body).encode())}
        for last in (False, True):
            try:
                return self._http.post(path, files={**request, **parts}, headers=headers)
            except httpx.TimeoutException as error:
                raise self._lost(f"no answer in time ({type(error).__name__})") from None
            except httpx.TransportError as error:
                # A connection that was kept may have been closed meanwhile; an edit done twice does no harm.
                if last or isinstance(error, httpx.ConnectError):
                    raise self._lost(str(error) or type(error).__name__) from None
        raise AssertionError("the second time returns or raises")

    def _unsent(self, form: _Form) -> dict[str, bytes]:
        with self._lock:
            return {name: data for name, data in form.images.items() if name not in self._sent}

    def _note_sent(self, names: Mapping[str, bytes]) -> None:
        with self._lock:
            for name in names:
                self._sent.pop(name, None)
                self._sent[name] = None
            while len(self._sent) > _SENT:
                del self._sent[next(iter(self._sent))]

    def _lost(self, reason: str) -> Away:
        """The service does not answer: nothing more is asked of it until a look finds it there."""
        with self._lock:
            first = not self._away
            self._away = f"the engine at {self.url} does not answer; pictures follow when it is back"
        if first:
            _log.warning("the engine at %s does not answer: %s", self.url, reason)
            threading.Thread(target=self._look, name="stylemap-engine", daemon=True).start()
        return Away(self._away)

    def _look(self) -> None:
        """Until the service is back."""
        while True:
            time.sleep(_LOOK)
            try:
                found = self._ask_model()
            except (httpx.TransportError, ValueError):
                continue
            if found.id == self.model.id:
                break
            other = f"the engine at {self.url} has another model now, {found.name}: start the editor anew"
            if self._away != other:
                _log.warning(other)
                self._away = other
        _log.warning("the engine at %s answers again", self.url)
        with self._lock:
            self._away = ""
        self.on_back()

    def _ask_model(self) -> Model:
        """The service's model.

        Raises:
            httpx.TransportError: nothing answers.
            ValueError: something else does, or it refuses the token.
        """
        response = self._http.get("/v1/model", timeout=_CONNECT)
        if response.status_code == 401:
            raise ValueError(f"the engine at {self.url} refuses the token: {_reason(response)}")
        if response.status_code in (403, 421, 429, 503):
            raise ValueError(f"the engine at {self.url}: {_reason(response)}")
        try:
            return Model.of(response.raise_for_status().json())
        except (httpx.HTTPStatusError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{self.url} is no stylemap serve, or of another version: {error}") from None


def _masked(form: _Form, mask: Tensor) -> str:
    name = f"m{len(form.masks)}"
    pixels = (mask * 255).round().to(torch.uint8).numpy()
    form.masks[name] = photos.png(Image.fromarray(np.ascontiguousarray(pixels)))
    return name


def _pause(response: httpx.Response) -> float:
    try:
        return max(0.1, float(response.headers.get("retry-after", 1)))
    except ValueError:
        return 1.0


def _reason(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"])[:300]
    except (ValueError, KeyError, TypeError):
        return f"status {response.status_code}"
