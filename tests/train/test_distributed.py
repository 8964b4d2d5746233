"""Two processes of batch b compute what one of batch 2b does."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import torch

from stylemap.train import checkpoints, record
from tests.helpers import warm
from tests.train import two_processes

ROOT = Path(__file__).parents[2]


def torchrun(commands: Path, *arguments: str) -> str:
    """Two processes of `python` with these arguments."""
    python = str(commands / "python")
    launcher = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--no-python", python)
    done = subprocess.run(
        [python, "-m", *launcher, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=240,
        env=warm.environment(commands, OMP_NUM_THREADS="1"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("accumulate", [1, 2])
def test_gradients_equal_those_of_one_process(accumulate: int, tmp_path: Path, warm_commands: Path) -> None:
    two_processes.main(str(tmp_path / "one.pt"), 1)
    torchrun(warm_commands, "-m", "tests.train.two_processes", str(tmp_path / "two.pt"), str(accumulate))
    one, two = (torch.load(tmp_path / f"{name}.pt") for name in ("one", "two"))
    assert len(one["gradients"]) == len(two["gradients"]) == 11  # 6 and, without R1, 5 optimiser steps
    for a, b in zip(one["gradients"], two["gradients"], strict=True):
        assert a.keys() == b.keys()
        for key in a:
            scale = float(a[key].abs().max())
            assert torch.allclose(a[key], b[key], rtol=0, atol=1e-4 * scale + 1e-7), key


@pytest.mark.slow
def test_the_command_under_torchrun(tmp_path: Path, warm_commands: Path) -> None:
    said = torchrun(
        warm_commands, "-m", "stylemap",
        "train", "--data", "faces", "--size", "16", "--latent-spatial-size", "4",
        "--latent-channel-size", "4", "--channel-table", "16:8,8:8,4:8", "--batch", "8", "--iterations", "3",
        "--log-every", "1", "--sample-every", "0", "--device", "cpu", "--output", str(tmp_path / "run"),
    )  # fmt: skip
    assert said.count("wrote ") == 1
    assert [path.stem for path in checkpoints.found(tmp_path / "run" / "checkpoints")] == ["00000003"]
    assert len(record.read(tmp_path / "run" / "losses.jsonl")) == 3
