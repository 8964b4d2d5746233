"""Steps with a time budget each, whose results are written at once; nothing here imports torch.

A step is a function from a `Context` to the JSON of its result. It runs programs by `command`, which kills
the whole process group when the time is up: a step never delays the next one and leaves nothing running.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stylemap.files import write_whole

ROOT = Path(__file__).resolve().parents[2]
Result = dict[str, Any]
#: How much longer a step may take in a rehearsal, on a few cores and without a GPU.
REHEARSAL = 12


@dataclass(frozen=True)
class Context:
    """What a step needs to know.

    folder: where results go. seconds: what this step may take. arch: nvcc's name of the GPU, such as 90a.
    device: "cuda", or "cpu" to rehearse. tiny: at sizes that only show that everything runs.
    """

    folder: Path
    seconds: float
    arch: str
    device: str = "cuda"
    tiny: bool = False

    def command(self, arguments: Sequence[str], **variables: str) -> Result:
        """Run a program for what the step may take, compiling for this GPU alone."""
        return command(arguments, self.seconds, STYLEMAP_CUDA_ARCHS=self.arch, **variables)

    def measurement(self, name: str, spare: float) -> Result:
        """``python -m stylemap.benchmarks.gpu NAME``, which begins nothing new in its last ``spare`` seconds.

        The result has what it had written when its time was up.
        """
        file = self.folder / f"{name}.partial.json"
        options = ["--output", str(file), "--seconds", f"{max(self.seconds - spare, 0):.0f}"]
        options += ["--device", self.device, *(["--tiny"] if self.tiny else [])]
        result = self.command([sys.executable, "-m", "stylemap.benchmarks.gpu", name, *options])
        if file.is_file():
            result |= json.loads(file.read_text())
            file.unlink()
        return result


@dataclass(frozen=True)
class Step:
    """``run``: from a context to a result that has a "status", which is "passed" if all is well."""

    name: str
    seconds: float
    run: Callable[[Context], Result]


def run_steps(steps: Sequence[Step], context: Context) -> list[str]:
    """Run the steps in order and write ``folder/NAME.json`` after each; what went wrong, a line each."""
    problems = []
    for step in steps:
        start = time.monotonic()
        seconds = step.seconds * (REHEARSAL if context.device == "cpu" else 1)
        print(f"== {step.name}: {seconds:.0f} s", flush=True)
        try:
            result = step.run(replace(context, seconds=seconds))
        except Exception as failure:  # one step must not end the others
            result = {"status": f"failed: {failure!r}"[:300]}
        result = {"step": step.name, **result, "seconds": round(time.monotonic() - start, 1)}
        write(result, context.folder / f"{step.name}.json")
        lines = [] if result["status"] == "passed" else [result["status"]]
        problems += [f"{step.name}: {line}" for line in [*lines, *result.get("problems", [])]]
        print(f"-> {result['status']} after {result['seconds']} s", flush=True)
    return problems


def command(arguments: Sequence[str], seconds: float, **variables: str) -> Result:
    """Status and last lines of a program, which is killed with its children after ``seconds``.

    Never raises for what the program does.
    """
    print("$", " ".join(arguments), flush=True)
    try:
        process = subprocess.Popen(
            arguments, cwd=ROOT, env={**os.environ, **variables}, start_new_session=True, text=True,
            errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
    except FileNotFoundError as missing:
        return {"status": f"not available: {missing.filename}", "tail": []}
    try:
        output, _ = process.communicate(timeout=seconds)
        status = "passed" if process.returncode == 0 else f"exit status {process.returncode}"
    except subprocess.TimeoutExpired:
        status = f"not finished in {seconds:g} s"
        output = ""
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    if status.startswith("not finished"):
        output, _ = process.communicate()
    tail = output.splitlines()[-40:]
    print("\n".join(tail), flush=True)
    return {"status": status, "tail": tail}


def write(content: Result, path: Path) -> Path:
    """The content as JSON, whole or not at all; the path."""
    with write_whole(path) as file:
        file.write((json.dumps(content, indent=1) + "\n").encode())
    return path
