"""Checkpoints: read the published .pt layout and our .safetensors, write both, convert between them."""

from stylemap.checkpoint.contents import Checkpoint, CheckpointError
from stylemap.checkpoint.reading import load, load_state, notes
from stylemap.checkpoint.writing import convert, save_published, save_safetensors

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "convert",
    "load",
    "load_state",
    "notes",
    "save_published",
    "save_safetensors",
]
