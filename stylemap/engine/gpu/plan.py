"""The GPU inference plan: a model compiled to the fused passes of `stylemap.ops.passes`, replayed as graphs.

    plan = GpuPlan(model, precision="fp16")
    image = plan.decode(plan.encode(photo))

Everything is exact up to rounding. On a CPU the same passes run in plain PyTorch and without graphs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from stylemap import ops
from stylemap.config import Config
from stylemap.engine.gpu import kernel_choices
from stylemap.engine.gpu.graphs import CudaRecorder, Graphs, Lane, Recorder
from stylemap.engine.gpu.layers import PACK, Conv, Folder, Statistics, Styled, blur
from stylemap.model import StyleMapGAN
from stylemap.model.checks import check_codes, check_images, check_stylemap
from stylemap.ops import passes
from stylemap.ops._statistics import groups_of, statistics_shape

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "fp64": torch.float64}

#: (index of a layer, its input, statistics of the input) -> the modulated input
Modulate = Callable[[int, Tensor, Statistics], Tensor]


class GpuPlan:
    """`StyleMapGAN`'s encode, stylecodes, synthesize and decode on a GPU, without gradients.

    ``model`` is read once: later changes of its weights do not show. Any batch size, from any number of
    threads, which take turns. The first call with a batch size measures kernels and captures a graph;
    later ones replay it. Images and stylemaps are float32 (float64 in "fp64", which is for a CPU and
    tests); stylecodes and maps are in the plan's precision, channels_last.

    The maps of a stylecode are γ and β side by side: N × 2C × r × r; the last one's β is that of the
    image, in 3 of 8 channels.

    Args:
        device: where to run.
        precision: "fp16", "bf16", "fp32" (without TF32) or "fp64".
        recorder: how graphs are made, instead of CUDA graphs on a GPU and none elsewhere.
    """

    def __init__(
        self,
        model: StyleMapGAN,
        device: str | torch.device = "cuda",
        precision: str = "fp16",
        *,
        recorder: Recorder | None = None,
    ) -> None:
        if precision not in DTYPES:
            raise ValueError(f"precision must be one of {', '.join(DTYPES)}, got {precision!r}")
        self.config: Config = model.config
        self.precision = precision
        self.device = torch.empty(0, device=device).device
        self.dtype = DTYPES[precision]
        self.lane = Lane(self.device, exact=self.dtype == torch.float32)
        if self.device.type == "cuda":
            kernel_choices.recall()
            recorder = recorder or CudaRecorder(self.lane)
        self.recorder = recorder
        self.graphs = Graphs(self.lane, recorder)
        wide = torch.promote_types(self.dtype, torch.float32)
        self.like = torch.empty(0, device=self.device, dtype=wide)
        self._norm = self.config.normalize_mode
        self._next_norm = None if self._norm == "BatchNorm2d" else self._norm
        with torch.no_grad():
            self.layers = Folder(self.device, self.dtype).layers(model)
        self._blur, self._blur_up = blur(1.0).to(self.device), blur(4.0).to(self.device)

    def encode(self, images: Tensor) -> Tensor:
        """Stylemap N×K×L×L of images N×3×S×S in [-1, 1]."""
        check_images(images, self.config, self.like)
        return self.graphs.run(("encode", images.shape[0]), self._encode, images)[0]

    def stylecodes(self, w: Tensor) -> list[Tensor]:
        """The codes of a stylemap N×K×L×L, as `StyleMapGAN.stylecodes`."""
        check_stylemap(w, self.config, self.like)
        return self.graphs.run(("stylecodes", w.shape[0]), self._stylecodes, w)

    def modulations(self, codes: Sequence[Tensor]) -> list[Tensor]:
        """The maps of every stylecode."""
        codes = self._checked(codes)
        return self.graphs.run(("modulations", codes[0].shape[0]), self._modulations, *codes)

    def synthesize(self, codes: Sequence[Tensor]) -> Tensor:
        """Images N×3×S×S from stylecodes, as `StyleMapGAN.synthesize`."""
        codes = self._checked(codes)
        return self.graphs.run(("synthesize", codes[0].shape[0]), self._synthesize, *codes)[0]

    def synthesize_from_modulations(self, maps: Sequence[Tensor]) -> Tensor:
        """Images N×3×S×S from the maps of every stylecode."""
        count = len(self.config.stylecode_shapes)
        if len(maps) != count:
            raise ValueError(f"maps: expected {count}, got {len(maps)}")
        for i, tensor in enumerate(maps):
            if tuple(tensor.shape) != self.maps_shape(i, maps[0].shape[0]):
                expected = self.maps_shape(i, maps[0].shape[0])
                raise ValueError(f"maps[{i}]: expected {expected}, got {tuple(tensor.shape)}")
        return self.graphs.run(("maps", maps[0].shape[0]), lambda *maps: [self.from_maps(maps)], *maps)[0]

    def decode(self, w: Tensor) -> Tensor:
        """Images N×3×S×S from stylemaps, as `StyleMapGAN.decode`."""
        check_stylemap(w, self.config, self.like)
        return self.graphs.run(("decode", w.shape[0]), self._decode, w)[0]

    def maps_shape(self, index: int, batch: int = 1) -> tuple[int, int, int, int]:
        """Shape of the maps of stylecode ``index``."""
        _, height, width = self.config.stylecode_shapes[index]
        return batch, self.map_convolution(index).weight.shape[0], height, width

    def map_convolution(self, index: int) -> Conv:
        """The convolution that makes the maps of a stylecode."""
        styled = self.layers.styled
        return styled[index].maps if index < len(styled) else self.layers.to_rgb.maps

    @property
    def bytes(self) -> dict[str, int]:
        """Memory held: ``weights``, and ``activations``: the inputs and outputs of graphs."""
        weights = sum(t.numel() * t.element_size() for t in self.layers.tensors())
        return {"weights": weights, "activations": self.graphs.bytes}

    def trim(self) -> None:
        """Give up the graphs and their memory; they are made again when needed."""
        with self.lane():
            self.graphs.clear()

    def _checked(self, codes: Sequence[Tensor]) -> list[Tensor]:
        check_codes(codes, self.config, self.like.to(self.dtype))
        return [code.contiguous(memory_format=torch.channels_last) for code in codes]

    def _encode(self, images: Tensor) -> list[Tensor]:
        n, colors, height, width = images.shape
        shape = (n, PACK, height, width)
        x = torch.empty(shape, dtype=self.dtype, device=self.device, memory_format=torch.channels_last)
        x.zero_()[:, :colors] = images
        x = self._act(x, self.layers.from_rgb)
        for block in self.layers.blocks:
            skip = self._linear(ops.upfirdn2d(x, self._blur, down=2, padding=(1, 1)), block.skip)
            h = ops.upfirdn2d(self._act(x, block.conv1), self._blur, padding=(2, 2))
            conv2 = block.conv2
            x = passes.conv_act(h, conv2.weight, conv2.bias, stride=2, padding=0).y + skip
        return [self._act(x, self.layers.final).to(self.like.dtype).contiguous()]

    def _stylecodes(self, w: Tensor) -> list[Tensor]:
        codes, code = [], w.to(self.dtype).contiguous(memory_format=torch.channels_last)
        for layer in self.layers.codes:
            code = self._up(code, layer).y if layer.up else self._act(code, layer)
            codes.append(code)
        return codes

    def _modulations(self, *codes: Tensor) -> list[Tensor]:
        return [self._linear(code, self.map_convolution(i)) for i, code in enumerate(codes)]

    def _decode(self, w: Tensor) -> list[Tensor]:
        return self._synthesize(*self._stylecodes(w))

    def _synthesize(self, *codes: Tensor) -> list[Tensor]:
        def modulate(index: int, x: Tensor, statistics: Statistics) -> Tensor:
            maps, c = self.layers.styled[index].maps, x.shape[1]
            weight, bias = maps.weight, maps.bias
            assert bias is not None
            parts = weight[:c], bias[:c], weight[c:], bias[c:]
            return passes.modulate_conv(x, codes[index], *parts, *statistics, normalize=self._norm)

        x, statistics = self._main_path(codes[0].shape[0], modulate)
        return [self._to_rgb(x, statistics, self._linear(codes[-1], self.layers.to_rgb.maps))]

    def from_maps(self, maps: Sequence[Tensor]) -> Tensor:
        """As `synthesize_from_modulations`, inside the lane and a program of the caller's."""

        def modulate(index: int, x: Tensor, statistics: Statistics) -> Tensor:
            gamma, beta = maps[index].chunk(2, dim=1)
            return passes.apply_modulation(x, gamma, beta, *statistics, normalize=self._norm)

        x, statistics = self._main_path(maps[0].shape[0], modulate)
        return self._to_rgb(x, statistics, maps[-1])

    def _main_path(self, batch: int, modulate: Modulate) -> tuple[Tensor, Statistics]:
        """The features before the last layer, and their statistics."""
        layers = self.layers
        x = layers.constant.expand(batch, -1, -1, -1).contiguous(memory_format=torch.channels_last)
        statistics, skip_source = self._identity(x), x
        for i, layer in enumerate(layers.styled):
            following = layers.styled[i + 1] if i + 1 < len(layers.styled) else layers.to_rgb
            y = modulate(i, x, statistics)
            if layer.conv.up:
                skip_source = x
                result = self._up(y, layer.conv, self._next_norm)
            else:
                result = self._plain(
                    y, layer, self._linear(skip_source, layers.skips[i // 2 - 1]) if i else None
                )
            x, statistics = result.y, following.fixed or (result.mean, result.rstd)
        return x, statistics

    def _plain(self, y: Tensor, layer: Styled, skip: Tensor | None) -> passes.Result:
        return passes.conv_act(y, layer.conv.weight, layer.conv.bias, skip=skip, next_norm=self._next_norm)

    def _to_rgb(self, x: Tensor, statistics: Statistics, maps: Tensor) -> Tensor:
        layer, c = self.layers.to_rgb, x.shape[1]
        colors = layer.weight.shape[0]
        gamma, beta = maps[:, :c], maps[:, c : c + colors]
        y = passes.modulated_rgb(x, gamma, beta, *statistics, layer.weight, layer.bias, normalize=self._norm)
        return y.to(self.like.dtype)

    def _identity(self, x: Tensor) -> Statistics:
        """Those of the constant, which is normalised already."""
        shape = statistics_shape(x, groups_of(self._norm, x.shape[1]))
        like = {"device": x.device, "dtype": self.like.dtype}
        return torch.zeros(shape, **like), torch.ones(shape, **like)  # type: ignore[call-overload]

    def _act(self, x: Tensor, conv: Conv) -> Tensor:
        return passes.conv_act(x, conv.weight, conv.bias).y

    def _linear(self, x: Tensor, conv: Conv) -> Tensor:
        return passes.conv_act(x, conv.weight, conv.bias, negative_slope=1.0).y

    def _up(self, x: Tensor, conv: Conv, next_norm: str | None = None) -> passes.Result:
        y = passes.transposed_conv(x, conv.weight)
        return passes.blur_act(y, self._blur_up, conv.bias, next_norm=next_norm)
