"""All metrics of a model on a set of images, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from stylemap.data.faces import FacesDataset, Part
from stylemap.data.protocol import ImageDataset
from stylemap.edit.direction_set import NamedDirection
from stylemap.edit.manipulate import manipulate
from stylemap.edit.sample import latents, latents_of_class
from stylemap.metrics.directions import (
    ATTRIBUTES,
    Classifiers,
    Progress,
    attribute_labels,
    batches_of,
    fit_directions,
    moves,
    separation,
    silent,
)
from stylemap.metrics.efficientnet import EfficientNetDistance
from stylemap.metrics.fid import Extractor, frechet_distance, gaussian, load_inception
from stylemap.metrics.local_editing import local_editing
from stylemap.metrics.lpips import load_lpips
from stylemap.metrics.realism import Looks, Statistics
from stylemap.metrics.reconstruction import reconstruction
from stylemap.model import Model
from stylemap.perceptual import FeatureDistance

_CALIBRATION = 256
_CLASS_IMAGES = 10  # fewer have no covariance worth comparing
SCORED = ("smile", "glasses", "blond hair")
PARTS = {"mouth": (Part.MOUTH,), "eyes": (Part.EYES, Part.BROWS), "hair": (Part.HAIR,)}


@dataclass(frozen=True)
class Options:
    """Settings of an evaluation.

    count: test images. samples: images for the FIDs. fit: faces that directions are fitted on.
    lpips, lpips_heads, inception: files of weights; a metric without its weights is skipped.
    space: of local editing. seed: of z, pairs and interpolation weights. batch: images at a time.
    """

    count: int = 500
    samples: int = 5000
    fit: int = 2000
    truncation: float = 1.0
    lpips: str = ""
    lpips_heads: str = ""
    inception: str = ""
    space: str = "w+"
    seed: int = 0
    batch: int = 16

    def __post_init__(self) -> None:
        for name in ("count", "samples", "fit"):
            if getattr(self, name) < 2:
                raise ValueError(f"{name} must be at least 2, got {getattr(self, name)}")
        if self.batch < 1:
            raise ValueError(f"batch must be at least 1, got {self.batch}")


class Classes(NamedTuple):
    """numbers: int64, the class of every test image. names: of the classes, in the model's order."""

    numbers: Tensor
    names: tuple[str, ...]


