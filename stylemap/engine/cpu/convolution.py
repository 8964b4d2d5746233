"""One convolution of the CPU plan: its folded, packed weights and how its work is cut."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from stylemap.engine.cpu.arena import Arena, empty_on_huge_pages
from stylemap.engine.cpu.shapes import BLOCK, Blocking, Mode, Shape, default_blocking

_ops = torch.ops.stylemap


@dataclass
class Moments:
    """Mean and 1 / standard deviation of every channel's group, float32, (batch or 1) × channels."""

    mean: Tensor
    rstd: Tensor


def pack(weight: Tensor, mode: Mode, tile: int, bf16: bool) -> Tensor:
    """Transform and block a weight of `weights`; blocks × rows × K × 32, or pairs along K."""
    outputs, inputs = weight.shape[:2]
    pair, dtype = (2, torch.bfloat16) if bf16 else (1, torch.float32)
    rows = _ops.conv2d_weight_rows(mode, tile)
    packed = empty_on_huge_pages(outputs // BLOCK, rows, inputs // pair, BLOCK * pair, dtype=dtype)
    _ops.conv2d_pack(weight, mode, tile, packed)
    return packed


class Convolution:
    """A 3 × 3 convolution NHWC → NHWC with bias and leaky ReLU, or a modulation, in one call.

    ``weight`` comes from `stylemap.engine.cpu.weights` (float64, every gain folded in), ``bias`` likewise.
    ``outputs``: channels of the result. ``side``: of the grid in the model it was made for, if known.
    """

    def __init__(
        self,
        name: str,
        weight: Tensor,
        bias: Tensor,
        outputs: int,
        *,
        mode: Mode = Mode.PLAIN,
        tile: int = 2,
        bf16: bool = False,
        slope: float = 1.0,
        side: int | None = None,
    ) -> None:
        self.name = name
        self.side = side
        self.mode = mode
        self.tile = tile
        self.bf16 = bf16
        self.slope = slope
        self.outputs = outputs
        self.bias = bias
        self.packed = pack(weight, mode, tile, bf16)
        self.depth = weight.shape[1]
        self.packed_outputs = weight.shape[0]
        self.blockings: dict[tuple[int, int], Blocking] = {}

    @property
    def bytes(self) -> int:
        return self.packed.numel() * self.packed.element_size()

    def grid(self, x: Tensor) -> tuple[int, int]:
        """Height and width of what the 3 × 3 taps walk on."""
        height, width = x.shape[1:3]
        return (height // 2, width // 2) if self.mode == Mode.DOWN else (height, width)

    def output_shape(self, x: Tensor, batch: int) -> tuple[int, int, int, int]:
        height, width = self.grid(x)
        scale = 2 if self.mode == Mode.UP else 1
        return batch, height * scale, width * scale, self.outputs

    def shape(self, batch: int, side: int) -> Shape:
        return Shape(self.mode, self.tile, self.bf16, self.depth, self.packed_outputs, batch, side)

    def blocking(self, batch: int, side: int) -> Blocking:
        """How to cut the work on a side × side grid: as set in ``blockings``, else a good guess."""
        key = (batch, side)
        if key not in self.blockings:
            self.blockings[key] = default_blocking(self.shape(batch, side))
        return self.blockings[key]

    def __call__(
        self,
        arena: Arena,
        x: Tensor,
        out: Tensor | None = None,
        *,
        batch: int | None = None,
        modulation: Tensor | None = None,
        features: Tensor | None = None,
        moments: Moments | None = None,
        skip: Tensor | None = None,
        groups: int | None = None,
    ) -> tuple[Tensor, Moments | None]:
        """The result (``out``, or from the arena) and, with ``groups``, its moments over channel groups.

        ``modulation``: the input is norm(x)·γ + β, from maps N×H×W×2C of alternating runs. ``features``:
        this convolution makes γ and β, the result is norm(features)·γ + β. ``moments`` are those of x or
        of ``features``. ``skip`` is added to the result, upsampled by 2 if it is half its size.
        """
        batch = x.shape[0] if batch is None else batch
        height, width = self.grid(x)
        if out is None:
            out = arena.take(*self.output_shape(x, batch))
        partials = None
        if groups is not None:
            rows = _ops.conv2d_partials(self.mode, self.tile, height, width)
            partials = arena.take(batch, rows, 2 * self.outputs + 1)
        cut = self.blocking(batch, height)
        workspace = None
        if cut.shared:
            size = _ops.conv2d_workspace(self.packed, self.mode, batch, height, width, cut.tiles)
            workspace = arena.take(size, dtype=torch.uint8)
        mean, rstd = (None, None) if moments is None else (moments.mean, moments.rstd)
        _ops.conv2d(
            x,
            self.packed,
            self.bias,
            self.slope,
            self.mode,
            modulation,
            features,
            mean,
            rstd,
            skip,
            out,
            partials,
            workspace,
            cut.tiles,
        )
        arena.give(workspace)
        if partials is None or groups is None:
            return out, None
        result = Moments(arena.take(batch, self.outputs), arena.take(batch, self.outputs))
        _ops.conv2d_moments(partials, groups, 1e-5, result.mean, result.rstd)
        arena.give(partials)
        return out, result


class Modulation(Convolution):
    """The convolution of a stylecode that makes γ and β of one layer, in alternating runs of 16 channels."""

    def maps_shape(self, code: Tensor) -> tuple[int, int, int, int]:
        return (*code.shape[:3], self.packed_outputs)

    def maps(self, arena: Arena, code: Tensor, out: Tensor) -> Tensor:
        """γ and β themselves, N×H×W×2C, C rounded up to whole runs."""
        return self(arena, code, out)[0]

    def modulate(self, arena: Arena, code: Tensor, features: Tensor, moments: Moments) -> Tensor:
        """norm(features)·γ + β, without ever writing γ and β."""
        out = arena.take(*code.shape[:3], self.outputs)
        return self(arena, code, out, features=features, moments=moments)[0]


class Pointwise:
    """A 1 × 1 convolution NHWC → NHWC with bias and leaky ReLU, or of the input blurred and halved."""

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor,
        outputs: int,
        *,
        blur: bool = False,
        bf16: bool = False,
        slope: float,
    ) -> None:
        self.packed = _ops.pointwise_pack(weight, bf16)
        self.bias = bias
        self.outputs = outputs
        self.blur = blur
        self.slope = slope

    @property
    def bytes(self) -> int:
        return self.packed.numel() * self.packed.element_size()

    def __call__(self, arena: Arena, x: Tensor) -> Tensor:
        by = 2 if self.blur else 1
        out = arena.take(x.shape[0], x.shape[1] // by, x.shape[2] // by, self.outputs)
        _ops.pointwise(x, self.packed, self.bias, self.slope, self.blur, out)
        return out
