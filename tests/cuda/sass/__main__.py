"""Simulated cycles of the decoder's layers.

python -m tests.cuda.sass layers [--tree TREE] [--quarter] [--only N ...] [--json]
python -m tests.cuda.sass compare A B [--quarter] [--only N ...]

A tree is a folder with csrc/ (or a csrc folder itself) or a git revision. Minutes on the whole chip.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from tests.cuda.sass import build, layers, toolchain


def source_of(tree: str) -> Path:
    """The csrc folder of a folder or git revision."""
    folder = Path(tree)
    for candidate in (folder / "csrc", folder):
        if (candidate / "kernels").is_dir():
            return candidate.resolve()
    command = ["git", "-C", str(build.REPOSITORY), "rev-parse", "--verify", "--quiet", f"{tree}:csrc"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode != 0:
        raise SystemExit(f"{tree} is neither a folder with csrc/ nor a git revision that has it")
    target = toolchain.CACHE / "trees" / found.stdout.strip()[:16]
    if not target.is_dir():
        target.mkdir(parents=True)
        git = ["git", "-C", str(build.REPOSITORY), "archive", found.stdout.strip()]
        archive = subprocess.run(git, capture_output=True, check=True).stdout
        subprocess.run(["tar", "-x", "-C", str(target)], input=archive, check=True)
    return target.resolve()


def measure(tree: str, options: argparse.Namespace) -> list[layers.Result]:
    chosen = [layers.LAYERS[n] for n in options.only] if options.only else layers.LAYERS
    engine = layers.Engine(build.build(source_of(tree)), layers.QUARTER if options.quarter else layers.WHOLE)
    results = []
    for layer in chosen:
        results.append(engine.run(layer))
        print(f"{layer.name}: {results[-1].cycles:.0f} cycles, simulated", file=sys.stderr, flush=True)
    return results


def compare(options: argparse.Namespace) -> None:
    """Each tree in a process of its own: two libraries of the same operators do not load together."""
    both = []
    for tree in (options.a, options.b):
        command = [
            sys.executable,
            "-m",
            "tests.cuda.sass",
            "layers",
            "--json",
            "--tree",
            str(source_of(tree)),
        ]
        command += ["--quarter"] if options.quarter else []
        command += ["--only", *map(str, options.only)] if options.only else []
        run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=build.REPOSITORY)
        both.append(json.loads(run.stdout))
    print(f"{options.a:>10} {options.b:>10} {'B / A':>6}  simulated kcycles")
    rows = [(a["cycles"], b["cycles"], a["name"]) for a, b in zip(*both)]
    rows.append((sum(row[0] for row in rows), sum(row[1] for row in rows), "in all"))
    for first, second, name in rows:
        print(f"{first / 1e3:10.1f} {second / 1e3:10.1f} {second / first:6.2f}  {name}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.cuda.sass", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    one, two = commands.add_parser("layers"), commands.add_parser("compare")
    one.add_argument("--tree", default=str(build.REPOSITORY))
    one.add_argument("--json", action="store_true")
    two.add_argument("a")
    two.add_argument("b")
    for command in (one, two):
        command.add_argument("--quarter", action="store_true", help="a quarter of the chip")
        command.add_argument("--only", type=int, nargs="+", metavar="N", help="layers by number, from 0")
    options = parser.parse_args()
    if toolchain.missing():
        raise SystemExit(f"machine code needs {toolchain.missing()}")
    if options.command == "compare":
        compare(options)
        return
    results = measure(options.tree, options)
    print(layers.as_json(results) if options.json else layers.table(results))


if __name__ == "__main__":
    main()
