"""The editor as a site of static files: the model runs in the browser, and there is no server.

index.html, static/     the page, as the server has it, with `static/browser` in the server's place
model/                  graphs and weights as ONNX, directions, and `model.json`, which names everything
gallery/                the photos for everybody, and where their parts are
runtime/                ONNX Runtime
sw.js                   the service worker, which keeps all of it, by a list, for times without a network
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
from torch import Tensor

from stylemap import images as pictures
from stylemap.editor import photos, server
from stylemap.editor.app import STATIC
from stylemap.editor.clients import Unavailable
from stylemap.editor.composer import Composer
from stylemap.editor.edits import Recipe
from stylemap.editor.site_runtime import write_runtime
from stylemap.editor.studio import Studio
from stylemap.export.onnx import export_onnx
from stylemap.files import make_folder
from stylemap.model import StyleMapGAN

GRAPHS = ("encoder", "stylecodes", "part_maps", "picture")
_ROOT = ("sw.js", "manifest.webmanifest")
# Nothing that the page holds can be sent anywhere but to where it came from.
_POLICY = (
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "connect-src 'self' blob:; "
    "object-src 'none'; base-uri 'none'; form-action 'none'"
)
_HEAD = f"""<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<link rel="manifest" href="manifest.webmanifest">
"""
_SAMPLES = 64


def write_site(
    model: StyleMapGAN,
    folder: Path,
    name: str,
    *,
    runtime: Path | None = None,
    images: Path | None = None,
    directions: str | os.PathLike[str] | None = None,
    verify_on: Tensor | None = None,
    progress: Callable[[str], None] = lambda step: None,
) -> int:
    """Write the site whole or not at all; its size in bytes.

    Args:
        model: on the CPU in float32, evaluation mode.
        folder: is made, or replaced where it holds an earlier site.
        name: what the page calls the model.
        runtime: see `site_runtime.write_runtime`.
        images: a folder of photos to offer, which become part of the site.
        directions: file of the sliders; None takes the bundled ones where they fit.
        verify_on: photos N×3×S×S that the graphs are compared with the model on.
        progress: called with a line before each step.

    Raises:
        FileExistsError: the folder holds something else.
        FileNotFoundError, RuntimeError: the runtime cannot be had.
        stylemap.export.verify.MismatchError: a graph does not compute what the model does.
        ValueError, OSError: photos or directions that cannot be used; a folder that cannot be written.
    """
    folder = Path(os.path.abspath(folder))
    _check_replaceable(folder)
    studio = server.open_studio(model, name, folder=images, directions=directions)
    make_folder(folder.parent)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        progress("the runtime")
        version = write_runtime(temporary / "runtime", runtime)
        _write_page(temporary)
        has_mapping = len(model.class_names) <= 1
        names = [*GRAPHS, "mapping"] if has_mapping else list(GRAPHS)
        export_onnx(
            model, temporary / "model", names, external_weights=True, photos=verify_on, progress=progress
        )
        progress("photos")
        _write_gallery(studio, temporary / "gallery")
        _write_model(studio, temporary / "model", names, version)
        _write_list(temporary)
        os.chmod(temporary, 0o755)
        size = sum(path.stat().st_size for path in temporary.rglob("*") if path.is_file())
        _put(temporary, folder)
        return size
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _check_replaceable(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise FileExistsError(f"{folder} is a file: name a folder for the site")
    if any(folder.iterdir()) and not ((folder / "sw.js").is_file() and (folder / "files.js").is_file()):
        raise FileExistsError(f"{folder} holds something else than a site: name another folder")


def _put(temporary: Path, folder: Path) -> None:
    """In the place of an earlier site, which stays until this one is there."""
    if not folder.exists():
        os.replace(temporary, folder)
        return
    earlier = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    os.replace(folder, earlier)
    try:
        os.replace(temporary, folder)
    except OSError:
        os.replace(earlier, folder)
        raise
    shutil.rmtree(earlier, ignore_errors=True)


def _write_page(site: Path) -> None:
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    for old, new in (("<html ", '<html data-engine="browser" '), ('<meta charset="utf-8">\n', None)):
        if page.count(old) != 1:
            raise RuntimeError(f"index.html has no single {old.strip()}")
        page = page.replace(old, new or old + _HEAD)
    (site / "index.html").write_text(page, encoding="utf-8")
    shutil.copytree(STATIC, site / "static", ignore=shutil.ignore_patterns("index.html", *_ROOT))
    for name in _ROOT:
        shutil.copyfile(STATIC / "browser" / name, site / name)


def _write_gallery(studio: Studio, folder: Path) -> None:
    folder.mkdir()
    for entry in studio.gallery.entries:
        (folder / f"{entry.id}.png").write_bytes(photos.png(studio.gallery.image(entry.id)))
        try:
            known = studio.parts(entry.id).model_dump_json()
        except Unavailable:
            continue
        (folder / f"{entry.id}.parts.json").write_text(known, encoding="utf-8")


def _write_model(studio: Studio, folder: Path, names: list[str], runtime: str) -> None:
    """model.json, and the arrays that it describes: float32 one after the other in arrays.bin."""
    composer, first = cast("Composer", studio.composer), studio.gallery.entries[0].id
    arrays = {f"direction {name}": step for name, step in composer.directions.items()}
    if "mapping" in names:
        arrays["mean"] = composer.random(0, 0.0)[0]
    image = composer.render(Recipe(composer.add(pictures.to_tensor(studio.gallery.image(first)))))
    places = np.linspace(0, image.numel() - 1, _SAMPLES).astype(int)
    with open(folder / "arrays.bin", "wb") as file:
        for array in arrays.values():
            file.write(array.detach().float().cpu().contiguous().numpy().astype("<f4").tobytes())
    about: dict[str, Any] = {
        "about": studio.about().model_dump(),
        "codes": [list(shape) for shape in composer.config.stylecode_shapes],
        "latent": composer.config.latent_channel_size,
        "graphs": names,
        "weights": next(path.name for path in folder.glob("weights.*.bin")),
        "gallery": [{"id": entry.id, "name": entry.name} for entry in studio.gallery.entries],
        "arrays": [{"name": name, "size": array.numel()} for name, array in arrays.items()],
        "check": {"image": first, "places": places.tolist(), "values": image.flatten()[places].tolist()},
        "runtime": runtime,
    }
    (folder / "model.json").write_text(json.dumps(about), encoding="utf-8")


def _write_list(site: Path) -> None:
    """The list of what the service worker keeps, and a version that changes with any of it."""
    digest, files = hashlib.sha256(), []
    for path in sorted(path for path in site.rglob("*") if path.is_file()):
        files.append(path.relative_to(site).as_posix())
        digest.update(f"{files[-1]} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    listed = json.dumps([name for name in files if name != "sw.js"], indent=0)
    text = f'self.SITE = {{ version: "{digest.hexdigest()[:16]}", files: {listed} }};\n'
    (site / "files.js").write_text(text, encoding="utf-8")
