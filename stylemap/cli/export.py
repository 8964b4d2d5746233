"""stylemap export: ONNX files, TensorRT engines and sites of a model, verified against it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

import stylemap
from stylemap import assets, images
from stylemap.cli import common, export_web, said, streams

if TYPE_CHECKING:
    from stylemap.model import StyleMapGAN

_CALIBRATION = 32


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command ``export`` and its flags; its parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "export", help="ONNX files, TensorRT engines, sites", description=__doc__
    )
    formats = parser.add_subparsers(dest="format", metavar="FORMAT", required=True)
    _add_onnx(formats)
    _add_tensorrt(formats)
    export_web.add_parser(formats)
    return parser


def run(args: argparse.Namespace) -> None:
    """Run the part of the command that FORMAT names."""
    {"onnx": _run_onnx, "tensorrt": _run_tensorrt, "web": _run_web}[args.format](args)


def _add_common(parser: argparse.ArgumentParser, precisions: tuple[str, ...], default: str) -> None:
    parser.add_argument("--model", metavar="FILE", help=".pt or .safetensors (default: the bundled model)")
    # As it was written once; --model is the spelling of all commands.
    parser.add_argument("checkpoint", nargs="?", metavar="CHECKPOINT", help=argparse.SUPPRESS)
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="folder for the files")
    parser.add_argument(
        "--graphs",
        type=lambda text: text.split(","),
        metavar="NAME[,NAME…]",
        help="encoder, mapping, stylecodes, synthesis, decoder, editor, reconstruct (default: all of these); "
        "maps, cached_editor (for engines with the plugin ring)",
    )
    parser.add_argument(
        "--class",
        dest="class_name",
        metavar="NAME",
        help="of a class-conditional model, by its name or number: what the mapping graph is for",
    )
    parser.add_argument("--precision", choices=precisions, default=default, help=f"default: {default}")
    parser.add_argument(
        "--images", metavar="DIR", help="photos to verify (and calibrate) on (default: generated faces)"
    )
    common.add_fit_argument(parser)
    common.add_skip_argument(parser)


def _add_onnx(formats: Any) -> None:
    parser = formats.add_parser("onnx", help="encoder.onnx, decoder.onnx, …", description=_run_onnx.__doc__)
    _add_common(parser, ("fp32", "fp16", "bf16", "int8"), "fp32")
    parser.add_argument(
        "--calibration",
        choices=("minmax", "percentile", "entropy"),
        default="percentile",
        help="how int8 finds its ranges (default: percentile)",
    )
    parser.add_argument("--opset", type=int, metavar="N", help="ONNX operator set (default: 20)")
    parser.add_argument(
        "--external-weights", action="store_true", help="one weights file for all graphs, beside them"
    )


def _run_onnx(args: argparse.Namespace) -> None:
    """Write the graphs of a model as ONNX files, each run in ONNX Runtime and compared with the model."""
    if args.precision == "int8":
        _run_int8(args)
        return
    from stylemap.export.onnx import export_onnx

    model = _load(args)
    written = export_onnx(
        model,
        Path(args.output),
        args.graphs,
        precision=args.precision,
        opset=args.opset,
        external_weights=args.external_weights,
        photos=_photos(args, model.config.size),
        progress=_progress,
    )
    for file in written:
        size = file.path.stat().st_size / 1e6
        said.add("files", {"path": file.path, "error": file.error})
        said.say(
            f"{file.path.name}: {size:.1f} MB, {args.precision}, relative error at most {file.error:.1e}"
        )
    said.say(f"wrote {len(written)} files in {args.output}")


def _run_int8(args: argparse.Namespace) -> None:
    from stylemap.export.quantized import LEAST_PHOTOS, export_quantized

    if args.external_weights:
        raise ValueError("--external-weights does not go with --precision int8")
    model = _load(args)
    photos = _photos(args, model.config.size, count=_CALIBRATION)
    if photos is None:
        raise ValueError(f"int8 is calibrated on photos: name {LEAST_PHOTOS} or more with --images DIR")
    written = export_quantized(
        model,
        Path(args.output),
        photos,
        args.graphs,
        method=args.calibration,
        opset=args.opset,
        progress=_progress,
    )
    for file in written:
        size = file.path.stat().st_size / 1e6
        said.add("files", {"path": file.path, "psnr": file.psnr})
        said.say(f"{file.path.name}: {size:.1f} MB, int8 in {file.layers}, {file.psnr:.1f} dB against fp32")
    said.say(f"wrote {len(written)} files in {args.output}")


def _add_tensorrt(formats: Any) -> None:
    parser = formats.add_parser(
        "tensorrt", help="encoder.engine, decoder.engine, …", description=_run_tensorrt.__doc__
    )
    _add_common(parser, ("fp32", "fp16", "bf16", "fp8"), "fp16")
    parser.add_argument(
        "--package",
        choices=("auto", "tensorrt", "tensorrt-rtx"),
        default="auto",
        help="tensorrt builds for the GPU at hand, tensorrt-rtx without one too (default: auto)",
    )
    parser.add_argument(
        "--gpu",
        type=lambda text: text.split(","),
        default=[],
        metavar="X.Y[,X.Y…]",
        help="compute capabilities, as in 8.9 (default: the GPU at hand, else all that can be built for)",
    )
    parser.add_argument("--max-batch", type=int, default=8, help="default: 8")
    parser.add_argument("--best-batch", type=int, default=1, help="the batch to be fastest at (default: 1)")
    parser.add_argument("--max-references", type=int, default=8, help="of the editor (default: 8)")
    parser.add_argument("--timing-cache", type=Path, metavar="FILE", help="keep measurements between builds")
    parser.add_argument("--version-compatible", action="store_true", help="runs on later TensorRT versions")
    parser.add_argument(
        "--weight-stripped", action="store_true", help="engines without weights, taken from the ONNX files"
    )
    parser.add_argument(
        "--plugins",
        type=lambda text: text.split(","),
        default=[],
        metavar="NAME[,NAME…]",
        help="modulation, blend, ring: our kernels inside the engines, compiled ahead (fp16 and bf16)",
    )


def _run_tensorrt(args: argparse.Namespace) -> None:
    """Write ONNX files as `stylemap export onnx` does, and TensorRT engines built from them."""
    from stylemap.export.engine_options import EngineOptions, checked_options
    from stylemap.export.engines import describe_built, export_tensorrt

    options = EngineOptions(
        package=args.package,
        gpus=args.gpu,
        max_batch=args.max_batch,
        best_batch=args.best_batch,
        max_references=args.max_references,
        timing_cache=args.timing_cache,
        version_compatible=args.version_compatible,
        weight_stripped=args.weight_stripped,
        plugins=args.plugins,
    )
    checked_options(options)  # before a large checkpoint is read
    model = _load(args)
    built = export_tensorrt(
        model,
        Path(args.output),
        args.graphs,
        precision=args.precision,
        options=options,
        photos=_photos(args, model.config.size),
        progress=_progress,
    )
    for engine in built:
        said.add("engines", describe_built(engine))
        said.say(describe_built(engine))
    said.say(f"wrote {len(built)} engines in {args.output}")


def _run_web(args: argparse.Namespace) -> None:
    model = _load(args)
    path = args.model or args.checkpoint or assets.demo_model() or ""
    photos = _drawn(model.config.size, 8)
    export_web.run(args, model, Path(path).name, photos, _progress)


def _load(args: argparse.Namespace) -> StyleMapGAN:
    if args.model and args.checkpoint:
        raise ValueError(f"two models: --model {args.model} and {args.checkpoint}")
    path = args.model or args.checkpoint or assets.demo_model()
    if path is None:
        raise ValueError("no model: this copy of stylemap bundles none; name a checkpoint with --model FILE")
    model = stylemap.load(path, device="cpu", dtype=torch.float32)
    return model if args.class_name is None else model.of_class(args.class_name)


def _photos(args: argparse.Namespace, size: int, count: int = 8) -> Tensor | None:
    """Up to ``count`` photos N×3×S×S: those named, else generated faces; None where those cannot be drawn."""
    if args.images is not None:
        paths = common.find_readable(args, [args.images])[:count]
        return torch.stack([images.load(path, size, fit=args.fit) for path in paths])
    return _drawn(size, count)


def _drawn(size: int, count: int) -> Tensor | None:
    """Generated faces."""
    from stylemap.data.faces import render, sample_attributes

    try:
        drawn, _ = render(sample_attributes(0, range(count)), size)
    except RuntimeError:
        # Drawing needs the native library; a model can be exported without it.
        return None
    return drawn.float() / 127.5 - 1


def _progress(step: str) -> None:
    if said.voice().shows_progress:
        streams.tell(step)
