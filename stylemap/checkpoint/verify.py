"""Compare state dicts with the networks of a configuration before anything is allocated for them."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from stylemap.checkpoint.contents import Checkpoint, CheckpointError, State, show
from stylemap.config import Config
from stylemap.model import Discriminator, Encoder, Generator

_FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
CLASSES = ("classes", "raw_classes", "discriminator_classes")
_MAX_CLASSES = 100_000
NETWORKS: dict[str, type[Generator] | type[Encoder] | type[Discriminator]] = {
    "generator": Generator,
    "encoder": Encoder,
    "discriminator": Discriminator,
    "raw_generator": Generator,
    "raw_encoder": Encoder,
}


def on_meta(part: str, config: Config) -> nn.Module:
    """The network of one part of a Checkpoint, with shapes but no memory."""
    with torch.device("meta"):
        return NETWORKS[part](config)


def verify(path: Path, checkpoint: Checkpoint, parts: Iterable[str]) -> Checkpoint:
    """Check that the keys, shapes and dtypes of these parts are those of the configuration.

    Returns the checkpoint. What its training arguments do not say of the configuration is taken from the
    weights, as far as those show it.

    Raises:
        CheckpointError: they are not. The message names the first wrong key and both shapes; where all
            weights fit another configuration, it names what differs between the two configurations.
    """
    parts = tuple(parts)
    problem = _first_problem(checkpoint, checkpoint.config, parts)
    if problem is not None:
        actual = _config_of_weights(checkpoint)
        if actual is None or _first_problem(checkpoint, actual, parts) is not None:
            raise CheckpointError(f"{path}: {problem}")
        if set(_differing(checkpoint.config, actual)) & set(checkpoint.train_args):
            raise CheckpointError(f"{path}: {_contradiction(checkpoint, actual)}")
        checkpoint = dataclasses.replace(checkpoint, config=actual)
    problem = _classes_problem(checkpoint)
    if problem is not None:
        raise CheckpointError(f"{path}: {problem}")
    return checkpoint


def _first_problem(checkpoint: Checkpoint, config: Config, parts: Iterable[str]) -> str | None:
    for part in parts:
        state = getattr(checkpoint, part)
        problem = None if state is None else _compare(state, on_meta(part, config).state_dict())
        if problem is not None:
            return f"{part}: {problem}"
    return None


def _classes_problem(checkpoint: Checkpoint) -> str | None:
    config, counts = checkpoint.config, {}
    for part in CLASSES:
        state = getattr(checkpoint, part)
        if state is None:
            continue
        width = config.channels(4) if part == "discriminator_classes" else config.latent_channel_size
        rows = state["weight"].shape[0] if "weight" in state and state["weight"].ndim == 2 else 1
        if not 1 <= rows <= _MAX_CLASSES:
            return f"{part}: weight has {rows} rows, expected 1 to {_MAX_CLASSES}"
        problem = _compare(state, {"weight": torch.empty(rows, width, device="meta")})
        if problem is not None:
            return f"{part}: {problem}"
        counts[part] = rows
    if len(set(counts.values())) > 1:
        return "classes: " + ", ".join(f"{part} has {count}" for part, count in counts.items())
    return None


def _compare(state: State, expected: State) -> str | None:
    missing = [key for key in expected if key not in state]
    if missing:
        return f"missing key {missing[0]}" + (f" and {len(missing) - 1} more" if missing[1:] else "")
    unexpected = [key for key in state if key not in expected]
    if unexpected:
        more = f" and {len(unexpected) - 1} more" if unexpected[1:] else ""
        return f"unexpected key {show(unexpected[0])}{more}"
    for key, like in expected.items():
        tensor = state[key]
        if tensor.shape != like.shape:
            return f"{key} has shape {_shape(tensor)}, expected {_shape(like)}"
        stored_plainly = tensor.layout == torch.strided and tensor.device.type == "cpu"
        kinds = _FLOATS if like.is_floating_point() else (torch.int64,)
        if not stored_plainly or tensor.dtype not in kinds:
            dtype = str(tensor.dtype).removeprefix("torch.")
            return f"{key} is a {dtype} tensor, which is not supported"
    return None


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "scalar"


def _contradiction(checkpoint: Checkpoint, actual: Config) -> str:
    claimed = checkpoint.config
    names = _differing(claimed, actual)
    stated = ", ".join(
        f"{name} = {getattr(claimed, name)}" + ("" if name in checkpoint.train_args else " (by default)")
        for name in names
    )
    found = ", ".join(f"{name} = {getattr(actual, name)}" for name in names)
    return f"its configuration contradicts its weights: stated {stated}, the weights have {found}"


def _differing(a: Config, b: Config) -> list[str]:
    """The fields in which two configurations differ."""
    return [f.name for f in dataclasses.fields(Config) if getattr(a, f.name) != getattr(b, f.name)]


def _config_of_weights(checkpoint: Checkpoint) -> Config | None:
    """The configuration that follows from the shapes; None where none does."""
    claimed, state = checkpoint.config, checkpoint.generator
    try:
        latent_channels = state["mapping_z.1.weight"].shape[1]
        _, first_width, side, _ = state["decoder.input.input"].shape
        code_width = state["decoder.convs_latent.0.0.weight"].shape[0]
        blocks = _count(state, r"decoder\.convs\.(\d+)\.conv1\.conv\.weight")
        widths = {side: first_width}
        for i in range(blocks):
            widths[side << (i + 1)] = state[f"decoder.convs.{i}.skip.0.weight"].shape[0]
        size = side << blocks
        multiplier = widths[size] * size // 16384 if size > 32 else claimed.channel_multiplier
        batch_norm = any(key.endswith("norm.running_mean") for key in state)
        other_norm = claimed.normalize_mode if claimed.normalize_mode != "BatchNorm2d" else "LayerNorm"
        config = dataclasses.replace(
            claimed,
            size=size,
            latent_channel_size=latent_channels,
            latent_spatial_size=side,
            channel_multiplier=multiplier or claimed.channel_multiplier,
            normalize_mode="BatchNorm2d" if batch_norm else other_norm,
            mapping_layer_num=_count(state, r"mapping_z\.(\d+)\.weight"),
            channel_table=(),
        )
        table = {r: width for r, width in widths.items() if width != config.channels(r)}
        config = dataclasses.replace(config, channel_table=table)
        if code_width != config.stylecode_channels(side):
            config = dataclasses.replace(config, small_generator=not config.small_generator)
        return config
    except (KeyError, IndexError, ValueError, TypeError):
        return None


def _count(state: State, pattern: str) -> int:
    return sum(re.fullmatch(pattern, key) is not None for key in state)


def all_finite(tensor: Tensor) -> bool:
    """Whether there is neither NaN nor infinity. `isfinite` would need another tensor of this size."""
    if not tensor.is_floating_point() or tensor.numel() == 0:
        return True
    low, high = torch.aminmax(tensor)
    return math.isfinite(low) and math.isfinite(high)
