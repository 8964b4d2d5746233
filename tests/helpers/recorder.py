"""CUDA graphs as a CPU can have them: a function's operators are recorded and replayed on the same tensors.

As in a graph, Python does not run again, results land in the memory of the recording, and what waits for
the device cannot be recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_WAITING = (
    "aten::_local_scalar_dense",
    "aten::nonzero",
    "aten::masked_select",
    "aten::equal",
    "aten::unique",
)
_EMPTY = ("aten::empty", "aten::new_empty", "aten::empty_like", "aten::empty_strided")


class GraphRecorder:
    """An `engine.gpu.capture.Capture`. ``failing``: refuses, as where nothing can be captured."""

    def __init__(self, failing: bool = False) -> None:
        self.failing = failing
        self.captures = 0
        self.replays = 0

    def __call__(self, function: Callable[[], Sequence[Tensor]]) -> tuple[Callable[[], None], list[Tensor]]:
        if self.failing:
            raise RuntimeError("operation not permitted when stream is capturing\nlong story")
        with _Tape() as tape:
            outputs = list(function())
        self.captures += 1

        def replay() -> None:
            self.replays += 1
            tape.replay()

        return replay, outputs


class _Tape(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, tuple[Any, ...], dict[str, Any], Any]] = []

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = function.name().split(".")[0]
        masks = name.startswith("aten::index") and _dtypes(args[1:]) & {torch.bool, torch.uint8}
        if name in _WAITING or (masks and name in ("aten::index", "aten::index_put_", "aten::index_put")):
            raise RuntimeError(f"{name} waits for the device")
        result = function(*args, **(kwargs or {}))
        self.calls.append((function, args, kwargs or {}, result))
        return result

    @torch.no_grad()
    def replay(self) -> None:
        for function, args, kwargs, recorded in self.calls:
            fresh = function(*args, **kwargs)
            for old, new in zip(tree_leaves(recorded), tree_leaves(fresh), strict=True):
                if not isinstance(old, Tensor) or old.numel() == 0:
                    continue
                if function.name().split(".")[0] in _EMPTY:
                    # Memory that nothing has written yet may hold anything.
                    old.fill_(torch.nan if old.is_floating_point() else 77)
                elif old.untyped_storage().data_ptr() != new.untyped_storage().data_ptr():
                    old.copy_(new)


def _dtypes(values: Any) -> set[torch.dtype]:
    return {value.dtype for value in tree_leaves(values) if isinstance(value, Tensor)}
