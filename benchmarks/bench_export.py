"""Exported models against the model itself and the engine, in turns: encode, decode, edit.

    python -m stylemap.benchmarks.bench_export
        [--models demo full small] [--seconds 15] [--threads 2] [--output FILE]
    python -m stylemap.benchmarks.bench_export
        --forms        (how norms and up-samplings are best written in ONNX)

Every backend is compared with the model first; one that differs is reported as wrong and not timed. Each
then takes turns with the engine in float32, round after round, so that whatever else the machine does
hits both alike; reported are the median of the rounds, their spread (the middle half over the median),
and the ratio to the engine, round by round, with its 95 % interval. An edit is one blend of
one reference under a shifted brush a quarter of the image wide, both stylecodes known. One backend is
loaded at a time.
"""

from __future__ import annotations

import argparse
import gc
import importlib.metadata
import importlib.util
import itertools
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import stylemap
from stylemap import edit
from stylemap.assets import demo_model
from stylemap.benchmarks import machine, models
from stylemap.benchmarks.export_turns import Run, in_turns, table
from stylemap.export import Runtime, export_onnx
from stylemap.export.quantized import LEAST_PHOTOS, QuantizationError, export_quantized
from stylemap.export.verify import Samples, relative_error
from stylemap.model import StyleMapGAN

GRAPHS = ("encoder", "stylecodes", "synthesis", "decoder", "editor")
# Relative L2 error above which a backend is wrong, by the precision in its name. int8 is held to 35 dB when
# it is exported, which is 7 % to 10 % of a photo.
TOLERANCE = {"bf16": 2e-2, "fp16": 5e-3, "int8": 0.1}
SHIFT = (8, -4)
PHOTOS = 8


