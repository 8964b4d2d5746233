"""stylemap export web: the editor as a site whose model runs in the browser."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from stylemap.cli import said
from stylemap.optional import require

if TYPE_CHECKING:
    from stylemap.model import StyleMapGAN


def add_parser(formats: Any) -> None:
    """Add the format ``web`` and its flags."""
    parser = formats.add_parser("web", help="the editor as a site without a server", description=run.__doc__)
    parser.add_argument("--model", metavar="FILE", help=".pt or .safetensors (default: the bundled model)")
    parser.add_argument("checkpoint", nargs="?", metavar="CHECKPOINT", help="the same, as --model")
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="folder for the site")
    parser.add_argument(
        "--runtime",
        type=Path,
        metavar="DIR",
        help="the unpacked npm package onnxruntime-web (default: the pinned version, by npm)",
    )
    parser.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="photos to offer beside generated faces; the site holds them",
    )
    parser.add_argument("--directions", metavar="FILE", help="directions of the sliders (.safetensors, .npz)")
    parser.add_argument(
        "--class",
        dest="class_name",
        metavar="NAME",
        help="of a class-conditional model, by its name or number: what random faces are of",
    )


def run(
    args: argparse.Namespace,
    model: StyleMapGAN,
    name: str,
    photos: Tensor | None,
    progress: Callable[[str], None],
) -> None:
    """Write a site of static files: the editor with the model in the browser, on WebGPU or WebAssembly."""
    for package in ("fastapi", "onnx", "onnxruntime"):  # both extras at once, not one and then the other
        require(package, "the editor without a server", extra="editor,export")
    from stylemap.editor.site import write_site

    size = write_site(
        model,
        Path(args.output),
        name,
        runtime=args.runtime,
        images=args.images,
        directions=args.directions,
        verify_on=photos,
        progress=progress,
    )
    said.add("site", args.output)
    said.add("bytes", size)
    said.say(f"wrote {args.output}: {size / 1e6:.1f} MB; see it with python -m http.server -d {args.output}")
