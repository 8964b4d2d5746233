"""A model as TensorRT engines: ONNX files, engines built from them, sidecars; all or nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path

from stylemap.export.engine_options import EngineOptions, Plan, plan
from stylemap.export.files import all_or_nothing
from stylemap.export.onnx import check, export_onnx
from stylemap.export.sessions.base import ENGINE_SUFFIX
from stylemap.export.sidecar import Sidecar, sidecar_path
from stylemap.export.tensorrt import build_engine
from stylemap.export.verify import BATCHES, TOLERANCE, Samples, verify
from torch import Tensor

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
        model, folder, names, precision, photos, progress: as in `export_onnx`.
        options: of the engines; None for the defaults.

    Raises:
        What `export_onnx`, `tensorrt.plan` and `tensorrt.build_engine` raise. Nothing is written then.
    """
    chosen = check(model, names, precision, None)
    checked = plan(options or EngineOptions())
    folder, built = Path(folder), []
    with all_or_nothing(folder) as temporary:
        export_onnx(model, temporary, chosen, precision=precision, photos=photos, progress=progress)
        for name in chosen:
            source, target = temporary / f"{name}.onnx", temporary / f"{name}{ENGINE_SUFFIX}"
            sidecar = build_engine(source, target, checked, progress)
            sidecar_path(target).write_text(sidecar.to_json(), encoding="utf-8")
            if not checked.ahead_of_time:
                progress(f"{name}: verifying the engine")
                sidecar = _verified(target, sidecar, model, photos, precision, checked)
            built.append(Built(folder / target.name, sidecar))
    return built


def _verified(
    path: Path, sidecar: Sidecar, model: StyleMapGAN, photos: Tensor | None, precision: str, checked: Plan
) -> Sidecar:
    """Compare an engine with the model on the GPU at hand; the sidecar is written again."""
    from stylemap.export.sessions.engine import EngineSession

    batches = [batch for batch in BATCHES if batch <= checked.options.max_batch]
    errors = verify(EngineSession(path), Samples(model, photos, batches), TOLERANCE[precision])
    facts = {
        "by": "tensorrt",
        "gpu": checked.gpu,
        "relative_error": max(errors.values()),
        "cases": list(errors),
    }
    sidecar = dataclasses.replace(sidecar, verified=facts)
    sidecar_path(path).write_text(sidecar.to_json(), encoding="utf-8")
    return sidecar


def describe_built(built: Built) -> str:
    """One line: file, size, GPUs, layers, error."""
    sidecar, size = built.sidecar, built.path.stat().st_size / 1e6
    nodes, layers = sum(len(names) for names in sidecar.layers.values()), len(sidecar.layers)
    error = sidecar.verified.get("relative_error")
    checked = f"error {error:.1e}" if error is not None else "engine not run: no GPU that it is for"
    gpus, precision = ", ".join(sidecar.gpus), sidecar.description.precision
    return (
        f"{built.path.name}: {size:.1f} MB, {precision}, compute capability {gpus}, "
        f"{nodes} nodes in {layers} layers, {checked}"
    )
