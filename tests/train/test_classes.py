"""A class-conditional run as a whole: from drawn faces of ten classes to pictures of one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import stylemap
from stylemap import checkpoint
from stylemap.cli import main
from stylemap.data.faces import class_names
from stylemap.train import checkpoints, train
from stylemap.train.grow import start_from
from stylemap.train.networks import Networks
from stylemap.train.step import Step
from tests.train import tiny_run
from tests.train.test_grow import larger

LABEL = "beard_style+glasses"
NAMES = class_names(LABEL)


def config(**changes: Any) -> Any:
    return tiny_run.config(**({"classes": 10, "class_label": LABEL, "iterations": 4} | changes))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    train(config(sample_every=4), folder)
    return folder


def newest(folder: Path) -> Path:
    return checkpoints.found(folder / "checkpoints")[-1]


def test_the_model_knows_its_classes(run: Path) -> None:
    assert len(NAMES) == 10
    model = stylemap.load(newest(run))
    assert model.class_names == NAMES
    networks = Networks(config(), tiny_run.CPU)
    checkpoints.load(newest(run), networks, config())
    z, labels = torch.randn(10, 6), torch.arange(10)
    assert torch.equal(model.map(z, labels), networks.mapping_ema(z, labels))
    assert not torch.allclose(model.map(z[:1], labels[:1]), model.map(z[:1], labels[1:2]))


def test_grids_have_a_row_for_each_class(run: Path) -> None:
    (grid,) = (run / "samples").iterdir()
    # Of the average, and of the networks being trained, which differ without a ramp-up.
    assert Image.open(grid).size == (8 * 16, 2 * 10 * 16)


def test_class_vectors_have_a_moving_average() -> None:
    networks = Networks(config(ema_decay=0.9, ema_rampup=False), tiny_run.CPU)
    assert networks.mapping.embedding is not None
    assert networks.mapping_ema.embedding is not None
    before = networks.mapping.embedding.weight.detach().clone()
    labels = torch.arange(4)
    part = tiny_run.part(4)._replace(labels=labels, sample_labels=labels)
    Step(networks, config(ema_decay=0.9, ema_rampup=False))([part], 1)
    raw = networks.mapping.embedding.weight
    assert not torch.equal(before, raw)
    torch.testing.assert_close(networks.mapping_ema.embedding.weight, 0.9 * before + 0.1 * raw)


def test_samples_of_a_class_from_the_command(run: Path, tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    assert main(["convert", str(newest(run)), str(file)]) == 0
    common = ["--model", str(file), "--device", "cpu", "--truncation", "1"]
    for name in ("3", NAMES[3], "7"):
        out = ["--count", "1", "--output", str(tmp_path / f"{name}.png"), "--no-sheet"]
        assert main(["sample", "--class", name, *out, *common]) == 0
    pictures = [(tmp_path / f"{name}.png").read_bytes() for name in ("3", NAMES[3], "7")]
    assert pictures[0] == pictures[1] != pictures[2]
    assert main(["sample", "--class", "all", "--count", "2", "--output", str(tmp_path / "all"), *common]) == 0
    assert len(list((tmp_path / "all").glob("class_*.png"))) == 20


def test_an_unknown_class_is_one_line(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = [
        "--output",
        str(tmp_path / "a.png"),
        "--count",
        "1",
        "--model",
        str(newest(run)),
        "--device",
        "cpu",
    ]
    assert main(["sample", "--class", "tall", *out]) == 1
    error = capsys.readouterr().err
    assert "no class 'tall': the model has 0 none, no glasses" in error
    assert error.count("\n") == 1


def test_starting_from_it_copies_the_vectors(run: Path) -> None:
    old = checkpoint.load_state(newest(run))
    assert old.classes is not None
    assert old.discriminator_classes is not None
    for model in (tiny_run.MODEL, larger()):
        new = Networks(config(model=model, seed=3), tiny_run.CPU)
        start_from(newest(run), new, model.size)
        state = new.state_dict()
        for name in ("g_classes", "g_ema_classes"):
            assert torch.equal(state[name]["weight"], old.classes["weight"])
        assert torch.equal(state["d_classes"]["weight"], old.discriminator_classes["weight"])
    other = Networks(config(classes=2, class_label="glasses"), tiny_run.CPU)
    with pytest.raises(ValueError, match="of 10 classes, the new one of 2"):
        start_from(newest(run), other, 16)


def test_a_file_without_the_average_is_continued(run: Path, tmp_path: Path) -> None:
    state = torch.load(newest(run), weights_only=False)
    del state["g_ema_classes"]
    torch.save(state, tmp_path / "00000004.pt")
    networks = Networks(config(), tiny_run.CPU)
    checkpoints.load(tmp_path / "00000004.pt", networks, config())
    assert torch.equal(networks.state_dict()["g_ema_classes"]["weight"], state["g_classes"]["weight"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": 3}, "has 10 classes"),
        ({"class_label": "height"}, "no label 'height': there are hair_colour"),
    ],
)
def test_wrong_classes_are_named(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        train(config(**changes), tmp_path)
