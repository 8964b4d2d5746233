"""The examples run, are short, and write what they say."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from PIL import Image

from tests.helpers import needs, warm

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
WRITTEN = {
    "paint_a_mouth": ("before.png", "after.png", "fading.gif"),
    "move_along_a_direction": ("smile.png",),
    "random_faces": ("samples.png", "turning.gif"),
    "edit_a_clip": ("clip.gif",),
    "deploy_onnx": ("deployed.png",),
}
NOTEBOOK = EXAMPLES / "first_steps.ipynb"


def test_every_example_is_tried_and_short() -> None:
    scripts = {path.stem: path for path in EXAMPLES.glob("*.py")}
    assert set(scripts) == set(WRITTEN)
    assert all(len(path.read_text().splitlines()) < 60 for path in scripts.values())


@pytest.mark.parametrize("name", WRITTEN)
def test_an_example_writes_its_pictures(tmp_path: Path, warm_commands: Path, name: str) -> None:
    if name == "deploy_onnx":
        needs.package("onnxruntime")
    arguments = ["smile"] if name == "move_along_a_direction" else []
    environment = warm.environment(warm_commands)
    command = [str(warm_commands / "python"), str(EXAMPLES / f"{name}.py"), *arguments, str(tmp_path)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    for file in WRITTEN[name]:
        with Image.open(tmp_path / file) as picture:
            picture.load()
            assert picture.convert("L").getextrema() != (0, 0)


@pytest.mark.slow
def test_the_notebook_runs_from_top_to_bottom(monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient, nbformat = needs.package("nbclient"), needs.package("nbformat")
    needs.package("ipykernel")
    monkeypatch.setenv("PYTHONPATH", str(EXAMPLES.parent))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in shown) >= 5
    assert any("text/html" in output.get("data", {}) for output in shown)
