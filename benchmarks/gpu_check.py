"""Everything to check on a machine with a GPU, in one command of at most ten minutes, without network.

    make gpu-check, or python -m stylemap.benchmarks.gpu_check
        [--output benchmarks/results] [--skip install,sanitizer]

Installs the package with kernels for this GPU, runs the operator tests on it, runs them again at small sizes
under compute-sanitizer (memcheck, racecheck), times the operators against PyTorch, torch.compile and cuDNN,
and the whole plan (`gpu_plan`; what takes long to compile may be left out) against torch.compile. Writes one
JSON, gpu_<device>.json, and prints a table. Each step has its share of the time; a step that fails or runs
out of it is recorded, and the rest still run. Exit status 1 if a test or a tool failed,
or a result was wrong; missed speed targets are reported, not failures.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cuda.selection import ANY_DEVICE, EVERY_KERNEL

ROOT = Path(__file__).resolve().parent.parent
STEPS = ("install", "tests", "sanitizer", "operators", "plan")
#: The plan has what the others leave of the total, and at least this.
SECONDS = {"install": 130, "tests": 130, "memcheck": 60, "racecheck": 60, "operators": 120, "plan": 90}
TOTAL_SECONDS = 590


def query() -> dict[str, Any]:
    """The machine, as torch and nvidia-smi see it; raises RuntimeError without a GPU."""
    import torch

    if not torch.cuda.is_available():
        raise RuntimeError("torch sees no CUDA device")
    properties = torch.cuda.get_device_properties(0)
    return {
        "device": properties.name,
        "capability": f"{properties.major}.{properties.minor}",
        "multiprocessors": properties.multi_processor_count,
        "memory_gib": round(properties.total_memory / 2**30, 1),
        "driver": _output("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "python": platform.python_version(),
        "host": platform.processor() or platform.machine(),
        "commit": _output("git", "rev-parse", "HEAD"),
        "changed": bool(_output("git", "status", "--porcelain", "--untracked-files=no")),
    }


def architecture(capability: str) -> str:
    """nvcc's name for the GPU alone: a build for it takes a quarter of the time of a build for all."""
    number = capability.replace(".", "")
    return f"{number}a" if number == "90" else number


def run(command: list[str], seconds: float, **variables: str) -> dict[str, Any]:
    """A step's status, time and last lines. Never raises for what the command does."""
    start = time.monotonic()
    print("$", " ".join(command), flush=True)
    environment = {**os.environ, **variables}
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, timeout=seconds, check=False, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        status, output = ("passed" if done.returncode == 0 else f"exit status {done.returncode}"), done.stdout
    except subprocess.TimeoutExpired as late:
        status, output = f"not finished in {seconds:.0f} s", (late.stdout or b"").decode(errors="replace")
    except FileNotFoundError as missing:
        status, output = f"not available: {missing.filename}", ""
    tail = output.splitlines()[-40:]
    print("\n".join(tail), f"-> {status}", sep="\n", flush=True)
    return {"status": status, "seconds": round(time.monotonic() - start, 1), "tail": tail}


def install(arch: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "pip", "install", "-e", ".", "--no-build-isolation", "--no-deps"]
    # The interpreter may be the system's; an editable install adds a link to it and nothing else.
    variables = {"STYLEMAP_CUDA": "1", "STYLEMAP_CUDA_ARCHS": arch, "PIP_BREAK_SYSTEM_PACKAGES": "1"}
    return run(command, SECONDS["install"], **variables)


def pytest_command(selection: str) -> list[str]:
    command = [sys.executable, "-m", "pytest", "-p", "tests.cuda.on_gpu", "-p", "no:cacheprovider", "-q"]
    return [*command, "tests/ops", "tests/cuda/device", "-k", selection]


def tests(arch: str) -> dict[str, Any]:
    result = run(pytest_command(ANY_DEVICE), SECONDS["tests"], STYLEMAP_CUDA_ARCHS=arch)
    return result | {"counts": counts(result["tail"])}


def counts(tail: list[str]) -> dict[str, int]:
    """{"passed": 900, "failed": 1} from pytest's last lines."""
    return {
        word: int(number)
        for number, word in re.findall(r"(\d+) (passed|failed|errors?|skipped)", "\n".join(tail[-3:]))
    }


