"""StyleMapGAN with C++/CUDA kernels of its own: encode photos, edit them locally, see it in milliseconds."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stylemap.checkpoint import CheckpointError as CheckpointError
    from stylemap.checkpoint import load as load
    from stylemap.config import Config as Config
    from stylemap.engine.session import EditSession as EditSession
    from stylemap.model import Discriminator as Discriminator
    from stylemap.model import StyleMapGAN as StyleMapGAN

__version__ = "0.1.0"

_EXPORTS = {
    "CheckpointError": "checkpoint",
    "Config": "config",
    "Discriminator": "model",
    "EditSession": "engine.session",
    "StyleMapGAN": "model",
    "load": "checkpoint",
}
__all__ = ["CheckpointError", "Config", "Discriminator", "EditSession", "StyleMapGAN", "__version__", "load"]


def __getattr__(name: str) -> Any:
    # Torch and the native libraries are loaded when something that needs them is asked for.
    if name in _EXPORTS:
        return getattr(importlib.import_module(f"stylemap.{_EXPORTS[name]}"), name)
    raise AttributeError(f"module 'stylemap' has no attribute {name!r}")
