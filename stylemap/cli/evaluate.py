"""stylemap evaluate: measure a model."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stylemap import edit
from stylemap.cli import common, results, said, streams
from stylemap.files import check_target, read_text

if TYPE_CHECKING:
    from stylemap.metrics import Options, Report

_OPTIONS = (
    *("count", "samples", "fit", "truncation", "space", "batch"),
    *("lpips", "lpips_heads", "inception", "seed"),
)


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    """Add the command ``evaluate`` and its flags; its parser."""
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "evaluate",
        help="measure a model",
        description="Measure reconstruction, realism, FID, local editing and attribute directions."
        " Metrics whose weights are not given are skipped, and say so.",
    )
    parser.add_argument(
        "--data",
        default="faces",
        help="a folder, an LMDB, or builtin:faces (held-out drawn ones; faces where no folder has that name)",
    )
    parser.add_argument("--count", type=int, default=500, help="test images (default: 500)")
    parser.add_argument("--samples", type=int, default=5000, help="images for the FIDs (default: 5000)")
    parser.add_argument("--fit", type=int, default=2000, help="faces to fit directions on (default: 2000)")
    parser.add_argument("--truncation", type=float, default=1.0, help="of the FID's samples (default: 1)")
    parser.add_argument("--space", choices=("w", "w+"), default="w+", help="of local editing (default: w+)")
    parser.add_argument("--batch", type=int, default=16, help="images at a time (default: 16)")
    parser.add_argument(
        "--masks", metavar="DIR", help="part masks of a folder's images, under the same names"
    )
    parser.add_argument("--lpips", metavar="FILE", default="", help="VGG-16 weights, torchvision's .pth")
    parser.add_argument("--lpips-heads", metavar="FILE", default="", help="linear weights of LPIPS, vgg.pth")
    parser.add_argument("--inception", metavar="FILE", default="", help="FID's Inception weights")
    parser.add_argument(
        "--directions", metavar="FILE", help="measure moves along these directions (default: fitted anew)"
    )
    parser.add_argument(
        "--run",
        dest="trained",
        metavar="DIR",
        help="measure every checkpoint of a training run, name the best, and plot the metrics",
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="also write the results there, as JSON")
    common.add_skip_argument(parser)
    results.add_overwrite(parser)
    common.add_model_arguments(parser)
    return parser


def run(args: argparse.Namespace) -> None:
    """Measure the model, or every checkpoint of a run; print the table and write the JSON where --output asks
    for it."""
    common.check_counts(args, 2, "count")
    common.check_counts(args, 1, "batch")
    if args.output and not args.overwrite:
        files = (args.model, args.directions, args.lpips, args.lpips_heads, args.inception)
        results.refuse_inputs([Path(args.output)], [Path(file) for file in files if file])
    if args.output:
        check_target(args.output)
    if args.trained:
        _run_of_training(args)
        return
    report = _measure(args)
    said.note(model=args.model or "bundled", **report.to_dict())
    said.say(report.table())
    if args.output:
        _write(Path(args.output), _about(args, args.model or "bundled") | report.to_dict())


def _measure(args: argparse.Namespace) -> Report:
    """All metrics of the model that the arguments name."""
    from stylemap.data.classes import class_folders, classes_of
    from stylemap.data.open import DRAWN, is_drawn, open_dataset
    from stylemap.metrics import Classes, Evaluation

    options = _options(args)
    model = common.load_for_edits(args)
    names = tuple(getattr(model, "class_names", ()))  # an exported model has none
    drawn = is_drawn(args.data)
    dataset = open_dataset(
        args.data,
        model.config.size,
        count=args.count,
        held_out=True,
        skip_corrupt=args.skip_corrupt,
        recursive=not drawn and class_folders(args.data, names),
    )
    for _, reason in getattr(dataset, "skipped", []):
        said.add("skipped_images", reason)
    count = min(args.count, len(dataset))
    numbers = classes_of(dataset, names, count) if len(names) > 1 else None
    directions = None
    if args.directions:
        directions = edit.load_directions(args.directions, model.config.stylemap_shape)
    return Evaluation(
        model,
        dataset,
        options,
        train=open_dataset(DRAWN, model.config.size, count=args.fit) if drawn else None,  # type: ignore[arg-type]
        masks=_masks(args, dataset, count) if args.masks else None,
        directions=directions,
        classes=None if numbers is None else Classes(numbers, names),
        progress=common.progress,
    ).run()


def _run_of_training(args: argparse.Namespace) -> None:
    """Measure the checkpoints of a run that were not measured with these options before; name the best."""
    from stylemap.metrics import history

    folder = Path(args.trained)
    if args.model:
        raise ValueError("--run measures the run's own checkpoints: leave --model away")
    files = sorted((folder / "checkpoints").glob("*.pt"))
    if not files:
        raise FileNotFoundError(f"{folder} holds no checkpoints/*.pt: it is no run of stylemap train")
    output = Path(args.output) if args.output else folder / "evaluation.json"
    about = _about(args, str(folder))
    reports = _measured(output, about, args.overwrite)
    for file in files:
        if file.name not in reports:
            if said.voice().shows_progress:
                streams.tell(f"{file}:")
            one = argparse.Namespace(**{**vars(args), "model": str(file)})
            reports[file.name] = _measure(one).to_dict()
            _write(output, about | {"checkpoints": dict(sorted(reports.items()))})
    found = {name: report["values"] for name, report in sorted(reports.items())}
    said.note(best=history.best(found), checkpoints=found, output=output)
    said.say(history.table(found))
    said.say(f"best: {history.best(found)} (lowest mean rank over the metrics)")
    said.say(f"wrote {output}")
    picture = output.with_suffix(".png")
    if history.plot(found, picture):
        said.say(f"wrote {picture}")


def _measured(path: Path, about: dict[str, Any], overwrite: bool) -> dict[str, Any]:
    """The reports of an earlier call with the same options; none where there was no such call."""
    if overwrite or not path.exists():
        return {}
    advice = "name another file with --output, or say --overwrite"
    try:
        old = json.loads(read_text(path))
        reports = dict(old["checkpoints"])
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path} is not of stylemap evaluate --run: {advice}") from error
    if any(old.get(key) != value for key, value in about.items()):
        raise ValueError(f"{path} was measured with other options: {advice}")
    return reports


def _options(args: argparse.Namespace) -> Options:
    from stylemap.metrics import Options

    return Options(**{name: getattr(args, name) for name in _OPTIONS})


def _about(args: argparse.Namespace, model: str) -> dict[str, Any]:
    return {"model": model, "data": args.data, "options": vars(_options(args))}


def _write(path: Path, content: dict[str, Any]) -> None:
    from stylemap.files import write_whole

    with write_whole(path) as file:
        file.write((json.dumps(content, indent=2) + "\n").encode())


def _masks(args: argparse.Namespace, dataset: Any, count: int) -> dict[str, Any]:
    from stylemap.metrics.evaluate import masks_from_folder

    paths = getattr(dataset, "paths", None)
    if paths is None:
        raise ValueError("--masks goes with a folder of images: its masks have the images' names")
    stems = [Path(path).stem for path in paths[:count]]
    return {"part": masks_from_folder(args.masks, stems, dataset.size)}
