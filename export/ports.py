"""The graphs that are exported: their names, inputs and outputs, as in the API of the model."""

from __future__ import annotations

from typing import NamedTuple

from stylemap.config import Config

BATCH, REFERENCES = "batch", "references"

#: Exported unless others are asked for.

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
#: For engines with the plugin "ring", which convolves a few cells of them; without it the editor is faster.
CACHED: dict[str, str] = {
    "maps": "Stylecodes to maps: γ and β of every layer, as cached_editor takes them.",
    "cached_editor": "The editor, given the maps of the image and of its references too: new ones are made "
    "only along the borders of masks.",
}
ALL = GRAPHS | CACHED
#: For pages without a server, which keep the maps of an edit and renew parts of them: `stylemap.editor.site`.
BROWSER: dict[str, str] = {
    "part_maps": "As maps, for a part of each stylecode, of any height and width, with a border of zeros.",
    "picture": "Maps to image.",
}


class Port(NamedTuple):
    """An input or output. Dimensions given as text are dynamic; the first is always the batch.

    kind: "float" in the precision of the graph, "mask" (always float32), or "integer" (int64).
    """

    name: str
    shape: tuple[int | str, ...]
    kind: str = "float"


def inputs(graph: str, config: Config) -> list[Port]:
    """What one of ALL or BROWSER takes."""
    if graph == "mapping":
        return [Port("z", (BATCH, config.latent_channel_size))]
    if graph in ("encoder", "reconstruct"):
        return [_images(config)]
    if graph in ("stylecodes", "decoder"):
        return [_w(config)]
    if graph in ("synthesis", "maps"):
        return _codes(config)
    if graph == "part_maps":
        return _parts(_codes(config))
    if graph == "picture":
        return _maps(config)
    laid = _laid(_codes(config))
    if graph == "cached_editor":
        laid += [*_maps(config), *_laid(_maps(config))]
    masks = Port("masks", (BATCH, REFERENCES, config.size, config.size), "mask")
    shifts = Port("shifts", (BATCH, REFERENCES, 2), "integer")
    return [*_codes(config), *laid, masks, shifts, Port("weights", (BATCH,), "mask")]


def outputs(graph: str, config: Config) -> list[Port]:
    """What one of ALL or BROWSER gives."""
    if graph in ("encoder", "mapping"):
        return [_w(config)]
    if graph == "stylecodes":
        return _codes(config)
    if graph == "maps":
        return _maps(config)
    if graph == "part_maps":
        return _parts(_maps(config))
    return [_images(config)._replace(name="reconstruction" if graph == "reconstruct" else "images")]


def _images(config: Config) -> Port:
    return Port("images", (BATCH, 3, config.size, config.size))


def _w(config: Config) -> Port:
    return Port("w", (BATCH, *config.stylemap_shape))


def _codes(config: Config) -> list[Port]:
    return [Port(f"codes_{i}", (BATCH, *shape)) for i, shape in enumerate(config.stylecode_shapes)]


def _maps(config: Config) -> list[Port]:
    """γ and β of the features that each layer modulates; the last one's β is that of the image."""
    last = len(config.stylecode_shapes) - 1
    ports = []
    for index, (_, height, width) in enumerate(config.stylecode_shapes):
        features = config.channels(height)
        channels = features + 3 if index == last else 2 * features
        ports.append(Port(f"maps_{index}", (BATCH, channels, height, width)))
    return ports


def _parts(whole: list[Port]) -> list[Port]:
    """The same of any height and width."""
    return [
        Port(name, (*shape[:2], f"height_{index}", f"width_{index}"))
        for index, (name, shape, _) in enumerate(whole)
    ]


def _laid(images: list[Port]) -> list[Port]:
    """The same of R references for each image."""
    return [Port(f"reference_{name}", (BATCH, REFERENCES, *shape[1:])) for name, shape, _ in images]
