"""What one checkout computes and how long it takes: run by tests/compare_commits.py, in that checkout.

    python one_commit.py outputs SPEC.json OUTPUT.pt     every result of one model, as tensors
    python one_commit.py times SPEC.json                 seconds of the operations named on standard input

Only the public interface of sessions is used, as all commits have it.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

import stylemap
from stylemap.config import Config
from stylemap.model import StyleMapGAN


def model_of(spec: dict[str, Any]) -> StyleMapGAN:
    """Random weights, and for BatchNorm2d running statistics that are not 0 and 1."""
    torch.manual_seed(spec["seed"])
    model = StyleMapGAN(Config.from_dict(spec["config"])).eval().requires_grad_(False)
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if name.endswith("bias"):
            tensor.add_(0.1 * torch.randn_like(tensor))
        elif name.endswith("running_mean"):
            tensor.normal_()
        elif name.endswith("running_var"):
            tensor.uniform_(0.2, 3)
    return model


def photos(size: int, count: int) -> Tensor:
    coarse = torch.rand(count, 3, 12, 12, generator=torch.Generator().manual_seed(3))
    return (2 * F.interpolate(coarse, size=size, mode="bicubic") - 1).clamp(-1, 1)


def box(size: int, x: float, y: float, width: float, height: float) -> Tensor:
    mask = torch.zeros(size, size)
    rows, columns = (slice(int(a * size), int((a + b) * size)) for a, b in ((y, height), (x, width)))
    mask[rows, columns] = 1
    return mask


def open_session(spec: dict[str, Any], model: StyleMapGAN) -> stylemap.EditSession:
    return stylemap.EditSession(model, "cpu", spec["precision"], cache_precision=spec["cache_precision"])


def outputs(spec: dict[str, Any]) -> dict[str, Tensor]:
    """Encodes, decodes, edits with every kind of mask, strips, previews and the other operations."""
    model = model_of(spec)
    session, size = open_session(spec, model), model.config.size
    a, b, c = (session.add(photo) for photo in photos(size, 3))
    found = {f"encode {i}": session.stylemap(handle) for i, handle in enumerate((a, b, c))}
    found["decode"] = session.interpolate(a, b, [1.0, 0.3])
    brush = session.reference(b, box(size, 0.3, 0.4, 0.25, 0.25), (size // 10, -size // 16))
    corner = session.reference(c, box(size, 0, 0, 0.4, 0.3))
    over = session.reference(c, box(size, 0.35, 0.35, 0.3, 0.2), (3, 2))
    itself = session.reference(a, box(size, 0.6, 0.6, 0.3, 0.3), (-size // 4, -size // 4))
    dot = session.reference(b, box(size, 0.5, 0.5, 2.1 / size, 2.1 / size))
    edits = {
        "none": [],
        "brush": [brush],
        "the same again": [brush],
        "dot": [dot],
        "corner and brush": [corner, brush],
        "overlapping": [brush, over],
        "itself": [itself],
        "whole frame": [session.reference(b, torch.ones(size, size))],
        "empty": [session.reference(b, torch.zeros(size, size))],
    }
    for name, references in edits.items():
        found[f"edit, {name}"] = session.edit(a, references)
        found[f"edit, {name}, weight 0.4"] = session.edit(a, references, 0.4)
        found[f"preview, {name}"] = session.edit(a, references, preview=True)
        found[f"preview, {name}, weight 0.4"] = session.edit(a, references, 0.4, preview=True)
    found["frames"] = session.frames(a, [brush, corner], [0, 0.25, 0.5, 1.0])
    found["frames, overlapping"] = session.frames(a, [brush, over], [0.5, 1.0])
    for take in ("coarse", "fine"):
        found[f"mix, {take}"] = session.mix(a, b, take)
    found["transplant"] = session.transplant(a, b, [((0, 1), (2, 2), 2, 1)])
    direction = torch.randn(model.config.stylemap_shape, generator=torch.Generator().manual_seed(5))
    found["manipulate"] = session.manipulate(a, direction, 0.5)
    session.remove(b)
    found["edit of a stylemap"] = session.edit(session.add_stylemap(found["encode 1"]), [corner])
    return found


def operations(spec: dict[str, Any]) -> dict[str, Callable[[], object]]:
    """What is timed, by name. Every edit has another mask than the one before."""
    model = model_of(spec)
    session, size = open_session(spec, model), model.config.size
    images = photos(size, 2)
    a, b = (session.add(photo) for photo in images)
    renderer: Any = getattr(session, "renderer", None) or session._renderer
    w = session.stylemap(a)
    turn = 0

    def reference() -> Any:
        nonlocal turn
        turn = (turn + 1) % 8
        return session.reference(b, box(size, 0.3 + 0.02 * turn, 0.35, 0.25, 0.25))

    def add() -> None:
        session.remove(session.add(images[1]))

    return {
        "encode": lambda: renderer.encode(images[:1]),
        "decode": lambda: renderer.decode(w),
        "cached edit": lambda: session.edit(a, [reference()]),
        "preview": lambda: session.edit(a, [reference()], preview=True),
        "add": add,
    }


def serve_times(spec: dict[str, Any]) -> None:
    """One line in, the name of an operation; one line out, its seconds."""
    known = operations(spec)
    for run in known.values():
        run()
        run()
    print("ready", flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        known[line.strip()]()
        print(time.perf_counter() - start, flush=True)


def main() -> None:
    task, spec = sys.argv[1], json.loads(sys.argv[2])
    torch.set_num_threads(spec["threads"])
    assert Path(stylemap.__file__).is_relative_to(Path.cwd()), "another checkout's package was imported"
    with torch.no_grad():
        if task == "outputs":
            torch.save(outputs(spec), sys.argv[3])
        else:
            serve_times(spec)


if __name__ == "__main__":
    main()
