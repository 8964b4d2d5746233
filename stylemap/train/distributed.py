"""Several processes, one per device, as torchrun or Ray Train starts them."""

from __future__ import annotations

import gc
import importlib
import os

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from stylemap.train.batches import Share

_made: list[bool] = []  # whether the group is of `start`, which `stop` leaves


def start(device: str) -> tuple[torch.device, Share]:
    """The device of this process and its share of the work; joins the others where torchrun started it, and
    takes the group as it is where Ray Train has made one.

    device: "auto" takes a GPU where there is one. Raises RuntimeError for a device that is missing.
    """
    kind = device if device != "auto" else ("cuda" if torch.cuda.is_available() else "cpu")
    if kind.startswith("cuda") and not torch.cuda.is_available():
        raise RuntimeError("device 'cuda' was asked for, but PyTorch finds no GPU")
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return torch.device(kind), Share()
    if kind == "cuda":
        kind = f"cuda:{os.environ['LOCAL_RANK']}"
    if kind.startswith("cuda"):
        torch.cuda.set_device(kind)
    # Its functions have the default group as default arguments, bound when it is imported, and
    # DistributedDataParallel imports it. After init_process_group that would keep the group and its threads
    # beyond destroy_process_group.
    importlib.import_module("torch.distributed.nn.functional")
    if not dist.is_initialized():
        dist.init_process_group("nccl" if kind.startswith("cuda") else "gloo")
        _made.append(True)
    return torch.device(kind), Share(dist.get_rank(), dist.get_world_size())


def wrap(module: nn.Module) -> nn.Module:
    """The module with gradients averaged over the processes.

    Buffers stay each process's own: broadcasting them in a forward pass would change tensors that an
    earlier one still needs.
    """
    parameter = next(module.parameters())
    devices = [parameter.device] if parameter.device.type == "cuda" else None
    return DistributedDataParallel(
        module, device_ids=devices, broadcast_buffers=False, gradient_as_bucket_view=True
    )


def mean(values: Tensor, share: Share) -> Tensor:
    """Mean over the processes, of numbers for the log."""
    if share.world > 1:
        dist.all_reduce(values)
        values /= share.world
    return values


def same(module: nn.Module, share: Share) -> None:
    """Every process takes over the parameters of the first."""
    if share.world > 1:
        for parameter in module.parameters():
            dist.broadcast(parameter.data, 0)


def stop(share: Share) -> None:
    """Leaves the group that `start` made, and ends its threads.

    A thread of Gloo that still holds a tensor when Python shuts down aborts the process, so nothing may
    keep the group: wrapped modules must be out of use, and what they leave in cycles is collected here.
    """
    if share.world > 1 and _made:
        _made.clear()
        gc.collect()
        dist.destroy_process_group()
