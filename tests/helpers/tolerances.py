"""The largest error a result may have, for every test: one table by device and precision.

Errors are relative L2, ‖actual − expected‖ / ‖expected‖, against float64 unless a row says otherwise.
No number is raised to make a test pass; a test of another kind of result adds a row.
"""

from __future__ import annotations

import torch
from torch import Tensor

#: (what, precision): the limit on the CPU, the limit on a CUDA device. None: not tested there.
_LIMITS: dict[tuple[str, str], tuple[float | None, float | None]] = {
    # One operator against its definition in stylemap/ops/reference.py. In half precision the error must also
    # be below twice PyTorch's own (tests/ops/common.py).
    ("operator", "fp64"): (1e-14, 1e-14),
    ("operator", "fp32"): (1e-6, 1e-6),
    ("operator", "bf16"): (4e-3, 4e-3),
    ("operator", "fp16"): (6e-4, 6e-4),
    # Convolutions of the CPU plan. A larger output tile is transformed with larger factors.
    ("convolution, tile 2", "fp32"): (4e-7, None),
    ("convolution, tile 4", "fp32"): (1e-6, None),
    ("convolution, tile 6", "fp32"): (4e-6, None),
    ("convolution, tile 2", "bf16"): (6e-3, None),
    ("convolution, tile 4", "bf16"): (1.5e-2, None),
    # One layer of the model against its formula, element by element (also absolute).
    ("layer", "fp64"): (1e-12, None),
    # A stylemap, stylecode, image or edit by any plan, session or exported file.
    ("network", "fp64"): (1e-12, None),
    ("network", "fp32"): (1e-5, 1e-5),
    ("network", "fp16"): (3e-3, 3e-3),
    ("network", "bf16"): (2e-2, 2e-2),
    # The network for inference on plain tensors (stylemap/program/plain.py).
    ("plain", "fp64"): (1e-13, None),
    # The modules themselves in a low dtype, which round after every operation.
    ("modules", "fp16"): (5e-3, 1e-2),
    ("modules", "bf16"): (4e-2, None),
    # Against values kept in float32, as those of tests/goldens are: hence 1e-6 in float64.
    ("golden", "fp64"): (1e-6, None),
    ("golden", "fp32"): (1e-5, 1e-5),
    # Gradients whose leaky ReLUs take the branches of float32 (see tests/model/test_training_goldens.py).
    ("golden gradient", "fp32"): (1e-3, None),
    # Gradients of a whole network.
    ("gradient", "fp32"): (None, 1e-4),
    # Edits of images whose stylecodes are cached in half precision, against float32.
    ("cache", "fp16"): (2e-3, None),
    ("cache", "bf16"): (2e-2, None),
}

_PRECISIONS = {torch.float64: "fp64", torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}


def tolerance(what: str, precision: str | torch.dtype, device: str | None = None) -> float:
    """The limit of a row.

    Args:
        what: the kind of result, as the table names it.
        precision: "fp64", "fp32", "bf16" or "fp16", or the dtype.
        device: "cpu" or "cuda"; where None, the type of PyTorch's default device.

    Raises:
        KeyError: the table has no such row, or no limit for the device.
    """
    name = precision if isinstance(precision, str) else _PRECISIONS[precision]
    device = torch.get_default_device().type if device is None else device
    limit = _LIMITS[what, name][("cpu", "cuda").index(device)]
    if limit is None:
        raise KeyError(f"no tolerance for {what} in {name} on {device}")
    return limit


def assert_elements_close(actual: Tensor, expected: Tensor, what: str, precision: str) -> None:
    """No element differs by more than the row's limit, relative or absolute."""
    limit = tolerance(what, precision)
    torch.testing.assert_close(actual, expected, rtol=limit, atol=limit)
