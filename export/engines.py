"""A model as TensorRT engines: ONNX files, engines built from them, sidecars; all or nothing."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx
from torch import Tensor

from stylemap.export import ports
from stylemap.export.description import Description
from stylemap.export.engine_options import CheckedOptions, EngineOptions, checked_options, for_precision
from stylemap.export.files import all_or_nothing, save, set_metadata
from stylemap.export.graphs import build
from stylemap.export.onnx import check, export_onnx
from stylemap.export.quantized import LEAST_PSNR, QuantizationError, export_quantized, held_out, psnr
from stylemap.export.quantized_lowering import KINDS
from stylemap.export.sessions.base import ENGINE_SUFFIX
from stylemap.export.sidecar import Sidecar, digest, sidecar_path
from stylemap.export.tensorrt import build_engine
from stylemap.export.verify import BATCHES, TOLERANCE, Samples, verify
from stylemap.model import StyleMapGAN


@dataclasses.dataclass(frozen=True)
class Built:
    """An engine that was written, with its sidecar."""

    path: Path
    sidecar: Sidecar


def export_tensorrt(
    model: StyleMapGAN,
    folder: Path,
    names: Iterable[str] | None = None,
    *,
    precision: str = "fp16",
    options: EngineOptions | None = None,
    photos: Tensor | None = None,
    progress: Callable[[str], None] = lambda step: None,
) -> list[Built]:
    """Write ``folder``/encoder.onnx, encoder.engine and encoder.engine.json, and so on.

    The ONNX files are verified as `export_onnx` does. Where the GPU that the engines are for is at hand,
    each engine is verified like that too; its sidecar says so.

    Args:
        model, folder, names, photos, progress: as in `export_onnx`; None for `ports.ALL` with the plugin
            "ring", which serves only `ports.CACHED`.
        precision: fp32, fp16, bf16, or fp8, which takes photos to calibrate on.
        options: of the engines; None for the defaults.

    Raises:
        What `export_onnx`, `export_quantized`, `checked_options`, `for_precision` and `build_engine` raise.
        Nothing is written then.
    """
    quantised, options = precision in KINDS, options or EngineOptions()
    if names is None and "ring" in options.plugins:
        names = ports.ALL
    chosen = check(model, names, KINDS[precision].base if quantised else precision, None)
    checked = for_precision(checked_options(options), precision)
    if quantised and photos is None:
        raise ValueError(f"{precision} is calibrated on photos, and there are none")
    folder, built = Path(folder), []
    with all_or_nothing(folder) as temporary:
        if quantised:
            assert photos is not None
            export_quantized(model, temporary, photos, chosen, kind=precision, progress=progress)
        else:
            export_onnx(model, temporary, chosen, precision=precision, photos=photos, progress=progress)
        for name in chosen:
            source, target = temporary / f"{name}.onnx", temporary / f"{name}{ENGINE_SUFFIX}"
            if checked.options.plugins:
                sidecar = _build_with_plugins(model, source, target, checked, progress)
            else:
                sidecar = build_engine(source, target, checked, progress)
            sidecar_path(target).write_text(sidecar.to_json(), encoding="utf-8")
            if not checked.ahead_of_time:
                progress(f"{name}: verifying the engine")
                facts = _verify(target, model, photos, precision, checked)
                sidecar = dataclasses.replace(sidecar, verified=facts)
                sidecar_path(target).write_text(sidecar.to_json(), encoding="utf-8")
            built.append(Built(folder / target.name, sidecar))
    return built


def _build_with_plugins(
    model: StyleMapGAN, source: Path, target: Path, checked: CheckedOptions, progress: Callable[[str], None]
) -> Sidecar:
    """An engine of the graph in ``source``, with plugins in place of some of its nodes."""
    from stylemap.export.plugins.lowering import PluginLowering

    plain, names = onnx.load(source), checked.options.plugins
    metadata = {item.key: item.value for item in plain.metadata_props}
    description = Description.from_metadata(metadata, source.name)
    opset = plain.opset_import[0].version
    proto = build(
        model,
        description.graph,
        description.precision,
        opset,
        functools.partial(PluginLowering, names=names),
    )
    set_metadata(proto, metadata)
    with TemporaryDirectory() as folder:
        path = Path(folder) / source.name
        save(proto, path)
        sidecar = build_engine(path, target, checked, progress)
    used = tuple(name for name in names if any(node.op_type == name for node in proto.graph.node))
    return dataclasses.replace(sidecar, onnx=digest(source), plugins=used)


def _verify(
    path: Path, model: StyleMapGAN, photos: Tensor | None, precision: str, checked: CheckedOptions
) -> dict[str, Any]:
    """Compare an engine with the model on the GPU at hand."""
    from stylemap.export.sessions.engine import EngineSession

    session = EngineSession(path)
    facts: dict[str, Any] = {"by": checked.package.name, "gpu": checked.gpu}
    if precision in KINDS:
        assert photos is not None
        found = psnr(session, held_out(model, photos))
        if found < LEAST_PSNR:
            raise QuantizationError(
                f"{path.name} is at {found:.1f} dB; at least {LEAST_PSNR:g} dB are needed"
            )
        return {**facts, "psnr": found}
    batches = [batch for batch in BATCHES if batch <= checked.options.max_batch]
    errors = verify(session, Samples(model, photos, batches), TOLERANCE[precision])
    return {**facts, "relative_error": max(errors.values()), "cases": list(errors)}


def describe_built(built: Built) -> str:
    """One line: file, size, GPUs, layers, error."""
    sidecar, size = built.sidecar, built.path.stat().st_size / 1e6
    nodes, layers = sum(len(names) for names in sidecar.layers.values()), len(sidecar.layers)
    error, psnr = (sidecar.verified.get(key) for key in ("relative_error", "psnr"))
    checked = "engine not run: no GPU that it is for"
    if error is not None:
        checked = f"error {error:.1e}"
    elif psnr is not None:
        checked = f"{psnr:.1f} dB"
    gpus, precision = ", ".join(sidecar.gpus), sidecar.description.precision
    if sidecar.plugins:
        precision += f" with plugins {', '.join(sidecar.plugins)}"
    return (
        f"{built.path.name}: {size:.1f} MB, {precision}, compute capability {gpus}, "
        f"{nodes} nodes in {layers} layers, {checked}"
    )
