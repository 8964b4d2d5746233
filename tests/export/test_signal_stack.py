"""A library may not leave a signal stack behind that it frees later."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.helpers import needs

needs.package("openvino")
needs.package("onnx")

from stylemap.export import Runtime  # noqa: E402
from stylemap.export.sessions.signal_stack import _Stack, kept_signal_stack  # noqa: E402
from tests.helpers import tiny  # noqa: E402

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="sigaltstack as Linux has it")
START = """
import ctypes, sys
from stylemap.export import Runtime
from stylemap.export.sessions.signal_stack import _Stack
def start():
    stack = _Stack()
    ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack))
    return stack.start, stack.size
before = start()
runtime = Runtime(sys.argv[1], "openvino", threads=1)
import torch
runtime.decode(torch.zeros(1, *runtime.config.stylemap_shape))
assert start() == before, (start(), before)
"""


def _now() -> tuple[int | None, int]:
    stack = _Stack()
    assert ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack)) == 0
    return stack.start, stack.size


def test_a_changed_stack_is_put_back() -> None:
    before = _now()
    memory = ctypes.create_string_buffer(1 << 16)
    other = _Stack(ctypes.cast(memory, ctypes.c_void_p), 0, len(memory))
    with suppress(KeyError), kept_signal_stack():
        assert ctypes.CDLL(None).sigaltstack(ctypes.byref(other), None) == 0
        assert _now() == (ctypes.addressof(memory), len(memory))
        raise KeyError
    assert _now() == before


def test_openvino_leaves_the_stack_of_a_fresh_process(exported: Path) -> None:
    done = subprocess.run([sys.executable, "-c", START, str(exported)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_openvino_leaves_the_stack_of_this_thread(exported: Path) -> None:
    before = _now()
    runtime = Runtime(exported, "openvino", threads=1)
    runtime.decode(tiny.stylemaps(1))
    assert _now() == before
