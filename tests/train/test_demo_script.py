"""The script that trains the demo model runs from the first stage to the last."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

import stylemap
from stylemap import assets, edit
from stylemap.metrics.directions import ATTRIBUTES
from tests.helpers import warm


@pytest.mark.slow
def test_every_stage_runs(tmp_path: Path, warm_commands: Path) -> None:
    command = ["sh", str(assets.FOLDER / "train_demo.sh"), str(tmp_path), "short"]
    environment = warm.environment(warm_commands)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    stages = {"32", "64", "128", "edits", "features", "mapping", "gan", "features2", "gan2", "mapping2"}
    assert {entry.name for entry in tmp_path.iterdir() if entry.is_dir()} == stages
    model = stylemap.load(tmp_path / "demo.safetensors")
    directions = edit.load_directions(tmp_path / "demo_directions.safetensors", model.config.stylemap_shape)
    assert set(directions) == set(ATTRIBUTES)
    values = json.loads((tmp_path / "demo_metrics.json").read_text())["values"]
    assert {"reconstruction mse", "Fréchet distance (EfficientNet-Lite0) edits"} <= set(values)
