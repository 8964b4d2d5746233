"""A stand-in for ``tensorrt`` and its ``plugin`` module: holds definitions to the rules and asks them.

Symbolic expressions are plain numbers. What TensorRT would launch, `Registry.launch` returns.
"""

from __future__ import annotations

import enum
import inspect
import typing
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import torch

DataType = enum.Enum("DataType", ["FLOAT", "HALF", "BF16", "INT32", "INT64"])
KINDS = {
    torch.float32: DataType.FLOAT,
    torch.float16: DataType.HALF,
    torch.bfloat16: DataType.BF16,
    torch.int32: DataType.INT32,
}
NAMES = {DataType.FLOAT: "FP32", DataType.HALF: "FP16", DataType.BF16: "BF16", DataType.INT32: "INT32"}
trt = SimpleNamespace(DataType=DataType, __version__="10.13.0", QuickPluginCreationRequest=object)


class TensorDesc:
    """shape is known but for the batch (and references), -1; shape_expr is what it will be."""

    def __init__(self, tensor: torch.Tensor, dynamic: Sequence[int] = ()) -> None:
        self.dtype = KINDS[tensor.dtype]
        self.shape_expr = tuple(tensor.shape)
        self.shape = tuple(-1 if axis in dynamic else size for axis, size in enumerate(tensor.shape))

    def like(self) -> TensorDesc:
        made = TensorDesc.__new__(TensorDesc)
        made.__dict__.update(self.__dict__)
        return made


class AutoTuneCombination:
    def __init__(self, io_types: str, layouts: str, tactics: Sequence[int] = ()) -> None:
        self.types = io_types.split(", ")
        self.layouts = layouts.split(", ")
        self.tactics = list(tactics)


class KernelLaunchParams:
    grid_x = grid_y = grid_z = block_x = block_y = block_z = 1
    shared_mem = 0


class SymInt32(int):
    pass


class SymExprs(list):
    pass


class SymIntExprs(SymExprs):
    @classmethod
    def from_tuple(cls, values: Sequence[SymInt32]) -> SymIntExprs:
        assert all(isinstance(value, SymInt32) for value in values)
        return cls(values)


class Registry:
    """The module: plugins by identity."""

    TensorDesc = TensorDesc
    AutoTuneCombination = AutoTuneCombination
    KernelLaunchParams = KernelLaunchParams
    SymInt32 = SymInt32
    SymIntExprs = SymIntExprs

    def __init__(self) -> None:
        self.plugins: dict[str, dict[str, Any]] = {}

    def register(self, identity: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def keep(function: Callable[..., Any]) -> Callable[..., Any]:
            signature = inspect.signature(function)
            kinds = {name: p.annotation for name, p in signature.parameters.items()}
            assert set(kinds.values()) == {TensorDesc}  # none of them has attributes
            assert signature.return_annotation is TensorDesc
            assert identity not in self.plugins
            self.plugins[identity] = {"describe": function, "tensors": list(kinds)}
            return function

        return keep

    def autotune(self, identity: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def keep(function: Callable[..., Any]) -> Callable[..., Any]:
            known = self.plugins[identity]
            assert list(inspect.signature(function).parameters) == [*known["tensors"], "outputs"]
            known["tune"] = function
            return function

        return keep

    def aot_impl(self, identity: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def keep(function: Callable[..., Any]) -> Callable[..., Any]:
            known, signature = self.plugins[identity], inspect.signature(function)
            assert list(signature.parameters) == [*known["tensors"], "outputs", "tactic"]
            assert typing.get_origin(signature.return_annotation) is tuple
            _, _, launch, extra = typing.get_args(signature.return_annotation)
            assert launch is KernelLaunchParams
            assert issubclass(extra, SymExprs)
            known["compile"] = function
            return function

        return keep

    def combinations(self, identity: str, descs: Sequence[TensorDesc]) -> Any:
        known = self.plugins[identity]
        output = known["describe"](*descs)
        return known["tune"](*descs, (output,)), output

    def launch(
        self, identity: str, descs: Sequence[TensorDesc], tactic: int
    ) -> tuple[str, Any, KernelLaunchParams, SymIntExprs]:
        known = self.plugins[identity]
        output = known["describe"](*descs)
        return known["compile"](*descs, (output,), tactic)
