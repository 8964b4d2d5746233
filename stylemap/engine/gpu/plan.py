"""The GPU inference plan: a model's weights made ready for the passes, which run as captured graphs.

    plan = GpuPlan(model, precision="fp16")
    image = plan.decode(plan.encode(photo))

Everything is exact up to rounding. On a CPU the same passes run in plain PyTorch and are not captured.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from stylemap import program
from stylemap.config import Config
from stylemap.engine.gpu.capture import Capture, CapturedGraphs, CudaCapture, Lane
from stylemap.engine.gpu.lowering import GpuLowering
from stylemap.model import StyleMapGAN
from stylemap.model.checks import check_codes, check_images, check_stylemap
from stylemap.ops import autotune

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
