"""How each plugin's kernel is compiled and launched for given shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from stylemap.ops.tiles import DEPTHS, PLUGIN, PLUGIN_RING, count

_CELLS, _CHANNELS = 128, 16
_HALF = ("fp16", "bf16")


@dataclass(frozen=True)
class Recipe:
    """One kernel.

    kernel: a name in `plugins.kernels`. inputs, outputs: Triton's types of the tensors, in the order of
    the arguments. integers: the arguments between them; None for the number of references, known only
    when the engine runs. constants: what is compiled in. grid: programs per sample, and the second
    dimension. aligned: arguments that are multiples of 16 (pointers: of 16 bytes).
    """

    kernel: str
    inputs: Mapping[str, str]
    integers: Mapping[str, int | None]
    outputs: Mapping[str, str]
    constants: Mapping[str, int]
    grid: tuple[int, int]
    warps: int
    stages: int
    aligned: tuple[str, ...] = field(default=())

    @property
    def arguments(self) -> dict[str, str]:
        """Type of every argument that is passed at a launch, in order."""
        return {**self.inputs, **dict.fromkeys(self.integers, "i32"), **self.outputs}


def takes_modulation(channels: int, columns: int) -> bool:
    """Whether there is a kernel for a stylecode of ``channels`` and features of ``columns`` channels."""
    return channels % DEPTHS[-1] == 0 and columns % 8 == 0


def modulation(
    dtype: str, channels: int, columns: int, height: int, width: int, groups: int, tactic: int
) -> Recipe:
    """y = (x − mean)·rstd·γ + β with γ and β convolved from a stylecode N×channels×H×W.

    dtype: fp16 or bf16. columns: channels of x. groups: statistics per sample, or 0 for one per channel
    that all samples share. tactic: a key of `tiles.PLUGIN`.
    """
    if dtype not in _HALF:
        raise ValueError(f"plugin modulation takes fp16 or bf16, not {dtype}")
    if not takes_modulation(channels, columns):
        raise ValueError(
            f"plugin modulation takes stylecodes in multiples of 16 channels and features in multiples of 8, "
            f"not {channels} and {columns}"
        )
    tile = PLUGIN[tactic].fitted(channels)
    assert tile is not None
    pointer = f"*{dtype}"
    weights = ("gamma_weight", "gamma_bias", "beta_weight", "beta_bias")
    row_tiles = count(height * width, tile.m)
    integers = {"height": height, "width": width, "columns": columns, "row_tiles": row_tiles}
    even = [name for name in ("height", "width", "columns") if integers[name] % 16 == 0]
    return Recipe(
        kernel="modulation",
        inputs=dict.fromkeys(("x", "style", *weights), pointer) | {"mean": "*fp32", "rstd": "*fp32"},
        integers=integers,
        outputs={"y": pointer},
        constants={
            "CHANNELS": channels,
            "GROUPS": groups,
            "GROUP_CHANNELS": columns // (groups or columns),
            "BLOCK_M": tile.m,
            "BLOCK_N": tile.n,
            "BLOCK_K": tile.k,
        },
        grid=(row_tiles, count(columns, tile.n)),
        warps=tile.warps,
        stages=tile.stages,
        # Statistics and biases are small, and may lie anywhere.
        aligned=("x", "style", "gamma_weight", "beta_weight", *even, "y"),
    )


def blend(dtype: str, channels: int, side: int) -> Recipe:
    """A stylecode N×channels×side×side with references over it. dtype: fp32, fp16 or bf16."""
    pointer = f"*{dtype}"
    row_tiles = count(side * side, _CELLS)
    integers = {"channels": channels, "side": side, "row_tiles": row_tiles, "references": None}
    even = [name for name in ("channels", "side") if (integers[name] or 1) % 16 == 0]
    return Recipe(
        kernel="blend",
        inputs={
            "code": pointer,
            "laid": pointer,
            "coverage": "*fp32",
            "cells": "*i32",
            "weights": "*fp32",
        },
        integers=integers,
        outputs={"y": pointer},
        constants={"BLOCK_M": _CELLS, "BLOCK_N": _CHANNELS},
        grid=(row_tiles, count(channels, _CHANNELS)),
        warps=4,
        stages=2,
        aligned=("code", "laid", *even, "y"),
    )


def takes_ring(channels: int) -> bool:
    """Whether there is a kernel for a stylecode of ``channels``."""
    return channels % DEPTHS[-1] == 0


def ring(dtype: str, channels: int, columns: int, side: int) -> Recipe:
    """Maps N×columns×side×side of a stylecode of ``channels``. dtype: fp16 or bf16."""
    if dtype not in _HALF:
        raise ValueError(f"plugin ring takes fp16 or bf16, not {dtype}")
    if not takes_ring(channels):
        raise ValueError(f"plugin ring takes stylecodes in multiples of 16 channels, not {channels}")
    tile = PLUGIN_RING.fitted(channels)
    assert tile is not None
    pointer = f"*{dtype}"
    row_tiles = count(side * side, tile.m)
    integers = {"side": side, "columns": columns, "row_tiles": row_tiles, "references": None}
    even = [name for name in ("side", "columns") if (integers[name] or 1) % 16 == 0]
    return Recipe(
        kernel="ring",
        inputs={
            **dict.fromkeys(("code", "maps", "laid"), pointer),
            "coverage": "*fp32",
            "cells": "*i32",
            "weights": "*fp32",
            "border": "*fp32",
            "weight": pointer,
            "bias": pointer,
        },
        integers=integers,
        outputs={"y": pointer},
        constants={
            "CHANNELS": channels,
            "BLOCK_M": tile.m,
            "BLOCK_N": tile.n,
            "BLOCK_K": tile.k,
        },
        grid=(row_tiles, count(columns, tile.n)),
        warps=tile.warps,
        stages=tile.stages,
        aligned=("code", "maps", "laid", "weight", *even, "y"),
    )
