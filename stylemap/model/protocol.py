"""What edits, sessions and commands ask of a model: a checkpoint, one on its inference plan, or an export."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from stylemap.config import Config
from stylemap.inputs import ImagesLike, MaskLike
from stylemap.model import about
from stylemap.model.checks import check_stylemap, seeded

_MAPPING_BATCH = 512


class Model(Protocol):
    """Image → stylemap → stylecodes → image. Shapes and errors are those of `StyleMapGAN`."""

    @property
    def config(self) -> Config:
        """What all shapes follow from."""

    @property
    def like(self) -> Tensor:
        """A tensor of the dtype and on the device of images and stylemaps; its values mean nothing."""

    def encode(self, images: ImagesLike) -> Tensor:
        """Stylemap N×K×L×L of images N×3×S×S in [-1, 1], or of pictures (`stylemap.inputs.ImagesLike`)."""

    def stylecodes(self, w: Tensor) -> list[Tensor]:
        """The codes of a stylemap, from the coarsest resolution to the finest."""

    def synthesize(self, codes: Sequence[Tensor]) -> Tensor:
        """Images N×3×S×S from stylecodes, nominally in [-1, 1] but not limited to it."""

    def decode(self, w: Tensor) -> Tensor:
        """Images N×3×S×S from stylemaps: synthesize(stylecodes(w))."""

    def map(self, z: Tensor) -> Tensor:
        """Stylemaps N×K×L×L of z N×K, drawn from N(0, 1)."""

    def mean_stylemap(self, samples: int = 4096, seed: int = 0) -> Tensor:
        """See `Sampling`."""

    def sample(self, z: Tensor, truncation: float = 1.0, mean_stylemap: Tensor | None = None) -> Tensor:
        """See `Sampling`."""

    def __call__(self, images: ImagesLike) -> Tensor:
        """Reconstruction: decode(encode(images))."""


@runtime_checkable
class Blending(Model, Protocol):
    """A model that runs a whole interactive blend by itself: an exported one with its editor graph."""

    def edit(
        self,
        original_w: Tensor,
        reference_ws: Sequence[Tensor] | Tensor,
        masks: Sequence[MaskLike] | MaskLike,
        shifts: Sequence[tuple[float, float]] | tuple[float, float] | None = None,
        weights: float | Sequence[float] | Tensor = 1.0,
        *,
        chunk: int = 4,
    ) -> Tensor:
        """As `stylemap.edit.blend` with this model."""


class Conditional(Model, Protocol):
    """A class-conditional model."""

    class_names: tuple[str, ...]

    def map(self, z: Tensor, classes: Tensor | None = None) -> Tensor:
        """Stylemaps of z, whose classes (int64 N, places among ``class_names``) are their own by default."""


class Sampling:
    """What follows from `Model.map` and `Model.decode`, whatever computes those; and how a model is shown."""

    def _about(self: Model) -> dict[str, str]:
        return about.facts(self)

    def __repr__(self) -> str:
        return about.line(type(self).__name__, self._about())  # type: ignore[misc]

    def _repr_html_(self) -> str:
        """For notebooks."""
        return about.table(type(self).__name__, self._about())  # type: ignore[misc]

    @torch.no_grad()
    def mean_stylemap(self: Model, samples: int = 4096, seed: int = 0) -> Tensor:
        """Mean 1×K×L×L of ``samples`` mapped z: the centre of truncation.

        z comes from a generator on the CPU, so that every device averages the same samples.
        """
        if samples < 1:
            raise ValueError(f"samples: expected at least 1, got {samples}")
        like, generator = self.like, seeded(seed)
        total = torch.zeros(self.config.stylemap_shape, dtype=torch.promote_types(like.dtype, torch.float32))
        total = total.to(like.device)
        for start in range(0, samples, _MAPPING_BATCH):
            count = min(_MAPPING_BATCH, samples - start)
            z = torch.randn(count, self.config.latent_channel_size, generator=generator)
            total += self.map(z.to(like)).sum(0, dtype=total.dtype)
        return (total / samples).to(like.dtype).unsqueeze(0)

    def sample(
        self: Model, z: Tensor, truncation: float = 1.0, mean_stylemap: Tensor | None = None
    ) -> Tensor:
        """Images N×3×S×S of z N×K, with truncated stylemaps w̄ + truncation·(w − w̄).

        mean_stylemap: w̄, 1×K×L×L or one per z; by default `mean_stylemap()`, made anew at every call
        with a truncation other than 1.
        """
        w = self.map(z)
        if truncation != 1.0:
            mean = self.mean_stylemap() if mean_stylemap is None else mean_stylemap
            check_stylemap(mean, self.config, self.like)
            if mean.shape[0] not in (1, w.shape[0]):
                raise ValueError(f"mean_stylemap: expected a batch of 1 or {w.shape[0]}, got {mean.shape[0]}")
            w = mean + truncation * (w - mean)
        return self.decode(w)
