"""int8 and float8 ONNX files of a model: calibrated on photos, measured on others, refused below 35 dB."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylemap.export import graphs, ports
from stylemap.export.calibrate import METHODS, Recorder, calibrate
from stylemap.export.description import Description, describe
from stylemap.export.files import all_or_nothing, save, set_metadata
from stylemap.export.onnx import Progress, check, versions
from stylemap.export.quantized_lowering import KINDS, QuantizedLowering, Ranges
from stylemap.export.sessions import Session, open_session
from stylemap.export.verify import Samples
from stylemap.model import StyleMapGAN
from stylemap.program import Weights

LEAST_PSNR = 35.0
LEAST_PHOTOS = 4
# What is quantised, from most to least: the last convolution of the main path (to_rgb) never is, the
# others of the main path lose the most, and the modulation holds most of the work.
LAYERS: dict[str, Callable[[str], bool]] = {
    "all but to_rgb": lambda name: "/to_rgb" not in name,
    "encoder, stylecodes and modulation": lambda name: (
        "/to_rgb" not in name and ("/modulation" in name or "encoder/" in name or "/convs_latent" in name)
    ),
    "modulation": lambda name: "/to_rgb" not in name and "/modulation" in name,
}


class QuantizationError(RuntimeError):
    """No choice of quantised layers keeps a graph close enough to float32."""


@dataclass(frozen=True)
class Quantized:
    """A file that was written. psnr: in dB against float32, of images in [-1, 1]. layers: a key of LAYERS."""

    path: Path
    description: Description
    psnr: float
    layers: str


def export_quantized(
    model: StyleMapGAN,
    folder: Path,
    photos: Tensor,
    names: Iterable[str] | None = None,
    *,
    kind: str = "int8",
    method: str = "percentile",
    opset: int | None = None,
    progress: Progress = lambda step: None,
) -> list[Quantized]:
    """Write ``folder``/encoder.onnx and so on with quantised convolutions: all files, or none.

    Every graph takes the first of LAYERS with which it reaches LEAST_PSNR on photos that were not
    calibrated on: the last quarter. The encoder and the stylecodes are measured by the image that the
    model makes of their output. The mapping network is too small to gain, and stays float32.

    Args:
        model, folder, names, opset, progress: as in `export_onnx`.
        photos: N×3×S×S in [-1, 1], at least LEAST_PHOTOS.
        kind: "int8" for ONNX Runtime, or "fp8" (e4m3, all else in half precision) for TensorRT, which
            ONNX Runtime measures by rounding alike.
        method: one of calibrate.METHODS.

    Raises:
        QuantizationError: a graph stays below LEAST_PSNR; the message has what it reached.
        ValueError: too few photos, an unknown kind or method, one of `ports.CACHED`; and what `export_onnx`
            raises.
    """
    chosen = check(model, names, "fp32", opset)
    cached = [name for name in chosen if name in ports.CACHED]
    if cached:
        raise ValueError(f"the graph {cached[0]} is not offered in {kind}")
    if kind not in KINDS:
        raise ValueError(f"quantisation must be one of {', '.join(KINDS)}, got {kind!r}")
    if method not in METHODS:
        raise ValueError(f"calibration must be one of {', '.join(METHODS)}, got {method!r}")
    if len(photos) < LEAST_PHOTOS:
        raise ValueError(f"calibration takes at least {LEAST_PHOTOS} photos, got {len(photos)}")
    known = photos[: len(photos) - len(photos) // 4]
    progress(f"calibrating on {len(known)} photos")
    ranges, samples = _ranges(model, known, method), held_out(model, photos)
    facts = {"method": method, "calibrated_on": len(known)}
    folder, written = Path(folder), []
    with all_or_nothing(folder) as temporary:
        for name in chosen:
            progress(f"{name}: measuring")
            path = temporary / f"{name}.onnx"
            found = _quantize(model, name, path, kind, ranges, samples, opset, facts)
            written.append(dataclasses.replace(found, path=folder / path.name))
    return written


def held_out(model: StyleMapGAN, photos: Tensor) -> Samples:
    """The photos that are measured on."""
    count = len(photos) // 4
    return Samples(model, photos[-count:], batches=(2 * count,))


def _ranges(model: StyleMapGAN, photos: Tensor, method: str) -> Ranges:
    """Of every convolution, on reconstructions of the photos and on as many random samples."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(len(photos), model.config.latent_channel_size, generator=generator)
    with torch.no_grad():
        w = model.map(z)
    inputs = [("reconstruct", {"images": batch}) for batch in photos.split(2)]
    inputs += [("decoder", {"w": batch}) for batch in w.split(2)]

    def run(recorder: Recorder, graph: str, values: dict[str, Tensor]) -> None:
        graphs.compute(recorder, model, graph, values)

    runs = [functools.partial(run, graph=graph, values=values) for graph, values in inputs]
    histograms = calibrate(Weights(model), runs)
    return {name: histogram.range(method) for name, histogram in histograms.items()}


def _quantize(
    model: StyleMapGAN,
    name: str,
    path: Path,
    kind: str,
    ranges: Ranges,
    samples: Samples,
    opset: int | None,
    facts: Mapping[str, Any],
) -> Quantized:
    """Write the first form of a graph that is close enough to float32."""
    reached = []
    plain = describe(model, name, kind, versions())
    for layers, wanted in LAYERS.items():
        chosen = {key: limits for key, limits in ranges.items() if wanted(key)}
        lowering = functools.partial(QuantizedLowering, kind=KINDS[kind], ranges=chosen)
        proto = graphs.build(model, name, KINDS[kind].base, opset or graphs.DEFAULT_OPSET, lowering)
        if name != "mapping" and "QuantizeLinear" not in {node.op_type for node in proto.graph.node}:
            continue  # these layers are not in this graph
        set_metadata(proto, plain.to_metadata())
        save(proto, path)
        found = psnr(open_session(path, "onnxruntime"), samples)
        reached.append(f"{found:.1f} dB with {layers}")
        if found >= LEAST_PSNR:
            verified = {"by": "onnxruntime", "psnr": found, "layers": layers, **facts}
            description = dataclasses.replace(plain, verified=verified)
            set_metadata(proto, description.to_metadata())
            save(proto, path)
            return Quantized(path, description, found, layers)
    raise QuantizationError(
        f"the {name} graph in {kind} differs too much from float32: {', '.join(reached)}; "
        f"at least {LEAST_PSNR:g} dB are needed"
    )


def psnr(session: Session, samples: Samples) -> float:
    """Of the images that a graph leads to, against the model's, on the real samples."""
    (case,) = samples.cases(session.description.graph)
    outputs = session.run(case.inputs)
    names = list(case.expected)
    found, expected = (_images(samples.model, [v[name] for name in names]) for v in (outputs, case.expected))
    error = float((found - expected)[::2].double().square().mean())
    return 10 * math.log10(4 / max(error, 1e-12))


def _images(model: StyleMapGAN, outputs: Sequence[Tensor]) -> Tensor:
    """What the model makes of the outputs of a graph: of stylemaps and stylecodes, images."""
    with torch.no_grad():
        if len(outputs) > 1:
            return model.synthesize(outputs)
        (output,) = outputs
        is_stylemap = tuple(output.shape[1:]) == model.config.stylemap_shape
        return model.decode(output) if is_stylemap else output