class Scene:
    """A model with two encoded photos and a brush."""

    def __init__(self, name: str) -> None:
        self.model: StyleMapGAN = models.load(name)
        self.trained = name == "demo" and demo_model() is not None
        size = self.model.config.size
        # int8 is calibrated on what the model was trained for.
        photos, count = (faces(size, PHOTOS), PHOTOS) if self.trained else (None, LEAST_PHOTOS)
        self.photos = Samples(self.model, photos, batches=(2 * count,)).images[::2]
        self.photo = self.photos[:1]
        self.w, self.other = (self.model.encode(photo) for photo in self.photos[:2].split(1))
        self.mask = torch.zeros(size, size)
        self.mask[size // 3 :, size // 4 :][: size // 4, : size // 4] = 1

    def eager(self) -> dict[str, Run]:
        codes, laid = self.model.stylecodes(self.w), self.model.stylecodes(self.other)

        def blend() -> Tensor:
            known = _Known(self.model, {id(self.w): codes, id(self.other): laid})
            return edit.blend(known, self.w, [self.other], [self.mask], [SHIFT])  # type: ignore[arg-type]

        return {
            "encode": lambda: self.model.encode(self.photo),
            "decode": lambda: self.model.decode(self.w),
            "edit": blend,
        }

    def engine(self, precision: str) -> dict[str, Run]:
        from stylemap.engine.cpu.plan import CpuPlan

        plan, session = CpuPlan(self.model, precision), stylemap.EditSession(self.model, "cpu", precision)
        original, other = (session.add(photo) for photo in self.photos[:2].split(1))
        # A session remembers its last edit: the brush moves on, as under a hand.
        shifts = itertools.cycle([SHIFT, (11, -4), (14, -7), (17, -9)])
        references = (session.reference(other, self.mask, shift=shift) for shift in shifts)
        return {
            "encode": lambda: plan.encode(self.photo),
            "decode": lambda: plan.decode(self.w),
            "edit": lambda: session.edit(original, [next(references)])[None],
        }

    def runtime(self, folder: Path, provider: str, threads: int) -> dict[str, Run]:
        """With the editor's inputs kept, as a host of the editor graph would."""
        runtime = Runtime(folder, provider, threads=threads)
        inputs: dict[str, Tensor] = {}
        for index, code in enumerate(self.model.stylecodes(self.w)):
            inputs[f"codes_{index}"] = code
        for index, code in enumerate(self.model.stylecodes(self.other)):
            inputs[f"reference_codes_{index}"] = code[None]
        inputs["masks"], inputs["shifts"] = self.mask[None, None], torch.tensor([[SHIFT]])
        inputs["weights"] = torch.ones(1)
        runs: dict[str, tuple[str, Run]] = {
            "encode": ("encoder", lambda: runtime.encode(self.photo)),
            "decode": ("decoder", lambda: runtime.decode(self.w)),
            "edit": ("editor", lambda: runtime._run("editor", inputs)["images"]),
        }
        return {operation: run for operation, (graph, run) in runs.items() if runtime.has(graph)}


class _Known:
    """A model that has computed these stylecodes already."""

    def __init__(self, model: StyleMapGAN, codes: dict[int, list[Tensor]]) -> None:
        self.config, self.synthesize, self._codes = model.config, model.synthesize, codes

    def stylecodes(self, w: Tensor) -> list[Tensor]:
        return self._codes[id(w)]


def faces(size: int, count: int) -> Tensor:
    """Generated faces that no training run has seen, N×3×S×S in [-1, 1]."""
    from stylemap.data.faces import FacesDataset

    return FacesDataset(size, count, seed=0, held_out=True).raw(range(count)).float() / 127.5 - 1


def backends(scene: Scene, folder: Path, threads: int) -> Iterator[tuple[str, dict[str, Run]]]:
    """Name and operations of each, made when it is its turn."""
    yield "eager", scene.eager()
    yield "engine bf16", scene.engine("bf16")
    export_onnx(scene.model, folder / "fp32", GRAPHS, batches=(1,))
    yield "ONNX Runtime fp32", scene.runtime(folder / "fp32", "onnxruntime", threads)
    if importlib.util.find_spec("openvino"):
        for provider, precision in (("openvino", "fp32"), ("openvino-bf16", "bf16")):
            yield f"OpenVINO {precision}", scene.runtime(folder / "fp32", provider, threads)
    export_int8(scene, folder / "int8")
    if any((folder / "int8").glob("*.onnx")):
        yield "ONNX Runtime int8", scene.runtime(folder / "int8", "onnxruntime", threads)


def export_int8(scene: Scene, folder: Path) -> None:
    """The graphs that int8 is precise enough for."""
    graphs = ("encoder", "decoder", "editor")
    try:
        written = export_quantized(scene.model, folder, scene.photos, graphs)
    except QuantizationError:
        # All or nothing: so each for itself.
        written = []
        for graph in graphs:
            try:
                written += export_quantized(scene.model, folder, scene.photos, [graph])
            except QuantizationError as error:
                print(error)
    for file in written:
        print(f"int8 {file.description.graph}: {file.layers}, {file.psnr:.1f} dB")


def measure(scene: Scene, threads: int, seconds: float) -> list[dict[str, Any]]:
    """One row for each backend and operation."""
    rows = []
    engine = scene.engine("fp32")
    expected = {operation: run() for operation, run in scene.eager().items()}
    for operation, run in engine.items():
        assert relative_error(run(), expected[operation]) < 1e-4, operation
    with tempfile.TemporaryDirectory() as folder:
        for name, operations in backends(scene, Path(folder), threads):
            for operation, run in operations.items():
                error = relative_error(run(), expected[operation])
                row: dict[str, Any] = {
                    "backend": name,
                    "operation": operation,
                    "error": float(f"{error:.2g}"),
                }
                rows.append(row)
                if error <= TOLERANCE.get(name.rpartition(" ")[2], 1e-4):
                    row |= in_turns(run, engine[operation], seconds)
                else:
                    row["wrong"] = True
                print(row, flush=True)
            operations.clear()
            gc.collect()
    return rows


def versions() -> dict[str, str]:
    names = ("onnx", "onnxruntime", "openvino", "tensorrt-rtx")
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--models", nargs="+", choices=list(models.CONFIGS), default=["demo", "full", "small"]
    )
    parser.add_argument("--forms", action="store_true", help="compare ways to write the graphs instead")
    parser.add_argument("--seconds", type=float, default=15, help="for each backend and operation")
    parser.add_argument("--rounds", type=int, default=8, help="of --forms")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, help="write the results as JSON")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    results: dict[str, Any] = {
        "machine": machine.describe(torch.device("cpu")) | versions(),
        "models": {},
    }
    with torch.inference_mode():
        for name in args.models:
            scene = Scene(name)
            if args.forms:
                from stylemap.benchmarks.export_forms import measure_forms

                rows = measure_forms(scene.model, scene.w, args.threads, args.rounds)
            else:
                rows = measure(scene, args.threads, args.seconds)
                print(f"\n{models.TITLES[name]}\n\n{table(rows)}", flush=True)
            weights = "trained" if scene.trained else "fixed recipe"
            results["models"][name] = {"weights": weights, "rows": rows}
            if args.output:  # after every model: a run takes long
                args.output.parent.mkdir(parents=True, exist_ok=True)
                args.output.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
