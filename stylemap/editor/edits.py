"""One edit as a model is asked for it, and what sessions need of a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from stylemap.config import Config
from stylemap.engine.images import ImageHandle

AMPLIFY = "amplify"
"""The slider that multiplies the stylemap by 1 + strength · mask: 1 doubles it, -1 silences it."""


@dataclass(frozen=True, eq=False)
class Part:
    """A reference: its image, the mask S×S over it, how far it is moved, in pixels, and how much it covers
    what lies below, 0 to 1."""

    image: ImageHandle
    mask: Tensor
    shift: tuple[float, float]
    opacity: float = 1.0


@dataclass(frozen=True, eq=False)
class Slide:
    """A slider: the name of a direction or `AMPLIFY`, how far, and the mask S×S in [0, 1] of where; None for
    everywhere."""

    name: str
    strength: float
    mask: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Recipe:
    """One edit. ``offset``: K×L×L, what is added to the original's stylemap beside the sliders, or None;
    ``mix``: the image that stylecodes are taken from, and which; ``passing``: the original is a picture of a
    camera, of which no second frame will be asked for."""

    original: ImageHandle
    parts: Sequence[Part] = ()
    weight: float = 1.0
    offset: Tensor | None = None
    mix: tuple[ImageHandle, Sequence[int]] | None = None
    passing: bool = False
    sliders: Sequence[Slide] = ()


class Composing(Protocol):
    """What sessions need of a model: `composer.Composer` has it in this process,
    `remote.RemoteComposer` elsewhere.

    class_names: of the classes, where there are several. sliders: names of all sliders. shared: how many
    threads may use it at the same time; 0 where one at a time may. beside: whether it has `work`.
    """

    class_names: tuple[str, ...]
    shared: int

    @property
    def beside(self) -> bool: ...

    @property
    def config(self) -> Config: ...

    @property
    def sliders(self) -> list[str]: ...

    def add(self, image: Tensor, *, prepare: bool = True) -> ImageHandle: ...

    def add_stylemap(self, w: Tensor) -> ImageHandle: ...

    def remove(self, handle: ImageHandle) -> None: ...

    def random(self, seed: int, truncation: float, class_name: str | None = None) -> Tensor: ...

    def render(self, recipe: Recipe, owner: str = "") -> Tensor: ...

    def work(self, recipe: Recipe, picture: Tensor | None = None) -> Callable[[], Tensor] | None: ...

    def frames(self, recipe: Recipe, weights: Sequence[float], owner: str = "") -> Iterator[Tensor]: ...

    def forget_temporary(self, owner: str) -> None: ...

    def stats(self) -> dict[str, int]: ...
