"""The training loop: data, steps, checks, records, checkpoints."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylemap.files import only_writer
from stylemap.train import checkpoints, distributed, record
from stylemap.train.batches import Batches, Share, to_float
from stylemap.train.config import TrainConfig
from stylemap.train.features import make_features
from stylemap.train.grow import start_from
from stylemap.train.latent_gan import MappingStep
from stylemap.train.mapping_start import encode, fit_mapping
from stylemap.train.networks import Networks
from stylemap.train.pictures import Pictures
from stylemap.train.projected import ProjectedCritic
from stylemap.train.sources import Source, open_source
from stylemap.train.step import Part, Step
from stylemap.train.watch import PIXEL_LIMIT, Watch

_LOG = logging.getLogger(__name__)
_FIT_IMAGES = 2048
_CALIBRATION_IMAGES = 256
_ABSURD = 100.0
_PATIENCE = 10.0  # seconds


class TrainingError(RuntimeError):
    """Training cannot go on; the message says at which iteration and why."""


def train(config: TrainConfig, folder: Path, *, resume: bool = False) -> Path:
    """Trains to ``config.iterations`` in ``folder`` and returns the last checkpoint.

    The folder gets config.yaml, checkpoints/, losses.jsonl, losses.png, and the pictures of
    `stylemap.train.pictures`. ``resume`` continues from its newest checkpoint that can be read, or starts
    where it has none. A start that fails leaves nothing behind.

    Raises:
        TrainingError: training diverges; named are the loss, the iteration and the last good checkpoint.
        FileNotFoundError: the folder is deleted while training runs.
        CheckpointError: the run cannot be continued, with the reason.
        FileExistsError: the folder holds a run and ``resume`` is not set.
        ValueError: another process trains in the folder.
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
        found = self.found = checkpoints.found(self.checkpoints)
        if found and not resume:
            raise FileExistsError(
                f"{folder} already holds a run: continue it with --resume, or take another folder"
            )
        # What the configuration names comes first: a file that is missing is told before any work.
        self.source = open_source(config)
        features = None
        if config.stage == "networks":
            features = make_features(config, device, self._calibration)
        self.networks = Networks(config, device)
        self.start = 0
        self.newest: Path | None = None
        saved = self._begin(bool(found))
        if share.world > 1:
            self.networks.distribute(distributed.wrap)
        self.watch = Watch(saved.get("watch"))
        self.good = found[0] if self.watch.rising else self.newest
        self.mapping = self._mapping_step(saved) if config.stage == "mapping" else None
        if self.mapping is None:
            self.step = Step(self.networks, config, features, share.rank)
        self.batches: Iterable[list[Part]] = [[]] * (config.iterations - self.start)
        if self.mapping is None:
            self.batches = Batches(self.source, config, device, share, self.start)

    def _begin(self, continues: bool) -> dict[str, Any]:
        """Where the weights come from: a checkpoint of this run, whose contents are returned; another model;
        or chance."""
        config, networks = self.config, self.networks
        if continues:
            loaded = checkpoints.load_newest(self.checkpoints, networks, config)
            assert loaded is not None
            self.newest, saved = loaded
            self.start = saved["iteration"]
            self._check_weights()
            if self.share.rank == 0:
                print(f"continuing {self.newest}", flush=True)
                for line in checkpoints.changes(saved["train_config"], config):
                    print(f"  {line}", flush=True)
            return saved
        if config.start_from:
            start_from(_checkpoint(Path(config.start_from)), networks, config.model.size)
        if isinstance(networks.critic, ProjectedCritic):
            networks.critic.calibrate(self._calibration())
        return {}

    def run(self) -> Path:
        """Train; the last checkpoint. Of all processes the first one writes, and keeps other runs out."""
        if self.share.rank:
            return self._run()
        # A process that was killed may take a moment to end, with those that prepared its data.
        with only_writer(self.folder, _PATIENCE):
            if checkpoints.found(self.checkpoints) != self.found:
                raise FileExistsError(f"another run has written to {self.folder} meanwhile")
            return self._run()

    def _run(self) -> Path:
        config = self.config
        step: Step | MappingStep = self.step if self.mapping is None else self.mapping
        log = pictures = None
        if self.share.rank == 0:
            if self.start < config.iterations:
                config.save(self.folder / "config.yaml")
            log = record.Record(self.folder, self.start, config)
            pictures = Pictures(self.networks, self.source, config, self.folder)
        try:
            for iteration, parts in enumerate(self.batches, self.start):
                losses = self._check(iteration, step(parts, iteration))
                if config.fit_mapping and iteration + 1 == config.warmup_iterations:
                    self._fit_mapping()
                if log is not None and pictures is not None:
                    log.check_folder(iteration)
                    log.add(iteration, losses)
                    self._write(iteration + 1, log, pictures)
        finally:
            if log is not None:
                log.close()
        if pictures is not None:
            record.plot(self.folder)
            pictures.animate()
        return self.newest or self.checkpoints

    def _write(self, finished: int, log: record.Record, pictures: Pictures) -> None:
        """Checkpoint and pictures, where their time has come."""
        config = self.config
        last = finished == config.iterations
        save = finished % config.checkpoint_every == 0 or last
        draw = config.sample_every and (finished % config.sample_every == 0 or last)
        further: dict[str, Any] = {"watch": self.watch.state_dict()}
        if self.mapping is not None and (save or draw):
            self.mapping.write()
            further["mapping_stage"] = self.mapping.state_dict()
        if save:
            self.newest = checkpoints.save(
                self.checkpoints, self.networks, config, finished, further, self.source.names, self.good
            )
            if not self.watch.rising:
                self.good = self.newest
        if draw:
            pictures.draw(finished, log.status(finished), log.board)

    def _check(self, iteration: int, losses: dict[str, Tensor]) -> dict[str, float]:
        """The losses as numbers, averaged over the processes, in one transfer."""
        if not losses:
            return {}
        values = torch.stack([value.double() for value in losses.values()])
        named = dict(zip(losses, distributed.mean(values, self.share).tolist(), strict=True))
        problem = self.watch.add(named)
        if problem is not None:
            kept = f"the last good checkpoint is {self.good}" if self.good else "no checkpoint yet"
            raise TrainingError(f"{problem} at iteration {iteration}: training diverges, stopped; {kept}")
        return named

    @torch.no_grad()
    def _check_weights(self) -> None:
        """Refuses weights that a divergence has left: they reconstruct nothing."""
        images = to_float(_first(self.source, min(len(self.source), 4))).to(self.device)
        for encoder, generator in (
            (self.networks.e_ema, self.networks.g_ema),
            (self.networks.encoder, self.networks.generator),
        ):
            again = generator.decoder(generator.decoder.convs_latent(encoder(images)))
            error = float((again - images).square().mean())
            if not error < _ABSURD:
                earlier = checkpoints.found(self.checkpoints)[0]
                hint = f"; {earlier} is an earlier one" if earlier != self.newest else ""
                raise checkpoints.CheckpointError(
                    f"cannot continue from {self.newest}: its weights are absurd, as a divergence leaves"
                    f" them: reconstructions are off by {error:.3g} (mean square; pictures differ by"
                    f" {PIXEL_LIMIT:g} at most){hint}, and a new run can start from one with --start-from"
                )

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
