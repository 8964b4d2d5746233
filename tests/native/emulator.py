"""The CPU convolutions compiled for aarch64 and run by an emulator, one process a call (replay.cpp)."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from stylemap import _build
from stylemap.engine.cpu.blocking import DOWN, UP
from tests.helpers.convolution_case import Case, nhwc

COMPILER = "aarch64-linux-gnu-g++"
EMULATOR = "qemu-aarch64-static"
CONV2D, POINTWISE, TO_RGB = 1, 2, 3
Value = int | Tensor | None


def available() -> bool:
    return shutil.which(COMPILER) is not None and shutil.which(EMULATOR) is not None


def compile_all(sources: Sequence[Path], folder: Path) -> list[Path]:
    """Object files for aarch64, with the flags of the installed library; a warning is an error."""
    flags = [flag for flag in _build.CXX_FLAGS if flag != "-fPIC"] + ["-Werror", f"-I{_build.source_root()}"]

    def one(source: Path) -> Path:
        target = folder / f"{source.parent.name}_{source.stem}.o"
        done = subprocess.run(
            [COMPILER, *flags, "-c", str(source), "-o", str(target)], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return target

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(one, sources))


def link(objects: Sequence[Path], target: Path) -> Path:
    command = [COMPILER, "-static", *map(str, objects), "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target


def encoded(values: Sequence[Value]) -> bytes:
    parts = []
    for value in values:
        if isinstance(value, int):
            parts.append(struct.pack("<q", value))
        else:
            data = b"" if value is None else value.contiguous().numpy().tobytes()
            parts.append(struct.pack("<q", len(data)) + data)
    return b"".join(parts)


@dataclass(frozen=True)
class Emulated:
    """The replaying program on one processor: ``cpu`` is the emulator's name of it."""

    program: Path
    isa: str
    cpu: str = "max"

    def run(self, call: int, *values: Value) -> bytes:
        command = [EMULATOR, "-cpu", self.cpu, str(self.program), self.isa]
        done = subprocess.run(command, input=encoded([call, *values]), capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    def floats(self, call: int, *values: Value) -> Tensor:
        return torch.frombuffer(bytearray(self.run(call, *values)), dtype=torch.float32)


@dataclass
class EmulatedCase(Case):
    """A convolution that runs on an emulated processor."""

    processor: Emulated = field(kw_only=True)

    def run(
        self,
        tiles: int = 8,
        shared: bool = False,
        partials: Tensor | None = None,
        tile_list: Tensor | None = None,
        taps: bool = False,
        half: bool = False,
    ) -> Tensor:
        n, c, h, w = self.expected.shape
        out = torch.full((n, h, w, c), torch.nan)
        weight = self.packed_weight.double()
        by = 2 if self.mode == DOWN else 1
        sizes = (n, self.height // by, self.width // by, self.inputs, c, *weight.shape[:2])
        skip = {None: 0, "same": 1, "up": 2}[self.skip]
        shared = shared or taps or self.mode == UP
        how = (int(self.features), skip, int(shared), tiles, int(taps), int(half))
        optional = [self.optional.get(name) for name in ("modulation", "features", "mean", "rstd", "skip")]
        operands = (torch.tensor([self.slope]), weight, nhwc(self.x), self.packed_bias, *optional, tile_list)
        head = (self.mode, self.tile, int(self.bf16), *sizes, *how)
        result = self.processor.floats(CONV2D, *head, *operands, out, partials)
        if partials is not None:
            partials.copy_(result[out.numel() :].view_as(partials))
        return result[: out.numel()].view_as(out).permute(0, 3, 1, 2)
