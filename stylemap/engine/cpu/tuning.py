"""Which algorithm and which cut of the work are fastest on this machine, measured once and kept in a file.

Every choice computes the same function; those of one algorithm give the same bits. Measurements are on
random numbers, round after round over all candidates, and the best round counts, so that other work on
the machine does not decide.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from stylemap.engine.cpu.arena import Arena, empty_on_huge_pages
from stylemap.engine.cpu.convolution import Convolution
from stylemap.engine.cpu.shapes import BLOCK, CHANNELS, Blocking, Mode, Shape, candidates, round_up

_ops = torch.ops.stylemap
_ROUNDS = 3
_CLOSE = 1.25
_lock = threading.Lock()


@dataclass(frozen=True)
class Timing:
    """Seconds of one call of a shape's convolution, cut like this."""

    blocking: Blocking
    seconds: float


def cache_path() -> Path:
    """The file of this machine's measurements; $STYLEMAP_CACHE or the user's cache folder holds it."""
    base = os.environ.get("STYLEMAP_CACHE")
    folder = (
        Path(base) if base else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "stylemap"
    )
    return folder / "conv2d.json"


class Timings:
    """The best known timing of every shape, for this processor, instruction set and number of threads."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or cache_path()
        self._known: dict[str, Timing] = {}
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError, KeyError):
            for key, (shared, tiles, seconds) in json.loads(self._path.read_text()).items():
                self._known[key] = Timing(Blocking(bool(shared), int(tiles)), float(seconds))

    def get(self, shape: Shape) -> Timing | None:
        return self._known.get(_key(shape))

    def measure(self, shapes: Iterable[Shape]) -> None:
        """Measure those that are not known, and write the file."""
        missing = [shape for shape in dict.fromkeys(shapes) if _key(shape) not in self._known]
        for shape in missing:
            self._known[_key(shape)] = _measure(shape)
        if missing:
            self._save()

    def _save(self) -> None:
        values = {
            key: [timing.blocking.shared, timing.blocking.tiles, timing.seconds]
            for key, timing in sorted(self._known.items())
        }
        with contextlib.suppress(OSError):  # a machine without a writable home measures again next time
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary = self._path.with_suffix(f".{os.getpid()}.tmp")
            temporary.write_text(json.dumps(values, indent=0))
            os.replace(temporary, self._path)


def cut(convolutions: Iterable[Convolution], timings: Timings, tune: bool) -> dict[str, Timing]:
    """Cut every convolution for single images as measured; the measurements used, by name.

    ``tune``: measure what is missing.
    """
    used = {}
    for conv in convolutions:
        assert conv.side is not None
        shape = conv.shape(1, conv.side)
        if tune:
            timings.measure([shape])
        timing = timings.get(shape)
        if timing is not None:
            conv.blockings[1, conv.side] = timing.blocking
            used[conv.name] = timing
    return used


def describe(convolutions: Iterable[Convolution], used: Mapping[str, Timing]) -> str:
    """One line per convolution: what it is, how it is cut, its multiply-adds and measured time."""
    lines = []
    for conv in convolutions:
        assert conv.side is not None
        shape, timing = conv.shape(1, conv.side), used.get(conv.name)
        measured = f"{timing.seconds * 1e3:8.2f} ms" if timing else "not measured"
        how, size = conv.blocking(1, conv.side), shape.products / 1e9
        lines.append(f"{conv.name:20} {shape!s:34} {how!s:16} {size:6.2f} GMAC {measured}")
    return "\n".join(lines)


def _key(shape: Shape) -> str:
    machine = f"{_processor()} {_ops.conv2d_isa()} {torch.get_num_threads()} threads"
    return f"{machine}: {shape}"


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":")[1].strip()
    return platform.processor() or platform.machine()


def _measure(shape: Shape) -> Timing:
    """Best cut of one shape. One measurement at a time in this process."""
    with _lock:
        runs = _Runs(shape)
        cuts = candidates(shape)
        best = dict.fromkeys(cuts, float("inf"))
        runs(cuts[0])  # maps memory, starts threads
        for _ in range(_ROUNDS):
            # Only close races are run again.
            limit = _CLOSE * min(best.values())
            for cut in [cut for cut in cuts if best[cut] <= limit]:
                best[cut] = min(best[cut], runs(cut))
    chosen = min(cuts, key=best.__getitem__)
    return Timing(chosen, best[chosen])


class _Runs:
    """A convolution of this shape on random numbers; called with a cut, the seconds of one run."""

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._arena = Arena()
        dtype, pair = (torch.bfloat16, 2) if shape.bf16 else (torch.float32, 1)
        rows = _ops.conv2d_weight_rows(shape.mode, shape.tile)
        blocks, depth = round_up(shape.outputs, BLOCK) // BLOCK, round_up(shape.inputs, CHANNELS)
        packed = empty_on_huge_pages(blocks, rows, depth // pair, BLOCK * pair, dtype=dtype)
        self._packed = packed.fill_(0.01)
        self._bias = torch.zeros(blocks * BLOCK)
        batch, side = shape.batch, shape.side
        down, up = shape.mode == Mode.DOWN, shape.mode == Mode.UP
        self._x = self._arena.take(batch, side << down, side << down, shape.inputs).normal_()
        self._out = self._arena.take(batch, side << up, side << up, shape.outputs)

    def __call__(self, cut: Blocking) -> float:
        shape, workspace = self._shape, None
        if cut.shared:
            size = _ops.conv2d_workspace(
                self._packed, shape.mode, shape.batch, shape.side, shape.side, cut.tiles
            )
            workspace = self._arena.take(size, dtype=torch.uint8)
        arguments = (self._x, self._packed, self._bias, 0.2, shape.mode)
        start = time.perf_counter()
        _ops.conv2d(*arguments, *([None] * 5), self._out, None, workspace, cut.tiles)
        seconds = time.perf_counter() - start
        self._arena.give(workspace)
        return seconds
