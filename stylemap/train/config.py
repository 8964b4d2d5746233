"""What a training run is: one configuration, from a file or from flags, written into the run's folder."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stylemap.config import Config
from stylemap.files import read_text, write_whole
from stylemap.optional import how_to_install
from stylemap.train.lambdas import Lambdas
from stylemap.train.settings import check, documented, setting


@documented
@dataclass(frozen=True)
class TrainConfig:
    """A training run. Defaults are the published ones (docs/network.md section 9), but for the moving
    average, which ramps up: the recipe "published" has that too.

    model: sizes of the networks.
    lambdas: weights of the losses.
    """

    stage: str = setting(
        "networks",
        "networks runs the five steps; mapping trains the mapping network alone, as a small GAN on stylemaps"
        " of a model to start from.",
        choices=("networks", "mapping"),
        group="what is trained",
    )
    model: Config = field(default_factory=Config)
    lambdas: Lambdas = field(default_factory=Lambdas)
    start_from: str = setting(
        "",
        "Checkpoint, or folder of a run, whose weights to start with; its model may be smaller: training 32,"
        " 64, then 128 pixels costs a small part of training at 128 from the start.",
        unit="PATH",
    )
    freeze_mapping: bool = setting(False, "Leave the mapping network as it is.")
    mapping_images: int = setting(
        9500,
        "How many images' stylemaps the stage mapping learns from.",
        unit="IMAGES",
        low=2,
        high=10_000_000,
    )
    data: str = setting(
        "faces",
        "Folder of images, LMDB, or builtin:faces (drawn by the package; faces where nothing has that name).",
        unit="PATH",
        group="data",
    )
    count: int = setting(
        20000,
        "How many different faces builtin:faces draws; other data ignore it.",
        unit="IMAGES",
        low=1,
        high=100_000_000,
    )
    flip: bool = setting(True, "Mirror images at random.")
    augment: str = setting(
        "none",
        "What is done to images, real ones and generated ones alike, before the discriminator sees them:"
        " diffaugment changes colours, moves and cuts out, for sets of some hundred images.",
        choices=("none", "diffaugment"),
    )
    classes: int = setting(
        0,
        "Classes of a conditional generator and discriminator; 0 trains without. A folder's sub-folders are"
        " its classes, in tar files .cls files or folders; drawn faces are told apart by class-label.",
        unit="CLASSES",
        low=0,
        high=100_000,
    )
    class_label: str = setting(
        "",
        "Label of drawn faces that makes the classes, such as hair_colour, or several joined by +.",
        unit="LABEL",
    )
    skip_corrupt: bool = setting(
        False, "Leave out unreadable images, with a warning each, instead of stopping."
    )
    iterations: int = setting(
        320_000, "In all; a resumed run continues to this number.", unit="ITERATIONS", low=1, group="schedule"
    )
    warmup_iterations: int = setting(
        0,
        "The first ones train encoder and decoder alone (step 5 without its adversarial part), which on small"
        " budgets buys sharp reconstructions before the adversarial steps start.",
        unit="ITERATIONS",
        low=0,
    )
    warmup_momentum: float = setting(
        0.9,
        "Adam's beta 1 during the warm-up: momentum learns the same reconstructions in less than half the"
        " iterations, but the adversarial steps want none.",
        low=0,
        high=0.999,
    )
    warmup_optimiser: str = setting(
        "adam",
        "muon, for the weights of convolutions in the warm-up, needs a third of the iterations for the same"
        " error at the sizes tried, each 15% longer.",
        choices=("adam", "muon"),
    )
    fit_mapping: bool = setting(
        False,
        "When the warm-up ends, start the mapping network at the mean and the principal components of the"
        " encoder's stylemaps instead of at random.",
    )
    decay_iterations: int = setting(
        0, "Over this many last iterations the learning rates fall to nothing.", unit="ITERATIONS", low=0
    )
    decay: str = setting("linear", "How they fall.", choices=("linear", "cosine"))
    batch: int = setting(
        16,
        "Images per iteration, in all processes together and over all accumulated parts.",
        unit="IMAGES",
        low=1,
        high=65536,
        group="optimisation",
    )
    accumulate: int = setting(
        1, "Parts a batch is processed in, to fit in memory.", unit="PARTS", low=1, high=65536
    )
    learning_rate: float = setting(0.002, "Adam's, of generator and encoder.", low=0)
    beta1: float = setting(
        0.0, "Adam's decay of the mean gradient, in the adversarial steps.", low=0, high=0.9999
    )
    beta2: float = setting(0.99, "Adam's decay of the squared gradient.", low=0, high=0.99999)
    discriminator: str = setting(
        "published",
        "The published one, or a projected one, whose heads judge patches of EfficientNet-Lite0's features"
        " (needs the extra stylemap[features], and no R1).",
        choices=("published", "projected"),
    )
    discriminator_rate: float = setting(
        0.0,
        "Learning rate of the discriminator, adapted to the lazy R1; 0 takes learning-rate.",
        low=0,
    )
    r1_gamma: float = setting(10.0, "Weight of R1, the penalty on the discriminator's gradient.", low=0)
    r1_every: int = setting(16, "R1 comes every so many iterations.", unit="ITERATIONS", low=1)
    ema_decay: float = setting(
        0.999, "Decay per iteration of the averaged weights, which are the model.", low=0, high=1
    )
    ema_rampup: bool = setting(
        True, "Let that decay grow as (1 + t) / (10 + t) up to ema-decay, so that short runs average too."
    )
    adversarial_loss: str = setting(
        "logistic", "Form of the adversarial losses.", choices=("logistic", "hinge")
    )
    reconstruction_loss: str = setting(
        "mse", "Mean squared or mean absolute difference, of images and of stylemaps.", choices=("mse", "l1")
    )
    perceptual: str = setting(
        "features",
        "How images are compared beyond pixels: features (no weights needed), efficientnet (the extra"
        " stylemap[features]), or a file of VGG-16 weights: plain features, or LPIPS with lpips-heads.",
        unit="NAME|FILE",
    )
    lpips_heads: str = setting("", "File of LPIPS' linear weights for VGG-16.", unit="FILE")
    precision: str = setting(
        "fp32",
        "bf16 is autocast; statistics, losses, R1, and weights stay float32.",
        choices=("fp32", "bf16"),
        group="computing",
    )
    channels_last: bool = setting(True, "Memory layout of activations and weights.")
    seed: int = setting(
        0,
        "Of weights, order of the data, flips and z: every random number follows from it.",
        unit="SEED",
        low=0,
        high=2**63 - 1,
    )
    workers: int = setting(0, "Processes that prepare data.", unit="PROCESSES", low=0, high=1024)
    threads: int = setting(0, "Of the CPU; 0 leaves PyTorch's choice.", unit="THREADS", low=0, high=1024)
    device: str = setting(
        "auto",
        "Where it runs: cpu, cuda, cuda:1 and so on; auto takes a GPU where there is one.",
        unit="DEVICE",
    )
    log_every: int = setting(
        20, "How often losses are written.", unit="ITERATIONS", low=1, group="what is written"
    )
    sample_every: int = setting(
        1000,
        "How often pictures are written, and one more frame of the animation; 0 writes none.",
        unit="ITERATIONS",
        low=0,
    )
    checkpoint_every: int = setting(1000, "How often a checkpoint is written.", unit="ITERATIONS", low=1)
    keep: int = setting(
        3, "The newest that stay, beside one from before the losses rise.", unit="CHECKPOINTS", low=1
    )

    def __post_init__(self) -> None:
        check(self)
        if self.batch % self.accumulate:
            raise ValueError(f"batch {self.batch} cannot be processed in {self.accumulate} equal parts")
        if self.classes and self.discriminator == "projected":
            raise ValueError("the projected discriminator knows no classes: set discriminator to published")
        if self.stage == "mapping" and (self.classes or not self.start_from):
            raise ValueError("the mapping stage trains an unconditional model that start_from names")
        if self.fit_mapping and not self.warmup_iterations:
            raise ValueError("fit_mapping takes place at the end of a warm-up: set warmup_iterations")
        if self.lambdas.style and self.perceptual == "features":
            raise ValueError("the style loss needs efficientnet, or a file of VGG-16 weights, as perceptual")

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
        text = read_text(path)
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
                f"{path}: reading YAML needs PyYAML ({how_to_install('train')}); not JSON: {error}"
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
