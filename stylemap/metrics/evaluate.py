"""All metrics of a model on a set of images, as a table and as JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylemap.data.faces import FacesDataset, Part
from stylemap.data.protocol import ImageDataset
from stylemap.edit.sample import latents
from stylemap.metrics.directions import attribute_labels, separation
from stylemap.metrics.fid import Extractor, frechet_distance, gaussian, load_inception
from stylemap.metrics.local_editing import local_editing
from stylemap.metrics.lpips import load_lpips
from stylemap.metrics.reconstruction import reconstruction
from stylemap.model import Model
from stylemap.perceptual import FeatureDistance

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


Progress = Callable[[Iterable[Any], str, int], Iterator[Any]]


def _silent(items: Iterable[Any], label: str, total: int) -> Iterator[Any]:
    yield from items


class Evaluation:
    """Runs the metrics one after the other; `run` does all of them.

    dataset: test images. train: faces to fit directions on. masks: bool masks N x S x S per part for local
    editing; a `FacesDataset` has its own.
    """

    def __init__(
        self,
        model: Model,
        dataset: ImageDataset,
        options: Options,
        *,
        train: FacesDataset | None = None,
        masks: dict[str, Tensor] | None = None,
        progress: Progress = _silent,
    ) -> None:
        self.model, self.dataset, self.options, self.train = model, dataset, options, train
        self.count = min(options.count, len(dataset))
        self.masks = masks if masks is not None else self._part_masks()
        self.progress = progress
        self.like = model.like
        self.report = Report(counts={"images": self.count})

    @torch.no_grad()
    def run(self) -> Report:
        """Run every metric. One that lacks its weights or labels goes to ``skipped``, with the reason."""
        self._reconstruction()
        self._fid()
        self._local_editing()
        self._directions()
        return self.report

    def images(self, indices: Sequence[int]) -> Tensor:
        """Test images N x 3 x S x S in [-1, 1], in the model's dtype and on its device."""
        return self.dataset.batch(list(indices)).to(self.like)

    def _batches(self, label: str) -> Iterator[Tensor]:
        ranges = _ranges(self.count, self.options.batch)
        for chosen in self.progress(ranges, label, len(ranges)):
            yield self.images(chosen)

    def _reconstruction(self) -> None:
        distances: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
            "features": FeatureDistance().to(self.like.device)
        }
        if self.options.lpips:
            distances["lpips"] = load_lpips(self.options.lpips, self.options.lpips_heads).to(self.like.device)
        else:
            self.report.skipped["reconstruction lpips"] = "no VGG-16 weights were given (--lpips FILE)"
        found = reconstruction(self.model, self._batches("reconstruction"), distances)
        self.report.values |= {f"reconstruction {name}": value for name, value in found.items()}

    def _fid(self) -> None:
        if not self.options.inception:
            for name in ("fid", "fid_lerp"):
                self.report.skipped[name] = "no Inception weights were given (--inception FILE)"
            return
        extract = load_inception(self.options.inception, self.like.device)
        real = gaussian(extract(batch) for batch in self._batches("features of images"))
        samples = gaussian(extract(batch) for batch in self._samples())
        between = gaussian(extract(batch) for batch in self._interpolations())
        self.report.values["fid"] = frechet_distance(real, samples)
        self.report.values["fid_lerp"] = frechet_distance(real, between)
        self.report.counts["samples"] = self.options.samples

    def _samples(self) -> Iterator[Tensor]:
        """Truncated samples G(z)."""
        psi = self.options.truncation
        mean = self.model.mean_stylemap() if psi != 1 else None
        z = latents(self.model, self.options.samples, self.options.seed)
        ranges = _ranges(len(z), self.options.batch)
        for part in self.progress(ranges, "samples", len(ranges)):
            yield self.model.sample(z[part.start : part.stop], truncation=psi, mean_stylemap=mean)

    def _interpolations(self) -> Iterator[Tensor]:
        """G(t w1 + (1 - t) w2) for t from U(0, 1) and random pairs of test images."""
        generator = torch.Generator().manual_seed(self.options.seed)
        ranges = _ranges(self.options.samples, self.options.batch)
        for part in self.progress(ranges, "interpolations", len(ranges)):
            pairs = torch.randint(self.count, (2, len(part)), generator=generator)
            weights = torch.rand(len(part), 1, 1, 1, generator=generator).to(self.like)
            first, second = (self.model.encode(self.images(side.tolist())) for side in pairs)
            yield self.model.decode(weights * first + (1 - weights) * second)

    def _local_editing(self) -> None:
        if not self.masks:
            self.report.skipped["local editing"] = "there are no part masks (name their folder with --masks)"
        for part, masks in self.masks.items():
            label = f"local editing {part}"
            try:
                found = local_editing(self.model, self.images, masks, space=self.options.space)  # type: ignore[arg-type]
            except ValueError as error:
                self.report.skipped[label] = str(error)
                continue
            self.report.values |= {f"{label} mse_src": found.mse_src, f"{label} mse_ref": found.mse_ref}
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

    def _stylemaps(self, data: ImageDataset, count: int, label: str) -> Tensor:
        ranges = _ranges(count, self.options.batch)
        parts = self.progress(ranges, label, len(ranges))
        return torch.cat([self.model.encode(data.batch(list(p)).to(self.like)).float().cpu() for p in parts])

    def _part_masks(self) -> dict[str, Tensor]:
        if not isinstance(self.dataset, FacesDataset):
            return {}
        maps = torch.cat([self.dataset.parts(list(p)) for p in _ranges(self.count, 256)])
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


def _ranges(count: int, step: int) -> list[range]:
    return [range(start, min(start + step, count)) for start in range(0, count, step)]


__all__ = ["PARTS", "SCORED", "Evaluation", "Extractor", "Options", "Report", "masks_from_folder"]
