"""Start from a trained model: of the same size, or smaller, with the finest layers still to be learned."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from stylemap.checkpoint import Checkpoint, load_state
from stylemap.train.checkpoints import projected_discriminator
from stylemap.train.networks import Critic, Networks
from stylemap.train.projected import ProjectedCritic

_LOG = logging.getLogger(__name__)

# Encoder and discriminator count their blocks from the finest resolution, so a larger model shifts them.
_BLOCK = re.compile(r"convs\.(\d+)\.(.+)")


def start_from(path: Path, networks: Networks, size: int) -> None:
    """Copies the averaged generator, class vectors and encoder, and the discriminator, of a checkpoint into
    ``networks``.

    size: of the images of ``networks``; the checkpoint's may be smaller. Its layers then go to the same
    resolutions, and what lies beyond, to_rgb and from_rgb included, keeps its random start.

    Raises CheckpointError for a file that is none, ValueError for a larger model or a layer that does not
    fit, naming it.
    """
    checkpoint = load_state(path)
    old = checkpoint.config.size
    if old > size:
        raise ValueError(f"{path} is a model of {old} x {old}, larger than {size} x {size}")
    shift = size.bit_length() - old.bit_length()
    parts: list[tuple[nn.Module, Mapping[str, Tensor] | None, int]] = [
        (networks.generator, checkpoint.generator, 0),
        (networks.encoder, checkpoint.encoder, 0),
    ]
    if isinstance(networks.critic, Critic):
        parts.append((networks.critic.discriminator, checkpoint.discriminator, 1))
    for module, state, first_block in parts:
        if state is not None:
            _copy(path, module, _moved(state, shift, first_block, module is networks.generator))
    if isinstance(networks.critic, ProjectedCritic):
        _heads(path, networks.critic)
    _classes(path, checkpoint, networks)
    networks.g_ema.load_state_dict(networks.generator.state_dict())
    networks.e_ema.load_state_dict(networks.encoder.state_dict())


def _heads(path: Path, critic: ProjectedCritic) -> None:
    """The heads of a projected discriminator, which see features and so fit images of every size; where the
    file is of a run that had one."""
    state = None if path.suffix == ".safetensors" else projected_discriminator(path)
    if state is not None:
        heads = {
            key.removeprefix("heads."): value for key, value in state.items() if key.startswith("heads.")
        }
        critic.heads.load_state_dict(heads)


def _classes(path: Path, checkpoint: Checkpoint, networks: Networks) -> None:
    """The vectors of the classes, where both models have them."""
    own = networks.mapping.embedding
    old = None if checkpoint.classes is None else checkpoint.classes["weight"]
    if own is None or old is None:
        if old is not None:
            _LOG.warning("%s is a model of %d classes: the new one is not told them", path, len(old))
        elif own is not None:
            _LOG.warning("%s knows no classes: their vectors start at random", path)
        return
    if len(own.weight) != len(old):
        raise ValueError(f"{path} is a model of {len(old)} classes, the new one of {len(own.weight)}")
    _copy(path, own, {"weight": old})
    assert networks.mapping_ema.embedding is not None
    networks.mapping_ema.embedding.load_state_dict(own.state_dict())
    theirs = networks.critic.embedding if isinstance(networks.critic, Critic) else None
    if theirs is not None and checkpoint.discriminator_classes is not None:
        _copy(path, theirs, checkpoint.discriminator_classes)


def _moved(state: Mapping[str, Tensor], shift: int, first: int, is_generator: bool) -> dict[str, Tensor]:
    """The entries under the names they have in the larger model; without those at the images' resolution.

    first: number of the first block among ``convs`` (in the discriminator 0 is its from_rgb).
    """
    if shift == 0:
        return dict(state)
    moved = {}
    for key, value in state.items():
        if key.startswith(("decoder.to_rgb.", "from_rgb.")):
            continue
        match = _BLOCK.fullmatch(key)
        if match and not is_generator:
            if int(match[1]) < first:
                continue
            key = f"convs.{int(match[1]) + shift}.{match[2]}"
        moved[key] = value
    return moved


@torch.no_grad()
def _copy(path: Path, module: nn.Module, state: Mapping[str, Tensor]) -> None:
    own = module.state_dict()
    for key, value in state.items():
        if key not in own:
            raise ValueError(f"{path}: the new model has no layer {key}")
        if own[key].shape != value.shape:
            raise ValueError(
                f"{path}: {key} is {tuple(value.shape)}, the new model's is {tuple(own[key].shape)}"
            )
        own[key].copy_(value)
