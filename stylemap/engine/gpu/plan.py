"""The GPU inference plan: the verbs of the network as the fused passes of `stylemap.ops.passes`, a model's
weights made ready for them, and captured graphs of both.

    plan = GpuPlan(model, precision="fp16")
    image = plan.decode(plan.encode(photo))

Everything is exact up to rounding. On a CPU the same passes run in plain PyTorch and are not captured.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from stylemap import ops, program
from stylemap.config import Config
from stylemap.engine.gpu.capture import Capture, CapturedGraphs, CudaCapture, Lane
from stylemap.model import StyleMapGAN
from stylemap.model.checks import check_codes, check_images, check_stylemap
from stylemap.model.layers import blur_kernel
from stylemap.ops import autotune, passes
from stylemap.program import Box, Conv, Features, Folded, Mode, Styled, ToRgb, Weights, foreign_filter

#: The kernels read and write this many channels at once; an input has zeros in those it lacks.
PACK = 8
#: What `passes.modulated_rgb` keeps in registers: channels, by the size of an element.
_MOST_RGB_CHANNELS = {2: 512, 4: 256}


class Statistics(NamedTuple):
    """Mean and 1 / √(var + 1e-5), as `passes.Result` has them."""

    mean: Tensor
    rstd: Tensor


def why_not(model: StyleMapGAN, dtype: torch.dtype) -> str | None:
    """Why the CUDA kernels cannot run this model, or None if they can."""
    config = model.config
    widths = {config.latent_channel_size, *(config.channels(r) for r in config.resolutions)}
    odd = sorted(width for width in widths if width % PACK)
    if odd:
        return f"its kernels take channels in multiples of {PACK}, and this model has {odd[0]}"
    most, last = _MOST_RGB_CHANNELS.get(dtype.itemsize, 0), config.channels(config.size)
    if last > most:
        return f"its last pass takes up to {most} channels of {dtype}, and this model has {last}"
    other = foreign_filter(model)
    if other is not None:
        return f"its kernels blur with [1, 3, 3, 1], and this model has another filter in {other}"
    return None


class GpuLowering:
    """`program.Lowering` on tensors N×C×H×W of one dtype, channels_last.

    The maps of a stylecode are γ and β side by side: N×2C×r×r; the last one's β is that of the image, in 3
    of 8 channels. Images are float32 (float64 where the dtype is). On a CPU the passes are plain PyTorch.

    Args:
        model: read once; it may be on any device and in any floating-point type.

    Raises:
        ValueError: a model with another blur than [1, 3, 3, 1].
    """

    def __init__(self, model: StyleMapGAN, device: torch.device, dtype: torch.dtype) -> None:
        weights = Weights(model)
        self.network = weights.network
        self.dtype = dtype
        self.device = device
        self.wide = torch.promote_types(dtype, torch.float32)
        # Neutral statistics are those of a norm that all samples share.
        self._normalize = self.network.norm or "BatchNorm2d"
        self._layers = {layer.name: self._folded(weights, layer) for layer in self.network.convolutions()}
        self._constant = self._placed(weights.constant())
        with torch.device("cpu"):
            self._blur, self._blur_up = (blur_kernel(gain).to(device) for gain in (1, 4))
            self._no_bias = self._placed(torch.zeros(self.network.to_rgb.conv.outputs))
        self._neutral: dict[tuple[int, int], Statistics] = {}

    @property
    def bytes(self) -> int:
        """Of the weights."""
        tensors = [tensor for layer in self._layers.values() for tensor in layer if tensor is not None]
        return sum(tensor.numel() * tensor.element_size() for tensor in (*tensors, self._constant))

    def maps_channels(self, index: int) -> int:
        """Channels of the maps of stylecode ``index``."""
        return self._layers[self.network.maps[index].name].weight.shape[0]

    def taken(self, x: Tensor) -> Tensor:
        """Images or stylemaps as the verbs take them: in whole packs of channels."""
        n, channels, height, width = x.shape
        if channels >= PACK:
            return x.to(self.dtype).contiguous(memory_format=torch.channels_last)
        shape = (n, PACK, height, width)
        y = torch.empty(shape, dtype=self.dtype, device=self.device, memory_format=torch.channels_last)
        y.zero_()[:, :channels] = x
        return y

    def conv(self, x: Tensor, layer: Conv) -> Tensor:
        """See `program.Lowering`, as for every verb."""
        if layer.mode is Mode.UP:
            return self._up(x, layer, None).y
        return passes.conv_act(x, *self._layers[layer.name], negative_slope=layer.slope).y

    def down_conv(self, x: Tensor, layer: Conv, skip: Tensor) -> Tensor:
        """Blur; convolution and sum in one pass."""
        blurred = ops.upfirdn2d(x, self._blur, padding=(2, 2))
        weights = self._layers[layer.name]
        slope = layer.slope
        return passes.conv_act(blurred, *weights, skip=skip, stride=2, padding=0, negative_slope=slope).y

    def down_skip(self, x: Tensor, layer: Conv) -> Tensor:
        """Blur and halve, convolution."""
        halved = ops.upfirdn2d(x, self._blur, down=2, padding=(1, 1))
        return passes.conv_act(halved, *self._layers[layer.name], negative_slope=layer.slope).y

    def up_skip(self, x: Tensor, layer: Conv) -> Tensor:
        """The convolution; the pass that adds the skip upsamples it."""
        return self.conv(x, layer)

    def maps(self, code: Tensor, layer: Conv) -> Tensor:
        """γ and β in one convolution."""
        return self.conv(code, layer)

    def map_cells_(self, maps: Sequence[Tensor], codes: Sequence[Tensor], cells: Sequence[Tensor]) -> None:
        """Convolve the listed cells of the maps of every stylecode, in place.

        Args:
            maps, codes: 1×C×r×r of every stylecode; only codes around the cells are read.
            cells: int32 numbers y·r + x; negative ones are skipped.
        """
        layers = [self._layers[layer.name] for layer in self.network.maps]
        passes.conv_rows_group_(
            maps, codes, [layer.weight for layer in layers], [layer.bias for layer in layers], cells
        )

    def constant(self, style: Tensor) -> Features[Tensor, Statistics]:
        """A copy for every sample."""
        x = self._constant.expand(len(style), -1, -1, -1).contiguous(memory_format=torch.channels_last)
        return Features(x, self._neutral_of(x))

    def styled(
        self, x: Features[Tensor, Statistics], code: Tensor, layer: Styled, skip: Tensor | None
    ) -> Features[Tensor, Statistics]:
        """γ and β are never stored: one pass makes and applies them."""
        weight, bias = self._layers[layer.maps.name]
        assert bias is not None
        (gamma, beta), (gamma_bias, beta_bias) = weight.chunk(2), bias.chunk(2)
        modulated = passes.modulate_conv(
            x.x, code, gamma, gamma_bias, beta, beta_bias, *x.statistics, normalize=self._normalize
        )
        return self._convolved(modulated, layer, skip, None)

    def styled_from_maps(
        self,
        x: Features[Tensor, Statistics],
        maps: Tensor,
        layer: Styled,
        skip: Tensor | None,
        statistics: Statistics | None,
    ) -> Features[Tensor, Statistics]:
        """Modulation in a pass of its own."""
        gamma, beta = maps.chunk(2, dim=1)
        modulated = passes.apply_modulation(x.x, gamma, beta, *x.statistics, normalize=self._normalize)
        return self._convolved(modulated, layer, skip, statistics)

    def to_rgb(self, x: Features[Tensor, Statistics], maps: Tensor, layer: ToRgb) -> Tensor:
        """One pass."""
        inputs, outputs = layer.conv.inputs, layer.conv.outputs
        gamma, beta = maps[:, :inputs], maps[:, inputs : inputs + outputs]
        weight = self._layers[layer.conv.name].weight[:, :, 0, 0]
        rest = (weight, self._no_bias)
        y = passes.modulated_rgb(x.x, gamma, beta, *x.statistics, *rest, normalize=self._normalize)
        return y.to(self.wide)

    def crop(self, x: Tensor, box: Box) -> Tensor:
        """Not there: previews on a GPU are whole images."""
        raise NotImplementedError("a GPU renders whole images")

    def free(self, *values: Tensor | None) -> None:
        """Python looks after tensors."""

    def _convolved(
        self, x: Tensor, layer: Styled, skip: Tensor | None, statistics: Statistics | None
    ) -> Features[Tensor, Statistics]:
        """The convolution of a styled layer, with the statistics of its result that the next norm wants."""
        next_norm = layer.norm if statistics is None else None
        if layer.conv.mode is Mode.UP:
            result = self._up(x, layer.conv, next_norm)
        else:
            weights, slope = self._layers[layer.conv.name], layer.conv.slope
            result = passes.conv_act(x, *weights, skip=skip, negative_slope=slope, next_norm=next_norm)
        own = self._neutral_of(result.y) if layer.norm is None else Statistics(result.mean, result.rstd)
        return Features(result.y, own if statistics is None else statistics)

    def _up(self, x: Tensor, layer: Conv, next_norm: str | None) -> passes.Result:
        weight, bias = self._layers[layer.name]
        y = passes.transposed_conv(x, weight)
        return passes.blur_act(y, self._blur_up, bias, negative_slope=layer.slope, next_norm=next_norm)

    def _neutral_of(self, x: Tensor) -> Statistics:
        """Those that leave x as it is; made once for every batch and width."""
        shape = (x.shape[0], x.shape[1])
        if shape not in self._neutral:
            self._neutral[shape] = Statistics(*passes.neutral(x, self._normalize))
        return self._neutral[shape]

    def _folded(self, weights: Weights, layer: Conv) -> Folded:
        """A layer's weights in whole packs: the network's input has 3 channels, the last β too."""
        weight, bias = weights.conv(layer)
        if weight.shape[1] < PACK:
            weight = F.pad(weight, (0, 0, 0, 0, 0, PACK - weight.shape[1]))
        if layer == self.network.to_rgb.maps:
            assert bias is not None
            missing = PACK - self.network.to_rgb.conv.outputs
            weight, bias = F.pad(weight, (0, 0) * 3 + (0, missing)), F.pad(bias, (0, missing))
        return Folded(self._placed(weight), None if bias is None else self._placed(bias))

    def _placed(self, values: Tensor) -> Tensor:
        values = values.to(self.device, self.dtype)
        return values.contiguous(memory_format=torch.channels_last) if values.ndim == 4 else values


DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "fp64": torch.float64}


class GpuPlan:
    """`StyleMapGAN`'s encode, stylecodes, synthesize and decode on a GPU, without gradients.

    ``model`` is read once: later changes of its weights do not show. Any batch size, from any number of
    threads, which take turns. The first call with a batch size measures kernels and captures a graph;
    later ones replay it. Images and stylemaps are float32 (float64 in "fp64", which is for a CPU and
    tests); stylecodes and maps are in the plan's precision, channels_last.

    Args:
        device: where to run.
        precision: "fp16", "bf16", "fp32" (without TF32) or "fp64".
        capture: how graphs are captured, instead of CUDA graphs on a GPU and none elsewhere.

    Raises:
        ValueError: an unknown precision, a model with another blur than [1, 3, 3, 1].
    """

    def __init__(
        self,
        model: StyleMapGAN,
        device: str | torch.device = "cuda",
        precision: str = "fp16",
        *,
        capture: Capture | None = None,
    ) -> None:
        if precision not in DTYPES:
            raise ValueError(f"precision must be one of {', '.join(DTYPES)}, got {precision!r}")
        self.config: Config = model.config
        self.precision = precision
        self.device = torch.empty(0, device=device).device
        self.dtype = DTYPES[precision]
        self.lane = Lane(self.device, exact=self.dtype == torch.float32)
        if self.device.type == "cuda":
            autotune.recall()
            capture = capture or CudaCapture(self.lane)
        self.capture = capture
        self.graphs = CapturedGraphs(self.lane, capture)
        with torch.no_grad():
            self.op = GpuLowering(model, self.device, self.dtype)
        self.network = self.op.network
        self.like = torch.empty(0, device=self.device, dtype=self.op.wide)

    def encode(self, images: Tensor) -> Tensor:
        """Stylemap N×K×L×L of images N×3×S×S in [-1, 1]."""
        check_images(images, self.config, self.like)
        return self.graphs.run(("encode", len(images)), self._encode, images)[0]

    def stylecodes(self, w: Tensor) -> list[Tensor]:
        """The codes of a stylemap N×K×L×L, as `StyleMapGAN.stylecodes`."""
        check_stylemap(w, self.config, self.like)
        return self.graphs.run(("stylecodes", len(w)), self._stylecodes, w)

    def synthesize(self, codes: Sequence[Tensor]) -> Tensor:
        """Images N×3×S×S from stylecodes, as `StyleMapGAN.synthesize`."""
        check_codes(codes, self.config, self.like.to(self.dtype))
        codes = [code.contiguous(memory_format=torch.channels_last) for code in codes]
        return self.graphs.run(("synthesize", len(codes[0])), self._synthesize, *codes)[0]

    def decode(self, w: Tensor) -> Tensor:
        """Images N×3×S×S from stylemaps, as `StyleMapGAN.decode`."""
        check_stylemap(w, self.config, self.like)
        return self.graphs.run(("decode", len(w)), self._decode, w)[0]

    def write(self, w: Tensor, codes: Sequence[Tensor], maps: Sequence[Tensor]) -> None:
        """The codes of one stylemap 1×K×L×L and their maps, 1×C×r×r each, into memory that is there already,
        in whatever floating-point type it is. Inside the lane only.

        Not captured: the outputs would take the memory of another image.
        """
        with torch.no_grad(), self.lane.convolutions():
            made = self._stylecodes(self.lane.taken(w))
            made_maps = list(program.maps(self.op, self.network, made))
        for target, values in zip((*codes, *maps), (*made, *made_maps), strict=True):
            target.copy_(values)

    @property
    def bytes(self) -> dict[str, int]:
        """Memory held: ``weights``, and ``activations``: the inputs and outputs of captured graphs."""
        return {"weights": self.op.bytes, "activations": self.graphs.bytes}

    def _encode(self, images: Tensor) -> list[Tensor]:
        w = program.encode(self.op, self.network, self.op.taken(images))
        return [w.to(self.like.dtype).contiguous()]

    def _stylecodes(self, w: Tensor) -> list[Tensor]:
        return list(program.stylecodes(self.op, self.network, self.op.taken(w)))

    def _synthesize(self, *codes: Tensor) -> list[Tensor]:
        return [program.synthesize(self.op, self.network, codes)]

    def _decode(self, w: Tensor) -> list[Tensor]:
        return [program.decode(self.op, self.network, self.op.taken(w))]
