"""The CPU inference plan: a model's weights packed for the kernels, and memory to run them in.

    plan = CpuPlan(model, precision="fp32")
    image = plan.decode(plan.encode(photo))

Everything is exact up to rounding: 1e-5 relative to float64 in "fp32", 2e-2 in "bf16" (whose
activations and sums stay float32; only the factors of the large products are rounded).
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from stylemap import program
from stylemap.config import Config
from stylemap.engine.cpu.arena import Arena, ArenaPool
from stylemap.engine.cpu.blocking import PRECISIONS
from stylemap.engine.cpu.convolution import Convolution
from stylemap.engine.cpu.lowering import CpuLowering, Kernels
from stylemap.model import StyleMapGAN
from stylemap.model.checks import check_codes, check_images, check_stylemap

# Of a stylecode, in float32: from here on it is not made as a whole only for its maps.
_LARGE_CODE = 64 << 20


class CpuPlan:
    """`StyleMapGAN`'s encode, stylecodes, synthesize and decode on a CPU, without gradients.

    ``model`` is read once: later changes of its weights do not show. Any batch size and image, at any
    time, from any number of threads at once; memory for one execution is kept for the next.
    Tensors are float32, N×C×H×W; stylecodes are in channels_last memory.

    γ and β of a layer travel as one opaque tensor N×H×W×M, its *maps*, one for every stylecode.
    They belong to the position of the image they were computed for and to nothing else, so an editor
    may copy, shift and mix them pixel by pixel.

    Args:
        model: the network, on any device and in any floating-point type.
        precision: "fp32" or "bf16".

    Raises:
        ValueError: an unknown precision, a model with another blur than [1, 3, 3, 1].
    """

    def __init__(self, model: StyleMapGAN, precision: str = "fp32") -> None:
        if precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
        self.config: Config = model.config
        self.precision = precision
        self.like = torch.empty(0, device="cpu")
        self._arenas = ArenaPool()
        with torch.no_grad():
            self._kernels = Kernels(model, precision)
        self.network = self._kernels.network
        self._ring: list[Convolution] | None = None
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def run(self, into: Mapping[str, Tensor] | None = None) -> Iterator[CpuLowering]:
        """The verbs of the network in memory of one execution, which ends with the block: only images, and
        what layers wrote ``into`` memory of the caller's, outlive it.
        """
        with torch.no_grad(), self._arenas.lease() as arena:
            yield CpuLowering(self._kernels, arena, into)

    def arena(self) -> contextlib.AbstractContextManager[Arena]:
        """Memory of one execution, for what runs beside the network."""
        return self._arenas.lease()

    def encode(self, images: Tensor) -> Tensor:
        """Stylemap N×K×L×L of images N×3×S×S in [-1, 1]."""
        check_images(images, self.config, self.like)
        with self.run() as op:
            w = program.encode(op, self.network, _nhwc(images))
            return _nchw(w).clone(memory_format=torch.contiguous_format)

    def stylecodes(self, w: Tensor) -> list[Tensor]:
        """The codes of a stylemap N×K×L×L, as `StyleMapGAN.stylecodes`."""
        check_stylemap(w, self.config, self.like)
        shapes = self.config.stylecode_shapes
        kept = [torch.empty(len(w), height, width, channels) for channels, height, width in shapes]
        with self.run(_by_name(self.network.codes, kept)) as op:
            return [_nchw(code) for code in program.stylecodes(op, self.network, _nhwc(w))]

    def write(
        self,
        w: Tensor,
        codes: Sequence[Tensor | None],
        maps: Sequence[Tensor | None],
        *,
        known: Sequence[Tensor] = (),
    ) -> None:
        """Codes of one stylemap 1×K×L×L, as rows (r·r)×C, and their maps, 1×r×r×M, into memory that is there
        already, in whatever floating-point type it is; None for those that nobody wants.

        One code after the other, so that nothing else of their size is needed. ``known``: the first codes,
        1×r×r×C in float32, where they have been made before.
        """
        check_stylemap(w, self.config, self.like)
        net, shapes = self.network, self.config.stylecode_shapes
        targets = [
            None if code is None else code.view(1, height, width, channels)
            for code, (channels, height, width) in zip(codes, shapes, strict=True)
        ]
        into = _by_name(net.codes, targets) | _by_name(net.maps, maps)
        float32 = {name: target for name, target in into.items() if target.dtype == torch.float32}
        wanted = [i for i, pair in enumerate(zip(targets, maps)) if any(each is not None for each in pair)]
        most = max(wanted, default=-1)
        bands = self._bands(most, len(known), targets, maps)
        with self.run(float32) as op:
            code = _nhwc(w)
            for index in range(most + 1):
                if index < len(known):
                    code = known[index]
                elif index in bands:
                    op.maps_in_bands(code, [(net.codes[i], net.maps[i], maps[i]) for i in bands])
                    break
                else:
                    before, code = code, op.conv(code, net.codes[index])
                    op.free(before)
                    _copy(code, targets[index])
                if maps[index] is not None:
                    made = op.maps(code, net.maps[index])
                    _copy(made, maps[index])
                    op.free(made)

    def _bands(
        self, last: int, known: int, codes: Sequence[Tensor | None], maps: Sequence[Tensor | None]
    ) -> range:
        """The large stylecodes up to the last one that are made in bands: those of its side, where nothing
        but their maps is wanted.
        """
        shapes = self.config.stylecode_shapes
        if last < known or math.prod(shapes[last]) * torch.float32.itemsize < _LARGE_CODE:
            return range(0)
        first = next(i for i, shape in enumerate(shapes) if shape[1] == shapes[last][1])
        found = range(max(first, known), last + 1)
        narrow = any(each is not None and each.dtype != torch.float32 for each in maps[found.start :])
        return range(0) if narrow or any(codes[i] is not None for i in found) else found

    def convolution(self, layer: program.Conv) -> Convolution:
        """What runs a 3×3 layer, for a part of its grid."""
        return self._kernels.convolutions[layer.name]

    def maps_shape(self, index: int, batch: int = 1) -> tuple[int, int, int, int]:
        """Shape of the maps of stylecode ``index``."""
        _, height, width = self.config.stylecode_shapes[index]
        layer = self.network.maps[index]
        return batch, height, width, self._kernels.convolutions[layer.name].maps_channels

    def synthesize(self, codes: Sequence[Tensor]) -> Tensor:
        """Images N×3×S×S from stylecodes, as `StyleMapGAN.synthesize`."""
        check_codes(codes, self.config, self.like)
        with self.run() as op:
            return program.synthesize(op, self.network, [_nhwc(code) for code in codes])

    def decode(self, w: Tensor) -> Tensor:
        """Images N×3×S×S from stylemaps, as `StyleMapGAN.decode`."""
        check_stylemap(w, self.config, self.like)
        with self.run() as op:
            return program.decode(op, self.network, _nhwc(w))

    def ring(self, model: StyleMapGAN) -> list[Convolution]:
        """What makes the maps of every stylecode around masks; packed from its ``model`` at first use.

        Raises:
            ValueError: at first use, a model whose tensors have been released.
        """
        with self._lock, torch.no_grad():
            if self._ring is None:
                if any(parameter.is_meta for parameter in model.parameters()):
                    raise ValueError(
                        "the model's own tensors have been released, and no session of it was announced: "
                        "release(sessions=True)"
                    )
                self._ring = self._kernels.ring(model)
            return self._ring

    @property
    def bytes(self) -> dict[str, int]:
        """Memory held: packed ``weights``, those of the ``ring`` beside them, and idle ``activations``."""
        own = {conv.packed.data_ptr() for conv in self._kernels.convolutions.values()}
        ring = sum(conv.bytes for conv in self._ring or () if conv.packed.data_ptr() not in own)
        return {"weights": self._kernels.bytes + ring, "activations": self._arenas.bytes}


def _by_name(layers: Sequence[program.Conv], targets: Sequence[Tensor | None]) -> dict[str, Tensor]:
    pairs = zip(layers, targets, strict=True)
    return {layer.name: target for layer, target in pairs if target is not None}


def _copy(values: Tensor, target: Tensor | None) -> None:
    """``values`` into ``target``, unless they have been made there."""
    if target is not None and target.dtype != torch.float32:
        target.copy_(values)


def _nhwc(x: Tensor) -> Tensor:
    return x.detach().permute(0, 2, 3, 1).contiguous()


def _nchw(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2)
