"""Training by Ray Train: the same loop in processes that Ray starts, and starts again when one dies."""

from __future__ import annotations

import importlib
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stylemap.optional import require
from stylemap.train import checkpoints
from stylemap.train.config import TrainConfig
from stylemap.train.loop import TrainingError, train
from stylemap.train.sources import open_source

STORAGE = "ray"
"""Folder within the run's for what Ray Train writes of it."""


def train_on_ray(
    config: TrainConfig,
    folder: Path,
    *,
    resume: bool = False,
    workers: int = 1,
    cpus: int = 1,
    gpus: bool = False,
    max_failures: int = 10,
) -> Path:
    """As `stylemap.train.train`, in ``workers`` processes on the Ray cluster that this one is connected to.

    The losses are those of as many processes of torchrun. When one dies all are started again, and they go on
    from the newest checkpoint; ``max_failures`` times. ``folder`` and the data must be reachable from all
    under the same path. cpus, gpus: what each has.

    Raises:
        ImportError: Ray Train is missing.
        RuntimeError: the processes died more often.
        Otherwise as `train`.
    """
    require("ray.train", "stylemap train --ray", name="Ray Train")
    ray_train, torch_train = importlib.import_module("ray.train"), importlib.import_module("ray.train.torch")
    if checkpoints.found(folder / "checkpoints") and not resume:
        raise FileExistsError(
            f"{folder} already holds a run: continue it with --resume, or take another folder"
        )
    open_source(config)  # what is wrong with it is told here, once
    folder = folder.absolute()
    each = {"CPU": cpus, "GPU": 1} if gpus else {"CPU": cpus}
    trainer = torch_train.TorchTrainer(
        _worker,
        train_loop_config={"config": config.to_dict(), "folder": str(folder)},
        scaling_config=ray_train.ScalingConfig(num_workers=workers, use_gpu=gpus, resources_per_worker=each),
        torch_config=torch_train.TorchConfig(backend="nccl" if gpus else "gloo"),
        run_config=ray_train.RunConfig(
            name=STORAGE,
            storage_path=str(folder),
            failure_config=ray_train.FailureConfig(max_failures=max_failures),
        ),
    )
    with _interruptions_as_before():
        fault = (trainer.fit().metrics or {}).get("fault")
    if fault:
        raise TrainingError(fault)
    return checkpoints.found(folder / "checkpoints")[-1]


@contextmanager
def _interruptions_as_before() -> Iterator[None]:
    """Ray Train's handler of Ctrl-C, which asks for the end of that run, does not stay after it."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread() and before is not None:
            signal.signal(signal.SIGINT, before)


def _worker(arguments: dict[str, Any]) -> None:
    """What every process runs, from the beginning or from the newest checkpoint."""
    from ray import train as ray_train

    config = TrainConfig.from_dict(arguments["config"])
    try:
        train(config, Path(arguments["folder"]), resume=True)
    except TrainingError as error:  # all processes see it, and starting again would not help
        ray_train.report({"fault": str(error)})
