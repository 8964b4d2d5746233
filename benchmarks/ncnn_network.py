"""The network in ncnn: `Plain` traced and converted by pnnx, in the form that ncnn is fastest with.

Gains are folded into weights, and γ and β are one convolution. Everything stays float32; ncnn takes its
Winograd convolutions by default.
"""

from __future__ import annotations

import math
import os
import re
import subprocess
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylemap.benchmarks.baselines import SQRT2, Plain
from stylemap.model import StyleMapGAN

_LIMIT = 300
_UNSCALED = "gamma|beta|convs_[0-9]+_conv2_"


class Folded(Plain):
    """`Plain` with √2 and 1/√2 in the weights, and γ and β in one convolution."""

    def __init__(self, model: StyleMapGAN) -> None:
        super().__init__(model)
        self.merged: dict[str, tuple[Tensor, Tensor]] = {}
        for name, value in self.named_buffers():
            # Positive factors pass through leaky ReLU. The second convolution of a block has its √2 undone.
            if "skip" in name:
                value.mul_(math.sqrt(0.5))
            elif re.search("(weight|activate_bias|_[12]_bias)$", name) and not re.search(_UNSCALED, name):
                value.mul_(SQRT2)

    @staticmethod
    def leaky(x: Tensor, bias: Tensor) -> Tensor:
        return F.leaky_relu(x + bias.view(1, -1, 1, 1), 0.2)

    @staticmethod
    def joined(h: Tensor, skip: Tensor) -> Tensor:
        return h + skip

    def modulations(self, code: Tensor, name: str) -> tuple[Tensor, Tensor]:
        if name not in self.merged:
            weight, bias = (
                torch.cat([self._get("decoder", f"{name}conv.{part}.{kind}") for part in ("gamma", "beta")])
                for kind in ("weight", "bias")
            )
            self.merged[name] = weight, bias
        gamma, beta = F.conv2d(code, *self.merged[name], padding=1).chunk(2, 1)
        return gamma, beta


class NcnnNetwork:
    """`encode`, `synthesize` and `decode` in ncnn. Stylecodes, which a host makes once a photo, in PyTorch.

    Raises:
        RuntimeError: pnnx fails.
    """

    def __init__(self, model: StyleMapGAN, folder: Path, threads: int) -> None:
        import ncnn

        self._ncnn, self._threads, self._folder = ncnn, threads, folder
        folder.mkdir(parents=True, exist_ok=True)
        plain, size = Folded(model).eval(), model.config.size
        image = torch.zeros(1, 3, size, size)
        w = torch.zeros(1, *model.config.stylemap_shape)
        codes = [torch.zeros(1, *shape) for shape in model.config.stylecode_shapes]
        self._encoder = self._converted("encode", plain, [image])
        self._decoder = self._converted("decode", plain, [w])
        self._synthesis = self._converted("synthesize", plain, codes)
        self.stylecodes = plain.stylecodes

    def encode(self, images: Tensor) -> Tensor:
        return self._run(self._encoder, [images])

    def decode(self, w: Tensor) -> Tensor:
        return self._run(self._decoder, [w])

    def synthesize(self, codes: Sequence[Tensor]) -> Tensor:
        return self._run(self._synthesis, codes)

    def _converted(self, name: str, plain: Plain, inputs: Sequence[Tensor]) -> Any:
        script = self._folder / f"{name}.pt"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that tracing is old, and that shapes are fixed by it
            torch.jit.trace(_Traced(plain, name), tuple(inputs), check_trace=False).save(str(script))
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


class _Traced(nn.Module):
    """One method of `Plain` with its inputs as positional arguments."""

    def __init__(self, plain: Plain, name: str) -> None:
        super().__init__()
        self.plain, self._name = plain, name

    def forward(self, *inputs: Tensor) -> Tensor:
        method = getattr(self.plain, self._name)
        result: Tensor = method(list(inputs)) if self._name == "synthesize" else method(*inputs)
        return result
