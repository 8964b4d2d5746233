"""The steps on a machine with a GPU, in the order of their value; no network is needed."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stylemap.benchmarks.gpu import profiled
from stylemap.benchmarks.gpu.steps import ROOT, Context, Result, Step


def architecture(capability: str) -> str:
    """nvcc's name for the GPU alone: a build for it takes a quarter of the time of a build for all."""
    number = capability.replace(".", "")
    return f"{number}a" if number == "90" else number


def build(context: Context) -> Result:
    """Install the package in place, with its kernels."""
    pip = [sys.executable, "-m", "pip", "install", "-e", ".", "--no-build-isolation", "--no-deps"]
    # The interpreter may be the system's; an editable install adds a link to it and nothing else.
    return context.command(pip, STYLEMAP_CUDA="1", PIP_BREAK_SYSTEM_PACKAGES="1")


def launchers(context: Context) -> Result:
    """Every launcher at a small size against its definition, by a program without torch.

    A rehearsal links the GPU's too.
    """
    if context.device == "cpu":
        linked = context.command([sys.executable, "-m", "tests.cuda.driver.build", "gpu", "true"])
        if linked["status"] != "passed":
            return linked
    return context.command(_driver(context))


def memcheck(context: Context) -> Result:
    """Memory errors of our kernels."""
    return _sanitizer(context, "memcheck", order=1)


def racecheck(context: Context) -> Result:
    """Races in the shared memory of our kernels."""
    return _sanitizer(context, "racecheck", order=2)


def _sanitizer(context: Context, tool: str, order: int) -> Result:
    """The launchers under compute-sanitizer. The interpreter finds both anyway: it takes another order."""
    watch = ["compute-sanitizer", "--tool", tool, "--error-exitcode", "9"]
    if context.device == "cpu":
        return context.command(_driver(context), STYLEMAP_SASS_ORDER=str(order))
    return context.command([*_driver(context), *watch])


def _driver(context: Context) -> list[str]:
    return [
        sys.executable,
        "-m",
        "tests.cuda.driver.build",
        "interpreter" if context.device == "cpu" else "gpu",
    ]


def tests(context: Context) -> Result:
    """The operator tests on the device, in parallel, without those of speed and those without a kernel.

    A rehearsal runs those of every kernel at a small size, on the interpreter of machine code.
    """
    from tests.cuda import selection

    plugin, selected, variables = "tests.cuda.on_gpu", selection.ANY_DEVICE, {}
    if context.device == "cpu":
        from tests.cuda.sass import build

        built = build.build(ROOT / "csrc")
        plugin, selected = "tests.cuda.sass.plugin", selection.EVERY_KERNEL
        variables = {
            **built.environment,
            "STYLEMAP_SASS_LIBRARY": str(built.library),
            "TRITON_INTERPRET": "1",
        }
    workers = str(max(1, min(8, (os.cpu_count() or 1) // 2)))
    command = [sys.executable, "-m", "pytest", "-p", plugin, "-p", "no:cacheprovider", "-n", workers]
    command += ["-m", "not speed", "tests/ops", "tests/cuda/device", "-k", selected]
    return _counted(context.command(command, **variables))


def _counted(result: Result) -> Result:
    found = counts(result["tail"])
    nothing = result["status"] == "passed" and not found.get("passed")
    return result | {"counts": found, "problems": ["no test has passed"] if nothing else []}


def counts(tail: Sequence[str]) -> dict[str, int]:
    """{"passed": 900, "failed": 1} from pytest's last lines, which plugins may have added some to."""
    for line in reversed(tail):
        if found := re.findall(r"(\d+) (passed|failed|errors?|skipped)", line):
            return {word: int(number) for number, word in found}
    return {}


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


def ncu(context: Context) -> Result:
    """What the profiler says of three kernels; a rehearsal has the simulated cycles of a layer."""
    if context.device == "cpu":
        command = [sys.executable, "-m", "tests.cuda.sass", "layers", "--quarter", "--json", "--only", "3"]
        return context.command(command)
    profiler = ["ncu", "--set", "full", "--clock-control", "none", "--kernel-name-base", "demangled"]
    profiler += [
        "--kernel-name",
        "regex:stylemap",
        "--launch-count",
        str(profiled.LAUNCHES),
        "--page",
        "details",
    ]
    log = context.folder / "ncu.txt"
    run = [sys.executable, "-m", "stylemap.benchmarks.gpu.profiled"]
    return context.command([*profiler, "--log-file", str(log), *run]) | {"log": log.name}


def training(context: Context) -> Result:
    """Iterations per second and memory against the operators' definitions."""
    return _bench(context, "training", ["--quick"] if context.tiny else [])


def edit(context: Context) -> Result:
    """Recorded strokes in an `EditSession` and in rivals, by ``stylemap bench edit``: plain PyTorch,
    torch.compile, and ONNX Runtime's CUDA kernels where they are installed."""
    backends = "--backends=engine,plain,compile,onnxruntime"
    given = ["--models=full", "--precisions=fp16", backends, "--seconds=3"]
    if context.tiny:
        tiny = "--models=tiny --precisions=fp32 --backends=engine,plain --scenarios=decode --seconds=0"
        given = tiny.split()
    result = _bench(context, "edit", given)
    rows = result.get("result", {}).get("edit", [])
    wrong = [r for r in rows if r["backend"] == "engine" and r["status"] == "wrong"]
    problems = [f"{r['model']} {r['precision']} {r['scenario']}: error {r['error']:.1e}" for r in wrong]
    return result | {"problems": problems}


def _bench(context: Context, part: str, given: Sequence[str]) -> Result:
    """``stylemap bench PART`` into a folder of its own. "result": its document, complete or partial."""
    folder = context.folder / f"bench_{part}"
    output = ["--device", context.device, "--output", str(folder)]
    result = context.command([sys.executable, "-m", "stylemap", "bench", part, *given, *output])
    for name in ("bench.json", "bench.partial.json"):
        if (folder / name).is_file():
            return result | {"result": json.loads((folder / name).read_text())}
    return result


#: In the order of their value; the seconds are those of a machine with a GPU and 16 cores.
STEPS = (
    Step("build", 60, build),
    Step("launchers", 15, launchers),
    Step("memcheck", 25, memcheck),
    Step("racecheck", 25, racecheck),
    Step("tests", 90, tests),
    Step("operators", 120, operators),
    Step("plan", 120, plan),
    Step("ncu", 60, ncu),
    Step("training", 60, training),
    Step("edit", 150, edit),
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
