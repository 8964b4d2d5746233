"""StyleMapGAN with C++/CUDA kernels of its own: encode photos, edit them locally, see it in milliseconds."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stylemap import checkpoint as checkpoint
    from stylemap import edit as edit
    from stylemap import images as images
    from stylemap import ops as ops
    from stylemap import sheets as sheets
    from stylemap.checkpoint import CheckpointError as CheckpointError
    from stylemap.checkpoint import load as load
    from stylemap.config import Config as Config
    from stylemap.engine.session import EditSession as EditSession
    from stylemap.images import to_image as to_pil
    from stylemap.model import Discriminator as Discriminator
    from stylemap.model import StyleMapGAN as StyleMapGAN

__version__ = "0.1.0"

# Public name: its module, and what it is called there where that is another name. demo_faces is not imported
# above for type checkers: whatever imports this module for its version would depend on the data.
_EXPORTS = {
    "CheckpointError": "checkpoint",
    "Config": "config",
    "Discriminator": "model",
    "EditSession": "engine.session",
    "StyleMapGAN": "model",
    "demo_faces": "data.faces",
    "load": "checkpoint",
    "to_pil": "images:to_image",
}
_MODULES = ("checkpoint", "edit", "images", "ops", "sheets")
__all__ = [
    "CheckpointError",
    "Config",
    "Discriminator",
    "EditSession",
    "StyleMapGAN",
    "__version__",
    "checkpoint",
    "demo_faces",
    "edit",
    "images",
    "load",
    "ops",
    "sheets",
    "to_pil",
]


def __getattr__(name: str) -> Any:
    # Torch and the native libraries are loaded when something that needs them is asked for.
    if name in _EXPORTS:
        module, _, other = _EXPORTS[name].partition(":")
        return getattr(importlib.import_module(f"stylemap.{module}"), other or name)
    if name in _MODULES:
        return importlib.import_module(f"stylemap.{name}")
    raise AttributeError(f"module 'stylemap' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
