"""The CPU inference plan: a model compiled to a handful of fused passes over reused memory.

    plan = CpuPlan(model, precision="fp32")
    image = plan.decode(plan.encode(photo))

Everything is exact up to rounding: 1e-5 relative to float64 in "fp32", 2e-2 in "bf16" (whose
activations and sums stay float32; only the factors of the large products are rounded).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from stylemap.config import Config
from stylemap.engine.cpu.arena import Arena, ArenaPool
from stylemap.engine.cpu.choices import PRECISIONS, chooser
from stylemap.engine.cpu.convolution import Convolution, Moments, Pointwise
from stylemap.engine.cpu.layers import StyledLayer, ToRgb, decoder_layers, encoder_layers
from stylemap.engine.cpu.tuning import Timings, cut, describe
from stylemap.model import StyleMapGAN
from stylemap.model.checks import check_codes, check_images, check_stylemap

_ops = torch.ops.stylemap


class CpuPlan:
    """`StyleMapGAN`'s encode, stylecodes, synthesize and decode on a CPU, without gradients.

    ``model`` is read once: later changes of its weights do not show. Any batch size and image, at any
    time, from any number of threads at once; memory for one execution is kept for the next (`trim`
    gives it back). Tensors are float32, N×C×H×W; stylecodes are in channels_last memory.

    The fastest algorithm of every convolution is taken from this machine's measurements if there are any;
    ``tune`` makes those that are missing (seconds, once: a file keeps them) and `describe` shows all.

    γ and β of a layer travel as one opaque tensor N×H×W×2C, its *maps*, one for every stylecode.
    They belong to the position of the image they were computed for and to nothing else, so an editor
    may copy, shift and mix them pixel by pixel.
    """

    def __init__(self, model: StyleMapGAN, precision: str = "fp32", tune: bool = False) -> None:
        if precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
        self.config: Config = model.config
        self.precision = precision
        self._like = torch.empty(0)
        self._arenas = ArenaPool()
        timings = Timings()
        with torch.no_grad():
            choose = chooser(precision, timings, tune)
            self._encoder = encoder_layers(model, choose)
            self._decoder = decoder_layers(model, choose)
        self._timings = cut(self.convolutions(), timings, tune)

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Stylemap N×K×L×L of images N×3×S×S in [-1, 1]."""
        check_images(images, self.config, self._like)
        with self._arenas.lease() as arena:
            x = self._encoder.from_rgb(arena, _nhwc(images))
            for block in self._encoder.blocks:
                skip = block.skip(arena, x)
                h, _ = block.conv1(arena, x)
                arena.give(x)
                x, _ = block.conv2(arena, h, skip=skip)
                arena.give(h, skip)
            w, _ = self._encoder.final(arena, x)
            return _nchw(w).contiguous()

    @torch.no_grad()
    def stylecodes(self, w: Tensor) -> list[Tensor]:
        """The codes of a stylemap N×K×L×L, as `StyleMapGAN.stylecodes`."""
        check_stylemap(w, self.config, self._like)
        codes = []
        code = _nhwc(w)
        with self._arenas.lease() as arena:
            for layer in self._decoder.codes:
                code, _ = layer(arena, code, torch.empty(layer.output_shape(code, code.shape[0])))
                codes.append(_nchw(code))
        return codes

    @torch.no_grad()
    def modulations(self, codes: Sequence[Tensor], out: Sequence[Tensor] | None = None) -> list[Tensor]:
        """The maps of every stylecode; into ``out`` if given."""
        check_codes(codes, self.config, self._like)
        with self._arenas.lease() as arena:
            return [
                self._maps(arena, i, _nhwc(code), None if out is None else out[i])
                for i, code in enumerate(codes)
            ]

    @torch.no_grad()
    def write(self, w: Tensor, codes: Sequence[Tensor], maps: Sequence[Tensor]) -> None:
        """The codes of one stylemap 1×K×L×L, as rows (r·r)×C, and their maps, 1×r×r×M, into memory that is
        there already, in whatever floating-point type it is.

        One code after the other, so that nothing else of their size is needed.
        """
        check_stylemap(w, self.config, self._like)
        with self._arenas.lease() as arena:
            code = _nhwc(w)
            for i, layer in enumerate(self._decoder.codes):
                following = _into(arena, layer, code, codes[i].view(layer.output_shape(code, 1)))
                arena.give(code)
                code = following
                arena.give(_into(arena, self._map_convolution(i), code, maps[i]))

    def _maps(self, arena: Arena, index: int, code: Tensor, out: Tensor | None) -> Tensor:
        conv = self._map_convolution(index)
        shape = self.maps_shape(index, code.shape[0])
        return conv(arena, code, torch.empty(shape) if out is None else out)[0]

    def _map_convolution(self, index: int) -> Convolution:
        styled = self._decoder.styled
        return styled[index].modulation if index < len(styled) else self._decoder.to_rgb.maps

    def maps_shape(self, index: int, batch: int = 1) -> tuple[int, int, int, int]:
        """Shape of the maps of stylecode ``index``."""
        _, height, width = self.config.stylecode_shapes[index]
        conv = self._map_convolution(index)
        last = index == len(self._decoder.styled)
        return batch, height, width, conv.outputs if last else conv.packed_outputs

    @torch.no_grad()
    def synthesize_from_modulations(self, maps: Sequence[Tensor]) -> Tensor:
        """Images N×3×S×S from the maps of every stylecode."""
        batch = maps[0].shape[0]
        for i, tensor in enumerate(maps):
            if tuple(tensor.shape) != self.maps_shape(i, batch):
                raise ValueError(
                    f"maps[{i}]: expected {self.maps_shape(i, batch)}, got {tuple(tensor.shape)}"
                )
        with self._arenas.lease() as arena:
            return self._main_path(arena, batch, maps=maps)

    @torch.no_grad()
    def synthesize(self, codes: Sequence[Tensor]) -> Tensor:
        """Images N×3×S×S from stylecodes, as `StyleMapGAN.synthesize`."""
        check_codes(codes, self.config, self._like)
        with self._arenas.lease() as arena:
            return self._main_path(arena, codes[0].shape[0], codes=[_nhwc(code) for code in codes])

    @torch.no_grad()
    def decode(self, w: Tensor) -> Tensor:
        """Images N×3×S×S from stylemaps, as `StyleMapGAN.decode`."""
        check_stylemap(w, self.config, self._like)
        with self._arenas.lease() as arena:
            return self._main_path(arena, w.shape[0], stylemap=_nhwc(w))

    def _main_path(
        self,
        arena: Arena,
        batch: int,
        maps: Sequence[Tensor] | None = None,
        codes: Sequence[Tensor] | None = None,
        stylemap: Tensor | None = None,
    ) -> Tensor:
        """The decoder from exactly one of: all maps, all codes, or the stylemap.

        From a stylemap, every code is made when its layer comes and dropped with the next one.
        """
        layers = self._decoder
        x, moments = layers.constant, layers.constant_moments
        code, skip_source = stylemap, None
        for i, layer in enumerate(layers.styled):
            if codes is not None:
                code = codes[i]
            elif code is not None:
                code = self._next_code(arena, i, code)
            skip = None
            if i >= 2 and i % 2 == 0:
                assert skip_source is not None
                skip = layers.skips[i // 2 - 1](arena, skip_source)
                arena.give(skip_source)
            following = layers.styled[i + 1] if i + 1 < len(layers.styled) else layers.to_rgb
            given = None if maps is None else maps[i]
            y, y_moments = self._styled(arena, layer, following, batch, x, moments, code, given, skip)
            arena.give(skip)
            if i % 2 == 1:
                skip_source = x
            else:
                arena.give(x)
            x, moments = y, y_moments
        if codes is not None:
            code = codes[-1]
        elif code is not None:
            code = self._next_code(arena, len(layers.styled), code)
        return self._to_rgb(arena, x, moments, code, None if maps is None else maps[-1])

    def _next_code(self, arena: Arena, index: int, code: Tensor) -> Tensor:
        result, _ = self._decoder.codes[index](arena, code)
        arena.give(code)
        return result

    def _styled(
        self,
        arena: Arena,
        layer: StyledLayer,
        following: StyledLayer | ToRgb,
        batch: int,
        x: Tensor,
        moments: Moments,
        code: Tensor | None,
        maps: Tensor | None,
        skip: Tensor | None,
    ) -> tuple[Tensor, Moments]:
        """One modulated convolution from its maps or its code, and the moments the next one normalises by."""
        if maps is not None:
            y, new = layer.conv(
                arena,
                x,
                batch=batch,
                modulation=maps,
                moments=moments,
                skip=skip,
                groups=following.groups,
            )
        else:
            assert code is not None
            modulated = layer.modulation.modulate(arena, code, x, moments)
            y, new = layer.conv(arena, modulated, skip=skip, groups=following.groups)
            arena.give(modulated)
        result = new or following.fixed
        assert result is not None
        return y, result

    def _to_rgb(
        self, arena: Arena, x: Tensor, moments: Moments, code: Tensor | None, maps: Tensor | None
    ) -> Tensor:
        layer = self._decoder.to_rgb
        if maps is None:
            assert code is not None
            maps, _ = layer.maps(arena, code)
        image = torch.empty(x.shape[0], 3, x.shape[1], x.shape[2])
        _ops.to_rgb(x, maps, moments.mean, moments.rstd, layer.weight, 0.2, image)
        return image

    @property
    def bytes(self) -> dict[str, int]:
        """Memory held: packed ``weights`` and idle ``activations``."""
        weights = sum(conv.bytes for conv in self.convolutions()) + sum(
            conv.bytes for conv in self._pointwise()
        )
        return {"weights": weights, "activations": self._arenas.bytes}

    def describe(self) -> str:
        """One line per 3 × 3 convolution: what it is, how its work is cut, and its measured time if known."""
        return describe(self.convolutions(), self._timings)

    def trim(self) -> None:
        """Give the memory kept between executions back to the system."""
        self._arenas.trim()

    def convolutions(self) -> list[Convolution]:
        """Every 3 × 3 convolution, encoder first."""
        encoder, decoder = self._encoder, self._decoder
        found = [conv for block in encoder.blocks for conv in (block.conv1, block.conv2)]
        found += [encoder.final, *decoder.codes]
        found += [conv for layer in decoder.styled for conv in (layer.modulation, layer.conv)]
        return [*found, decoder.to_rgb.maps]

    def _pointwise(self) -> list[Pointwise]:
        encoder = self._encoder
        return [encoder.from_rgb, *(block.skip for block in encoder.blocks), *self._decoder.skips]


def _into(arena: Arena, conv: Convolution, x: Tensor, target: Tensor) -> Tensor:
    """Writes conv(x) to ``target``; the result in float32: ``target``, or what it was rounded from."""
    if target.dtype == torch.float32:
        return conv(arena, x, target)[0]
    result, _ = conv(arena, x, arena.take(*target.shape))
    target.copy_(result)
    return result


def _nhwc(x: Tensor) -> Tensor:
    return x.detach().permute(0, 2, 3, 1).contiguous()


def _nchw(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2)
