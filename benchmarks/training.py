"""Training iterations on our operators against the same loop on their plain-PyTorch definitions, in turns.

Both sides run the five steps of an iteration from the same weights, and must agree on the generator's loss
and gradients before anything is timed. An iteration's time is the weighted mean of one with R1 and fifteen
without. Peak memory is measured in a process per side:

    python -m stylemap.benchmarks.training BACKEND DEVICE THREADS SIZE BATCH PRECISION WIDTHS
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, replace
from typing import Any

import torch

from stylemap import ops
from stylemap.benchmarks import machine
from stylemap.benchmarks.timing import Budget, Clock, compare
from stylemap.config import Config
from stylemap.train import TrainConfig
from stylemap.train.features import make_features
from stylemap.train.networks import Networks
from stylemap.train.step import Part, Step

SIDES = ("native", "reference")
#: Relative error of the generator's loss and gradients above which nothing is timed. In float32 a few
#: activations next to zero take the other branch of a leaky ReLU; bfloat16 has 8 bits.
TOLERANCE = {"fp32": 1e-3, "bf16": 1e-1}
NARROW = {256: 16, 128: 16, 64: 32, 32: 64, 16: 128, 8: 128, 4: 128}


@dataclass(frozen=True)
class Case:
    """Image size, batch, precision, and widths: "narrow" as in the demo, or "published"."""

    size: int
    batch: int
    precision: str
    widths: str = "narrow"

    def __str__(self) -> str:
        return f"{self.size} {self.widths} batch {self.batch} {self.precision}"

    def config(self) -> TrainConfig:
        """The training run whose iterations are timed."""
        table = NARROW if self.widths == "narrow" else {}
        model = Config(size=self.size, small_generator=True, channel_table=table)
        return TrainConfig(model=model, batch=self.batch, precision=self.precision)


CASES = {
    "cpu": [Case(s, b, p) for s, b in ((128, 8), (256, 4)) for p in ("fp32", "bf16")],
    "cuda": [Case(s, b, p, "published") for s, b in ((128, 16), (256, 8)) for p in ("fp32", "bf16")],
}


class Side:
    """The networks and data of one backend of the operators, on a device."""

    def __init__(self, backend: str, case: Case, device: torch.device) -> None:
        self.backend = backend
        config = case.config()
        self.networks = Networks(config, device)
        self.step = Step(self.networks, config, make_features(config, device))
        generator = torch.Generator().manual_seed(0)
        images = torch.rand(case.batch, 3, case.size, case.size, generator=generator) * 2 - 1
        images = images.to(device).contiguous(memory_format=torch.channels_last)
        self.parts = [Part(images, torch.randn(case.batch, 64, generator=generator).to(device))]

    def run(self, iteration: int) -> dict[str, float]:
        """The losses. Iteration 0 has R1, iteration 1 has not."""
        with ops.backend(self.backend):
            losses = self.step(self.parts, iteration)
        return {name: float(value) for name, value in losses.items()}

    def held_mib(self) -> float:
        """Weights, averages and the optimisers' states: every backend holds them between iterations."""
        n = self.networks
        held = [
            p for m in (n.generator, n.encoder, n.discriminator, n.g_ema, n.e_ema) for p in m.parameters()
        ]
        held += [v for o in n.optimisers.values() for s in o.state.values() for v in s.values()]
        return sum(t.numel() * t.element_size() for t in held) / 2**20


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
    """Iterations per second and peak memory of both sides, and their ratios."""
    sides = {name: Side(name, case, device) for name in SIDES}
    result: dict[str, Any] = {"case": str(case), "difference": check(case, sides)}
    runs = {
        (name, iteration): (lambda side=side, i=iteration: side.run(i))
        for name, side in sides.items()
        for iteration in (0, 1)
    }
    samples = compare(
        {repr(key): run for key, run in runs.items()}, Clock(device), Budget(0.0, rounds, rounds)
    )
    for name in SIDES:
        with_r1, without = (samples[repr((name, iteration))] for iteration in (0, 1))
        seconds = (min(with_r1.milliseconds) + 15 * min(without.milliseconds)) / 16e3
        result[name] = {
            "its": 1 / seconds,
            "spread": without.median / min(without.milliseconds),
            "peak_mib": peak_memory(name, case, device),
        }
    ours, theirs = (result[name] for name in SIDES)
    result["speedup"] = ours["its"] / theirs["its"]
    result["memory_ratio"] = ours["peak_mib"] / theirs["peak_mib"]
    return result


def peak_memory(backend: str, case: Case, device: torch.device) -> float:
    """MiB, from a process of its own."""
    fields = [backend, device, torch.get_num_threads(), case.size, case.batch, case.precision, case.widths]
    command = [sys.executable, "-m", "stylemap.benchmarks.training", *map(str, fields)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{case}: peak memory: {done.stderr.strip().splitlines()[-1:]}")
    return float(done.stdout.split()[-1])


def main(backend: str, device: str, threads: str, size: str, batch: str, precision: str, widths: str) -> None:
    """Print the MiB that an iteration holds at most: on a GPU by the allocator, else by resident size."""
    torch.set_num_threads(int(threads))
    side = Side(backend, Case(int(size), int(batch), precision, widths), torch.device(device))
    side.run(1)  # Adam's state and the libraries' workspaces come with the first iteration
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
        side.run(1)
        print(torch.cuda.max_memory_allocated() / 2**20)
        return
    before = machine.resident()
    machine.forget_peak()
    side.run(1)
    print((machine.peak_resident() - before) / 1024 + side.held_mib())


def run(device: torch.device, threads: int, quick: bool) -> dict[str, Any]:
    """The part "training"; quick: at sizes that only show that it runs."""
    cases = CASES[device.type]
    if quick:
        cases = [replace(cases[0], size=32, batch=4)]
    return {"training": [measure(case, device, 3 if quick else 5) for case in cases]}


if __name__ == "__main__":
    main(*sys.argv[1:])
