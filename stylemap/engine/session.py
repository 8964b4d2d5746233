"""The editing session: images are encoded once, edits of them are rendered from what is cached."""

from __future__ import annotations

import base64
import html
import itertools
import os
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from stylemap import edit
from stylemap.edit.checks import per_sample
from stylemap.edit.mix import code_indices
from stylemap.edit.transplant import Box
from stylemap.engine.images import Edit, EditReference, Image, ImageHandle, edit_reference, png
from stylemap.engine.plans import DTYPES, PlannedModel, open_renderer
from stylemap.engine.renderer import Aside, PlainRenderer, Plan, Renderer
from stylemap.inputs import ImageLike, MaskLike, image_batch
from stylemap.model import Model
from stylemap.model.checks import available_device, check_finite, check_images, check_stylemap

_numbers = itertools.count()
_SHOWN = 12
_MAX_VALUE = 16.0  # decoded images leave [-1, 1] by little, pixels from 0 to 255 by much


class EditSession:
    """Edits of any number of images of one model, interactively.

        session = stylemap.EditSession(model)
        original, other = session.add(photo), session.add(reference_photo)
        result = session.edit(original, session.reference(other, mask, shift=(8, 0)))
        stylemap.to_pil(result)

    The stylecodes of images and the γ, β they make (their maps) are cached. An edit copies maps inside and
    outside the masks, convolves those of a ring around their borders, and runs the main path: on a CPU from
    the first layer whose maps differ from the last image's, on a GPU as one captured graph. On a CPU only an
    image that has been an original has all its maps; of a reference they are made near its masks, as these
    come. It is exact up to rounding, and depends on nothing but the arguments: the same edit gives the same
    bits, whatever came before. Where there is no plan, the model itself runs through `stylemap.edit`; a log
    line says why.

    Images are RGB in [-1, 1]; those returned are float32, nominally in [-1, 1] as the decoder's are, on
    the device of the session. Any thread may call at any time; calls to one session wait for each other.

    Args:
        model: the network; its weights at this moment count. An exported one, which has its own device and
            precision, runs as it is.
        device: "cpu", "cuda", "cuda:1", …
        precision: "fp32" (1e-5 relative to float64), "bf16" (2e-2), or on a GPU "fp16".
        cache_bytes: limit of the cached stylecodes and maps; by default on a CPU half of the memory that is
            free now, elsewhere 2 GiB. The images of one edit are kept until it is done, even where they are
            more; stylemaps are always kept. Where images are made again and again, a log line says so once.
        cache_precision: of the maps that are cached, on a GPU of the stylecodes too: by default "fp32" for
            fp32, else "fp16", which takes half the memory and adds an error of about 6e-4.
        plan: a `CpuPlan` or `GpuPlan` of this model, to use instead of the one that all its sessions of a
            device and precision share.
        renderer: what to run on, instead of the fastest there is for these arguments.

    Raises:
        ValueError: a device that is not there, an unknown precision, fp16 on a CPU, a plan that does not fit.
    """

    def __init__(
        self,
        model: Model,
        device: str | torch.device = "cpu",
        precision: str = "fp32",
        *,
        cache_bytes: int | None = None,
        cache_precision: str | None = None,
        plan: Plan | None = None,
        renderer: Renderer | None = None,
    ) -> None:
        if isinstance(model, str | os.PathLike):
            raise TypeError(
                f"model: expected a model, got a name: EditSession(stylemap.load({str(model)!r}))"
            )
        if cache_precision is None:
            cache_precision = "fp32" if precision == "fp32" else "fp16"
        for name, value in (("precision", precision), ("cache_precision", cache_precision)):
            if value not in DTYPES:
                raise ValueError(f"{name} must be one of {', '.join(DTYPES)}, got {value!r}")
        if cache_bytes is not None and cache_bytes < 0:
            raise ValueError(f"cache_bytes must not be negative, got {cache_bytes}")
        self.config = model.config
        self.precision = precision
        self.renderer = renderer or open_renderer(
            model, available_device(device), precision, cache_bytes, DTYPES[cache_precision], plan
        )
        self._images: dict[int, Image] = {}
        self._render = _renders(self)
        self._lock = threading.RLock()

    @classmethod
    def of(cls, model: Model, **options: Any) -> EditSession:
        """A session where a model from `plans.for_inference`, or an exported one, runs; ``options`` as those
        of `EditSession`.
        """
        if isinstance(model, PlannedModel):
            return cls(model, model.like.device, model.plan.precision, **options)
        return cls(model, renderer=PlainRenderer(model), **options)

    def add(self, image: ImageLike, *, prepare: bool = True) -> ImageHandle:
        """Encode an image.

        Args:
            image: a tensor 3×S×S or 1×3×S×S, of a floating-point dtype, finite, in [-1, 1]; or a PIL image,
                numpy pixels H×W×3 uint8 or the path of a file, of which the centre square is taken.
            prepare: whether to make now what edits of it need, which the first one makes otherwise. On a
                CPU these are its coarse stylecodes, and all its maps where no image has them yet: the first
                image is likely to be the original.

        Raises:
            TypeError, ValueError: another type, shape or dtype, several images.
        """
        batch = image_batch(image, self.config.size, torch.empty(0))
        batch = batch.detach()
        batch = batch[None] if batch.ndim == 3 else batch
        check_finite("images", batch)
        check_images(batch, self.config, batch)
        if batch.numel() and float(batch.abs().amax()) > _MAX_VALUE:
            raise ValueError(f"images: expected values in [-1, 1], got up to {float(batch.abs().amax()):g}")
        if batch.shape[0] != 1:
            raise ValueError(f"images are added one at a time, got {batch.shape[0]}")
        with self._lock:
            return self._keep(self.renderer.encode(batch), prepare)

    def add_stylemap(self, w: Tensor, *, prepare: bool = True) -> ImageHandle:
        """An image that is known by its stylemap, 1×K×L×L; an edited one, say. prepare: as `add` has it."""
        check_stylemap(w, self.config, w)
        check_finite("stylemap", w)
        if w.shape[0] != 1:
            raise ValueError(f"stylemaps are added one at a time, got {w.shape[0]}")
        with self._lock:
            return self._keep(self.renderer.own(w), prepare)

    @property
    def aside(self) -> Aside | None:
        """What makes images of this model without the session and its cache, at the same time in any number
        of threads: on a CPU with a plan. None elsewhere.
        """
        return self.renderer.aside

    def stylemap(self, image: ImageHandle) -> Tensor:
        """E(image), 1×K×L×L; a copy."""
        with self._lock:
            return self._image(image).w.clone()

    def remove(self, image: ImageHandle) -> None:
        """Forget an image and what is cached of it."""
        with self._lock:
            self.renderer.removed(self._image(image).number)
            del self._images[image.number]

    def clear(self) -> None:
        """Forget all images."""
        with self._lock:
            self._images.clear()
            self.renderer.cleared()

    def reference(
        self,
        image: ImageHandle,
        mask: MaskLike,
        shift: tuple[float, float] = (0, 0),
        weight: float = 1.0,
    ) -> EditReference:
        """A part of an image, for `edit`.

        Args:
            mask: S×S, 1×S×S or 1×1×S×S over the image's own pixels, as `stylemap.edit.blend` takes it; a PIL
                image, a numpy array, the path of a file, or a text such as "ellipse:0.5,0.7,0.2,0.12".
            shift: (dx, dy) in pixels, right and down; what leaves the frame is lost.
            weight: how much of it replaces what lies below, its opacity: 0 nothing, 1 all. The weight of an
                edit multiplies it.

        Raises:
            ValueError: a mask of another size, a shift or a weight that is not finite.
        """
        with self._lock:
            self._image(image)
        with self.renderer.stage("mask"):
            return edit_reference(image, mask, shift, self.config, weight)

    def edit(
        self,
        original: ImageHandle,
        references: EditReference | Sequence[EditReference] = (),
        weight: float = 1.0,
        *,
        preview: bool = False,
    ) -> Tensor:
        """`stylemap.edit.blend` with one weight: 0 leaves the original, 1 is the full edit; 3×S×S.

        Args:
            references: one from `reference`, or several, laid one over the other in their order.
            preview: an approximation, for while a brush is moving: changes near the masks only, normalised
                as the original. On a CPU it is faster unless the masks cover much of the frame; elsewhere,
                and then, it is the exact image.
        """
        if not preview:
            return self.frames(original, references, [weight])[0]
        references = _several(references)
        (value,) = per_sample([weight], torch.empty(0, dtype=torch.float64, device="cpu")).tolist()
        with self._lock:
            return self.renderer.preview(self._edit(original, references), value)[0]

    def frames(
        self,
        original: ImageHandle,
        references: EditReference | Sequence[EditReference],
        weights: Sequence[float] | Tensor,
    ) -> Tensor:
        """The same edit with several weights, T×3×S×S: an interpolation strip (`edit.frame_weights`)."""
        references = _several(references)
        values: list[float] = per_sample(weights, torch.empty(0, dtype=torch.float64, device="cpu")).tolist()
        with self._lock:
            return self.renderer.frames(self._edit(original, references), values)

    def mix(self, a: ImageHandle, b: ImageHandle, take: str | Iterable[int] = "coarse") -> Tensor:
        """`stylemap.edit.mix_styles`, 3×S×S."""
        chosen = code_indices(take, len(self.config.stylecode_shapes))
        with self._lock:
            return self.renderer.mix(self._image(a), self._image(b), chosen)[0]

    def interpolate(
        self, a: ImageHandle, b: ImageHandle, weights: float | Sequence[float] | Tensor
    ) -> Tensor:
        """weight · a + (1 − weight) · b in the stylemaps, T×3×S×S; see `stylemap.edit.interpolate`."""
        with self._lock:
            w1, w2 = self._image(a).w, self._image(b).w
            weight = per_sample(weights, w1)[:, None, None, None]
            return self._decode((weight * w1 + (1 - weight) * w2).to(w1.dtype))

    def transplant(self, original: ImageHandle, reference: ImageHandle, boxes: Sequence[Box]) -> Tensor:
        """The image of `stylemap.edit.transplant`, 3×S×S."""
        with self._lock:
            return self._decode(edit.transplant(self._image(original).w, self._image(reference).w, boxes))[0]

    def manipulate(
        self, image: ImageHandle, direction: Tensor, strength: float, mask: MaskLike | None = None
    ) -> Tensor:
        """The image of `stylemap.edit.manipulate`, 3×S×S; direction K×L×L, mask over cells or pixels."""
        with self._lock:
            return self._decode(edit.manipulate(self._image(image).w, direction, strength, mask))[0]

    def stats(self) -> dict[str, int]:
        """Images, bytes of memory by kind, and on a CPU the cache's hits, misses and evictions.

        Weights and activations belong to the plan, which other sessions may share.
        """
        with self._lock:
            stylemaps = sum(image.w.numel() * image.w.element_size() for image in self._images.values())
            return {
                "images": len(self._images),
                "stylemap_bytes": stylemaps,
                **self.renderer.stats(),
            }

    def __repr__(self) -> str:
        size, where = self.config.size, next(iter(self._images.values()), None)
        device = "" if where is None else f" on {where.w.device}"
        numbers = ", ".join(str(number) for number in list(self._images)[:_SHOWN])
        more = ", …" if len(self._images) > _SHOWN else ""
        held = f"{len(self._images)} images: {numbers}{more}" if self._images else "no images"
        return f"EditSession({size}×{size}, {self.precision}{device}; {held})"

    def _repr_html_(self) -> str:
        """For notebooks: the images it holds, as they are decoded, by number."""
        shown = []
        for handle in [ImageHandle(number, self._render) for number in list(self._images)[:_SHOWN]]:
            data = base64.b64encode(png(handle.image())).decode()
            shown.append(
                f"<figure style='display:inline-block;margin:4px'><img src='data:image/png;base64,{data}'>"
                f"<figcaption>{handle.number}</figcaption></figure>"
            )
        return f"<div>{html.escape(repr(self))}</div>{''.join(shown)}"

    def _keep(self, w: Tensor, prepare: bool = True) -> ImageHandle:
        image = Image(next(_numbers), w)
        self._images[image.number] = image
        if prepare:
            self.renderer.added(image)
        return ImageHandle(image.number, self._render)

    def _image(self, handle: ImageHandle) -> Image:
        image = self._images.get(handle.number)
        if image is None:
            raise ValueError(f"image {handle.number} is not in this session: removed, or another session's")
        return image

    def _edit(self, original: ImageHandle, references: Sequence[EditReference]) -> Edit:
        return Edit(self._image(original), references, [self._image(each.image) for each in references])

    def _decode(self, ws: Tensor) -> Tensor:
        """One at a time: batches gain little and take memory for each image."""
        return torch.cat([self.renderer.decode(w[None]) for w in ws])


def _several(references: EditReference | Sequence[EditReference]) -> Sequence[EditReference]:
    several = [references] if isinstance(references, EditReference) else references
    for index, one in enumerate(several):
        if not isinstance(one, EditReference):
            kind = type(one).__name__
            raise TypeError(f"references[{index}]: expected one from session.reference, got {kind}")
    return several


def _renders(session: EditSession) -> Callable[[ImageHandle], Tensor]:
    """What decodes the images of a session, without keeping the session."""
    weak = weakref.ref(session)

    def render(handle: ImageHandle) -> Tensor:
        found = weak()
        if found is None:
            raise ValueError(f"image {handle.number} is in no session: its session is gone")
        return found.edit(handle)

    return render
