"""The network in ncnn: lowered to PyTorch operators that pnnx converts to what ncnn is fastest with.

Everything stays float32; ncnn takes its Winograd convolutions by default.
"""

from __future__ import annotations

import os
import subprocess
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylemap import program
from stylemap.model import StyleMapGAN
from stylemap.model.layers import blur_kernel
from stylemap.program import Features, PlainLowering, Weights
from stylemap.program.plain import Statistics

_LIMIT = 300


class TracedLowering(PlainLowering):
    """`PlainLowering` for LayerNorm, of operators that pnnx knows, on one image."""

    def __init__(self, weights: Weights) -> None:
        super().__init__(weights)
        self._centred: tuple[Tensor | None, Tensor] = None, torch.empty(0)

    def blur(
        self, x: Tensor, padding: tuple[int, int, int, int], gain: float = 1.0, up: int = 1, down: int = 1
    ) -> Tensor:
        """Depthwise; up by 2 a bilinear resize with zeros outside."""
        if up == 2:
            wide = F.pad(x, (1, 1, 1, 1))
            wide = F.interpolate(wide, scale_factor=2.0, mode="bilinear", align_corners=False)
            return wide[:, :, 2:-2, 2:-2]
        channels = x.shape[1]
        kernel = blur_kernel(gain).expand(channels, 1, 4, 4)
        return F.conv2d(x, kernel, padding=padding[0], stride=down, groups=channels)

    def constant(self, style: Tensor) -> Features[Tensor, Statistics]:
        """Not expanded: there is one image."""
        return super().constant(style[:1])

    def statistics(self, y: Tensor, norm: str | None) -> Statistics:
        """Over H and W, then over C: how compilers like it best."""
        mean = y.mean((2, 3), keepdim=True).mean(1, keepdim=True)
        self._centred = y, y - mean
        variance = self._centred[1].square().mean((2, 3), keepdim=True).mean(1, keepdim=True)
        return Statistics(mean, torch.rsqrt(variance + program.EPS))

    def normal(self, x: Features[Tensor, Statistics]) -> Tensor:
        """Of what `statistics` has centred: pnnx does not see that a difference is there already."""
        y, centred = self._centred
        return centred * x.statistics.rstd if y is x.x else super().normal(x)


class NcnnNetwork:
    """`encode`, `synthesize` and `decode` in ncnn. Stylecodes, which a host makes once a photo, in PyTorch.

    Raises:
        RuntimeError: pnnx fails.
    """

    def __init__(self, model: StyleMapGAN, folder: Path, threads: int) -> None:
        import ncnn

        self._ncnn, self._threads, self._folder = ncnn, threads, folder
        folder.mkdir(parents=True, exist_ok=True)
        op, size = TracedLowering(Weights(model)), model.config.size
        net = op.network
        image = torch.zeros(1, 3, size, size)
        w = torch.zeros(1, *model.config.stylemap_shape)
        codes = [torch.zeros(1, *shape) for shape in model.config.stylecode_shapes]
        self._encoder = self._converted("encode", lambda x: program.encode(op, net, x), [image])
        self._decoder = self._converted("decode", lambda w: program.decode(op, net, w), [w])
        self._synthesis = self._converted("synthesize", lambda *c: program.synthesize(op, net, c), codes)
        self.stylecodes = lambda w: list(program.stylecodes(op, net, w))

    def encode(self, images: Tensor) -> Tensor:
        """One image 1×3×S×S to its stylemap."""
        return self._run(self._encoder, [images])

    def decode(self, w: Tensor) -> Tensor:
        """One stylemap 1×K×L×L to its image."""
        return self._run(self._decoder, [w])

    def synthesize(self, codes: Sequence[Tensor]) -> Tensor:
        """One image's stylecodes to the image."""
        return self._run(self._synthesis, codes)

    def _converted(self, name: str, walk: Callable[..., Tensor], inputs: Sequence[Tensor]) -> Any:
        script = self._folder / f"{name}.pt"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that tracing is old, and that shapes are fixed by it
            torch.jit.trace(_Walk(walk), tuple(inputs), check_trace=False).save(str(script))
        shapes = ",".join(str(list(x.shape)).replace(" ", "") for x in inputs)
        import pnnx

        command = [pnnx.EXEC_PATH, script.name, f"inputshape={shapes}", "fp16=0", f"pnnxonnx={os.devnull}"]
        done = subprocess.run(
            command, cwd=self._folder, capture_output=True, text=True, timeout=_LIMIT, check=False
        )
        if done.returncode:
            raise RuntimeError(f"pnnx failed on {name}: {done.stderr.strip()[-200:]}")
        net = self._ncnn.Net()
        net.opt.num_threads = self._threads
        for option in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_storage"):
            setattr(net.opt, f"use_{option}", False)
        for loaded, suffix in ((net.load_param, "param"), (net.load_model, "bin")):
            if loaded(str(self._folder / f"{name}.ncnn.{suffix}")) != 0:
                raise RuntimeError(f"ncnn cannot load {name}.ncnn.{suffix}")
        for file in self._folder.glob(f"{name}*"):
            file.unlink()  # each holds all weights
        return net

    def _run(self, net: Any, inputs: Sequence[Tensor]) -> Tensor:
        extractor = net.create_extractor()
        held = [np.ascontiguousarray(x[0].numpy()) for x in inputs]
        for index, values in enumerate(held):
            extractor.input(f"in{index}", self._ncnn.Mat(values))
        status, result = extractor.extract("out0")
        if status != 0:
            raise RuntimeError(f"ncnn failed with status {status}")
        return torch.from_numpy(np.array(result))[None]


class _Walk(nn.Module):
    """A function as a module: pnnx takes no other."""

    def __init__(self, walk: Callable[..., Tensor]) -> None:
        super().__init__()
        self._walk = walk

    def forward(self, *inputs: Tensor) -> Tensor:
        return self._walk(*inputs)
