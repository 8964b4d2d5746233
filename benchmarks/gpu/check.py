"""The steps on a machine with a GPU, in the order of their value; no network is needed."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stylemap.benchmarks.gpu.steps import Context, Result, Step


def architecture(capability: str) -> str:
    """nvcc's name for the GPU alone: a build for it takes a quarter of the time of a build for all."""
    number = capability.replace(".", "")
    return f"{number}a" if number == "90" else number


def build(context: Context) -> Result:
    """Install the package in place, with its kernels."""
    pip = [sys.executable, "-m", "pip", "install", "-e", ".", "--no-build-isolation", "--no-deps"]
    # The interpreter may be the system's; an editable install adds a link to it and nothing else.
    return context.command(pip, STYLEMAP_CUDA="1", PIP_BREAK_SYSTEM_PACKAGES="1")


def tests(context: Context) -> Result:
    """The operator tests on the GPU, without those that no kernel takes part in."""
    from tests.cuda.selection import ANY_DEVICE

    return _counted(context.command(_pytest(ANY_DEVICE)))


def memcheck(context: Context) -> Result:
    """Memory errors of our kernels."""
    return _sanitizer(context, "memcheck")


def racecheck(context: Context) -> Result:
    """Races in the shared memory of our kernels."""
    return _sanitizer(context, "racecheck")


def _sanitizer(context: Context, tool: str) -> Result:
    """Small operator tests under compute-sanitizer. It watches our kernels alone: PyTorch's take too long."""
    from tests.cuda.selection import EVERY_KERNEL

    watch = ["compute-sanitizer", "--tool", tool, "--error-exitcode", "9", "--kernel-name", "kns=stylemap"]
    return _counted(context.command([*watch, *_pytest(EVERY_KERNEL)]))


def _pytest(selection: str) -> list[str]:
    command = [sys.executable, "-m", "pytest", "-p", "tests.cuda.on_gpu", "-p", "no:cacheprovider", "-q"]
    return [*command, "tests/ops", "tests/cuda/device", "-k", selection]


def _counted(result: Result) -> Result:
    return result | {"counts": counts(result["tail"])}


def counts(tail: Sequence[str]) -> dict[str, int]:
    """{"passed": 900, "failed": 1} from pytest's last lines."""
    found = re.findall(r"(\d+) (passed|failed|errors?|skipped)", "\n".join(tail[-3:]))
    return {word: int(number) for number, word in found}


def operators(context: Context) -> Result:
    """Every operator as a CUDA graph, against PyTorch, torch.compile and cuDNN."""
    result = context.measurement("operators", spare=40)
    problems = []
    for row in result.get("rows", []):
        ours = {name: c for name, c in row["candidates"].items() if name.startswith("ours")}
        wrong = [name for name, candidate in ours.items() if candidate.get("status") == "wrong"]
        if row.get("failure") or wrong:
            problems.append(f"{row['case']}: {row.get('failure') or 'wrong: ' + ', '.join(wrong)}")
    return result | {"problems": problems}


def plan(context: Context) -> Result:
    """Decode, cached edit and encode, as a whole and by layers. It passes if the first model has been timed:
    torch.compile takes minutes for its rivals."""
    result = context.measurement("plan", spare=context.seconds / 2)
    models: dict[str, dict[str, Any]] = result.get("models", {})
    if result["status"].startswith("not finished") and any("rows" in model for model in models.values()):
        result |= {"status": "passed", "ended_early": True}
    problems = [f"{name}: {model['failure']}" for name, model in models.items() if "failure" in model]
    return result | {"problems": problems}


def edit(context: Context) -> Result:
    """Recorded strokes in an `EditSession` and in rivals, by ``stylemap bench edit``."""
    given = "--models=full --precisions=fp16 --backends=engine,plain,compile --seconds=3".split()
    if context.tiny:
        given = (
            "--models=tiny --precisions=fp32 --backends=engine,plain --scenarios=decode --seconds=0".split()
        )
    result = _bench(context, "edit", given)
    rows = result.get("result", {}).get("edit", [])
    wrong = [r for r in rows if r["backend"] == "engine" and r["status"] == "wrong"]
    problems = [f"{r['model']} {r['precision']} {r['scenario']}: error {r['error']:.1e}" for r in wrong]
    return result | {"problems": problems}


def training(context: Context) -> Result:
    """Iterations per second and memory against the operators' definitions."""
    return _bench(context, "training", ["--quick"] if context.tiny else [])


def _bench(context: Context, part: str, given: Sequence[str]) -> Result:
    """``stylemap bench PART`` into a folder of its own. "result": its document, complete or partial."""
    folder = context.folder / f"bench_{part}"
    output = ["--device", context.device, "--output", str(folder)]
    result = context.command([sys.executable, "-m", "stylemap", "bench", part, *given, *output])
    for name in ("bench.json", "bench.partial.json"):
        if (folder / name).is_file():
            return result | {"result": json.loads((folder / name).read_text())}
    return result


STEPS = (
    Step("build", 60, build),
    Step("tests", 90, tests),
    Step("memcheck", 40, memcheck),
    Step("racecheck", 40, racecheck),
    Step("operators", 120, operators),
    Step("plan", 120, plan),
    Step("edit", 100, edit),
    Step("training", 60, training),
)


def chosen(skip: str) -> list[Step]:
    """All steps but those named, with commas between.

    Raises:
        ValueError: an unknown name.
    """
    names = {name for name in skip.split(",") if name}
    if unknown := names - {step.name for step in STEPS}:
        raise ValueError(
            f"--skip: no step {', '.join(sorted(unknown))}; there are {', '.join(s.name for s in STEPS)}"
        )
    return [step for step in STEPS if step.name not in names]


def default_folder(device: str) -> Path:
    """out/gpu_DEVICE."""
    return Path("out") / re.sub(r"[^a-z0-9]+", "_", f"gpu {device}".lower()).strip("_")
