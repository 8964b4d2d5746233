"""Run by torchrun in test_distributed: one iteration on two processes; the first saves the gradients."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from stylemap.train import distributed
from stylemap.train.batches import Batches, Share
from stylemap.train.networks import Networks
from stylemap.train.sources import open_source
from stylemap.train.step import Step
from tests.train import tiny_run


def threads_of_gloo() -> list[str]:
    names = (file.read_text().strip() for file in Path("/proc/self/task").glob("*/comm"))
    return sorted(name for name in names if "gloo" in name)


def iterate(path: str, accumulate: int, device: torch.device, share: Share) -> None:
    config = tiny_run.config(
        accumulate=accumulate, classes=2, class_label="glasses", learning_rate=1e-5, batch=16
    )
    networks = Networks(config, device)
    gradients = tiny_run.record_gradients(networks)
    if share.world > 1:
        networks.distribute(distributed.wrap)
    step = Step(networks, config)
    for iteration, parts in zip(range(2), Batches(open_source(config), config, device, share)):
        step(parts, iteration)
    if share.rank == 0:
        torch.save({"gradients": gradients, "state": networks.state_dict()}, path)


def main(path: str, accumulate: int) -> None:
    torch.set_num_threads(1)
    device, share = distributed.start("cpu")
    iterate(path, accumulate, device, share)
    if share.world > 1:
        assert threads_of_gloo(), "the threads have another name now"
    distributed.stop(share)
    assert not threads_of_gloo(), f"still running: {threads_of_gloo()}"


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
