"""Nodes of the graphs of a decode, an edit and an encode at 256 full, fp16: what a GPU is given to launch.

Our launchers run and decide as on a GPU; the interpreter counts what they launch and executes nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from stylemap.config import Config
from stylemap.engine.gpu.capture import Replay
from stylemap.engine.gpu.plan import GpuPlan
from stylemap.engine.gpu.renderer import GpuRenderer
from stylemap.engine.images import Edit, Image, ImageHandle, edit_reference
from stylemap.model import StyleMapGAN
from stylemap.ops import autotune

LIBRARY = os.environ.get("STYLEMAP_SASS_LIBRARY")
pytestmark = pytest.mark.skipif(LIBRARY is None, reason="needs the interpreter of machine code")

#: Graph nodes at most: what there are. 45 is the goal for a decode and for an edit.
MOST = {"decode": 86, "edit": 70, "encode": 39}


class Nodes(TorchDispatchMode):
    """Counts PyTorch's operators that launch a kernel: not views, nor what takes memory alone."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        views = any(r.alias_info is not None and not r.alias_info.is_write for r in op._schema.returns)
        name = op._schema.name
        if not views and not name.startswith("stylemap::") and "empty" not in name:
            self.found[name] += 1
        return op(*args, **(kwargs or {}))


class Counting:
    """A capture that counts: ``nodes`` of every function, with PyTorch's by name."""

    def __init__(self) -> None:
        self.library = ctypes.CDLL(LIBRARY)
        self.nodes: list[Counter[str]] = []

    def __call__(self, function: Callable[[], Sequence[Tensor]]) -> Replay:
        before = self._launches()
        with Nodes() as recorded:
            outputs = list(function())
        recorded.found["ours"] = self._launches() - before
        self.nodes.append(recorded.found)
        return (lambda: None), outputs

    def _launches(self) -> int:
        counts = (ctypes.c_uint64 * 4)()
        self.library.sass_counts(counts)
        return counts[0]

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Launches are counted and not executed."""
        self.library.sass_only_count(1)
        try:
            yield
        finally:
            self.library.sass_only_count(0)


@pytest.fixture(autouse=True)
def _tensor_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our kernels; others are an operator of PyTorch or two each. What they leave in memory is anything."""
    monkeypatch.setattr("stylemap.engine.gpu.renderer._check_finite", lambda maps: None)

    def run(op: str, key: Any, device: Any, candidates: dict[str, Callable[[], Any]], *_: str) -> Any:
        return candidates["tensor_cores_128"]()

    monkeypatch.setattr(autotune, "run", run)


@torch.no_grad()
def test_nodes_of_the_graphs() -> None:
    config, counting = Config(), Counting()
    plan = GpuPlan(StyleMapGAN(config), "cpu", "fp16", capture=counting)
    renderer = GpuRenderer(plan, 1 << 32, torch.float16)
    w = torch.zeros(1, *config.stylemap_shape)
    with counting.alone():
        plan.decode(w)
        plan.encode(torch.zeros(1, 3, config.size, config.size))
        mask = torch.zeros(config.size, config.size)
        mask[96:160, 96:160] = 1
        images = [Image(i, renderer.own(w)) for i in range(2)]
        reference = edit_reference(ImageHandle(1), mask, (0, 0), config)
        renderer.frames(Edit(images[0], [reference], [images[1]]), [1.0])
    names = ("decode", "encode", "edit")
    found = dict(zip(names, counting.nodes, strict=True))
    totals = {name: sum(found[name].values()) for name in names}
    print(totals, found)
    assert all(totals[name] <= MOST[name] for name in names), found