def sanitizer(arch: str) -> dict[str, Any]:
    """Only our kernels are watched: PyTorch's would take the time."""
    found = {}
    for tool in ("memcheck", "racecheck"):
        watch = ["compute-sanitizer", "--tool", tool, "--error-exitcode", "9"]
        watch += ["--kernel-name", "kns=stylemap"]
        result = run([*watch, *pytest_command(EVERY_KERNEL)], SECONDS[tool], STYLEMAP_CUDA_ARCHS=arch)
        found[tool] = result | {"counts": counts(result["tail"])}
    return found


def operators(arch: str) -> dict[str, Any]:
    return benchmark("stylemap.benchmarks.gpu_ops", arch, SECONDS["operators"], 40)


def plan(arch: str, seconds: float) -> dict[str, Any]:
    """Ended early it still passes if the first model has been timed: its rivals take minutes to compile."""
    result = benchmark("stylemap.benchmarks.gpu_plan", arch, seconds, seconds / 2)
    timed = any("rows" in model for model in result.get("models", {}).values())
    if timed and result["status"].startswith("not finished"):
        result |= {"status": "passed", "ended_early": True}
    return result


def benchmark(module: str, arch: str, seconds: float, spare: float) -> dict[str, Any]:
    """A benchmark that writes JSON and starts nothing new in its last ``spare`` seconds."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "result.json"
        options = ["--output", str(output), "--seconds", f"{seconds - spare:.0f}"]
        result = run([sys.executable, "-m", module, *options], seconds, STYLEMAP_CUDA_ARCHS=arch)
        return result | (json.loads(output.read_text()) if output.exists() else {})


def problems(report: dict[str, Any]) -> list[str]:
    """What makes the exit status 1."""
    found = []
    for name, step in report["steps"].items():
        for part, result in step.items() if name == "sanitizer" else [(name, step)]:
            if result["status"] != "passed":
                found.append(f"{part}: {result['status']}")
    for name, model in report["steps"].get("plan", {}).get("models", {}).items():
        if "failure" in model:
            found.append(f"plan, {name}: {model['failure']}")
    for row in report["steps"].get("operators", {}).get("rows", []):
        wrong = [
            name
            for name, c in row["candidates"].items()
            if c.get("status") == "wrong" and name.startswith("ours")
        ]
        if row.get("failure") or wrong:
            found.append(f"{row['case']}: {row.get('failure') or 'wrong: ' + ', '.join(wrong)}")
    return found


def check(machine: dict[str, Any], skip: set[str]) -> dict[str, Any]:
    """Run the steps one after the other."""
    arch = architecture(machine["capability"])
    start = time.monotonic()

    def rest(arch: str) -> dict[str, Any]:
        return plan(arch, max(SECONDS["plan"], TOTAL_SECONDS - (time.monotonic() - start)))

    functions: dict[str, Callable[[str], dict[str, Any]]] = {
        "install": install, "tests": tests, "sanitizer": sanitizer, "operators": operators, "plan": rest,
    }  # fmt: skip
    steps = {name: functions[name](arch) for name in STEPS if name not in skip}
    return {"schema": 1, "machine": machine, "steps": steps}


def write(report: dict[str, Any], folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^a-z0-9]+", "_", report["machine"]["device"].lower()).strip("_")
    path = folder / f"gpu_{name}.json"
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(report, indent=1) + "\n")
    temporary.replace(path)
    return path


def _output(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return ""
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--skip", default="", help=f"steps to leave out, of {', '.join(STEPS)}")
    options = parser.parse_args(arguments)
    try:
        machine = query()
    except (ImportError, RuntimeError) as error:
        print(f"gpu-check: {error}", file=sys.stderr)
        return 2
    start = time.monotonic()
    report = check(machine, set(filter(None, options.skip.split(","))))
    report["seconds"] = round(time.monotonic() - start, 1)
    report["problems"] = problems(report)
    path = write(report, options.output)
    print(f"{path}: {report['seconds']} s", *(report["problems"] or ["no problem found"]), sep="\n")
    return 1 if report["problems"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
