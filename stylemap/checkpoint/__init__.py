"""Checkpoints: read the published .pt layout and our .safetensors, write both, convert between them."""

from stylemap.checkpoint.contents import Checkpoint, CheckpointError
from stylemap.checkpoint.hub import DEMO, is_remote, locate
from stylemap.checkpoint.reading import load, load_state, notes
from stylemap.checkpoint.writing import convert, save_published, save_safetensors

__all__ = [
    "DEMO",
    "Checkpoint",
    "CheckpointError",
    "convert",
    "is_remote",
    "load",
    "load_state",
    "locate",
    "notes",
    "save_published",
    "save_safetensors",
]


def __dir__() -> list[str]:
    return __all__
