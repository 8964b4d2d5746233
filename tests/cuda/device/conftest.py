"""Tests of what only the CUDA kernels have: run on a GPU, or emulated by tests/cuda/test_emulated.py."""

import torch

import stylemap.ops  # noqa: F401

KEY = "CUDA" if torch.get_default_device().type == "cuda" else "CPU"
if not torch._C._dispatch_has_kernel_for_dispatch_key("stylemap::conv_act", KEY):
    collect_ignore_glob = ["test_*.py"]
