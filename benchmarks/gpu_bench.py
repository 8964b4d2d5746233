"""Everything to measure on a machine with a GPU, in one command of at most ten minutes, without network.

    make gpu-bench, or python -m stylemap.benchmarks.gpu_bench
        [--output benchmarks/results] [--skip install,plan]

Builds the kernels for this GPU, edits in EditSession, the published formulation, plain PyTorch and
torch.compile, in turns, and times plan and operators as `gpu_check` does. Each step has its share of the
time; one that fails or runs out of it is recorded, and the rest still run. Writes gpu_bench_<device>.json
with its report, and gpu_passes_<device>.json of plan and operators. Exit status 1 if a step failed or a
result of ours was wrong.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stylemap.benchmarks import ratios, report, results, suite

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Part:
    """One call of ``stylemap bench``: what is asked for, and the seconds it may take."""

    name: str
    seconds: float
    arguments: tuple[str, ...]


#: Steps of `gpu_check` that are run as well, and the seconds they may take.
STEPS = {"install": 130.0, "plan": 110.0, "operators": 120.0}
#: In order of interest; together with STEPS within ten minutes.
PARTS = (
    Part(
        "full fp16",
        130,
        ("edit", "--models=full", "--precisions=fp16", "--backends=engine,plain,compile", "--seconds=3"),
    ),
    Part(
        "all models",
        100,
        (
            "edit",
            "--models=full,1024,demo",
            "--precisions=fp32,bf16,fp16",
            "--backends=engine,published,plain",
            "--scenarios=encode,decode,paint_64,paint_128_many,strip,batch_8",
            "--seconds=2",
        ),
    ),
)


def measure(part: Part, device: str, run: Any) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """How a part went, and its document if it wrote one. ``run``: `gpu_check.run`."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "stylemap", "bench", *part.arguments]
        result = run([*command, "--device", device, "--output", folder], part.seconds)
        file = Path(folder) / "bench.json"
        return result, results.read(file) if file.is_file() else None


def merged(documents: Sequence[Mapping[str, Any]], command: str, seconds: float) -> dict[str, Any]:
    """One document of several; what was measured twice counts as in the first."""
    found: dict[str, Any] = {**documents[0], "command": command, "seconds": round(seconds, 1)}
    for document in documents[1:]:
        for part in results.PARTS:
            if part in document:
                found[part] = list(found.get(part, []))
                suite.add_new(found[part], document[part])
        found["skipped"] = [*dict.fromkeys([*found["skipped"], *document["skipped"]])]
    if "edit" in found:
        found["ratios"] = ratios.ratio_rows(found["edit"])
    return found


def wrong(document: Mapping[str, Any]) -> list[str]:
    rows = [r for r in document.get("edit", []) if r["backend"] == "engine" and r["status"] == "wrong"]
    return [f"{r['model']} {r['precision']} {r['scenario']}: error {r['error']:.1e}" for r in rows]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results")
    parser.add_argument("--skip", default="", help=f"steps to leave out, of {', '.join(STEPS)}")
    options = parser.parse_args(arguments)
    # Needs a checkout: its tests are part of it.
    from stylemap.benchmarks import gpu_check

    try:
        machine = gpu_check.query()
    except (ImportError, RuntimeError) as error:
        print(f"gpu-bench: {error}", file=sys.stderr)
        return 2
    start, arch = time.monotonic(), gpu_check.architecture(machine["capability"])
    skip, problems = set(filter(None, options.skip.split(","))), []
    if "install" not in skip:
        problems += _failed("install", gpu_check.install(arch))
    documents = []
    for part in PARTS:
        result, document = measure(part, "cuda", gpu_check.run)
        problems += _failed(part.name, result)
        documents += [document] if document else []
    steps = {}
    if "plan" not in skip:
        steps["plan"] = gpu_check.plan(arch, STEPS["plan"])
    if "operators" not in skip:
        steps["operators"] = gpu_check.operators(arch)
    problems += [line for name, step in steps.items() for line in _failed(name, step)]
    name = re.sub(r"[^a-z0-9]+", "_", machine["device"].lower()).strip("_")
    if steps:
        passes = {"schema": 1, "machine": machine, "steps": steps}
        print(results.write(passes, options.output / f"gpu_passes_{name}.json"))
    if documents:
        content = merged(documents, "make gpu-bench", time.monotonic() - start)
        content["skipped"] += problems
        problems += wrong(content)
        path = results.write(content, options.output / f"gpu_bench_{name}.json")
        print(path, *report.write(content, options.output, path.stem), report.summary(content), sep="\n")
    print(json.dumps({"seconds": round(time.monotonic() - start, 1), "problems": problems}))
    return 1 if problems else 0


def _failed(name: str, result: Mapping[str, Any]) -> list[str]:
    return [] if result["status"] == "passed" else [f"{name}: {result['status']}"]


if __name__ == "__main__":
    raise SystemExit(main())
