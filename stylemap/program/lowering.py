"""The verbs of the network: what a backend implements to run it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from torch import Tensor

from stylemap.program.network import Conv, Linear, Styled, ToRgb

V = TypeVar("V")  # stylemaps, stylecodes, maps, features, images, as the backend has them
S = TypeVar("S")  # statistics of features, as the backend has them


@dataclass(frozen=True)
class Features(Generic[V, S]):
    """Features between two layers of the decoder, and the statistics that the next norm takes of them.

    statistics: mean and 1 / √(var + 1e-5) as a rule; whatever makes the next layer leave x as it is where
    x is normalised already (the constant) or γ and β have the norm in them.
    """

    x: V
    statistics: S


@dataclass(frozen=True)
class Box:
    """Rows top … bottom − 1, columns left … right − 1 of a frame of side × side cells."""

    side: int
    top: int
    bottom: int
    left: int
    right: int

    @property
    def share(self) -> float:
        """Of the frame's area."""
        return (self.bottom - self.top) * (self.right - self.left) / self.side**2

    def at(self, side: int) -> tuple[slice, slice]:
        """Rows and columns where the frame has ``side`` of them, a multiple of its cells."""
        scale = side // self.side
        return slice(self.top * scale, self.bottom * scale), slice(self.left * scale, self.right * scale)

    def grown(self, by: int) -> Box:
        """``by`` cells larger on every side, within the frame."""
        return Box(
            self.side,
            max(self.top - by, 0),
            min(self.bottom + by, self.side),
            max(self.left - by, 0),
            min(self.right + by, self.side),
        )


@dataclass(frozen=True)
class Overlay(Generic[V]):
    """How R references are laid over each of N images, as tensors a graph can take.

    masks: N×R×S×S in [0, 1], over the reference's own pixels. shifts: N×R×2 integers (dx, dy) in pixels.
    weights: N. size: S.
    """

    masks: V
    shifts: V
    weights: V
    size: int


class Lowering(Protocol[V, S]):
    """What runs the network: one method for each verb, on values of its own.

    A layer says what is to be computed (`network`), its weights are the backend's affair: made once with
    `fold.Weights` and found by the layer's name.
    """

    def conv(self, x: V, layer: Conv) -> V:
        """leaky(conv(x) + bias), `Mode.PLAIN` or `Mode.UP`."""

    def down_conv(self, x: V, layer: Conv, skip: V) -> V:
        """leaky(conv(blur(x)) + bias) + skip: 2r → r; blur with padding 2, convolution of stride 2."""

    def down_skip(self, x: V, layer: Conv) -> V:
        """The blur with padding 1, every second sample of it, the 1×1 convolution: 2r → r."""

    def up_skip(self, x: V, layer: Conv) -> V:
        """The 1×1 convolution. What it is added to is twice its side: the layer that adds it upsamples it,
        a zero after every sample and the blur of gain 4 with padding (2, 1).
        """

    def maps(self, code: V, layer: Conv) -> V:
        """γ and β of a stylecode, as `styled_from_maps` and `to_rgb` take them."""

    def constant(self, style: V) -> Features[V, S]:
        """What the decoder starts from, for as many images as there are in ``style``: the stylecode, or
        the maps, of the first layer.
        """

    def styled(self, x: Features[V, S], code: V, layer: Styled, skip: V | None) -> Features[V, S]:
        """leaky(conv(norm(x)·γ + β) + bias), plus the upsampled skip, with γ and β from a stylecode."""

    def styled_from_maps(
        self, x: Features[V, S], maps: V, layer: Styled, skip: V | None, statistics: S | None
    ) -> Features[V, S]:
        """The same with γ and β at hand. statistics: of the result, where they are not to be its own."""

    def to_rgb(self, x: Features[V, S], maps: V, layer: ToRgb) -> V:
        """Images: leaky(conv(norm(x)·γ) + β)."""

    def crop(self, x: V, box: Box) -> V:
        """The part of features or maps in a box: `Box.at` their side. A value of its own, not a view of x."""

    def free(self, *values: V | None) -> None:
        """These values are not read again. Nothing to do where something else looks after memory."""


class Overlaying(Lowering[V, S], Protocol[V, S]):
    """What also runs whole edits, with masks as values."""

    def blend(self, code: V, laid: V, overlay: Overlay[V], side: int, name: str) -> V:
        """One stylecode N×C×r×r of the interactive blend with references N×R×C×r×r over it
        (`stylemap.edit.blend`).
        """

    def ring(self, code: V, maps: V, laid: V, overlay: Overlay[V], layer: Conv) -> V:
        """The maps of a blended code: the image's N×M×r×r with the references' N×R×M×r×r laid over them,
        and where the 3×3 around a cell is not all of one kind (`ring`), ``layer`` of the code.
        """


class Mapping(Protocol[V]):
    """What runs the mapping network."""

    def add_constant(self, x: V, value: Tensor, name: str) -> V:
        """x + value, which is broadcast. name: of the value."""

    def pixel_norm(self, z: V) -> V:
        """z · rsqrt(mean(z², dim 1) + 1e-8)."""

    def linear(self, x: V, layer: Linear) -> V:
        """leaky(x Wᵀ + b)."""

    def reshape(self, x: V, shape: tuple[int, ...]) -> V:
        """N×… → N×shape."""
