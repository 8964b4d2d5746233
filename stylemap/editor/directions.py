"""Directions of attributes by name: what the semantic sliders move along."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from stylemap import assets, edit
from stylemap.config import Config
from stylemap.edit.direction_set import load_directions

MAX_DIRECTIONS = 32
_log = logging.getLogger(__name__)


def load_steps(
    path: str | os.PathLike[str] | None, config: Config, usual_step: Callable[[], float]
) -> dict[str, Tensor]:
    """What a slider at 1 adds to a stylemap, K×L×L float32 by name, in the order of the file.

    Args:
        path: a file of several directions (`edit.direction_set`) or of one (`edit.load_direction`), which is
            named after its file; None takes the bundled ones where they are there and fit the model.
        config: of the model.
        usual_step: the length of a step where the file has none.

    Raises:
        ValueError: the file named holds something else, or directions of another shape.
        OSError: it cannot be read.
    """
    bundled = assets.demo_directions()
    if path is not None:
        return _read(Path(path), config, usual_step)
    if bundled is None:
        return {}
    try:
        return _read(bundled, config, usual_step)
    except ValueError as error:
        _log.info("the bundled directions do not go with this model: %s", error)
        return {}


def _read(path: Path, config: Config, usual_step: Callable[[], float]) -> dict[str, Tensor]:
    try:
        found = load_directions(path, config.stylemap_shape)
    except ValueError:
        one = edit.load_direction(path, config.stylemap_shape)
        return {path.stem[:64]: one.vector * usual_step()}
    if len(found) > MAX_DIRECTIONS:
        raise ValueError(f"{path} holds {len(found)} directions; an editor shows at most {MAX_DIRECTIONS}")
    return {name[:64]: one.vector * one.step for name, one in found.items()}
