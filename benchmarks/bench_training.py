"""Training iterations on our operators against the same loop on their plain-PyTorch definitions.

    python -m stylemap.benchmarks.bench_training [--quick] [--threads 2] [--device auto]
                                        [--output benchmarks/results/training_cpu.json]

Both sides run the five steps of an iteration from the same weights, and must agree on the generator's loss
and gradients before anything is timed. Timing alternates between them, iteration by iteration, so that
whatever else the machine does hits both; an iteration's time is the weighted mean of one with R1 and
fifteen without, each the best of its rounds. Peak memory is measured in a process per side: on a CPU the
highest resident size during an iteration above what the process had before it, on a GPU what the allocator
held.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from stylemap import ops
from stylemap.config import Config
from stylemap.train import TrainConfig
from stylemap.train.loop import make_features
from stylemap.train.networks import Networks
from stylemap.train.step import Part, Step

SIDES = ("native", "reference")
#: Relative error of the generator's loss and gradients beyond which nothing is timed. In float32 a few
#: activations next to zero take the other branch of a leaky ReLU; bfloat16 has 8 bits.
TOLERANCE = {"fp32": 1e-3, "bf16": 1e-1}
NARROW = {256: 16, 128: 16, 64: 32, 32: 64, 16: 128, 8: 128, 4: 128}


@dataclass(frozen=True)
class Case:
    """Image size, batch and precision; narrow widths as in the demo, or the published ones."""

    size: int
    batch: int
    precision: str
    narrow: bool = True

    def __str__(self) -> str:
        return f"{self.size} {'narrow' if self.narrow else 'published'} batch {self.batch} {self.precision}"

    def config(self) -> TrainConfig:
        model = Config(size=self.size, small_generator=True, channel_table=NARROW if self.narrow else {})
        return TrainConfig(model=model, batch=self.batch, precision=self.precision)


CPU_CASES = [Case(128, 8, "fp32"), Case(128, 8, "bf16"), Case(256, 4, "fp32"), Case(256, 4, "bf16")]
GPU_CASES = [Case(s, b, p, narrow=False) for s, b in ((128, 16), (256, 8)) for p in ("fp32", "bf16")]


class Side:
    """One backend's networks and data, on a device."""

    def __init__(self, backend: str, case: Case, device: torch.device) -> None:
        self.backend, self.device = backend, device
        config = case.config()
        self.networks = Networks(config, device)
        self.step = Step(self.networks, config, make_features(config, device))
        generator = torch.Generator().manual_seed(0)
        images = torch.rand(case.batch, 3, case.size, case.size, generator=generator) * 2 - 1
        images = images.to(device).contiguous(memory_format=torch.channels_last)
        self.parts = [Part(images, torch.randn(case.batch, 64, generator=generator).to(device))]

    def run(self, iteration: int) -> dict[str, float]:
        with ops.backend(self.backend):
            losses = self.step(self.parts, iteration)
        return {name: float(value) for name, value in losses.items()}

    def seconds(self, iteration: int) -> float:
        self._synchronise()
        start = time.perf_counter()
        self.run(iteration)
        self._synchronise()
        return time.perf_counter() - start

    def _synchronise(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def check(case: Case, sides: dict[str, Side]) -> float:
    """Relative error of the generator's gradients in step 1 of an iteration, or of its loss if larger.

    What comes after step 1 follows Adam's update, whose size does not depend on the gradient's.
    """
    losses, gradients = {}, {}
    for name, side in sides.items():
        taken: list[torch.Tensor] = []

        def note(*_: Any, side: Side = side, taken: list[torch.Tensor] = taken) -> None:
            if not taken:
                every = (p.grad for p in side.networks.generator.parameters())
                taken.extend(g.flatten().double() for g in every if g is not None)

        hook = side.networks.optimisers["g"].register_step_pre_hook(note)
        losses[name] = side.run(0)["adv"]
        hook.remove()
        gradients[name] = torch.cat(taken)
    ours, theirs = (gradients[name] for name in SIDES)
    loss_error = abs(losses["native"] - losses["reference"]) / losses["reference"]
    error = max(float((ours - theirs).norm() / theirs.norm()), loss_error)
    if not error < TOLERANCE[case.precision]:
        raise RuntimeError(f"{case}: the sides differ by {error:.2g}, nothing is timed")
    return error


def measure(case: Case, device: torch.device, rounds: int) -> dict[str, Any]:
    """Both sides' iterations per second and peak memory, and their ratios."""
    sides = {name: Side(name, case, device) for name in SIDES}
    error = check(case, sides)
    times: dict[str, dict[str, list[float]]] = {name: {"r1": [], "plain": []} for name in SIDES}
    for _ in range(rounds):
        for kind, iteration in (("plain", 1), ("r1", 0)):
            for name, side in sides.items():
                times[name][kind].append(side.seconds(iteration))
    result: dict[str, Any] = {"case": str(case), "difference": error}
    for name in SIDES:
        best = {kind: min(values) for kind, values in times[name].items()}
        seconds = (15 * best["plain"] + best["r1"]) / 16
        spread = statistics.median(times[name]["plain"]) / best["plain"]
        result[name] = {"its": 1 / seconds, "spread": spread, "peak_mib": peak_memory(name, case, device)}
    result["speedup"] = result["native"]["its"] / result["reference"]["its"]
    result["memory_ratio"] = result["native"]["peak_mib"] / result["reference"]["peak_mib"]
    return result


def peak_memory(backend: str, case: Case, device: torch.device) -> float:
    """MiB, from a process of its own."""
    fields = [backend, str(case.size), str(case.batch), case.precision, str(case.narrow), str(device)]
    command = [sys.executable, "-m", "stylemap.benchmarks.bench_training", "--memory-of", *fields]
    done = subprocess.run(
        [*command, "--threads", str(torch.get_num_threads())], capture_output=True, text=True, check=True
    )
    return float(done.stdout.split()[-1])


def print_memory(fields: list[str]) -> None:
    backend, size, batch, precision, narrow, device = fields
    side = Side(backend, Case(int(size), int(batch), precision, narrow == "True"), torch.device(device))
    side.run(1)  # Adam's state and the libraries' workspaces come with the first iteration
    if side.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        side.run(1)
        print(torch.cuda.max_memory_allocated() / 2**20)
        return
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # forget the highest resident size so far
    side.run(1)
    print((_status("VmHWM") - before) / 1024 + _parameters_mib(side))


def _parameters_mib(side: Side) -> float:
    """Weights, averages, and the optimisers' states, which both sides hold in any case."""
    networks = side.networks
    modules = (networks.generator, networks.encoder, networks.discriminator, networks.g_ema, networks.e_ema)
    held = [p for module in modules for p in module.parameters()]
    held += [v for o in networks.optimisers.values() for s in o.state.values() for v in s.values()]
    return sum(t.numel() * t.element_size() for t in held) / 2**20


def _status(field: str) -> int:
    """KiB from /proc/self/status."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    raise OSError(f"no {field} in /proc/self/status: memory is measured on Linux alone")


def machine(device: torch.device) -> dict[str, Any]:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor()
    return {
        "device": name or platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "commit": commit.stdout.strip(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small images, two rounds: shows that it runs")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--memory-of", nargs=6, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.memory_of:
        print_memory(args.memory_of)
        return
    auto = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(auto if args.device == "auto" else args.device)
    cases = GPU_CASES if device.type == "cuda" else CPU_CASES
    if args.quick:
        cases = [replace(case, size=32, batch=4) for case in cases[:2]]
    results = []
    for case in cases:
        found = measure(case, device, 2 if args.quick else args.rounds)
        results.append(found)
        ours, theirs = found["native"], found["reference"]
        print(
            f"{found['case']:<28} {ours['its']:.3f} against {theirs['its']:.3f} it/s:"
            f" {found['speedup']:.2f}x,"
            f" {ours['peak_mib']:.0f} against {theirs['peak_mib']:.0f} MiB",
            flush=True,
        )
    if args.output:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(json.dumps({"machine": machine(device), "results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
