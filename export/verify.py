"""Exported graphs against the model: every graph at several batches, on real and on random inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from stylemap import program
from stylemap.export.sessions import Session
from stylemap.model import StyleMapGAN
from stylemap.program import Overlay, PlainLowering

BATCHES = (1, 2, 5)
# Largest relative L2 error of any sample of any output against the model in float32. fp16 and bf16
# have 11 and 8 bits of precision.
TOLERANCE = {"fp32": 1e-4, "fp16": 5e-3, "bf16": 2e-2}
_REFERENCES = 2


class MismatchError(RuntimeError):
    """An exported graph does not compute what the model computes."""


@dataclass(frozen=True)
class Case:
    """Inputs and expected outputs of one call. ``name`` says what is in it."""

    name: str
    inputs: dict[str, Tensor]
    expected: dict[str, Tensor]


class Samples:
    """Inputs for every graph, and what the model makes of them, each computed once.

    There are as many as the largest batch, real and random in turn: the photos (or smooth random
    images where none are given) with their stylemaps, and noise images, z and mapped stylemaps. Each
    batch takes the first so many, and the first random sample is tried alone too.
    """

    def __init__(
        self,
        model: StyleMapGAN,
        photos: Tensor | None = None,
        batches: Sequence[int] = BATCHES,
        seed: int = 0,
    ) -> None:
        self.model = model
        self.batches = sorted(set(batches))
        self.count = max(2, *self.batches)
        self.generator = torch.Generator().manual_seed(seed)
        self.photos = photos

    def cases(self, graph: str) -> Iterator[Case]:
        """The calls of one of `stylemap.export.ports.ALL` or `BROWSER`."""
        for rows, name in self._rows():
            if graph == "editor":
                yield self._edit(rows, name)
            elif graph == "cached_editor":
                yield self._edit_cached(rows, name)
            else:
                inputs, expected = getattr(self, f"_{graph}")
                yield Case(name, _take(inputs, rows), _take(expected, rows))

    def _rows(self) -> Iterator[tuple[list[int], str]]:
        for batch in self.batches:
            if batch == 1:
                yield [0], "batch 1, real"
                yield [1], "batch 1, random"
            else:
                yield list(range(batch)), f"batch {batch}"

    @cached_property
    def images(self) -> Tensor:
        """count×3×S×S in [-1, 1]: photos at even places, noise at odd ones."""
        size = self.model.config.size
        images = 2 * torch.rand(self.count, 3, size, size, generator=self.generator) - 1
        real = self._smooth() if self.photos is None else self.photos.float()
        for place in range(0, self.count, 2):
            images[place] = real[place // 2 % len(real)]
        return images

    def _smooth(self) -> Tensor:
        """Random images without the noise of single pixels."""
        size = self.model.config.size
        coarse = 2 * torch.rand(self.count, 3, 8, 8, generator=self.generator) - 1
        return torch.nn.functional.interpolate(coarse, size=(size, size), mode="bicubic").clamp(-1, 1)

    @cached_property
    def z(self) -> Tensor:
        """count×K, drawn from N(0, 1)."""
        return torch.randn(self.count, self.model.config.latent_channel_size, generator=self.generator)

    @cached_property
    def encoded(self) -> Tensor:
        """Stylemaps count×K×L×L of `images`."""
        return self._each(self.model.encode, self.images)

    @cached_property
    def mapped(self) -> Tensor:
        """Stylemaps count×K×L×L of `z`."""
        return self._each(self.model.map, self.z)

    @cached_property
    def w(self) -> Tensor:
        """Encoded photos at even places, mapped z at odd ones."""
        w = self.mapped.clone()
        w[::2] = self.encoded[::2]
        return w

    @cached_property
    def codes(self) -> list[Tensor]:
        """Stylecodes of `w`, each count×C×r×r."""
        with torch.no_grad():
            each = [self.model.stylecodes(w) for w in self.w.split(1)]
        return [torch.cat(code) for code in zip(*each)]

    @cached_property
    def decoded(self) -> Tensor:
        """Images count×3×S×S of `codes`."""
        return self._synthesize(self.codes)

    @cached_property
    def _encoder(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        return {"images": self.images}, {"w": self.encoded}

    @cached_property
    def _mapping(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        return {"z": self.z}, {"w": self.mapped}

    @cached_property
    def _stylecodes(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        return {"w": self.w}, self._named(self.codes)

    @cached_property
    def _synthesis(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        return self._named(self.codes), {"images": self.decoded}

    @cached_property
    def _decoder(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        return {"w": self.w}, {"images": self.decoded}

    @cached_property
    def _reconstruct(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        expected = self.decoded.clone()
        expected[1::2] = self._each(self.model.decode, self.encoded[1::2])
        return {"images": self.images}, {"reconstruction": expected}

    @cached_property
    def _plain(self) -> PlainLowering:
        return PlainLowering(program.Weights(self.model))

    @cached_property
    def maps(self) -> list[Tensor]:
        """γ and β of `codes`, which no model tells: from plain PyTorch."""
        op = self._plain
        with torch.no_grad():
            each = [program.maps(op, op.network, one) for one in zip(*(c.split(1) for c in self.codes))]
        return [torch.cat(made) for made in zip(*each)]

    @cached_property
    def _maps(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        return self._named(self.codes), self._named(self.maps, "maps")

    @property
    def _part_maps(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        return self._maps

    @cached_property
    def _picture(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        return self._named(self.maps, "maps"), {"images": self.decoded}

    def _edit_cached(self, rows: list[int], name: str) -> Case:
        """The same edits; what is expected is the model's, which knows no maps."""
        edit, others = self._edit(rows, name), self._others(rows)
        inputs = edit.inputs | self._named([made[rows] for made in self.maps], "maps")
        inputs |= self._named([made[others] for made in self.maps], "reference_maps")
        return Case(name, inputs, edit.expected)

    def _others(self, rows: list[int]) -> Tensor:
        """Each sample's references, the next ones: one in the largest batch, in the others two."""
        count = 1 if len(rows) == self.count else _REFERENCES
        return torch.tensor([[(row + k + 1) % self.count for k in range(count)] for row in rows])

    def _edit(self, rows: list[int], name: str) -> Case:
        others = self._others(rows)
        codes = [code[rows] for code in self.codes]
        laid = [code[others] for code in self.codes]
        overlay = self._overlay(rows, others.shape[1])
        blend = self._plain.blend
        mixed = [blend(code, over, overlay, code.shape[-1], "") for code, over in zip(codes, laid)]
        inputs = {**self._named(codes), **self._named(laid, "reference_codes")}
        inputs |= {"masks": overlay.masks, "shifts": overlay.shifts, "weights": overlay.weights}
        return Case(name, inputs, {"images": self._synthesize(mixed)})

    def _overlay(self, rows: list[int], references: int) -> Overlay[Tensor]:
        """A rectangle each, moved by up to a third of the image, with weights from 1 downwards."""
        size = self.model.config.size
        generator = torch.Generator().manual_seed(1 + rows[0])
        masks = torch.zeros(len(rows), references, size, size)
        for plane in masks.flatten(0, 1):
            top, left = torch.randint(0, size // 2, (2,), generator=generator).tolist()
            height, width = torch.randint(size // 4, size // 2 + 1, (2,), generator=generator).tolist()
            plane[top : top + height, left : left + width] = 1
        third = size // 3
        shifts = torch.randint(-third, third + 1, (len(rows), references, 2), generator=generator)
        return Overlay(masks, shifts, torch.linspace(1, 0.4, len(rows)), size)

    def _synthesize(self, codes: Sequence[Tensor]) -> Tensor:
        # One sample at a time: at 1024 a batch of five would take gigabytes.
        with torch.no_grad():
            return torch.cat([self.model.synthesize(list(one)) for one in zip(*(c.split(1) for c in codes))])

    @staticmethod
    def _each(function: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
        with torch.no_grad():
            return torch.cat([function(value) for value in values.split(1)])

    @staticmethod
    def _named(codes: Sequence[Tensor], stem: str = "codes") -> dict[str, Tensor]:
        return {f"{stem}_{index}": code for index, code in enumerate(codes)}


def verify(session: Session, samples: Samples, tolerance: float) -> dict[str, float]:
    """The largest relative error of each case.

    Raises:
        MismatchError: one is above the tolerance, or an output has another shape.
    """
    errors = {}
    for case in samples.cases(session.description.graph):
        outputs = session.run(case.inputs)
        errors[case.name] = max(relative_error(outputs[name], value) for name, value in case.expected.items())
        if not errors[case.name] <= tolerance:
            raise MismatchError(
                f"graph {session.description.graph} in {session.provider} differs from the model by "
                f"{errors[case.name]:.2g} ({case.name}; at most {tolerance:g} is allowed)"
            )
    return errors


def relative_error(actual: Tensor, expected: Tensor) -> float:
    """‖actual − expected‖ / ‖expected‖, the largest of the samples; infinite for another shape."""
    if actual.shape != expected.shape:
        return float("inf")
    actual, expected = actual.cpu().double().flatten(1), expected.double().flatten(1)
    norm = expected.norm(dim=1).clamp_min(torch.finfo(torch.float64).tiny)
    error = ((actual - expected).norm(dim=1) / norm).max()
    return float(error) if bool(error.isfinite()) else float("inf")


def _take(values: dict[str, Tensor], rows: list[int]) -> dict[str, Tensor]:
    return {name: value[rows] for name, value in values.items()}
