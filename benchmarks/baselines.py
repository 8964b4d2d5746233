"""What the engine is compared with: the same network in plain PyTorch, written in two ways.

`Published` follows the published formulation: a grouped convolution with the weight repeated for every
sample, the blur as a convolution of N·C single-channel images, F.layer_norm, skips at high resolution,
weights scaled at every call. `Plain` is the network as one would write it with care: dense
convolutions with weights scaled once, depthwise blurs, skips at low resolution, an explicit mean and
variance, channels_last; it is also what torch.compile gets. Both take their weights from a StyleMapGAN
with LayerNorm and share no code with the package's layers.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylemap.model import StyleMapGAN

SQRT2, SQRT_HALF = math.sqrt(2.0), math.sqrt(0.5)


def leaky(x: Tensor, bias: Tensor) -> Tensor:
    """√2 · leaky ReLU of x + bias, one value per channel."""
    return F.leaky_relu(x + bias.view(1, -1, 1, 1), 0.2) * SQRT2


class Published:
    """Encoder and decoder in the published formulation, on the parameters of ``model``."""

    def __init__(self, model: StyleMapGAN) -> None:
        self.encoder = dict(model.encoder.state_dict())
        self.decoder = {
            key.removeprefix("decoder."): value
            for key, value in model.generator.state_dict().items()
            if key.startswith("decoder.")
        }
        taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
        self.kernel = torch.outer(taps, taps) / 64
        self.blocks = len(model.encoder.convs)

    def encode(self, images: Tensor) -> Tensor:
        """Images N×3×S×S to stylemaps N×K×L×L."""
        p = self.encoder
        x = leaky(self._conv(images, p["from_rgb.0.weight"]), p["from_rgb.1.bias"])
        for i in range(self.blocks):
            name = f"convs.{i}."
            h = leaky(self._conv(x, p[name + "conv1.0.weight"]), p[name + "conv1.1.bias"])
            h = self._conv(self._blur(h, 2, 2), p[name + "conv2.1.weight"], stride=2, padding=0)
            h = leaky(h, p[name + "conv2.2.bias"])
            skip = self._conv(self._blur(x, 1, 1), p[name + "skip.1.weight"], stride=2, padding=0)
            x = (h + skip) / SQRT2
        return leaky(self._conv(x, p["final_conv.0.weight"]), p["final_conv.1.bias"])

    def decode(self, w: Tensor) -> Tensor:
        """Stylemaps to images."""
        return self.synthesize(self.stylecodes(w))

    def stylecodes(self, w: Tensor) -> list[Tensor]:
        """Stylemaps to stylecodes, each N×C×r×r."""
        codes, code = [], w
        for i in range(2 * self.blocks + 2):
            code = self._up_layer(code, i) if i >= 2 and i % 2 == 0 else self._code_layer(code, i)
            codes.append(code)
        return codes

    def synthesize(self, codes: list[Tensor]) -> Tensor:
        """Stylecodes to images."""
        p = self.decoder
        x = self._styled(p["input.input"].repeat(codes[0].shape[0], 1, 1, 1), codes[0], "conv1.")
        for i in range(self.blocks):
            h = self._styled(x, codes[2 * i + 1], f"convs.{i}.conv1.", up=True)
            h = self._styled(h, codes[2 * i + 2], f"convs.{i}.conv2.")
            skip = self._transposed(x, p[f"convs.{i}.skip.0.weight"])
            x = (h + self._blur(skip, 2, 2, 4.0)) / SQRT2
        return self._styled(x, codes[-1], "to_rgb.")

    def _code_layer(self, code: Tensor, index: int) -> Tensor:
        name = f"convs_latent.{index}."
        return leaky(self._conv(code, self.decoder[name + "0.weight"]), self.decoder[name + "1.bias"])

    def _up_layer(self, code: Tensor, index: int) -> Tensor:
        name = f"convs_latent.{index}."
        up = self._blur(self._transposed(code, self.decoder[name + "0.weight"]), 1, 1, 4.0)
        return leaky(up, self.decoder[name + "2.bias"])

    def _styled(self, x: Tensor, code: Tensor, name: str, up: bool = False) -> Tensor:
        p = self.decoder
        gamma = self._conv(code, p[name + "conv.gamma.weight"], p[name + "conv.gamma.bias"])
        beta = self._conv(code, p[name + "conv.beta.weight"], p[name + "conv.beta.bias"])
        x = F.layer_norm(x, x.shape[1:]) * gamma + beta
        batch, channels, height, width = x.shape
        weight = p[name + "conv.weight"]
        outputs, size = weight.shape[1], weight.shape[-1]
        weight = (weight / math.sqrt(channels * size**2)).repeat(batch, 1, 1, 1, 1)
        x = x.reshape(1, batch * channels, height, width)
        if up:
            weight = weight.transpose(1, 2).reshape(batch * channels, outputs, size, size)
            x = F.conv_transpose2d(x, weight, stride=2, groups=batch)
            x = self._blur(x.view(batch, outputs, *x.shape[2:]), 1, 1, 4.0)
        else:
            weight = weight.view(batch * outputs, channels, size, size)
            x = F.conv2d(x, weight, padding=size // 2, groups=batch).view(batch, outputs, height, width)
        return leaky(x, p[name + "activate.bias"])

    def _conv(
        self,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: int = 1,
        padding: int | None = None,
    ) -> Tensor:
        scaled = weight / math.sqrt(weight[0].numel())
        return F.conv2d(
            x, scaled, bias, stride=stride, padding=weight.shape[-1] // 2 if padding is None else padding
        )

    def _transposed(self, x: Tensor, weight: Tensor) -> Tensor:
        scaled = weight / math.sqrt(weight[0].numel())
        return F.conv_transpose2d(x, scaled.transpose(0, 1), stride=2)

    def _blur(self, x: Tensor, before: int, after: int, gain: float = 1.0) -> Tensor:
        batch, channels = x.shape[:2]
        x = F.pad(x, (before, after, before, after)).reshape(-1, 1, *self._padded(x, before + after))
        x = F.conv2d(x, (self.kernel * gain).flip((0, 1))[None, None].to(x))
        return x.view(batch, channels, *x.shape[2:])

    @staticmethod
    def _padded(x: Tensor, by: int) -> tuple[int, int]:
        return x.shape[2] + by, x.shape[3] + by


class Plain(nn.Module):
    """The network written with care; `encode` and `decode` can be given to torch.compile."""

    def __init__(self, model: StyleMapGAN) -> None:
        super().__init__()
        published = Published(model)
        self.blocks = published.blocks
        for part, values in (("encoder", published.encoder), ("decoder", published.decoder)):
            for key, value in values.items():
                self.register_buffer(f"{part}.{key}".replace(".", "_"), self._prepared(key, value))
        self.kernel: Tensor
        self.register_buffer("kernel", published.kernel)

    @staticmethod
    def _prepared(key: str, value: Tensor) -> Tensor:
        if not key.endswith("weight"):
            return value.detach().clone()
        weight = value.detach()[0] if value.ndim == 5 else value.detach()
        weight = weight / math.sqrt(weight[0].numel())
        return weight.contiguous(memory_format=torch.channels_last)

    def _get(self, part: str, key: str) -> Tensor:
        value: Tensor = getattr(self, f"{part}.{key}".replace(".", "_"))
        return value

    def encode(self, images: Tensor) -> Tensor:
        """Images N×3×S×S to stylemaps N×K×L×L."""

        def get(key: str) -> Tensor:
            return self._get("encoder", key)

        x = images.contiguous(memory_format=torch.channels_last)
        x = leaky(F.conv2d(x, get("from_rgb.0.weight")), get("from_rgb.1.bias"))
        for i in range(self.blocks):
            name = f"convs.{i}."
            h = leaky(F.conv2d(x, get(name + "conv1.0.weight"), padding=1), get(name + "conv1.1.bias"))
            h = F.conv2d(self._blur(h, 2), get(name + "conv2.1.weight"), stride=2)
            h = leaky(h, get(name + "conv2.2.bias"))
            x = (h + F.conv2d(self._blur(x, 1, stride=2), get(name + "skip.1.weight"))) * SQRT_HALF
        return leaky(F.conv2d(x, get("final_conv.0.weight"), padding=1), get("final_conv.1.bias"))

    def decode(self, w: Tensor) -> Tensor:
        """Stylemaps to images."""
        return self.synthesize(self.stylecodes(w))

    def stylecodes(self, w: Tensor) -> list[Tensor]:
        """Stylemaps to stylecodes, each N×C×r×r."""
        codes, code = [], w.contiguous(memory_format=torch.channels_last)
        for i in range(2 * self.blocks + 2):
            weight = self._get("decoder", f"convs_latent.{i}.0.weight")
            if i >= 2 and i % 2 == 0:
                code = leaky(self._up(code, weight), self._get("decoder", f"convs_latent.{i}.2.bias"))
            else:
                bias = self._get("decoder", f"convs_latent.{i}.1.bias")
                code = leaky(F.conv2d(code, weight, padding=1), bias)
            codes.append(code)
        return codes

    def synthesize(self, codes: list[Tensor]) -> Tensor:
        """Stylecodes to images."""
        x = self._get("decoder", "input.input").expand(codes[0].shape[0], -1, -1, -1)
        x = self._styled(x.contiguous(memory_format=torch.channels_last), codes[0], "conv1.")
        for i in range(self.blocks):
            h = self._styled(x, codes[2 * i + 1], f"convs.{i}.conv1.", up=True)
            h = self._styled(h, codes[2 * i + 2], f"convs.{i}.conv2.")
            skip = F.conv2d(x, self._get("decoder", f"convs.{i}.skip.0.weight"))
            x = (h + self._doubled(skip)) * SQRT_HALF
        return self._styled(x, codes[-1], "to_rgb.")

    def _styled(self, x: Tensor, code: Tensor, name: str, up: bool = False) -> Tensor:
        def get(key: str) -> Tensor:
            return self._get("decoder", name + key)

        gamma = F.conv2d(code, get("conv.gamma.weight"), get("conv.gamma.bias"), padding=1)
        beta = F.conv2d(code, get("conv.beta.weight"), get("conv.beta.bias"), padding=1)
        # Over H and W, then over C: how compilers like it best.
        mean = x.mean((2, 3), keepdim=True).mean(1, keepdim=True)
        centred = x - mean
        variance = centred.square().mean((2, 3), keepdim=True).mean(1, keepdim=True)
        x = centred * torch.rsqrt(variance + 1e-5) * gamma + beta
        weight = get("conv.weight")
        x = self._up(x, weight) if up else F.conv2d(x, weight, padding=weight.shape[-1] // 2)
        return leaky(x, get("activate.bias"))

    def _up(self, x: Tensor, weight: Tensor) -> Tensor:
        return self._blur(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), 1, 4.0)

    def _blur(self, x: Tensor, padding: int, gain: float = 1.0, stride: int = 1) -> Tensor:
        channels = x.shape[1]
        kernel = (self.kernel * gain).to(x.dtype).expand(channels, 1, 4, 4)
        return F.conv2d(x, kernel, padding=padding, stride=stride, groups=channels)

    def _doubled(self, x: Tensor) -> Tensor:
        """upfirdn2d with up = 2: a bilinear resize with zeros outside."""
        padded = F.pad(x, (1, 1, 1, 1))
        resized = F.interpolate(padded, scale_factor=2.0, mode="bilinear", align_corners=False)
        return resized[:, :, 2:-2, 2:-2]
