"""From nothing to the first edit, in a process of its own; and the memory that process takes.

    python -m stylemap.benchmarks.cold CHECKPOINT PRECISION BACKEND DEVICE THREADS

The process reads the model from a file, as a user's does, which was written just before and is still in the
system's memory. What other runs left on the disk stays: torch.compile finds kernels it has compiled before.
"""

from __future__ import annotations

import atexit
import functools
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_LIMIT = 400
_BEGIN = time.time()


class ColdError(RuntimeError):
    """The process failed; the message is its last line."""


def measure(model: str, precision: str, backend: str, device: str, threads: int) -> dict[str, Any]:
    """A row of the part "cold"."""
    command = [sys.executable, "-m", __name__, _checkpoint(model), precision, backend, device, str(threads)]
    begin = time.time()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT, check=False)
    except subprocess.TimeoutExpired:
        raise ColdError(f"{backend} {precision}: no first edit within {_LIMIT} s") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        raise ColdError(f"{backend} {precision}: {lines[-1]}")
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    # The process counts from its first line; the interpreter started before.
    for name in ("import_s", "model_s", "ready_s"):
        row[name] = round(row[name] + row["begin"] - begin, 3)
    del row["begin"]
    return {"model": model, "precision": precision, "backend": backend, **row}


@functools.cache
def _checkpoint(model: str) -> str:
    """A model of `models.CONFIGS` as a file, until the process ends."""
    from stylemap.benchmarks import models
    from stylemap.checkpoint import save_safetensors

    folder = tempfile.TemporaryDirectory(prefix="stylemap-cold-")
    atexit.register(folder.cleanup)
    path = Path(folder.name) / f"{model}.safetensors"
    save_safetensors(models.load(model), path)
    return str(path)


def main(arguments: Sequence[str]) -> None:
    """Start, edit, and print the row as JSON, seconds counted from this process's first line."""
    path, precision, backend_name, device_name, threads = arguments
    import torch

    import stylemap
    from stylemap.benchmarks import machine
    from stylemap.benchmarks.backends import Photos, to_bytes
    from stylemap.benchmarks.rivals import Makers
    from stylemap.benchmarks.strokes import script

    torch.set_num_threads(int(threads))
    device = torch.device(device_name)
    base, imported = machine.resident(), time.time()
    with torch.no_grad():
        model = stylemap.load(path)
        loaded = time.time()
        makers = Makers(model, Photos(model.config.size), device, int(threads))
        backend = makers(backend_name, precision)
        # As a program does that has no other use for it: `EditSession(stylemap.load(path))`.
        makers.forget_model()
        del model
        ready = time.time()
        backend.play("open", script("open")[:1])
        opened = time.time()
        to_bytes(backend.edit(script("paint_64")[0]))
        edited = time.time()
        for step in script("paint_64")[1:4]:
            to_bytes(backend.edit(step))
        makers.close()
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated() / 2**20
    else:
        peak = machine.peak_resident() / 1024
    row = {
        "begin": _BEGIN,
        "import_s": imported - _BEGIN,
        "model_s": loaded - _BEGIN,
        "ready_s": ready - _BEGIN,
        "open_s": round(opened - ready, 4),
        "edit_s": round(edited - opened, 4),
        "base_mib": round(base / 1024, 1),
        "peak_mib": round(peak, 1),
    }
    print(json.dumps(row))


if __name__ == "__main__":
    main(sys.argv[1:])
