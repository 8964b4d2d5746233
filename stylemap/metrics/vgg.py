"""VGG-16's feature maps (Simonyan & Zisserman 2015), with weights from a file the user names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor, nn

from stylemap.metrics.weights import read_tensors

# (position in torchvision's `features`, channels) of the convolutions, by block; a pooling between blocks.
BLOCKS = (
    ((0, 64), (2, 64)),
    ((5, 128), (7, 128)),
    ((10, 256), (12, 256), (14, 256)),
    ((17, 512), (19, 512), (21, 512)),
    ((24, 512), (26, 512), (28, 512)),
)
CHANNELS = tuple(block[-1][1] for block in BLOCKS)
WHERE = "torchvision's VGG-16 weights (vgg16-397923af.pth, https://download.pytorch.org/models/vgg16-397923af.pth)"
# lpips.LPIPS(net="vgg") keeps the same positions in net.sliceN.
_KEY = re.compile(r"(?:features|net\.slice\d)\.(\d+)\.(weight|bias)")


class VGG16(nn.Module):
    """Normalised images N x 3 x H x W to the last ReLU of each block: 64, 128, 256, 512, 512 channels.

    Each block after the first has half the resolution of the one before. The network is frozen.
    """

    def __init__(self) -> None:
        super().__init__()
        layers: dict[str, nn.Module] = {}
        previous = 3
        for position, channels in (pair for block in BLOCKS for pair in block):
            layers[str(position)] = nn.Conv2d(previous, channels, 3, padding=1)
            previous = channels
        self.convs = nn.ModuleDict(layers)
        self.eval().requires_grad_(False)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Five feature maps of normalised images N x 3 x H x W, N x C x H/2^i x W/2^i for i = 0 … 4."""
        maps = []
        for number, block in enumerate(BLOCKS):
            if number:
                x = F.max_pool2d(x, 2)
            for position, _ in block:
                x = F.relu(self.convs[str(position)](x))
            maps.append(x)
        return maps

    def load(self, tensors: Mapping[str, Tensor], name: str) -> VGG16:
        """Takes the convolutions out of a state dict with torchvision's or lpips' keys.

        Raises ValueError, naming the file and what it lacks.
        """
        found = {}
        for key, value in tensors.items():
            match = _KEY.fullmatch(key)
            if match:
                found[f"{match[1]}.{match[2]}"] = value.float()
        for key, wanted in self.convs.state_dict().items():
            if key not in found:
                raise ValueError(f"{name} is not a VGG-16: it has no features.{key}; expected {WHERE}")
            if found[key].shape != wanted.shape:
                raise ValueError(
                    f"{name}: features.{key} is {tuple(found[key].shape)}, VGG-16's is {tuple(wanted.shape)}"
                )
        self.convs.load_state_dict({key: found[key] for key in self.convs.state_dict()})
        return self


def load_vgg16(path: str | Path) -> VGG16:
    """From a .pth or .safetensors file. Raises FileNotFoundError or ValueError saying what is wanted."""
    return VGG16().load(read_tensors(path, WHERE), str(path))


def normalise(images: Tensor) -> Tensor:
    """Images in [-1, 1] as VGG-16 was trained on them: ImageNet's mean 0 and deviation 1 per channel."""
    mean = images.new_tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    deviation = images.new_tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    return ((images + 1) / 2 - mean) / deviation
