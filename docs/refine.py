"""What --refine gains on held-out faces: python docs/refine.py writes benchmarks/results/refine.json."""

from __future__ import annotations

import json
from pathlib import Path

import torch

import stylemap
from stylemap import edit
from stylemap.data.faces import FacesDataset
from stylemap.files import write_whole

FACES, STEPS = 8, (0, 10, 25, 50)
RESULT = Path(__file__).parent.parent / "benchmarks" / "results" / "refine.json"


def main() -> None:
    """Mean squared error of the bundled model's best stylemap after so many steps."""
    model = stylemap.load()
    faces = FacesDataset(model.config.size, FACES, held_out=True).batch(range(FACES))
    found = edit.invert(
        model, faces, steps=max(STEPS), progress=lambda step, loss: print(step, loss, flush=True)
    )
    each = torch.arange(FACES)
    errors = {}
    for steps in STEPS:
        best = found.losses[: steps + 1].argmin(0)
        errors[str(steps)] = float(f"{float(found.curves['mse'][best, each].mean()):.6g}")
    content = {"model": "bundled", "faces": FACES, "torch": torch.__version__, "mse": errors}
    with write_whole(RESULT) as file:
        file.write((json.dumps(content, indent=2) + "\n").encode())
    print(errors)


if __name__ == "__main__":
    main()
