from __future__ import annotations

import logging
import subprocess
import sys

import pytest
import torch

from stylemap import ops
from stylemap.ops import _backend, _native
from tests.ops.common import tensor


def test_choice_and_restoration() -> None:
    assert ops.current_backend("cpu") == "native"
    with ops.backend("reference"):
        assert ops.current_backend("cpu") == "reference"
        with ops.backend("native"):
            assert ops.current_backend("cpu") == "native"
        assert ops.current_backend("cpu") == "reference"
    assert ops.current_backend("cpu") == "native"


def test_reference_runs_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("the native operator was called")

    monkeypatch.setattr(torch.ops.stylemap, "bias_act", refuse)
    with ops.backend("reference"):
        ops.bias_act(tensor(1, 2, 3, 3))
    with pytest.raises(AssertionError, match="native"):
        ops.bias_act(tensor(1, 2, 3, 3))


def test_unknown_name() -> None:
    with pytest.raises(ValueError, match="fastest"):
        ops.set_backend("fastest")


def test_missing_kernels(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setitem(_native.missing, "cpu", "there is no compiler")
    monkeypatch.setattr(_backend, "_announced", set())
    x = tensor(1, 2, 3, 3)
    with caplog.at_level(logging.WARNING, "stylemap.ops"):
        ops.bias_act(x)
        ops.bias_act(x)
    assert [r.message for r in caplog.records] == [
        "plain PyTorch instead of native kernels for cpu tensors: there is no compiler"
    ]
    with pytest.raises(RuntimeError, match="there is no compiler"):
        ops.set_backend("native")
    assert ops.current_backend("cpu") == "reference"


def test_explicit_request_that_a_device_cannot_meet() -> None:
    x = tensor(1, 2, 3, 3).to("meta")
    assert ops.bias_act(x).device.type == "meta"
    with ops.backend("native"), pytest.raises(RuntimeError, match="meta"):
        ops.bias_act(x)


def test_import_is_lazy() -> None:
    code = "import sys, stylemap; assert 'torch' not in sys.modules and 'stylemap.ops' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
