"""What a training run is: one configuration, from a file or from flags, written into the run's folder."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stylemap.config import Config
from stylemap.files import write_whole

_CHOICES = {
    "stage": ("networks", "mapping"),
    "adversarial_loss": ("logistic", "hinge"),
    "reconstruction_loss": ("mse", "l1"),
    "precision": ("fp32", "bf16"),
    "warmup_optimiser": ("adam", "muon"),
    "discriminator": ("published", "projected"),
    "decay": ("linear", "cosine"),
}
_AT_LEAST = {
    "iterations": 1, "warmup_iterations": 0, "decay_iterations": 0, "batch": 1, "accumulate": 1,
    "r1_every": 1, "classes": 0, "workers": 0, "threads": 0, "log_every": 1, "sample_every": 0,
    "checkpoint_every": 1, "keep": 1, "count": 1, "mapping_images": 2,
}  # fmt: skip


@dataclass(frozen=True)
class Lambdas:
    """Weights of the losses; 0 leaves a loss out, and a step whose losses are all left out is skipped.

    adv: generator against the discriminator, on samples (step 1).
    w_rec: the encoder finds the stylemap of a sample again (step 2).
    d, indomain_d: discriminator on real images and samples, and on reconstructions (step 3).
    x_rec, perceptual, style, indomain_e: reconstruction by pixels, by features, by their Gram
        matrices, and against the discriminator (step 5).
    local_src, local_ref: local edits of the batch's images, in random masks, against the original outside
        the mask and the reference inside (step 5; not in the paper: see `stylemap.train.edits`).
    local_efficientnet: the same edits against the two images pasted together, by EfficientNet's features.
    local_d, local_e: the same edits shown to the discriminator, and against it.
    efficientnet: reconstruction by EfficientNet-Lite0's features, beside ``perceptual`` (step 5; needs the
        extra stylemap[features]).
    """

    adv: float = 1.0
    w_rec: float = 1.0
    d: float = 1.0
    indomain_d: float = 1.0
    x_rec: float = 1.0
    perceptual: float = 1.0
    style: float = 0.0
    indomain_e: float = 1.0
    local_src: float = 0.0
    local_ref: float = 0.0
    local_efficientnet: float = 0.0
    local_d: float = 0.0
    local_e: float = 0.0
    efficientnet: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            _check_number(f"lambdas.{name}", value, 0.0, math.inf)


@dataclass(frozen=True)
class TrainConfig:
    """A training run. Defaults are the published ones (docs/network.md section 9).

    data: "faces" (drawn by the package), a folder of images, or an LMDB.
    stage: "networks", the five steps; or "mapping", the mapping network alone as a small GAN on stylemaps
        of mapping_images images, from a model to start_from (`stylemap.train.latent_gan`).
    count: how many different faces "faces" draws; other data ignore it.
    flip: mirror images at random.
    model: sizes of the networks.
    lambdas: weights of the losses.
    iterations: in all; a resumed run continues to this number.
    warmup_iterations: the first ones train encoder and decoder alone (step 5 without its adversarial
        part), which on small budgets buys sharp reconstructions before the adversarial steps start.
    warmup_momentum: Adam's beta 1 during the warm-up. The adversarial steps want 0; without them momentum
        learns the same reconstructions in less than half the iterations.
    warmup_optimiser: adam, or muon for the weights of convolutions in the warm-up: at the sizes tried, a
        third of the iterations for the same error, each 15% longer.
    fit_mapping: when the warm-up ends, start the mapping network at the mean and the principal
        components of the encoder's stylemaps instead of at random.
    batch: images per iteration in all processes together and over all accumulated parts.
    accumulate: parts a batch is processed in, to fit in memory.
    learning_rate, r1_gamma, r1_every, ema_decay: as in the paper. For the discriminator learning rate
        and betas are adapted to the lazy regularisation.
    discriminator: the published one, or a projected one, whose heads judge patches of EfficientNet-Lite0's
        features (`stylemap.train.projected`; needs the extra stylemap[features], and no R1).
    discriminator_rate: its learning rate; 0 takes learning_rate.
    freeze_mapping: leave the mapping network as it is.
    decay_iterations: over this many last iterations the learning rates fall to nothing, by ``decay``: in a
        line, or along half a cosine.
    start_from: a checkpoint, or the folder of a run, whose weights to start with. Its model may be smaller:
        training 32, 64, then 128 pixels costs a small part of training at 128 from the start.
    ema_rampup: let the decay grow from 0.1 as (1 + t) / (10 + t): for short runs.
    adversarial_loss: logistic or hinge. reconstruction_loss: mse or l1.
    perceptual: "features" (no weights needed), "efficientnet" (EfficientNet-Lite0's, the extra
        stylemap[features]), or a file of VGG-16 weights for LPIPS
        (with lpips_heads, the file of its linear weights). style needs the VGG file.
    classes: number of classes for a conditional generator and discriminator; 0 trains without. A folder's
        sub-folders are its classes; faces are told apart by the label class_label.
    skip_corrupt: leave out unreadable images of the data, with a warning each, instead of stopping.
    precision: fp32, or bf16 autocast (statistics, losses, R1, and weights stay float32).
    channels_last: memory layout of activations and weights.
    seed: of weights, order of the data, flips and z; every random number is a function of it and of
        the iteration.
    workers: processes that prepare data, 0 for none. threads: of the CPU, 0 leaves PyTorch's choice.
    device: "auto", "cpu", "cuda", "cuda:1" …
    log_every, sample_every, checkpoint_every: in iterations; sample_every 0 writes no grids.
    keep: how many checkpoints stay.
    """

    stage: str = "networks"
    mapping_images: int = 9500
    data: str = "faces"
    count: int = 20000
    flip: bool = True
    model: Config = field(default_factory=Config)
    lambdas: Lambdas = field(default_factory=Lambdas)
    iterations: int = 320_000
    warmup_iterations: int = 0
    warmup_momentum: float = 0.9
    warmup_optimiser: str = "adam"
    fit_mapping: bool = False
    start_from: str = ""
    batch: int = 16
    accumulate: int = 1
    learning_rate: float = 0.002
    discriminator: str = "published"
    discriminator_rate: float = 0.0
    freeze_mapping: bool = False
    decay_iterations: int = 0
    decay: str = "linear"
    r1_gamma: float = 10.0
    r1_every: int = 16
    ema_decay: float = 0.999
    ema_rampup: bool = False
    adversarial_loss: str = "logistic"
    reconstruction_loss: str = "mse"
    perceptual: str = "features"
    lpips_heads: str = ""
    classes: int = 0
    class_label: str = ""
    skip_corrupt: bool = False
    precision: str = "fp32"
    channels_last: bool = True
    seed: int = 0
    workers: int = 0
    threads: int = 0
    device: str = "auto"
    log_every: int = 20
    sample_every: int = 1000
    checkpoint_every: int = 1000
    keep: int = 3

    def __post_init__(self) -> None:
        for name, least in _AT_LEAST.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}")
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, got {getattr(self, name)!r}")
        _check_number("learning_rate", self.learning_rate, 0.0, math.inf)
        _check_number("discriminator_rate", self.discriminator_rate, 0.0, math.inf)
        _check_number("warmup_momentum", self.warmup_momentum, 0.0, 0.999)
        _check_number("r1_gamma", self.r1_gamma, 0.0, math.inf)
        _check_number("ema_decay", self.ema_decay, 0.0, 1.0)
        if self.batch % self.accumulate:
            raise ValueError(f"batch {self.batch} cannot be processed in {self.accumulate} equal parts")
        if self.classes and self.discriminator == "projected":
            raise ValueError("the projected discriminator knows no classes: set discriminator to published")
        if self.stage == "mapping" and (self.classes or not self.start_from):
            raise ValueError("the mapping stage trains an unconditional model that start_from names")
        if self.fit_mapping and not self.warmup_iterations:
            raise ValueError("fit_mapping takes place at the end of a warm-up: set warmup_iterations")
        if self.lambdas.style and self.perceptual in ("features", "efficientnet"):
            raise ValueError("the style loss needs VGG-16 weights: name their file as perceptual")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON and YAML can hold them."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return values | {"model": self.model.to_dict(), "lambdas": dataclasses.asdict(self.lambdas)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainConfig:
        """Inverse of `to_dict`; absent entries take their defaults, unknown ones are an error."""
        parts = dict(values)
        _check_known(parts, cls, "")
        if "model" in parts:
            parts["model"] = Config.from_dict(parts["model"])
        if "lambdas" in parts:
            _check_known(parts["lambdas"], Lambdas, "lambdas.")
            parts["lambdas"] = Lambdas(**parts["lambdas"])
        return cls(**parts)

    def save(self, path: Path) -> None:
        """YAML where PyYAML is installed, otherwise JSON (which is YAML too)."""
        values = self.to_dict()
        try:
            import yaml

            text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
        except ImportError:
            text = json.dumps(values, indent=2) + "\n"
        with write_whole(path) as file:
            file.write(text.encode())

    @classmethod
    def load(cls, path: Path) -> TrainConfig:
        """From YAML or JSON. Raises ValueError naming the file."""
        text = path.read_text()
        try:
            try:
                import yaml

                values = yaml.safe_load(text)
            except ImportError:
                values = json.loads(text)
            if not isinstance(values, Mapping):
                raise ValueError("it does not hold a mapping")
            return cls.from_dict(values)
        except json.JSONDecodeError as error:
            raise ValueError(
                f"{path}: reading YAML needs PyYAML (pip install pyyaml); not JSON: {error}"
            ) from error
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path}: {error}") from error
        except Exception as error:  # yaml.YAMLError, which cannot be named where PyYAML is missing
            raise ValueError(f"{path} is not valid YAML: {error}") from error


def _check_known(values: object, cls: type, prefix: str) -> None:
    if not isinstance(values, Mapping):
        raise ValueError(f"{prefix or 'the configuration'} must be a mapping, got {type(values).__name__}")
    known = {f.name for f in dataclasses.fields(cls)}
    unknown = sorted(prefix + str(key) for key in values if key not in known)
    if unknown:
        raise ValueError(f"unknown configuration entries: {', '.join(unknown)[:200]}")


def _check_number(name: str, value: object, low: float, high: float) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (number and math.isfinite(value) and low <= value <= high):  # type: ignore[arg-type, operator]
        raise ValueError(f"{name} must be a number from {low:g} to {high:g}, got {value!r}")
