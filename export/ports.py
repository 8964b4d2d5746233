"""The graphs that are exported: their names, inputs and outputs, as in the API of the model."""

from __future__ import annotations

from typing import NamedTuple

from stylemap.config import Config

BATCH, REFERENCES = "batch", "references"

GRAPHS: dict[str, str] = {
    "encoder": "Image to stylemap.",
    "mapping": "z, drawn from N(0, 1), to stylemap.",
    "stylecodes": "Stylemap to stylecodes.",
    "synthesis": "Stylecodes to image.",
    "decoder": "Stylemap to image.",
    "editor": "Interactive blend: the stylecodes of an image and of its references, the references' masks "
    "and shifts in pixels (dx, dy), and a weight, to the edited image.",
    "reconstruct": "Image to stylemap to image.",
}


class Port(NamedTuple):
    """An input or output. Dimensions given as text are dynamic; the first is always the batch.

    kind: "float" in the precision of the graph, "mask" (always float32), or "integer" (int64).
    """

    name: str
    shape: tuple[int | str, ...]
    kind: str = "float"


def inputs(graph: str, config: Config) -> list[Port]:
    """What one of GRAPHS takes."""
    if graph == "mapping":
        return [Port("z", (BATCH, config.latent_channel_size))]
    if graph in ("encoder", "reconstruct"):
        return [_images(config)]
    if graph in ("stylecodes", "decoder"):
        return [_w(config)]
    if graph == "synthesis":
        return _codes(config)
    laid = [
        Port(f"reference_codes_{index}", (BATCH, REFERENCES, *shape))
        for index, shape in enumerate(config.stylecode_shapes)
    ]
    masks = Port("masks", (BATCH, REFERENCES, config.size, config.size), "mask")
    shifts = Port("shifts", (BATCH, REFERENCES, 2), "integer")
    return [*_codes(config), *laid, masks, shifts, Port("weights", (BATCH,), "mask")]


def outputs(graph: str, config: Config) -> list[Port]:
    """What one of GRAPHS gives."""
    if graph in ("encoder", "mapping"):
        return [_w(config)]
    if graph == "stylecodes":
        return _codes(config)
    return [_images(config)._replace(name="reconstruction" if graph == "reconstruct" else "images")]


def _images(config: Config) -> Port:
    return Port("images", (BATCH, 3, config.size, config.size))


def _w(config: Config) -> Port:
    return Port("w", (BATCH, *config.stylemap_shape))


def _codes(config: Config) -> list[Port]:
    return [Port(f"codes_{i}", (BATCH, *shape)) for i, shape in enumerate(config.stylecode_shapes)]
