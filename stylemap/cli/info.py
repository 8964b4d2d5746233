"""stylemap info: versions, native libraries, devices, and what is in a model file."""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch

import stylemap
from stylemap import assets
from stylemap.cli import common, said
from stylemap.export import ports
from stylemap.model import StyleMapGAN

if TYPE_CHECKING:
    from stylemap.export import Runtime

_PACKAGES = ("torch", "numpy", "pillow", "safetensors", "scikit-learn", "onnx", "onnxruntime", "openvino")


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command ``info`` and its flags; its parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "info", help="versions, backends and devices", description=__doc__
    )
    common.add_model_arguments(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Print versions, operators, devices and the facts of the model."""
    sections = [("versions", _versions()), ("operators", _operators()), ("devices", _devices())]
    path = args.model or assets.demo_model()
    if path is None:
        sections.append(("model", iter([("bundled", "none in this copy: name one with --model FILE")])))
    else:
        sections.append(("model", _model(args, str(path))))
    for title, lines in sections:
        said.say(title)
        facts = {}
        for name, value in lines:
            facts[name] = value
            said.say(f"  {name:<14} {value}")
        said.note(**{title: facts})


def _versions() -> Iterator[tuple[str, str]]:
    yield "stylemap", stylemap.__version__
    yield "python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    for package in _PACKAGES:
        try:
            yield package, importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            yield package, "not installed"


def _operators() -> Iterator[tuple[str, str]]:
    from stylemap import _build
    from stylemap.ops import _native, current_backend

    for device in ("cpu", "cuda"):
        reason, library = _native.why_missing(device), _build.library_path(device)
        if reason is None:
            yield device, f"native, {library}"
            continue
        built = f"{library} is built" if library.is_file() else "its library is not built"
        if device == "cuda" and not library.is_file() and _build.cuda_home() is None:
            built += ": no nvcc in CUDA_HOME, on PATH or in /usr/local/cuda"
        yield device, f"plain PyTorch, because {' '.join(reason.split())}; {built}"
    yield "in use on cpu", current_backend("cpu")


def _devices() -> Iterator[tuple[str, str]]:
    capability = torch.backends.cpu.get_cpu_capability()
    yield "cpu", f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, {capability}"
    if torch.version.cuda is None:
        yield "cuda", "none: this torch is built without CUDA"
    elif not torch.cuda.is_available():
        yield "cuda", f"none: torch is built for CUDA {torch.version.cuda}, but sees no device"
    else:
        for index in range(torch.cuda.device_count()):
            facts = torch.cuda.get_device_properties(index)
            memory = facts.total_memory / 2**30
            yield f"cuda:{index}", f"{facts.name}, sm_{facts.major}{facts.minor}, {memory:.0f} GiB"


def _model(args: argparse.Namespace, path: str) -> Iterator[tuple[str, str]]:
    model = common.load_model(args)
    yield "file", path
    for name, value in model.config.to_dict().items():
        yield name, "default" if value == {} else str(value)
    if not isinstance(model, StyleMapGAN):
        yield from _exported(model)
        return
    if model.class_names:
        yield "classes", ", ".join(model.class_names)
    for name, part in (("encoder", model.encoder), ("generator", model.generator)):
        yield name, f"{sum(p.numel() for p in part.parameters()) / 1e6:.2f} million parameters"


def _exported(runtime: Runtime) -> Iterator[tuple[str, str]]:
    """What an exported model adds: where it runs, what made it, how it was verified."""
    about = runtime.description
    yield "graphs", ", ".join(graph for graph in ports.ALL if runtime.has(graph))
    yield "runs in", f"{runtime.provider} on {runtime.device}"
    yield "exported as", about.precision
    yield "exported by", ", ".join(f"{name} {version}" for name, version in sorted(about.versions.items()))
    error, psnr = about.verified.get("relative_error"), about.verified.get("psnr")
    if error is not None:
        yield "verified", f"{about.graph}: relative error at most {error:.1e}"
    elif psnr is not None:
        yield "verified", f"{about.graph}: {psnr:.1f} dB"