@dataclass
class Report:
    """values: metric to number. skipped: metric to reason. counts: numbers of images, samples and pairs."""

    values: dict[str, float] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The three mappings under their names, as JSON can hold them."""
        return {"values": self.values, "skipped": self.skipped, "counts": self.counts}

    def table(self) -> str:
        """One line per metric."""
        rows = [(name, f"{value:.5g}") for name, value in self.values.items()]
        rows += [(name, f"skipped: {reason}") for name, reason in self.skipped.items()]
        width = max((len(name) for name, _ in rows), default=0)
        return "\n".join(f"{name:<{width}}  {text}" for name, text in rows)


class Evaluation:
    """Runs the metrics one after the other; `run` does all of them.

    dataset: test images. train: faces to fit directions on. masks: bool masks N x S x S per part for local
    editing; a `FacesDataset` has its own. directions: those that moves are measured along, else fitted ones.
    classes: of the test images, for a class-conditional model.
    """

    def __init__(
        self,
        model: Model,
        dataset: ImageDataset,
        options: Options,
        *,
        train: FacesDataset | None = None,
        masks: dict[str, Tensor] | None = None,
        directions: Mapping[str, NamedDirection] | None = None,
        classes: Classes | None = None,
        progress: Progress = silent,
    ) -> None:
        self.model, self.dataset, self.options, self.train = model, dataset, options, train
        self.count = min(options.count, len(dataset))
        self.masks = masks if masks is not None else self._part_masks()
        self.directions, self.classes = directions, classes
        self.progress = progress
        self.like = model.like
        self.report = Report(counts={"images": self.count})

    @torch.no_grad()
    def run(self) -> Report:
        """Run every metric. One that lacks its weights or labels goes to ``skipped``, with the reason."""
        self._reconstruction()
        self._fid()
        self._realism()
        if self._efficientnet is None:
            self._local_editing()
        self._directions()
        return self.report

    def images(self, indices: Sequence[int]) -> Tensor:
        """Test images N x 3 x S x S in [-1, 1], in the model's dtype and on its device."""
        return self.dataset.batch(list(indices)).to(self.like)

    def _batches(self, label: str) -> Iterator[Tensor]:
        ranges = batches_of(self.count, self.options.batch)
        for chosen in self.progress(ranges, label, len(ranges)):
            yield self.images(chosen)

    def _reconstruction(self) -> None:
        distances: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
            "features": FeatureDistance().to(self.like.device)
        }
        if self._efficientnet is not None:
            distances["efficientnet"] = self._efficientnet
        if self.options.lpips:
            distances["lpips"] = load_lpips(self.options.lpips, self.options.lpips_heads).to(self.like.device)
        else:
            self.report.skipped["reconstruction lpips"] = "no VGG-16 weights were given (--lpips FILE)"
        found = reconstruction(self.model, self._batches("reconstruction"), distances)
        self.report.values |= {f"reconstruction {name}": value for name, value in found.items()}

    @cached_property
    def _efficientnet(self) -> EfficientNetDistance | None:
        """The distance, calibrated on test images; None without the weights, which the report says."""
        try:
            distance = EfficientNetDistance().to(self.like.device)
        except ModuleNotFoundError as error:
            self.report.skipped["EfficientNet-Lite0"] = str(error)
            return None
        calibration = self.images(range(min(self.count, _CALIBRATION)))
        return distance.calibrate(calibration.float())

    def _realism(self) -> None:
        """Fréchet distances on EfficientNet-Lite0's features, and sharpness, of everything a model makes."""
        if self._efficientnet is None:
            return
        look = Statistics(device=self.like.device)
        real = look(self._batches("features of images"))
        made = {
            "reconstructions": (self.model.decode(self.model.encode(x)) for x in self._batches("decoded")),
            "samples": self._samples(1.0, self.count),
            "samples, truncation 0.7": self._samples(0.7, self.count),
            "midpoints": self._midpoints(),
            "edits": self._edits(),
        }
        for name, batches in made.items():
            looks = look(batches)
            if len(looks.features) == 0:
                self.report.skipped[f"Fréchet distance (EfficientNet-Lite0) {name}"] = (
                    "there are no part masks"
                )
                continue
            distance = frechet_distance(real.gaussian, looks.gaussian)
            self.report.values[f"Fréchet distance (EfficientNet-Lite0) {name}"] = distance
            self.report.values[f"Laplacian energy over the images' {name}"] = looks.energy / real.energy
        if self.classes is not None:
            self._per_class(look, real, self.classes)

    def _per_class(self, look: Statistics, real: Looks, classes: Classes) -> None:
        """Samples of every class against the images of that class, as many of both."""
        features, total = torch.cat(real.features), len(classes.names)
        for number, name in enumerate(classes.names):
            label = f"Fréchet distance (EfficientNet-Lite0) samples, class {name}"
            wanted = features[classes.numbers[: self.count] == number]
            if len(wanted) < _CLASS_IMAGES:
                self.report.skipped[label] = (
                    f"{len(wanted)} test images are of it, {_CLASS_IMAGES} are needed"
                )
                continue
            z = latents_of_class(self.model, number, total, len(wanted), self.options.seed)
            parts = batches_of(len(z), self.options.batch)
            made = (
                self.model.sample(z[part.start : part.stop])
                for part in self.progress(parts, f"samples: {name}", len(parts))
            )
            self.report.values[label] = frechet_distance(gaussian([wanted]), look(made).gaussian)
            self.report.counts[f"class {name}"] = len(wanted)

    def _midpoints(self) -> Iterator[Tensor]:
        """Halfway between every image and the next."""
        for images in self._batches("midpoints"):
            w = self.model.encode(images)
            yield self.model.decode((w + w.roll(1, 0)) / 2)

    def _edits(self) -> Iterator[Tensor]:
        """The edits of every part: made here, measured by `_local_editing` as well."""
        edits: list[Tensor] = []
        self._local_editing(edits.append)
        yield from edits

    def _fid(self) -> None:
        if not self.options.inception:
            for name in ("fid", "fid_lerp"):
                self.report.skipped[name] = "no Inception weights were given (--inception FILE)"
            return
        extract, psi = load_inception(self.options.inception, self.like.device), self.options.truncation
        real = gaussian(extract(batch) for batch in self._batches("features of images"))
        samples = gaussian(extract(batch) for batch in self._samples(psi, self.options.samples))
        between = gaussian(extract(batch) for batch in self._interpolations())
        self.report.values["fid"] = frechet_distance(real, samples)
        self.report.values["fid_lerp"] = frechet_distance(real, between)
        self.report.counts["samples"] = self.options.samples

    def _samples(self, psi: float, count: int) -> Iterator[Tensor]:
        """G(z) with a truncation."""
        mean = self.model.mean_stylemap() if psi != 1 else None
        z = latents(self.model, count, self.options.seed)
        ranges = batches_of(len(z), self.options.batch)
        for part in self.progress(ranges, "samples", len(ranges)):
            yield self.model.sample(z[part.start : part.stop], truncation=psi, mean_stylemap=mean)

    def _interpolations(self) -> Iterator[Tensor]:
        """G(t w1 + (1 - t) w2) for t from U(0, 1) and random pairs of test images."""
        generator = torch.Generator().manual_seed(self.options.seed)
        ranges = batches_of(self.options.samples, self.options.batch)
        for part in self.progress(ranges, "interpolations", len(ranges)):
            pairs = torch.randint(self.count, (2, len(part)), generator=generator)
            weights = torch.rand(len(part), 1, 1, 1, generator=generator).to(self.like)
            first, second = (self.model.encode(self.images(side.tolist())) for side in pairs)
            yield self.model.decode(weights * first + (1 - weights) * second)

    def _local_editing(self, watch: Callable[[Tensor], None] | None = None) -> None:
        """Errors of edits of every part; ``watch`` is shown the edits."""
        if not self.masks:
            self.report.skipped["local editing"] = "there are no part masks (name their folder with --masks)"
        for part, masks in self.masks.items():
            label = f"local editing {part}"
            try:
                found = local_editing(
                    self.model,
                    self.images,
                    masks,
                    space=self.options.space,  # type: ignore[arg-type]
                    seam=self._efficientnet,
                    watch=watch,
                )
            except ValueError as error:
                self.report.skipped[label] = str(error)
                continue
            self.report.values |= {f"{label} mse_src": found.mse_src, f"{label} mse_ref": found.mse_ref}
            if self._efficientnet is not None:
                self.report.values[f"{label} seam efficientnet"] = found.seam
            self.report.counts[f"{label} pairs"] = found.pairs

    def _directions(self) -> None:
        if self.train is None or not isinstance(self.dataset, FacesDataset):
            self.report.skipped["directions"] = "they need labelled images: generated faces have labels"
            return
        held_out = self._stylemaps(self.dataset, self.count, "held-out stylemaps")
        train = self._stylemaps(self.train, min(self.options.fit, len(self.train)), "stylemaps to fit on")
        for name in SCORED:
            label = f"direction {name}"
            sides = [
                attribute_labels(data.labels(range(len(maps))), name)
                for data, maps in ((self.train, train), (self.dataset, held_out))
            ]
            try:
                found = separation(train, sides[0], held_out, sides[1])
            except (ImportError, ValueError) as error:
                self.report.skipped[label] = str(error)
                continue
            self.report.values[f"{label} accuracy"] = found.accuracy
            self.report.values[f"{label} balanced"] = found.balanced
            self.report.counts[label] = found.positive + found.negative
        self._moves(train, held_out)

    def _moves(self, train: Tensor, held_out: Tensor) -> None:
        """What one step along each direction does, as classifiers of the re-encoded result see it."""
        assert self.train is not None
        classify = Classifiers(train, self.train.labels(range(len(train))))
        directions = self.directions or fit_directions(
            lambda images: self.model.encode((images.to(self.like) / 127.5) - 1),
            self.model.config.size,
            max(5, self.options.fit // len(ATTRIBUTES)),
            progress=self.progress,
        )
        before = classify(held_out)
        for name in SCORED:
            one = directions[name]
            after = []
            parts = batches_of(len(held_out), self.options.batch)
            for part in self.progress(parts, f"moves: {name}", len(parts)):
                moved = manipulate(held_out[part.start : part.stop], one.vector, one.step)
                after.append(
                    self.model.encode(self.model.decode(moved.to(self.like)).clamp(-1, 1)).float().cpu()
                )
            try:
                found = moves(before, classify(torch.cat(after)), classify.names.index(name))
            except ValueError as error:
                self.report.skipped[f"moves along {name}"] = str(error)
                continue
            self.report.values[f"direction {name} success"] = found.success
            self.report.values[f"direction {name} others kept"] = found.kept

    def _stylemaps(self, data: ImageDataset, count: int, label: str) -> Tensor:
        ranges = batches_of(count, self.options.batch)
        parts = self.progress(ranges, label, len(ranges))
        return torch.cat([self.model.encode(data.batch(list(p)).to(self.like)).float().cpu() for p in parts])

    def _part_masks(self) -> dict[str, Tensor]:
        if not isinstance(self.dataset, FacesDataset):
            return {}
        maps = torch.cat([self.dataset.parts(list(p)) for p in batches_of(self.count, 256)])
        return {
            name: torch.isin(maps, torch.tensor(wanted, dtype=maps.dtype)) for name, wanted in PARTS.items()
        }


def masks_from_folder(folder: str | Path, names: Sequence[str], size: int) -> Tensor:
    """bool N x size x size from the images ``folder/NAME.png``, on where brighter than half.

    Raises FileNotFoundError naming a mask that is missing.
    """
    from stylemap import images

    found = []
    for name in names:
        path = Path(folder) / f"{name}.png"
        grey = images.fit_square(images.open_grey(path), size, background=0)
        found.append(torch.frombuffer(bytearray(grey.tobytes()), dtype=torch.uint8).view(size, size) > 127)
    return torch.stack(found)


__all__ = ["PARTS", "SCORED", "Classes", "Evaluation", "Extractor", "Options", "Report", "masks_from_folder"]
