"""Training by Ray Train: the losses of torchrun, and a process that is killed."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stylemap.benchmarks.bulk import processes_of
from stylemap.cli.app import main
from stylemap.train import checkpoints, record
from tests.helpers import needs

ROOT = Path(__file__).parents[2]
TRAIN = (
    "train", "--data", "faces", "--size", "16", "--latent-spatial-size", "4", "--latent-channel-size", "4",
    "--channel-table", "16:8,8:8,4:8", "--batch", "8", "--iterations", "8", "--log-every", "1",
    "--sample-every", "0", "--checkpoint-every", "2", "--device", "cpu",
)  # fmt: skip
WORKER = b"ray::RayTrainWorker"


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    ray = needs.package("ray")
    needs.package("ray.train.torch")
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=200 << 20,
        logging_level=logging.ERROR,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}},
    )
    yield ray
    ray.shutdown()


def _losses(folder: Path) -> list[dict[str, float]]:
    rows = record.read(folder / "losses.jsonl")
    return [{key: value for key, value in row.items() if key != "its"} for row in rows]


@pytest.mark.slow
def test_the_losses_are_those_of_torchrun_though_a_process_was_killed(ray: Any, tmp_path: Path) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    words = [*torchrun, "-m", "stylemap", *TRAIN, "--output", str(tmp_path / "torchrun")]
    subprocess.run(words, cwd=ROOT, env=environment, check=True, capture_output=True, timeout=300)

    folder, killed = tmp_path / "ray", []

    def kill() -> None:
        end = time.monotonic() + 300
        while time.monotonic() < end and not killed:
            workers = processes_of(WORKER)
            if workers and checkpoints.found(folder / "checkpoints"):
                killed.append(workers[-1])
                os.kill(workers[-1], signal.SIGKILL)
            time.sleep(0.01)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    handler = signal.getsignal(signal.SIGINT)
    assert main([*TRAIN, "--output", str(folder), "--ray", "auto", "--ray-workers", "2"]) == 0
    assert signal.getsignal(signal.SIGINT) is handler, "Ctrl-C is Ray's"
    killer.join(1)
    assert killed
    assert [row["iteration"] for row in _losses(folder)] == list(range(1, 9))
    assert _losses(folder) == _losses(tmp_path / "torchrun")


def test_what_is_there_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    needs.package("ray")
    assert main([*TRAIN, "--output", str(tmp_path), "--ray", "auto", "--ray-workers", "0"]) == 1
    assert "--ray-workers must be from 1 to 4096, got 0" in capsys.readouterr().err
