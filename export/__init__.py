"""Models outside: ONNX files, TensorRT engines, and a `Runtime` that edits with them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from stylemap.optional import explained

if TYPE_CHECKING:
    from stylemap.export.onnx import export_onnx as export_onnx
    from stylemap.export.runtime import Runtime as Runtime

_EXPORTS = {"Runtime": "runtime", "export_onnx": "onnx"}
__all__ = ["Runtime", "export_onnx"]


def __getattr__(name: str) -> Any:
    # The onnx package is optional, and not needed to run what was exported.
    if name in _EXPORTS:
        try:
            return getattr(importlib.import_module(f"stylemap.export.{_EXPORTS[name]}"), name)
        except ModuleNotFoundError as error:
            raise explained(error, name) or error from error
    raise AttributeError(f"module 'stylemap.export' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
