"""A model card beside the weights: what the model is, its data, licence, metrics and pictures.

The front matter is what the Hugging Face Hub reads (huggingface.co/docs/hub/model-cards).
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from stylemap import assets, checkpoint, edit, images
from stylemap.files import read_text, write_whole
from stylemap.model import StyleMapGAN
from stylemap.sheets import Tile, contact_sheet

CARD, CONFIG = "README.md", "config.json"
_DRAWN = "builtin:faces"
_COLUMNS = 8
_TILE = 128
_PAPER = """\
@inproceedings{kim2021stylemapgan,
  title     = {Exploiting Spatial Dimensions of Latent in GAN for Real-time Image Editing},
  author    = {Kim, Hyunsu and Choi, Yunjey and Kim, Junho and Yoo, Sungjoo and Uh, Youngjung},
  booktitle = {Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)},
  year      = {2021},
  url       = {https://arxiv.org/abs/2104.14754}
}
"""


@dataclass(frozen=True)
class Facts:
    """What a card says beside what the model itself says.

    data: what the model was trained on; empty: not stated. licence: an identifier of the Hub.
    metrics: a report of `stylemap evaluate`; empty: not measured. photos: to decode.
    """

    data: str = ""
    licence: str = "unknown"
    metrics: Mapping[str, Any] | None = None
    photos: tuple[Path, ...] = ()


def facts(
    source: Path, data: str | None, licence: str | None, metrics: Path | None, photos: Path | None
) -> Facts:
    """What the user says, and where that is None what is known: of the bundled model all, of a run's
    checkpoint the data that it notes and what `stylemap evaluate --run` measured.

    Raises:
        ValueError: a metrics file that `stylemap evaluate` did not write, or not of this checkpoint.
        FileNotFoundError: no such metrics file or photos.
    """
    bundled = assets.demo_model()
    if bundled is not None and source.resolve() == bundled.resolve():
        data, licence, metrics = data or _DRAWN, licence or "apache-2.0", metrics or assets.demo_metrics()
    notes = checkpoint.notes(source)
    noted = notes.get("data") or notes.get("dataset")
    beside = source.parent.parent / "evaluation.json"
    report = None
    if metrics is not None:
        report = _report(metrics, source)
    elif source.parent.name == "checkpoints" and beside.is_file():
        report = _report(beside, source)
    return Facts(
        data or (noted if isinstance(noted, str) else ""),
        licence or "unknown",
        report,
        tuple(images.find([photos])[:_COLUMNS]) if photos is not None else (),
    )


def _report(path: Path, source: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(read_text(path))
        if "checkpoints" in content:
            if source.name not in content["checkpoints"]:
                raise ValueError(f"{path} measured other checkpoints than {source.name}")
            content = {**content, **content["checkpoints"][source.name]}
        values = {str(name): float(value) for name, value in content["values"].items()}
        return {"data": str(content["data"]), "values": values}
    except (KeyError, TypeError, AttributeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} is no report of stylemap evaluate --output") from error


def files(source: Path, target: Path, known: Facts) -> dict[Path, bytes]:
    """The files beside ``target``, by path: the card, its pictures, and config.json for a .safetensors."""
    model = checkpoint.load(source)
    pictures = {name: _png(sheet) for name, sheet in _sheets(model, known).items()}
    content = {CARD: _card(model, target, known, list(pictures)).encode(), **pictures}
    if target.suffix == ".safetensors":
        content[CONFIG] = (json.dumps(model.config.to_dict(), indent=2) + "\n").encode()
    return {target.with_name(name): data for name, data in content.items()}


def names(target: Path) -> list[Path]:
    """The paths that `files` may fill."""
    return [target.with_name(name) for name in (CARD, CONFIG, *_CAPTIONS)]


@contextmanager
def write(content: Mapping[Path, bytes]) -> Iterator[None]:
    """Files that become what they are called when the block succeeds: all of them, or after a failure none.

    Raises:
        OSError: a folder that cannot be written, or a full disk, before the block runs.
    """
    with ExitStack() as stack:
        for path, data in content.items():
            file = stack.enter_context(write_whole(path))
            file.write(data)
            file.flush()
        yield


@torch.no_grad()
def _sheets(model: StyleMapGAN, known: Facts) -> dict[str, Image.Image]:
    drawn = edit.sample(model, 2 * _COLUMNS, seed=1, truncation=0.7)
    found = {"samples.png": _rows([*drawn.split(_COLUMNS)], ["", ""])}
    originals, others = (model.encode(part) for part in drawn.split(_COLUMNS))
    half = edit.masks.box(model.config.size, 0, 0.5, 1, 1)
    edited = edit.local(model, originals, others, half, space="w+")
    labels = ["original", "reference", "its lower half"]
    found["edits.png"] = _rows([*drawn.split(_COLUMNS), edited], labels)
    photos = _photos(model.config.size, known)
    if photos is not None:
        found["decoded.png"] = _rows([photos, edit.reconstruct(model, photos)], ["images", "decoded"])
    return found


def _photos(size: int, known: Facts) -> Tensor | None:
    if known.photos:
        return torch.stack([images.load(path, size) for path in known.photos])
    if not known.data.startswith(_DRAWN):
        return None
    from stylemap.data.faces import FacesDataset

    try:
        return FacesDataset(size, _COLUMNS, held_out=True).batch(range(_COLUMNS))
    except RuntimeError:
        return None  # drawing needs the native library, a card does not


def _rows(rows: list[Tensor], labels: list[str]) -> Image.Image:
    return contact_sheet([[Tile(one) for one in row] for row in rows], labels=labels, tile=_TILE)


def _png(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True)
    return stream.getvalue()


def _card(model: StyleMapGAN, target: Path, known: Facts, pictures: list[str]) -> str:
    title = target.absolute().parent.name if target.stem == "model" else target.stem
    size, (channels, cells, _) = model.config.size, model.config.stylemap_shape
    parts = [
        f"---\n{_front_matter(title, known)}---",
        f"# {title}",
        f"A [StyleMapGAN](https://arxiv.org/abs/2104.14754) for {size}×{size} images with stylemaps of "
        f"{channels}×{cells}×{cells}, for stylemap.",
        f"```python\nimport stylemap\n\nmodel = stylemap.load({json.dumps(target.name)})"
        f"  # or hf://USER/REPOSITORY/{target.name}\n```",
        f"## Data\n\n{known.data or 'Not stated.'}",
        f"## Licence\n\n{'Not stated.' if known.licence == 'unknown' else known.licence}",
        f"## Metrics\n\n{_table(known.metrics)}",
        "## Pictures\n\n" + "\n\n".join(f"{_CAPTIONS[name]}\n\n![]({name})" for name in pictures),
        "## Limits\n\nThe model knows images like those it was trained on, and changes others into such. Its "
        "images are no evidence of anything: say so where you show them.",
        f"## Citation\n\n```bibtex\n{_PAPER}```",
    ]
    return "\n\n".join(parts) + "\n"


_CAPTIONS = {
    "samples.png": "Random images, truncation 0.7, seed 1.",
    "edits.png": "Local edits: random images, others, and the first with the lower half of those.",
    "decoded.png": "Images, and what the model makes of their stylemaps.",
}


def _front_matter(title: str, known: Facts) -> str:
    """YAML, each value as JSON, which YAML includes."""
    values: dict[str, Any] = {
        "license": known.licence,
        "library_name": "stylemap",
        "pipeline_tag": "image-to-image",
        "tags": ["stylemapgan", "gan", "image-editing"],
    }
    if known.metrics:
        measured = [
            {"type": name.replace(" ", "_"), "name": name, "value": value}
            for name, value in known.metrics["values"].items()
        ]
        result = {
            "task": {"type": "image-to-image"},
            "dataset": {"name": known.metrics["data"], "type": known.metrics["data"]},
            "metrics": measured,
        }
        values["model-index"] = [{"name": title, "results": [result]}]
    return "".join(f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in values.items())


def _table(metrics: Mapping[str, Any] | None) -> str:
    if not metrics:
        return "Not measured."
    rows = "\n".join(f"| {name} | {value:.4g} |" for name, value in metrics["values"].items())
    return f"By `stylemap evaluate` on {metrics['data']}:\n\n| metric | value |\n|---|---:|\n{rows}"
