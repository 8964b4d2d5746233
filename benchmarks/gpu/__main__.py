"""Check and time everything on a machine with a GPU.

    python -m stylemap.benchmarks.gpu [--output DIR] [--skip build,memcheck]
    python -m stylemap.benchmarks.gpu operators|plan --output FILE.json [--seconds 150]   (one measurement)

Writes DIR/NAME.json after every step, and DIR/machine.json. The exit status is 1 if a step failed or a result
of ours was wrong; a missed speed target is reported and no failure. ``--device cpu --tiny`` shows that the
measurements run.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from pathlib import Path
from typing import Any


def main(arguments: list[str] | None = None) -> int:
    """The command; its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m stylemap.benchmarks.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("measurement", nargs="?", choices=("operators", "plan"))
    parser.add_argument("--output", type=Path, help="folder; a file for one measurement")
    parser.add_argument("--skip", default="", help="steps to leave out, with commas between")
    parser.add_argument("--seconds", type=float, default=150.0, help="begin nothing new after this long")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--tiny", action="store_true", help="at sizes that only show that it runs")
    options = parser.parse_args(arguments)
    if options.measurement:
        if options.output is None:
            parser.error("a measurement needs --output FILE.json")
        module = importlib.import_module(f"stylemap.benchmarks.gpu.{options.measurement}")
        module.run(options.output, options.seconds, options.device, options.tiny)
        return 0
    from stylemap.benchmarks.gpu import check, steps

    try:
        chosen = check.chosen(options.skip)
        machine = describe(options.device)
    except (ImportError, RuntimeError, ValueError) as error:
        print(f"gpu: {error}", file=sys.stderr)
        return 2
    folder = options.output or check.default_folder(machine["device"])
    start = time.monotonic()
    steps.write(machine, folder / "machine.json")
    arch = check.architecture(machine.get("gpu", {}).get("capability", "9.0"))
    problems = steps.run_steps(chosen, steps.Context(folder, 0.0, arch, options.device, options.tiny))
    seconds = time.monotonic() - start
    print(f"{folder}: {seconds:.0f} s", *(problems or ["no problem found"]), sep="\n")
    return 1 if problems else 0


def describe(device: str) -> dict[str, Any]:
    """The machine.

    Raises:
        ImportError, RuntimeError: no torch, or torch sees no GPU.
    """
    import torch

    from stylemap.benchmarks import machine

    if device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("torch sees no CUDA device")
    return machine.describe(torch.device(device))


if __name__ == "__main__":
    raise SystemExit(main())
