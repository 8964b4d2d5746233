"""The training loop: data, steps, checks, records, checkpoints."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylemap.metrics.efficientnet import EfficientNetDistance
from stylemap.metrics.lpips import load_lpips
from stylemap.metrics.vgg import load_vgg16, normalise
from stylemap.perceptual import FeatureDistance
from stylemap.train import checkpoints, distributed, record
from stylemap.train.batches import Batches, Share, to_float
from stylemap.train.config import TrainConfig
from stylemap.train.grow import start_from
from stylemap.train.latent_gan import MappingStep
from stylemap.train.mapping_start import encode, fit_mapping
from stylemap.train.networks import Networks
from stylemap.train.projected import ProjectedCritic
from stylemap.train.sources import Source, open_source
from stylemap.train.step import Features, Part, Step

_LOG = logging.getLogger(__name__)
_GRID = 8
_CLASS_ROWS = 16
_FIT_IMAGES = 2048
_CALIBRATION_IMAGES = 256


class TrainingError(RuntimeError):
    """Training cannot go on; the message says at which iteration and why."""


def train(config: TrainConfig, folder: Path, *, resume: bool = False) -> Path:
    """Trains to ``config.iterations`` in ``folder`` and returns the last checkpoint.

    The folder gets config.yaml, checkpoints/, losses.jsonl, samples/ and reconstructions/ (PNG grids of
    the averaged networks) and losses.png. ``resume`` continues from its newest checkpoint, or starts
    where it has none.

    Raises:
        TrainingError: a loss is NaN or infinite (named, with the iteration).
        FileExistsError: the folder holds a run and ``resume`` is not set.
        OSError: a file cannot be written.
    """
    device, share = distributed.start(config.device)
    if config.threads:
        torch.set_num_threads(config.threads)
    try:
        return _Run(config, folder, device, share, resume).run()
    finally:
        distributed.stop(share)


class _Run:
    def __init__(
        self, config: TrainConfig, folder: Path, device: torch.device, share: Share, resume: bool
    ) -> None:
        self.config, self.folder, self.device, self.share = config, folder, device, share
        self.checkpoints = folder / "checkpoints"
        found = checkpoints.found(self.checkpoints)
        if found and not resume:
            raise FileExistsError(
                f"{folder} already holds a run: continue it with --resume, or take another folder"
            )
        self.networks = Networks(config, device)
        self.start, saved = 0, {}
        if found:
            saved = checkpoints.load(found[-1], self.networks, config)
            self.start = saved["iteration"]
        elif config.start_from:
            start_from(_checkpoint(Path(config.start_from)), self.networks, config.model.size)
        self.newest = found[-1] if found else None
        if share.rank == 0 and self.start < config.iterations:
            config.save(folder / "config.yaml")
        if share.world > 1:
            self.networks.distribute(distributed.wrap)
        self.source = open_source(config)
        if isinstance(self.networks.critic, ProjectedCritic) and not found:
            self.networks.critic.calibrate(self._calibration())
        self.mapping: MappingStep | None = None
        if config.stage == "mapping":
            self.mapping = self._mapping_step(saved)
        else:
            self.step = Step(self.networks, config, make_features(config, device, self._calibration))

    def run(self) -> Path:
        config = self.config
        step: Step | MappingStep
        batches: Iterable[list[Part]]
        if self.mapping is not None:
            step, batches = self.mapping, [[]] * (config.iterations - self.start)
        else:
            step, batches = self.step, Batches(self.source, config, self.device, self.share, self.start)
        log = None
        if self.share.rank == 0:
            log = record.Record(self.folder, self.start, config.iterations, config.log_every)
        try:
            for iteration, parts in enumerate(batches, self.start):
                losses = self._check(iteration, step(parts, iteration))
                if config.fit_mapping and iteration + 1 == config.warmup_iterations:
                    self._fit_mapping()
                if log is not None:
                    log.add(iteration, losses)
                self._write(iteration + 1)
        finally:
            if log is not None:
                log.close()
        if self.share.rank == 0:
            record.plot(self.folder)
        return self.newest or self.checkpoints

    def _write(self, finished: int) -> None:
        """Checkpoint and grids, where their time has come."""
        config = self.config
        if self.share.rank != 0:
            return
        last = finished == config.iterations
        save = finished % config.checkpoint_every == 0 or last
        draw = config.sample_every and (finished % config.sample_every == 0 or last)
        further = {}
        if self.mapping is not None and (save or draw):
            self.mapping.write()
            further["mapping_stage"] = self.mapping.state_dict()
        if save:
            self.newest = checkpoints.save(
                self.checkpoints, self.networks, config, finished, further, self.source.names
            )
        if draw:
            self._draw(finished)

    def _check(self, iteration: int, losses: dict[str, Tensor]) -> dict[str, float]:
        """The losses as numbers, averaged over the processes, in one transfer."""
        if not losses:
            return {}
        values = torch.stack([value.double() for value in losses.values()])
        named = dict(zip(losses, distributed.mean(values, self.share).tolist(), strict=True))
        for name, value in named.items():
            if not math.isfinite(value):
                kept = f"the last checkpoint is {self.newest}" if self.newest else "no checkpoint yet"
                raise TrainingError(f"loss {name} is {value} at iteration {iteration}: stopped; {kept}")
        return named

    def _calibration(self) -> Tensor:
        """Real images that features are scaled by: the same ones after a resumption."""
        return to_float(_first(self.source, min(len(self.source), _CALIBRATION_IMAGES))).to(self.device)

    def _mapping_step(self, saved: dict[str, Any]) -> MappingStep:
        if self.share.world > 1:
            raise ValueError("the mapping stage runs in one process")
        count = min(len(self.source), self.config.mapping_images)
        _LOG.info("encoding %d images", count)
        stylemaps = []
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16"):
            for part in record.progress(_chunks(count, _CALIBRATION_IMAGES), "encoding"):
                images = to_float(self.source.batch(part)[0])
                stylemaps.append(encode(self.networks.e_ema, images, self.device))
        step = MappingStep(self.networks, torch.cat(stylemaps).to(self.device), self.config)
        if saved:
            step.load_state_dict(saved["mapping_stage"])
        return step

    def _fit_mapping(self) -> None:
        images = to_float(_first(self.source, min(len(self.source), _FIT_IMAGES)))
        fit_mapping(self.networks, images, self.config)
        distributed.same(self.networks.mapping, self.share)

    @torch.no_grad()
    def _draw(self, finished: int) -> None:
        """Samples (truncation 0.7 in the second row; with classes all at 0.7, a row for each class) and
        reconstructions of the averaged networks."""
        networks = self.networks
        networks.copy_buffers()
        count = min(_GRID, len(self.source))
        real = to_float(_first(self.source, count)).to(self.device)
        decoder = networks.g_ema.decoder
        again = decoder(decoder.convs_latent(networks.e_ema(real)))
        record.save_grid([real, again], self.folder / "reconstructions" / f"{finished:08d}.png")
        random = torch.Generator().manual_seed(0)
        z = torch.randn(512, self.config.model.latent_channel_size, generator=random).to(self.device)
        classes = range(min(self.config.classes, _CLASS_ROWS))
        wanted: list[tuple[int | None, float]] = [(number, 0.7) for number in classes]
        wanted = wanted or [(None, 1.0), (None, 0.7)]
        rows = []
        for number, psi in wanted:
            labels = None if number is None else torch.full((len(z),), number, device=self.device)
            stylemaps = networks.mapping_ema(z, labels)
            mean = stylemaps.mean(0, keepdim=True)
            rows.append(decoder(decoder.convs_latent(mean + psi * (stylemaps[:_GRID] - mean))))
        record.save_grid(rows, self.folder / "samples" / f"{finished:08d}.png")


def make_features(
    config: TrainConfig, device: torch.device, calibration: Callable[[], Tensor] | None = None
) -> Features:
    """How reconstructions are compared: without weights, by EfficientNet-Lite0, or by LPIPS where the
    configuration names VGG-16's file.

    calibration: gives real images N x 3 x S x S in [-1, 1] that scale EfficientNet's channels; without it
        they count as they are.

    Raises FileNotFoundError, ModuleNotFoundError or ValueError saying what is wanted and where it can be had.
    """
    weights = config.lambdas
    efficientnet = None
    if weights.efficientnet or weights.local_efficientnet or config.perceptual == "efficientnet":
        efficientnet = EfficientNetDistance().to(device)
        if calibration is not None:
            efficientnet.calibrate(calibration())
    if config.perceptual == "efficientnet":
        return Features(efficientnet, efficientnet)
    if config.perceptual == "features":
        return Features(FeatureDistance().to(device), efficientnet)
    lpips = load_lpips(config.perceptual, config.lpips_heads) if weights.perceptual else None
    vgg = lpips.vgg if lpips is not None else load_vgg16(config.perceptual)
    vgg.to(device)
    return Features(
        lpips.to(device) if lpips is not None else None,
        efficientnet,
        lambda images: vgg(normalise(images)),
    )


def _checkpoint(path: Path) -> Path:
    """The file itself, or the newest checkpoint of a run's folder."""
    if not path.is_dir():
        return path
    found = checkpoints.found(path / "checkpoints")
    if not found:
        raise FileNotFoundError(f"{path} holds no checkpoint to start from")
    return found[-1]


def _chunks(count: int, size: int) -> list[range]:
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


def _first(source: Source, count: int) -> Tensor:
    return source.batch(range(count))[0]
