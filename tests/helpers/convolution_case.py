"""One 3 x 3 convolution of the CPU plan: random inputs, its float64 result, and the call."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from stylemap.engine.cpu.blocking import DOWN, PLAIN, UP, round_up
from stylemap.engine.cpu.convolution import Filters, alternating, padded, padded_bias
from stylemap.ops import reference
from tests.helpers.tolerances import tolerance

BLUR = torch.outer(*[torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=torch.float64)] * 2) / 64
ops = torch.ops.stylemap


def nhwc(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1).float().contiguous()


def relative_error(actual: Tensor, expected: Tensor) -> float:
    return ((actual.double() - expected).norm() / expected.norm()).item()


@dataclass
class Case:
    """Random inputs of one convolution, its float64 result and the arguments of the operator."""

    batch: int = 1
    height: int = 12
    width: int = 12
    inputs: int = 16
    outputs: int = 32
    mode: int = PLAIN
    tile: int = 4
    bf16: bool = False
    modulation: bool = False
    features: bool = False
    skip: str | None = None
    slope: float = 0.2
    expected: Tensor = field(init=False)

    def __post_init__(self) -> None:
        if self.mode != PLAIN:
            self.tile = 2
        self.generator = torch.Generator().manual_seed(0)
        shape = (self.batch, self.inputs, self.height, self.width)
        self.x = self.random(*shape)
        self.weight = self.random(self.outputs, self.inputs, 3, 3) / math.sqrt(9 * self.inputs)
        self.bias = self.random(self.outputs)
        self.optional: dict[str, Tensor] = {}
        convolved = self.convolve(self.modulated_input() if self.modulation else self.x)
        self.packed_weight, self.packed_bias = (
            padded(self.weight),
            padded_bias(self.bias),
        )
        if self.features:
            self.expected = self.modulate_features(convolved)
        else:
            self.expected = F.leaky_relu(convolved + self.bias.view(1, -1, 1, 1), self.slope)
        if self.skip:
            self.expected = self.expected + self.make_skip(self.expected.shape)

    def random(self, *shape: int) -> Tensor:
        """Values that float32 holds exactly, in float64."""
        return torch.randn(*shape, generator=self.generator).double()

    def convolve(self, x: Tensor) -> Tensor:
        if self.mode == UP:
            up = F.conv_transpose2d(x, self.weight.transpose(0, 1), stride=2)
            return reference.upfirdn2d(up, 4 * BLUR, padding=(1, 1, 1, 1))
        if self.mode == DOWN:
            return F.conv2d(reference.upfirdn2d(x, BLUR, padding=(2, 2, 2, 2)), self.weight, stride=2)
        return F.conv2d(x, self.weight, padding=1)

    def make_moments(self, channels: int) -> tuple[Tensor, Tensor]:
        mean, rstd = self.random(self.batch, channels), self.random(self.batch, channels).abs() + 0.5
        rstd = rstd.float().double()
        self.optional |= {"mean": mean.float(), "rstd": rstd.float()}
        return mean[:, :, None, None], rstd[:, :, None, None]

    def modulated_input(self) -> Tensor:
        gamma, beta = self.random(*self.x.shape), self.random(*self.x.shape)
        mean, rstd = self.make_moments(self.inputs)
        missing = round_up(self.inputs, 16) - self.inputs
        runs = [F.pad(nhwc(m), (0, missing)).unflatten(3, (-1, 16)) for m in (gamma, beta)]
        self.optional["modulation"] = torch.stack(runs, 4).flatten(3).contiguous()
        return (self.x - mean) * rstd * gamma + beta

    def modulate_features(self, gamma: Tensor) -> Tensor:
        beta_weight = self.random(*self.weight.shape) / math.sqrt(9 * self.inputs)
        beta_bias, features = self.random(self.outputs), self.random(*gamma.shape)
        mean, rstd = self.make_moments(self.outputs)
        self.optional["features"] = nhwc(features)
        self.packed_weight = padded(alternating(torch.cat([self.weight, beta_weight])))
        self.packed_bias = padded_bias(alternating(torch.cat([self.bias, beta_bias])))
        gamma = gamma + self.bias.view(1, -1, 1, 1)
        return (features - mean) * rstd * gamma + F.conv2d(self.x, beta_weight, beta_bias, padding=1)

    def make_skip(self, shape: torch.Size) -> Tensor:
        if self.skip == "same":
            skip = self.random(*shape)
            upsampled = skip
        else:
            skip = self.random(*shape[:2], shape[2] // 2, shape[3] // 2)
            upsampled = reference.upfirdn2d(skip, 4 * BLUR, up=2, padding=(2, 1, 2, 1))
        self.optional["skip"] = nhwc(skip)
        return upsampled

    @property
    def grid(self) -> tuple[int, int]:
        by = 2 if self.mode == DOWN else 1
        return self.height // by, self.width // by

    def partials(self) -> Tensor:
        rows = ops.conv2d_partials(self.mode, self.tile, *self.grid)
        return torch.full((self.batch, rows, 2 * self.outputs + 1), math.nan)

    def run(
        self,
        tiles: int = 8,
        shared: bool = False,
        partials: Tensor | None = None,
        tile_list: Tensor | None = None,
        taps: bool = False,
        half: bool = False,
    ) -> Tensor:
        """The operator's result; taps: the weights are transformed by it, and with half kept in float16."""
        filters = Filters((self.packed_weight, 1.0))
        if taps:
            packed, shared = filters.taps(torch.float16 if half else torch.float32), True
        else:
            packed = filters.pack(self.mode, self.tile, self.bf16)
        transform = (self.tile, self.bf16) if taps else (0, False)
        n, c, h, w = self.expected.shape
        out = torch.full((n, h, w, c), math.nan)
        workspace = None
        if shared or self.mode == UP:
            size = ops.conv2d_workspace(packed, self.mode, self.batch, *self.grid, tiles, *transform)
            workspace = torch.full((size,), 0xFF, dtype=torch.uint8)  # NaN in either type
        names = ("modulation", "features", "mean", "rstd", "skip")
        optional = [self.optional.get(name) for name in names]
        rest = (out, partials, workspace, tiles, tile_list, *transform)
        ops.conv2d(nhwc(self.x), packed, self.packed_bias, self.slope, self.mode, *optional, *rest)
        return out.permute(0, 3, 1, 2)

    def check(self, **arguments: int) -> None:
        limit = tolerance(f"convolution, tile {self.tile}", "bf16" if self.bf16 else "fp32")
        assert relative_error(self.run(**arguments), self.expected) < limit
