"""Edits on a GPU: `GpuPlan`, cached stylecodes and maps, paste and ring, one graph per size of edit."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from stylemap.engine.gpu.frames import Frames
from stylemap.engine.gpu.plan import GpuPlan
from stylemap.engine.gpu.rows import RowSpace
from stylemap.engine.images import EditReference, Entry, Image, ImageCache
from stylemap.engine.renderer import Stage, unwatched


class GpuRenderer:
    """What `EditSession` runs on a GPU. One thread at a time.

    As on a CPU, stylecodes and maps of images are cached, and an edit copies and convolves few of them.
    """

    def __init__(self, plan: GpuPlan, cache_bytes: int, cache_dtype: torch.dtype) -> None:
        self.plan = plan
        self.stage: Stage = unwatched
        self._dtype = cache_dtype
        shapes = plan.config.stylecode_shapes
        sides = [height for _, height, _ in shapes]
        self._codes = RowSpace([channels for channels, _, _ in shapes], sides)
        self._maps = RowSpace([plan.maps_shape(i)[1] for i in range(len(sides))], sides)
        self._code_bytes, self._map_bytes = (
            space.elements * cache_dtype.itemsize for space in (self._codes, self._maps)
        )
        self._cache = ImageCache(self._build, self._code_bytes + self._map_bytes, cache_bytes)
        self._frames = Frames(plan, self._codes, self._maps)

    def own(self, w: Tensor) -> Tensor:
        """A copy of a stylemap, as `decode` takes it."""
        return w.detach().to(self.plan.like, copy=True)

    def encode(self, image: Tensor) -> Tensor:
        return self.plan.encode(image.to(self.plan.like))

    def decode(self, w: Tensor) -> Tensor:
        return self.plan.decode(w)

    def added(self, image: Image) -> None:
        self._cache.prefetch(image)

    def removed(self, number: int) -> None:
        """Forget an image."""
        self._cache.drop(number)

    def cleared(self) -> None:
        """Forget all images."""
        self._cache.clear()
        with self.plan.lane():
            self._frames.clear()

    def frames(
        self,
        original: Image,
        references: Sequence[EditReference],
        images: Sequence[Image],
        weights: Sequence[float],
    ) -> Tensor:
        """`edit.blend`, T×3×S×S; ``images`` are those of the references."""
        sides = set(self._maps.sides)
        edited = any(reference.cells[side].any for reference in references for side in sides)
        with torch.no_grad(), self.plan.lane(), self._cache.hold([original, *images]) as entries:
            frames = self._frames
            frames.load([(original.number, entries[0])] * len(self._maps.sides))
            result = torch.cat(
                [frames.edit(references, entries, w) if edited and w else frames.image() for w in weights]
            )
        return self.plan.lane.given(result)

    def preview(
        self, original: Image, references: Sequence[EditReference], images: Sequence[Image], weight: float
    ) -> Tensor:
        """The exact image: an approximation would gain little."""
        return self.frames(original, references, images, [weight])

    def mix(self, a: Image, b: Image, chosen: set[int]) -> Tensor:
        """The maps of ``a``, but those of the chosen stylecodes of ``b``; 1×3×S×S."""
        with torch.no_grad(), self.plan.lane(), self._cache.hold([a, b]) as (first, second):
            count = len(self._maps.sides)
            self._frames.load(
                [(b.number, second) if i in chosen else (a.number, first) for i in range(count)]
            )
            result = self._frames.image()
        return self.plan.lane.given(result)

    def stats(self) -> dict[str, int]:
        cache, count = self._cache, len(self._cache)
        memory = self.plan.bytes
        return {
            "cached_images": count,
            "cache_bytes": cache.bytes,
            "cache_limit_bytes": cache.limit,
            "code_bytes": count * self._code_bytes,
            "map_bytes": count * self._map_bytes,
            "working_bytes": self._frames.bytes,
            "weight_bytes": memory["weights"],
            "activation_bytes": memory["activations"] + self._frames.graphs.bytes,
            "hits": cache.hits,
            "misses": cache.misses,
            "evictions": cache.evictions,
            "graphs": self._frames.graphs.captured + self.plan.graphs.captured,
        }

    def _build(self, image: Image, _: Entry | None) -> Entry:
        """Not as a graph: its outputs would take the memory of another image."""
        plan = self.plan
        with torch.no_grad(), plan.lane():
            with plan.lane.convolutions():
                codes = plan._stylecodes(plan.lane.taken(image.w))
                maps = plan._modulations(*codes)
            entry = Entry(*(space.new(self._dtype, plan.device) for space in (self._codes, self._maps)))
            for space, stored, made in ((self._codes, entry.codes, codes), (self._maps, entry.maps, maps)):
                for target, values in zip(space.images(stored), made, strict=True):
                    target.copy_(values)
            if torch.float16 in (self._dtype, plan.dtype):
                _check_finite(entry.maps)
        return entry


def _check_finite(maps: Sequence[Tensor]) -> None:
    """The one wait for the device: when an image is added.

    Raises:
        ValueError: values that float16 cannot hold.
    """
    if not all(bool(tensor.isfinite().all()) for tensor in maps):
        raise ValueError(
            "this model's maps leave the range of fp16: use precision 'bf16' with cache_precision 'bf16', "
            "or precision 'fp32'"
        )
