"""Tests of what only the CUDA kernels have: run on a GPU, or on a CPU by an emulation or an interpreter."""

from collections.abc import Iterator

import pytest
import torch

from stylemap import ops

KEY = "CUDA" if torch.get_default_device().type == "cuda" else "CPU"
if not torch._C._dispatch_has_kernel_for_dispatch_key("stylemap::conv_act", KEY):
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(autouse=True)
def _kernels_or_an_error() -> Iterator[None]:
    """A tensor that no kernel takes, one on the CPU of a GPU machine say, is an error: computed in plain
    PyTorch it would be the reference compared with itself."""
    with ops.backend("native"):
        yield
