"""``pytest -p tests.cuda.on_gpu``: the operator tests on the GPU.

Tensors are made there by default, and products of float32 are exact enough for the tests' tolerances.
"""

from __future__ import annotations

import os

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # for deterministic algorithms

import torch


def pytest_load_initial_conftests() -> None:
    if not torch.cuda.is_available():
        raise SystemExit("torch sees no CUDA device")
    torch.set_default_device("cuda")
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
