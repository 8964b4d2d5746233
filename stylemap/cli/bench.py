"""stylemap bench: how fast it is on this machine, and against what."""

from __future__ import annotations

import argparse
import importlib
import shlex
import sys
from pathlib import Path
from typing import Any

import torch

from stylemap.cli import common, said
from stylemap.files import make_folder

_DEFAULT = "out/bench"


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command ``bench`` and its flags; its parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "bench", help="measure the speed of everything here", description=_describe()
    )
    _add_common(parser, {"output": _DEFAULT, "threads": 0, "device": "auto", "quick": False})
    parts = parser.add_subparsers(dest="part", metavar="PART")
    _add_edit(parts)
    for name, text in (
        ("cold", "from an empty process to the first edit, and memory"),
        ("ops", "the operators against their definitions"),
        ("training", "iterations per second and memory, against the operators' definitions"),
        ("scaling", "over size, mask area, references, batch and threads"),
    ):
        _add_common(parts.add_parser(name, help=text))
    report = parts.add_parser("report", help="the report of a JSON file: Markdown, pictures, HTML")
    report.add_argument("file", type=Path, metavar="JSON")
    report.add_argument(
        "-o", "--output", default=argparse.SUPPRESS, metavar="DIR", help="default: beside the file"
    )
    report.set_defaults(output_given=False)
    compare = parts.add_parser("compare", help="what became slower from one JSON file to another")
    compare.add_argument("before", type=Path, metavar="BEFORE")
    compare.add_argument("after", type=Path, metavar="AFTER")
    compare.add_argument(
        "--threshold", type=float, default=0.05, help="change that counts (default: 0.05, 5 %%)"
    )
    readme = parts.add_parser("readme", help="write README's tables from the results in the repository")
    readme.add_argument("--check", action="store_true", help="only say whether they agree")
    return parser


def run(args: argparse.Namespace) -> None:
    """Measure, write the results and print the table of the main ratios."""
    if args.part in ("report", "compare", "readme"):
        globals()[f"_{args.part}"](args)
        return
    suite = _benchmarks("suite")
    device = common.pick_device(args.device)
    asked = suite.Run(
        command="stylemap " + shlex.join(sys.argv[1:]),
        device=device,
        threads=args.threads or torch.get_num_threads(),
        quick=args.quick,
        parts=(args.part,) if args.part else suite.PARTS,
        settings=_edit_settings(args) if args.part == "edit" else None,
        isolated=not args.quick,
    )
    folder = Path(args.output)
    make_folder(folder)  # else a name that is taken is told after hours
    partial = folder / "bench.partial.json"
    results = _benchmarks("results")

    def keep(done: dict[str, Any]) -> None:
        results.write(done, partial)

    content = suite.run(asked, keep)
    report = _benchmarks("report")
    for path in (results.write(content, folder / "bench.json"), *report.write(content, folder)):
        said.add("written", path)
        said.say(f"wrote {path}")
    partial.unlink(missing_ok=True)
    said.say(report.summary(content))


def _benchmarks(name: str) -> Any:
    return importlib.import_module(f"stylemap.benchmarks.{name}")


def _describe() -> str:
    return (
        "Without PART: editing latency in every installed backend, in turns; cold starts and memory; "
        "operators; training; scaling. Writes bench.json and its report: bench.md, pictures, bench.html."
    )


def _add_common(parser: argparse.ArgumentParser, defaults: dict[str, Any] | None = None) -> None:
    def default(name: str) -> Any:
        return argparse.SUPPRESS if defaults is None else defaults[name]

    parser.add_argument(
        "-o",
        "--output",
        default=default("output"),
        metavar="DIR",
        help=f"for the results (default: {_DEFAULT})",
    )
    parser.add_argument(
        "--quick", action="store_true", default=default("quick"), help="a few minutes on two cores"
    )
    parser.add_argument(
        "--threads", type=int, default=default("threads"), help="of every backend (default: torch's)"
    )
    parser.add_argument("--device", default=default("device"), help="cpu, cuda, … (default: auto)")


def _add_edit(parts: Any) -> None:
    parser = parts.add_parser(
        "edit",
        help="editing latency: recorded strokes in every backend, in turns",
        description="Plays recorded strokes in every backend, in turns. Every option takes names "
        "with commas between them.",
    )
    _add_common(parser)
    for name, text in (
        ("models", "demo, full, small, 1024 (default: all)"),
        ("precisions", "fp32, bf16, and on a GPU fp16"),
        ("backends", "engine, published, plain, compile, onnxruntime, openvino, ncnn"),
        ("scenarios", "open, encode, decode, paint_64, … (default: all)"),
    ):
        parser.add_argument(f"--{name}", type=lambda text: tuple(text.split(",")), metavar="NAMES", help=text)
    parser.add_argument(
        "--seconds", type=float, help="for each scenario of a model, all backends together (default: 8)"
    )


def _edit_settings(args: argparse.Namespace) -> Any:
    """The settings that the options change, or None where there are none."""
    names = ("models", "precisions", "backends", "scenarios", "seconds")
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    if not given:
        return None
    return _benchmarks("suite").chosen(given, args.quick)


def _report(args: argparse.Namespace) -> None:
    results = _benchmarks("results")
    content = results.read(args.file)
    folder = Path(args.output) if args.output != _DEFAULT else args.file.parent
    with results.damage_named(args.file):
        written = _benchmarks("report").write(content, folder, args.file.stem)
    for path in written:
        said.add("written", path)
        said.say(f"wrote {path}")


def _compare(args: argparse.Namespace) -> None:
    results = _benchmarks("results")
    before, after = results.read(args.before), results.read(args.after)
    with results.damage_named(args.before, args.after):
        found = _benchmarks("compare").compare(before, after, args.threshold)
        text = found.text()
    said.say(text)
    if found.slower:
        raise RuntimeError(f"{len(found.slower)} of {found.compared} measurements became slower")


def _readme(args: argparse.Namespace) -> None:
    _benchmarks("readme").update_all(check=args.check)
