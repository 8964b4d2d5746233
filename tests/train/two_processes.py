"""Run by torchrun in test_distributed: one iteration on two processes; the first saves the gradients."""

from __future__ import annotations

import sys

import torch

from stylemap.train import distributed
from stylemap.train.batches import Batches
from stylemap.train.networks import Networks
from stylemap.train.sources import open_source
from stylemap.train.step import Step
from tests.train import tiny_run


def main(path: str, accumulate: int) -> None:
    torch.set_num_threads(1)
    device, share = distributed.start("cpu")
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
    distributed.stop(share)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
