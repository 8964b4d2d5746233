"""The GPU plan at full size: decode, cached edit, encode against torch.compile, passes against the roofline.

256 full and 1024 small in fp16, batch 1. Everything that is timed has been compared with the model in
float32. "replay" is the graph alone; "call" is the method with its copies; "stroke" is, on the host's
clock, an edit with a new mask, waited for. The file is written after every measurement, so that a run that
is ended early leaves what it has.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylemap import EditSession, edit, ops
from stylemap.benchmarks.baselines import Plain
from stylemap.benchmarks.gpu import layers
from stylemap.benchmarks.gpu.operators import peaks
from stylemap.benchmarks.gpu.steps import write
from stylemap.benchmarks.timing import Clock, compare
from stylemap.benchmarks.truth import relative_error
from stylemap.config import Config
from stylemap.engine.gpu.graphs import Program
from stylemap.engine.gpu.plan import DTYPES, GpuPlan
from stylemap.engine.gpu.renderer import GpuRenderer
from stylemap.model.recipe import recipe_model

TOLERANCE = {"fp16": 3e-3, "bf16": 2e-2, "fp32": 1e-5}
#: Milliseconds of a replay on an H200.
TARGETS = {"256 full": {"decode": 0.95, "edit": 0.30, "encode": 0.25}, "1024 small": {"edit": 1.3}}
CONFIGS = {
    "256 full": Config(size=256, latent_spatial_size=8),
    "1024 small": Config(size=1024, latent_spatial_size=16, small_generator=True),
}
TINY = {"tiny": Config(size=16, latent_spatial_size=8, latent_channel_size=8, channel_table={8: 16, 16: 8})}


@dataclass
class Setting:
    """A model, its session, and the images of one edit: a square brush of a quarter of the side, moved."""

    name: str
    config: Config
    device: torch.device
    precision: str

    def __post_init__(self) -> None:
        size = self.config.size
        self.model = recipe_model(self.config)
        self.plan = GpuPlan(self.model, self.device, self.precision)
        self.session = EditSession(
            self.model, self.device, self.precision, cache_bytes=4 << 30, plan=self.plan
        )
        generator = torch.Generator().manual_seed(0)
        self.photos = (torch.rand(2, 3, size, size, generator=generator) * 2 - 1).to(self.device)
        self.original, self.other = (self.session.add(photo) for photo in self.photos)
        self.shift = (size // 16, -size // 32)
        self.part = self.session.reference(self.other, self.mask(0), self.shift)
        self.w = self.plan.encode(self.photos[:1])

    def mask(self, step: int) -> Tensor:
        size = self.config.size
        mask, at = torch.zeros(size, size), size // 4 + step % (size // 8)
        mask[at : at + size // 4, size // 4 : size // 2] = 1
        return mask

    def edited(self) -> Tensor:
        return self.session.edit(self.original, [self.part])[None]

    def runs(self) -> dict[str, Callable[[], Tensor]]:
        return {
            "decode": lambda: self.plan.decode(self.w),
            "edit": self.edited,
            "encode": lambda: self.plan.encode(self.photos[:1]),
        }

    def programs(self) -> dict[str, Program]:
        """Of the runs, once they have run."""
        renderer = self.session.renderer
        assert isinstance(renderer, GpuRenderer)
        edits = [program for key, program in renderer._frames.graphs.programs.items() if key != "image"]
        own = self.plan.graphs.programs
        return {"decode": own["decode", 1], "edit": edits[-1], "encode": own["encode", 1]}

    @torch.no_grad()
    def errors(self) -> dict[str, float]:
        """Relative to the model in float32, without TF32."""
        exact = recipe_model(self.config).to(self.device)
        cudnn = torch.backends.cudnn
        before, cudnn.allow_tf32 = cudnn.allow_tf32, False
        try:
            with ops.backend("reference"):
                ws = exact.encode(self.photos)
                mask = self.mask(0).to(self.device)
                expected = {
                    "decode": exact.decode(self.w.float()),
                    "edit": edit.blend(exact, ws[:1], [ws[1:]], [mask], [self.shift]),
                    "encode": ws[:1],
                }
        finally:
            cudnn.allow_tf32 = before
        return {name: relative_error(run(), expected[name]) for name, run in self.runs().items()}

    def stroke_ms(self, count: int = 20) -> float:
        """Host milliseconds from a new mask to the finished image, median."""
        times = []
        for step in range(count):
            mask = self.mask(step + 1)
            _synchronize(self.device)
            start = time.perf_counter()
            part = self.session.reference(self.other, mask, self.shift)
            self.session.edit(self.original, [part])
            _synchronize(self.device)
            times.append(1e3 * (time.perf_counter() - start))
        return statistics.median(times)


def rivals(setting: Setting, compiled: bool) -> dict[str, Callable[[], Tensor]]:
    """The plain network in the same precision, channels_last, by torch.compile(mode="max-autotune")."""
    dtype = DTYPES[setting.precision]
    plain = Plain(setting.model).to(setting.device, dtype).eval()
    w, photo = setting.w.to(dtype), setting.photos[:1].to(dtype)
    decode, encode = plain.decode, plain.encode
    if compiled:
        options: dict[str, Any] = {"mode": "max-autotune", "fullgraph": True, "dynamic": False}
        decode, encode = torch.compile(decode, **options), torch.compile(encode, **options)
    return {"decode": lambda: decode(w), "encode": lambda: encode(photo)}


def verdict(name: str, what: str, row: dict[str, Any]) -> dict[str, Any]:
    """The target and whether it is met; None where there is none."""
    target = TARGETS.get(name, {}).get(what)
    return {"target_ms": target, "met": None if target is None else row["replay"] <= target}


@torch.no_grad()
def measure(
    setting: Setting, clock: Clock, peak: dict[str, float], save: Callable[[dict[str, Any]], None]
) -> None:
    """Ours first, then the passes, then what takes minutes to compile; each is saved when it is there."""
    result: dict[str, Any] = {"errors": setting.errors()}
    wrong = [name for name, error in result["errors"].items() if not error <= TOLERANCE[setting.precision]]
    if wrong:
        save(result | {"failure": f"wrong: {', '.join(wrong)}"})
        return
    programs = setting.programs()
    rows: dict[str, dict[str, Any]] = {}
    for what, run in setting.runs().items():
        rows[what] = _medians({"replay": programs[what], "call": run}, clock)
        rows[what] |= {"graph": programs[what].captured} | verdict(setting.name, what, rows[what])
    rows["edit"]["stroke"] = setting.stroke_ms()
    save(result := result | {"rows": rows})
    passes: dict[str, Any] = {}
    for what, program in programs.items():
        passes[what] = layers.profile(partial(program._function, *program.inputs), clock, peak)
        save(result := result | {"layers": passes})
    for what, run in rivals(setting, compiled=clock.device.type == "cuda").items():
        # Whoever edits without a session has to decode. All by turns in one run.
        beside = {"decode": ("decode", "edit")}.get(what, (what,))
        try:
            error = relative_error(run(), setting.runs()[what]())
            ms = _medians({name: programs[name] for name in beside} | {"rival": run}, clock)
        except RuntimeError as failure:
            rows[what]["rival"] = repr(failure)[:200]
        else:
            for name in beside:
                rows[name] |= {"rival": ms["rival"], "beside": ms[name], "speedup": ms["rival"] / ms[name]}
            rows[what]["rival_difference"] = error
        save(result)


def table(content: dict[str, Any]) -> str:
    """Markdown, a line per model and run."""
    lines = ["| model | run | replay ms | call ms | torch.compile ms | target |", "|---|---|---|---|---|---|"]
    for name, result in content["models"].items():
        for what, row in result.get("rows", {}).items():
            rival = row.get("rival", "")
            rival = f"{rival:.3f}" if isinstance(rival, float) else rival
            goal = row["target_ms"] and f"{row['target_ms']} {'met' if row['met'] else 'MISSED'}"
            lines.append(
                f"| {name} | {what} | {row['replay']:.3f} | {row['call']:.3f} | {rival} | {goal or ''} |"
            )
    return "\n".join(lines)


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _medians(runs: dict[str, Callable[[], Any]], clock: Clock) -> dict[str, Any]:
    return {name: samples.median for name, samples in compare(runs, clock).items()}


def run(output: Path, seconds: float, device: str, tiny: bool) -> None:
    """Measure all models; none is begun after ``seconds``. Writes after every measurement."""
    start, clock = time.monotonic(), Clock(torch.empty(0, device=device).device)
    precision = "fp32" if tiny else "fp16"
    content: dict[str, Any] = {"peaks": peaks(clock, tiny=tiny), "models": {}}
    for name, config in (TINY if tiny else CONFIGS).items():
        if time.monotonic() - start > seconds:
            content["models"][name] = {"skipped": "no time left"}
            continue

        def save(result: dict[str, Any], name: str = name) -> None:
            content["models"][name] = result | {"seconds": round(time.monotonic() - start, 1)}
            write(content, output)

        try:
            measure(Setting(name, config, clock.device, precision), clock, content["peaks"], save)
        except Exception as failure:
            save(content["models"].get(name, {}) | {"failure": repr(failure)[:300]})
    write(content, output)
    for name, result in content["models"].items():
        for what, rows in result.get("layers", {}).items():
            print(f"\n{name}, {what}", layers.table(rows), sep="\n\n")
    print("", table(content), sep="\n")
