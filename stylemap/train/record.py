"""What a run leaves behind besides checkpoints: losses, curves, picture grids, and its progress on screen."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import torch
from PIL import Image
from torch import Tensor

from stylemap import images
from stylemap.files import write_whole
from stylemap.train.config import TrainConfig

_LOG = logging.getLogger(__name__)
T = TypeVar("T")


class Record:
    """Log of a run in its folder: ``losses.jsonl``, TensorBoard events where it is installed, a progress bar.

    Only the process that writes (rank 0) has one.
    """

    def __init__(self, folder: Path, start: int, config: TrainConfig) -> None:
        self.every, self.batch, stop = config.log_every, config.batch, config.iterations
        self._rate = 0.0
        self.path = folder / "losses.jsonl"
        self._drop_from(start)
        status = os.stat(folder)
        self._folder = status.st_dev, status.st_ino
        self.file = open(self.path, "a", buffering=1)  # noqa: SIM115 (closed by `close`)
        self.board = _tensorboard(folder)
        self.bar = _bar(start, stop)
        self.stop = stop
        self._sums: dict[str, float] = {}
        self._counts: dict[str, int] = {}
        self._since, self._done = time.monotonic(), start

    def check_folder(self, iteration: int) -> None:
        """Raise FileNotFoundError where the run's folder is no longer there, or is another one."""
        try:
            there = os.stat(self.path.parent)
        except FileNotFoundError:
            there = None
        if there is None or (there.st_dev, there.st_ino) != self._folder:
            raise FileNotFoundError(
                f"{self.path.parent} was deleted while training ran: stopped at iteration {iteration}"
            )

    def add(self, iteration: int, losses: dict[str, float]) -> None:
        """Losses of an iteration; every ``every`` iterations their means are written."""
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
            self._counts[name] = self._counts.get(name, 0) + 1
        if self.bar is not None:
            self.bar.update(1)
        finished = iteration + 1
        if finished % self.every and finished != self.stop:
            return
        rate = self._rate = (finished - self._done) / max(time.monotonic() - self._since, 1e-9)
        means = {name: total / self._counts[name] for name, total in self._sums.items()}
        entry = {"iteration": finished, "its": round(rate, 4)}
        entry |= {name: float(f"{value:.6g}") for name, value in means.items()}
        self.file.write(json.dumps(entry) + "\n")
        self._show(finished, rate, means)
        if self.board is not None:
            for name, value in means.items():
                self.board.add_scalar(f"loss/{name}", value, finished)
            self.board.add_scalar("its", rate, finished)
        self._sums, self._counts = {}, {}
        self._since, self._done = time.monotonic(), finished

    def close(self) -> None:
        self.file.close()
        if self.board is not None:
            with suppress(FileNotFoundError):  # of a folder that was deleted, which is told elsewhere
                self.board.close()
        if self.bar is not None:
            self.bar.close()

    def _show(self, finished: int, rate: float, means: dict[str, float]) -> None:
        text = " ".join(f"{name} {value:.4g}" for name, value in means.items())
        if self.bar is not None:
            self.bar.set_postfix_str(text)
        else:
            print(f"{self.status(finished)}  {text}", flush=True)

    def status(self, finished: int) -> str:
        """How far the run is, on one line."""
        words = [f"{finished}/{self.stop}"]
        if self._rate:
            words.append(f"{self._rate:.2f} it/s")
        words.append(f"{finished * self.batch:,} images seen")
        if self._rate and finished < self.stop:
            words.append(f"{_duration((self.stop - finished) / self._rate)} left")
        return ", ".join(words)

    def _drop_from(self, start: int) -> None:
        """A run that continues from ``start`` repeats what came after it: those lines go."""
        lines = [line for line in read(self.path) if line["iteration"] <= start]
        with write_whole(self.path) as file:
            file.write("".join(json.dumps(line) + "\n" for line in lines).encode())


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def read(path: Path) -> list[dict[str, Any]]:
    """The entries of ``losses.jsonl``; a last line that a killed run did not finish is left out."""
    entries = []
    if path.exists():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                entries.append(json.loads(line))
            except json.JSONDecodeError:
                break
    return entries


def save_grid(rows: list[Tensor], path: Path) -> None:
    """Rows of images N x 3 x S x S in [-1, 1] as one PNG."""
    joined = torch.cat([torch.cat(list(row.detach().float().cpu()), dim=2) for row in rows], dim=1)
    images.save(joined, path)


def plot(folder: Path) -> Path | None:
    """Curves of all losses, smoothed, as ``losses.png``; None where matplotlib is missing."""
    entries = read(folder / "losses.jsonl")
    names = sorted({name for entry in entries for name in entry} - {"iteration", "its"})
    if not names:
        return None
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        _LOG.info("no plot of the losses: matplotlib is not installed")
        return None
    columns = min(4, len(names))
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(4 * columns, 2.8 * rows), layout="constrained")
    canvas = FigureCanvasAgg(figure)
    for place, name in enumerate(names):
        axes = figure.add_subplot(rows, columns, place + 1)
        found = [(entry["iteration"], entry[name]) for entry in entries if name in entry]
        axes.plot(*zip(*found), linewidth=0.6, color="0.7")
        axes.plot(*zip(*_smooth(found)), linewidth=1.4, color="C0")
        if min(value for _, value in found) > 0:
            axes.set_yscale("log")
        axes.set_title(name)
        axes.set_xlabel("iteration")
    canvas.draw()
    path = folder / "losses.png"
    images.save(Image.fromarray(_rgb(canvas)), path)
    return path


def _rgb(canvas: Any) -> Any:
    import numpy as np

    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _smooth(points: list[tuple[int, float]], weight: float = 0.9) -> list[tuple[int, float]]:
    """Exponential means that give the points there are their whole weight, from the first on."""
    smoothed, total, share = [], 0.0, 0.0
    for iteration, value in points:
        total = weight * total + (1 - weight) * value
        share = weight * share + (1 - weight)
        smoothed.append((iteration, total / share))
    return smoothed


def _tensorboard(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        _LOG.info("no TensorBoard events: tensorboard is not installed")
        return None
    return SummaryWriter(str(folder / "tensorboard"))


def _bar(start: int, stop: int) -> Any:
    """A bar on a terminal; elsewhere plain lines are printed instead."""
    if not sys.stderr.isatty():
        return None
    from tqdm import tqdm

    return tqdm(total=stop, initial=start, unit="it", smoothing=0.1)


def progress(items: Sequence[T], what: str) -> Iterable[T]:
    """The items, with a bar on a terminal and nothing elsewhere."""
    if not sys.stderr.isatty():
        return items
    from tqdm import tqdm

    bar: Iterable[T] = tqdm(items, desc=what)
    return bar
