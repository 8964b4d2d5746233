"""ONNX files of a model, verified against it before they appear."""

from __future__ import annotations

import dataclasses
import importlib.metadata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
import torch
from torch import Tensor

from stylemap.export import graphs, ports
from stylemap.export.description import Description, describe
from stylemap.export.files import SharedWeights, all_or_nothing, save, set_metadata
from stylemap.export.nodes import FLOATS
from stylemap.export.sessions import Session, open_session
from stylemap.export.sessions.plain import PlainSession
from stylemap.export.verify import BATCHES, TOLERANCE, Samples, verify
from stylemap.model import StyleMapGAN
from stylemap.optional import require

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Exported:
    """A file that was written and verified. errors: largest relative error of each case."""

    path: Path
    description: Description
    errors: dict[str, float]

    @property
    def error(self) -> float:
        """The largest relative error of all cases."""
        return max(self.errors.values())


def export_onnx(
    model: StyleMapGAN,
    folder: Path,
    names: Iterable[str] | None = None,
    *,
    precision: str = "fp32",
    opset: int | None = None,
    external_weights: bool = False,
    photos: Tensor | None = None,
    batches: Sequence[int] = BATCHES,
    progress: Progress = lambda step: None,
) -> list[Exported]:
    """Write ``folder``/encoder.onnx and so on: all files, each verified, or none.

    fp32 and fp16 files are run in ONNX Runtime; bfloat16, which it does not have on a CPU, is judged by
    the same computation in PyTorch.

    Args:
        model: on the CPU in float32, evaluation mode.
        folder: made where it is missing; files of these names are replaced.
        names: some of `ports.ALL` and `ports.BROWSER`; None for `ports.GRAPHS`.
        precision: "fp32", "fp16" or "bf16".
        opset: of ONNX; None for the default.
        external_weights: one file for the weights of all graphs, instead of each holding its own.
        photos: N×3×S×S in [-1, 1] to verify on; smooth random images where None.
        batches: to verify at.
        progress: called with a line before each step.

    Raises:
        ValueError: an unknown graph, precision or opset; a graph above 2 GB without external weights.
        MismatchError: a graph does not compute what the model does.
        ImportError: onnxruntime is missing.
        OSError: the folder cannot be written.
    """
    chosen = check(model, names, precision, opset)
    opset = opset or (graphs.BF16_OPSET if precision == "bf16" else graphs.DEFAULT_OPSET)
    folder = Path(folder)
    samples = Samples(model, photos, batches)
    results = []
    with all_or_nothing(folder) as temporary:
        _write(model, temporary, chosen, precision, opset, external_weights, progress)
        for name in chosen:
            progress(f"{name}: verifying")
            found = _verify(model, temporary / f"{name}.onnx", samples, precision)
            results.append(dataclasses.replace(found, path=folder / found.path.name))
    return results


def _write(
    model: StyleMapGAN,
    folder: Path,
    names: Sequence[str],
    precision: str,
    opset: int,
    external_weights: bool,
    progress: Progress,
) -> None:
    shared = SharedWeights(folder) if external_weights else None
    protos = {}
    for name in names:
        progress(f"{name}: building")
        proto = graphs.build(model, name, precision, opset)
        set_metadata(proto, describe(model, name, precision, versions()).to_metadata())
        if shared is None:
            save(proto, folder / f"{name}.onnx")
        else:
            shared.take_from(proto)
            protos[name] = proto
    if shared is not None:
        shared.finish()
    for name, proto in protos.items():
        save(proto, folder / f"{name}.onnx")


def _verify(model: StyleMapGAN, path: Path, samples: Samples, precision: str) -> Exported:
    """Compare one file with the model, and write the result into its metadata."""
    session: Session
    if precision == "bf16":
        description = describe(model, path.stem, precision, {})
        session = PlainSession(model, description, torch.bfloat16)
    else:
        session = open_session(path, "onnxruntime")
    errors = verify(session, samples, TOLERANCE[precision])
    proto = onnx.load(path, load_external_data=False)
    metadata = {item.key: item.value for item in proto.metadata_props}
    found = Description.from_metadata(metadata, path.name)
    verified = {"by": session.provider, "relative_error": max(errors.values()), "cases": list(errors)}
    description = dataclasses.replace(found, verified=verified)
    set_metadata(proto, description.to_metadata())
    save(proto, path)
    return Exported(path, description, errors)


def versions() -> dict[str, str]:
    """Of the packages that have a part in a file."""
    return {name: importlib.metadata.version(name) for name in ("torch", "onnx", "onnxruntime")}


def check(model: StyleMapGAN, names: Iterable[str] | None, precision: str, opset: int | None) -> list[str]:
    """The graphs to write, in the order of ALL and BROWSER. Raises as `export_onnx` does, before any work."""
    wanted = set(ports.GRAPHS if names is None else names)
    unknown = sorted(wanted - set(ports.ALL) - set(ports.BROWSER))
    if unknown or not wanted:
        listed = ", ".join(ports.ALL)
        raise ValueError(
            f"no graph {unknown[0]!r}: there are {listed}" if unknown else f"name one of {listed}"
        )
    if precision not in FLOATS:
        raise ValueError(f"precision must be one of {', '.join(FLOATS)}, got {precision!r}")
    if opset is not None:
        graphs.check_opset(opset, precision)
    if "mapping" in wanted:
        graphs.class_vector(model)
    parameter = next(model.parameters())
    if parameter.dtype != torch.float32 or parameter.device.type != "cpu" or model.training:
        raise ValueError("export takes a model in float32, on the CPU, in evaluation mode")
    require("onnxruntime", "verifying what is exported")
    return [name for name in (*ports.ALL, *ports.BROWSER) if name in wanted]
